"""Scalar functions of one's own: meaning, derivative, code and enclosure in one place.

A registered head is a SymPy function that nothing sees through. It stands wherever `tanh` may
stand, on every engine that has its code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from keyword import iskeyword
from math import inf
from re import sub
from typing import Any

import mpmath
from sympy import Expr, Float, Function

from .canonical import OURS, THEIRS
from .enclosures import steepest


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a registered head is, see `register`."""

    name: str
    value: Callable[[Any, Any], Any]
    derivative: Callable[[Expr], Any]
    numpy: str | None
    c: str | None
    enclosure: Callable[[Any], Any] | None
    continuous: bool
    slope: Callable[[float, float], float] | None = None
    rounding: float | Callable[[float, float], float] | None = None

    def steepest(self, low: float, high: float) -> float:
        """A bound on how steep it is between two numbers; infinite where nothing is known."""
        if self.slope is not None:
            return float(self.slope(low, high))
        return steepest(self.value, self.derivative, low, high) if self.continuous else inf

    def text(self, language: str, argument: str) -> str:
        """The head at an argument, as an expression of "numpy" or "c"."""
        template = {"numpy": self.numpy, "c": self.c}[language]
        if template is None:
            raise ValueError(
                f"no program for {self.name} in {language}; register it with {language}="
            )
        return "(" + sub(r"\bt\b", lambda _: f"({argument})", template) + ")"


class RegisteredHead(Function):
    """A function that `register` made."""

    nargs = 1
    meaning: Meaning

    def fdiff(self, argindex: int = 1) -> Any:
        argument: Any = self.args[0]
        return self.meaning.derivative(argument)

    def _eval_is_extended_real(self) -> bool | None:
        return self.args[0].is_extended_real

    def _eval_evalf(self, prec: int) -> Any:
        inner: Any = self.args[0]
        argument = inner._eval_evalf(prec)
        if argument is None or not argument.is_Float:
            return None
        with mpmath.workprec(prec + 10):
            return Float(self.meaning.value(mpmath.mpf(argument._mpf_), mpmath.mp), precision=prec)

    def __reduce__(self) -> Any:
        return _applied, (type(self).__name__, *self.args)


REGISTERED: dict[str, type[RegisteredHead]] = {}


def _applied(name: str, argument: Any) -> Any:
    if name not in REGISTERED:
        raise ValueError(f"the function {name} is registered in another process; register it here")
    return REGISTERED[name](argument)


def register(
    name: str,
    *,
    value: Callable[[Any, Any], Any],
    derivative: Callable[[Expr], Any],
    numpy: str | None = None,
    c: str | None = None,
    enclosure: Callable[[Any], Any] | None = None,
    continuous: bool = False,
    slope: Callable[[float, float], float] | None = None,
    rounding: float | Callable[[float, float], float] | None = None,
) -> Any:
    """A scalar function of one real variable, to use in terms like those of SymPy.

    Args:
        name: an identifier that is no name of ours or of a function known here.
        value: what it means, from a number t and an mpmath context: the engines "reference" (in
            floating point) and "mpmath" (at any precision) call it.
        derivative: its derivative, from a scalar term to a scalar term; it may use the head itself.
        numpy: a Python expression in `t` and the array library `np`, for the engine "numpy" and
            for `code`.
        c: an expression of C in `t`, for the engine "native" and for `code`.
        enclosure: from a ball `t` of python-flint (`arb`) to one that encloses the image of t.
        continuous: whether it is continuous on the whole line. Proofs refuse a head that is not,
            and name it.
        slope: from two numbers to a bound on the absolute derivative between them; by default that
            of `derivative` in interval arithmetic, where it is continuous.
        rounding: how far the code of every engine may be off at an argument without error, in units
            of rounding (`eps / 2` of the floating type): a number, times the value, or a function
            that gives for two numbers what holds between them, absolute. Without it the bounds of
            `evaluate` are infinite, and name the head.

    Returns:
        The SymPy function.

    Raises:
        ValueError: the name is no identifier, or taken.

    >>> from .constructors import dot
    >>> from .terms import Point
    >>> cubic = register("cubic", value=lambda t, mp: t**3, derivative=lambda t: 3 * t**2,
    ...                  numpy="t**3", c="t * t * t", continuous=True)
    >>> x, y = Point("x"), Point("y")
    >>> cubic(dot(x, y))
    cubic(<x, y>)
    >>> from .gateaux import Along, gateaux
    >>> gateaux(cubic(dot(x, y)), Along(x, y))
    3*<x, y>**2*<y, y>
    """
    if not (name.isidentifier() and name.isascii()) or iskeyword(name):
        raise ValueError(f"the name of a function is an identifier, got {name!r}")
    if name in REGISTERED or name in OURS or name in THEIRS:
        raise ValueError(f"the name {name} is taken; take another")
    meaning = Meaning(name, value, derivative, numpy, c, enclosure, continuous, slope, rounding)
    head = type(name, (RegisteredHead,), {"meaning": meaning, "__doc__": f"The function {name}."})
    REGISTERED[name] = THEIRS[name] = head
    return head
