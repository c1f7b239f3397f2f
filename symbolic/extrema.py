"""Extrema over the support of a measure: max pooling and its kin.

The support is no continuous function of the measure: an atom of vanishing weight enters it whole.
So extrema have values and no derivatives, but for those that are zero.
"""

from typing import Any

from sympy import Add, Expr, Mul, S

from .binders import Binder, Integral, in_scope, named, pulled, rank
from .products import product
from .terms import MeasureTerm, ScalarTerm, VectorTerm, free_symbols, kind, make, scalar
from .vectors import Scaled, VectorSum, Zero


class Supremum(Binder):
    """The supremum of a term over the support of a measure; args (body, y, mu).

    Of a vector it is taken for each component by itself. Atoms of weight zero are not in the
    support. Sums leave it by what is constant, products by what is constant and of known sign:
    `sup(c h) = c sup(h)` for c >= 0 and `-c sup(-h)` for c <= 0.
    """

    _variable_at, _measure_at = 1, 2

    def __new__(cls, body: Any, variable: VectorTerm, measure: MeasureTerm) -> Any:
        measure = in_scope(variable, measure)
        body = body if isinstance(body, VectorTerm) else scalar(body)
        if variable not in free_symbols(body):
            return body
        if isinstance(body, Zero):
            return Integral(body, variable, measure)  # a zero of this shape, without the variable
        (body,), variable = named((body,), variable)
        if isinstance(body, (Add, VectorSum)):
            found = pulled(body, variable)
            if found is not None:
                _, constant, rest = found
                return constant + Supremum(rest, variable, measure)
        size, rest = _size(body, variable)
        if size is S.One:
            return make(_SUPREMA[kind(body)], body, variable, measure)
        value = Supremum(rest, variable, measure)
        return size * value if rank(value) else product(size, value)

    @property
    def parts(self) -> tuple[Any, ...]:
        return self.args[:1]

    def rebuilt(self, parts: tuple, variable: VectorTerm, measure: MeasureTerm) -> Any:
        return Supremum(parts[0], variable, measure)


def _size(body: Any, variable: VectorTerm) -> tuple[Expr, Any]:
    """A constant factor >= 0 of a body, and what stays."""
    c, core = body.args if isinstance(body, Scaled) else (body, None)
    if not isinstance(c, Expr):
        return S.One, body
    size, rest = S.One, S.One
    for f in Mul.make_args(c):
        if variable in free_symbols(f) or not (f.is_nonnegative or f.is_nonpositive):
            rest = product(rest, f)
        elif f.is_nonnegative:
            size = product(size, f)
        else:
            size, rest = product(size, -f), -rest
    return size, rest if core is None else Scaled(rest, core)


class ScalarSupremum(Supremum, ScalarTerm):
    """A supremum with a scalar value; it has the sign of its body."""

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return True if self.args[0].is_nonnegative else None

    def _eval_is_extended_nonpositive(self) -> bool | None:
        return True if self.args[0].is_nonpositive else None

    def _eval_is_extended_positive(self) -> bool | None:
        return True if self.args[0].is_positive else None


class VectorSupremum(Supremum, VectorTerm):
    """A supremum with a vector value, component by component."""


_SUPREMA = {"scalar": ScalarSupremum, "vector": VectorSupremum}


def supremum(h: Any, y: VectorTerm, mu: MeasureTerm) -> Any:
    """The supremum of `h(y)` over the support of mu, of a vector component by component.

    >>> from sympy import tanh
    >>> from .constructors import elementwise
    >>> from .terms import Measure, Point
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> supremum(x + 2 * elementwise(tanh, y), y, mu)
    x + 2 sup_{y in supp mu}(tanh.(y))
    """
    return Supremum(h, y, mu)


def infimum(h: Any, y: VectorTerm, mu: MeasureTerm) -> Any:
    """The infimum of `h(y)` over the support of mu: `-sup(-h)`.

    >>> from .constructors import norm2
    >>> from .terms import Measure, Point
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> infimum(norm2(x - y), y, mu)
    -sup_{y in supp mu}(-<x - y, x - y>)
    """
    return -Supremum(-h, y, mu)
