"""How fast a Vlasov flow can part two measures: a proved bound of the growth of W1.

If `|V(mu, x) - V(nu, y)| <= L_x |x - y| + L_mu W1(mu, nu)` on a convex set that both solutions keep
to up to time T, then `W1(mu_T, nu_T) <= exp(T (L_x + L_mu)) W1(mu_0, nu_0)`. Time is cut into
slices; on each a set is found that no particle leaves, and constants on it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from ..numeric import AbstractDomain, Ball, Box, Product, Simplex, Sphere
from ..symbolic import SymbolicMap, VelocityField
from .constants import Constants, above, constants
from .derivation import Refusal
from .interval import Interval, Unbounded, rigorous
from .region import VectorRange, region
from .scope import Scope, Stopped, enclose, read

_WIDER = 1.125
_TRIES = 12
_LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class Growth:
    """A proved bound `W1(mu_t, nu_t) <= factor W1(mu_0, nu_0)` for all t up to `time`.

    Args:
        time: T.
        exponent: an upper bound of the integral of `lipschitz_x + lipschitz_mu` from 0 to T.
        domains: convex sets that hold all particles, one for each slice of the time.
        constants: of the field on these sets.

    >>> Growth(1.0, 0.0, (), ()).factor
    1.0
    """

    time: float
    exponent: float
    domains: tuple[AbstractDomain, ...]
    constants: tuple[Constants, ...]

    @property
    def factor(self) -> float:
        """An upper bound of `exp(exponent)`, infinite where that is beyond floats."""
        return above(arb(self.exponent).exp())

    @property
    def rate(self) -> float:
        """The exponent over the time, zero at time zero."""
        return above(arb(self.exponent) / arb(self.time)) if self.time else 0.0

    def __str__(self) -> str:
        return (
            f"W1(mu_t, nu_t) <= {self.factor:.4g} W1(mu_0, nu_0) for t <= {self.time:g}, proved, "
            f"for probability measures on {self.domains[0].spec() if self.domains else 'a point'}"
        )


@rigorous
def growth(
    field: VelocityField,
    parameters: Mapping[str, Any],
    domain: AbstractDomain,
    time: float,
    *,
    slices: int = 4,
    parts: int = 20,
) -> Growth | Refusal:
    """Bound how fast two solutions of a Vlasov equation part, for all probability measures.

    Args:
        field: `V(mu, x)`, which does not depend on time.
        parameters: an array or a number for the name of each parameter. They enter exactly.
        domain: where both measures are at time zero: a `Ball`, a `Box`, a `Simplex`, a product of
            them, or a `Sphere` to which the field is tangent.
        time: T >= 0.
        slices: into how many parts the time is cut. More is sharper, and allows longer times.
        parts: as for `constants`.

    Returns:
        A `Growth`, or a `Refusal` that says what stopped the proof, and nothing about the flow.

    Raises:
        ValueError: a bad time or number of slices, or a parameter without finite value.
        TypeError: no velocity field.

    Bodies that align keep to the box of their velocities:

    >>> from pushforward.numeric import Box
    >>> from pushforward.symbolic.library import consensus
    >>> found = growth(consensus(), {}, Box([-1.0], [1.0]), 0.5)
    >>> found.domains[-1], found.exponent
    (Box(lower=(-1.0,), upper=(1.0,)), 1.0)

    Source: Dobrushin (1979), Funct. Anal. Appl. 13; docs/mathematics.md, section 9.
    """
    if not isinstance(field, VelocityField):
        raise TypeError(f"expected a VelocityField, got {type(field).__name__}")
    if not (math.isfinite(time) and time >= 0):
        raise ValueError(f"expected a finite time >= 0, got {time}")
    if not hasattr(slices, "__index__") or slices < 1:
        raise ValueError(f"expected slices, an integer >= 1, got {slices!r}")
    if field.time is not None:
        return Refusal(field.time.name, "the field depends on time")
    here = _hull(field, domain)
    if isinstance(here, Refusal):
        return here
    formula = SymbolicMap(field.term, field.x, field.mu)
    h, exponent = arb(time) / int(slices), arb(0)
    domains: list[AbstractDomain] = []
    found: list[Constants] = []
    for _ in range(slices):
        try:
            kept = _kept(field, parameters, here, h, isinstance(domain, Sphere))
        except Stopped as stop:
            return Refusal(stop.head, f"no bound of the velocity: {stop.reason}")
        except Unbounded as error:
            return Refusal("enclosure", f"no finite bound of the velocity: {error}")
        if kept is None:
            return Refusal("growth", "the particles could leave every set that was tried")
        held, here = kept
        same = domains and domains[-1] == held
        one = found[-1] if same else constants(formula, parameters, held, parts=parts)
        if isinstance(one, Refusal):
            return one
        exponent += h * (arb(one.lipschitz_x) + arb(one.lipschitz_mu))
        domains.append(held)
        found.append(one)
    return Growth(float(time), above(exponent), tuple(domains), tuple(found))


def _hull(field: VelocityField, domain: AbstractDomain) -> AbstractDomain | Refusal:
    """A convex set around the domain, of balls and boxes."""
    if isinstance(domain, Sphere):
        if f"|{field.x}| = 1" in field.vlasov().conserved():
            return Ball(domain.dim)
        return Refusal("Sphere", "the field is not seen to be tangent to the sphere")
    if isinstance(domain, Simplex):
        return Box([0.0] * domain.dim, [1.0] * domain.dim)
    factors = domain.factors if isinstance(domain, Product) else (domain,)
    if all(isinstance(factor, (Ball, Box)) for factor in factors):
        return domain
    return Refusal(type(domain).__name__, f"no convex set around {domain.spec()} is known")


def _kept(
    field: VelocityField,
    parameters: Mapping[str, Any],
    start: AbstractDomain,
    h: arb,
    closed: bool,
) -> tuple[AbstractDomain, AbstractDomain] | None:
    """A set that no particle leaves within a time h, and one that holds all of them after it.

    Let P be the nearest-point map of a convex set D. The flow of `V(P#mu, P x)`, whose velocities
    are those of V on D, reaches only what `start` and they reach in a time h. If that is within D,
    the two fields agree along it, and it is the flow of V. A face of a box stays where V does not
    point outwards on it.
    """
    if closed:
        return start, start
    around, wider = start, h
    for _ in range(_TRIES):
        term, scope = read(field, parameters, around)
        reached = _moved(term, scope, field.x, start, around, h)
        if _within(reached, around):
            return around, reached
        wider = wider * arb(_WIDER)
        around = _moved(term, scope, field.x, start, around, wider)
    return None


def _moved(
    term: Any, scope: Scope, x: Any, start: AbstractDomain, around: AbstractDomain, h: arb
) -> AbstractDomain:
    """What is reached from `start` in a time h with velocities found on the set `around`."""
    speeds = enclose(term, scope)
    factors, first = [], 0
    for one, other in zip(_factors(start), _factors(around), strict=True):
        last = first + one.dim
        if isinstance(one, Ball):
            size = _speed(speeds, first, last)
            factors.append(Ball(one.dim, _float(arb(one.radius) + h * size), one.center))
        else:
            assert isinstance(one, Box) and isinstance(other, Box)
            faces = _Faces(term, scope, x, around, first)
            factors.append(_box(one, other, speeds.components[first:last], faces, h))
        first = last
    return factors[0] if not isinstance(start, Product) else Product(*factors)


def _factors(domain: AbstractDomain) -> tuple[AbstractDomain, ...]:
    return domain.factors if isinstance(domain, Product) else (domain,)


def _speed(speeds: VectorRange, first: int, last: int) -> arb:
    """A bound of the norm of a block of the velocity."""
    if last - first == len(speeds):
        return speeds.norm.upper
    block = sum((i.size * i.size for i in speeds.components[first:last]), arb(0)).sqrt().upper()
    known = [norm.upper for a, b, norm in speeds.blocks if (a, b) == (first, last)]
    return min([block, speeds.norm.upper, *known])


def _box(one: Box, other: Box, speeds: tuple, faces: "_Faces", h: arb) -> Box:
    lower, upper = list(one.lower), list(one.upper)
    for i, speed in enumerate(speeds):
        if speed.lower < 0 and not (other.lower[i] == lower[i] and faces.keep(i, lower[i], -1)):
            lower[i] = -_float(-(arb(lower[i]) + h * speed.lower))
        if speed.upper > 0 and not (other.upper[i] == upper[i] and faces.keep(i, upper[i], 1)):
            upper[i] = _float(arb(upper[i]) + h * speed.upper)
    return Box(lower, upper)


@dataclass(frozen=True, slots=True)
class _Faces:
    """The faces of a box, one of the factors of `around`, which begins at component `first`."""

    term: Any
    scope: Scope
    x: Any
    around: AbstractDomain
    first: int

    def keep(self, i: int, value: float, side: int) -> bool:
        """Whether the velocity does not point outwards where component i has this value."""
        components = list(region(self.around).components)  # type: ignore[union-attr]
        components[self.first + i] = Interval.number(value)
        face = region(self.around, tuple(components))
        if face is None:
            return False
        normal = enclose(self.term, self.scope.narrowed(self.x, face)).components[self.first + i]
        return bool(normal.upper <= 0) if side > 0 else bool(normal.lower >= 0)


def _within(inner: AbstractDomain, outer: AbstractDomain) -> bool:
    """Whether each factor lies in that of the other; balls have the same centres."""
    pairs = zip(_factors(inner), _factors(outer), strict=True)
    return all(_factor_within(one, other) for one, other in pairs)


def _factor_within(one: AbstractDomain, other: AbstractDomain) -> bool:
    if isinstance(one, Ball) and isinstance(other, Ball):
        return one.radius <= other.radius
    assert isinstance(one, Box) and isinstance(other, Box)
    return bool(
        np.all(np.greater_equal(one.lower, other.lower))
        and np.all(np.less_equal(one.upper, other.upper))
    )


def _float(bound: arb) -> float:
    """A finite float that is not below."""
    value = above(bound)
    if not value < _LARGEST:
        raise Unbounded("a set that holds all particles")
    return value
