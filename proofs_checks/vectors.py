"""Enclosures of vector and matrix heads, and of the scalars made of them."""

from typing import Any

import sympy
from flint import arb, arb_mat

from ..symbolic import (
    Basis,
    Block,
    Component,
    Diagonal,
    Dimension,
    Dot,
    Elementwise,
    Identity,
    MatMul,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Ones,
    Outer,
    Rows,
    RowStack,
    Scaled,
    Stack,
    Trace,
    Transpose,
    VectorSum,
    Zero,
    ZeroMatrix,
)
from ..symbolic.matrices import Columns
from ..symbolic.terms import SLOT, Term
from .interval import Interval, enclosing, hull, symmetric, total
from .rational import expanded
from .region import ONE, ZERO, MatrixRange, VectorRange, vector_range
from .scope import Place, Scope, enclose, rule


def size(term: Any, scope: Scope) -> int:
    """The number of components of a vector term."""
    if isinstance(term, Columns):
        return enclose(term.args[0], scope).shape[1]
    return len(enclose(term, scope))


@rule.register(Zero)
def _(term: Any, scope: Scope) -> VectorRange:
    return vector_range([ZERO] * size(term.args[0], scope))


@rule.register(Ones)
def _(term: Any, scope: Scope) -> VectorRange:
    return vector_range([ONE] * size(term.args[0], scope))


@rule.register(Basis)
def _(term: Any, scope: Scope) -> VectorRange:
    i, n = int(term.args[0]), size(term.args[1], scope)
    return vector_range(ONE if j == i else ZERO for j in range(n))


@rule.register(VectorSum)
def _(term: Any, scope: Scope) -> VectorRange:
    parts = [enclose(a, scope) for a in term.args]
    columns = zip(*(p.components for p in parts), strict=True)
    norms = [p.norm for p in parts]
    upper = total(norms)
    # |u + rest| >= |u| - |rest|, and |rest| is at most the sum of all norms less that of u
    least = (total((n, Interval(n.upper, n.upper), -upper)).lower for n in norms)
    return vector_range(map(total, columns), Interval(max(arb(0), *least), upper.upper))


@rule.register(Scaled)
def _(term: Any, scope: Scope) -> VectorRange:
    c, v = (enclose(a, scope) for a in term.args)
    norms = [abs(c) * v.norm]
    unit = 1 / sympy.sqrt(Dot(term.args[1], term.args[1]))
    if unit in sympy.Mul.make_args(term.args[0]):  # v / |v| has norm one
        norms.append(abs(enclose(term.args[0] / unit, scope)))
    return vector_range((c * i for i in v.components), *norms)


@rule.register(MatVec)
def _(term: Any, scope: Scope) -> VectorRange:
    m, v = (enclose(a, scope) for a in term.args)
    center = arb_mat(len(v), 1, [i.middle for i in v.components])
    radius = arb_mat(len(v), 1, [i.radius for i in v.components])
    moved = m.center * center
    spread = magnitudes(m.center) * radius
    if m.radius is not None:
        spread += m.radius * (magnitudes(center) + radius)
    pairs = zip(moved.entries(), spread.entries(), strict=True)
    least = m.least * v.norm.lower if v.norm.lower > 0 else arb(0)
    norm = Interval(least.lower(), (m.norm * v.norm.upper).upper())
    return vector_range((enclosing(a) + symmetric(r) for a, r in pairs), norm)


def magnitudes(matrix: arb_mat) -> arb_mat:
    """Bounds of the absolute values of the entries."""
    rows, columns = matrix.nrows(), matrix.ncols()
    return arb_mat(rows, columns, [abs(e).upper() for e in matrix.entries()])


@rule.register(Block)
def _(term: Any, scope: Scope) -> VectorRange:
    v = enclose(term.args[0], scope)
    start, stop = _ends(term, len(v))
    norms = [norm for i, j, norm in v.blocks if (i, j) == (start, stop)]
    return vector_range(v.components[start:stop], Interval(arb(0), v.norm.upper), *norms)


def _ends(term: Any, n: int) -> tuple[int, int]:
    start, stop = term.args[1:]
    return int(start), int(stop) if stop.is_finite else n


@rule.register(Stack)
def _(term: Any, scope: Scope) -> VectorRange:
    parts = [enclose(a, scope) for a in term.args]
    components = [c for p in parts for c in ((p,) if isinstance(p, Interval) else p.components)]
    norms = [abs(p) if isinstance(p, Interval) else p.norm for p in parts]
    return vector_range(components, total(n.power(2) for n in norms).sqrt())


@rule.register(Elementwise)
def _(term: Any, scope: Scope) -> VectorRange:
    function, v = term.args[0], enclose(term.args[1], scope)
    return vector_range(enclose(function, with_slot(scope, c)) for c in v.components)


def with_slot(scope: Scope, interval: Interval) -> Scope:
    """The scope in which the variable of an elementwise function ranges over an interval."""
    return scope.binding(SLOT, Place(lambda: interval))


# ---- scalars


@rule.register(Dot)
def _(term: Any, scope: Scope) -> Interval:
    u, v = (enclose(a, scope) for a in term.args)
    if term.args[0] == term.args[1]:
        norm = u.norm
        if isinstance(term.args[0], VectorSum) and not norm.lower > 0:
            norm = Interval(min(_along(term.args[0], scope), norm.upper), norm.upper)
        return norm.power(2)
    products = total(a * b for a, b in zip(u.components, v.components, strict=True))
    schwarz = symmetric(u.norm.upper * v.norm.upper)
    return products.meet(schwarz) or products


def _along(v: VectorSum, scope: Scope) -> arb:
    """A bound of |v| from below: `|v| >= |<v, u>| / |u|` for the vectors u that it is made of."""
    found = [arb(0)]
    for product, square in scope.remembered(_products, v):
        length = enclose(square, scope)
        if length.lower > 0:
            if length.is_point and length.lower == 1:
                product = expanded(product, {square: sympy.S.One})
            found.append(abs(enclose(product, scope)).lower)
    return max(found)


def _products(v: VectorSum, scope: Scope) -> list[tuple]:
    """(<v, u> / |u|, |u|^2) for the directions u of the first summands."""
    found = []
    for part in v.args[:4]:
        u = part.args[1] if isinstance(part, Scaled) else part
        square = Dot(u, u)
        product = sympy.Add(*(Dot(p, u) for p in v.args)) / sympy.sqrt(square)
        found.append((expanded(distributed(product, square)), square))
    return found


def distributed(term: Any, kept: Any) -> Any:
    """A scalar term with inner products of sums as sums of inner products, but for one."""
    if isinstance(term, Dot) and term != kept:
        u, v = (a.args if isinstance(a, VectorSum) else (a,) for a in term.args)
        return sympy.Add(*(Dot(p, q) for p in u for q in v))
    if isinstance(term, Term) or not term.args:
        return term
    return term.func(*(distributed(a, kept) for a in term.args))


@rule.register(Component)
def _(term: Any, scope: Scope) -> Interval:
    return enclose(term.args[0], scope).components[int(term.args[1])]


@rule.register(Dimension)
def _(term: Any, scope: Scope) -> Interval:
    return Interval.number(size(term.args[0], scope))


@rule.register(Trace)
def _(term: Any, scope: Scope) -> Interval:
    m = enclose(term.args[0], scope)
    return total(m.entry(i, i) for i in range(m.shape[0]))


# ---- matrices


def from_entries(rows: list[list[Interval]], bound: arb | None = None) -> MatrixRange:
    """The matrices with entries in these intervals, whose operator norm is within a bound."""
    center = arb_mat([[i.middle for i in row] for row in rows])
    return MatrixRange(center, arb_mat([[i.radius for i in row] for row in rows]), bound)


def entries(m: MatrixRange) -> list[list[Interval]]:
    """Intervals for the entries."""
    return [[m.entry(i, j) for j in range(m.shape[1])] for i in range(m.shape[0])]


def matrix_hull(several: list[MatrixRange]) -> MatrixRange:
    """A convex set around sets of matrices."""
    tables = [entries(m) for m in several]
    rows, columns = several[0].shape
    hulls = [[hull(t[i][j] for t in tables) for j in range(columns)] for i in range(rows)]
    return from_entries(hulls, max(m.norm for m in several))


@rule.register(Identity)
def _(term: Any, scope: Scope) -> MatrixRange:
    n = size(term.args[0], scope)
    return MatrixRange(arb_mat(n, n, [arb(i == j) for i in range(n) for j in range(n)]))


@rule.register(ZeroMatrix)
def _(term: Any, scope: Scope) -> MatrixRange:
    return MatrixRange(arb_mat(*(size(a, scope) for a in term.args)))


@rule.register(Outer)
def _(term: Any, scope: Scope) -> MatrixRange:
    u, v = (enclose(a, scope) for a in term.args)
    rows = [[a * b for b in v.components] for a in u.components]
    return from_entries(rows, (u.norm.upper * v.norm.upper).upper())


@rule.register(MatrixSum)
def _(term: Any, scope: Scope) -> MatrixRange:
    parts = [enclose(a, scope) for a in term.args]
    center, radius = parts[0].center, parts[0].radius
    for part in parts[1:]:
        center, radius = center + part.center, _sum(radius, part.radius)
    return MatrixRange(center, radius, total(Interval(p.norm, p.norm) for p in parts).upper)


def _sum(a: arb_mat | None, b: arb_mat | None) -> arb_mat | None:
    return b if a is None else a if b is None else a + b


@rule.register(MatrixScaled)
def _(term: Any, scope: Scope) -> MatrixRange:
    c, m = (enclose(a, scope) for a in term.args)
    if c.is_point:
        radius = None if m.radius is None else m.radius * abs(c.lower)
        return MatrixRange(m.center * c.lower, radius)
    return from_entries([[c * e for e in row] for row in entries(m)], (c.size * m.norm).upper())


@rule.register(MatMul)
def _(term: Any, scope: Scope) -> MatrixRange:
    product, *rest = (enclose(a, scope) for a in term.args)
    for factor in rest:
        product = times(product, factor)
    return product


def times(a: MatrixRange, b: MatrixRange) -> MatrixRange:
    """The products of two matrices."""
    radius = None
    if a.radius is not None:
        radius = a.radius * magnitudes(b.center)
    if b.radius is not None:
        more = magnitudes(a.center) if a.radius is None else magnitudes(a.center) + a.radius
        radius = _sum(radius, more * b.radius)
    return MatrixRange(a.center * b.center, radius, (a.norm * b.norm).upper())


@rule.register(Transpose)
def _(term: Any, scope: Scope) -> MatrixRange:
    return enclose(term.args[0], scope).transposed()


@rule.register(Diagonal)
def _(term: Any, scope: Scope) -> MatrixRange:
    v = enclose(term.args[0], scope).components
    rows = [[v[i] if i == j else ZERO for j in range(len(v))] for i in range(len(v))]
    return from_entries(rows, max(i.size for i in v))


@rule.register(Rows)
def _(term: Any, scope: Scope) -> MatrixRange:
    m = enclose(term.args[0], scope)
    start, stop = _ends(term, m.shape[0])
    return from_entries(entries(m)[start:stop], m.norm)


@rule.register(RowStack)
def _(term: Any, scope: Scope) -> MatrixRange:
    parts = [enclose(a, scope) for a in term.args]
    return from_entries([row for m in parts for row in entries(m)])
