"""How steep a registered function is between two numbers, from its derivative on intervals.

The registered derivative is evaluated in interval arithmetic, and the function itself where it
occurs in it by the code that says what it means. What an interval does not decide, such as a
comparison, or has no rule for, leaves the slope unknown: infinite.

Source: Moore, Kearfott & Cloud (2009), Introduction to Interval Analysis, chapters 5 and 6.
"""

import math
import operator
from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any

import mpmath
import sympy as sp

_FAILURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Undecided(ArithmeticError):
    """A question to which an interval has no answer."""


def steepest(
    value: Callable[[Any, Any], Any], derivative: Callable[[Any], Any], low: float, high: float
) -> float:
    """A bound on the absolute derivative between two numbers; infinite where none is found.

    Args:
        value: the function, from a number and an mpmath context.
        derivative: its derivative, from a scalar term to a scalar term.
        low, high: the ends.

    >>> steepest(lambda t, mp: t**3, lambda t: 3 * t**2, -1.0, 2.0)
    12.000000000012001
    >>> steepest(lambda t, mp: abs(t), sp.sign, -1.0, 2.0)
    1.000000000001
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return math.inf
    try:
        t, term = _term(derivative)
        found = _enclosed(term, {t: Enclosure.between(low, high)}, value)
        size = float(abs(found.ball).b)
    except _FAILURES:
        return math.inf
    return size * (1 + 1e-12) if size >= 0 else math.inf


@lru_cache(maxsize=256)
def _term(derivative: Callable[[Any], Any]) -> tuple[Any, Any]:
    t = sp.Dummy("t", real=True)
    return t, sp.sympify(derivative(t))


class Enclosure:
    """An interval that takes part in the arithmetic of numbers.

    A comparison that holds for some of its numbers and not for others raises `Undecided`; the
    intervals of mpmath answer None there, which a branch takes for false.
    """

    __slots__ = ("ball",)

    def __init__(self, ball: Any):
        self.ball = ball

    @classmethod
    def between(cls, low: Any, high: Any) -> "Enclosure":
        return cls(mpmath.iv.mpf([low, high]))  # pyright: ignore[reportArgumentType]

    @classmethod
    def of(cls, number: Any) -> "Enclosure":
        if isinstance(number, Enclosure):
            return number
        if isinstance(number, (int, float, str, mpmath.mpf)):
            return cls(mpmath.iv.mpf(number))
        return cls(mpmath.iv.convert(number))

    def hull(self, other: "Enclosure") -> "Enclosure":
        low, high = min(self.ball.a, other.ball.a), max(self.ball.b, other.ball.b)
        return Enclosure.between(low, high)

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __abs__(self) -> "Enclosure":
        return Enclosure(abs(self.ball))

    def __neg__(self) -> "Enclosure":
        return Enclosure(-self.ball)

    def __pow__(self, power: Any) -> "Enclosure":
        if isinstance(power, int):
            return Enclosure(self.ball**power)
        return _FUNCTIONS["exp"](Enclosure.of(power) * _FUNCTIONS["log"](self))  # pyright: ignore

    def __rpow__(self, base: Any) -> "Enclosure":
        return Enclosure.of(base) ** self

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def _arithmetic(name: str) -> None:
    function = getattr(operator, name)
    way = lambda a, b: Enclosure(function(Enclosure.of(a).ball, Enclosure.of(b).ball))  # noqa: E731
    setattr(Enclosure, f"__{name}__", way)
    setattr(Enclosure, f"__r{name}__", lambda a, b: way(b, a))


def _comparison(name: str) -> None:
    function = getattr(operator, name)

    def compare(a: Enclosure, b: Any) -> bool:
        holds = function(a.ball, Enclosure.of(b).ball)
        if holds is None:
            raise Undecided(f"{name} of {a.ball}")
        return bool(holds)

    setattr(Enclosure, f"__{name}__", compare)


for _name in ("add", "sub", "mul", "truediv"):
    _arithmetic(_name)
for _name in ("lt", "le", "gt", "ge"):
    _comparison(_name)


def _equal(a: Enclosure, b: Any) -> bool:
    """Equal, where both are one number; different, where they have none in common."""
    other = Enclosure.of(b).ball
    if a.ball.b < other.a or other.b < a.ball.a:
        return False
    if a.ball.delta == 0 and other.delta == 0:
        return True
    raise Undecided(f"equality of {a.ball}")


Enclosure.__eq__ = _equal  # pyright: ignore[reportAttributeAccessIssue]


def _monotone(name: str) -> Callable[[Any], Enclosure]:
    """A monotone function by its values at the ends, to more digits and widened."""
    function = getattr(mpmath, name)

    def image(t: Any) -> Enclosure:
        ball = Enclosure.of(t).ball
        with mpmath.workprec(90):
            ends = [function(mpmath.mpf(end)) for end in (ball.a, ball.b)]
            if not all(isinstance(end, mpmath.mpf) for end in ends):
                raise Undecided(f"{name} of {ball}")  # beyond its domain it is complex
            low, high = sorted(ends)
            wide = mpmath.mpf(2) ** -50 * (abs(low) + abs(high))
            return Enclosure.between(low - wide, high + wide)

    return image


def _of_intervals(name: str) -> Callable[[Any], Enclosure]:
    return lambda t: Enclosure(getattr(mpmath.iv, name)(Enclosure.of(t).ball))


def _cosh(t: Any) -> Enclosure:
    return (_FUNCTIONS["exp"](t) + _FUNCTIONS["exp"](-Enclosure.of(t))) / 2  # pyright: ignore


def _sign(t: Any) -> Enclosure:
    ball = Enclosure.of(t).ball
    at = lambda end: (end > 0) - (end < 0)  # noqa: E731
    return Enclosure.between(at(ball.a), at(ball.b))


_FUNCTIONS: dict[str, Callable[[Any], Enclosure]] = {
    **{name: _of_intervals(name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan")},
    **{name: _monotone(name) for name in ("sinh", "tanh", "asin", "acos", "atan")},
    **{name: _monotone(name) for name in ("asinh", "acosh", "atanh", "erf", "erfc")},
    "cosh": _cosh,
    "sign": _sign,
    "Abs": abs,
    "Heaviside": lambda t: Enclosure((_sign(t).ball + 1) / 2),
}


class _Context:
    """What the code of a function finds under the names of mpmath."""

    ln = staticmethod(_FUNCTIONS["log"])
    fabs = staticmethod(abs)
    mpf = staticmethod(Enclosure.of)

    def __getattr__(self, name: str) -> Any:
        if name in ("pi", "e"):
            return Enclosure(+getattr(mpmath.iv, name))
        if name in _FUNCTIONS:
            return _FUNCTIONS[name]
        raise AttributeError(f"no {name} of an interval")


_CONTEXT = _Context()


def _enclosed(term: Any, known: dict[Any, Enclosure], value: Callable[[Any, Any], Any]) -> Any:
    """A scalar term on an interval, with the function itself by `value`."""
    inside = lambda part: _enclosed(part, known, value)  # noqa: E731
    if term in known:
        return known[term]
    if term.is_Rational:
        return Enclosure.of(int(term.p)) / Enclosure.of(int(term.q))  # pyright: ignore
    if term.is_Float:
        return Enclosure.of(mpmath.mpf(term._mpf_))
    if term in (sp.pi, sp.E):
        return getattr(_CONTEXT, "pi" if term is sp.pi else "e")
    if isinstance(term, (sp.Add, sp.Mul)):
        together = operator.add if isinstance(term, sp.Add) else operator.mul
        return reduce(together, map(inside, term.args))
    if isinstance(term, sp.exp):
        return _FUNCTIONS["exp"](inside(term.args[0]))
    if isinstance(term, sp.Pow):
        return _power(inside(term.base), term.exp, inside)
    if isinstance(term, sp.Piecewise):
        return _pieces(term, known, value)
    if isinstance(term, (sp.Max, sp.Min)):
        return reduce(_largest if isinstance(term, sp.Max) else _least, map(inside, term.args))
    if getattr(type(term), "meaning", None) is not None:
        if type(term).meaning.value is not value:
            raise Undecided(f"another registered function, {type(term).__name__}")
        return Enclosure.of(value(inside(term.args[0]), _CONTEXT))
    if type(term).__name__ in _FUNCTIONS and len(term.args) >= 1:
        return _FUNCTIONS[type(term).__name__](inside(term.args[0]))
    raise Undecided(f"{type(term).__name__} of an interval")


def _power(base: Enclosure, exponent: Any, inside: Callable[[Any], Any]) -> Enclosure:
    if exponent.is_Integer:
        return base ** int(exponent)
    if exponent.is_Rational and exponent.q == 2:
        return _FUNCTIONS["sqrt"](base) ** int(exponent.p)
    return base ** inside(exponent)


def _pieces(term: Any, known: dict[Any, Enclosure], value: Callable[[Any, Any], Any]) -> Enclosure:
    """The hull of all pieces whose condition may hold."""
    found: Enclosure | None = None
    for piece, condition in term.args:
        holds = _holds(condition, known, value)
        if holds is False:
            continue
        image = _enclosed(piece, known, value)
        found = image if found is None else found.hull(image)
        if holds:
            break
    if found is None:
        raise Undecided("no piece that holds")
    return found


def _holds(condition: Any, known: dict[Any, Enclosure], value: Any) -> bool | None:
    """Whether a condition holds for all numbers, for none, or None."""
    if condition in (sp.true, sp.false):
        return bool(condition)
    if not isinstance(condition, (sp.Lt, sp.Le, sp.Gt, sp.Ge)):
        return None
    left, right = (_enclosed(part, known, value) for part in (condition.lhs, condition.rhs))
    compare = {sp.Lt: "lt", sp.Le: "le", sp.Gt: "gt", sp.Ge: "ge"}[type(condition)]  # pyright: ignore
    try:
        return getattr(operator, compare)(left, right)
    except Undecided:
        return None


def _largest(a: Enclosure, b: Enclosure) -> Enclosure:
    return Enclosure.between(max(a.ball.a, b.ball.a), max(a.ball.b, b.ball.b))


def _least(a: Enclosure, b: Enclosure) -> Enclosure:
    return Enclosure.between(min(a.ball.a, b.ball.a), min(a.ball.b, b.ball.b))
