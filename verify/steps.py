"""Steps of a map that rounds inside: a staircase everywhere, and not a jump in one place.

A function that keeps an inner quantity in float16 and answers in float64 is constant on small
plateaux and jumps between them. Its jumps persist at every finer scale as those of a discontinuous
map do, but they are everywhere: on a short way from *any* measure there are many of them, all of
about the same size. A defect that is no larger than a few of the steps around it is rounding.

A map that rounds its *images* to a fixed lattice, to three decimals or to eighths, is discontinuous
in earnest. Floating point has steps that shrink with the numbers and are powers of two; a lattice
that is neither gives the quantisation away. Where the quantised numbers are hidden inside, nothing
tells them from a short type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ..numeric import AbstractDomain
from .subject import Atoms, Subject

R = TypeVar("R")
Way = Callable[[float], Atoms]

WAY = 1 / 64
AXES = 3
KNOTS = 13
PLACES = 6
HALVINGS = 22
COMPARABLE = 5.0
COARSEST = 2.0**-7  # relative spacing of bfloat16, the shortest floating type in use


def only_rounding(
    subject: Subject,
    read: Callable[[np.ndarray, np.ndarray], R | None],
    distance: Callable[[R, R], float],
    atoms: Atoms,
    defect: float,
    terms: int = 1,
) -> bool:
    """Whether a defect is no larger than the steps that the map takes all around.

    Args:
        subject: the map; the size of the steps is noted on it.
        read: what is read off the map at a measure, or None.
        distance: between two readings.
        atoms: the measure at which the defect was seen.
        defect: its size, in that distance.
        terms: how many rounded terms were summed: sums are off by the root of that many steps.
    """
    least = defect / (COMPARABLE * np.sqrt(terms))
    for way in _ways(atoms, subject.domain, subject.lists):
        steps = _steps_along(way, read, distance, least)
        if steps > 0:
            subject.steps = max(subject.steps, steps)
            return True
    return False


def scatters(differences: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> bool:
    """Whether differences of images at neighbouring measures are small and have no direction.

    A map that depends on the order of its atoms does so in nearly the same way nearby; what
    rounding leaves points now here, now there.
    """
    typical = float(np.mean([np.linalg.norm(difference) for difference in differences]))
    common = float(np.linalg.norm(np.mean(np.array(differences), axis=0)))
    largest = max(np.abs(difference).max() for difference in differences)
    small = largest <= 2 * COARSEST * max(np.abs(image).max() for image in images)
    return bool(small and common < 0.6 * typical)


def _steps_along(
    way: Way,
    read: Callable[[np.ndarray, np.ndarray], R | None],
    distance: Callable[[R, R], float],
    least: float,
) -> float:
    """The largest of many jumps of at least this size on the way, or 0 where there are not many."""
    ts = [k / (KNOTS - 1) for k in range(KNOTS)]
    values: list[Any] = [read(*way(t)) for t in ts]
    if any(value is None for value in values):
        return 0.0
    rises = [distance(values[k], values[k + 1]) for k in range(KNOTS - 1)]
    steps: list[float] = []
    missed = 0
    for k in sorted(range(KNOTS - 1), key=lambda k: -rises[k])[:PLACES]:
        ends = (ts[k], values[k]), (ts[k + 1], values[k + 1])
        step = _bisected(read, distance, way, *ends, least)
        steps += [] if step is None else [step]
        missed += step is None
        if missed > 1:
            return 0.0
    return 0.0 if _on_a_lattice([_numbers(value) for value in values]) else max(steps)


def _ways(atoms: Atoms, domain: AbstractDomain, lists: bool) -> Iterator[Way]:
    """Short ways from a measure: all atoms drift along an axis, past the centre, in weights too.

    Along one axis each: atoms that move in many coordinates meet many jumps of a coarse map at
    once. Not all by the same distance: a map of differences would see nothing.
    """
    points, weights = atoms
    rng = np.random.default_rng(6)
    drift = rng.uniform(0.5, 1.0, size=len(points))
    # the steps of tokens far from the origin are large beside the domain
    length = min(0.5 * domain.diameter, WAY * max(domain.diameter, domain.scale))
    past = np.where(weights @ points > weights.sum() * domain.anchors()[0], -length, length)
    spent = np.zeros_like(weights) if lists else _spent(weights, rng)
    for axis in rng.permutation(points.shape[1])[:AXES]:
        step = np.zeros_like(points)
        step[:, axis] = drift * past[axis]
        yield partial(_along, atoms, step, spent, domain)
        # the steps of floating point shrink towards zero, where that way may lead
        yield partial(_along, atoms, -step, spent, domain)


def _along(
    atoms: Atoms, step: np.ndarray, spent: np.ndarray, domain: AbstractDomain, t: float
) -> Atoms:
    points, weights = atoms
    return domain.project(points + t * step), weights + t * spent


def _spent(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The heaviest atom gives mass to the others, to each in proportion: tags stay tags."""
    heaviest = int(np.argmax(weights))
    gains = weights * rng.uniform(0.5, 1.0, size=weights.shape)
    gains[heaviest] = 0.0
    if not gains.any():
        return gains
    amount = min(WAY * weights.sum(), 0.5 * weights[heaviest])
    gains *= amount / gains.sum()
    gains[heaviest] = -amount
    return gains


def _bisected(
    read: Callable[[np.ndarray, np.ndarray], R | None],
    distance: Callable[[R, R], float],
    way: Way,
    left: tuple[float, R],
    right: tuple[float, R],
    least: float,
) -> float | None:
    """The size of the jump in a piece of the way; None where it falls below `least`."""
    for _ in range(HALVINGS):
        if distance(left[1], right[1]) < least:
            return None
        t = 0.5 * (left[0] + right[0])
        value = read(*way(t))
        if value is None:
            return None
        near, far = distance(left[1], value), distance(value, right[1])
        left, right = (left, (t, value)) if near >= far else ((t, value), right)
    size = distance(left[1], right[1])
    return size if size >= least else None


def _numbers(value: Any) -> np.ndarray:
    """The coordinates in a reading: of an image measure, or of an array of images."""
    return np.ravel(value[0] if isinstance(value, tuple) else value)


def _on_a_lattice(readings: list[np.ndarray]) -> bool:
    """Whether all coordinates are multiples of one number that is no spacing of floating point."""
    numbers = np.unique(np.concatenate(readings))
    gaps = np.diff(numbers)
    told = gaps > 1e-9 * np.abs(numbers).max()
    if not told.any():
        return False
    cell = float(gaps[told].min())
    index = np.rint(numbers / cell)
    if np.abs(numbers - index * cell).max() > 1e-3 * cell or np.abs(index).max() > 2**11:
        return False
    binary = abs(np.log2(cell) - np.rint(np.log2(cell))) < 1e-9
    least = np.abs(numbers[1:][told & (gaps < 1.5 * cell)]).min()
    return not binary or cell > COARSEST * float(least)
