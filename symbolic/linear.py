"""From a term that is linear in a direction to its matrix or gradient.

`jacobian_in(t, u)` is the matrix M with `t = M u`, `gradient_in(t, u)` the vector g with
`t = <g, u>`. Both read the term once, one rule a head; products that hide the direction inside a
matrix are first rewritten so that it stands alone.
"""

from functools import singledispatch
from typing import Any

from sympy import Add, Expr, Mul

from .binders import Cumulant, Integral, MatrixCumulant, MatrixIntegral, rank
from .gateaux import NotDerivable
from .terms import (
    Basis,
    Block,
    Component,
    Diagonal,
    Dot,
    FreshPoint,
    Identity,
    MatMul,
    MatrixSum,
    MatVec,
    Outer,
    Rows,
    RowStack,
    Scaled,
    Stack,
    Trace,
    Transpose,
    VectorSum,
    VectorTerm,
    Zero,
    ZeroMatrix,
    free_symbols,
    is_zero,
)


def jacobian_in(term: VectorTerm, direction: VectorTerm) -> Any:
    """The matrix M of a vector term that is linear in a direction: `term = M direction`.

    >>> from .terms import Matrix, Point, dot
    >>> u, x, A = Point("u"), Point("x"), Matrix("A")
    >>> jacobian_in(A @ u + dot(u, x) * x, u)
    A + x x^T
    """
    if direction not in free_symbols(term):
        if not is_zero(term):
            raise NotDerivable(f"{term} is not linear in {direction}")
        return ZeroMatrix(term, direction)
    return direction_matrix(term, direction)


def gradient_in(term: Any, direction: VectorTerm) -> VectorTerm:
    """The vector g of a scalar term that is linear in a direction: `term = <g, direction>`.

    >>> from .terms import Matrix, Point, dot
    >>> u, x, A = Point("u"), Point("x"), Matrix("A")
    >>> gradient_in(dot(x, A @ u), u)
    A^T x
    """
    if direction not in free_symbols(term):
        if not is_zero(term):
            raise NotDerivable(f"{term} is not linear in {direction}")
        return Zero(direction)
    return direction_gradient(term, direction)


@singledispatch
def direction_matrix(term: Any, u: VectorTerm) -> Any:
    """The matrix of one head."""
    if term == u:
        return Identity(u)
    raise NotDerivable(f"no rule to read the matrix of {type(term).__name__} in {term}")


@direction_matrix.register
def _(term: VectorSum, u: VectorTerm) -> Any:
    return MatrixSum(*(jacobian_in(a, u) for a in term.args))


@direction_matrix.register
def _(term: Scaled, u: VectorTerm) -> Any:
    c, v = term.args
    return Outer(v, gradient_in(c, u)) if u in free_symbols(c) else c * jacobian_in(v, u)


@direction_matrix.register
def _(term: MatVec, u: VectorTerm) -> Any:
    m, v = term.args
    if u in free_symbols(v):
        return m @ jacobian_in(v, u)
    return jacobian_in(applied(m, v), u)


@direction_matrix.register
def _(term: Block, u: VectorTerm) -> Any:
    return Rows(jacobian_in(term.args[0], u), *term.args[1:])


@direction_matrix.register
def _(term: Stack, u: VectorTerm) -> Any:
    return RowStack(*(_row(a, u) for a in term.args))


def _row(part: Any, u: VectorTerm) -> Any:
    if isinstance(part, VectorTerm):
        return jacobian_in(part, u)
    return Outer(Basis(0, Stack(part)), gradient_in(part, u))


@direction_matrix.register
def _(term: Integral, u: VectorTerm) -> Any:
    y = FreshPoint()
    return Integral(jacobian_in(term.at(y), u), y, term.measure)


@direction_matrix.register(Cumulant)
def _cumulant(term: Any, u: VectorTerm) -> Any:
    y = FreshPoint()
    slots, energy = term.at(y)
    changed = [i for i, h in enumerate(slots) if u in free_symbols(h)]
    if len(changed) != 1 or u in free_symbols(energy):
        raise NotDerivable(f"{term} is not linear in {u}")
    i = changed[0]
    inner = jacobian_in(slots[i], u) if rank(slots[i]) else gradient_in(slots[i], u)
    others = (*slots[:i], *slots[i + 1 :])
    if not rank(slots[i]):  # the new tensor axis comes last
        return Cumulant((*others, inner), y, term.measure, energy)
    return Cumulant((inner, *others), y, term.measure, energy)


@singledispatch
def direction_gradient(term: Any, u: VectorTerm) -> Any:
    """The gradient of one head."""
    raise NotDerivable(f"no rule to read the gradient of {type(term).__name__} in {term}")


@direction_gradient.register
def _(term: Add, u: VectorTerm) -> Any:
    return VectorSum(*(gradient_in(a, u) for a in term.args))


@direction_gradient.register
def _(term: Mul, u: VectorTerm) -> Any:
    changed = [a for a in term.args if u in free_symbols(a)]
    if len(changed) != 1:
        raise NotDerivable(f"{term} is not linear in {u}")
    return Mul(*(a for a in term.args if a is not changed[0])) * gradient_in(changed[0], u)


@direction_gradient.register
def _(term: Dot, u: VectorTerm) -> Any:
    a, b = term.args
    if u in free_symbols(b):
        a, b = b, a
    if a == u:
        return b
    return Transpose(jacobian_in(a, u)) @ b


@direction_gradient.register
def _(term: Component, u: VectorTerm) -> Any:
    v, i = term.args
    return Basis(i, u) if v == u else Transpose(jacobian_in(v, u)) @ Basis(i, v)


@direction_gradient.register
def _(term: Trace, u: VectorTerm) -> Any:
    return gradient_in(traced(term.args[0]), u)


direction_gradient.register(Integral, direction_matrix.dispatch(Integral))
direction_gradient.register(Cumulant, _cumulant)


@direction_gradient.register(Integral)
def _(term: Any, u: VectorTerm) -> Any:
    y = FreshPoint()
    return Integral(gradient_in(term.at(y), u), y, term.measure)


# ---- a matrix that contains the direction, applied to a vector or traced


@singledispatch
def applied(m: Any, v: VectorTerm) -> Any:
    """`m v` with the product moved inside the matrix head, so that what m contains is exposed."""
    raise NotDerivable(f"no rule to move a vector inside {type(m).__name__} in {m}")


@applied.register
def _(m: Diagonal, v: VectorTerm) -> Any:
    return Diagonal(v) @ m.args[0]


@applied.register
def _(m: MatrixIntegral, v: VectorTerm) -> Any:
    y = FreshPoint()
    return Integral(m.at(y) @ v, y, m.measure)


@applied.register
def _(m: MatrixCumulant, v: VectorTerm) -> Any:
    y = FreshPoint()
    slots, energy = m.at(y)
    if rank(slots[0]) == 2:
        contracted = (slots[0] @ v, *slots[1:])
    else:
        contracted = (slots[0], Dot(slots[1], v), *slots[2:])
    return Cumulant(contracted, y, m.measure, energy)


@applied.register
def _(m: Transpose, v: VectorTerm) -> Any:
    inner = m.args[0]
    if isinstance(inner, Rows):  # (first rows of M)^T v = M^T (v padded by zeros)
        raise NotDerivable(f"no rule to move a vector inside the transpose of {inner}")
    raise NotDerivable(f"no rule to move a vector inside Transpose in {m}")


def traced(m: Any) -> Expr:
    """The trace with the sum moved inside the matrix head."""
    y = FreshPoint()
    if isinstance(m, MatMul):  # tr(A K B) with K a cumulant: move A and B into its slots
        i = next(
            (i for i, f in enumerate(m.args) if isinstance(f, (MatrixCumulant, MatrixIntegral))),
            None,
        )
        if i is not None:
            return _traced_between(m.args[i], MatMul(*m.args[i + 1 :], *m.args[:i]), y)
    if isinstance(m, (MatrixCumulant, MatrixIntegral)):
        return _traced_between(m, None, y)
    raise NotDerivable(f"no rule to move the trace inside {type(m).__name__} in {m}")


def _traced_between(k: Any, b: Any, y: FreshPoint) -> Expr:
    """`tr(k b)` for a cumulant or an integral k; a matrix slot h gives the scalar slot tr(h b)."""
    times = lambda h: Trace(h if b is None else MatMul(h, b))
    if isinstance(k, MatrixIntegral):
        return Integral(times(k.at(y)), y, k.measure)
    slots, energy = k.at(y)
    if rank(slots[0]) == 2:
        return Cumulant((times(slots[0]), *slots[1:]), y, k.measure, energy)
    raise NotDerivable(f"no rule to trace the covariance {k}: its trace is no cumulant")
