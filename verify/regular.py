"""`B2`: the regular part of the derivative exists and is uniformly continuous.

Equivalently `f(mu) = G(mu)#mu` with G continuous on pairs (measure, point), also off the support.
G is read off `f` by tags (see `labels.py`); three searches look for a discontinuity of it: jumps
along segments, oscillation as the mass of a tag falls, and approach to a critical measure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from ..numeric import FiniteSet
from .critical import KINDS, Kind, climbs, closing
from .curves import Bundle, Segment, Zoom, jump_on, simpler, zoom
from .distance import gap
from .gauges import Labels
from .labels import label_violation, labels, labels_of, masses_of_tags, rounded, shaken
from .modulus import Modulus
from .noise import Noise
from .paths import crossing, moving, tagged
from .recipes import generic_weights
from .subject import Atoms, Clock, Subject
from .trials import Outcome, Violation
from .vanishing import sweep

_CROSSINGS = ("weights", "positions", "mass exchange", "one atom")
_ROUNDS = 4
_SIDE_BY_SIDE = 12


def check_regular(subject: Subject, noise: Noise, seed: int, clock: Clock) -> Outcome:
    """Search for a jump, an oscillation or an unsaturated approach of the recovered G."""
    outcome = Outcome(evidence={"oscillation number": 0.0})
    modulus = Modulus(noise.threshold)
    work = clock.share(0.9)
    if subject.lists:
        outcome.violation = _list_jumps(subject, noise, seed, work, outcome, modulus)
    else:
        kinds = deque(KINDS)
        for turn in range(_ROUNDS):
            outcome.violation = _round(subject, noise, seed + turn, kinds, work, outcome, modulus)
            if outcome.violation is not None or work.left <= 0:
                break
    outcome.drawn = outcome.searched
    outcome.evidence |= modulus.evidence()
    if outcome.violation is not None:
        outcome.reason = outcome.violation.sentence
        outcome.evidence["oscillation number"] = outcome.violation.numbers["defect"]
    return outcome


def _round(
    subject: Subject,
    noise: Noise,
    seed: int,
    kinds: deque[Kind],
    clock: Clock,
    outcome: Outcome,
    modulus: Modulus,
) -> Violation | None:
    """Every search once, the cheap ones first."""
    return (
        _sweeps(subject, noise, seed, clock.share(0.15), outcome)
        or _closings(subject, noise, seed, kinds, clock.share(0.35), outcome)
        or _jumps(subject, noise, seed, clock.share(0.3), outcome, modulus)
        or climbs(subject, noise, seed, clock, outcome)
    )


# -- oscillation, and closing in ---------------------------------------------------------------
def _sweeps(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    rng = np.random.default_rng([seed, 12])
    for base in _bases(subject, rng):
        found = _swept(subject, noise, base, rng, clock, outcome)
        if found is not None or clock.left <= 0:
            return found
    return None


def _swept(
    subject: Subject,
    noise: Noise,
    base: Atoms,
    rng: np.random.Generator,
    clock: Clock,
    outcome: Outcome,
) -> Violation | None:
    for x in np.concatenate([subject.domain.sample(rng, 1), subject.domain.boundary(rng, 1)]):
        if clock.left <= 0:
            return None
        outcome.searched += 1
        found = sweep(subject, noise, base, x, rng, clock)
        if found is not None:
            return found
    return None


def _bases(subject: Subject, rng: np.random.Generator) -> Iterator[Atoms]:
    domain, anchors = subject.domain, subject.domain.anchors()
    for anchor in anchors[:6]:
        yield anchor[None], np.ones(1)
    for size in (1, 2, 3):
        yield domain.sample(rng, size), generic_weights(rng, size)
        if 1 < size <= len(anchors):
            chosen = anchors[rng.choice(len(anchors), size=size, replace=False)]
            yield chosen, generic_weights(rng, size)


def _closings(
    subject: Subject, noise: Noise, seed: int, kinds: deque[Kind], clock: Clock, outcome: Outcome
) -> Violation | None:
    if isinstance(subject.domain, FiniteSet):
        return None
    rng = np.random.default_rng([seed, 17])
    for _ in KINDS:
        if clock.left <= 0:
            return None
        kind = kinds[0]
        kinds.rotate(-1)  # the next round goes on from here
        outcome.searched += 1
        violation, found = closing(subject, noise, rng, clock, kind)
        if violation is not None:
            return violation
        for base in found:
            violation = _swept(subject, noise, base, rng, clock, outcome)
            if violation is not None:
                return violation
    return None


# -- jumps along segments ----------------------------------------------------------------------
def _jumps(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome, modulus: Modulus
) -> Violation | None:
    rng = np.random.default_rng([seed, 11])
    for first in range(0, 64, _SIDE_BY_SIDE):
        segments, calls = [], 64 * 2 ** (first // 24)
        for turn in range(first, min(64, first + _SIDE_BY_SIDE)):
            kinds = moving(subject.domain, _CROSSINGS)
            plain = crossing(subject.domain, rng, kinds[turn % len(kinds)], lists=False)
            if plain is not None:
                on_support = turn % 2 == 0
                tags = masses_of_tags(noise)
                segments.append(_followed(plain) if on_support else tagged(plain, rng, tags))
        found = _first_jump(subject, noise, segments, calls, clock, outcome, modulus)
        if found is not None or clock.left <= 0:
            return found
    return None


def _first_jump(
    subject: Subject,
    noise: Noise,
    segments: list[Segment],
    calls: int,
    clock: Clock,
    outcome: Outcome,
    modulus: Modulus,
) -> Violation | None:
    """The first jump along the segments, side by side where the map takes many measures at once."""
    at_once = subject.abreast(calls, clock, max(1, len(segments)))
    for k in range(0, len(segments), at_once):
        if clock.left <= 0:
            return None
        some = segments[k : k + at_once]
        seen = _jumps_along(subject, noise, some, calls, clock, modulus)
        outcome.searched += len(some)
        for segment, found in zip(some, seen, strict=True):
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


def _jumps_along(
    subject: Subject,
    noise: Noise,
    segments: list[Segment],
    calls: int,
    clock: Clock,
    modulus: Modulus,
) -> list[Violation | None]:
    """For each segment, a jump of the images of its tags along it or None."""
    bundle = Bundle(segments)
    most = max(len(segment.tags) for segment in segments)
    follow = np.array([_repeated(segment.tags, most) for segment in segments])

    def respond(which: list[int], ts: list[float]) -> list[np.ndarray | None]:
        return labels_of(subject, noise, bundle.at(which, ts), follow[which])

    floor = max(20 * noise.value, 1e-12 * noise.diameter)
    bends = [segment.kind != "one atom" for segment in segments]  # as for `continuous`
    zooms = zoom(respond, Labels(), bends, calls=calls, floor=floor, clock=clock)
    return [
        None if found is None else _looked_at(subject, noise, segment, found, modulus)
        for segment, found in zip(segments, zooms, strict=True)
    ]


def _repeated(tags: tuple[int, ...], most: int) -> tuple[int, ...]:
    return tags + tags[:1] * (most - len(tags))


def _looked_at(
    subject: Subject, noise: Noise, segment: Segment, found: Zoom, modulus: Modulus
) -> Violation | None:
    """The violation, if the steepest place of a segment is a jump of the image of a tag."""
    found.record(modulus, segment)
    if not jump_on(found, noise.threshold, noise.resolution):
        return None
    for t in found.middle():
        if shaken(subject, noise, segment.at(t), segment.tags) > 0.1 * found.rise:
            return None
    place = segment.at(found.intervals[-1][0])
    if rounded(subject, noise, place, segment.tags, found.rise):
        return None
    return _tag_jump(subject, noise, segment, found)


def _tag_jump(subject: Subject, noise: Noise, segment: Segment, found: Zoom) -> Violation | None:
    left, right = (segment.at(t) for t in found.intervals[-1])
    distance = gap(left, right)
    if distance > 1e-6 * segment.domain.diameter:
        return None  # the projection on the domain tore the path, not the map
    first, second = (labels(subject, noise, atoms, segment.tags) for atoms in (left, right))
    if first is None or second is None:
        return None
    rises = np.linalg.norm(first - second, axis=1)
    tag = segment.tags[int(np.argmax(rises))]
    return label_violation(
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
        (again,) = _jumps_along(subject, noise, [trial], 64, clock, Modulus(np.inf))
        if again is None or again.numbers["defect"] < 0.1 * found.numbers["defect"]:
            return False
        last[:] = [again]
        return True

    simpler(segment, fails, clock)
    return last[0]


# -- lists of tokens ---------------------------------------------------------------------------
def _list_jumps(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome, modulus: Modulus
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
        calls = 64 * 2 ** (turn // 32)
        found = _first_jump(subject, noise, [segment], calls, clock, outcome, modulus)
        if found is not None:
            return found
    return None
