"""Following complex singularities to an unknown singular place.

Near a singular place c the response is a function of a size like `|m - c|` of moved atoms. Along
a line `m + t v` that size is the root of a quadratic, and the response has singularities at its
complex zeros `t0 +- i r`: t0 is the foot of the perpendicular from c, and r its length. A rational
approximation (AAA: Nakatsukasa, Sete, Trefethen 2018) of a few dozen values on the line has poles
there, however small the singular part is beside a steep but analytic one; only rounding hides it.
So one goes to the foot, takes another line, and comes nearer by a factor each time. The
singularities of an analytic response keep their distance from the real places, and the search ends.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .homing import Search, evolve, hop
from .recipes import inside

NODES = 33
TERMS = 14
PATIENCE = 12
"""Lines in which the distance has to fall to a half."""

WIDE = 2.5
GOAL = 1e-8
"""The distance, in diameters of the domain, from which second differences show the rest."""

_CHEBYSHEV = -np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
_GRID = np.linspace(1.0, 1 / 16, 16)


def singular_places(search: Search, rng: np.random.Generator, starts: int) -> Iterator[np.ndarray]:
    """Where the searches lead to, down to the last bits, while time lasts.

    Of one atom, complex singularities lead to a small singular part beside a steep one; of several
    atoms the places lie in narrow valleys, and the evolution strategy is the better one.

    Args:
        search: the responses.
        rng: the source of all draws.
        starts: how often to follow complex singularities, in up to a third of the time.
    """
    lines = partial(followed, starts=starts)
    for find in (lines, hop, evolve) if search.atoms == 1 else (evolve, lines, hop):
        place = find(search, rng)
        if place is not None:
            yield place


def followed(search: Search, rng: np.random.Generator, starts: int) -> np.ndarray | None:
    """Where complex singularities lead to, to the last bits, of some starts in a third of the time.

    The evolution strategy goes on from there. It learns the shape of a narrow valley, where lines
    get nowhere: so of several atoms it also goes on from where they stalled.

    Returns:
        The place (n, d), or None where none led to one.
    """
    some = replace(search, clock=search.clock.share(0.3))
    for _ in range(starts):
        found = follow(some, rng)
        if found is not None:
            place, radius = found
            if radius < _goal(search) or search.atoms > 1:
                place = evolve(search, rng, (place, 3 * radius))
                if place is not None:
                    return place
        if some.clock.left <= 0:
            break
    return None


def _goal(search: Search) -> float:
    return max(GOAL, 100 * search.noise.resolution) * search.domain.diameter


def follow(search: Search, rng: np.random.Generator) -> tuple[np.ndarray, float] | None:
    """From a random place to a singular one: to the foot of the nearest singularity, line by line.

    Returns:
        The last place (n, d) and its distance from a singularity, which is not small where it keeps
        its distance; None where there are none or time is up.
    """
    lines, goal = _Lines(search, rng), _goal(search)
    at, radius = search.domain.sample(rng, search.atoms), np.inf
    before: tuple[np.ndarray, float] | None = None
    seen: list[float] = []
    while radius >= goal and not _stalls(seen):
        if search.clock.left <= 0:
            return None
        direction = lines.direction(at)
        poles = lines.poles(at, direction, WIDE * radius)
        seen.append(radius)
        if poles is None:
            continue
        near = poles[np.abs(poles) < 2.5 * radius]
        if not len(near):  # what led here was none: back to where it was seen from
            (at, radius), before = before or (at, radius), None
            continue
        best = rng.choice(near) if radius == np.inf else near[np.argmin(np.abs(near))]
        if best.imag < radius:
            before = at, radius
            at, radius = inside(search.domain, at + best.real * direction), float(best.imag)
    return (at, radius) if np.isfinite(radius) else None


def _longest(held: np.ndarray, most: float) -> float:
    return float(most * _GRID[np.argmax(held)]) if np.any(held) else 0.0


def _stalls(seen: list[float]) -> bool:
    return len(seen) > PATIENCE and not seen[-1] < 0.5 * seen[-1 - PATIENCE]


@dataclass(slots=True)
class _Lines:
    """Singularities along lines, of one number that is an analytic function of the response.

    Poles of little residue are spurious or belong to a small singular part: what counts as little
    is drawn anew for every search.
    """

    search: Search
    rng: np.random.Generator
    seed: int = field(init=False)
    least: float = field(init=False)
    frame: tuple[np.ndarray, float] | None = None
    taken: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self):
        self.seed = int(self.rng.integers(2**31))
        self.least = 10 ** self.rng.uniform(-6.0, -1.7)

    def direction(self, at: np.ndarray) -> np.ndarray:
        """Towards a random place, made orthogonal to the directions taken before, while it can."""
        towards = self.search.domain.sample(self.rng, self.search.atoms) - at
        step = towards
        for other in self.taken:
            step = step - np.vdot(other, step) * other
        if np.linalg.norm(step) <= 1e-6 * np.linalg.norm(towards):  # all directions are taken
            self.taken.clear()
            step = towards
        self.taken.append(step / max(float(np.linalg.norm(step)), 1e-300))
        return self.taken[-1]

    def poles(self, at: np.ndarray, direction: np.ndarray, most: float) -> np.ndarray | None:
        """The poles t + i r, r >= 0, of the response at `at + t direction` near |t| <= most.

        None where the domain leaves no line or a response cannot be read.
        """
        domain = self.search.domain
        most = min(most, domain.diameter)
        back, forth = self._chord(at, direction, most)
        if forth + back <= 0.2 * min(most, 0.1 * domain.diameter):
            return None
        middle, half = 0.5 * (forth - back), 0.5 * (forth + back)
        steps = middle + half * _CHEBYSHEV
        places = inside(domain, at + steps[:, None, None] * direction)
        values = self._numbers(self.search.respond(places))
        if values is None:
            return None
        poles, residues = self._approximated(values)
        poles = middle + half * poles
        kept = (np.abs(poles.imag) < 2 * half) & (poles.real > -back) & (poles.real < forth)
        poles, residues = poles[kept], residues[kept]
        strong = residues >= self.least * residues.max(initial=0.0)
        return poles[strong & (poles.imag >= 0)]

    def _chord(self, at: np.ndarray, direction: np.ndarray, most: float) -> tuple[float, float]:
        """How far the line stays in the domain, backwards and forwards, to a sixteenth.

        On a curved domain, as on a sphere, the line is projected on it.
        """
        domain, ends = self.search.domain, np.concatenate([-most * _GRID, most * _GRID])
        places = at + ends[:, None, None] * direction
        held = np.reshape(domain.contains(places.reshape(-1, domain.dim)), (len(ends), -1))
        held = np.all(held, axis=1)
        if not np.any(held):
            ahead = min(most, 0.5 * domain.diameter)
            return ahead, ahead
        return _longest(held[: len(_GRID)], most), _longest(held[len(_GRID) :], most)

    def _numbers(self, values: list[Any]) -> np.ndarray | None:
        """A complex number of each response: linear in images of chosen atoms, a wave of images."""
        if any(value is None for value in values):
            return None
        draws = np.random.default_rng(self.seed)
        if isinstance(values[0], np.ndarray):
            table = np.array(values).reshape(len(values), -1)
            weights = draws.normal(size=(2, table.shape[1]))
            return self._framed(table, table) @ (weights[0] + 1j * weights[1])
        wave = draws.normal(size=values[0][0].shape[1])
        everything = np.concatenate([points for points, _ in values])
        return np.array(
            [
                masses @ np.exp(1j * (self._framed(points, everything) @ wave))
                for points, masses in values
            ]
        )

    def _framed(self, points: np.ndarray, everything: np.ndarray) -> np.ndarray:
        """Rows in units of the spread of the images on the first line."""
        if self.frame is None:
            centre = everything.mean(axis=0)
            self.frame = centre, max(float(np.abs(everything - centre).max()), 1e-300)
        return (points - self.frame[0]) / self.frame[1]

    def _approximated(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The poles on [-1, 1] and around, and the sizes of their residues."""
        from scipy.interpolate import AAA

        nothing = np.zeros(0, complex), np.zeros(0)
        values = values - values.mean()
        size = float(np.abs(values).max())
        noise = self.search.noise.value / self.frame[1] if self.frame else 0.0
        if not np.isfinite(size) or size <= max(1e3 * noise, 1e-13):
            return nothing
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # as near as so few terms come
            try:
                found = AAA(
                    _CHEBYSHEV,
                    values / size,
                    rtol=max(1e-11, 30 * noise / size),
                    max_terms=TERMS,
                    clean_up=False,  # little residues are left out above
                )
                poles, residues = found.poles(), np.abs(found.residues())
            except (ValueError, np.linalg.LinAlgError):  # on steps it may divide by zero
                return nothing
        finite = np.isfinite(poles) & np.isfinite(residues)
        return poles[finite], residues[finite]
