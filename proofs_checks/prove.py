"""Proofs that an in-context map is continuous on `P(Omega) x Omega`.

A pass over terms with one rule for each head. Continuity goes from the parts of a term to the
whole; where a head is continuous on a part of the line only, a rigorous enclosure of its argument
must stay there, for every probability measure on the domain.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
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
    SymbolicMap,
    Trace,
    Transpose,
    Vector,
    VectorSum,
    Zero,
    ZeroMatrix,
)
from ..symbolic.terms import SLOT, Slot, height, in_order
from .conditions import agree, branches, relations
from .enclosure import inside
from .heads import HEADS, power_is_continuous
from .interval import Interval, Unbounded, hull, rigorous
from .ledger import LEDGER, Theorem
from .scope import Place, Scope, Stopped, Vacuous, enclose, scope_of, short
from .shapes import Shapes

_BOXES = 200  # at most so many parts of the domain are tried for one condition
_DEPTH = 40  # at most so often is one part halved
_CUTS = (0, 3, 5)  # halvings of the variable of an integral, one after the other


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of a proof: a rule gives a claim about a term from the claims of other steps.

    >>> step = Step("variable", sympy.Symbol("t"), "is continuous")
    >>> step.conclusion, step.source.partition(",")[0]
    ('t is continuous', 'Rudin (1976)')
    """

    rule: str
    subject: Any
    claim: str
    premises: tuple["Step", ...] = ()

    @property
    def conclusion(self) -> str:
        """What the step shows, as a sentence."""
        return f"{short(self.subject)} {self.claim}"

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return LEDGER[self.rule].source

    def __str__(self) -> str:
        return "\n".join(_lines(self, 0, set()))


def _lines(step: Step, depth: int, shown: set[int]) -> Iterator[str]:
    again = id(step) in shown and bool(step.premises)
    shown.add(id(step))
    yield f"{'  ' * depth}{step.conclusion}  [{step.rule}{', as above' if again else ''}]"
    if not again:
        for premise in step.premises:
            if premise.rule != "variable":
                yield from _lines(premise, depth + 1, shown)


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """A derivation that a map is continuous for every probability measure on a domain.

    `print` shows it as an indented tree, conclusions above what they rest on.

    >>> from pushforward.numeric import Ball
    >>> from pushforward.symbolic import Measure, Point, SymbolicMap, integral
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> print(prove(SymbolicMap(x - integral(y, y, mu), x, mu), {}, Ball(2)))
    On P(Omega) x Omega, Omega = ball:2:1.0: G(mu, x) = x - int y mu(dy) is continuous; ...
    x - int y mu(dy) is continuous  [polynomial]
      int y mu(dy) is continuous  [integral]
    """

    root: Step
    domain: str

    @property
    def rules(self) -> tuple[Theorem, ...]:
        """The rules that are used, each with its source."""
        names = {step.rule: None for step in _steps(self.root, set())}
        return tuple(LEDGER[name] for name in ("in-context map", *names))

    @property
    def conclusion(self) -> str:
        """What is proved, as a sentence."""
        return (
            f"On P(Omega) x Omega, Omega = {self.domain}: G(mu, x) = {self.root.conclusion}; hence "
            "f(mu) = G(mu)#mu is well defined, continuous, and satisfies B1 and B2"
        )

    def __str__(self) -> str:
        return f"{self.conclusion}\n{self.root}"


def _steps(step: Step, seen: set[int]) -> Iterator[Step]:
    if id(step) not in seen:
        seen.add(id(step))
        yield step
        for premise in step.premises:
            yield from _steps(premise, seen)


@dataclass(frozen=True, slots=True)
class Refusal:
    """No proof was found: the head that stopped it, and why. The map may yet be continuous.

    >>> print(Refusal("sign", "sign(m) needs an argument away from 0"))
    no proof: sign(m) needs an argument away from 0
    """

    head: str
    reason: str

    def __str__(self) -> str:
        return f"no proof: {self.reason}"


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
    >>> [rule.name for rule in proof.rules]
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
    try:
        scope = scope_of(symbolic_map, parameters, domain)
        _fit(symbolic_map, parameters, domain)
        return Proof(continuous(symbolic_map.term, scope), domain.spec())
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
    name, head = type(term).__name__, HEADS.get(type(term))
    if head is None:
        raise Stopped(name, f"no rule of continuity is known for the function {name}")
    argument = term.args[0]
    inner = continuous(argument, scope)
    if head.where is None:
        return _step("composition", term, inner)
    guard = stays(argument, scope, head.where, name, f"{short(term)} needs {head.needs}")
    return _step("composition on a range", term, inner, guard)


@rule.register(sympy.Max)
@rule.register(sympy.Min)
def _(term: Any, scope: Scope) -> Step:
    return _step("composition", term, *(continuous(a, scope) for a in term.args))


@rule.register(sympy.atan2)
def _(term: Any, scope: Scope) -> Step:
    inner = [continuous(a, scope) for a in term.args]
    _, second = term.args
    needs = f"{short(term)} needs a positive second argument"
    guard = stays(second, scope, lambda t: bool(t.lower > 0), "atan2", needs)
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
    power = enclose(exponent, scope)
    needs = f"{short(term)} needs {_needed(power)}"
    guard = stays(base, scope, lambda b: power_is_continuous(b, power), "Pow", needs)
    return _step("composition on a range", term, *inner, guard)


def _needed(exponent: Interval) -> str:
    if exponent.is_point and exponent.lower > 0:
        return "a base that is not negative"
    if exponent.is_point and exponent.lower.is_integer():
        return "a base away from 0"
    return "a positive base"


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
                raise Stopped("Piecewise", f"{pieces} may differ where {one.written} flips")
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


# ---- arguments that must stay in a range


def stays(
    term: Any, scope: Scope, holds: Callable[[Interval], bool], head: str, needs: str
) -> Step:
    """A step that encloses a scalar term within a set where a function is continuous.

    Raises:
        Stopped: no enclosure on up to `_BOXES` parts of the domain achieves it.
    """
    try:
        whole: Interval | None = enclose(term, scope)
    except (Stopped, Unbounded):
        whole = None
    for cuts in _CUTS if height(term) else _CUTS[:1]:
        found = _covered(term, replace(scope, cuts=cuts), holds)
        if found is not None:
            return Step("enclosure", term, f"lies in {found}")
    where = "no finite enclosure was found" if whole is None else f"it lies in {whole}"
    raise Stopped(head, f"{needs}; {where}")


def _covered(term: Any, scope: Scope, holds: Callable[[Interval], bool]) -> Interval | None:
    """An enclosure of the term from parts that cover the domain, each within the set; or None."""
    waiting, found = [(0, scope)], []
    tried = 0
    while waiting:
        depth, here = waiting.pop()
        tried += 1
        try:
            interval = enclose(term, here)
            if holds(interval):
                found.append(interval)
                continue
        except Vacuous:
            continue
        except (Stopped, Unbounded):
            pass
        parts = _split(term, here)
        if not parts or depth >= _DEPTH or tried > _BOXES:
            return None
        waiting.extend((depth + 1, part) for part in parts)
    if not found:
        raise Vacuous
    return hull(found)


def _split(term: Any, scope: Scope) -> list[Scope]:
    """The scope on halves of the range that is widest among those that the term sees."""
    seen = [s for s in scope.symbols(term) if isinstance(s, (Point, BoundPoint, Slot))]
    if not seen:
        return []
    widest = max(in_order(seen), key=lambda s: _width(scope.places[s].range))
    whole = scope.places[widest].range
    halves = whole.halves() if isinstance(whole, Interval) else whole.split()
    return [scope.narrowed(widest, part) for part in halves]


def _width(found: Any) -> Any:
    return found.width if isinstance(found, Interval) else max(i.width for i in found.components)
