"""Where the pieces of a `Piecewise` are not seen to meet: there a derivative is not one.

The rules derive a `Piecewise` piece by piece. That is its derivative away from the boundaries of
its conditions, and almost everywhere where the pieces agree there, as for `Max`. Where they jump,
the derivative has a part on the boundary that is no function.
"""

from typing import Any

import sympy
from sympy import And, Expr, Not, Or, Piecewise, S
from sympy.core.relational import Relational

from .products import leaves, pattern, swapped
from .terms import SLOT, BoundPoint, FreshPoint, Point, free_symbols

PLACES = (Point, BoundPoint, FreshPoint)


def jumps(term: Any) -> tuple[Any, ...]:
    """Pairs (l, r): at `l = r` some pieces in a term are not seen to agree.

    >>> from .constructors import component
    >>> t = component(Point("x"), 0)
    >>> jumps(Piecewise((1, t > 0), (0, True)))
    ((x[0], 0),)
    >>> jumps(Piecewise((t, t > 0), (0, True)))
    ()
    """
    found: dict[Any, None] = {}
    seen, pending = set(), [term]
    while pending:
        t = pending.pop()
        if t in seen:
            continue
        seen.add(t)
        pending.extend(reversed(t.args))
        if isinstance(t, Piecewise):
            found |= dict.fromkeys(_of(t))
    return tuple(found)


def speaks_of_places(pair: tuple) -> bool:
    """Whether a boundary moves with a point, or with the variable of an elementwise function."""
    symbols = free_symbols(pair[0]) | free_symbols(pair[1])
    return any(isinstance(a, PLACES) for a in symbols) or any(e.has(SLOT) for e in pair)


def _of(term: Piecewise) -> list[tuple]:
    plain, table = pattern(term, leaves(term))
    back = {dummy: leaf for leaf, dummy in table.items()}
    if not isinstance(plain, Piecewise):
        return []
    pieces = [(p.args[0], p.args[1]) for p in plain.args]
    found = []
    for boundary in dict.fromkeys(r for _, condition in pieces for r in _relations(condition)):
        if not _meet(boundary, pieces):
            found.append((swapped(boundary.lhs, back), swapped(boundary.rhs, back)))
    return found


def _relations(condition: Any) -> list[Relational]:
    if isinstance(condition, Relational):
        return [condition]
    if isinstance(condition, (And, Or, Not)):
        return [r for a in condition.args for r in _relations(a)]
    return []


def _meet(boundary: Any, pieces: list) -> bool:
    """Whether all pieces that may hold beside a boundary, or on it, have one value there."""
    solved = _solved(boundary.lhs - boundary.rhs)
    if solved is None:
        return False
    symbol, place = solved
    first, *others = (
        body.subs(symbol, place) for side in (-1, 0, 1) for body in _beside(pieces, solved, side)
    )
    if not first.is_finite:
        return False
    return all(sympy.simplify(first - other) == 0 for other in others)


def _beside(pieces: list, solved: tuple, side: int) -> list:
    """The pieces that may hold on one side of a boundary, near it, or on it (side 0)."""
    found = []
    for body, condition in pieces:
        holds = _holds(condition, solved, side)
        if holds is not False:
            found.append(body)
        if holds:
            break
    return found


def _holds(condition: Any, solved: tuple, side: int) -> bool | None:
    """Whether a condition holds beside a boundary; None where that is not known."""
    if isinstance(condition, Relational):
        difference: Any = condition.lhs - condition.rhs  # type: ignore[operator]
        return _sign_holds(condition, _sign_beside(difference, solved, side))
    inside = [_holds(a, solved, side) for a in condition.args]
    if isinstance(condition, And):
        return False if False in inside else None if None in inside else True
    if isinstance(condition, Or):
        return True if True in inside else None if None in inside else False
    if isinstance(condition, Not):
        return None if inside[0] is None else not inside[0]
    return {S.true: True, S.false: False}.get(condition)


def _sign_beside(e: Expr, solved: tuple, side: int) -> int | None:
    symbol, place = solved
    value = sympy.expand(e.subs(symbol, place))
    if value == 0:
        slope = e.diff(symbol)
        if slope == 0 or side == 0:
            return 0
        return None if symbol in slope.free_symbols else _sign(side * slope)
    return _sign(value)


def _sign(e: Expr) -> int | None:
    return 1 if e.is_positive else -1 if e.is_negative else None


def _sign_holds(relation: Relational, sign: int | None) -> bool | None:
    if sign is None:
        return None
    return bool(relation.func(sympy.Integer(sign), 0))


def _loose(symbol: Any) -> tuple:
    """Symbols of any sign come first: a replaced one takes what is known of its sign away."""
    return bool(symbol.is_nonnegative), str(symbol)


def _solved(difference: Expr) -> tuple[Any, Expr] | None:
    """A symbol in which a difference is linear, and the value at which it vanishes."""
    for symbol in sorted(difference.free_symbols, key=_loose):
        slope = difference.diff(symbol)
        if symbol not in slope.free_symbols and slope.is_nonzero:
            return symbol, symbol - difference / slope
    return None
