"""Closing in on an unknown singular measure of few atoms.

Around a singular measure the response varies as much in a small ball as in a large one. Balls are
shrunk step by step, a few at a time; those that vary most are kept. A smooth response varies less
and less and the search ends early; a steep one does so below its scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..numeric import AbstractDomain
from .subject import Clock

R = TypeVar("R")

BALLS = 4
TRIES = 12
PROBES = 3
REACH = 1.6


@dataclass(frozen=True, slots=True)
class Closing:
    """Ever smaller balls around a place: their radii, how much the response varies in each.

    `pairs` holds for each radius two sets of atoms (n, d) in the ball with responses so far apart.
    """

    centre: np.ndarray
    radii: tuple[float, ...]
    variations: tuple[float, ...]
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]

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
    if len(radii) < 40:
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
) -> Closing | None:
    """Shrink balls of sets of atoms (n, d) around the place where the response varies most.

    Args:
        respond: the response at positions (n, d), or None where it cannot be read.
        distance: between two responses.
        domain: where the atoms live.
        atoms: their number n.
        rng: the source of the tries.
        clock: ends the search.

    Returns:
        The innermost chain of balls, or None where nothing varies.
    """
    radius = 0.5 * domain.diameter
    start = np.stack([domain.sample(rng, atoms) for _ in range(4 * BALLS)])
    balls = [(centre, Closing(centre, (), (), ())) for centre in start]
    while clock.left > 0 and radius > 2e-15 * max(domain.scale, 1e-300):
        tried: list[Closing] = []
        for centre, chain in balls:
            for k in range(TRIES):
                reach = REACH * radius
                if k % 2:  # at any scale, to come back from the wrong side of a singular place
                    reach = radius * (domain.diameter / radius) ** rng.uniform()
                spot = centre if k == 0 else _near(centre, reach, domain, rng)
                seen = _variation(respond, distance, spot, 0.5 * radius, domain, rng)
                if seen is not None:
                    tried.append(
                        Closing(
                            spot,
                            (*chain.radii, 0.5 * radius),
                            (*chain.variations, seen[0]),
                            (*chain.pairs, seen[1]),
                        )
                    )
        if not tried:
            return None
        tried.sort(key=lambda closing: -closing.variations[-1])
        kept = tried[:BALLS]
        best = kept[0]
        if best.variations[-1] <= 2e-3 * max(best.variations):
            return best
        balls = [(closing.centre, closing) for closing in kept]
        radius *= 0.5
    return balls[0][1] if balls[0][1].radii else None



def _near(
    centre: np.ndarray, radius: float, domain: AbstractDomain, rng: np.random.Generator
) -> np.ndarray:
    return domain.project(centre + radius * _in_ball(centre.shape, rng))


def _in_ball(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    step = rng.normal(size=shape)
    size = float(np.prod(shape))
    return step * (rng.uniform() ** (1 / size) / np.linalg.norm(step))


def _variation(
    respond: Callable[[np.ndarray], R | None],
    distance: Callable[[R, R], float],
    centre: np.ndarray,
    radius: float,
    domain: AbstractDomain,
    rng: np.random.Generator,
) -> tuple[float, tuple[np.ndarray, np.ndarray]] | None:
    places = [centre, *(_near(centre, radius, domain, rng) for _ in range(PROBES))]
    seen = [(place, respond(place)) for place in places]
    read = [(place, value) for place, value in seen if value is not None]
    if len(read) < 2:
        return None
    best, pair = -1.0, (read[0][0], read[1][0])
    for i, (first, a) in enumerate(read):
        for second, b in read[i + 1 :]:
            apart = distance(a, b)
            if apart > best:
                best, pair = apart, (first, second)
    return best, pair


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
) -> Closing:
    """The variation of a response in ever smaller balls around one place."""
    radius = 0.25 * domain.diameter
    radii, variations, pairs = [], [], []
    while radius > 2e-15 * max(domain.scale, 1e-300):
        seen = _variation(respond, distance, centre, radius, domain, rng)
        if seen is not None:
            radii.append(radius)
            variations.append(seen[0])
            pairs.append(seen[1])
        radius *= 0.5
    return Closing(centre, tuple(radii), tuple(variations), tuple(pairs))
