"""Matrices, and what a matrix gives: its products with vectors and its trace."""

from typing import Any

from sympy import Add, Basic, S, oo

from .products import product
from .scalars import Dimension, Dot
from .terms import MatrixTerm, ScalarTerm, VectorTerm, make, matrix, scalar, vector
from .vectors import (
    Block,
    Ones,
    Scaled,
    Stack,
    VectorSum,
    Zero,
    coefficient,
    collected,
    index,
    shape,
    simplest,
)

LONG = 5  # summands; a longer sum of matrices is applied and transposed as a whole: it stays shared


def is_zero(term: Basic) -> bool:
    """Whether the term is a zero by its form: 0, `Zero` or `ZeroMatrix`."""
    return term is S.Zero or isinstance(term, (Zero, ZeroMatrix))


class Identity(MatrixTerm):
    """The identity with the dimension of `like`."""

    def __new__(cls, like: VectorTerm) -> "Identity":
        return make(cls, shape(vector(like)))


class ZeroMatrix(MatrixTerm):
    """The zero matrix with as many rows as `rows` and columns as `columns` have components."""

    def __new__(cls, rows: VectorTerm, columns: VectorTerm) -> "ZeroMatrix":
        return make(cls, shape(vector(rows)), shape(vector(columns)))


def row_like(m: MatrixTerm) -> VectorTerm:
    """A vector with as many components as the matrix has rows."""
    if isinstance(m, MatrixSum):
        return simplest([row_like(a) for a in m.args])
    if isinstance(m, Transpose):
        return column_like(m.args[0])  # type: ignore[arg-type]
    return shape(m @ column_like(m))


def column_like(m: MatrixTerm) -> VectorTerm:
    """A vector with as many components as the matrix has columns."""
    if isinstance(m, (Identity, Diagonal)):
        return shape(m.args[0])  # type: ignore[arg-type]
    if isinstance(m, (ZeroMatrix, Outer)):
        return shape(m.args[1])  # type: ignore[arg-type]
    if isinstance(m, (MatrixSum, Rows, RowStack)):
        return column_like(m.args[0])  # type: ignore[arg-type]
    if isinstance(m, (MatMul, MatrixScaled)):
        return column_like(m.args[-1])  # type: ignore[arg-type]
    if isinstance(m, Transpose):
        return row_like(m.args[0])  # type: ignore[arg-type]
    return make(Columns, m)


class Columns(VectorTerm):
    """A stand-in for any vector to which the matrix applies: it has a dimension and no value."""

    def __new__(cls, m: MatrixTerm) -> VectorTerm:
        return column_like(matrix(m))


class MatVec(VectorTerm):
    """A matrix times a vector."""

    def __new__(cls, m: MatrixTerm, v: VectorTerm) -> Any:
        m, v = matrix(m), vector(v)
        if isinstance(m, ZeroMatrix):
            return Zero(m.args[0])
        if isinstance(m, Identity):
            return v
        if isinstance(v, Zero):
            return Zero(MatVec(m, v.args[0]))
        if isinstance(v, Scaled):
            return Scaled(v.args[0], MatVec(m, v.args[1]))
        if isinstance(m, MatrixScaled):
            return Scaled(m.args[0], MatVec(m.args[1], v))
        if isinstance(m, MatrixSum) and len(m.args) <= LONG:
            return VectorSum(*(MatVec(a, v) for a in m.args))
        if isinstance(m, MatMul):
            for factor in reversed(m.args):
                v = MatVec(factor, v)
            return v
        if isinstance(m, Outer):
            return Scaled(Dot(m.args[1], v), m.args[0])
        if isinstance(m, Rows):
            return Block(MatVec(m.args[0], v), *m.args[1:])
        if isinstance(m, RowStack):
            return Stack(*(MatVec(a, v) for a in m.args))
        if isinstance(m, Diagonal) and isinstance(v, Ones):
            return m.args[0]
        return make(cls, m, v)


class Outer(MatrixTerm):
    """The matrix `u v^T`."""

    def __new__(cls, u: VectorTerm, v: VectorTerm) -> Any:
        if isinstance(vector(u), Zero) or isinstance(vector(v), Zero):
            return ZeroMatrix(u, v)
        if isinstance(u, Scaled):
            return MatrixScaled(u.args[0], Outer(u.args[1], v))
        if isinstance(v, Scaled):
            return MatrixScaled(v.args[0], Outer(u, v.args[1]))
        return make(cls, u, v)


class MatrixSum(MatrixTerm):
    """A sum of matrices; like summands are collected."""

    def __new__(cls, *terms: MatrixTerm) -> Any:
        parts = collected(map(matrix, terms), MatrixSum, MatrixScaled, ZeroMatrix)
        if not parts:
            first = terms[0]
            return ZeroMatrix(row_like(first), column_like(first))
        return parts[0] if len(parts) == 1 else make(cls, *parts)


class MatrixScaled(MatrixTerm):
    """A scalar times a matrix."""

    def __new__(cls, c: Any, m: MatrixTerm) -> Any:
        c = scalar(c)
        if isinstance(m, ZeroMatrix):
            return m
        if c is S.Zero:
            return ZeroMatrix(row_like(m), column_like(m))
        if isinstance(m, MatrixScaled):
            c, m = product(c, m.args[0]), m.args[1]
        if c is S.One:
            return matrix(m)
        if isinstance(m, MatrixSum) and c.is_Number:
            return MatrixSum(*(MatrixScaled(c, a) for a in m.args))
        return make(cls, c, matrix(m))


class MatMul(MatrixTerm):
    """A product of matrices."""

    def __new__(cls, *factors: MatrixTerm) -> Any:
        front, flat = S.One, []
        for factor in factors:
            c, core = coefficient(matrix(factor), MatrixScaled)
            front = product(front, c)
            flat.extend(core.args if isinstance(core, MatMul) else (core,))
        if any(isinstance(f, ZeroMatrix) for f in flat):
            return ZeroMatrix(row_like(flat[0]), column_like(flat[-1]))
        flat = [f for f in flat if not isinstance(f, Identity)] or flat[:1]
        if len(flat) > 1:
            for i, f in enumerate(flat):
                if isinstance(f, Outer):  # A (u v^T) B = (A u) (B^T v)^T
                    return front * Outer(
                        _apply(flat[:i], f.args[0]),
                        _apply([Transpose(b) for b in reversed(flat[i + 1 :])], f.args[1]),
                    )
        return front * (flat[0] if len(flat) == 1 else make(cls, *flat))


def _apply(factors: list, v: Any) -> VectorTerm:
    for factor in reversed(factors):
        v = MatVec(factor, v)
    return v


class Transpose(MatrixTerm):
    """The transpose of a matrix."""

    def __new__(cls, m: MatrixTerm) -> Any:
        if isinstance(matrix(m), Transpose):
            return m.args[0]
        if isinstance(m, (Identity, Diagonal)):
            return m
        if isinstance(m, (Outer, ZeroMatrix)):
            return m.func(m.args[1], m.args[0])
        if isinstance(m, MatrixScaled):
            return MatrixScaled(m.args[0], Transpose(m.args[1]))
        if isinstance(m, MatrixSum) and len(m.args) <= LONG:
            return MatrixSum(*(Transpose(a) for a in m.args))
        if isinstance(m, MatMul):
            return MatMul(*(Transpose(a) for a in reversed(m.args)))
        swapped = getattr(m, "transposed", None)  # binders move the transpose inside
        return make(cls, m) if swapped is None else swapped()


class Diagonal(MatrixTerm):
    """The diagonal matrix of a vector."""

    def __new__(cls, v: VectorTerm) -> Any:
        if isinstance(vector(v), Ones):
            return Identity(v.args[0])
        if isinstance(v, Zero):
            return ZeroMatrix(v, v)
        if isinstance(v, Scaled):
            return MatrixScaled(v.args[0], Diagonal(v.args[1]))
        return make(cls, v)


class Rows(MatrixTerm):
    """The rows i..j-1 of a matrix; j may be infinite: to the end."""

    def __new__(cls, m: MatrixTerm, i: Any, j: Any = oo) -> Any:
        i, j = index(i), oo if j in (None, oo) else index(j)
        if isinstance(matrix(m), ZeroMatrix):
            return ZeroMatrix(Block(m.args[0], i, j), m.args[1])
        if isinstance(m, MatrixScaled):
            return MatrixScaled(m.args[0], Rows(m.args[1], i, j))
        if isinstance(m, MatrixSum):
            return MatrixSum(*(Rows(a, i, j) for a in m.args))
        if isinstance(m, Outer):
            return Outer(Block(m.args[0], i, j), m.args[1])
        if isinstance(m, Rows):
            start, stop = m.args[1:]
            return Rows(m.args[0], start + i, min(start + j, stop))  # type: ignore[operator]
        if i == 0 and j is oo:
            return m
        return make(cls, m, i, j)


class RowStack(MatrixTerm):
    """Matrices one below the other."""

    def __new__(cls, *parts: MatrixTerm) -> Any:
        flat: list = []
        for part in parts:
            flat.extend(part.args if isinstance(part, RowStack) else (matrix(part),))
        if all(isinstance(p, ZeroMatrix) for p in flat):
            return ZeroMatrix(Stack(*(p.args[0] for p in flat)), flat[0].args[1])
        return flat[0] if len(flat) == 1 else make(cls, *flat)


class Trace(ScalarTerm):
    """The trace of a square matrix."""

    def __new__(cls, m: MatrixTerm) -> Any:
        if isinstance(matrix(m), ZeroMatrix):
            return S.Zero
        if isinstance(m, MatrixScaled):
            return product(m.args[0], Trace(m.args[1]))
        if isinstance(m, MatrixSum):
            return Add(*(Trace(a) for a in m.args))
        if isinstance(m, Identity):
            return Dimension(m.args[0])
        if isinstance(m, Outer):
            return Dot(*m.args)
        if isinstance(m, Diagonal):
            return Dot(Ones(m.args[0]), m.args[0])
        if isinstance(m, Transpose):
            return Trace(m.args[0])
        return make(cls, m)

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return True if getattr(self.args[0], "semidefinite", False) else None


MatrixTerm._sum, MatrixTerm._scaled = MatrixSum, MatrixScaled
MatrixTerm._image, MatrixTerm._product, MatrixTerm._transpose = MatVec, MatMul, Transpose
