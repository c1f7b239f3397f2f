"""`continuous`: W1(f(mu), f(nu)) -> 0 as W1(mu, nu) -> 0."""

from __future__ import annotations

import numpy as np

from ..numeric import FiniteSet
from .curves import (
    Descent,
    Segment,
    Zoom,
    descend,
    jump_on,
    persists,
    simpler,
    stops_at_rounding,
    zoom,
)
from .distance import bent, gap, moved
from .modulus import Modulus
from .noise import Noise, jitter
from .paths import crossings, departures
from .pinpoint import close_in, settles_not
from .subject import Atoms, Clock, Subject, Unsupported
from .trials import Outcome, Violation

LIST_SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def check_continuous(
    subject: Subject, noise: Noise, seed: int, clock: Clock, spare: Clock
) -> Outcome:
    """Search for a jump along segments of measures.

    Crossings may jump anywhere and are bisected; departures start at special measures (atoms that
    coincide, symmetric, collinear, at a corner or the centre) and are followed down to 1e-300. Both
    kinds come in turn, with more evaluations a crossing as time goes on.
    """
    outcome = Outcome()
    work = clock.share(0.85)
    across = crossings(subject.domain, seed, subject.lists)
    away = departures(subject.domain, seed, subject.lists)
    finest = 1.0
    modulus = Modulus(noise.threshold)
    calls, turn = 64, 0
    if subject.lists:
        outcome.violation = _rare_token(subject, noise, seed, work, outcome)
    while outcome.violation is None and work.left > 0 and turn < 4000:
        if turn in (24, 48, 96, 192) and not isinstance(subject.domain, FiniteSet):
            atoms = 1 if turn in (24, 96) else 2
            closing = work.share(0.5)
            outcome.searched += 1
            outcome.violation = _closing(subject, noise, [seed, turn], closing, atoms)
            if outcome.violation is not None:
                break
        leaving = turn % 4 != 0
        segment = next(away if leaving else across, None)
        if segment is None:
            break  # nothing moves: finitely many lists of each length
        if not segment.shift():
            turn += 1
            continue  # the whole of it is one measure
        follow = _leaving if leaving else _crossing
        found = follow(subject, noise, segment, calls, work, modulus)
        turn += 1
        calls = min(1024, 64 * 2 ** (turn // 96))
        if found is None:
            continue
        outcome.searched += 1
        outcome.worst = max(outcome.worst, found.worst)
        finest = min(finest, found.finest or finest)
        if found.violation is not None:
            outcome.violation = _simplified(
                subject, noise, segment, found.violation, spare.share(0.4)
            )
    outcome.drawn = outcome.searched
    outcome.evidence |= {"paths": outcome.searched, "finest distance": finest}
    outcome.evidence |= modulus.evidence()
    if outcome.violation is not None:
        outcome.reason = outcome.violation.sentence
    return outcome


class _Seen:
    """What one segment showed: the rise at its finest scale, and a violation or None."""

    def __init__(self, worst: float, finest: float, violation: Violation | None = None):
        self.worst, self.finest, self.violation = worst, finest, violation


def _crossing(
    subject: Subject, noise: Noise, segment: Segment, calls: int, clock: Clock, modulus: Modulus
) -> _Seen | None:
    def respond(t: float) -> Atoms | None:
        try:
            return subject.push(*segment.at(t))
        except Unsupported:
            return None

    def exact(first: Atoms, second: Atoms) -> float:
        return gap(first, second, small=noise.value)

    floor = max(20 * noise.value, 1e-12 * noise.diameter)
    fast = moved if subject.rows and not subject.lists else exact
    # staircases too fine to sample show at the steepest place, small jumps at the most bent one
    bend = bent if fast is moved and segment.kind != "one atom" else None
    found = zoom(respond, fast, calls=calls, floor=floor, clock=clock, bend=bend)
    if found is None:
        return _Seen(0.0, segment.shift())
    found.record(modulus, segment)
    width = found.widths[-1] * segment.shift()
    if not jump_on(found, noise.threshold, noise.resolution):
        return _Seen(found.rise if found.bottom else 0.0, width)
    if fast is moved:
        found = _measured(found, respond, exact)
        if not jump_on(found, noise.threshold, noise.resolution):
            return _Seen(found.rise, width)
    shaken = max(_jitter(subject, segment.at(t)) for t in found.middle())
    if shaken > 0.1 * found.rise:
        return _Seen(found.rise, width)
    return _Seen(found.rise, width, _jump(segment, found, noise))


def _measured(found: Zoom, respond, exact) -> Zoom:
    """The same intervals with the exact distance of the images over each."""
    rises = []
    for left, right in found.intervals:
        first, second = respond(left), respond(right)
        rises.append(0.0 if first is None or second is None else exact(first, second))
    return Zoom(found.intervals, tuple(rises), found.bottom)


def _jitter(subject: Subject, atoms: Atoms) -> float:
    try:
        return jitter(subject.push, gap, atoms, subject.domain)
    except Unsupported:
        return 0.0  # a list has no weights whose last bits could change


def _jump(segment: Segment, found: Zoom, noise: Noise) -> Violation | None:
    left, right = (segment.at(t) for t in found.intervals[-1])
    distance = gap(left, right)
    if distance > 1e-6 * segment.domain.diameter:
        return None  # the projection on the domain tore the path, not the map
    numbers = {
        "defect": found.rise,
        "threshold": noise.threshold,
        "distance": distance,
        "decades": float(np.log10(found.widths[0] / found.widths[-1])),
    }
    return Violation(
        "jump",
        (left, right),
        numbers,
        f"the image jumps by {found.rise:.3g} between two measures at distance "
        f"{distance:.2g} (moving {segment.kind}); the jump stays while the distance falls",
    )


def _leaving(
    subject: Subject, noise: Noise, segment: Segment, calls: int, clock: Clock, modulus: Modulus
) -> _Seen | None:
    try:
        start = subject.push(*segment.start)
    except Unsupported:
        return None

    def rise(t: float) -> float | None:
        try:
            return gap(subject.push(*segment.at(t)), start, small=noise.value)
        except Unsupported:
            return None

    finest = 10.0**segment.finest * segment.shift()
    found = descend(rise, segment.finest, np.random.default_rng(8), noise.threshold, clock)
    if found is None:
        return _Seen(0.0, finest)
    found.record(modulus, segment)
    if not persists(found.parameters, found.rises, noise.threshold):
        return _Seen(found.rises[-1], finest)
    if stops_at_rounding(found.parameters, found.rises, noise.threshold):
        return _Seen(found.rises[-1], finest)
    if _jitter(subject, segment.at(found.well_above_rounding())) > 0.1 * max(found.rises[-3:]):
        return _Seen(found.rises[-1], finest)
    return _Seen(found.rises[-1], finest, _departure(segment, found, noise))


def _departure(segment: Segment, found: Descent, noise: Noise) -> Violation | None:
    fine = int(np.argmax(found.rises[-3:])) - 3 if len(found.rises) >= 3 else -1
    t, defect = found.parameters[fine], found.rises[fine]
    if gap(segment.start, segment.at(t)) > 1e-6 * segment.domain.diameter:
        return None  # the projection on the domain tore the path, not the map
    distance = t * segment.shift()
    numbers = {
        "defect": defect,
        "threshold": noise.threshold,
        "distance": distance,
        "decades": float(np.log10(found.parameters[0] / found.parameters[-1])),
    }
    return Violation(
        "jump",
        (segment.start, segment.at(t)),
        numbers,
        f"the image jumps by {defect:.3g} when {_deed(segment)} at distance {distance:.2g}; "
        f"in double arithmetic it does not decay down to there",
    )


def _deed(segment: Segment) -> str:
    return {
        "positions": "all atoms move",
        "one atom": "one atom moves",
        "towards boundary": "one atom moves towards the boundary",
        "far atom": "a far atom of vanishing mass arrives",
        "mass exchange": "mass moves from one atom to another",
    }[segment.kind]


def _closing(
    subject: Subject, noise: Noise, seed: list[int], clock: Clock, atoms: int
) -> Violation | None:
    """Close in on a measure of one or two atoms around which the image does not settle."""
    weights = np.full(atoms, 1 / atoms)

    def respond(points: np.ndarray) -> Atoms | None:
        return subject.push(points, weights)

    fast = moved if subject.rows and not subject.lists else gap
    finest = noise.resolution * subject.domain.diameter
    rng = np.random.default_rng([*seed, 16])
    bend = bent if fast is moved else None
    found = close_in(respond, fast, subject.domain, atoms, rng, clock, bend)
    if found is None or not found.stays(noise.threshold, finest):
        return None
    exact = [gap(subject.push(p, weights), subject.push(q, weights)) for p, q in found.pairs]
    if not settles_not(found.radii, exact, noise.threshold, finest):
        return None
    if max(_jitter(subject, (p, weights)) for p in found.middle()) > 0.1 * max(exact[-6:]):
        return None
    widest = max(range(len(exact) - 6, len(exact)), key=lambda k: exact[k])
    first, second = found.pairs[widest]
    distance = gap((first, weights), (second, weights))
    numbers = {"defect": exact[widest], "threshold": noise.threshold, "distance": distance}
    return Violation(
        "jump",
        ((first, weights), (second, weights)),
        numbers,
        f"the image varies by {exact[widest]:.3g} however near {atoms} atom{'s' * (atoms > 1)} "
        f"come{'s' * (atoms == 1)} to one place (measures at distance {distance:.2g})",
    )


def _rare_token(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    """One token among n: a far atom of mass 1/n, as far as a list can carry it."""
    rng = np.random.default_rng([seed, 9])
    sizes = [size for size in LIST_SIZES if size <= subject.largest]
    for _ in range(8):
        points = subject.domain.sample(rng, 2)
        alone = subject.push(points[:1], np.ones(1))
        rises: list[float] = []
        for size in sizes:
            if clock.left <= 0:
                return None
            weights = np.array([1 - 1 / size, 1 / size])
            rises.append(gap(subject.push(points, weights), alone, small=noise.value))
        outcome.searched += 1
        if persists(1 / np.array(sizes), rises, noise.threshold):
            distance = float(np.linalg.norm(points[1] - points[0])) / sizes[-1]
            numbers = {
                "defect": rises[-1],
                "threshold": noise.threshold,
                "distance": distance,
                "decades": float(np.log10(sizes[-1])),
            }
            last = (points, np.array([1 - 1 / sizes[-1], 1 / sizes[-1]]))
            return Violation(
                "jump",
                ((points[:1], np.ones(1)), last),
                numbers,
                f"one token among {sizes[-1]} changes the image by {rises[-1]:.3g}, "
                "as much as one among few",
            )
    return None


def _simplified(
    subject: Subject, noise: Noise, segment: Segment, found: Violation, clock: Clock
) -> Violation:
    """The same kind of jump on the simplest segment that shows it."""
    last = [found]
    at_start = np.array_equal(found.measures[0][0], segment.start[0]) and np.array_equal(
        found.measures[0][1], segment.start[1]
    )

    def fails(trial: Segment) -> bool:
        follow = _leaving if at_start else _crossing
        again = follow(subject, noise, trial, 64, clock, Modulus(np.inf))
        violation = again.violation if again else None
        if violation is None or violation.numbers["defect"] < 0.1 * found.numbers["defect"]:
            return False
        last[:] = [violation]
        return True

    if "token" not in found.sentence:
        simpler(segment, fails, clock)
    return last[0]


