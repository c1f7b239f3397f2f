"""`B2`: the regular part of the derivative exists and is uniformly continuous.

Equivalently `f(mu) = G(mu)#mu` with G continuous on pairs (measure, point), also off the support.
G is read off `f` by tags (see `labels.py`); three searches look for a discontinuity of it: jumps
along segments, oscillation as the mass of a tag falls, and approach to a critical measure.
"""

from __future__ import annotations

from itertools import count

import numpy as np

from ..numeric import AbstractDomain, FiniteSet
from .climb import DONE, STARTS, Climb, climb
from .curves import Segment, Zoom, exponents, jump_on, oscillation, persists, simpler, zoom
from .distance import gap
from .labels import label_distance, labels
from .noise import Noise, jitter
from .paths import crossing, moving, tagged
from .pinpoint import Closing, close_in
from .recipes import generic_weights
from .subject import Atoms, Clock, Subject, Unsupported
from .trials import Outcome, Violation

TAGS = ((1e-9, 2.3e-9), (1e-200, 2.3e-200))
_CROSSINGS = ("weights", "positions", "mass exchange", "one atom")


def check_regular(subject: Subject, noise: Noise, seed: int, clock: Clock) -> Outcome:
    """Search for a jump, an oscillation or an unsaturated approach of the recovered G."""
    outcome = Outcome(evidence={"oscillation number": 0.0})
    if subject.lists:
        outcome.violation = _list_jumps(subject, noise, seed, clock.share(0.85), outcome)
        return _told(outcome)
    searches = (
        lambda time, turn: _jumps(subject, noise, seed + turn, time, outcome),
        lambda time, turn: _sweeps(subject, noise, seed + turn, time, outcome),
        lambda time, turn: _climbs(subject, noise, seed + turn, time, outcome),
    )
    work = clock.share(0.9)
    for turn in count():
        for search in searches:
            last = turn > 0 or search is searches[-1]
            found = search(work if last else work.share(0.3), turn)
            if found is not None:
                outcome.violation = found
                return _told(outcome)
        if work.left <= 0 or turn == 3:
            return _told(outcome)
    raise AssertionError


def _told(outcome: Outcome) -> Outcome:
    if outcome.violation is not None:
        outcome.reason = outcome.violation.sentence
        outcome.evidence["oscillation number"] = outcome.violation.numbers["defect"]
    return outcome


# -- jumps along segments ----------------------------------------------------------------------
def _jumps(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    rng = np.random.default_rng([seed, 11])
    for turn in range(64):
        if clock.left <= 0:
            return None
        kinds = moving(subject.domain, _CROSSINGS)
        kind = kinds[turn % len(kinds)]
        plain = crossing(subject.domain, rng, kind, lists=False)
        if plain is None:
            continue
        on_support = turn % 2 == 0
        segment = _followed(plain) if on_support else tagged(plain, rng, TAGS[turn // 2 % 2])
        found = _jump_along(subject, noise, segment, 64 * 2 ** (turn // 24), clock)
        outcome.searched += 1
        if found is not None:
            return _simplest(subject, noise, segment, found, clock)
    return None


def _followed(segment: Segment) -> Segment:
    """The segment with the images of its own atoms followed."""
    positive = (segment.start[1] > 0) & (segment.end[1] > 0)
    return Segment(
        segment.kind,
        segment.start,
        segment.end,
        segment.domain,
        tuple(int(i) for i in np.flatnonzero(positive)),
    )


def _jump_along(
    subject: Subject, noise: Noise, segment: Segment, calls: int, clock: Clock
) -> Violation | None:
    if not segment.tags:
        return None

    def respond(t: float) -> np.ndarray | None:
        return labels(subject, noise, segment.at(t), segment.tags)

    floor = max(20 * noise.value, 1e-12 * noise.diameter)
    found = zoom(respond, label_distance, calls=calls, floor=floor, clock=clock)
    if not jump_on(found, noise.threshold):
        return None
    assert found is not None
    for t in found.middle():
        if _shaken(subject, noise, segment.at(t), segment.tags) > 0.1 * found.rise:
            return None
    return _tag_jump(segment, found, respond, noise)


def _shaken(subject: Subject, noise: Noise, atoms: Atoms, tags: tuple[int, ...]) -> float:
    """How far the labels move when the measure changes in its last bits."""
    return jitter(lambda p, w: labels(subject, noise, (p, w), tags), label_distance, atoms)


def _tag_jump(segment: Segment, found: Zoom, respond, noise: Noise) -> Violation | None:
    left, right = (segment.at(t) for t in found.intervals[-1])
    if gap(left, right) > 1e-6 * segment.domain.diameter:
        return None  # the projection on the domain tore the path, not the map
    first, second = (respond(t) for t in found.intervals[-1])
    rises = np.linalg.norm(first - second, axis=1)
    tag = segment.tags[int(np.argmax(rises))]
    distance = gap(left, right)
    return _pair(
        "tag-jump",
        (left, right),
        tag,
        float(rises.max()),
        distance,
        noise,
        f"the image of one atom jumps by {rises.max():.3g} between two measures at distance "
        f"{distance:.2g} (moving {segment.kind}), although f itself does not",
    )


def _simplest(
    subject: Subject, noise: Noise, segment: Segment, found: Violation, clock: Clock
) -> Violation:
    last = [found]

    def fails(trial: Segment) -> bool:
        again = _jump_along(subject, noise, trial, 64, clock)
        if again is None or again.numbers["defect"] < 0.1 * found.numbers["defect"]:
            return False
        last[:] = [again]
        return True

    simpler(segment, fails, clock)
    return last[0]


def _pair(
    operation: str,
    measures: tuple[Atoms, Atoms],
    tag: int,
    defect: float,
    distance: float,
    noise: Noise,
    sentence: str,
) -> Violation:
    numbers = {
        "defect": defect,
        "threshold": noise.threshold,
        "distance": distance,
        "tag": float(tag),
    }
    return Violation(operation, measures, numbers, sentence)


# -- oscillation as the mass of a tag falls ----------------------------------------------------
def _sweeps(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    """Sweep the mass of a tag over 300 decades at special measures and at steep single atoms."""
    rng = np.random.default_rng([seed, 12])
    domain = subject.domain
    bases = [(anchor[None], np.ones(1)) for anchor in domain.anchors()[:6]]
    if not isinstance(domain, FiniteSet):
        for atoms in (1, 1, 2):
            violation, found = _closing(subject, noise, rng, clock.share(0.3), atoms)
            outcome.searched += 1
            if violation is not None:
                return violation
            bases += found
    for size in (1, 2, 3):
        bases.append((domain.sample(rng, size), generic_weights(rng, size)))
    anchors = domain.anchors()
    for size in (2, 3):
        if len(anchors) >= size:
            chosen = anchors[rng.choice(len(anchors), size=size, replace=False)]
            bases.append((chosen, generic_weights(rng, size)))
    for base in bases:
        places = np.concatenate([domain.sample(rng, 1), domain.boundary(rng, 1)])
        for x in places:
            if clock.left <= 0:
                return None
            found = _sweep(subject, noise, base, x, rng, clock)
            outcome.searched += 1
            if found is not None:
                return found
    return None


def _sweep(
    subject: Subject,
    noise: Noise,
    base: Atoms,
    x: np.ndarray,
    rng: np.random.Generator,
    clock: Clock,
) -> Violation | None:
    points, weights = base
    if (np.linalg.norm(points - x, axis=1) < 1e-6 * subject.domain.diameter).any():
        return None
    n = len(points)
    spots = np.concatenate([points, x[None]])

    def measure(mass: float) -> Atoms:
        return spots, np.append(weights * (1 - mass), mass)

    def values(exps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = [(10.0**u, labels(subject, noise, measure(10.0**u), (n,))) for u in exps]
        kept = [(t, value[0]) for t, value in seen if value is not None]
        return np.array([t for t, _ in kept]), np.array([value for _, value in kept])

    def reach(exps: np.ndarray) -> Violation | None:
        masses, images = values(exps)
        if len(masses) < 40 or clock.left <= 0:
            return None
        ends, sizes = oscillation(masses, images)
        if not persists(ends, sizes, noise.threshold):
            return None
        if not _seen_above_rounding(masses, images, sizes[-1]):
            return None
        fine = masses <= ends[-4]
        first, second = _farthest(images[fine])
        pair = (measure(masses[fine][first]), measure(masses[fine][second]))
        distance = float(masses[fine].max()) * subject.domain.diameter
        defect = float(np.linalg.norm(images[fine][first] - images[fine][second]))
        return _pair(
            "tag-oscillation",
            pair,
            n,
            defect,
            distance,
            noise,
            f"the image of a point of vanishing mass oscillates by {defect:.3g} however small the "
            f"mass (down to {masses.min():.0e}): it has no limit",
        )

    # a few probes first: a limit that is there is seen at once
    _, probe = values(np.array([-1.3, -2.7, -4.6, -6.1, -8.2, -9.9, -11.5, -13.3]))
    if len(probe) > 3 and np.linalg.norm(np.ptp(probe[3:], axis=0)) <= noise.threshold:
        return None
    return reach(exponents(-300.0, rng, 4.0))


def _seen_above_rounding(masses: np.ndarray, images: np.ndarray, size: float) -> bool:
    """The oscillation is there, as large, at masses that rounding of positions cannot touch."""
    coarse = images[(masses >= 1e-10) & (masses <= 1e-2)]
    return len(coarse) >= 8 and float(np.linalg.norm(np.ptp(coarse, axis=0))) >= 0.5 * size


def _farthest(values: np.ndarray) -> tuple[int, int]:
    axis = int(np.argmax(np.ptp(values, axis=0)))
    return int(np.argmin(values[:, axis])), int(np.argmax(values[:, axis]))


def _closing(
    subject: Subject, noise: Noise, rng: np.random.Generator, clock: Clock, atoms: int
) -> tuple[Violation | None, list[Atoms]]:
    """Close in on a singular measure of one or two atoms, seen by two tags of vanishing mass.

    Returns a violation, where the images of the tags vary as much in the smallest ball as half way
    down; else the innermost centre and its neighbours, to be swept.
    """
    tags = subject.domain.sample(rng, 2)
    masses = np.array(TAGS[1])
    own = generic_weights(rng, atoms)

    def measure(points: np.ndarray) -> Atoms:
        return np.concatenate([points, tags]), np.concatenate([own, masses])

    def respond(points: np.ndarray) -> np.ndarray | None:
        return labels(subject, noise, measure(points), (atoms, atoms + 1))

    found = close_in(respond, label_distance, subject.domain, atoms, rng, clock)
    if found is None or len(found.radii) < 24:
        return None, []
    if found.stays(noise.threshold):
        violation = _closed_in(subject, noise, found, measure, respond)
        if violation is not None:
            return violation, []
    if atoms > 1:
        return None, []
    return None, [(near, np.ones(1)) for near in _neighbours(found.centre, subject.domain)]


def _closed_in(
    subject: Subject, noise: Noise, found: Closing, measure, respond
) -> Violation | None:
    atoms = len(found.centre)
    for points in found.middle():
        shaken = _shaken(subject, noise, measure(points), (atoms, atoms + 1))
        if shaken > 0.1 * max(found.variations[-6:]):
            return None
    widest = max(range(len(found.radii) - 6, len(found.radii)), key=lambda k: found.variations[k])
    first, second = found.pairs[widest]
    rises = np.linalg.norm(respond(first) - respond(second), axis=1)
    return _pair(
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


# -- approach to a critical measure ------------------------------------------------------------
def _climbs(
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
        if found.unsaturated:
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
    return _pair(
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


# -- lists of tokens ---------------------------------------------------------------------------
def _list_jumps(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    """Jumps along moves of tokens that are repeated 1, 2, 4, ... times, so that all are told."""
    rng = np.random.default_rng([seed, 13])
    for turn in range(200):
        if clock.left <= 0:
            return None
        n = int(rng.integers(1, 6))
        counts = 2.0 ** np.arange(n)
        weights = counts / counts.sum()
        start, end = subject.domain.sample(rng, n), subject.domain.sample(rng, n)
        if turn % 2:
            end[1:] = start[1:]
        segment = Segment(
            "positions", (start, weights), (end, weights), subject.domain, tuple(range(n))
        )
        found = _jump_along(subject, noise, segment, 64 * 2 ** (turn // 32), clock)
        outcome.searched += 1
        if found is not None:
            return _simplest(subject, noise, segment, found, clock)
    return None


