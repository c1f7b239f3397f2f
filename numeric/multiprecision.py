"""The reference interpreter at any precision, on arrays of mpmath numbers."""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np

from .program import Program
from .reference import Arithmetic, Inputs, interpret


def interpret_precisely(
    program: Program, inputs: Inputs, order: tuple[str, ...], digits: int
) -> np.ndarray:
    """The value of a program as an object array of mpmath numbers with so many decimal digits.

    Inputs are taken as exact. Each operation is rounded to the precision, so the error is about
    `10^-digits` times the condition of the term; raise the digits until the answer settles.
    """
    return interpret(program, inputs, order, _arithmetic(digits))


def apart(value: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """How far floating-point values are from mpmath numbers, rounded up.

    >>> float(apart(np.array([0.1]), np.array([mpmath.mpf(1) / 10], dtype=object))[0]) > 0
    True
    """
    distance = np.frompyfunc(lambda v, e: float(abs(mpmath.mpf(float(v)) - e)), 2, 1)
    with np.errstate(invalid="ignore"):
        found = np.asarray(distance(value, exact), dtype=np.float64)
    return np.nextafter(np.where(np.isnan(found), np.inf, found), np.inf)


@lru_cache(maxsize=8)
def _arithmetic(digits: int) -> Arithmetic:
    # A context of our own: the precision of mpmath.mp belongs to the caller.
    context: Any = mpmath.MPContext()
    context.dps = digits
    return Arithmetic(
        array=lambda values: _elementwise(context, context.mpf)(np.asarray(values)),
        constant=lambda text: _constant(context, text),
        functions=_functions(context),
        power=lambda base, q: _elementwise(context, lambda b: context.power(b, _mpf(context, q)))(
            base
        ),
        registered=lambda value: _elementwise(context, lambda t: value(t, context)),
    )


def _mpf(context: Any, number: Fraction) -> Any:
    return context.mpf(number.numerator) / number.denominator


def _constant(context: Any, text: str) -> Any:
    named = {
        "pi": +context.pi,
        "e": +context.e,
        "euler": +context.euler,
        "phi": +context.phi,
        "inf": context.inf,
        "-inf": context.ninf,
        "nan": context.nan,
        "true": True,
        "false": False,
    }
    return named[text] if text in named else _mpf(context, Fraction(text))


def _elementwise(context: Any, function: Callable[..., Any], operands: int = 1) -> Callable:
    """On arrays; poles give infinity, and what is not real gives NaN, as in floating point."""

    def guarded(*values):
        try:
            value = function(*map(_as_number, values))
        except ZeroDivisionError:
            return context.inf
        except ValueError:
            return context.nan
        return context.nan if isinstance(value, context.mpc) else value

    ufunc = np.frompyfunc(guarded, operands, 1)
    return lambda *arrays: np.asarray(ufunc(*arrays), dtype=object)


def _as_number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _functions(context: Any) -> dict[str, Callable]:
    one = context.mpf(1)
    unary = {
        **{name: getattr(context, name) for name in _SAME_NAME},
        "abs": context.fabs,
        "ceiling": context.ceil,
        "sign": context.sign,
        "heaviside": lambda u: (context.sign(u) + 1) / 2,
        "sigmoid": lambda u: one / (one + context.exp(-u)),
        "softplus": lambda u: max(u, 0) + context.log1p(context.exp(-abs(u))),
        "not": lambda u: not u,
    }
    binary = {
        "add": lambda a, b: a + b,
        "mul": lambda a, b: a * b,
        "max": lambda a, b: a if a >= b else b,
        "min": lambda a, b: a if a <= b else b,
        "pow": context.power,
        "atan2": context.atan2,
        "less": lambda a, b: a < b,
        "less_equal": lambda a, b: a <= b,
        "equal": lambda a, b: a == b,
        "and": lambda a, b: bool(a) and bool(b),
        "or": lambda a, b: bool(a) or bool(b),
    }
    return {name: _elementwise(context, f) for name, f in unary.items()} | {
        name: _elementwise(context, f, 2) for name, f in binary.items()
    }


_SAME_NAME = (
    "exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh "
    "erf erfc gamma loggamma digamma floor"
).split()
