"""Terms that are linear in averages against one law, as averages of one integrand.

`c + <x, E[y]>` is `E[c + <x, y>]`: the integrand knows more than its parts. So does the variance
`E|y|^2 - |E y|^2`, which is never negative. Numbers in these terms are rational.
"""

from functools import singledispatch
from typing import Any

import sympy
from sympy import S

from ..symbolic import (
    Block,
    Component,
    Cumulant,
    Dot,
    FreshPoint,
    Integral,
    MatVec,
    Scaled,
    VectorSum,
)
from ..symbolic.terms import height

# A law is a measure with an energy, or None for the measure itself; None alone is no law.
Law = Any
Parts = dict[Law, Any]


def averages(term: Any, y: FreshPoint) -> Parts:
    """Integrands `h` at y for each law, and a rest for None: `term = rest + sum E_law[h]`.

    The measures have mass one. Without averages on which the term depends linearly all is rest.

    >>> from pushforward.symbolic import Measure, Point, dot, integral
    >>> x, w, mu = Point("x"), Point("w"), Measure("mu")
    >>> y = FreshPoint()
    >>> found = averages(3 + dot(x, integral(w, w, mu)), y)
    >>> found[None], found[mu, None] == dot(x, y)
    (3, True)
    """
    return _parts(term, y) if height(term) else {None: term}


@singledispatch
def _parts(term: Any, y: FreshPoint) -> Parts:
    return {None: term}


@_parts.register(Integral)
def _(term: Any, y: FreshPoint) -> Parts:
    if term.parts[0] is S.One:
        return {None: S.One}
    return {(term.measure, None): term.at(y)}


@_parts.register(Cumulant)
def _(term: Any, y: FreshPoint) -> Parts:
    (first, *others), energy = term.at(y)
    return {None: term} if others else {(term.measure, energy): first}


@_parts.register(sympy.Add)
@_parts.register(VectorSum)
def _(term: Any, y: FreshPoint) -> Parts:
    found: Parts = {}
    for summand in term.args:
        for law, h in averages(summand, y).items():
            found[law] = found[law] + h if law in found else h
    return found


@_parts.register(sympy.Mul)
@_parts.register(Scaled)
@_parts.register(MatVec)
@_parts.register(Dot)
def _(term: Any, y: FreshPoint) -> Parts:
    split = [averages(a, y) for a in term.args]
    linear = [i for i, parts in enumerate(split) if parts.keys() != {None}]
    if len(linear) != 1:
        return {None: term}
    return _through(term, linear[0], split[linear[0]])


@_parts.register(Component)
@_parts.register(Block)
def _(term: Any, y: FreshPoint) -> Parts:
    return _through(term, 0, averages(term.args[0], y))


def _through(term: Any, i: int, parts: Parts) -> Parts:
    """The parts of a head that is linear in its arg i."""
    before, after = term.args[:i], term.args[i + 1 :]
    return {law: term.func(*before, h, *after) for law, h in parts.items()}


def one_average(term: Any, y: FreshPoint) -> tuple[Any, Law] | None:
    """A term as the average of one integrand at y: (integrand, law), or None where it is not."""
    parts = averages(term, y)
    rest = parts.pop(None, None)
    if len(parts) != 1:
        return None
    ((law, h),) = parts.items()
    return (h if rest is None else h + rest), law


def average(h: Any, y: FreshPoint, law: Law) -> Any:
    """The average of an integrand at y."""
    measure, energy = law
    return Integral(h, y, measure) if energy is None else Cumulant((h,), y, measure, energy)


def variance(term: Any) -> tuple[Any, Any, Any, FreshPoint, Law] | None:
    """A sum as `rest + c Var(h)`: (rest, c, h at y, y, law), where `rest` has fewer summands.

    It looks for `-c |E[h]|^2` beside `c E[|h|^2]`, with a number c > 0.
    """
    for summand in term.args:
        c, square = summand.as_coeff_Mul()
        root = _root(square)
        if not c.is_negative or root is None or not height(root):
            continue
        y = FreshPoint()
        found = one_average(root, y)
        if found is not None:
            h, law = found
            mean_square = average(h**2 if isinstance(h, sympy.Expr) else Dot(h, h), y, law)
            rest = term - c * square + c * mean_square
            if len(sympy.Add.make_args(rest)) < len(term.args):
                return rest, -c, h, y, law
    return None


def _root(square: Any) -> Any:
    if isinstance(square, Dot) and square.args[0] == square.args[1]:
        return square.args[0]
    return square.base if isinstance(square, sympy.Pow) and square.exp == 2 else None
