"""How far rounding can move a value: a running error analysis of a program.

Every value is carried with two more numbers. `error` bounds `|computed - exact|` for any engine
that rounds each operation to a unit u and sums in any order; the double-precision value carried
along is within `error` of exact too, so a computed value lies within `2 error` of it. `size` bounds
the sum of absolute values from which a linear value was summed, because an engine may distribute a
sum. Exact is real arithmetic at the given inputs.

Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, chapters 3 and 4.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import scipy.special

from .program import LIKE, Axis, Instruction, Program
from .reference import (
    FLOAT64,
    RULES,
    Inputs,
    aligned,
    arranged,
    central_blocks,
    float_constant,
    like,
)

_FUNCTION_ULPS = 16
"""Engines evaluate exp, log, ... to a relative error of this many units."""

_CHUNK_NUMBERS = 2**21
_SMALL = 0.1
"""Up to this relative error Gibbs weights are analysed; above it the range of the values holds."""


@dataclass(frozen=True, slots=True)
class Precision:
    """A floating type: its rounding unit, its smallest normal number and its largest number."""

    unit: float
    tiny: float
    huge: float

    @classmethod
    def of(cls, dtype: Any) -> "Precision":
        """The precision of a NumPy floating type.

        >>> Precision.of(np.float32).unit == 2.0**-24
        True
        """
        facts = np.finfo(dtype)
        return cls(float(facts.eps) / 2, float(facts.tiny), float(facts.max))


@dataclass(frozen=True, slots=True)
class _Known:
    """A value in double precision, how far a computed one is from exact, and its size."""

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray

    @property
    def reach(self) -> np.ndarray:
        """A bound on the absolute value, exact or computed."""
        return np.abs(self.value) + 2 * self.error

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> "_Known":
        return _Known(function(self.value), function(self.error), function(self.size))


def rounding_bound(
    program: Program, inputs: Inputs, order: tuple[str, ...], precision: Precision
) -> np.ndarray:
    """A bound on the rounding error of every value of a program, whatever the engine.

    Args:
        program: the program.
        inputs: NumPy arrays in double precision, as the caller gave them.
        order: the names of the point arguments in the order of the dimensions of the result.
        precision: that in which the engine computes.

    Returns:
        An array of the shape of the values; infinite where nothing can be said.
    """
    name = order[0]
    rows = inputs.points[name]
    height = max(1, _CHUNK_NUMBERS // _width(program, inputs, Axis(name)))
    chunks = []
    for start in range(0, max(len(rows), 1), height):
        points = {**inputs.points, name: rows[start : start + height]}
        part = Inputs(points, inputs.measures, inputs.parameters)
        chunks.append(_Analysis(program, part, precision).bound(order))
    return np.concatenate(chunks)


def _width(program: Program, inputs: Inputs, rows: Axis) -> int:
    """The numbers of the largest array for one row of the first point argument."""
    widths = [1]
    for instruction, shape in zip(program.instructions, inputs.shapes(program), strict=True):
        axes = [*instruction.axes, *([instruction.over] if instruction.over else [])]
        counts = [inputs.count(axis) for axis in axes if axis != rows]
        widths.append(math.prod(counts) * max(shape, default=1))
    return max(widths)


class _Analysis:
    """One run of the analysis, in the names of the reference interpreter."""

    def __init__(self, program: Program, inputs: Inputs, precision: Precision):
        self.program, self.inputs, self.precision = program, inputs, precision
        self.unit = precision.unit
        self.shapes = inputs.shapes(program)

    def bound(self, order: tuple[str, ...]) -> np.ndarray:
        needed, values = self.program.needed(), []
        with np.errstate(all="ignore"):
            for index, instruction in enumerate(self.program.instructions):
                made = self.make(index, instruction, values) if index in needed else None
                values.append(made)
        error = values[self.program.result.index].error
        return np.array(arranged(self.program, self.inputs, order, error, self.shapes))

    def make(self, index: int, instruction: Instruction, values: list) -> _Known:
        if instruction.op in LIKE:
            return self.exactly(like(instruction, self.shapes, index))
        over = (instruction.over,) if instruction.over else ()
        axes = (*instruction.axes, *over)
        operands = []
        for use in instruction.operands:
            rank = self.program.instructions[use.index].rank
            operands.append(values[use.index].map(_aligner(use, rank, axes)))
        rule = _RULES.get(instruction.op)
        if rule is not None:
            return self.checked(rule(self, instruction, *operands))
        return self.checked(_function(self, instruction, *operands))

    def exactly(self, value: Any) -> _Known:
        value = np.asarray(value, dtype=np.float64)
        return _Known(value, np.zeros_like(value), np.abs(value))

    def stored(self, value: Any) -> _Known:
        """Inputs, rounded to the precision when the engine reads them."""
        known = self.exactly(value)
        if self.unit <= 2.0**-53:
            return known
        error = np.abs(known.value - known.value.astype(np.float32).astype(np.float64))
        return _Known(known.value, error, known.size)

    def checked(self, known: _Known) -> _Known:
        """Infinite errors where the range of the type is left or nothing is known."""
        value, error = np.broadcast_arrays(known.value, known.error)
        lost = ~np.isfinite(value) | ~(np.abs(value) + 2 * error <= self.precision.huge)
        size = np.maximum(np.abs(value), known.size)
        return _Known(
            value, np.where(lost, np.inf, error), np.where(np.isfinite(size), size, np.inf)
        )

    def gamma(self, operations: int) -> float:
        """The relative error of so many rounded operations, with room for the analysis itself."""
        total = (operations + 2) * self.unit
        return 1.01 * total / (1 - total) if total < 0.5 else math.inf

    def weights(self, instruction: Instruction) -> _Known:
        assert instruction.over is not None
        return self.stored(self.inputs.measures[instruction.over.owner][1])


def _aligner(use: Any, rank: int, axes: tuple[Axis, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: aligned(array, use, rank, axes)


# ---- leaves, and what only moves numbers


def _constant(run: _Analysis, instruction: Instruction) -> _Known:
    text = str(instruction.attributes[0])
    value = np.asarray(float(float_constant(text)))
    try:
        exact = Fraction(text) == Fraction(float(value))
    except (ValueError, OverflowError):
        exact = text not in ("pi", "e", "euler", "phi")
    known = run.stored(value)
    return known if exact else _Known(value, known.error + run.unit * np.abs(value), known.size)


def _moved(function: Callable[..., np.ndarray]) -> Callable[..., _Known]:
    """A rule that rearranges components and rounds nothing."""

    def rule(_: _Analysis, instruction: Instruction, *operands: _Known) -> _Known:
        fields = ("value", "error", "size")
        return _Known(
            *(function(instruction, *(getattr(part, f) for part in operands)) for f in fields)
        )

    return rule


def _diagonal(_: Instruction, v: np.ndarray) -> np.ndarray:
    place = np.eye(v.shape[0], dtype=bool)
    return np.where(place.reshape((*place.shape, *(1,) * (v.ndim - 1))), v[None], 0.0)


def _interpreted(op: str) -> Callable[..., np.ndarray]:
    return lambda instruction, *arrays: RULES[op](None, instruction, *arrays)  # pyright: ignore


# ---- sums and products


def _add(run: _Analysis, _: Instruction, *terms: _Known) -> _Known:
    size = reduce(np.add, [term.size + 2 * term.error for term in terms])
    error = reduce(np.add, [term.error for term in terms])
    value = reduce(np.add, [term.value for term in terms])
    if len(terms) <= 2:
        # One rounding, of the sum itself: differences of near numbers are exact.
        return _Known(value, error + 1.01 * run.unit * (np.abs(value) + 2 * error), size)
    return _Known(value, error + run.gamma(len(terms)) * size, size)


def _mul(run: _Analysis, _: Instruction, *factors: _Known) -> _Known:
    return _multiplied(run, *factors)


def _multiplied(run: _Analysis, *factors: _Known) -> _Known:
    return reduce(lambda a, b: _product(run, a, b, np.multiply, _roundings(a, b)), factors)


def _roundings(a: _Known, b: _Known) -> int:
    """None for a change of sign."""
    return 0 if any((np.abs(f.value) == 1).all() and not f.error.any() for f in (a, b)) else 1


def _product(
    run: _Analysis, a: _Known, b: _Known, times: Callable[..., np.ndarray], operations: int
) -> _Known:
    """Any bilinear product of so many operations a component."""
    size = times(a.size + 2 * a.error, b.size + 2 * b.error)
    error = times(a.reach, b.error) + times(a.error, b.reach)
    rounding = run.gamma(operations) * size * (operations > 0) + operations * run.precision.tiny
    return _Known(times(a.value, b.value), error + rounding, size)


def _dot(run: _Analysis, _: Instruction, u: _Known, v: _Known) -> _Known:
    # No engine expands a product of differences: only what the components are now counts.
    u, v = (_Known(part.value, part.error, np.abs(part.value)) for part in (u, v))
    times = lambda a, b: (a * b).sum(axis=0)  # noqa: E731
    return _product(run, u, v, times, u.value.shape[0] + 1)


def _matvec(run: _Analysis, _: Instruction, m: _Known, v: _Known) -> _Known:
    times = lambda a, b: (a * b[None]).sum(axis=1)  # noqa: E731
    return _product(run, m, v, times, m.value.shape[1] + 1)


def _matmul(run: _Analysis, _: Instruction, m: _Known, n: _Known) -> _Known:
    times = lambda a, b: (a[:, :, None] * b[None]).sum(axis=1)  # noqa: E731
    return _product(run, m, n, times, m.value.shape[1] + 1)


def _outer(run: _Analysis, _: Instruction, u: _Known, v: _Known) -> _Known:
    return _product(run, u, v, lambda a, b: a[:, None] * b[None], 1)


def _trace(run: _Analysis, instruction: Instruction, m: _Known) -> _Known:
    entries = [m.map(lambda array, i=i: array[i, i]) for i in range(m.value.shape[0])]
    return _add(run, instruction, *entries)


# ---- functions of one or two numbers


def _function(run: _Analysis, instruction: Instruction, *operands: _Known) -> _Known:
    """A function with a rule for its slope: `slope(low, high)` bounds it between two arguments."""
    slope = _SLOPES.get(instruction.op)
    if slope is None or len(operands) != 1:
        value = _plain(instruction, *(part.value for part in operands))
        return _Known(value, np.full(np.shape(value), np.inf), np.abs(value))
    (a,) = operands
    low, high = a.value - 2 * a.error, a.value + 2 * a.error
    value = _plain(instruction, a.value)
    error = np.where(a.error == 0, 0.0, slope(low, high) * a.error)
    rounding = _FUNCTION_ULPS * run.unit * (np.abs(value) + error) + run.precision.tiny
    return _Known(value, error + rounding, np.abs(value))


def _plain(instruction: Instruction, *values: np.ndarray) -> np.ndarray:
    function = FLOAT64.functions[instruction.op]
    return np.asarray(reduce(function, values) if len(values) > 1 else function(*values))


def _step(run: _Analysis, instruction: Instruction, a: _Known) -> _Known:
    """Piecewise constant: exact unless a jump is within reach."""
    low = _plain(instruction, a.value - 2 * a.error)
    high = _plain(instruction, a.value + 2 * a.error)
    value = _plain(instruction, a.value)
    return _Known(value, np.maximum(np.abs(high - value), np.abs(low - value)), np.abs(value))


def _extreme(run: _Analysis, instruction: Instruction, *terms: _Known) -> _Known:
    error = reduce(np.maximum, [term.error for term in terms])
    value = _plain(instruction, *(term.value for term in terms))
    return _Known(value, error, np.abs(value))


def _power(run: _Analysis, instruction: Instruction, a: _Known) -> _Known:
    exponent = Fraction(str(instruction.attributes[0]))
    q = float(exponent)
    value = FLOAT64.power(a.value, exponent)
    near = np.maximum(np.abs(a.value) - 2 * a.error, 0.0)
    steep = np.power(a.reach if q >= 1 else near, q - 1)
    error = np.where(a.error == 0, 0.0, abs(q) * steep * a.error)
    if 0 < q < 1:
        # |s^q - t^q| <= |s - t|^q, also at zero where the slope is infinite.
        error = np.minimum(error, np.power(a.error, q))
    through_log = 1 + abs(q) * np.abs(np.log(np.where(a.value == 0, 1.0, np.abs(a.value))))
    ulps = (_FUNCTION_ULPS + abs(q)) * (through_log if exponent.denominator > 2 else 1)
    rounding = ulps * run.unit * (np.abs(value) + error) + run.precision.tiny
    return _Known(value, error + rounding, np.abs(value))


def _pow(run: _Analysis, instruction: Instruction, a: _Known, b: _Known) -> _Known:
    """`a^b = exp(b log a)` for positive a."""
    value = _plain(instruction, a.value, b.value)
    near = a.value - 2 * a.error
    logarithm = np.maximum(np.abs(np.log(near)), np.abs(np.log(a.reach)))
    relative = b.error * logarithm + b.reach * a.error / near
    relative = relative + _FUNCTION_ULPS * run.unit * (1 + b.reach * logarithm)
    error = np.where(near > 0, np.abs(value) * np.expm1(2 * relative), np.inf)
    return _Known(value, error + run.precision.tiny, np.abs(value))


def _atan2(run: _Analysis, instruction: Instruction, y: _Known, x: _Known) -> _Known:
    value = _plain(instruction, y.value, x.value)
    reach = y.error + x.error
    away = np.hypot(y.value, x.value) - 2 * reach
    error = np.where(reach == 0, 0.0, np.where(away > 0, reach / away, np.inf))
    # Where x is negative and y passes zero the angle jumps.
    jumps = (x.value - 2 * x.error < 0) & (np.abs(y.value) <= 2 * y.error) & (y.error > 0)
    error = np.where(jumps, 2 * math.pi, error) + _FUNCTION_ULPS * run.unit * np.abs(value)
    return _Known(value, error, np.abs(value))


def _compare(run: _Analysis, instruction: Instruction, a: _Known, b: _Known) -> _Known:
    """True or false; the error is one where rounding can decide."""
    value = _plain(instruction, a.value, b.value)
    reach = a.error + b.error
    open_ = (reach > 0) & (np.abs(a.value - b.value) <= 2 * reach)
    return _Known(value.astype(float), open_.astype(float), np.ones(value.shape))


def _logic(run: _Analysis, instruction: Instruction, *operands: _Known) -> _Known:
    value = _plain(instruction, *(part.value for part in operands)).astype(float)
    error = reduce(np.maximum, [part.error for part in operands])
    return _Known(value, error, np.ones(value.shape))


def _select(run: _Analysis, instruction: Instruction, *operands: _Known) -> _Known:
    result = operands[-1]
    for k in range(len(operands) - 3, -1, -2):
        condition, choice = operands[k], operands[k + 1]
        holds = condition.value.astype(bool)
        either = np.abs(choice.value - result.value) + choice.error + result.error
        error = np.where(holds, choice.error, result.error)
        result = _Known(
            np.where(holds, choice.value, result.value),
            np.where(condition.error > 0, either, error),
            np.maximum(choice.size, result.size)
            if (condition.error > 0).any()
            else np.where(holds, choice.size, result.size),
        )
    return result


# ---- reductions


def _integral(run: _Analysis, instruction: Instruction, body: _Known) -> _Known:
    weights = run.weights(instruction)
    times = lambda a, b: (a * b).sum(axis=-1)  # noqa: E731
    return _product(run, body, weights, times, weights.value.shape[0] + 4)


@dataclass(frozen=True, slots=True)
class _Law:
    """A Gibbs law in double precision, and the errors of its logarithms.

    Computed weights are `p_i exp(e_i)` up to a factor, with `|e_i| <= errors`; `worst` is the
    largest of a row, and the law carried along is off by as much.
    """

    weights: np.ndarray
    errors: np.ndarray
    worst: np.ndarray
    log_total: np.ndarray

    @property
    def slack(self) -> np.ndarray:
        """What replaces exact weights by those carried along, and divides by the computed total."""
        return np.exp(3 * self.worst)


def _law(run: _Analysis, instruction: Instruction, energy: _Known) -> _Law:
    weights = run.weights(instruction).value
    logs = np.log(weights / weights.max())
    exponents = energy.value + logs
    shift = exponents.max(axis=-1, keepdims=True)
    shift = np.where(np.isneginf(shift), 0.0, shift)
    terms = np.exp(exponents - shift)
    total = terms.sum(axis=-1, keepdims=True)
    ulps = _FUNCTION_ULPS * (1 + np.abs(logs)) + 2 * np.abs(exponents) + 2 * np.abs(shift)
    stored = 0.0 if run.unit <= 2.0**-53 else 2 * run.unit
    errors = energy.error + run.unit * (ulps + _FUNCTION_ULPS) + stored
    errors = errors + terms.shape[-1] * run.precision.tiny
    errors = np.where(np.isnan(errors) | (terms == 0) & np.isneginf(exponents), 0.0, errors)
    log_total = (shift + np.log(total))[..., 0] + np.log(weights.max())
    return _Law(terms / total, errors, errors.max(axis=-1, keepdims=True), log_total)


def _log_partition(run: _Analysis, instruction: Instruction, energy: _Known) -> _Known:
    law = _law(run, instruction, energy)
    n = law.weights.shape[-1]
    # log sum p_i exp(e_i): at most the largest error, and about their mean.
    mean = np.log1p(law.slack[..., 0] * (law.weights * np.expm1(law.errors)).sum(axis=-1))
    value = law.log_total
    unit = np.log(run.weights(instruction).value.max())
    operations = 2 * np.abs(value) + 2 * abs(unit) + np.log(n) + 1
    rounding = run.gamma(n) + _FUNCTION_ULPS * run.unit * operations
    return _Known(value, np.fmin(mean, law.worst[..., 0]) + rounding, np.abs(value))


def _cumulant(run: _Analysis, instruction: Instruction, energy: _Known, *slots: _Known) -> _Known:
    law = _law(run, instruction, energy)
    means = [_mean(run, law, slot) for slot in slots]
    if len(slots) == 1:
        return means[0].map(lambda array: array[..., 0])
    gibbs = _Cumulant(run, law, slots, means, energy.value.ndim)
    products = [gibbs.product(blocks) for blocks in central_blocks(len(slots))]
    return _add(run, instruction, *products)


def _mean(run: _Analysis, law: _Law, slot: _Known) -> _Known:
    """`E_p[h]`, with the reduced axis kept.

    Weights off by factors exp(e_i) move it by `sum p_i (exp(e_i) - 1) (h_i - E h)` / their total.
    """
    p = law.weights
    mean = _over_atoms(p * slot.value)
    size, own = _over_atoms(p * slot.size), _over_atoms(p * slot.error)
    spread = _over_atoms(p * np.expm1(law.errors) * np.abs(slot.value - mean))
    unsure = np.expm1(law.worst) * slot.error.max(axis=-1, keepdims=True)
    rounding = 2 * run.gamma(p.shape[-1] + 4) * size
    # The distance to the exact mean stands on both sides; below _SMALL it is solved for by 1.2.
    error = 1.2 * law.slack * (own + spread + unsure + rounding) + run.precision.tiny
    width = np.ptp(slot.value, axis=-1, keepdims=True)
    hull = width + 4 * slot.error.max(axis=-1, keepdims=True)
    hull = hull + 2 * run.gamma(p.shape[-1] + 4) * slot.size.max(axis=-1, keepdims=True)
    error = np.where(law.worst <= _SMALL, np.fmin(error, hull), hull)
    return _Known(mean, error, np.maximum(size, np.abs(mean)))


def _over_atoms(array: np.ndarray) -> np.ndarray:
    return array.sum(axis=-1, keepdims=True)


class _Cumulant:
    """The central moments of the slots, each with its error."""

    def __init__(self, run: _Analysis, law: _Law, slots: tuple, means: list, dimensions: int):
        self.run, self.law, self.slots, self.means = run, law, slots, means
        self.ranks = [slot.value.ndim - dimensions for slot in slots]

    def product(self, blocks: tuple[tuple[int, ...], ...]) -> _Known:
        sign = (-1) ** (len(blocks) - 1) * math.factorial(len(blocks) - 1)
        return _multiplied(self.run, self.run.exactly(float(sign)), *map(self.moment, blocks))

    def total(self, weights: np.ndarray, factors: Mapping[int, np.ndarray]) -> np.ndarray:
        """`sum over atoms of weights * factors`, an outer product with an axis a vector slot."""
        vectors = [k for k, rank in enumerate(self.ranks) if rank == 1]
        scalars = [factor for k, factor in factors.items() if not self.ranks[k]]
        tensors = [factor for k, factor in factors.items() if self.ranks[k]]
        weights = reduce(np.multiply, scalars, weights)
        if len(tensors) == 2:
            left = np.moveaxis(weights * tensors[0], 0, -2)
            product = np.matmul(left, np.moveaxis(tensors[1], 0, -1))
            return np.moveaxis(product, (-2, -1), (0, 1))
        sums = (weights * tensors[0] if tensors else weights).sum(axis=-1)
        if len(vectors) == 2:
            place = tuple(-1 if k in factors else 1 for k in vectors)
            axes = sums.shape[1:] if tensors else sums.shape
            return sums.reshape((*place, *axes))
        return sums

    def moment(self, block: tuple[int, ...]) -> _Known:
        """`E_p` of a product of centred slots; the last tensor may have been centred afterwards."""
        run, law, p = self.run, self.law, self.law.weights
        centred = {k: self.slots[k].value - self.means[k].value for k in block}
        errors = {
            k: self.slots[k].error + self.means[k].error + run.unit * np.abs(centred[k])
            for k in block
        }
        sizes = {k: np.abs(centred[k]) for k in block}
        reach = {k: sizes[k] + 2 * errors[k] for k in block}
        value = self.total(p, centred)
        outer = self.total(p, reach)
        moved = reduce(np.add, [self.total(p, {**reach, k: errors[k]}) for k in block])
        tilt = p * np.expm1(law.errors)
        tilted = self.total(tilt, reach) + 1.2 * tilt.sum(axis=-1) * outer
        whole = dict(reach)
        for k in [k for k in block if self.ranks[k]][-1:]:
            whole[k] = self.slots[k].size + np.abs(self.means[k].value) + reach[k]
        rounding = 2 * run.gamma(p.shape[-1] + len(block) + 6) * self.total(p, whole)
        error = 1.2 * law.slack[..., 0] * (moved + tilted + rounding) + run.precision.tiny
        ranges = {
            k: np.ptp(self.slots[k].value, axis=-1, keepdims=True)
            + 4 * self.slots[k].error.max(axis=-1, keepdims=True)
            for k in block
        }
        hull = 2 * self.total(np.ones_like(p[..., :1]), ranges) + rounding
        error = np.where(law.worst[..., 0] <= _SMALL, error, hull)
        return _Known(value, error, np.maximum(np.abs(value), outer))


# ---- slopes of functions between two arguments


def _at_ends(derivative: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """For a slope without a maximum inside."""
    return lambda low, high: np.maximum(np.abs(derivative(low)), np.abs(derivative(high)))


def _nearest_zero(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))


def _within(limit: float, derivative: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """For a slope that grows towards +-limit, the ends of the domain."""

    def slope(low, high):
        far = np.maximum(np.abs(low), np.abs(high))
        return np.where(far < limit, derivative(np.minimum(far, limit)), np.inf)

    return slope


def _beyond(limit: float, derivative: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """For a slope that grows towards a limit from above, infinite below it."""
    return lambda low, high: np.where(low > limit, derivative(np.maximum(low, limit)), np.inf)


def _tan_slope(low, high):
    poles = np.floor(low / math.pi + 0.5) != np.floor(high / math.pi + 0.5)
    return np.where(poles, np.inf, _at_ends(lambda u: 1 + np.tan(u) ** 2)(low, high))


def _constant_slope(bound: float) -> Callable[..., np.ndarray]:
    return lambda low, high: np.full(np.shape(low), bound)


_SLOPES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "exp": lambda low, high: np.exp(high),
    "log": _beyond(0.0, lambda u: 1 / u),
    "sin": _constant_slope(1.0),
    "cos": _constant_slope(1.0),
    "tan": _tan_slope,
    "asin": _within(1.0, lambda u: 1 / np.sqrt(1 - u * u)),
    "acos": _within(1.0, lambda u: 1 / np.sqrt(1 - u * u)),
    "atan": _constant_slope(1.0),
    "sinh": _at_ends(np.cosh),
    "cosh": _at_ends(np.sinh),
    "tanh": lambda low, high: 1 / np.cosh(_nearest_zero(low, high)) ** 2,
    "asinh": _constant_slope(1.0),
    "acosh": _beyond(1.0, lambda u: 1 / np.sqrt(u * u - 1)),
    "atanh": _within(1.0, lambda u: 1 / (1 - u * u)),
    "erf": lambda low, high: 1.1284 * np.exp(-(_nearest_zero(low, high) ** 2)),
    "erfc": lambda low, high: 1.1284 * np.exp(-(_nearest_zero(low, high) ** 2)),
    "loggamma": lambda low, high: np.where(
        low > 0, _at_ends(scipy.special.digamma)(low, high), np.inf
    ),
    "digamma": _beyond(0.0, lambda u: scipy.special.polygamma(1, u)),
    "sigmoid": lambda low, high: np.minimum(0.25, np.exp(-_nearest_zero(low, high))),
    "softplus": _constant_slope(1.0),
    "abs": _constant_slope(1.0),
}

_RULES: Mapping[str, Callable[..., _Known]] = {
    "point": lambda run, i: run.stored(run.inputs.points[i.attributes[0]].T),
    "atoms": lambda run, i: run.stored(run.inputs.measures[i.attributes[0]][0].T),
    "parameter": lambda run, i: run.stored(run.inputs.parameters[i.attributes[0]]),
    "constant": _constant,
    "add": _add,
    "mul": _mul,
    "dot": _dot,
    "matvec": _matvec,
    "matmul": _matmul,
    "outer": _outer,
    "trace": _trace,
    "diagonal": _moved(_diagonal),
    **{op: _moved(_interpreted(op)) for op in ("transpose", "component", "block", "rows")},
    **{op: _moved(_interpreted(op)) for op in ("stack", "row_stack")},
    **dict.fromkeys(("sign", "heaviside", "floor", "ceiling"), _step),
    **dict.fromkeys(("max", "min"), _extreme),
    **dict.fromkeys(("less", "less_equal", "equal"), _compare),
    **dict.fromkeys(("and", "or", "not"), _logic),
    "power": _power,
    "pow": _pow,
    "atan2": _atan2,
    "select": _select,
    "integral": _integral,
    "log_partition": _log_partition,
    "cumulant": _cumulant,
}
