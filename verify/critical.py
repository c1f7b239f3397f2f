"""Critical measures: closing in on few atoms, climbing to many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numeric import AbstractDomain, Box, Product
from .climb import DONE, STARTS, Climb, climb, steeper_elsewhere
from .gauges import Labels
from .homing import Search
from .labels import label_violation, labels, labels_of, masses_of_tags, rounded, shaken
from .noise import Noise
from .pinpoint import Closing, around, lasts
from .poles import singular_places
from .recipes import generic_weights, inside
from .subject import Atoms, Clock, Stack, Subject, Unsupported
from .trials import Outcome, Violation

LEAST_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """Which measures to close in on: so many atoms, of equal, given or free weights."""

    atoms: int
    weights: str


KINDS = (
    Kind(1, "given"),
    Kind(2, "equal"),
    Kind(2, "free"),
    Kind(1, "given"),
    Kind(3, "equal"),
    Kind(2, "given"),
    Kind(3, "free"),
)


class _Tagged:
    """Measures of a few atoms with two tags of vanishing mass, whose images are the response.

    A place of an atom has one coordinate more where its weight is free.
    """

    def __init__(self, subject: Subject, noise: Noise, rng: np.random.Generator, kind: Kind):
        self.subject, self.noise, self.atoms = subject, noise, kind.atoms
        self.free = kind.weights == "free"
        self.domain = subject.domain
        self.searched: AbstractDomain = self.domain
        if self.free:
            self.searched = Product(self.domain, Box([0.0], [1.0]))
        self.tags = self.domain.sample(rng, 2)
        self.masses = np.array(masses_of_tags(noise))
        equal = np.full(kind.atoms, 1 / kind.atoms)
        self.own = equal if kind.weights == "equal" else generic_weights(rng, kind.atoms)
        self.follow = (kind.atoms, kind.atoms + 1)

    def measures(self, places: np.ndarray) -> Stack:
        count, n = len(places), self.atoms
        own = np.broadcast_to(self.own, (count, n))
        if self.free:
            own = LEAST_SHARE + places[:, :, -1]
            own = own / own.sum(axis=1, keepdims=True)
        atoms = inside(self.domain, places[:, :, : self.domain.dim])  # not defined outside, perhaps
        tags = np.broadcast_to(self.tags, (count, *self.tags.shape))
        masses = np.broadcast_to(self.masses, (count, len(self.masses)))
        return np.concatenate([atoms, tags], axis=1), np.concatenate([own, masses], axis=1)

    def measure(self, places: np.ndarray) -> Atoms:
        (spots,), (weights,) = self.measures(places[None])
        return spots, weights

    def __call__(self, places: np.ndarray) -> list[np.ndarray | None]:
        return labels_of(self.subject, self.noise, self.measures(places), np.array([self.follow]))


def closing(
    subject: Subject, noise: Noise, rng: np.random.Generator, clock: Clock, kind: Kind
) -> tuple[Violation | None, list[Atoms]]:
    """Close in on a singular measure of a few atoms, seen by two tags of vanishing mass.

    Returns a violation, where the images of the tags vary as much in the smallest ball as half way
    down; else, of one atom, the innermost centre and its neighbours, to be swept.
    """
    tagged = _Tagged(subject, noise, rng, kind)
    finest = noise.resolution * subject.domain.diameter
    centre = None
    search = Search(tagged, Labels(), tagged.searched, kind.atoms, noise, clock)
    for centre in singular_places(search, rng, starts=8):
        found = around(search, centre, rng, noise.threshold)
        if found.stays(noise.threshold, finest) and lasts(search, centre, rng, finest):
            violation = _closed_in(subject, noise, found, tagged)
            if violation is not None:
                return violation, []
    if centre is None or kind.atoms > 1:
        return None, []
    return None, [(near, np.ones(1)) for near in _neighbours(centre, subject.domain)]


def _closed_in(subject: Subject, noise: Noise, found: Closing, tagged: _Tagged) -> Violation | None:
    atoms, follow, measure = tagged.atoms, tagged.follow, tagged.measure
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
            rng = np.random.default_rng([seed, 19, atoms])
            if not steeper_elsewhere(subject, noise, last, rng, clock.whole):
                return violation
            outcome.undecided = True
            outcome.reason = (
                f"the slope of G still grows at {last.atoms} atoms ({last.slope:.3g}); others of "
                "as many are steeper yet: steep at a fine scale, or singular where few atoms or "
                "moments take some values; a larger budget may decide"
            )
            continue
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
