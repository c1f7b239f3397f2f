"""Which segments of measures to try: generic ones, and ones that start at degenerate measures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..numeric import AbstractDomain, FiniteSet
from .curves import Segment
from .recipes import Recipe, generic_weights
from .subject import Atoms

CROSSINGS = ("positions", "one atom", "weights", "mass exchange")
DEPARTURES = ("positions", "one atom", "far atom", "mass exchange", "towards boundary")


def moving(domain: AbstractDomain, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds of paths that a domain has: on a finite set only masses move."""
    if not isinstance(domain, FiniteSet):
        return kinds
    return tuple(kind for kind in kinds if kind in ("weights", "mass exchange", "far atom"))


def crossing(
    domain: AbstractDomain, rng: np.random.Generator, kind: str, lists: bool
) -> Segment | None:
    """A segment between two generic measures, on which a jump may lie anywhere."""
    n = int(rng.integers(1 if kind != "mass exchange" else 2, 6))
    points = Recipe(n, int(rng.integers(2**31))).build(domain, equal=True)[0]
    weights = np.full(n, 1 / n) if lists else generic_weights(rng, n)
    if kind in ("positions", "one atom"):
        other = domain.sample(rng, n)
        if kind == "one atom":
            other[1:] = points[1:]
        return Segment(kind, (points, weights), (other, weights), domain)
    if lists:
        return None
    if kind == "weights":
        end = generic_weights(rng, n) * rng.uniform(0.05, 1.0, size=n)
    else:
        i, j = rng.choice(n, size=2, replace=False)
        # not all of it: how a map takes vanishing mass is seen on departures, down to 1e-300
        end = weights.copy()
        end[i], end[j] = 0.02 * weights[i], 0.98 * weights[i] + weights[j]
    return Segment(kind, (points, weights), (points, end / end.sum()), domain)


def special_measures(
    domain: AbstractDomain, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Degenerate measures near which maps jump, each kind once: points and weights.

    Single atoms (at the centre, at a corner, anywhere), atoms that coincide, pairs symmetric about
    the centre, equal weights, collinear atoms, atoms on the boundary.
    """
    anchors = domain.anchors()
    one = domain.sample(rng, 1)
    several = domain.sample(rng, 3)
    yield anchors[:1], np.ones(1)
    yield one, np.ones(1)
    yield np.repeat(one, 2, axis=0), np.full(2, 0.5)
    yield np.repeat(anchors[:1], 3, axis=0), np.full(3, 1 / 3)
    yield domain.project(np.concatenate([one, 2 * anchors[:1] - one])), np.full(2, 0.5)
    yield several[:2], np.full(2, 0.5)
    yield several[[0, 0, 1]], generic_weights(rng, 3)
    yield anchors[rng.integers(len(anchors), size=1)], np.ones(1)
    yield several, generic_weights(rng, 3)
    line = several[:1] + np.array([[0.0], [0.5], [1.0]]) * (several[1:2] - several[:1])
    yield domain.project(line), np.full(3, 1 / 3)
    yield domain.boundary(rng, 2), generic_weights(rng, 2)
    yield domain.project(np.concatenate([several, 2 * anchors[:1] - several])), np.full(6, 1 / 6)
    if len(anchors) > 1:
        yield anchors[rng.choice(len(anchors), size=2, replace=False)], np.full(2, 0.5)


def departure(
    domain: AbstractDomain,
    rng: np.random.Generator,
    kind: str,
    lists: bool,
    base: tuple[np.ndarray, np.ndarray],
) -> Segment | None:
    """A segment that leaves a special measure: its start is where the jump is looked for."""
    points, weights = base
    if kind == "positions":
        end = domain.project(points + 0.3 * domain.diameter * rng.normal(size=points.shape))
        return Segment(kind, (points, weights), (end, weights), domain)
    if kind in ("one atom", "towards boundary"):
        end = points.copy()
        i = int(rng.integers(len(points)))
        end[i] = (domain.sample if kind == "one atom" else domain.boundary)(rng, 1)[0]
        return Segment(kind, (points, weights), (end, weights), domain)
    if lists:
        return None
    if kind == "far atom":
        points = np.concatenate([points, _place(domain, rng)])
        end = np.append(0.5 * weights, 0.5)
        return Segment(kind, (points, np.append(weights, 0.0)), (points, end), domain)
    if len(points) < 2:
        return None
    i, j = rng.choice(len(points), size=2, replace=False)
    end = weights.copy()
    moved = 0.5 * weights[i]
    end[i] -= moved
    end[j] += moved
    return Segment(kind, (points, weights), (points, end), domain)


def _place(domain: AbstractDomain, rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(3)
    if kind == 0:
        return domain.sample(rng, 1)
    if kind == 1:
        return domain.boundary(rng, 1)
    anchors = domain.anchors()
    return anchors[rng.integers(len(anchors))][None]


def crossings(domain: AbstractDomain, seed: int, lists: bool) -> Iterator[Segment]:
    """Endless crossings, the kinds in turn; a function of the seed alone; none if nothing moves."""
    rng = np.random.default_rng([seed, 6])
    while not _immovable(domain, lists):
        for kind in moving(domain, CROSSINGS):
            segment = crossing(domain, rng, kind, lists)
            if segment is not None:
                yield segment


def departures(domain: AbstractDomain, seed: int, lists: bool) -> Iterator[Segment]:
    """Endless departures, special measures and kinds in turn; a function of the seed alone."""
    rng = np.random.default_rng([seed, 7])
    while not _immovable(domain, lists):
        for base in special_measures(domain, rng):
            if lists and np.ptp(base[1]) > 0:
                base = (base[0], np.full(len(base[1]), 1 / len(base[1])))
            for kind in moving(domain, DEPARTURES):
                segment = departure(domain, rng, kind, lists, base)
                if segment is not None:
                    yield segment


def _immovable(domain: AbstractDomain, lists: bool) -> bool:
    """Lists of tokens from finitely many places: neither positions nor masses move."""
    return lists and isinstance(domain, FiniteSet)


def tagged(segment: Segment, rng: np.random.Generator, masses: tuple[float, ...]) -> Segment:
    """The segment with tags of the given tiny masses added at places where no atom is."""
    places = segment.domain.sample(rng, len(masses))
    tags = np.array(masses)

    def add(atoms: Atoms) -> Atoms:
        points, weights = atoms
        scaled = weights * (1 - tags.sum())
        return np.concatenate([points, places]), np.concatenate([scaled, tags])

    n = len(segment.start[1])
    start, end = add(segment.start), add(segment.end)
    if segment.start[1] is segment.end[1]:
        end = (end[0], start[1])
    if segment.start[0] is segment.end[0]:
        end = (start[0], end[1])
    return Segment(
        segment.kind, start, end, segment.domain, segment.tags + tuple(range(n, n + len(masses)))
    )
