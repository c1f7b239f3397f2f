"""Terms: scalars, vectors, matrices and measures of symbolic dimension.

A scalar is a SymPy expression. A vector or a matrix is a `VectorTerm` or a `MatrixTerm`, built from
few heads; its dimension stays symbolic until numbers are bound. All state of a term lies in `args`,
`term.func(*term.args) == term`, and equal terms are one object, so that shared subterms are
compared and visited once.

Constructors fold only what is always wanted: sums are flat, like summands are collected, zeros
vanish, scalars move outwards.
"""

from collections.abc import Iterable
from functools import cached_property, cmp_to_key, lru_cache
from typing import Any
from weakref import WeakValueDictionary

from sympy import Add, Basic, Expr, Integer, S, Symbol, oo, sqrt, sympify
from sympy.core.symbol import Str

from .products import product

_TERMS: WeakValueDictionary = WeakValueDictionary()
LONG = 5  # summands; a longer sum of matrices is applied and transposed as a whole: it stays shared


def make(cls: type, *args: Any) -> Any:
    """The one object of this class with these args."""
    key = (cls, args)
    term = _TERMS.get(key)
    if term is None:
        term = _TERMS[key] = Basic.__new__(cls, *args)
    return term


class Term(Basic):
    """What all heads share: cached free symbols and substitution that respects scopes."""

    is_term = True

    args: tuple[Any, ...]  # type: ignore[assignment]

    @cached_property
    def free(self) -> frozenset:
        """Points, parameters and measures that occur in this term and are not bound in it."""
        return frozenset().union(*(free_symbols(a) for a in self.args))

    @property
    def free_symbols(self) -> set:  # SymPy's `diff` insists on a set
        return set(self.free)

    @cached_property
    def height(self) -> int:
        """The greatest number of binders above one another inside this term."""
        return max((height(a) for a in self.args), default=0)

    def _eval_subs(self, old: Basic, new: Basic) -> Basic:
        from .substitution import substitute

        return substitute(self, {old: new})

    def _xreplace(self, rule: Any) -> Any:
        from .substitution import substitute

        new = substitute(self, rule)
        return new, new is not self

    def _sympystr(self, printer: Any) -> str:
        from .printing import text

        return text(self, inline=printer is not None)

    def _latex(self, printer: Any) -> str:
        from .printing import latex

        return latex(self, inline=True)

    def __repr__(self) -> str:
        return self._sympystr(None)

    __str__ = __repr__


def free_symbols(term: Basic) -> frozenset:
    """Points, parameters and measures that occur in a term and are not bound in it."""
    if isinstance(term, Term):
        return term.free
    if isinstance(term, Symbol):
        return frozenset() if term is SLOT else frozenset((term,))
    return _free_in(term) if term.args else frozenset()


@lru_cache(maxsize=1 << 16)
def _free_in(term: Basic) -> frozenset:
    return frozenset().union(*(free_symbols(a) for a in term.args))


def height(term: Basic) -> int:
    """The greatest number of binders above one another inside a term."""
    if isinstance(term, Term):
        return term.height
    return _height_of(term) if term.args else 0


@lru_cache(maxsize=1 << 16)
def _height_of(term: Basic) -> int:
    return max(height(a) for a in term.args)


def depends(term: Basic, *symbols: Basic) -> bool:
    """Whether one of the symbols is free in the term."""
    free = free_symbols(term)
    return any(s in free for s in symbols)


_order = cmp_to_key(Basic.compare)


def in_order(terms: Iterable[Basic]) -> list:
    """The terms in the order of their structure, the same in every process."""
    return sorted(terms, key=_order)


def scalar(value: Any) -> Expr:
    """A number or a SymPy expression, as an expression."""
    if isinstance(value, (VectorTerm, MatrixTerm, MeasureTerm)):
        raise TypeError(f"expected a scalar term, got the {kind(value)} {value}")
    value = sympify(value, strict=True)
    if not isinstance(value, Expr):
        raise TypeError(f"expected a scalar term, got {value!r}")
    return value


def vector(value: Any) -> "VectorTerm":
    if not isinstance(value, VectorTerm):
        raise TypeError(f"expected a vector term, got {value!r}")
    return value


def matrix(value: Any) -> "MatrixTerm":
    if not isinstance(value, MatrixTerm):
        raise TypeError(f"expected a matrix term, got {value!r}")
    return value


def kind(term: Any) -> str:
    """One of "scalar", "vector", "matrix", "measure"."""
    for cls, name in ((VectorTerm, "vector"), (MatrixTerm, "matrix"), (MeasureTerm, "measure")):
        if isinstance(term, cls):
            return name
    if isinstance(term, Expr):
        return "scalar"
    raise TypeError(f"expected a term, got {term!r}")


def _name(name: Any) -> Str:
    if isinstance(name, Str):
        return name
    if not isinstance(name, str) or not name:
        raise TypeError(f"a name is a string that is not empty, got {name!r}")
    return Str(name)


class _Linear:
    """The operators of vectors and of matrices."""

    __array_ufunc__ = None  # NumPy scalars leave `number * term` to the term
    _kind: Any
    _sum: Any
    _scaled: Any

    def __add__(self, other: Any) -> Any:
        return self._sum(self, other) if isinstance(other, type(self)._kind) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return self if isinstance(other, (int, Integer)) and other == 0 else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return self + -other if isinstance(other, type(self)._kind) else NotImplemented

    def __neg__(self) -> Any:
        return self._scaled(S.NegativeOne, self)

    def __pos__(self) -> Any:
        return self

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, (VectorTerm, MatrixTerm, MeasureTerm)):
            return NotImplemented
        return self._scaled(scalar(other), self)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, (VectorTerm, MatrixTerm, MeasureTerm)):
            return NotImplemented
        return self._scaled(1 / scalar(other), self)


class ScalarTerm(Term, Expr):  # type: ignore[misc]
    """A scalar head of ours; elsewhere it is an ordinary real SymPy expression."""

    is_commutative = True
    is_number: Any = False  # type: ignore[assignment]
    is_extended_real = True
    is_finite = True

    def _eval_derivative(self, symbol: Symbol) -> Expr:
        from .gateaux import Along, gateaux

        return gateaux(self, Along(symbol, S.One))

    def _eval_conjugate(self) -> Expr:
        return self


class VectorTerm(_Linear, Term):
    """A vector of symbolic dimension."""


class MatrixTerm(_Linear, Term):
    """A matrix of symbolic dimensions."""

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, VectorTerm):
            return MatVec(self, other)
        return MatMul(self, other) if isinstance(other, MatrixTerm) else NotImplemented

    @property
    def T(self) -> "MatrixTerm":
        """The transpose."""
        return Transpose(self)


VectorTerm._kind = VectorTerm  # type: ignore[attr-defined]
MatrixTerm._kind = MatrixTerm  # type: ignore[attr-defined]


class MeasureTerm(Term):
    """A measure: a `Measure` or a `Pushforward`."""

    @property
    def probability(self) -> bool:
        """Whether the mass is one by declaration."""
        raise NotImplementedError

    @property
    def base(self) -> "Measure":
        """The named measure below all push-forwards."""
        raise NotImplementedError


class _Atom:
    """A named term that is its own free symbol."""

    def __new__(cls, name: Any) -> Any:
        return make(cls, _name(name))

    @property
    def name(self) -> str:
        return self.args[0].name  # type: ignore[attr-defined]

    @cached_property
    def free(self) -> frozenset:
        return frozenset((self,))


class Parameter:
    """Marks the atoms that `bind` gives a value."""


class Point(_Atom, VectorTerm):
    """A point of the space, a free variable.

    >>> Point("x") + Point("x")
    2 x
    """


class BoundPoint(VectorTerm):
    """The variable of a binder, named by the binder's height. Not for users: see `Binder.at`."""

    def __new__(cls, level: Any) -> "BoundPoint":
        return make(cls, sympify(level))

    @cached_property
    def free(self) -> frozenset:
        return frozenset((self,))


class FreshPoint(VectorTerm):
    """A point that occurs nowhere else, to open a binder with."""

    _count = 0

    def __new__(cls, number: Any = None) -> "FreshPoint":
        if number is None:
            number = FreshPoint._count = FreshPoint._count + 1
        return make(cls, sympify(number))

    @cached_property
    def free(self) -> frozenset:
        return frozenset((self,))


class Vector(Parameter, _Atom, VectorTerm):
    """A parameter that is a vector."""


class Matrix(Parameter, _Atom, MatrixTerm):
    """A parameter that is a matrix.

    >>> Matrix("A") @ Point("x")
    A x
    """


class Scalar(Parameter, Symbol):
    """A real parameter; `positive=True` and the like narrow it.

    >>> Scalar("beta") * Point("x")
    beta x
    """

    def __new__(cls, name: str, **assumptions: bool) -> "Scalar":
        return Symbol.__new__(cls, name, **{"real": True, **assumptions})


class Slot(Symbol):
    """The variable of the function of an `Elementwise`."""


SLOT = Slot("t", real=True)


class Measure(MeasureTerm):
    """A finite positive measure; with `probability=True` its mass is one.

    >>> Measure("mu").probability
    False
    """

    def __new__(cls, name: Any, probability: Any = False) -> "Measure":
        return make(cls, _name(name), S.true if probability else S.false)

    name = _Atom.name

    @property
    def probability(self) -> bool:
        return self.args[1] is S.true

    @property
    def base(self) -> "Measure":
        return self

    @cached_property
    def free(self) -> frozenset:
        return frozenset((self,))


# ---- vectors


def shape(v: VectorTerm) -> VectorTerm:
    """A simpler term of the same dimension."""
    if isinstance(v, VectorSum):
        return _simplest([shape(a) for a in v.args])
    if isinstance(v, (Scaled, Elementwise)):
        return shape(v.args[1])
    if isinstance(v, (Zero, Ones)):
        return v.args[0]
    if isinstance(v, Basis):
        return v.args[1]
    return v


def _simplest(shapes: list) -> VectorTerm:
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


def _coefficient(term: Basic, scaled: type) -> tuple[Any, Any]:
    return term.args if isinstance(term, scaled) else (S.One, term)  # type: ignore[return-value]


def _collected(terms: Iterable[Any], total: type, scaled: Any, is_zero: Any) -> list:
    coefficients: dict[Basic, list[Expr]] = {}
    for term in terms:
        for part in term.args if isinstance(term, total) else (term,):
            if not is_zero(part):
                c, core = _coefficient(part, scaled)
                coefficients.setdefault(core, []).append(c)
    parts = (scaled(Add(*cs), core) for core, cs in coefficients.items())
    return in_order(p for p in parts if not is_zero(p))


def is_zero(term: Basic) -> bool:
    """Whether the term is a zero by its form: 0, `Zero` or `ZeroMatrix`."""
    return term is S.Zero or isinstance(term, (Zero, ZeroMatrix))


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
        return make(cls, _index(i), shape(vector(like)))


def _index(i: Any) -> Any:
    if isinstance(i, bool) or not isinstance(i, (int, Integer)) or i < 0:
        raise ValueError(f"an index is an integer counted from 0, got {i!r}")
    return Integer(i)


class VectorSum(VectorTerm):
    """A sum of vectors; like summands are collected."""

    def __new__(cls, *terms: VectorTerm) -> Any:
        parts = _collected(map(vector, terms), VectorSum, Scaled, is_zero)
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


class Block(VectorTerm):
    """The components i..j-1 of a vector; j may be infinite: to the end."""

    def __new__(cls, v: VectorTerm, i: Any, j: Any = oo) -> Any:
        i, j = _index(i), oo if j in (None, oo) else _index(j)
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
        if all(is_zero(p) for p in flat):
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


# ---- matrices


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
        return _simplest([row_like(a) for a in m.args])
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
        parts = _collected(map(matrix, terms), MatrixSum, MatrixScaled, is_zero)
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
        coefficient, flat = S.One, []
        for factor in factors:
            c, core = _coefficient(matrix(factor), MatrixScaled)
            coefficient = product(coefficient, c)
            flat.extend(core.args if isinstance(core, MatMul) else (core,))
        if any(isinstance(f, ZeroMatrix) for f in flat):
            return ZeroMatrix(row_like(flat[0]), column_like(flat[-1]))
        flat = [f for f in flat if not isinstance(f, Identity)] or flat[:1]
        if len(flat) > 1:
            for i, f in enumerate(flat):
                if isinstance(f, Outer):  # A (u v^T) B = (A u) (B^T v)^T
                    return coefficient * Outer(
                        _apply(flat[:i], f.args[0]),
                        _apply([Transpose(b) for b in reversed(flat[i + 1 :])], f.args[1]),
                    )
        return coefficient * (flat[0] if len(flat) == 1 else make(cls, *flat))


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
        i, j = _index(i), oo if j in (None, oo) else _index(j)
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


# ---- scalars


def _upright(v: VectorTerm) -> VectorTerm:
    """A sum or its negative, whichever has the plus at its first summand: for `<v, v>`."""
    if not isinstance(v, VectorSum):
        return v
    first = min(v.args, key=lambda a: _order(_coefficient(a, Scaled)[1]))
    return -v if _coefficient(first, Scaled)[0].could_extract_minus_sign() else v


class Dot(ScalarTerm):
    """The inner product of two vectors."""

    def __new__(cls, u: VectorTerm, v: VectorTerm) -> Any:
        (a, u), (b, v) = _coefficient(vector(u), Scaled), _coefficient(vector(v), Scaled)
        if isinstance(u, Zero) or isinstance(v, Zero):
            return S.Zero
        for p, q in ((u, v), (v, u)):
            if isinstance(p, Basis):
                return product(a, b, Component(q, p.args[0]))
        if isinstance(u, Ones) and isinstance(v, Ones):
            return a * b * Dimension(u)
        if u == v:
            u = v = _upright(u)
        return product(a, b, make(cls, *in_order((u, v))))

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return True if self.args[0] == self.args[1] else None


class Component(ScalarTerm):
    """The component `v_i`, counted from zero."""

    def __new__(cls, v: VectorTerm, i: Any) -> Any:
        i = _index(i)
        if isinstance(vector(v), Zero):
            return S.Zero
        if isinstance(v, Ones):
            return S.One
        if isinstance(v, Basis):
            return S.One if v.args[0] == i else S.Zero
        if isinstance(v, Scaled):
            return product(v.args[0], Component(v.args[1], i))
        if isinstance(v, Block):
            return Component(v.args[0], v.args[1] + i)
        if isinstance(v, Elementwise):
            from .substitution import at_slot

            return at_slot(v.args[0], Component(v.args[1], i))
        if isinstance(v, Stack):
            return _component_of_stack(v, int(i))
        return make(cls, v, i)


def _component_of_stack(v: Stack, i: int) -> Any:
    start = 0
    for part in v.args:
        n = size(part)
        if n is None:
            break
        if i < start + n:
            return Component(part, i - start) if isinstance(part, VectorTerm) else part
        start += n
    else:
        raise ValueError(f"component {i} of a stack with {start} components")
    if part is v.args[-1]:
        return Component(part, i - start)
    return make(Component, v, Integer(i))


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


class Dimension(ScalarTerm):
    """The number of components of a vector."""

    is_integer = True
    is_positive = True

    def __new__(cls, v: VectorTerm) -> Any:
        n = size(vector(v))
        return make(cls, shape(v)) if n is None else Integer(n)


VectorTerm._sum, VectorTerm._scaled = VectorSum, Scaled
MatrixTerm._sum, MatrixTerm._scaled = MatrixSum, MatrixScaled


# ---- what users call


def dot(u: VectorTerm, v: VectorTerm) -> Expr:
    """The inner product `<u, v>`.

    >>> dot(Point("x"), 2 * Point("y"))
    2*<x, y>
    """
    return Dot(u, v)


def norm2(v: VectorTerm) -> Expr:
    """The square of the Euclidean norm, `<v, v>`.

    >>> norm2(3 * Point("x"))
    9*<x, x>
    """
    return Dot(v, v)


def norm(v: VectorTerm) -> Expr:
    """The Euclidean norm, the square root of `<v, v>`.

    >>> norm(-Point("x"))
    sqrt(<x, x>)
    """
    return sqrt(Dot(v, v))


def outer(u: VectorTerm, v: VectorTerm) -> MatrixTerm:
    """The matrix `u v^T`.

    >>> outer(Point("x"), Point("y")) @ Point("z")
    <y, z> x
    """
    return Outer(u, v)


def component(v: VectorTerm, i: int) -> Expr:
    """The component `v_i`, counted from zero.

    >>> component(block(Point("x"), 2, 4), 1)
    x[3]
    """
    return Component(v, i)


def block(v: VectorTerm, i: int, j: int | None = None) -> VectorTerm:
    """The components i..j-1 of a vector, or all from i on.

    >>> block(block(Point("x"), 2, 6), 1, 3)
    x[3:5]
    """
    return Block(v, i, j)


def stack(*parts: Any) -> VectorTerm:
    """Vectors, and scalars as single components, one below the other.

    >>> x = Point("x")
    >>> stack(block(x, 0, 2), block(x, 2, 4))
    x[0:4]
    """
    return Stack(*parts)


def elementwise(function: Any, v: VectorTerm) -> VectorTerm:
    """A scalar function applied to each component: `function` takes and returns an expression.

    >>> from sympy import tanh
    >>> elementwise(tanh, Point("x"))
    tanh.(x)
    """
    return Elementwise(function(SLOT), v)


def diagonal(v: VectorTerm) -> MatrixTerm:
    """The diagonal matrix of a vector; `diagonal(u) @ v` is the product by components.

    >>> diagonal(Vector("g")) @ Point("x")
    diag(g) x
    """
    return Diagonal(v)
