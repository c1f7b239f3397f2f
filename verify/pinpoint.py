"""Closing in on an unknown singular measure of few atoms.

A smooth response is steep far sooner than it is bent, and near a singular measure it bends as much
at fine scales as at coarse ones. So the most bent place is looked for on a line, then on another
line through that place, and so on within an ever smaller reach: each line halves the distance to
the singular place many times. A smooth response gets straight on the way, and the search begins
again elsewhere.
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

STARTS = 8
KNOTS = 9
HALVINGS = 5
SHRINK = 0.2
FADES = 1 / 16
PROBES = 6


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
    """Find a place of n atoms around which the response bends at every scale.

    Args:
        respond: the response at positions (n, d), or None where it cannot be read.
        distance: between two responses.
        domain: where the atoms live.
        atoms: their number n.
        rng: the source of the starts and of the lines.
        clock: ends the search.
        bend: how far the second of three responses, at a share of the way, is from straight;
            without it the distance of the outer two counts.

    Returns:
        Ever smaller balls around the place; None where the response gets straight everywhere.
    """

    def bent(first: R | None, middle: R | None, last: R | None, share: float) -> float:
        if first is None or middle is None or last is None:
            return -1.0
        return distance(first, last) if bend is None else bend(first, middle, last, share)

    for _ in range(STARTS):
        centre = _homed(respond, bent, domain, domain.sample(rng, atoms), rng, clock)
        if centre is not None:
            return around(respond, distance, domain, centre, rng, clock)
    return None


def _homed(
    respond: Callable[[np.ndarray], Any],
    bent: Bend,
    domain: AbstractDomain,
    at: np.ndarray,
    rng: np.random.Generator,
    clock: Clock,
) -> np.ndarray | None:
    """The most bent place, line by line down to the last bits; None where bends fade away."""
    reach = 0.5 * domain.diameter
    bends: list[float] = []
    while reach > 2e-15 * max(domain.scale, 1e-300):
        frame, _ = np.linalg.qr(rng.normal(size=(at.size, at.size)))
        seen = 0.0
        for direction in frame:
            if clock.left <= 0:
                return None
            at, size = _most_bent(respond, bent, domain, at, reach, direction, rng)
            seen = max(seen, size)
        bends.append(seen)
        if seen <= 0 or (len(bends) > 2 and seen <= FADES * bends[-3]):
            return None
        reach *= SHRINK
    return at


def _most_bent(
    respond: Callable[[np.ndarray], Any],
    bent: Bend,
    domain: AbstractDomain,
    at: np.ndarray,
    reach: float,
    direction: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """The most bent place on the line through `at`, within `reach`, and the bend there."""
    step = direction.reshape(at.shape)
    values: dict[float, Any] = {}

    def size(triple: tuple[float, float, float]) -> float:
        left, middle, right = triple
        for t in triple:
            if t not in values:
                values[t] = respond(domain.project(at + t * step))
        share = (middle - left) / (right - left)
        return bent(values[left], values[middle], values[right], share)

    knots = np.linspace(-1.0, 1.0, KNOTS)
    knots[1:-1] += rng.uniform(-0.2, 0.2, size=KNOTS - 2) / KNOTS
    ts = [float(reach * t) for t in knots]
    best = max(zip(ts, ts[1:], ts[2:], strict=False), key=size)
    for _ in range(HALVINGS):
        left, middle, right = best
        a, b = 0.5 * (left + middle), 0.5 * (middle + right)
        if not left < a < middle < b < right:
            break
        best = max(((left, a, middle), (a, middle, b), (middle, b, right)), key=size)
    return domain.project(at + best[1] * step), size(best)


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
        seen = _variation(respond, distance, centre, radius, domain, rng)
        if seen is not None:
            radii.append(radius)
            variations.append(seen[0])
            pairs.append(seen[1])
        radius *= 0.5
    return Closing(centre, tuple(radii), tuple(variations), tuple(pairs))


def _variation(
    respond: Callable[[np.ndarray], R | None],
    distance: Callable[[R, R], float],
    centre: np.ndarray,
    radius: float,
    domain: AbstractDomain,
    rng: np.random.Generator,
) -> tuple[float, tuple[np.ndarray, np.ndarray]] | None:
    """The largest distance of responses at opposite points, or at a point and the centre."""
    places = [centre]
    for _ in range(PROBES):
        step = radius * _in_ball(centre.shape, rng)
        places += [domain.project(centre + step), domain.project(centre - step)]
    values = [respond(place) for place in places]
    opposite = [(k, k + 1) for k in range(1, len(places), 2)]
    best: tuple[float, tuple[np.ndarray, np.ndarray]] | None = None
    for i, j in (*opposite, *((0, k) for k in range(1, len(places)))):
        first, second = values[i], values[j]
        if first is None or second is None:
            continue
        apart = distance(first, second)
        if best is None or apart > best[0]:
            best = apart, (places[i], places[j])
    return best


def _in_ball(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    step = rng.normal(size=shape)
    size = float(np.prod(shape))
    return step * (rng.uniform() ** (1 / size) / np.linalg.norm(step))


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
