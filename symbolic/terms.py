"""Terms: scalars, vectors, matrices and measures of symbolic dimension, and their atoms.

A scalar is a SymPy expression. A vector or a matrix is a `VectorTerm` or a `MatrixTerm`, built from
few heads; its dimension stays symbolic until numbers are bound. All state of a term lies in `args`,
`term.func(*term.args) == term`, and equal terms are one object, so that shared subterms are
compared and visited once.

Constructors fold only what is always wanted: sums are flat, like summands are collected, zeros
vanish, scalars move outwards. The heads stand in `vectors`, `scalars` and `matrices`, each of which
builds on the one before; operators find their heads as attributes of the kind.
"""

from collections.abc import Iterable
from functools import cached_property, cmp_to_key, lru_cache
from typing import Any
from weakref import WeakValueDictionary

from sympy import Basic, Expr, Integer, S, Symbol, sympify
from sympy.core.symbol import Str

_TERMS: WeakValueDictionary = WeakValueDictionary()


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


order = cmp_to_key(Basic.compare)


def in_order(terms: Iterable[Basic]) -> list:
    """The terms in the order of their structure, the same in every process."""
    return sorted(terms, key=order)


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

    _image: Any
    _product: Any
    _transpose: Any

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, VectorTerm):
            return self._image(self, other)
        return self._product(self, other) if isinstance(other, MatrixTerm) else NotImplemented

    @property
    def T(self) -> "MatrixTerm":
        """The transpose."""
        return self._transpose(self)


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
