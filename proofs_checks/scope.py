"""What a term is read with: values of parameters, where points range, what is assumed.

`enclose(term, scope)` is the pass over terms that gives their enclosures, one rule for each head.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, singledispatch
from typing import Any

import numpy as np
from flint import arb, arb_mat

from ..numeric import AbstractDomain
from ..numeric.arrays import to_numpy
from ..symbolic import Elementwise, Measure, substitute
from ..symbolic.printing import text
from ..symbolic.terms import SLOT, free_symbols, kind
from .interval import Interval
from .rational import exact, readable
from .region import MatrixRange, region, vector_range


class Stopped(Exception):
    """A head has no rule, or its rule does not apply: (head, reason)."""

    @property
    def head(self) -> str:
        return self.args[0]

    @property
    def reason(self) -> str:
        return self.args[1]


class Vacuous(Exception):
    """What is assumed holds nowhere on the part of the domain that is looked at."""


class Place:
    """Where a point or a parameter ranges, found when it is asked for. Equal only to itself."""

    def __init__(self, find: Callable[[], Any]):
        self._find = find

    @cached_property
    def range(self) -> Any:
        return self._find()


@dataclass(frozen=True, eq=False)
class Scope:
    """Values of parameters and ranges of points, of measures and of the slot of a function.

    Args:
        parameters: a `Place` with the value of each parameter.
        places: a `Place` for each point, each measure, and the slot.
        assumed: scalar terms with bounds (lower, upper) that hold here; None is no bound.
        cuts: how often the range of the variable of an integral is halved for its enclosure.
        memory: what has been found for a term and the part of the scope that it sees.
    """

    parameters: Mapping[Any, Place]
    places: Mapping[Any, Place]
    assumed: Mapping[Any, tuple] = field(default_factory=dict)
    cuts: int = 0
    memory: dict = field(default_factory=dict)

    def key(self, term: Any) -> tuple:
        """The part of the scope that the term sees."""
        seen = self.symbols(term)
        places = tuple(self.places[s] for s in self.places if s in seen)
        assumed = tuple(
            (t, b) for t, b in self.assumed.items() if self.symbols(t) <= seen | self.fixed
        )
        return (term, places, assumed, self.cuts)

    @property
    def fixed(self) -> frozenset:
        return frozenset(self.parameters)

    def symbols(self, term: Any) -> frozenset:
        """What is free in the term, with the slot where it occurs."""
        found = self.memory.get(("symbols", term))
        if found is None:
            # The slot is bound in the function of an `Elementwise`, its first arg.
            parts = term.args[1:] if isinstance(term, Elementwise) else term.args
            slot = SLOT is term or any(SLOT in self.symbols(part) for part in parts)
            found = free_symbols(term) | ({SLOT} if slot else frozenset())
            self.memory[("symbols", term)] = found
        return found

    def remembered(self, rule: Callable, term: Any) -> Any:
        """The value of a rule on a term here, found once."""
        key = (rule, *self.key(term))
        if key not in self.memory:
            self.memory[key] = rule(term, self)
        return self.memory[key]

    def binding(self, variable: Any, place: Place) -> "Scope":
        """The scope inside of a binder: what is assumed of an outer variable of this name ends."""
        assumed = {t: b for t, b in self.assumed.items() if variable not in self.symbols(t)}
        return replace(self, places={**self.places, variable: place}, assumed=assumed)

    def assuming(self, bounds: Mapping[Any, tuple]) -> "Scope":
        """The scope where scalar terms also obey these bounds."""
        merged = dict(self.assumed)
        for term, (lower, upper) in bounds.items():
            low, high = merged.get(term, (None, None))
            merged[term] = (_tighter(max, low, lower), _tighter(min, high, upper))
        return replace(self, assumed=merged)

    def narrowed(self, symbol: Any, part: Any) -> "Scope":
        """The same scope on a part of the range of a point or of the slot."""
        return replace(self, places={**self.places, symbol: Place(lambda: part)})

    def clipped(self, term: Any, interval: Interval) -> Interval:
        """An enclosure of a scalar term, cut to what is assumed of it."""
        lower, upper = self.assumed.get(term, (None, None))
        low = interval.lower if lower is None else max(interval.lower, lower)
        high = interval.upper if upper is None else min(interval.upper, upper)
        if low > high:
            raise Vacuous
        return Interval(low, high)


def short(term: Any) -> str:
    """A term as text of at most 120 characters."""
    found = text(readable(term))
    return found if len(found) <= 120 else found[:117] + "..."


def enclose(term: Any, scope: Scope) -> Any:
    """An enclosure of a term: an `Interval`, a `VectorRange` or a `MatrixRange`.

    Raises:
        Stopped: a head has no enclosure, or its argument may leave where it is defined.
        Unbounded: no finite enclosure is found.
    """
    return scope.remembered(_enclosed, term)


def _enclosed(term: Any, scope: Scope) -> Any:
    found = rule(term, scope)
    return scope.clipped(term, found) if term in scope.assumed else found


@singledispatch
def rule(term: Any, scope: Scope) -> Any:
    """The enclosure of a term by the rule of its head."""
    name = getattr(term, "name", type(term).__name__)
    raise Stopped(name, f"no rule is known for {name}")


def _tighter(choose: Callable, a: arb | None, b: arb | None) -> arb | None:
    ends = [end for end in (a, b) if end is not None]
    return choose(ends) if ends else None


def read(formula: Any, values: Mapping[str, Any], domain: AbstractDomain) -> tuple[Any, Scope]:
    """The term of a formula for probability measures on a domain, and its scope.

    Args:
        formula: it has a `term`, a point `x`, further `points`, a measure `mu` and `parameters`.
        values: an array or a number for the name of each parameter. They enter exactly.
        domain: where the points and the measure live.

    Returns:
        The term with rational numbers and a measure of mass one, and the scope to read it in.

    Raises:
        ValueError: a parameter has no value, or one that is not finite.
    """
    whole, mu = Place(lambda: region(domain)), Measure(formula.mu.name, probability=True)
    places = dict.fromkeys((formula.x, *formula.points, mu), whole)
    for atom in formula.parameters:
        if atom.name not in values:
            raise ValueError(f"expected a value for the parameter {atom.name}, got none")
    numbers = {atom: _exactly(values[atom.name], atom) for atom in formula.parameters}
    return substitute(exact(formula.term), {formula.mu: mu}), Scope(numbers, places)


def _exactly(value: Any, atom: Any) -> Place:
    array, rank = to_numpy(value), {"scalar": 0, "vector": 1, "matrix": 2}[kind(atom)]
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"expected finite real numbers for the parameter {atom.name}")
    if array.ndim != rank:
        raise ValueError(
            f"expected a {kind(atom)} for the parameter {atom.name}, got shape {array.shape}"
        )
    return Place(lambda: _numbers(array))


def _numbers(array: np.ndarray) -> Any:
    if array.ndim == 0:
        return Interval.number(array.item())
    if array.ndim == 1:
        return vector_range(map(Interval.number, array.tolist()))
    rows, columns = array.shape
    return MatrixRange(arb_mat(rows, columns, _balls(array.ravel().tolist())))


def _balls(numbers: Iterable[Any]) -> list[arb]:
    return [arb(n) if isinstance(n, float) else Interval.number(n).ball for n in numbers]
