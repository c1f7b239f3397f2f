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

from .program import LIKE, Axis, Instruction, Program
from .reference import (
    RULES,
    Inputs,
    aligned,
    arranged,
    central_blocks,
    float_constant,
    like,
)
from .rounding_functions import FUNCTION_RULES, FUNCTION_ULPS, Known, function

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
        chunks.append(Analysis(program, part, precision).bound(order))
    return np.concatenate(chunks)


def upward(error: np.ndarray, dtype: Any) -> np.ndarray:
    """A bound in a floating type, never rounded below what it was; infinite where it was NaN."""
    with np.errstate(over="ignore"):
        error = np.where(np.isnan(error), np.inf, error * (1 + 1e-6))
        rounded = error.astype(dtype)
        return np.where(rounded < error, np.nextafter(rounded, np.inf, dtype=dtype), rounded)


def answer_error(value: np.ndarray, precision: Precision) -> np.ndarray:
    """How far a value moves that is rounded to a floating type once, at the end."""
    # Below the normal numbers it is half of the smallest; twice that is a number itself.
    return precision.unit * np.abs(value) + 2 * precision.unit * precision.tiny


def _width(program: Program, inputs: Inputs, rows: Axis) -> int:
    """The numbers of the largest array for one row of the first point argument."""
    widths = [1]
    for instruction, shape in zip(program.instructions, inputs.shapes(program), strict=True):
        axes = [*instruction.axes, *([instruction.over] if instruction.over else [])]
        counts = [inputs.count(axis) for axis in axes if axis != rows]
        widths.append(math.prod(counts) * max(shape, default=1))
    return max(widths)


class Analysis:
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

    def make(self, index: int, instruction: Instruction, values: list) -> Known:
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
        return self.checked(function(self, instruction, *operands))

    def exactly(self, value: Any) -> Known:
        value = np.asarray(value, dtype=np.float64)
        return Known(value, np.zeros_like(value), np.abs(value))

    def stored(self, value: Any) -> Known:
        """Inputs, rounded to the precision when the engine reads them."""
        known = self.exactly(value)
        # Numbers below the normal ones may be flushed to zero.
        flushed = np.where(known.size < self.precision.tiny, known.size, 0.0)
        if self.unit <= 2.0**-53:
            return Known(known.value, flushed, known.size)
        error = np.abs(known.value - known.value.astype(np.float32).astype(np.float64))
        return Known(known.value, np.maximum(error, flushed), known.size)

    def checked(self, known: Known) -> Known:
        """Infinite errors where the range of the type is left or nothing is known."""
        value, error = np.broadcast_arrays(known.value, known.error)
        lost = ~np.isfinite(value) | ~(np.abs(value) + 2 * error <= self.precision.huge)
        size = np.maximum(np.abs(value), known.size)
        return Known(
            value, np.where(lost, np.inf, error), np.where(np.isfinite(size), size, np.inf)
        )

    def gamma(self, operations: int) -> float:
        """The relative error of so many rounded operations, with room for the analysis itself."""
        total = (operations + 2) * self.unit
        return 1.01 * total / (1 - total) if total < 0.5 else math.inf

    def weights(self, instruction: Instruction) -> Known:
        assert instruction.over is not None
        return self.stored(self.inputs.measures[instruction.over.owner][1])


def _aligner(use: Any, rank: int, axes: tuple[Axis, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: aligned(array, use, rank, axes)


# ---- leaves, and what only moves numbers


def _constant(run: Analysis, instruction: Instruction) -> Known:
    text = str(instruction.attributes[0])
    value = np.asarray(float(float_constant(text)))
    try:
        exact = Fraction(text) == Fraction(float(value))
    except (ValueError, OverflowError):
        exact = text not in ("pi", "e", "euler", "phi")
    known = run.stored(value)
    return known if exact else Known(value, known.error + run.unit * np.abs(value), known.size)


def _moved(function: Callable[..., np.ndarray]) -> Callable[..., Known]:
    """A rule that rearranges components and rounds nothing."""

    def rule(_: Analysis, instruction: Instruction, *operands: Known) -> Known:
        fields = ("value", "error", "size")
        return Known(
            *(function(instruction, *(getattr(part, f) for part in operands)) for f in fields)
        )

    return rule


def _diagonal(_: Instruction, v: np.ndarray) -> np.ndarray:
    place = np.eye(v.shape[0], dtype=bool)
    return np.where(place.reshape((*place.shape, *(1,) * (v.ndim - 1))), v[None], 0.0)


def _interpreted(op: str) -> Callable[..., np.ndarray]:
    return lambda instruction, *arrays: RULES[op](None, instruction, *arrays)  # pyright: ignore


# ---- sums and products


def _add(run: Analysis, _: Instruction, *terms: Known) -> Known:
    size = reduce(np.add, [term.size + 2 * term.error for term in terms])
    error = reduce(np.add, [term.error for term in terms])
    value = reduce(np.add, [term.value for term in terms])
    if len(terms) <= 2:
        # One rounding, of the sum itself: differences of near numbers are exact.
        return Known(value, error + 1.01 * run.unit * (np.abs(value) + 2 * error), size)
    return Known(value, error + run.gamma(len(terms)) * size, size)


def _mul(run: Analysis, _: Instruction, *factors: Known) -> Known:
    return _multiplied(run, *factors)


def _multiplied(run: Analysis, *factors: Known) -> Known:
    return reduce(lambda a, b: _product(run, a, b, np.multiply, _roundings(a, b)), factors)


def _roundings(a: Known, b: Known) -> int:
    """None for a change of sign."""
    return 0 if any((np.abs(f.value) == 1).all() and not f.error.any() for f in (a, b)) else 1


def _product(
    run: Analysis, a: Known, b: Known, times: Callable[..., np.ndarray], operations: int
) -> Known:
    """Any bilinear product of so many operations a component."""
    size = times(a.size + 2 * a.error, b.size + 2 * b.error)
    error = times(a.reach, b.error) + times(a.error, b.reach)
    rounding = run.gamma(operations) * size * (operations > 0) + operations * run.precision.tiny
    return Known(times(a.value, b.value), error + rounding, size)


def _dot(run: Analysis, _: Instruction, u: Known, v: Known) -> Known:
    # No engine expands a product of differences: only what the components are now counts.
    u, v = (Known(part.value, part.error, np.abs(part.value)) for part in (u, v))
    times = lambda a, b: (a * b).sum(axis=0)  # noqa: E731
    return _product(run, u, v, times, u.value.shape[0] + 1)


def _matvec(run: Analysis, _: Instruction, m: Known, v: Known) -> Known:
    times = lambda a, b: (a * b[None]).sum(axis=1)  # noqa: E731
    return _product(run, m, v, times, m.value.shape[1] + 1)


def _matmul(run: Analysis, _: Instruction, m: Known, n: Known) -> Known:
    times = lambda a, b: (a[:, :, None] * b[None]).sum(axis=1)  # noqa: E731
    return _product(run, m, n, times, m.value.shape[1] + 1)


def _outer(run: Analysis, _: Instruction, u: Known, v: Known) -> Known:
    return _product(run, u, v, lambda a, b: a[:, None] * b[None], 1)


def _trace(run: Analysis, instruction: Instruction, m: Known) -> Known:
    entries = [m.map(lambda array, i=i: array[i, i]) for i in range(m.value.shape[0])]
    return _add(run, instruction, *entries)


# ---- reductions


def _integral(run: Analysis, instruction: Instruction, body: Known) -> Known:
    weights = run.weights(instruction)
    times = lambda a, b: (a * b).sum(axis=-1)  # noqa: E731
    return _product(run, body, weights, times, weights.value.shape[0] + 4)


@dataclass(frozen=True, slots=True)
class _Law:
    """A Gibbs law in double precision, and the errors of its logarithms.

    Computed weights are `p_i exp(e_i)` up to a factor, with `|e_i| <= errors`, and the law carried
    along is off by as much; `worst` is the largest of a row. Atoms whose weight leaves the range of
    the type, of itself or in units of the largest weight, may have any share from none to twice
    their own: `lost` is what they have together.
    """

    weights: np.ndarray
    tilt: np.ndarray
    worst: np.ndarray
    lost: np.ndarray
    log_total: np.ndarray

    @property
    def slack(self) -> np.ndarray:
        """What replaces exact weights by those carried along, and divides by the computed total."""
        return np.exp(3 * self.worst) / np.maximum(1 - self.lost, 0.0) ** 2

    @property
    def is_near(self) -> np.ndarray:
        """Whether the computed law is so near to exact that first-order terms are most."""
        return (self.worst <= _SMALL) & (self.lost <= _SMALL)

    @property
    def is_gone(self) -> np.ndarray:
        """Whether an engine may find no atom at all."""
        return self.worst < 0


def _law(run: Analysis, instruction: Instruction, energy: Known) -> _Law:
    weights = run.weights(instruction).value
    # Not of the quotient, which may vanish.
    logs = np.log(weights) - np.log(weights.max())
    kept = np.minimum(weights, weights / weights.max()) >= run.precision.tiny
    exponents = energy.value + logs
    shift = exponents.max(axis=-1, keepdims=True)
    shift = np.where(np.isneginf(shift), 0.0, shift)
    terms = np.exp(exponents - shift)
    total = terms.sum(axis=-1, keepdims=True)
    ulps = FUNCTION_ULPS * (1 + np.abs(logs)) + 2 * np.abs(exponents) + 2 * np.abs(shift)
    stored = 0.0 if run.unit <= 2.0**-53 else 2 * run.unit
    errors = energy.error + run.unit * (ulps + FUNCTION_ULPS) + stored
    errors = errors + terms.shape[-1] * run.precision.tiny
    errors = np.where(np.isnan(errors) | (terms == 0) & np.isneginf(exponents), 0.0, errors)
    log_total = (shift + np.log(total))[..., 0] + np.log(weights.max())
    p = terms / total
    tilt = np.where(kept, np.expm1(errors), 1.0)
    worst = np.where(kept, errors, -1.0).max(axis=-1, keepdims=True)
    return _Law(p, tilt, worst, _over_atoms(np.where(kept, 0.0, p)), log_total)


def _log_partition(run: Analysis, instruction: Instruction, energy: Known) -> Known:
    law = _law(run, instruction, energy)
    n = law.weights.shape[-1]
    # log sum p_i exp(e_i): at most the largest error, and about their mean.
    mean = np.log1p(law.slack[..., 0] * (law.weights * law.tilt).sum(axis=-1))
    most = (law.worst - np.log1p(-law.lost))[..., 0]
    value = law.log_total
    unit = np.log(run.weights(instruction).value.max())
    operations = 2 * np.abs(value) + 2 * abs(unit) + np.log(n) + 1
    rounding = run.gamma(n) + FUNCTION_ULPS * run.unit * operations
    error = np.where(law.is_gone[..., 0], np.inf, np.fmin(mean, most) + rounding)
    return Known(value, error, np.abs(value))


def _cumulant(run: Analysis, instruction: Instruction, energy: Known, *slots: Known) -> Known:
    law = _law(run, instruction, energy)
    means = [_mean(run, law, slot) for slot in slots]
    if len(slots) == 1:
        return means[0].map(lambda array: array[..., 0])
    gibbs = _Cumulant(run, law, slots, means, energy.value.ndim)
    products = [gibbs.product(blocks) for blocks in central_blocks(len(slots))]
    return _add(run, instruction, *products)


def _mean(run: Analysis, law: _Law, slot: Known) -> Known:
    """`E_p[h]`, with the reduced axis kept.

    Weights off by factors exp(e_i) move it by `sum p_i (exp(e_i) - 1) (h_i - E h)` / their total.
    """
    p = law.weights
    mean = _over_atoms(p * slot.value)
    size, own = _over_atoms(p * slot.size), _over_atoms(p * slot.error)
    spread = _over_atoms(p * law.tilt * np.abs(slot.value - mean))
    unsure = (np.expm1(law.worst) + law.lost) * slot.error.max(axis=-1, keepdims=True)
    rounding = 2 * run.gamma(p.shape[-1] + 4) * size
    # The distance to the exact mean stands on both sides; below _SMALL it is solved for by 1.2.
    error = 1.2 * law.slack * (own + spread + unsure + rounding) + run.precision.tiny
    width = np.ptp(slot.value, axis=-1, keepdims=True)
    hull = width + 4 * slot.error.max(axis=-1, keepdims=True)
    hull = hull + 2 * run.gamma(p.shape[-1] + 4) * slot.size.max(axis=-1, keepdims=True)
    error = np.where(law.is_near, np.fmin(error, hull), hull)
    error = np.where(law.is_gone, np.inf, error)
    return Known(mean, error, np.maximum(size, np.abs(mean)))


def _over_atoms(array: np.ndarray) -> np.ndarray:
    return array.sum(axis=-1, keepdims=True)


class _Cumulant:
    """The central moments of the slots, each with its error."""

    def __init__(self, run: Analysis, law: _Law, slots: tuple, means: list, dimensions: int):
        self.run, self.law, self.slots, self.means = run, law, slots, means
        self.ranks = [slot.value.ndim - dimensions for slot in slots]

    def product(self, blocks: tuple[tuple[int, ...], ...]) -> Known:
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

    def moment(self, block: tuple[int, ...]) -> Known:
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
        tilt = p * law.tilt
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
        error = np.where(law.is_near[..., 0], error, hull)
        error = np.where(law.is_gone[..., 0], np.inf, error)
        return Known(value, error, np.maximum(np.abs(value), outer))


_RULES: Mapping[str, Callable[..., Known]] = {
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
    **FUNCTION_RULES,
    "integral": _integral,
    "log_partition": _log_partition,
    "cumulant": _cumulant,
}
