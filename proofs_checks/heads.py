"""Functions of one real variable: where they are continuous, and enclosures of their images."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import sympy
from flint import arb

from ..symbolic.heads import Meaning, RegisteredHead
from .interval import Interval, Unbounded
from .region import ONE, ZERO

Image = Callable[[Interval], Interval]


class Sign(IntEnum):
    """What is known of the sign of a number; greater is more."""

    UNKNOWN = 0
    NONNEGATIVE = 1
    POSITIVE = 2


@dataclass(frozen=True, slots=True)
class Where:
    """Where a function of one real variable is continuous.

    Args:
        holds: whether it is continuous on an interval.
        needs: what that asks for, in words.
        enough: a sign that is enough for it; UNKNOWN where no sign is.
    """

    holds: Callable[[Interval], bool]
    needs: str
    enough: Sign = Sign.UNKNOWN


@dataclass(frozen=True, slots=True)
class Head:
    """A function of one real variable.

    Args:
        image: an enclosure of its image of an interval on which it is continuous.
        where: where it is continuous; None is everywhere.
        anywhere: an enclosure of the image of any interval, for a function with jumps.
    """

    image: Image
    where: Where | None = None
    anywhere: Image | None = None

    def continuous_on(self, interval: Interval) -> bool:
        return self.where is None or self.where.holds(interval)


def _rising(function: Callable[[arb], arb]) -> Image:
    return lambda t: t.increasing(function)


def _falling(function: Callable[[arb], arb]) -> Image:
    return lambda t: t.decreasing(function)


def _within(function: Callable[[arb], arb], limits: Interval) -> Image:
    return lambda t: t.image(function).meet(limits) or limits


_BALANCED = Interval(arb(-1), arb(1))
_COS, _SIN = _within(arb.cos, _BALANCED), _within(arb.sin, _BALANCED)
_NO_ZERO = Where(lambda t: not t.contains_zero, "an argument away from 0", Sign.POSITIVE)
POSITIVE = Where(lambda t: bool(t.lower > 0), "a positive argument", Sign.POSITIVE)
_CLOSED = Where(lambda t: bool(t.lower >= -1 and t.upper <= 1), "an argument in [-1, 1]")
_OPEN = Where(lambda t: bool(t.lower > -1 and t.upper < 1), "an argument inside of (-1, 1)")
_FROM_ONE = Where(lambda t: bool(t.lower >= 1), "an argument of at least 1")
_NO_POLE = Where(lambda t: not _COS(t).contains_zero, "an argument away from the poles")
_NO_PERIOD = Where(lambda t: not _SIN(t).contains_zero, "an argument away from the poles")
_ONE_FLOOR = Where(lambda t: bool(t.lower.floor() == t.upper.floor()), "an argument on one step")
_ONE_CEILING = Where(lambda t: bool(t.lower.ceil() == t.upper.ceil()), "an argument on one step")


def _signs(t: Interval) -> Interval:
    return Interval(t.lower.sgn(), t.upper.sgn())


HEADS: dict[type, Head] = {
    sympy.exp: Head(_rising(arb.exp)),
    sympy.sin: Head(_SIN),
    sympy.cos: Head(_COS),
    sympy.sinc: Head(_within(arb.sinc, _BALANCED)),
    sympy.sinh: Head(_rising(arb.sinh)),
    sympy.cosh: Head(lambda t: abs(t).increasing(arb.cosh)),
    sympy.tanh: Head(_rising(arb.tanh)),
    sympy.sech: Head(lambda t: abs(t).decreasing(arb.sech)),
    sympy.asinh: Head(_rising(arb.asinh)),
    sympy.atan: Head(_rising(arb.atan)),
    sympy.erf: Head(_rising(arb.erf)),
    sympy.erfc: Head(_falling(arb.erfc)),
    sympy.Abs: Head(abs),
    sympy.log: Head(_rising(arb.log), POSITIVE),
    sympy.gamma: Head(lambda t: t.image(arb.gamma), POSITIVE),
    sympy.loggamma: Head(lambda t: t.image(arb.lgamma), POSITIVE),
    sympy.asin: Head(_rising(arb.asin), _CLOSED),
    sympy.acos: Head(_falling(arb.acos), _CLOSED),
    sympy.acosh: Head(_rising(arb.acosh), _FROM_ONE),
    sympy.atanh: Head(_rising(arb.atanh), _OPEN),
    sympy.erfinv: Head(_rising(arb.erfinv), _OPEN),
    sympy.tan: Head(lambda t: _SIN(t) / _COS(t), _NO_POLE),
    sympy.sec: Head(lambda t: _COS(t).reciprocal(), _NO_POLE),
    sympy.cot: Head(lambda t: _COS(t) / _SIN(t), _NO_PERIOD),
    sympy.csc: Head(lambda t: _SIN(t).reciprocal(), _NO_PERIOD),
    sympy.coth: Head(lambda t: t.increasing(arb.tanh).reciprocal(), _NO_ZERO),
    sympy.csch: Head(lambda t: t.increasing(arb.sinh).reciprocal(), _NO_ZERO),
    sympy.sign: Head(_signs, _NO_ZERO, _signs),
    sympy.Heaviside: Head(
        lambda t: ONE if t.lower > 0 else ZERO, _NO_ZERO, lambda t: Interval(arb(0), arb(1))
    ),
    sympy.floor: Head(_rising(arb.floor), _ONE_FLOOR, _rising(arb.floor)),
    sympy.ceiling: Head(_rising(arb.ceil), _ONE_CEILING, _rising(arb.ceil)),
}


def head_of(function: type) -> Head | None:
    """The rule of a function, one of ours or one that the user registered as continuous."""
    if function in HEADS or not issubclass(function, RegisteredHead):
        return HEADS.get(function)
    meaning = function.meaning
    return Head(_registered(meaning)) if meaning.continuous else None


def _registered(meaning: Meaning) -> Image:
    def image(t: Interval) -> Interval:
        if meaning.enclosure is None:
            raise Unbounded(f"{meaning.name} is registered without an enclosure")
        return t.image(meaning.enclosure)

    return image


def power_is_continuous(base: Interval, exponent: Interval) -> bool:
    """Whether `b**e` is continuous in both on these intervals."""
    if base.lower > 0:
        return True
    if not exponent.is_point:
        return False
    if exponent.lower.is_integer():
        return bool(exponent.lower >= 0) or not base.contains_zero
    return bool(exponent.lower > 0 and base.lower >= 0)


def where_power(exponent: Interval) -> Where:
    """Where `b**e` is continuous in the base, for exponents in an interval."""
    if exponent.is_point and exponent.lower > 0:
        needs, enough = "a base that is not negative", Sign.NONNEGATIVE
    elif exponent.is_point and exponent.lower.is_integer():
        needs, enough = "a base away from 0", Sign.POSITIVE
    else:
        needs, enough = "a positive base", Sign.POSITIVE
    return Where(lambda base: power_is_continuous(base, exponent), needs, enough)


def power(base: Interval, exponent: Interval) -> Interval:
    """The range of `b**e` on intervals where it is continuous."""
    if not exponent.is_point:
        return (base.increasing(arb.log) * exponent).increasing(arb.exp)
    e = exponent.lower
    if e.is_integer():
        n = int(e.unique_fmpz() or 0)
        return base.power(n) if n >= 0 else base.power(-n).reciprocal()
    if e == 0.5:
        return base.sqrt()
    return base.increasing(lambda b: b**e) if e > 0 else base.decreasing(lambda b: b**e)
