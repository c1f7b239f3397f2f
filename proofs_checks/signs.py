"""Signs that the form of a scalar term shows, without numbers for what is inside.

The pass is far cheaper than an enclosure: a squared norm is not negative, whatever the vector. It
speaks of terms that are known to be continuous, so that an average of what is positive on a compact
set is positive.
"""

from functools import singledispatch
from typing import Any

import sympy

from ..symbolic import Cumulant, Dimension, Dot, Integral, Scalar
from .enclosure import inside
from .heads import Sign
from .scope import Scope


def sign(term: Any, scope: Scope) -> Sign:
    """The sign that the form of a continuous scalar term shows."""
    return scope.remembered(_sign, term)


@singledispatch
def _sign(term: Any, scope: Scope) -> Sign:
    return Sign.UNKNOWN


@_sign.register(sympy.Number)
@_sign.register(sympy.NumberSymbol)
def _(term: Any, scope: Scope) -> Sign:
    if term.is_positive:
        return Sign.POSITIVE
    return Sign.NONNEGATIVE if term.is_zero else Sign.UNKNOWN


@_sign.register(Scalar)
def _(term: Any, scope: Scope) -> Sign:
    lower = scope.parameters[term].range.lower
    return Sign.POSITIVE if lower > 0 else Sign.NONNEGATIVE if lower >= 0 else Sign.UNKNOWN


@_sign.register(Dot)
def _(term: Any, scope: Scope) -> Sign:
    return Sign.NONNEGATIVE if term.args[0] == term.args[1] else Sign.UNKNOWN


@_sign.register(Dimension)
@_sign.register(sympy.exp)
@_sign.register(sympy.cosh)
@_sign.register(sympy.sech)
def _(term: Any, scope: Scope) -> Sign:
    return Sign.POSITIVE


@_sign.register(sympy.Abs)
def _(term: Any, scope: Scope) -> Sign:
    return max(Sign.NONNEGATIVE, sign(term.args[0], scope))


@_sign.register(sympy.Add)
def _(term: Any, scope: Scope) -> Sign:
    signs = [sign(a, scope) for a in term.args]
    return max(signs) if min(signs) > Sign.UNKNOWN else Sign.UNKNOWN


@_sign.register(sympy.Mul)
@_sign.register(sympy.Min)
def _(term: Any, scope: Scope) -> Sign:
    return min(sign(a, scope) for a in term.args)


@_sign.register(sympy.Max)
def _(term: Any, scope: Scope) -> Sign:
    return max(sign(a, scope) for a in term.args)


@_sign.register(sympy.Pow)
def _(term: Any, scope: Scope) -> Sign:
    base, exponent = term.args
    found = sign(base, scope)
    even = isinstance(exponent, sympy.Integer) and exponent % 2 == 0
    return max(found, Sign.NONNEGATIVE) if even else found


@_sign.register(Integral)
@_sign.register(Cumulant)
def _(term: Any, scope: Scope) -> Sign:
    slots = term.slots if isinstance(term, Cumulant) else term.parts
    if len(slots) == 1:
        return sign(slots[0], inside(term, scope))
    variance = len(slots) == 2 and slots[0] == slots[1]
    return Sign.NONNEGATIVE if variance else Sign.UNKNOWN
