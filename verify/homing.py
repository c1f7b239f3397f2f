"""Homing in on an unknown singular place: where a response bends as much at every finer scale.

Two searches that know nothing of the place but how bent the response is around them. One hops along
the gradient, which leads to or from a singular place that the response feels from afar in all
directions alike, in as few steps in many dimensions as in one. The other is an evolution strategy
(Hansen, Ostermeier 2001) that learns the shape of the valley: it needs no gradient and finds
directions of a vanishing vector, kinks that meet, and singular sets of any dimension.

Second differences are compared, not slopes: the slope of an oscillation vanishes on spheres around
the singular place, and the search would stop at each of them; its second derivatives do not vanish
together. What a smooth response or a kink leaves of them fades with the scale, and ends the search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..numeric import AbstractDomain
from .gauges import Gauge
from .noise import Noise
from .recipes import inside
from .subject import Clock

Respond = Callable[[np.ndarray], list[Any]]
"""The responses at positions (k, n, d) of the atoms, None where one cannot be read."""

COARSER = 25.0
ALONG, AROUND = 8, 4
FAILURES = 15
REACHED = 1e-9
MOST_EVOLVED = 12
PROBES = 0.06, 0.1, 0.16, 0.25
"""Of the width of the law: short ones follow fast oscillations, long ones find narrow valleys."""

_AXES = 16


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched: responses of n atoms of a domain, with their noise; `clock` ends it."""

    respond: Respond
    gauge: Gauge
    domain: AbstractDomain
    atoms: int
    noise: Noise
    clock: Clock

    @property
    def floor(self) -> float:
        """A bend that says nothing."""
        return 0.01 * self.noise.threshold

    @property
    def finest(self) -> float:
        """The last bits of the coordinates."""
        return 4e-16 * max(self.domain.scale, 1e-300)

    @property
    def size(self) -> int:
        """The number of coordinates of all atoms."""
        return self.atoms * self.domain.dim

    def bends(self, at: np.ndarray, step: np.ndarray) -> np.ndarray:
        """How far the responses at places (k, n, d) are from the mean of those a step away.

        -1 where one cannot be read, and where the domain ends within a step: its corners bend every
        path.
        """
        forth, back = inside(self.domain, at + step), inside(self.domain, at - step)
        values = self.respond(np.concatenate([forth, at, back]))
        thirds = (values[k : k + len(at)] for k in range(0, len(values), len(at)))
        triples = list(zip(*thirds, strict=True))
        found = np.array(self.gauge.bends(triples, [0.5] * len(at)))
        uneven = np.abs(forth + back - 2 * at).max(axis=(1, 2))
        return np.where(uneven > 0.1 * np.abs(forth - back).max(axis=(1, 2)), -1.0, found)


@dataclass(slots=True)
class _Fading:
    """Whether bends have fallen at the finer scales, as they do where a response is smooth.

    Typical bends are compared: a probe that spans the singular place shows many times as much. In a
    narrow valley they fall too, by 50, say, at scales finer by 25, until its shape is learned.
    """

    start: float
    fades: float
    seen: list[tuple[float, float]] = field(default_factory=list)

    def add(self, scale: float, bend: float) -> bool:
        """Add the largest bend at a scale; true where bends have faded since the scales before."""
        self.seen.append((scale, bend))
        if scale > 1e-2 * self.start:
            return False
        lately = float(np.median([b for _, b in self.seen[-6:]]))
        before = [b for s, b in self.seen if s >= COARSER * scale][-6:]
        return bool(before) and lately <= self.fades * float(np.median(before))


# -- hops along the gradient -------------------------------------------------------------------
def hop(search: Search, rng: np.random.Generator) -> np.ndarray | None:
    """Follow the gradient of a response to where it bends most, ever more finely.

    Steps of all sizes are tried both ways, and a few in random directions: near a singular place
    the response oscillates, so that its gradient points there or away from it.

    Returns:
        The last positions (n, d), or None where the bends fade away or time is up.
    """
    domain = search.domain
    at, reach = domain.sample(rng, search.atoms), 0.5 * domain.diameter
    failures = 0
    while reach > search.finest and failures < FAILURES:
        if search.clock.left <= 0:
            return None
        trials = np.concatenate([at[None], inside(domain, at + _moves(search, at, reach, rng))])
        probe = 0.02 * reach * _units((1, *at.shape), rng)
        bends = search.bends(trials, probe)
        best = int(np.argmax(bends))
        if bends[best] <= search.floor:
            break
        if bends[best] > 1.15 * bends[0]:
            moved = 2 * float(np.linalg.norm(trials[best] - at))
            reach = max(min(reach, moved), reach / 8)
            at, failures = trials[best], 0
        else:
            reach, failures = 0.6 * reach, failures + 1
    return at if reach < REACHED * domain.diameter else None


def _moves(search: Search, at: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Steps (k, n, d) both ways along the gradient, and in random directions."""
    sizes = reach * 2.0 ** rng.uniform(-6.5, 1.0, size=ALONG) * np.tile([1.0, -1.0], ALONG // 2)
    along = sizes[:, None, None] * _gradient(search, at, max(2e-3 * reach, search.finest), rng)
    around = reach * 2.0 ** rng.uniform(-5.0, 0.5, size=AROUND)
    return np.concatenate([along, around[:, None, None] * _units((AROUND, *at.shape), rng)])


def _gradient(search: Search, at: np.ndarray, step: float, rng: np.random.Generator) -> np.ndarray:
    """The direction (n, d) in which a number of the response changes most; zero if unknown."""
    axes = np.eye(search.size)
    if search.size > _AXES:
        axes = np.linalg.qr(rng.normal(size=(search.size, _AXES)))[0].T
    steps = step * axes.reshape(-1, *at.shape)
    values = search.respond(np.concatenate([at[None], inside(search.domain, at + steps)]))
    if any(not isinstance(value, np.ndarray) for value in values):
        return np.zeros_like(at)
    numbers = np.array(values).reshape(len(values), -1)
    table = numbers[1:] - numbers[0]
    steepest = int(np.argmax(np.linalg.norm(table, axis=0)))
    direction = table[:, steepest] @ axes
    return direction.reshape(at.shape) / max(float(np.linalg.norm(direction)), 1e-300)


def _units(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random directions (k, n, d) of length one."""
    steps = rng.normal(size=shape)
    return steps / np.linalg.norm(steps.reshape(len(steps), -1), axis=1)[:, None, None]


# -- an evolution strategy ---------------------------------------------------------------------
def evolve(
    search: Search, rng: np.random.Generator, start: tuple[np.ndarray, float] | None = None
) -> np.ndarray | None:
    """Let a normal law of places drift and shrink to where the response bends most.

    Args:
        search: the responses.
        rng: the source of all draws.
        start: the centre (n, d) and the width of the law, by default somewhere and wide.

    Returns:
        The last positions (n, d), or None where the bends fade away, time is up, or there are more
        than a dozen coordinates, in which this takes too many calls.
    """
    domain, size = search.domain, search.size
    if size > MOST_EVOLVED:
        return None
    if start is None:
        wide = min(0.25, 0.4 / np.sqrt(size)) * domain.diameter
        start = domain.sample(rng, search.atoms), wide
    law = _Law(*start)
    fading = _Fading(law.width, search.gauge.fades)
    for _ in range(100 + 80 * size):
        draws, root = law.draw(rng, 6 + 2 * size)
        if search.clock.left <= 0:
            return None
        probe = rng.choice(PROBES) * np.sqrt(size) * (root @ _units((1, size, 1), rng))
        places = inside(domain, law.centre + draws)
        bends = search.bends(places, probe.reshape(1, *law.centre.shape))
        widths = np.linalg.norm(root, axis=0)
        best = np.argsort(-bends)[: len(draws) // 2]
        if bends[best[0]] < 0 and law.width > 1e-3 * domain.diameter:
            law.width *= 0.7  # all of them beyond the ends of the domain
            continue
        typical = float(np.median(bends[best]))
        if bends[best[0]] <= search.floor or fading.add(float(widths.mean()), typical):
            return None
        if widths.min() < search.finest:
            break
        law.learn(places[best] - law.centre, root)
        law.centre = inside(domain, law.centre)
    return law.centre


class _Law:
    """A normal law of places (n, d) that learns its centre, width and shape from its best draws.

    The constants are those that Hansen and Ostermeier recommend.
    """

    def __init__(self, centre: np.ndarray, width: float):
        self.centre, self.width = centre, width
        size = centre.size
        self.shape = np.eye(size)
        self.path, self.turns = np.zeros(size), np.zeros(size)
        self.age = 0

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps (count, n, d) from the centre, and the root of their covariance."""
        values, vectors = np.linalg.eigh(self.shape)
        root = self.width * vectors * np.sqrt(np.maximum(values, 1e-30))
        steps = rng.normal(size=(count, self.centre.size)) @ root.T
        return steps.reshape(count, *self.centre.shape), root

    def learn(self, steps: np.ndarray, root: np.ndarray) -> None:
        """Move to the best draws, and take on their spread."""
        size, count = self.centre.size, len(steps)
        weights = np.log(count + 0.5) - np.log(np.arange(1, count + 1))
        weights /= weights.sum()
        mass = 1 / float((weights**2).sum())
        taken = steps.reshape(count, size) / self.width
        mean = weights @ taken
        self.age += 1
        self._follow(mean, root, mass)
        self.centre = self.centre + (self.width * mean).reshape(self.centre.shape)
        one = 2 / ((size + 1.3) ** 2 + mass)
        many = min(1 - one, 2 * (mass - 2 + 1 / mass) / ((size + 2) ** 2 + mass))
        spread = (taken.T * weights) @ taken
        self.shape = (1 - one - many) * self.shape + one * np.outer(self.path, self.path)
        self.shape += many * spread
        self._resize(size, mass)

    def _follow(self, mean: np.ndarray, root: np.ndarray, mass: float) -> None:
        size = len(mean)
        c = (mass + 2) / (size + mass + 5)
        lengths = np.linalg.norm(root, axis=0)
        vectors = root / lengths
        plain = vectors @ ((vectors.T @ mean) * self.width / lengths)
        self.turns = (1 - c) * self.turns + np.sqrt(c * (2 - c) * mass) * plain
        grown = np.linalg.norm(self.turns) / np.sqrt(1 - (1 - c) ** (2 * self.age))
        steady = grown < (1.4 + 2 / (size + 1)) * _expected(size)
        c = (4 + mass / size) / (size + 4 + 2 * mass / size)
        self.path = (1 - c) * self.path + steady * np.sqrt(c * (2 - c) * mass) * mean

    def _resize(self, size: int, mass: float) -> None:
        c = (mass + 2) / (size + mass + 5)
        damping = 1 + 2 * max(0.0, np.sqrt((mass - 1) / (size + 1)) - 1) + c
        growth = c / damping * (np.linalg.norm(self.turns) / _expected(size) - 1)
        self.width *= float(np.exp(np.clip(growth, -1.0, 1.0)))


def _expected(size: int) -> float:
    """About the expected length of a standard normal vector."""
    return float(np.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2)))
