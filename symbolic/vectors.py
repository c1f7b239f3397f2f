"""Vectors: what makes one out of scalars and vectors, and what dimension it has."""

from collections.abc import Iterable
from typing import Any

from sympy import Add, Basic, Expr, Integer, S, oo

from .products import product
from .terms import (
    SLOT,
    BoundPoint,
    FreshPoint,
    Point,
    Term,
    Vector,
    VectorTerm,
    in_order,
    make,
    scalar,
    vector,
)


def shape(v: VectorTerm) -> VectorTerm:
    """A simpler term of the same dimension."""
    if isinstance(v, VectorSum):
        return simplest([shape(a) for a in v.args])
    if isinstance(v, (Scaled, Elementwise)):
        return shape(v.args[1])
    if isinstance(v, (Zero, Ones)):
        return v.args[0]
    if isinstance(v, Basis):
        return v.args[1]
    return v


def simplest(shapes: list) -> VectorTerm:
    """One of several vectors of the same dimension, a point or a parameter where there is one."""
    simple = [s for s in shapes if isinstance(s, (Point, BoundPoint, FreshPoint, Vector))]
    return (simple or shapes)[0]


def size(v: Basic) -> int | None:
    """The number of components where the term alone determines it."""
    if isinstance(v, Expr):
        return 1
    v = shape(v)  # type: ignore[arg-type]
    if isinstance(v, Block) and v.args[2] is not oo:
        return int(v.args[2] - v.args[1])  # type: ignore[operator]
    if isinstance(v, Stack):
        sizes = [size(a) for a in v.args]
        return None if None in sizes else sum(sizes)  # type: ignore[arg-type]
    inside = [p for p in getattr(v, "parts", ()) if isinstance(p, VectorTerm)]
    return size(inside[0]) if inside else None  # an integral has the size of its body


def coefficient(term: Basic, scaled: type) -> tuple[Any, Any]:
    """The scalar in front of a vector or a matrix, and what it stands in front of."""
    return term.args if isinstance(term, scaled) else (S.One, term)  # type: ignore[return-value]


def collected(terms: Iterable[Any], total: type, scaled: Any, zero: type) -> list:
    """The summands of a sum, like ones collected, those of the class `zero` left out."""
    coefficients: dict[Basic, list[Expr]] = {}
    for term in terms:
        for part in term.args if isinstance(term, total) else (term,):
            if not isinstance(part, zero):
                c, core = coefficient(part, scaled)
                coefficients.setdefault(core, []).append(c)
    parts = (scaled(Add(*cs), core) for core, cs in coefficients.items())
    return in_order(p for p in parts if not isinstance(p, zero))


def index(i: Any) -> Any:
    """An index as an `Integer`."""
    if isinstance(i, bool) or not isinstance(i, (int, Integer)) or i < 0:
        raise ValueError(f"an index is an integer counted from 0, got {i!r}")
    return Integer(i)


class Zero(VectorTerm):
    """The zero vector with the dimension of `like`."""

    def __new__(cls, like: VectorTerm) -> "Zero":
        return make(cls, shape(vector(like)))


class Ones(VectorTerm):
    """The vector of ones with the dimension of `like`."""

    def __new__(cls, like: VectorTerm) -> "Ones":
        return make(cls, shape(vector(like)))


class Basis(VectorTerm):
    """The basis vector `e_i`, counted from zero, with the dimension of `like`."""

    def __new__(cls, i: Any, like: VectorTerm) -> "Basis":
        return make(cls, index(i), shape(vector(like)))


class VectorSum(VectorTerm):
    """A sum of vectors; like summands are collected."""

    def __new__(cls, *terms: VectorTerm) -> Any:
        parts = collected(map(vector, terms), VectorSum, Scaled, Zero)
        if not parts:
            return Zero(terms[0])
        return parts[0] if len(parts) == 1 else make(cls, *parts)


class Scaled(VectorTerm):
    """A scalar times a vector."""

    def __new__(cls, c: Any, v: VectorTerm) -> Any:
        c = scalar(c)
        if c is S.Zero or isinstance(v, Zero):
            return Zero(v)
        if isinstance(v, Scaled):
            c, v = product(c, v.args[0]), v.args[1]
        if c is S.One:
            return vector(v)
        if isinstance(v, VectorSum) and c.is_Number:
            return VectorSum(*(Scaled(c, a) for a in v.args))
        return make(cls, c, vector(v))


class Block(VectorTerm):
    """The components i..j-1 of a vector; j may be infinite: to the end."""

    def __new__(cls, v: VectorTerm, i: Any, j: Any = oo) -> Any:
        i, j = index(i), oo if j in (None, oo) else index(j)
        if j <= i:
            raise ValueError(f"a block i..j-1 needs i < j, got i={i}, j={j}")
        if isinstance(vector(v), Scaled):
            return Scaled(v.args[0], Block(v.args[1], i, j))
        if isinstance(v, Block):
            start, stop = v.args[1:]
            return Block(v.args[0], start + i, min(start + j, stop))  # type: ignore[operator]
        if isinstance(v, Stack):
            return _block_of_stack(v, int(i), j)
        if i == 0 and j is oo:
            return v
        if isinstance(v, (Zero, Ones)):
            return v.func(Block(v.args[0], i, j))
        return make(cls, v, i, j)


def _block_of_stack(v: "Stack", i: int, j: Any) -> VectorTerm:
    """Take whole parts of the stack where their sizes are known."""
    if i == 0 and j is oo:
        return v
    start, inside = 0, []
    for k, part in enumerate(v.args):
        n = size(part)
        last = k == len(v.args) - 1
        if start == i and j is oo:
            return Stack(*v.args[k:])
        if last and n is None and i >= start:
            return Block(part, i - start, j - start)  # type: ignore[arg-type]
        if n is None:
            break
        if i <= start and start + n <= j:
            inside.append(part)
        elif i < start + n and j > start:
            if i >= start and start + n >= j and isinstance(part, VectorTerm):
                return Block(part, i - start, j - start)
            break
        start += n
        if inside and start == j:
            return Stack(*inside)
    return make(Block, v, Integer(i), j)


class Stack(VectorTerm):
    """Vectors one below the other; a scalar counts as one component."""

    def __new__(cls, *parts: Any) -> Any:
        flat: list = []
        for part in parts:
            if isinstance(part, Stack):
                flat.extend(part.args)
            else:
                flat.append(part if isinstance(part, VectorTerm) else scalar(part))
        if not flat:
            raise ValueError("stack needs at least one part, got none")
        if len(flat) == 1 and isinstance(flat[0], VectorTerm):
            return flat[0]
        flat = _rejoined(flat)
        if len(flat) == 1 and isinstance(flat[0], VectorTerm):
            return flat[0]
        if all(p is S.Zero or isinstance(p, Zero) for p in flat):
            return Zero(Stack(*(p.args[0] if isinstance(p, Zero) else S.One for p in flat)))
        return make(cls, *flat)


def _rejoined(parts: list) -> list:
    """Neighbouring blocks of one vector become one block."""
    joined: list = []
    for part in parts:
        before = joined[-1] if joined else None
        if isinstance(part, Block) and isinstance(before, Block):
            if part.args[0] == before.args[0] and part.args[1] == before.args[2]:
                joined[-1] = Block(part.args[0], before.args[1], part.args[2])  # type: ignore[arg-type]
                continue
        joined.append(part)
    return joined


class Elementwise(VectorTerm):
    """A function of one real variable applied to each component.

    The function is stored as an expression in `SLOT`; further parameters may occur in it.
    """

    def __new__(cls, expression: Any, v: VectorTerm) -> Any:
        expression, v = scalar(expression), vector(v)
        if not has_slot(expression):
            return Scaled(expression, Ones(v))
        rest = expression / SLOT
        if not has_slot(rest):
            return Scaled(rest, v)
        return make(cls, expression, v)


def has_slot(expression: Basic) -> bool:
    """Whether the variable of an elementwise function occurs, outside of inner ones."""
    if isinstance(expression, Term):
        return False
    return expression is SLOT or any(has_slot(a) for a in expression.args)


VectorTerm._sum, VectorTerm._scaled = VectorSum, Scaled
