"""Sums rewritten with squares, which are known not to be negative. Numbers in them are rational."""

from typing import Any

import sympy

from ..symbolic import Dot


def completed(term: sympy.Add) -> Any | None:
    """A sum with its mixed products in squares, None where it has none beside their squares.

    `c <u, v> = |c|/2 (|u + s v|^2 - |u|^2 - |v|^2)` with the sign s of c; likewise for numbers.

    >>> from pushforward.symbolic import Point, dot, norm2
    >>> x, y = Point("x"), Point("y")
    >>> completed(norm2(x) + norm2(y) - 2 * dot(x, y))
    |x - y|^2
    """
    found = []
    for summand in term.args:
        c, product = summand.as_coeff_Mul()
        pair = _mixed(product, term)
        if pair is None:
            found.append(summand)
        else:
            u, v = pair
            half = abs(c) / 2
            mixed = u + sympy.sign(c) * v
            found.extend((half * _square(mixed), -half * _square(u), -half * _square(v)))
    return sympy.Add(*found) if len(found) > len(term.args) else None


def _square(u: Any) -> Any:
    return u**2 if isinstance(u, sympy.Expr) else Dot(u, u)


def _mixed(product: Any, term: sympy.Add) -> tuple | None:
    """The factors of a mixed product, one of whose squares is a summand too."""
    factors = product.args
    if not isinstance(product, (Dot, sympy.Mul)) or len(factors) != 2 or factors[0] == factors[1]:
        return None
    squares = {_square(f) for f in factors}
    beside = {summand.as_coeff_Mul()[1] for summand in term.args}
    return factors if squares & beside else None
