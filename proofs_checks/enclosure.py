"""Enclosures of terms that hold for every probability measure on a compact domain.

An integral against an unknown probability measure lies in the convex hull of the range of its
integrand, a Gibbs expectation likewise; the rest is interval arithmetic, with all rounding directed
by Arb.
"""

import math
from collections.abc import Mapping
from typing import Any

import sympy
from flint import arb, arb_mat, fmpq, fmpz
from sympy.functions.combinatorial.numbers import stirling

from ..numeric import AbstractDomain
from ..symbolic import (
    BoundPoint,
    Cumulant,
    FreshPoint,
    Integral,
    LogPartition,
    Matrix,
    Measure,
    Point,
    Scalar,
    Supremum,
    Vector,
)
from ..symbolic.terms import Slot, height
from . import vectors as vectors
from .averages import variance
from .conditions import branches
from .heads import head_of, power, power_is_continuous
from .interval import Interval, Unbounded, enclosing, hull, rigorous, symmetric, total
from .region import ONE, ZERO, MatrixRange, VectorRange, hull_of_range, norm_of, union, vector_range
from .scope import Place, Scope, Stopped, Vacuous, enclose, read, rule, short
from .squares import completed
from .vectors import matrix_hull


@rigorous
def enclosure(formula: Any, values: Mapping[str, Any], domain: AbstractDomain) -> Any:
    """A set that holds all values of a formula, for every probability measure on a domain.

    Args:
        formula: a symbolic map or field, or a term derived from one.
        values: an array or a number for the name of each parameter. They enter exactly.
        domain: where the measure and all points live, compact.

    Returns:
        An `Interval` for a scalar, a `VectorRange` or a `MatrixRange`, with bounds of the norm. The
        set *encloses*; it need not be tight.

    Raises:
        ValueError: no finite enclosure is found; the message names the head.

    Attention with values `V y` stays where the values are:

    >>> import numpy as np
    >>> from pushforward.numeric import Ball
    >>> from pushforward.symbolic import Matrix, Measure, Point, SymbolicMap, dot, gibbs
    >>> x, y, mu, V = Point("x"), Point("y"), Measure("mu"), Matrix("V")
    >>> attention = SymbolicMap(gibbs(V @ y, y, mu, energy=50 * dot(x, y)), x, mu)
    >>> found = enclosure(attention, {"V": 2 * np.eye(3)}, Ball(3))
    >>> print(found.components[0], round(float(found.norm.upper), 9))
    [-2, 2] 2.0

    Source: Moore, Kearfott & Cloud (2009), ch. 5; Johansson (2017) for the arithmetic.
    """
    try:
        return enclose(*read(formula, values, domain))
    except Stopped as stop:
        message = f"expected heads with enclosures, got {stop.head}: {stop.reason}"
        raise ValueError(message) from None
    except Unbounded as error:
        raise ValueError(f"expected a map with a finite enclosure, got {error}") from None


# ---- numbers, parameters and points

_CONSTANTS = {
    sympy.pi: arb.pi,
    sympy.E: arb.const_e,
    sympy.EulerGamma: arb.const_euler,
    sympy.Catalan: arb.const_catalan,
}


@rule.register(sympy.Rational)
def _(term: Any, scope: Scope) -> Interval:
    return enclosing(arb(fmpq(int(term.p), int(term.q))))


@rule.register(sympy.Float)
def _(term: Any, scope: Scope) -> Interval:
    sign, mantissa, exponent, _ = term._mpf_
    signed = -int(mantissa) if sign else int(mantissa)
    return enclosing(arb((fmpz(signed), fmpz(int(exponent)))))


@rule.register(sympy.NumberSymbol)
def _(term: Any, scope: Scope) -> Interval:
    if term not in _CONSTANTS:
        raise Stopped(str(term), f"no enclosure is known for the constant {term}")
    return enclosing(_CONSTANTS[term]())


@rule.register(Scalar)
@rule.register(Vector)
@rule.register(Matrix)
def _(term: Any, scope: Scope) -> Any:
    if term not in scope.parameters:
        raise Stopped(term.name, f"the parameter {term.name} has no value")
    return scope.parameters[term].range


@rule.register(Point)
@rule.register(BoundPoint)
@rule.register(FreshPoint)
@rule.register(Slot)
def _(term: Any, scope: Scope) -> Any:
    if term not in scope.places:
        raise Stopped(str(term), f"the variable {term} is not bound")
    return scope.places[term].range


# ---- SymPy's heads


@rule.register(sympy.Add)
def _(term: Any, scope: Scope) -> Interval:
    found = total(enclose(a, scope) for a in term.args)
    for other in (_with_squares(term, scope), _with_variance(term, scope)):
        found = (found.meet(other) if other else found) or found
    return found


def _with_squares(term: Any, scope: Scope) -> Interval | None:
    rewritten = completed(term)
    if not isinstance(rewritten, sympy.Add):
        return rewritten and enclose(rewritten, scope)
    return total(enclose(a, scope) for a in rewritten.args)


def _with_variance(term: Any, scope: Scope) -> Interval | None:
    spread = variance(term) if height(term) else None
    if spread is None:
        return None
    rest, c, h, y, law = spread
    within = scope.binding(y, place(law[0], scope))
    return enclose(rest, scope) + enclose(c, scope) * _variance(enclose(h, within))


def _variance(values: Any) -> Interval:
    """The trace of a covariance is at most the mean square, and a quarter of squared widths."""
    parts = (values,) if isinstance(values, Interval) else values.components
    quarters = total(Interval.between(ZERO, Interval(i.width, i.width)).power(2) for i in parts)
    size = values.size if isinstance(values, Interval) else values.norm.upper
    return Interval(arb(0), min((quarters.upper / 4).upper(), (size * size).upper()))


@rule.register(sympy.Mul)
def _(term: Any, scope: Scope) -> Interval:
    return math.prod((enclose(a, scope) for a in term.args), start=ONE)


@rule.register(sympy.Pow)
def _(term: Any, scope: Scope) -> Interval:
    base, exponent = (enclose(a, scope) for a in term.args)
    if not power_is_continuous(base, exponent):
        raise Stopped("Pow", f"{short(term)} has a base in {base}")
    return power(base, exponent)


@rule.register(sympy.Max)
def _(term: Any, scope: Scope) -> Interval:
    several = [enclose(a, scope) for a in term.args]
    return Interval(max(i.lower for i in several), max(i.upper for i in several))


@rule.register(sympy.Min)
def _(term: Any, scope: Scope) -> Interval:
    several = [enclose(a, scope) for a in term.args]
    return Interval(min(i.lower for i in several), min(i.upper for i in several))


@rule.register(sympy.atan2)
def _(term: Any, scope: Scope) -> Interval:
    return symmetric(arb.pi())


@rule.register(sympy.Function)
def _(term: Any, scope: Scope) -> Interval:
    name, head = type(term).__name__, head_of(type(term))
    if head is None:
        raise Stopped(name, f"no rule is known for the function {name}")
    argument = enclose(term.args[0], scope)
    if head.continuous_on(argument):
        return head.image(argument)
    if head.anywhere is not None:
        return head.anywhere(argument)
    raise Stopped(name, f"{short(term)} has an argument in {argument}")


@rule.register(sympy.Piecewise)
def _(term: Any, scope: Scope) -> Interval:
    found = []
    for branch in branches(term, scope):
        try:
            found.append(enclose(branch.piece, branch.scope))
        except Vacuous:
            continue
    if not found:
        raise Vacuous
    return hull(found)


# ---- measures


def place(measure: Any, scope: Scope) -> Place:
    """Where the atoms of a measure are."""
    return scope.remembered(_place, measure)


def _place(measure: Any, scope: Scope) -> Place:
    if isinstance(measure, Measure):
        return scope.places[measure]
    image, before = measure.parts[0], inside(measure, scope)
    return Place(rigorous(lambda: enclose(image, before)))


def inside(binder: Any, scope: Scope) -> Scope:
    """The scope of the parts of a binder, as they stand."""
    return scope.binding(binder.variable, place(binder.measure, scope))


def _over_cells(parts: tuple, binder: Any, scope: Scope) -> list[list]:
    """For each part its enclosures on cells that cover the measure."""
    cells = [inside(binder, scope)]
    for _ in range(scope.cuts):
        cells = [
            cell.narrowed(binder.variable, part)
            for cell in cells
            for part in cell.places[binder.variable].range.split()
        ]
    return [[enclose(part, cell) for cell in cells] for part in parts]


def _mean(values: list) -> Any:
    """A set around the averages of values in some enclosures."""
    if isinstance(values[0], Interval):
        return hull(values)
    if isinstance(values[0], VectorRange):
        return hull_of_range(union(values))
    return matrix_hull(values)


@rule.register(Integral)
def _(term: Any, scope: Scope) -> Any:
    return _mean(_over_cells(term.parts, term, scope)[0])


@rule.register(LogPartition)
def _(term: Any, scope: Scope) -> Interval:
    return hull(_over_cells(term.parts, term, scope)[0])


@rule.register(Supremum)
def _(term: Any, scope: Scope) -> Any:
    values = _over_cells(term.parts, term, scope)[0]
    if isinstance(values[0], Interval):
        return hull(values)
    # Each component is attained at an atom of its own: of the norm nothing is kept.
    return vector_range(map(hull, zip(*(v.components for v in values), strict=True)))


@rule.register(Cumulant)
def _(term: Any, scope: Scope) -> Any:
    ranges = [_mean(values) for values in _over_cells(term.slots, term, scope)]
    if len(ranges) == 1:
        return ranges[0]
    tensors = [r for r in ranges if not isinstance(r, Interval)]
    widths = (r.width for r in ranges if isinstance(r, Interval))
    bound = (cumulant_factor(len(ranges)) * math.prod(widths, start=arb(1))).upper()
    if not tensors:
        square = len(ranges) == 2 and term.slots[0] == term.slots[1]
        return Interval(arb(0), bound) if square else symmetric(bound)
    return _tensor_cumulant(bound, tensors)


def _tensor_cumulant(bound: arb, tensors: list) -> Any:
    """The tensors with entries up to `bound` times the oscillations of the tensor slots.

    Paired with unit vectors, a tensor slot oscillates by at most its diameter.
    """
    first, *second = tensors
    norm = (bound * math.prod(map(_diameter, tensors), start=arb(1))).upper()
    if isinstance(first, MatrixRange):
        radius = arb_mat(*first.shape) if first.radius is None else first.radius
        return MatrixRange(arb_mat(*first.shape), radius * (2 * bound), norm)
    if not second:
        components = [symmetric(bound * i.width) for i in first.components]
        return vector_range(components, Interval(arb(0), norm))
    rows = [[bound * i.width * j.width for j in second[0].components] for i in first.components]
    return MatrixRange(arb_mat(len(rows), len(rows[0])), arb_mat(rows), norm)


def _diameter(tensor: Any) -> arb:
    if isinstance(tensor, MatrixRange):
        return 2 * tensor.norm
    box = norm_of(Interval(i.width, i.width) for i in tensor.components)
    return min(2 * tensor.norm.upper, box.upper)


def cumulant_factor(order: int) -> arb:
    """A number c with `|kappa(h_1, ..., h_k)| <= c * prod osc(h_i)`, for an order k of at least 2.

    A cumulant is the sum over partitions into b blocks of `(-1)^{b-1} (b-1)!` times products of
    moments of `h_i - c_i`, each factor at most `osc(h_i)/2` for the right constants `c_i`; for a
    covariance Cauchy-Schwarz gives half of that.
    """
    if order == 2:
        return arb(1) / 4
    count = sum(int(stirling(order, b)) * math.factorial(b - 1) for b in range(1, order + 1))
    return (arb(count) / 2**order).upper()
