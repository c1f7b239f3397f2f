"""Lipschitz constants of maps, for every probability measure, from enclosed derivatives."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from flint import arb

from ..numeric import AbstractDomain
from ..symbolic import Point, SymbolicMap
from .derivation import Refusal
from .guards import halves
from .interval import Interval, Unbounded, rigorous
from .prove import prove
from .scope import Scope, Stopped, Vacuous, enclose, read


@dataclass(frozen=True, slots=True)
class Constants:
    """Upper bounds that hold for all probability measures on a domain and all points of it.

    Args:
        sup_norm: of `|G(mu, x)|`.
        lipschitz_x: of the operator norm of `D_x G(mu, x)`, where it exists.
        lipschitz_mu: of the operator norm of `D_mu G(mu, x)(z)`, where it exists.

    On a convex domain `|G(mu, x) - G(nu, y)| <= lipschitz_x |x - y| + lipschitz_mu W1(mu, nu)`.

    >>> Constants(1.0, 2.0, 3.0).lipschitz
    5.0
    """

    sup_norm: float
    lipschitz_x: float
    lipschitz_mu: float

    @property
    def lipschitz(self) -> float:
        """A constant of `f(mu) = G(mu)#mu` in W1, on a convex domain."""
        return above(arb(self.lipschitz_x) + arb(self.lipschitz_mu))


@rigorous
def constants(
    symbolic_map: SymbolicMap,
    parameters: Mapping[str, Any],
    domain: AbstractDomain,
    *,
    parts: int = 100,
) -> Constants | Refusal:
    """Bounds of a map and of its derivatives that hold for every probability measure.

    Args:
        symbolic_map: `G(mu, x)`.
        parameters: an array or a number for the name of each parameter. They enter exactly.
        domain: where x and mu live; the constants are Lipschitz constants where it is convex.
        parts: into how many parts the ranges of the points are cut at most. More is sharper.

    Returns:
        The `Constants`, upper bounds, rounded up; or a `Refusal` where continuity is not proved or
        a derivative has no finite enclosure.

    Softmax attention with `|A| = |V| = 1` on the unit ball has the constants 1 and `3 e^2`:

    >>> import numpy as np
    >>> from pushforward.numeric import Ball
    >>> from pushforward.symbolic import Measure, dot, gibbs
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> attention = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu)
    >>> found = constants(attention, {}, Ball(3))
    >>> found.sup_norm, found.lipschitz_x, round(float(found.lipschitz_mu / np.exp(2)), 9)
    (1.0, 1.0, 3.0)

    Source: docs/mathematics.md, section 8; Castin, Ablin & Peyré (2024).
    """
    proof = prove(symbolic_map, parameters, domain)
    if isinstance(proof, Refusal):
        return proof
    z = Point("z'")
    formulas = (symbolic_map, symbolic_map.jacobian(), symbolic_map.lions_derivative(z))
    try:
        bounds = [_supremum(*read(f, parameters, domain), parts) for f in formulas]
    except Stopped as stop:
        return Refusal(stop.head, f"no bound of a derivative: {stop.reason}")
    except Unbounded as error:
        return Refusal("enclosure", f"no finite bound of a derivative: {error}")
    return Constants(*map(above, bounds))


def above(bound: arb) -> float:
    """A float that is not below."""
    value = float(bound.upper())
    while not arb(value) >= bound.upper():
        value = float(arb(value) + abs(arb(value)) * arb(2) ** -52 + arb(2) ** -1074)
    return value


def _supremum(term: Any, scope: Scope, parts: int) -> arb:
    """A bound of the norm of a term: the part with the greatest bound is halved again and again."""
    order = count()
    heap = [(-_size(enclose(term, scope)), next(order), scope)]
    for _ in range(parts):
        _, _, worst = heap[0]
        smaller = halves(term, worst)
        if not smaller:
            break
        heapq.heappop(heap)
        for part in smaller:
            try:
                heapq.heappush(heap, (-_size(enclose(term, part)), next(order), part))
            except Vacuous:
                continue
    return -heap[0][0]


def _size(found: Any) -> arb:
    if isinstance(found, Interval):
        return found.size
    return found.norm.upper if isinstance(found.norm, Interval) else found.norm
