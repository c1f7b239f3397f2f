"""From a term that is linear in a direction to its matrix or gradient.

`jacobian_in(t, u)` is the matrix M with `t = M u`, `gradient_in(t, u)` the vector g with
`t = <g, u>`. Both read the term once, one rule a head; products that hide the direction inside a
matrix are first rewritten so that it stands alone.
"""

from functools import singledispatch
from typing import Any

from sympy import Add, Basic, Expr, Mul

from .binders import Cumulant, Integral, MatrixCumulant, MatrixIntegral, rank
from .gateaux import NotDerivable, central_moments
from .matrices import (
    Diagonal,
    Identity,
    MatMul,
    MatrixSum,
    MatVec,
    Outer,
    Rows,
    RowStack,
    Trace,
    Transpose,
    ZeroMatrix,
    is_zero,
)
from .products import product
from .scalars import Component, Dot
from .terms import VectorTerm, free_symbols
from .vectors import Basis, Block, Scaled, Stack, VectorSum, Zero


def jacobian_in(term: VectorTerm, direction: VectorTerm) -> Any:
    """The matrix M of a vector term that is linear in a direction: `term = M direction`.

    >>> from .constructors import dot
    >>> from .terms import Matrix, Point
    >>> u, x, A = Point("u"), Point("x"), Matrix("A")
    >>> jacobian_in(A @ u + dot(u, x) * x, u)
    A + x x^T
    """
    return Slope(direction)(term)


def gradient_in(term: Any, direction: VectorTerm) -> VectorTerm:
    """The vector g of a scalar term that is linear in a direction: `term = <g, direction>`.

    >>> from .constructors import dot
    >>> from .terms import Matrix, Point
    >>> u, x, A = Point("u"), Point("x"), Matrix("A")
    >>> gradient_in(dot(x, A @ u), u)
    A^T x
    """
    return Slope(direction)(term)


class Slope:
    """The matrix or gradient in one direction, with the memory of the terms already seen."""

    def __init__(self, direction: VectorTerm):
        self.direction = direction
        self.memory: dict[Basic, Any] = {}

    def __call__(self, term: Any) -> Any:
        if self.direction not in free_symbols(term):
            if not is_zero(term):
                raise NotDerivable(f"{term} is not linear in {self.direction}")
            return ZeroMatrix(term, self.direction) if rank(term) else Zero(self.direction)
        if term not in self.memory:
            self.memory[term] = slope(term, self)
        return self.memory[term]

    def only(self, parts: Any, term: Any) -> int:
        """The place of the one part that contains the direction."""
        changed = [i for i, p in enumerate(parts) if self.direction in free_symbols(p)]
        if len(changed) != 1:
            raise NotDerivable(f"{term} is not linear in {self.direction}")
        return changed[0]


@singledispatch
def slope(term: Any, go: Slope) -> Any:
    """The matrix of a vector head, the gradient of a scalar head."""
    if term == go.direction:
        return Identity(term)
    raise NotDerivable(f"no rule to read the matrix or gradient of {type(term).__name__} in {term}")


@slope.register
def _(term: VectorSum, go: Slope) -> Any:
    return MatrixSum(*(go(a) for a in term.args))


@slope.register
def _(term: Scaled, go: Slope) -> Any:
    c, v = term.args
    return Outer(v, go(c)) if go.direction in free_symbols(c) else c * go(v)


@slope.register
def _(term: MatVec, go: Slope) -> Any:
    m, v = term.args
    return m @ go(v) if go.direction in free_symbols(v) else go(applied(m, v))


@slope.register
def _(term: Block, go: Slope) -> Any:
    return Rows(go(term.args[0]), *term.args[1:])


@slope.register
def _(term: Stack, go: Slope) -> Any:
    def row(part: Any) -> Any:
        return go(part) if rank(part) else Outer(Basis(0, Stack(part)), go(part))

    return RowStack(*map(row, term.args))


@slope.register
def _(term: Add, go: Slope) -> Any:
    return VectorSum(*(go(a) for a in term.args))


@slope.register
def _(term: Mul, go: Slope) -> Any:
    i = go.only(term.args, term)
    return product(*term.args[:i], *term.args[i + 1 :]) * go(term.args[i])


@slope.register
def _(term: Dot, go: Slope) -> Any:
    i = go.only(term.args, term)
    u, v = term.args[i], term.args[1 - i]
    return v if u == go.direction else Transpose(go(u)) @ v


@slope.register
def _(term: Component, go: Slope) -> Any:
    v, i = term.args
    return Basis(i, v) if v == go.direction else Transpose(go(v)) @ Basis(i, v)


@slope.register
def _(term: Trace, go: Slope) -> Any:
    return go(traced(term.args[0]))


@slope.register
def _(term: Integral, go: Slope) -> Any:
    y, (body,) = term.opened()
    return Integral(go(body), y, term.measure)


@slope.register
def _(term: Cumulant, go: Slope) -> Any:
    y, (*slots, energy) = term.opened()
    i = go.only((*slots, energy), term)
    if i == len(slots):
        raise NotDerivable(f"{term} is not linear in {go.direction}")
    others = [*slots[:i], *slots[i + 1 :]]
    inner = go(slots[i])  # a scalar slot becomes the last tensor axis, a vector slot a matrix
    joined = (inner, *others) if rank(slots[i]) else (*others, inner)
    return Cumulant(joined, y, term.measure, energy)


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
    y, (body,) = m.opened(free_symbols(v))
    return Integral(body @ v, y, m.measure)


@applied.register
def _(m: MatrixCumulant, v: VectorTerm) -> Any:
    y, (*slots, energy) = m.opened(free_symbols(v))
    if rank(slots[0]) == 2:
        contracted = (slots[0] @ v, *slots[1:])
    else:
        contracted = (slots[0], Dot(slots[1], v), *slots[2:])
    return Cumulant(contracted, y, m.measure, energy)


def traced(m: Any) -> Expr:
    """The trace with the sum moved inside the matrix head: `tr(A K B) = tr(K B A)`."""
    factors = m.args if isinstance(m, MatMul) else (m,)
    for i, k in enumerate(factors):
        rest = (*factors[i + 1 :], *factors[:i])
        if isinstance(k, MatrixSum):
            return Add(*(Trace(MatMul(part, *rest)) for part in k.args))
        if isinstance(k, MatrixIntegral):
            y, (body,) = k.opened(free_symbols(m))
            return Integral(Trace(MatMul(body, *rest)), y, k.measure)
        if isinstance(k, MatrixCumulant) and rank(k.slots[0]) == 2:
            y, (first, *others, energy) = k.opened(free_symbols(m))
            return Cumulant((Trace(MatMul(first, *rest)), *others), y, k.measure, energy)
        if isinstance(k, MatrixCumulant):
            return _traced_cumulant(k, rest)
    raise NotDerivable(f"no rule to move the trace inside {m}")


def _traced_cumulant(k: Any, rest: tuple) -> Expr:
    """`tr(K R)` for a cumulant K of the vectors g and h: its central moments, with `<g, R h>`.

    `k(g, h, ..)` is the sum over partitions without singletons of (-1)^(b-1) (b-1)! times the
    product of the E[block]; where g and h fall in two blocks, their means are multiplied.
    """
    y, (*slots, energy) = k.opened(frozenset().union(*map(free_symbols, rest)))

    def mean(h: Any) -> Any:
        return Cumulant((h,), y, k.measure, energy)

    centred = [h - mean(h) for h in slots]
    if rest:
        centred[1] = _through(rest, centred[1])
    return Add(*(_contracted(term, centred, mean) for term in central_moments(len(slots))))


def _through(factors: tuple, v: Any) -> Any:
    for m in factors:  # <g, R^T ... h>: tr(g h^T R) = <h, R g> = <g, R^T h>
        v = Transpose(m) @ v
    return v


def _contracted(term: tuple, slots: list, mean: Any) -> Expr:
    """One product of moments, with the inner product of the first two slots."""
    factor, blocks = term
    vectors, scalars = [], [factor]
    for block in blocks:
        weight = product(*(slots[i] for i in block if i > 1))
        both = [slots[i] for i in block if i < 2]
        if len(both) == 1:
            vectors.append(mean(weight * both[0]))
        else:
            scalars.append(mean(product(weight, Dot(*both)) if both else weight))
    return product(*scalars, *([Dot(*vectors)] if vectors else []))
