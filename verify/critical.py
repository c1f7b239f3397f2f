"""Critical measures: closing in on few atoms, climbing to many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..numeric import AbstractDomain
from .climb import DONE, STARTS, Climb, climb
from .gauges import Labels
from .labels import label_violation, labels, labels_of, masses_of_tags, rounded, shaken
from .noise import Noise
from .pinpoint import STARTS as BEGINNINGS, Closing, around, chase, close_in
from .recipes import generic_weights, inside
from .subject import Atoms, Clock, Stack, Subject, Unsupported
from .trials import Outcome, Violation

CHASES = 4


def closing(
    subject: Subject, noise: Noise, rng: np.random.Generator, clock: Clock, atoms: int
) -> tuple[Violation | None, list[Atoms]]:
    """Close in on a singular measure of one or two atoms, seen by two tags of vanishing mass.

    Returns a violation, where the images of the tags vary as much in the smallest ball as half way
    down; else the innermost centre and its neighbours, to be swept.
    """
    tags = subject.domain.sample(rng, 2)
    masses = np.array(masses_of_tags(noise))
    own = generic_weights(rng, atoms)
    if atoms > 1 and rng.random() < 0.5:
        own = np.full(atoms, 1 / atoms)  # a symmetric measure may be the singular one

    follow = (atoms, atoms + 1)

    def measures(places: np.ndarray) -> Stack:
        places = inside(subject.domain, places)  # a map need not be defined outside
        count = len(places)
        spots = np.concatenate([places, np.broadcast_to(tags, (count, *tags.shape))], axis=1)
        weights = np.concatenate([own, masses])
        return spots, np.broadcast_to(weights, (count, len(weights)))

    def measure(points: np.ndarray) -> Atoms:
        (spots,), (weights,) = measures(points[None])
        return spots, weights

    def respond(places: np.ndarray) -> list[np.ndarray | None]:
        return labels_of(subject, noise, measures(places), np.array([follow]))

    def held(found: Closing | None) -> Violation | None:
        finest = noise.resolution * subject.domain.diameter
        if found is None or not found.stays(noise.threshold, finest):
            return None
        return _closed_in(subject, noise, found, measure)

    for _ in range(CHASES):
        if clock.left <= 0:
            return None, []
        centre = chase(respond, subject.domain, atoms, rng, clock)
        violation = held(around(respond, Labels(), subject.domain, centre, rng, clock))
        if violation is not None:
            return violation, []
    at_once = BEGINNINGS if subject.together > 1 else 1
    found = close_in(respond, Labels(), subject.domain, atoms, rng, clock, at_once)
    violation = held(found)
    if violation is not None or found is None or atoms > 1:
        return violation, []
    return None, [(near, np.ones(1)) for near in _neighbours(found.centre, subject.domain)]


def _closed_in(
    subject: Subject, noise: Noise, found: Closing, measure: Callable[[np.ndarray], Atoms]
) -> Violation | None:
    atoms = len(found.centre)
    follow = (atoms, atoms + 1)
    for points in found.middle():
        unsteady = shaken(subject, noise, measure(points), follow)
        if unsteady > 0.1 * max(found.variations[-6:]):
            return None
    widest = max(range(len(found.radii) - 6, len(found.radii)), key=lambda k: found.variations[k])
    first, second = found.pairs[widest]
    images = [labels(subject, noise, measure(points), follow) for points in (first, second)]
    if images[0] is None or images[1] is None:
        return None
    rises = np.linalg.norm(images[0] - images[1], axis=1)
    if rounded(subject, noise, measure(first), follow, float(rises.max())):
        return None
    return label_violation(
        "tag-jump",
        (measure(first), measure(second)),
        atoms + int(np.argmax(rises)),
        float(rises.max()),
        float(np.abs(first - second).max()),
        noise,
        f"the image of a point of vanishing mass varies by {rises.max():.3g} however near the "
        f"other atoms come to one place (within {found.radii[-1]:.0e}): it has no limit there",
    )


def _neighbours(at: np.ndarray, domain: AbstractDomain) -> list[np.ndarray]:
    """The floating point numbers next to a point, and the short decimal near it.

    Only at the critical point itself do oscillations go on below the last bits of its coordinates.
    """
    short = [np.round(at, digits) for digits in (6, 9, 12)]
    if at.shape[1] > 1:
        return [domain.project(near) for near in (at, *short)]
    steps = [at + k * np.spacing(np.abs(at)) for k in range(-3, 4)]
    return [domain.project(near) for near in (*short, *steps)]


def climbs(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    for atoms in STARTS:
        if clock.left <= 0:
            return None
        try:
            found = climb(subject, noise, atoms, seed, clock, largest=min(DONE, subject.largest))
        except Unsupported:
            return None
        outcome.searched += 1
        if not found.stages:
            continue
        last = found.stages[-1]
        key = "steepest slope"
        if last.slope > outcome.evidence.get(key, 0.0):
            outcome.evidence |= {key: last.slope, "atoms at the steepest slope": last.atoms}
        violation = _approach(found, noise)
        if violation is not None:
            return violation
        if found.unsaturated and last.atoms >= 128 and found.decades >= 2:
            outcome.undecided = True
            outcome.reason = (
                f"the slope of G still grows at {last.atoms} atoms ({last.slope:.3g}): steep, or "
                "the approach to a critical measure; a larger budget decides"
            )
    return None


def _approach(found: Climb, noise: Noise) -> Violation | None:
    last = found.stages[-1]
    far_enough = 2 * last.atoms > DONE and found.decades >= 3
    if not (found.unsaturated and far_enough and last.change > noise.threshold):
        return None
    return label_violation(
        "approach",
        last.pair,
        last.tag,
        last.change,
        last.distance,
        noise,
        f"G changes by {last.change:.3g} between measures of {last.atoms} atoms at distance "
        f"{last.distance:.2g}, and as much at every coarser scale over {found.decades:.1f} "
        f"decades: its slope grows like n^{_power(found):.1f} up to {last.atoms} atoms",
    )


def _power(found: Climb) -> float:
    sizes = np.log([stage.atoms for stage in found.stages[-6:]])
    slopes = np.log([stage.slope for stage in found.stages[-6:]])
    return float(np.polyfit(sizes, slopes, 1)[0])
