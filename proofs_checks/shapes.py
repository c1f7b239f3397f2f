"""Whether the dimensions in a term fit together on a domain."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from ..symbolic import (
    Basis,
    Block,
    BoundPoint,
    Component,
    Cumulant,
    Diagonal,
    Dimension,
    Dot,
    Elementwise,
    Identity,
    Integral,
    LogPartition,
    MatMul,
    Matrix,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Measure,
    Ones,
    Outer,
    Parameter,
    Point,
    Pushforward,
    Rows,
    RowStack,
    Scaled,
    Stack,
    Supremum,
    Trace,
    Transpose,
    VectorSum,
    Zero,
    ZeroMatrix,
)
from ..symbolic.matrices import Columns
from ..symbolic.terms import free_symbols
from .scope import Stopped, short

Shape = tuple[int, ...]


class Shapes:
    """The shapes of terms, () or (d,) or (rows, columns), for given shapes of what is free."""

    def __init__(self, known: Mapping[Any, Shape], memory: dict | None = None):
        self.known = known
        self.memory: dict = {} if memory is None else memory

    def __call__(self, term: Any) -> Shape:
        """The shape of a term; all terms inside fit together.

        Raises:
            Stopped: two dimensions differ.
        """
        seen = free_symbols(term)
        key = (term, tuple((s, self.known[s]) for s in self.known if s in seen))
        if key not in self.memory:
            self.memory[key] = shape(term, self)
        return self.memory[key]

    def inside(self, binder: Any) -> "Shapes":
        return Shapes({**self.known, binder.variable: self(binder.measure)}, self.memory)


def _fits(term: Any, condition: bool, expected: str) -> None:
    if not condition:
        raise Stopped(type(term).__name__, f"{short(term)} needs {expected}")


@singledispatch
def shape(term: Any, of: Shapes) -> Shape:
    """The shape of a term by the rule of its head."""
    for part in getattr(term, "args", ()):
        of(part)
    return ()


@shape.register(Point)
@shape.register(BoundPoint)
@shape.register(Measure)
@shape.register(Parameter)
def _(term: Any, of: Shapes) -> Shape:
    return of.known.get(term, ())


@shape.register(Matrix)
def _(term: Any, of: Shapes) -> Shape:
    return of.known[term]


@shape.register(Zero)
@shape.register(Ones)
def _(term: Any, of: Shapes) -> Shape:
    return of(term.args[0])


@shape.register(Basis)
def _(term: Any, of: Shapes) -> Shape:
    (n,) = of(term.args[1])
    _fits(term, int(term.args[0]) < n, f"more than {n} components")
    return (n,)


@shape.register(VectorSum)
@shape.register(MatrixSum)
def _(term: Any, of: Shapes) -> Shape:
    found = [of(a) for a in term.args]
    _fits(term, len(set(found)) == 1, f"summands of one shape, got {sorted(set(found))}")
    return found[0]


@shape.register(Scaled)
@shape.register(MatrixScaled)
def _(term: Any, of: Shapes) -> Shape:
    of(term.args[0])
    return of(term.args[1])


@shape.register(MatVec)
def _(term: Any, of: Shapes) -> Shape:
    (rows, columns), (n,) = of(term.args[0]), of(term.args[1])
    _fits(term, columns == n, f"a vector of {columns} components, got {n}")
    return (rows,)


@shape.register(Block)
@shape.register(Rows)
def _(term: Any, of: Shapes) -> Shape:
    n, *rest = of(term.args[0])
    start, stop = int(term.args[1]), int(term.args[2]) if term.args[2].is_finite else n
    _fits(term, start < stop <= n, f"at least {max(stop, start + 1)} components, got {n}")
    return (stop - start, *rest)


@shape.register(Stack)
def _(term: Any, of: Shapes) -> Shape:
    return (sum(sum(of(a)) or 1 for a in term.args),)


@shape.register(Elementwise)
def _(term: Any, of: Shapes) -> Shape:
    of(term.args[0])
    return of(term.args[1])


@shape.register(Columns)
def _(term: Any, of: Shapes) -> Shape:
    return of(term.args[0])[1:]


@shape.register(Identity)
def _(term: Any, of: Shapes) -> Shape:
    return of(term.args[0]) * 2


@shape.register(ZeroMatrix)
@shape.register(Outer)
def _(term: Any, of: Shapes) -> Shape:
    return of(term.args[0]) + of(term.args[1])


@shape.register(MatMul)
def _(term: Any, of: Shapes) -> Shape:
    factors = [of(a) for a in term.args]
    for (_, columns), (rows, _) in zip(factors, factors[1:], strict=False):
        _fits(term, columns == rows, f"factors that fit, got {columns} columns and {rows} rows")
    return (factors[0][0], factors[-1][1])


@shape.register(Transpose)
def _(term: Any, of: Shapes) -> Shape:
    return of(term.args[0])[::-1]


@shape.register(Diagonal)
def _(term: Any, of: Shapes) -> Shape:
    return of(term.args[0]) * 2


@shape.register(RowStack)
def _(term: Any, of: Shapes) -> Shape:
    found = [of(a) for a in term.args]
    _fits(term, len({columns for _, columns in found}) == 1, "equally many columns in all parts")
    return (sum(rows for rows, _ in found), found[0][1])


@shape.register(Dot)
def _(term: Any, of: Shapes) -> Shape:
    u, v = (of(a) for a in term.args)
    _fits(term, u == v, f"vectors of one dimension, got {u[0]} and {v[0]}")
    return ()


@shape.register(Component)
def _(term: Any, of: Shapes) -> Shape:
    (n,) = of(term.args[0])
    _fits(term, int(term.args[1]) < n, f"more than {n} components")
    return ()


@shape.register(Trace)
def _(term: Any, of: Shapes) -> Shape:
    rows, columns = of(term.args[0])
    _fits(term, rows == columns, f"a square matrix, got {rows} rows and {columns} columns")
    return ()


@shape.register(Dimension)
def _(term: Any, of: Shapes) -> Shape:
    of(term.args[0])
    return ()


@shape.register(Integral)
@shape.register(LogPartition)
@shape.register(Supremum)
@shape.register(Cumulant)
def _(term: Any, of: Shapes) -> Shape:
    within = of.inside(term)
    return tuple(n for part in term.parts for n in within(part))


@shape.register(Pushforward)
def _(term: Any, of: Shapes) -> Shape:
    return of.inside(term)(term.parts[0])
