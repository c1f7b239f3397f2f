"""The constructors that users call, in small letters."""

from typing import Any

from sympy import Expr, sqrt

from .matrices import Diagonal, Outer
from .scalars import Component, Dot
from .terms import SLOT, MatrixTerm, VectorTerm
from .vectors import Block, Elementwise, Stack


def dot(u: VectorTerm, v: VectorTerm) -> Expr:
    """The inner product `<u, v>`.

    >>> from .terms import Point
    >>> dot(Point("x"), 2 * Point("y"))
    2*<x, y>
    """
    return Dot(u, v)


def norm2(v: VectorTerm) -> Expr:
    """The square of the Euclidean norm, `<v, v>`.

    >>> from .terms import Point
    >>> norm2(3 * Point("x"))
    9*<x, x>
    """
    return Dot(v, v)


def norm(v: VectorTerm) -> Expr:
    """The Euclidean norm, the square root of `<v, v>`.

    >>> from .terms import Point
    >>> norm(-Point("x"))
    sqrt(<x, x>)
    """
    return sqrt(Dot(v, v))


def outer(u: VectorTerm, v: VectorTerm) -> MatrixTerm:
    """The matrix `u v^T`.

    >>> from .terms import Point
    >>> outer(Point("x"), Point("y")) @ Point("z")
    <y, z> x
    """
    return Outer(u, v)


def component(v: VectorTerm, i: int) -> Expr:
    """The component `v_i`, counted from zero.

    >>> from .terms import Point
    >>> component(block(Point("x"), 2, 4), 1)
    x[3]
    """
    return Component(v, i)


def block(v: VectorTerm, i: int, j: int | None = None) -> VectorTerm:
    """The components i..j-1 of a vector, or all from i on.

    >>> from .terms import Point
    >>> block(block(Point("x"), 2, 6), 1, 3)
    x[3:5]
    """
    return Block(v, i, j)


def stack(*parts: Any) -> VectorTerm:
    """Vectors, and scalars as single components, one below the other.

    >>> from .terms import Point
    >>> x = Point("x")
    >>> stack(block(x, 0, 2), block(x, 2, 4))
    x[0:4]
    """
    return Stack(*parts)


def elementwise(function: Any, v: VectorTerm) -> VectorTerm:
    """A scalar function applied to each component: `function` takes and returns an expression.

    >>> from .terms import Point
    >>> from sympy import tanh
    >>> elementwise(tanh, Point("x"))
    tanh.(x)
    """
    return Elementwise(function(SLOT), v)


def diagonal(v: VectorTerm) -> MatrixTerm:
    """The diagonal matrix of a vector; `diagonal(u) @ v` is the product by components.

    >>> from .terms import Point, Vector
    >>> diagonal(Vector("g")) @ Point("x")
    diag(g) x
    """
    return Diagonal(v)
