"""The rounding errors of scalar functions: how far errors of the arguments reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from .program import UNARY, Instruction, Program
from .reference import FLOAT64
from .registered import FUNCTIONS

if TYPE_CHECKING:
    from .rounding import Analysis

FUNCTION_ULPS = 16
"""Engines evaluate exp, log, ... to a relative error of this many units."""


@dataclass(frozen=True, slots=True)
class Known:
    """A value in double precision, how far a computed one is from exact, and its size."""

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray

    @property
    def reach(self) -> np.ndarray:
        """A bound on the absolute value, exact or computed."""
        return np.abs(self.value) + 2 * self.error

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Known:
        return Known(function(self.value), function(self.error), function(self.size))


def function(run: Analysis, instruction: Instruction, *operands: Known) -> Known:
    """A function with a rule for its slope: `slope(low, high)` bounds it between two arguments."""
    slope = _SLOPES.get(instruction.op)
    if slope is None or len(operands) != 1:
        value = _plain(instruction, *(part.value for part in operands))
        return Known(value, np.full(np.shape(value), np.inf), np.abs(value))
    (a,) = operands
    low, high = a.value - 2 * a.error, a.value + 2 * a.error
    value = _plain(instruction, a.value)
    error = np.where(a.error == 0, 0.0, slope(low, high) * a.error)
    rounding = FUNCTION_ULPS * run.unit * (np.abs(value) + error) + run.precision.tiny
    return Known(value, error + rounding, np.abs(value))


def _plain(instruction: Instruction, *values: np.ndarray) -> np.ndarray:
    function = FLOAT64.functions[instruction.op]
    return np.asarray(reduce(function, values) if len(values) > 1 else function(*values))


def step(run: Analysis, instruction: Instruction, a: Known) -> Known:
    """Piecewise constant: exact unless a jump is within reach."""
    low = _plain(instruction, a.value - 2 * a.error)
    high = _plain(instruction, a.value + 2 * a.error)
    value = _plain(instruction, a.value)
    return Known(value, np.maximum(np.abs(high - value), np.abs(low - value)), np.abs(value))


def extreme(run: Analysis, instruction: Instruction, *terms: Known) -> Known:
    error = reduce(np.maximum, [term.error for term in terms])
    value = _plain(instruction, *(term.value for term in terms))
    return Known(value, error, np.abs(value))


def registered(run: Analysis, instruction: Instruction, a: Known) -> Known:
    """A function of the user, by a bound on its slope and what is said of its code."""
    f = FUNCTIONS[str(instruction.attributes[0])]
    value = np.asarray(FLOAT64.registered(f.value)(a.value))
    low, high = a.value - 2 * a.error, a.value + 2 * a.error
    moved, exact = np.zeros(value.shape), np.broadcast_to(a.error == 0, value.shape)
    if not exact.all():
        slope = _between(f.slope, low, high) if f.slope else np.inf
        moved = np.where(exact, 0.0, slope * a.error)
    if callable(f.rounding):
        units = _between(f.rounding, low, high)
    else:
        units = np.inf if f.rounding is None else f.rounding * (np.abs(value) + moved)
    return Known(value, moved + units * run.unit + run.precision.tiny, np.abs(value))


_MOST_INTERVALS = 64


def _between(
    bound: Callable[[float, float], float], low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """A bound over an interval for each pair of ends: for many pairs, over hulls of those near."""
    ends = np.stack([np.ravel(low), np.ravel(high)])
    found = np.full(ends.shape[1], np.inf)
    finite = np.flatnonzero(np.isfinite(ends).all(axis=0))
    order = finite[np.argsort(ends[0, finite], kind="stable")]
    for group in np.array_split(order, max(1, min(_MOST_INTERVALS, order.size))):
        if group.size:
            found[group] = bound(float(ends[0, group].min()), float(ends[1, group].max()))
    return np.where(found >= 0, found, np.inf).reshape(np.shape(low))


def unknown(program: Program) -> tuple[str, ...]:
    """The functions in a program of whose rounding nothing is known: their bounds are infinite."""
    names = {
        instruction.op if instruction.op != "registered" else str(instruction.attributes[0])
        for instruction in (program.instructions[index] for index in program.needed())
        if instruction.op in UNARY
    }
    silent = {name for name, f in FUNCTIONS.items() if f.rounding is None}
    return tuple(sorted(names & silent | names & {*UNARY} - {*_SLOPES} - {*FUNCTION_RULES}))


def power(run: Analysis, instruction: Instruction, a: Known) -> Known:
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
    ulps = (FUNCTION_ULPS + abs(q)) * (through_log if exponent.denominator > 2 else 1)
    rounding = ulps * run.unit * (np.abs(value) + error) + run.precision.tiny
    return Known(value, error + rounding, np.abs(value))


def pow_(run: Analysis, instruction: Instruction, a: Known, b: Known) -> Known:
    """`a^b = exp(b log a)` for positive a."""
    value = _plain(instruction, a.value, b.value)
    near = a.value - 2 * a.error
    logarithm = np.maximum(np.abs(np.log(near)), np.abs(np.log(a.reach)))
    relative = b.error * logarithm + b.reach * a.error / near
    relative = relative + FUNCTION_ULPS * run.unit * (1 + b.reach * logarithm)
    error = np.where(near > 0, np.abs(value) * np.expm1(2 * relative), np.inf)
    return Known(value, error + run.precision.tiny, np.abs(value))


def atan2(run: Analysis, instruction: Instruction, y: Known, x: Known) -> Known:
    value = _plain(instruction, y.value, x.value)
    reach = y.error + x.error
    away = np.hypot(y.value, x.value) - 2 * reach
    error = np.where(reach == 0, 0.0, np.where(away > 0, reach / away, np.inf))
    # Where x is negative and y passes zero the angle jumps.
    jumps = (x.value - 2 * x.error < 0) & (np.abs(y.value) <= 2 * y.error) & (y.error > 0)
    error = np.where(jumps, 2 * math.pi, error) + FUNCTION_ULPS * run.unit * np.abs(value)
    return Known(value, error, np.abs(value))


def compare(run: Analysis, instruction: Instruction, a: Known, b: Known) -> Known:
    """True or false; the error is one where rounding can decide."""
    value = _plain(instruction, a.value, b.value)
    reach = a.error + b.error
    open_ = (reach > 0) & (np.abs(a.value - b.value) <= 2 * reach)
    return Known(value.astype(float), open_.astype(float), np.ones(value.shape))


def logic(run: Analysis, instruction: Instruction, *operands: Known) -> Known:
    value = _plain(instruction, *(part.value for part in operands)).astype(float)
    error = reduce(np.maximum, [part.error for part in operands])
    return Known(value, error, np.ones(value.shape))


def select(run: Analysis, instruction: Instruction, *operands: Known) -> Known:
    result = operands[-1]
    for k in range(len(operands) - 3, -1, -2):
        condition, choice = operands[k], operands[k + 1]
        holds = condition.value.astype(bool)
        either = np.abs(choice.value - result.value) + choice.error + result.error
        error = np.where(holds, choice.error, result.error)
        result = Known(
            np.where(holds, choice.value, result.value),
            np.where(condition.error > 0, either, error),
            np.maximum(choice.size, result.size)
            if (condition.error > 0).any()
            else np.where(holds, choice.size, result.size),
        )
    return result


FUNCTION_RULES: Mapping[str, Callable[..., Known]] = {
    **dict.fromkeys(("sign", "heaviside", "floor", "ceiling"), step),
    **dict.fromkeys(("max", "min"), extreme),
    **dict.fromkeys(("less", "less_equal", "equal"), compare),
    **dict.fromkeys(("and", "or", "not"), logic),
    "power": power,
    "registered": registered,
    "pow": pow_,
    "atan2": atan2,
    "select": select,
}


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
