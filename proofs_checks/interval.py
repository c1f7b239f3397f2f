"""Intervals with exact ends: all rounding is directed, by Arb.

An Arb ball has a midpoint and a radius of 30 bits, so a wide ball cannot say that it stays above
zero. An `Interval` keeps both ends as exact numbers; each operation computes its ends with Arb and
rounds outwards. The result encloses the image of the intervals, for any arguments.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flint import arb, ctx, fmpq

PRECISION = 128  # bits: products of two double precision numbers are exact


def rigorous(function: Callable) -> Callable:
    """The function with Arb at the precision of this part, whatever the caller has set."""

    @wraps(function)
    def at_precision(*args: Any, **kwargs: Any) -> Any:
        with ctx.workprec(PRECISION):
            return function(*args, **kwargs)

    return at_precision


class Unbounded(ArithmeticError):
    """An operation has no finite enclosure on these intervals."""


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """The real numbers between two finite ends, ends included.

    Args:
        lower, upper: exact finite Arb numbers, `lower <= upper`.

    >>> third = Interval.number(1) / Interval.number(3)
    >>> third.lower < third.upper, str(third)
    (True, '[0.333333, 0.333334]')
    """

    lower: arb
    upper: arb

    @classmethod
    def number(cls, value: Any) -> "Interval":
        """A float, an integer or a rational number, exactly or by its two neighbours."""
        if isinstance(value, (arb, fmpq, int)):
            return enclosing(arb(value))
        return enclosing(arb(fmpq(*value.as_integer_ratio())))

    @classmethod
    def between(cls, lower: "Interval", upper: "Interval") -> "Interval":
        """From the lower end of one to the upper end of another."""
        return cls(lower.lower, upper.upper)

    def __add__(self, other: "Interval") -> "Interval":
        return _rounded([self.lower + other.lower], [self.upper + other.upper])

    def __neg__(self) -> "Interval":
        return Interval(-self.upper, -self.lower)

    def __sub__(self, other: "Interval") -> "Interval":
        return self + -other

    def __mul__(self, other: "Interval") -> "Interval":
        products = [a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)]
        return _rounded(products, products)

    def __truediv__(self, other: "Interval") -> "Interval":
        return self * other.reciprocal()

    def reciprocal(self) -> "Interval":
        """`1/t`; the interval must not contain zero."""
        if self.contains_zero:
            raise Unbounded(f"1/t for t in {self}")
        return _rounded([1 / self.upper], [1 / self.lower])

    def __abs__(self) -> "Interval":
        if not self.contains_zero:
            return self if self.lower > 0 else -self
        return Interval(arb(0), max(-self.lower, self.upper))

    def power(self, n: int) -> "Interval":
        """`t**n` for an integer `n >= 0`."""
        base = abs(self) if n % 2 == 0 else self
        return _rounded([base.lower**n], [base.upper**n])

    def sqrt(self) -> "Interval":
        """The square root; the interval must not reach below zero."""
        if self.lower < 0:
            raise Unbounded(f"the square root on {self}")
        return self.increasing(arb.sqrt)

    def increasing(self, function: Callable[[arb], arb]) -> "Interval":
        """The image under a function that does not decrease."""
        return _rounded([function(self.lower)], [function(self.upper)])

    def decreasing(self, function: Callable[[arb], arb]) -> "Interval":
        """The image under a function that does not increase."""
        return _rounded([function(self.upper)], [function(self.lower)])

    def image(self, function: Callable[[arb], arb]) -> "Interval":
        """The image under any function that Arb evaluates on balls."""
        return enclosing(function(self.ball))

    def meet(self, other: "Interval") -> "Interval | None":
        """What both have in common, None where they are disjoint."""
        lower, upper = max(self.lower, other.lower), min(self.upper, other.upper)
        return Interval(lower, upper) if lower <= upper else None

    def halves(self) -> tuple["Interval", "Interval"]:
        """Two intervals that cover this one."""
        middle = ((self.lower + self.upper) / 2).mid()
        return Interval(self.lower, middle), Interval(middle, self.upper)

    @property
    def ball(self) -> arb:
        """An Arb ball around the interval."""
        return self.lower.union(self.upper)

    @property
    def middle(self) -> arb:
        """An exact number near the middle."""
        return ((self.lower + self.upper) / 2).mid()

    @property
    def radius(self) -> arb:
        """An exact bound of the distance from `middle`."""
        middle = self.middle
        return max((self.upper - middle).upper(), (middle - self.lower).upper())

    @property
    def width(self) -> arb:
        """An exact bound of the length."""
        return (self.upper - self.lower).upper()

    @property
    def size(self) -> arb:
        """The largest absolute value."""
        return max(abs(self.lower), abs(self.upper))

    @property
    def contains_zero(self) -> bool:
        return bool(self.lower <= 0 <= self.upper)

    @property
    def is_point(self) -> bool:
        return bool(self.lower == self.upper)

    def contains(self, value: Any) -> bool:
        """Whether a float or rational number lies in the interval."""
        other = Interval.number(value)
        return bool(self.lower <= other.lower and other.upper <= self.upper)

    def __str__(self) -> str:
        """Six digits of the ends, rounded outwards."""
        return f"[{_digits(self.lower, -1)}, {_digits(self.upper, +1)}]"


def enclosing(ball: arb) -> Interval:
    """The interval of a ball."""
    return _rounded([ball], [ball])


def hull(intervals: Iterable[Interval]) -> Interval:
    """The smallest interval around some."""
    several = tuple(intervals)
    return Interval(min(i.lower for i in several), max(i.upper for i in several))


def total(intervals: Iterable[Interval]) -> Interval:
    """The sum of intervals, rounded once."""
    several = tuple(intervals)
    return _rounded(
        [sum((i.lower for i in several), arb(0))], [sum((i.upper for i in several), arb(0))]
    )


def symmetric(size: arb) -> Interval:
    """From `-size` to `size`."""
    upper = size.upper()
    return Interval(-upper, upper)


def _rounded(lower: list[arb], upper: list[arb]) -> Interval:
    low, high = min(b.lower() for b in lower), max(b.upper() for b in upper)
    if not (low.is_finite() and high.is_finite()):
        raise Unbounded("the enclosure is not finite")
    return Interval(low, high)


def _digits(end: arb, direction: int) -> str:
    value = float(end)
    text = f"{value:.6g}"
    exact = arb(fmpq(*float(text).as_integer_ratio())) if abs(value) < 1e308 else end
    if (exact - end) * direction >= 0:
        return text
    unit = 10.0 ** (_exponent(value) - 5)
    return f"{value + direction * unit:.6g}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])
