"""Closing in on an unknown singular measure of few atoms.

Around a singular measure the response varies, and bends, as much in a small ball as in a large
one. Balls are shrunk step by step, a few at a time; those that bend most are kept, for a smooth
response is steep far sooner than it is bent. It bends less and less and the search ends early, to
begin again elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..numeric import AbstractDomain
from .subject import Clock

R = TypeVar("R")
Bend = Callable[[Any, Any, Any, float], float]

BALLS = 4
TRIES = 12
PROBES = 2
FADES = 1 / 16
REACH = 1.6


@dataclass(frozen=True, slots=True)
class _Probed:
    """How much a response varies and bends in one ball, and a pair that shows how it varies."""

    variation: float
    bend: float
    pair: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Closing:
    """Ever smaller balls around a place: their radii, how much the response varies in each.

    `pairs` holds for each radius two sets of atoms (n, d) in the ball with responses so far apart,
    `bends` how far the response is from straight there.
    """

    centre: np.ndarray
    radii: tuple[float, ...]
    variations: tuple[float, ...]
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    bends: tuple[float, ...] = ()

    def fades(self) -> bool:
        """Whether the response gets straight: it bends far less than four halvings ago."""
        return len(self.bends) > 4 and self.bends[-1] <= FADES * self.bends[-5]

    def inside(self, spot: np.ndarray, radius: float, seen: _Probed) -> Closing:
        """The chain with one ball more."""
        return Closing(
            spot,
            (*self.radii, radius),
            (*self.variations, seen.variation),
            (*self.pairs, seen.pair),
            (*self.bends, seen.bend),
        )

    def stays(self, floor: float, finest: float) -> bool:
        """Whether the variation persists down to the last bits of the coordinates."""
        return settles_not(self.radii, self.variations, floor, finest)

    def middle(self) -> tuple[np.ndarray, np.ndarray]:
        """The pair half way down, far above the last bits."""
        return self.pairs[len(self.pairs) // 2]


def settles_not(
    radii: Sequence[float], variations: Sequence[float], floor: float, finest: float
) -> bool:
    """Whether variations over falling radii stay: the finest quarter against the one before half.

    Radii below the `finest` that the arithmetic resolves are left out, and few radii say nothing.

    Variations come from a few random points each, so means over quarters are compared, with 15 %
    for their scatter; `1/log(1/r)` falls by more than a half between these quarters.
    """
    count = sum(radius >= finest for radius in radii)
    radii, variations = radii[:count], variations[:count]
    if len(radii) < 30:
        return False
    quarter = len(radii) // 4
    fine = float(np.mean(variations[-quarter:]))
    earlier = float(np.mean(variations[quarter : 2 * quarter]))
    return fine > floor and fine >= 0.85 * earlier


def close_in(
    respond: Callable[[np.ndarray], R | None],
    distance: Callable[[R, R], float],
    domain: AbstractDomain,
    atoms: int,
    rng: np.random.Generator,
    clock: Clock,
    bend: Bend | None = None,
) -> Closing | None:
    """Shrink balls of sets of atoms (n, d) around the place where the response bends most.

    Args:
        respond: the response at positions (n, d), or None where it cannot be read.
        distance: between two responses.
        domain: where the atoms live.
        atoms: their number n.
        rng: the source of the tries.
        clock: ends the search.
        bend: how far the second of three responses is from half way between the others; without
            it the balls that vary most are kept.

    Returns:
        The innermost chain of balls, or None where nothing varies. Where it comes down to the last
        bits, they are balls around its centre, looked at again.
    """
    radius = 0.5 * domain.diameter
    start = np.stack([domain.sample(rng, atoms) for _ in range(4 * BALLS)])
    balls = [Closing(centre, (), (), ()) for centre in start]
    while clock.left > 0 and radius > 2e-15 * max(domain.scale, 1e-300):
        tried: list[Closing] = []
        for chain in balls:
            if clock.left <= 0:
                return None
            for k in range(TRIES):
                reach = REACH * radius
                if k % 2:  # at any scale, to come back from the wrong side of a singular place
                    reach = radius * (domain.diameter / radius) ** rng.uniform()
                spot = chain.centre if k == 0 else _near(chain.centre, reach, domain, rng)
                seen = _probed(respond, distance, spot, 0.5 * radius, domain, rng, bend)
                if seen is not None:
                    tried.append(chain.inside(spot, 0.5 * radius, seen))
        if not tried:
            return None
        tried.sort(key=lambda closing: -closing.bends[-1])
        balls = tried[:BALLS]
        if balls[0].fades() or not balls[0].bends[-1] > 0:
            return balls[0]
        radius *= 0.5
    if not balls[0].radii or clock.left <= 0:
        return None
    return around(respond, distance, domain, balls[0].centre, rng, clock)



def _near(
    centre: np.ndarray, radius: float, domain: AbstractDomain, rng: np.random.Generator
) -> np.ndarray:
    return domain.project(centre + radius * _in_ball(centre.shape, rng))


def _in_ball(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    step = rng.normal(size=shape)
    size = float(np.prod(shape))
    return step * (rng.uniform() ** (1 / size) / np.linalg.norm(step))


def _probed(
    respond: Callable[[np.ndarray], R | None],
    distance: Callable[[R, R], float],
    centre: np.ndarray,
    radius: float,
    domain: AbstractDomain,
    rng: np.random.Generator,
    bend: Bend | None,
    probes: int = PROBES,
) -> _Probed | None:
    """A ball seen at its centre and at pairs of opposite points."""
    places = [centre]
    for _ in range(probes):
        step = radius * _in_ball(centre.shape, rng)
        places += [domain.project(centre + step), domain.project(centre - step)]
    values = [respond(place) for place in places]
    read = [k for k, value in enumerate(values) if value is not None]
    opposite = [(k, k + 1) for k in range(1, len(places), 2)]
    apart = {
        (i, j): distance(values[i], values[j])  # type: ignore[arg-type]
        for i, j in (*opposite, *((0, k) for k in range(1, len(places))))
        if i in read and j in read
    }
    if not apart:
        return None
    first, second = max(apart, key=lambda pair: apart[pair])
    widest = apart[first, second]
    pair = places[first], places[second]
    if bend is None:
        return _Probed(widest, widest, pair)
    triples = [(values[i], values[0], values[j]) for i, j in opposite]
    bends = [bend(*three, 0.5) for three in triples if all(v is not None for v in three)]
    return _Probed(widest, max(bends, default=0.0), pair)


def chase(
    read: Callable[[np.ndarray], np.ndarray | None],
    domain: AbstractDomain,
    atoms: int,
    rng: np.random.Generator,
    clock: Clock,
) -> np.ndarray:
    """Follow the gradient of a response to where it is steepest, ever more finely.

    Where a response oscillates in the logarithm of the distance to a singular place, its gradient
    points there or away from it, and its slope, which grows on the whole, turns on the way: steps
    of all sizes are tried both ways.

    Args:
        read: the response (k,) at positions (n, d), or None.
        domain: where the atoms live.
        atoms: their number n.
        rng: the source of the start.
        clock: ends the search.

    Returns:
        The last positions (n, d).
    """
    at = domain.sample(rng, atoms)
    reach = 0.5 * domain.diameter
    finest = 4e-16 * max(domain.scale, 1e-300)
    slope, direction = _steepest(read, domain, at, 1e-5 * reach)
    failures = 0
    while reach > finest and failures < 12 and clock.left > 0:
        sizes = reach * 2.0 ** rng.uniform(-6.5, 1.0, size=10)
        moves = [sign * size * direction for size in sizes for sign in (1, -1)]
        trials = [domain.project(at + move) for move in moves]
        step = max(1e-5 * reach, finest)
        found = [(*_steepest(read, domain, trial, step), trial) for trial in trials]
        best = max(found, key=lambda item: item[0])
        if best[0] > 1.2 * slope:
            reach = min(reach, 2 * float(np.linalg.norm(best[2] - at)))
            slope, direction, at = best
            failures = 0
        else:
            reach /= 2
            failures += 1
    return at


def _steepest(
    read: Callable[[np.ndarray], np.ndarray | None],
    domain: AbstractDomain,
    at: np.ndarray,
    step: float,
) -> tuple[float, np.ndarray]:
    """The largest slope of a component of the response, and its direction, of length one."""
    here = read(at)
    slopes = []
    for index in np.ndindex(at.shape):
        moved = _nudged(domain, at, index, step)
        there = None if here is None else read(moved)
        if here is None or there is None or moved[index] == at[index]:
            return 0.0, np.zeros_like(at)
        slopes.append((there - here) / (moved[index] - at[index]))
    table = np.array(slopes)
    size = np.linalg.norm(table, axis=0)
    steepest = int(np.argmax(size))
    if not size[steepest] > 0:
        return 0.0, np.zeros_like(at)
    return float(size[steepest]), (table[:, steepest] / size[steepest]).reshape(at.shape)


def _nudged(
    domain: AbstractDomain, at: np.ndarray, index: tuple[int, ...], step: float
) -> np.ndarray:
    """`at` with one coordinate moved by `step` within the domain, backwards where that ends."""
    for signed in (step, -step):
        moved = at.copy()
        moved[index] += signed
        moved = domain.project(moved)
        if abs(moved[index] - at[index]) > 0.1 * step:
            break
    return moved


def around(
    respond: Callable[[np.ndarray], R | None],
    distance: Callable[[R, R], float],
    domain: AbstractDomain,
    centre: np.ndarray,
    rng: np.random.Generator,
    clock: Clock,
) -> Closing:
    """The variation of a response in ever smaller balls around one place, while time lasts."""
    radius = 0.25 * domain.diameter
    radii, variations, pairs = [], [], []
    while radius > 2e-15 * max(domain.scale, 1e-300) and clock.left > 0:
        seen = _probed(respond, distance, centre, radius, domain, rng, None, 3 * PROBES)
        if seen is not None:
            radii.append(radius)
            variations.append(seen.variation)
            pairs.append(seen.pair)
        radius *= 0.5
    return Closing(centre, tuple(radii), tuple(variations), tuple(pairs))
