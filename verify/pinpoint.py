"""Closing in on an unknown singular measure of few atoms.

A smooth response is steep far sooner than it is bent, and near a singular measure it bends as much
at fine scales as at coarse ones. So the most bent place is looked for on a line, then on another
line through that place, and so on within an ever smaller reach: each line halves the distance to
the singular place many times. A smooth response gets straight on the way, and the search begins
again elsewhere.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from ..numeric import AbstractDomain
from .curves import in_step
from .gauges import Gauge
from .homing import Search
from .recipes import inside
from .subject import Clock

STARTS = 8
KNOTS = 9
HALVINGS = 5
SHRINK = 0.2
FADES = 1 / 16
PROBES, MORE_PROBES = 6, 40
LAST_BITS = 32.0
SWEEPS = 3
LASTS = 0.98, 1.1


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
    """Whether variations over falling radii may stay: the finest quarter against one before half.

    Radii near the `finest` that the arithmetic resolves are left out, and few radii say nothing.
    Variations come from a few random points each and scatter; so medians over quarters are
    compared, with room for that, and `lasts` decides. `1/log(1/r)` falls by more than a half
    between these quarters.
    """
    count = sum(radius >= LAST_BITS * finest for radius in radii)
    radii, variations = radii[:count], variations[:count]
    if len(radii) < 30:
        return False
    quarter = len(radii) // 4
    fine = float(np.median(variations[-quarter:]))
    earlier = float(np.median(variations[quarter : 2 * quarter]))
    return fine > floor and fine >= 0.6 * earlier


def lasts(search: Search, centre: np.ndarray, rng: np.random.Generator, finest: float) -> bool:
    """Whether the variation around a place does not fall at all, as many more points tell.

    The largest variation over the finer half of the radii, from 2^-22 of the domain down, is at
    least 0.98 of that over the coarser half: of `r^a` it is `10^(-3.3 a)` or so, and `r^0.005` is
    hardly told from a jump. Nor does it rise: in the last few bits a difference may vanish exactly,
    where a slow response is still far from its limit. False where no time is left.
    """
    radius, seen = 2.0**-22 * search.domain.diameter, []
    while radius >= LAST_BITS * finest:
        if search.clock.whole.left <= 0:
            return False
        places = _near(search, centre, radius, rng, MORE_PROBES)
        seen.append(_widest(search.gauge, search.respond(places)))
        radius *= 0.5
    half = len(seen) // 2
    least, most = LASTS
    return half > 0 and least * max(seen[:half]) <= max(seen[half:]) <= most * max(seen[:half])


def _widest(gauge: Gauge, values: Sequence[Any]) -> float:
    """About the largest distance of two responses: of one to the farthest, from there, and so on.

    A few sweeps show as much as all pairs.
    """
    read = [value for value in values if value is not None]
    widest, farthest = 0.0, 0
    for _ in range(SWEEPS * bool(read)):
        apart = gauge.apart([read[farthest]] * len(read), read)
        farthest = int(np.argmax(apart))
        widest = max(widest, float(apart[farthest]))
    return widest


def close_in(search: Search, rng: np.random.Generator, at_once: int = 1) -> Closing | None:
    """Find a place of n atoms around which the response bends at every scale.

    Args:
        search: the responses; where the gauge cannot tell how far the second of three is from
            straight, the distance of the outer two counts.
        rng: the source of the starts and of the lines.
        at_once: how many starts to follow side by side.

    Returns:
        Ever smaller balls around the place; None where the response gets straight everywhere.
    """
    domain = search.domain
    lines: dict[int, list[Any]] = {}

    def answer(asked: list[tuple[int, Look]]) -> list[list[float]]:
        places = np.concatenate([look.places for _, look in asked])
        responses = iter(search.respond(inside(domain, places)))
        triples, shares = [], []
        for number, look in asked:
            line = lines[number] = [] if look.begins else lines[number]
            line += islice(responses, len(look.places))
            triples += [tuple(line[k] for k in third) for third in look.thirds]
            shares += look.shares
        bends = iter(search.gauge.bends(triples, shares))
        return [list(islice(bends, len(look.thirds))) for _, look in asked]

    seeds = rng.integers(2**31, size=STARTS)
    for k in range(0, STARTS, at_once):
        own = [np.random.default_rng(int(seed)) for seed in seeds[k : k + at_once]]
        starts = [
            _homed(domain, domain.sample(each, search.atoms), each, search.clock) for each in own
        ]
        centre = next((at for at in in_step(starts, answer) if at is not None), None)
        if centre is not None:
            return around(search, centre, rng)
    return None


@dataclass(frozen=True, slots=True)
class Look:
    """What a search asks on a line: the responses at more places, and how bent they are.

    Places outside of the domain stand for the nearest ones in it. `thirds` are triples of places
    seen on this line, numbered in the order of asking, the second of them at a share of the way to
    the third; `begins` says that the line is a new one.
    """

    places: np.ndarray
    thirds: list[tuple[int, int, int]]
    shares: list[float]
    begins: bool


T = TypeVar("T")
Asking = Generator[Look, list[float], T]


def _homed(
    domain: AbstractDomain, at: np.ndarray, rng: np.random.Generator, clock: Clock
) -> Asking[np.ndarray | None]:
    """The most bent place, line by line down to the last bits; None where bends fade away."""
    reach = 0.5 * domain.diameter
    bends: list[float] = []
    while reach > 2e-15 * max(domain.scale, 1e-300):
        frame, _ = np.linalg.qr(rng.normal(size=(at.size, at.size)))
        seen = 0.0
        for direction in frame:
            if clock.left <= 0:
                return None
            at, size = yield from _most_bent(domain, at, reach, direction, rng)
            seen = max(seen, size)
        bends.append(seen)
        if seen <= 0 or (len(bends) > 2 and seen <= FADES * bends[-3]):
            return None
        reach *= SHRINK
    return at


def _most_bent(
    domain: AbstractDomain,
    at: np.ndarray,
    reach: float,
    direction: np.ndarray,
    rng: np.random.Generator,
) -> Asking[tuple[np.ndarray, float]]:
    """The most bent place on the line through `at`, within `reach`, and the bend there."""
    step = direction.reshape(at.shape)
    knots = np.linspace(-1.0, 1.0, KNOTS)
    knots[1:-1] += rng.uniform(-0.2, 0.2, size=KNOTS - 2) / KNOTS
    ts: list[float] = []

    def look(fresh: list[float], thirds: list[tuple[int, int, int]]) -> Look:
        places = at + np.array(fresh)[:, None, None] * step
        begins = not ts
        ts.extend(fresh)
        shares = [(ts[j] - ts[i]) / (ts[k] - ts[i]) for i, j, k in thirds]
        return Look(places, thirds, shares, begins)

    thirds = [(k, k + 1, k + 2) for k in range(KNOTS - 2)]
    bends = yield look([float(reach * t) for t in knots], thirds)
    for _ in range(HALVINGS):
        i, j, k = thirds[int(np.argmax(bends))]
        a, b = 0.5 * (ts[i] + ts[j]), 0.5 * (ts[j] + ts[k])
        if not ts[i] < a < ts[j] < b < ts[k]:
            break
        n = len(ts)
        thirds = [(i, n, j), (n, j, n + 1), (j, n + 1, k)]
        bends = yield look([a, b], thirds)
    best = int(np.argmax(bends))
    return domain.project(at + ts[thirds[best][1]] * step), bends[best]


def around(
    search: Search, centre: np.ndarray, rng: np.random.Generator, floor: float = 0.0
) -> Closing:
    """The variation of a response in ever smaller balls around one place, while time lasts.

    Where it is no more than `floor` in three balls one after the other, finer ones are left out.
    """
    domain, clock = search.domain, search.clock
    radius = 0.25 * domain.diameter
    radii, variations, pairs = [], [], []
    quiet = 0
    while radius > 2e-15 * max(domain.scale, 1e-300) and clock.left > 0 and quiet < 3:
        seen = _variation(search, centre, radius, rng)
        if seen is not None:
            radii.append(radius)
            variations.append(seen[0])
            pairs.append(seen[1])
            quiet = quiet + 1 if seen[0] <= floor else 0
        radius *= 0.5
    return Closing(centre, tuple(radii), tuple(variations), tuple(pairs))


Seen = tuple[float, tuple[np.ndarray, np.ndarray]]
"""A variation, and the two places that show it."""


_OPPOSITE = tuple((2 * k, 2 * k + 1) for k in range(PROBES))
_PAIRS = (*_OPPOSITE, *((k, (k + 2) % (2 * PROBES)) for k in range(2 * PROBES)))


def _variation(
    search: Search, centre: np.ndarray, radius: float, rng: np.random.Generator
) -> Seen | None:
    """The largest distance of responses at opposite points, or at points in other directions."""
    places = _near(search, centre, radius, rng, PROBES)
    values = search.respond(places)
    read = [pair for pair in _PAIRS if all(values[k] is not None for k in pair)]
    if not read:
        return None
    apart = search.gauge.apart([values[i] for i, _ in read], [values[j] for _, j in read])
    widest = int(np.argmax(apart))
    i, j = read[widest]
    return float(apart[widest]), (places[i], places[j])


def _near(
    search: Search, centre: np.ndarray, radius: float, rng: np.random.Generator, probes: int
) -> np.ndarray:
    """Pairs of opposite places (2 probes, n, d) in a ball.

    The centre itself says nothing: next to a singular place it may be rounding that speaks.
    """
    steps = radius * _in_ball((probes, *centre.shape), rng)
    both = np.stack([centre + steps, centre - steps], axis=1)
    return inside(search.domain, both.reshape(-1, *centre.shape))


def _in_ball(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random points (k, n, d) of unit balls in R^(n d), as many near the centre as near the rim.

    Over two decades of the distance, an oscillation in its logarithm shows nearly all of itself.
    """
    steps = rng.normal(size=shape)
    sizes = np.linalg.norm(steps.reshape(len(steps), -1), axis=1)
    shrink = 10.0 ** rng.uniform(-2.0, 0.0, size=len(steps)) / sizes
    return steps * shrink[:, None, None]
