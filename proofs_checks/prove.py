"""Proofs that an in-context map is continuous on `P(Omega) x Omega`.

A pass over terms with one rule for each head. Continuity goes from the parts of a term to the
whole; where a head is continuous on a part of the line only, a rigorous enclosure of its argument
must stay there, for every probability measure on the domain.
"""

from collections.abc import Mapping
from functools import singledispatch
from itertools import combinations
from typing import Any

import numpy as np
import sympy
from sympy import S

from ..numeric import AbstractDomain
from ..numeric.arrays import to_numpy
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
    Ones,
    Outer,
    Point,
    Pushforward,
    Rows,
    RowStack,
    Scalar,
    Scaled,
    Stack,
    Supremum,
    SymbolicMap,
    Trace,
    Transpose,
    Vector,
    VectorSum,
    Zero,
    ZeroMatrix,
)
from ..symbolic.terms import SLOT, Slot, in_order
from .conditions import agree, branches, relations
from .derivation import Proof, Refusal, Step
from .enclosure import inside
from .guards import stays
from .heads import POSITIVE, head_of, where_power
from .interval import Unbounded, hull, rigorous
from .scope import Place, Scope, Stopped, Vacuous, enclose, read, short
from .shapes import Shapes


@rigorous
def prove(
    symbolic_map: SymbolicMap, parameters: Mapping[str, Any], domain: AbstractDomain
) -> Proof | Refusal:
    """Prove that a map is continuous, for every probability measure on a domain.

    Args:
        symbolic_map: `G(mu, x)`.
        parameters: an array or a number for the name of each parameter. They enter exactly.
        domain: Omega, compact.

    Returns:
        A `Proof` that G is finite and jointly continuous on `P(Omega) x Omega`, in exact
        arithmetic; hence `f(mu) = G(mu)#mu` is well defined, continuous, and satisfies B1 and B2.
        Or a `Refusal` that says what stopped the proof, and nothing about the map.

    Raises:
        ValueError: a parameter has no finite value.
        TypeError: no map, or no domain.

    Softmax attention with a residual is continuous, hardmax-like signs are not proved:

    >>> import numpy as np
    >>> from pushforward.numeric import Ball
    >>> from pushforward.symbolic import Matrix, Measure, Point, dot, gibbs, integral
    >>> x, y, mu, A = Point("x"), Point("y"), Measure("mu"), Matrix("A")
    >>> attention = SymbolicMap(x + gibbs(y, y, mu, energy=dot(x, A @ y)), x, mu)
    >>> proof = prove(attention, {"A": np.eye(2)}, Ball(2))
    >>> [theorem.name for theorem in proof.theorems]
    ['in-context map', 'polynomial', 'variable', 'Gibbs law']
    >>> mean = dot(x, integral(y, y, mu))
    >>> print(prove(SymbolicMap(sympy.sign(mean) * x, x, mu), {}, Ball(2)))
    no proof: sign(<x, int y mu(dy)>) needs an argument away from 0; it lies in [-1, 1]

    Source: Furuya, de Hoop & Lassas (2025); docs/mathematics.md, sections 2 and 5.
    """
    if not isinstance(symbolic_map, SymbolicMap):
        raise TypeError(f"expected a SymbolicMap, got {type(symbolic_map).__name__}")
    if not isinstance(domain, AbstractDomain):
        raise TypeError(f"expected a domain, got {type(domain).__name__}")
    if symbolic_map.others:
        names = ", ".join(nu.name for nu in symbolic_map.others)
        return Refusal("Measure", f"the map reads further measures: {names}")
    try:
        term, scope = read(symbolic_map, parameters, domain)
        _fit(symbolic_map, parameters, domain)
        return Proof(continuous(term, scope), domain.spec())
    except Stopped as stop:
        return Refusal(stop.head, stop.reason)
    except Unbounded as error:
        head = type(symbolic_map.term).__name__
        return Refusal(head, f"no finite enclosure was found for {error}")


def _fit(symbolic_map: SymbolicMap, parameters: Mapping[str, Any], domain: Any) -> None:
    known = {a: np.shape(to_numpy(parameters[a.name])) for a in symbolic_map.parameters}
    point = (domain.dim,)
    Shapes({**known, symbolic_map.x: point, symbolic_map.mu: point})(symbolic_map.term)


def continuous(term: Any, scope: Scope) -> Step:
    """A proof that the term is finite and continuous in all that it depends on.

    Raises:
        Stopped: no rule applies.
    """
    return scope.remembered(rule, term)


@singledispatch
def rule(term: Any, scope: Scope) -> Step:
    """The step for a term by the rule of its head."""
    name = getattr(term, "name", type(term).__name__)
    raise Stopped(name, f"no rule of continuity is known for {name}")


def _step(name: str, term: Any, *premises: Step) -> Step:
    return Step(name, term, "is continuous", premises)


# ---- variables, numbers, and what is polynomial


@rule.register(Zero)
@rule.register(Ones)
@rule.register(Basis)
@rule.register(Identity)
@rule.register(ZeroMatrix)
@rule.register(Dimension)
@rule.register(Scalar)
@rule.register(Vector)
@rule.register(Matrix)
@rule.register(sympy.Rational)
@rule.register(sympy.Float)
@rule.register(sympy.NumberSymbol)
def _(term: Any, scope: Scope) -> Step:
    return _step("variable", term)


@rule.register(Point)
@rule.register(BoundPoint)
@rule.register(Slot)
def _(term: Any, scope: Scope) -> Step:
    if term not in scope.places:
        raise Stopped(str(term), f"the variable {term} is not bound")
    return _step("variable", term)


@rule.register(VectorSum)
@rule.register(Scaled)
@rule.register(MatVec)
@rule.register(Stack)
@rule.register(Outer)
@rule.register(MatrixSum)
@rule.register(MatrixScaled)
@rule.register(MatMul)
@rule.register(Transpose)
@rule.register(Diagonal)
@rule.register(RowStack)
@rule.register(Dot)
@rule.register(Trace)
@rule.register(sympy.Add)
@rule.register(sympy.Mul)
def _(term: Any, scope: Scope) -> Step:
    return _step("polynomial", term, *(continuous(a, scope) for a in term.args))


@rule.register(Block)
@rule.register(Rows)
@rule.register(Component)
def _(term: Any, scope: Scope) -> Step:
    return _step("polynomial", term, continuous(term.args[0], scope))


# ---- functions of scalars


@rule.register(sympy.Function)
def _(term: Any, scope: Scope) -> Step:
    name, head = type(term).__name__, head_of(type(term))
    if head is None:
        raise Stopped(name, f"no rule of continuity is known for the function {name}")
    argument = term.args[0]
    inner = continuous(argument, scope)
    if head.where is None:
        return _step("composition", term, inner)
    guard = stays(argument, scope, head.where, name, term)
    return _step("composition on a range", term, inner, guard)


@rule.register(sympy.Max)
@rule.register(sympy.Min)
def _(term: Any, scope: Scope) -> Step:
    return _step("composition", term, *(continuous(a, scope) for a in term.args))


@rule.register(sympy.atan2)
def _(term: Any, scope: Scope) -> Step:
    inner = [continuous(a, scope) for a in term.args]
    _, second = term.args
    guard = stays(second, scope, POSITIVE, "atan2", term)
    return _step("composition on a range", term, *inner, guard)


@rule.register(sympy.Pow)
def _(term: Any, scope: Scope) -> Step:
    base, exponent = term.args
    if isinstance(exponent, sympy.Integer) and exponent > 0:
        return _step("polynomial", term, continuous(base, scope))
    if isinstance(base, Dot) and base.args[0] == base.args[1] and exponent.is_positive:
        if isinstance(exponent, sympy.Number):
            return _step("norm", term, continuous(base.args[0], scope))
    inner = [continuous(a, scope) for a in term.args if not isinstance(a, sympy.Number)]
    guard = stays(base, scope, where_power(enclose(exponent, scope)), "Pow", term)
    return _step("composition on a range", term, *inner, guard)


# ---- conditions


@rule.register(sympy.Piecewise)
def _(term: Any, scope: Scope) -> Step:
    compared = {a for _, c in term.args for r in relations(c) for a in (r.lhs, r.rhs)}
    inner = [continuous(a, scope) for a in in_order(compared)]
    found, pieces = [], []
    for branch in branches(term, scope):
        try:
            pieces.append(continuous(branch.piece, branch.scope))
            found.append(branch)
        except Vacuous:
            continue
    if not found:
        raise Vacuous
    if len(found) == 1:
        return _step("one branch", term, *inner, *pieces)
    for one, other in combinations(found, 2):
        closure = sympy.And(one.closure, other.closure)
        for relation in relations(one.condition):
            if not agree(one.piece, other.piece, relation, closure, scope):
                pieces = f"{short(one.piece)} and {short(other.piece)}"
                raise Stopped("Piecewise", f"{pieces} may differ where {short(one.written)} flips")
    return _step("gluing", term, *inner, *pieces)


# ---- functions of vectors, measures


@rule.register(Elementwise)
def _(term: Any, scope: Scope) -> Step:
    function, v = term.args
    components = Place(rigorous(lambda: hull(enclose(v, scope).components)))
    inner = continuous(function, scope.binding(SLOT, components))
    return _step("composition", term, inner, continuous(v, scope))


@rule.register(Integral)
def _(term: Any, scope: Scope) -> Step:
    return _step("integral", term, *_integrands(term, scope))


@rule.register(Cumulant)
@rule.register(LogPartition)
def _(term: Any, scope: Scope) -> Step:
    return _step("Gibbs law", term, *_integrands(term, scope))


@rule.register(Supremum)
def _(term: Any, scope: Scope) -> Step:
    raise Stopped(
        "Supremum",
        f"{short(term)} runs over the support, which is no continuous function of the measure: an "
        "atom of vanishing weight enters it whole",
    )


@rule.register(Pushforward)
def _(term: Any, scope: Scope) -> Step:
    return _step("push-forward", term, *_integrands(term, scope))


def _integrands(binder: Any, scope: Scope) -> tuple[Step, ...]:
    """Steps for what is integrated, and for where the measure is pushed."""
    within = inside(binder, scope)
    parts = tuple(continuous(part, within) for part in binder.parts if part is not S.Zero)
    if isinstance(binder.measure, Pushforward):
        return (*parts, continuous(binder.measure, scope))
    return parts
