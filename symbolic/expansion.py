"""Products multiplied out, to recognise that a term vanishes.

Constructors fold little, so `c (x - y) + c (y - x)` stays. `expanded` distributes products over
sums; then like summands meet. It is for checks, not for evaluation: the result may be long.
"""

from functools import singledispatch
from typing import Any

from sympy import Add, Expr, S, expand, expand_mul

from .binders import Cumulant, Integral
from .matrices import MatVec, Outer, is_zero
from .scalars import Component, Dot
from .terms import FreshPoint, Term
from .vectors import Block, Scaled, Stack, VectorSum


def vanishes(term: Any) -> bool:
    """Whether a term is zero after its products are multiplied out; False may also mean unknown.

    >>> from sympy import exp
    >>> from .constructors import norm2
    >>> from .terms import Point
    >>> x, y = Point("x"), Point("y")
    >>> vanishes(exp(norm2(x - y)) * (x - y) + exp(norm2(y - x)) * (y - x))
    True
    """
    return is_zero(expanded(term))


def expanded(term: Any) -> Any:
    """The term with its products multiplied out.

    >>> from .constructors import dot
    >>> from .terms import Point
    >>> x, y = Point("x"), Point("y")
    >>> expanded(dot(x + y, y) * x)
    (<x, y> + |y|^2) x
    """
    return _expanded(term)


@singledispatch
def _expanded(term: Any) -> Any:
    return term


@_expanded.register
def _(term: Expr) -> Any:
    if isinstance(term, Term) or not term.args:
        return term
    return expand(term.func(*(expanded(a) for a in term.args)))


@_expanded.register
def _(term: VectorSum) -> Any:
    return VectorSum(*(expanded(a) for a in term.args))


@_expanded.register
def _(term: Scaled) -> Any:
    coefficients = Add.make_args(expand_mul(expanded(term.args[0])))
    return VectorSum(*(c * v for c in coefficients for v in summands(expanded(term.args[1]))))


def summands(v: Any) -> tuple:
    """The summands of a sum, or the term alone."""
    return v.args if isinstance(v, (VectorSum, Add)) else (v,)


@_expanded.register
def _(term: MatVec) -> Any:
    m, v = term.args
    return VectorSum(*(m @ a for a in summands(expanded(v))))


@_expanded.register(Dot)
@_expanded.register(Outer)
def _(term: Any) -> Any:
    u, v = (summands(expanded(a)) for a in term.args)
    if isinstance(term, Dot):
        return Add(*(_inner(a, b) for a in u for b in v))
    parts = [Outer(a, b) for a in u for b in v]
    return sum(parts[1:], parts[0])


def _inner(a: Any, b: Any) -> Expr:
    """`<a, b>`, with an integral or a mean in it moved outside."""
    (c, a), (d, b) = (t.args if isinstance(t, Scaled) else (S.One, t) for t in (a, b))
    if isinstance(a, (Integral, Cumulant)):
        a, b = b, a
    y = FreshPoint()
    if isinstance(b, Integral):
        return c * d * expanded(Integral(Dot(a, b.at(y)), y, b.measure))
    if isinstance(b, Cumulant) and len(b.slots) == 1:
        (h,), energy = b.at(y)
        parts = summands(expanded(Dot(a, h)))
        return c * d * Add(*(Cumulant((p,), y, b.measure, energy) for p in parts))
    return c * d * Dot(a, b)  # type: ignore[arg-type]


@_expanded.register(Component)
@_expanded.register(Block)
def _(term: Any) -> Any:
    parts = [term.func(a, *term.args[1:]) for a in summands(expanded(term.args[0]))]
    return sum(parts[1:], parts[0])


@_expanded.register
def _(term: Stack) -> Any:
    return Stack(*(expanded(a) for a in term.args))


@_expanded.register
def _(term: Integral) -> Any:
    y = FreshPoint()
    parts = [Integral(a, y, term.measure) for a in summands(expanded(term.at(y)))]
    return sum(parts[1:], parts[0])
