"""`continuous`: W1(f(mu), f(nu)) -> 0 as W1(mu, nu) -> 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np

from ..numeric import FiniteSet
from .curves import (
    Bundle,
    Descent,
    Segment,
    Zoom,
    descend,
    jump_on,
    persists,
    probed,
    simpler,
    stops_at_rounding,
    zoom,
)
from .distance import gap, moved
from .gauges import Distances, Moves
from .homing import Search
from .modulus import Modulus
from .noise import Noise, jitter
from .paths import crossings, departures
from .pinpoint import STARTS, Closing, around, close_in, lasts, settles_not
from .poles import singular_places
from .steps import only_rounding
from .subject import TOGETHER, Atoms, Clock, Subject, Unsupported
from .trials import Outcome, Violation

_TURNS = 4000
_CLOSINGS = {24: 1, 48: 2, 96: 1, 192: 2, 384: 1, 768: 1, 1536: 2}
"""After so many paths, twice as many where they cost little, a singular measure of so many atoms is
closed in on."""
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
    paths = _paths(subject, seed)
    finest = 1.0
    modulus = Modulus(noise.threshold)
    turn, often = 0, 1 if subject.together == 1 else 2
    closings = {often * after: atoms for after, atoms in _CLOSINGS.items()}
    if subject.lists:
        outcome.violation = _rare_token(subject, noise, seed, work, outcome)
    while outcome.violation is None and work.left > 0 and turn < _TURNS:
        if turn in closings and not isinstance(subject.domain, FiniteSet):
            closing, atoms = work.share(0.5), closings[turn]
            outcome.searched += 1
            outcome.violation = _closing(subject, noise, [seed, turn], closing, atoms)
            if outcome.violation is not None:
                break
        calls = min(1024, 64 * 2 ** (turn // 96))
        group = subject.abreast(calls, work, _until_closing(closings, turn))
        segments = list(islice(paths, group))
        if not segments:
            break  # nothing moves: finitely many lists of each length
        turn += len(segments)
        for segment, found in _followed(subject, noise, segments, calls, work, modulus):
            outcome.searched += 1
            outcome.worst = max(outcome.worst, found.worst)
            finest = min(finest, found.finest or finest)
            if found.violation is not None:
                outcome.violation = _simplified(
                    subject, noise, segment, found.violation, spare.share(0.4)
                )
                break
    outcome.drawn = outcome.searched
    outcome.evidence |= {"paths": outcome.searched, "finest distance": finest}
    outcome.evidence |= modulus.evidence()
    if outcome.violation is not None:
        outcome.reason = outcome.violation.sentence
    return outcome


def _until_closing(closings: dict[int, int], turn: int) -> int:
    """How many paths to follow side by side: up to the next closing in, 192 after the last one."""
    return next((later for later in closings if later > turn), turn + 192) - turn


def _paths(subject: Subject, seed: int) -> Iterator[tuple[Segment, bool]]:
    """Three departures a crossing; with each path whether it is a departure."""
    across = crossings(subject.domain, seed, subject.lists)
    away = departures(subject.domain, seed, subject.lists)
    for turn in count():
        leaving = turn % 4 != 0
        segment = next(away if leaving else across, None)
        if segment is None:
            return
        yield segment, leaving


class _Seen:
    """What one segment showed: the rise at its finest scale, and a violation or None."""

    def __init__(self, worst: float, finest: float, violation: Violation | None = None):
        self.worst, self.finest, self.violation = worst, finest, violation


def _followed(
    subject: Subject,
    noise: Noise,
    paths: list[tuple[Segment, bool]],
    calls: int,
    clock: Clock,
    modulus: Modulus,
) -> Iterator[tuple[Segment, _Seen]]:
    """What the paths showed, in their order; those that stay at one measure are left out."""
    paths = [(segment, leaving) for segment, leaving in paths if segment.shift()]
    away = [segment for segment, leaving in paths if leaving]
    across = [segment for segment, leaving in paths if not leaving]
    gone = iter(_left(subject, noise, away, clock, modulus))
    crossed = iter(_crossed(subject, noise, across, calls, clock, modulus))
    for segment, leaving in paths:
        found = next(gone if leaving else crossed)
        if found is not None:
            yield segment, found


def _moves_rows(subject: Subject) -> bool:
    """Whether rows of the images correspond, so that moves of rows bound their distance."""
    return subject.rows and not subject.lists


def _crossed(
    subject: Subject,
    noise: Noise,
    segments: list[Segment],
    calls: int,
    clock: Clock,
    modulus: Modulus,
) -> list[_Seen]:
    if not segments:
        return []
    bundle = Bundle(segments)

    def respond(which: list[int], ts: list[float]) -> list[Any]:
        if _moves_rows(subject):
            points, weights = bundle.at(which, ts)
            return list(zip(subject.push_rows(points, weights), weights, strict=True))
        return subject.push_each(segments[k].at(t) for k, t in zip(which, ts, strict=True))

    floor = max(20 * noise.value, 1e-12 * noise.diameter)
    gauge = Moves() if _moves_rows(subject) else Distances(noise.value)
    # staircases too fine to sample show at the steepest place, small jumps at the most bent one
    bends = [segment.kind != "one atom" for segment in segments]
    zooms = zoom(respond, gauge, bends, calls=calls, floor=floor, clock=clock)
    return [
        _Seen(0.0, segment.shift())
        if found is None
        else _looked_at(subject, noise, segment, found, modulus)
        for segment, found in zip(segments, zooms, strict=True)
    ]


def _looked_at(
    subject: Subject, noise: Noise, segment: Segment, found: Zoom, modulus: Modulus
) -> _Seen:
    """Whether the steepest place of a crossing is a jump of the image."""
    found.record(modulus, segment)
    width = found.widths[-1] * segment.shift()
    if not jump_on(found, noise.threshold, noise.resolution):
        return _Seen(found.rise if found.bottom else 0.0, width)
    if _moves_rows(subject):
        found = _measured(subject, noise, segment, found)
        if not jump_on(found, noise.threshold, noise.resolution):
            return _Seen(found.rise, width)
    shaken = max(_jitter(subject, segment.at(t)) for t in found.middle())
    if shaken > 0.1 * found.rise:
        return _Seen(found.rise, width)
    place = segment.at(found.intervals[-1][0])
    if only_rounding(subject, subject.push, _fast(subject), place, found.rise):
        return _Seen(found.rise, width)
    return _Seen(found.rise, width, _jump(segment, found, noise))


def _fast(subject: Subject) -> Callable[[Atoms, Atoms], float]:
    return moved if _moves_rows(subject) else gap


def _measured(subject: Subject, noise: Noise, segment: Segment, found: Zoom) -> Zoom:
    """The same intervals with the exact distance of the images over each."""
    rises = []
    for left, right in found.intervals:
        first, second = subject.push(*segment.at(left)), subject.push(*segment.at(right))
        rises.append(gap(first, second, small=noise.value))
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


def _left(
    subject: Subject, noise: Noise, segments: list[Segment], clock: Clock, modulus: Modulus
) -> list[_Seen | None]:
    """What departures showed; None where the image of the start is not supported.

    Where rows correspond, most are settled by how far the rows have moved at three probes each.
    """
    settled = [False] * len(segments)
    if segments and _moves_rows(subject):
        settled = _settled(subject, noise, segments)
    return [
        _Seen(0.0, 10.0**segment.finest * segment.shift())
        if vanishes
        else _leaving(subject, noise, segment, clock, modulus)
        for segment, vanishes in zip(segments, settled, strict=True)
    ]


def _settled(subject: Subject, noise: Noise, segments: list[Segment]) -> list[bool]:
    ts = np.array([[0.0, *10.0 ** probed(segment.finest)] for segment in segments])
    which = np.repeat(np.arange(len(segments)), ts.shape[1])
    points, weights = Bundle(segments).at(which, ts.ravel())
    images = subject.push_rows(points, weights)
    start = np.repeat(np.arange(0, len(which), ts.shape[1]), ts.shape[1])
    rises = moved((images, weights), (images[start], weights[start])).reshape(ts.shape)
    return (rises <= noise.threshold).all(axis=1).tolist()


def _leaving(
    subject: Subject, noise: Noise, segment: Segment, clock: Clock, modulus: Modulus
) -> _Seen | None:
    (start,) = subject.push_each([segment.start])
    if start is None:
        return None
    bundle = Bundle([segment])

    def rises(ts: np.ndarray) -> list[float | None]:
        if _moves_rows(subject):
            points, weights = bundle.at(np.zeros(len(ts), dtype=int), ts)
            images: Any = zip(subject.push_rows(points, weights), weights, strict=True)
        else:
            images = subject.push_each(segment.at(float(t)) for t in ts)
        return [None if i is None else gap(i, start, small=noise.value) for i in images]

    finest = 10.0**segment.finest * segment.shift()
    rng, floor = np.random.default_rng(8), noise.threshold
    together = subject.abreast(1, clock, TOGETHER)
    found = descend(rises, segment.finest, rng, floor, clock, together)
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

    def respond(places: np.ndarray) -> list[Any]:
        if _moves_rows(subject):
            images = subject.push_rows(places, np.broadcast_to(weights, places.shape[:2]))
            return [(image, weights) for image in images]
        return subject.push_each((points, weights) for points in places)

    gauge = Moves() if _moves_rows(subject) else Distances(0.0)
    finest = noise.resolution * subject.domain.diameter
    rng = np.random.default_rng([*seed, 16])
    at_once = subject.abreast(200, clock, STARTS)
    search = Search(respond, gauge, subject.domain, atoms, noise, clock)
    found = _closed_in(search, rng, at_once, finest)
    if found is None:
        return None
    if not lasts(replace(search, gauge=Distances(0.0)), found.centre, rng, finest):
        return None
    exact = [gap(subject.push(p, weights), subject.push(q, weights)) for p, q in found.pairs]
    if not settles_not(found.radii, exact, noise.threshold, finest):
        return None
    if max(_jitter(subject, (p, weights)) for p in found.middle()) > 0.1 * max(exact[-6:]):
        return None
    widest = max(range(len(exact) - 6, len(exact)), key=lambda k: exact[k])
    first, second = found.pairs[widest]
    if only_rounding(subject, subject.push, _fast(subject), (first, weights), exact[widest]):
        return None
    distance = gap((first, weights), (second, weights))
    numbers = {"defect": exact[widest], "threshold": noise.threshold, "distance": distance}
    return Violation(
        "jump",
        ((first, weights), (second, weights)),
        numbers,
        f"the image varies by {exact[widest]:.3g} however near {atoms} atom{'s' * (atoms > 1)} "
        f"come{'s' * (atoms == 1)} to one place (measures at distance {distance:.2g})",
    )


def _closed_in(
    search: Search, rng: np.random.Generator, at_once: int, finest: float
) -> Closing | None:
    """A place around which the response seems not to settle, by one way of finding it or other."""
    some = replace(search, clock=search.clock.share(0.25))
    found = close_in(some, rng, at_once)
    if found is not None and found.stays(search.noise.threshold, finest):
        return found
    for centre in singular_places(search, rng, 3 * STARTS):
        found = around(search, centre, rng, search.noise.threshold)
        if found.stays(search.noise.threshold, finest):
            return found
    return None


def _rare_token(
    subject: Subject, noise: Noise, seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    """One token among n: a far atom of mass 1/n, as far as a list can carry it."""
    rng = np.random.default_rng([seed, 9])
    sizes = [size for size in LIST_SIZES if size <= subject.largest]
    enough = clock.share(0.25)  # long lists are slow: leave time for the paths
    for turn in range(8):
        if turn and enough.left <= 0:
            return None
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
        again = next(
            _followed(subject, noise, [(trial, at_start)], 64, clock, Modulus(np.inf)), None
        )
        violation = again[1].violation if again else None
        if violation is None or violation.numbers["defect"] < 0.1 * found.numbers["defect"]:
            return False
        last[:] = [violation]
        return True

    if "token" not in found.sentence:
        simpler(segment, fails, clock)
    return last[0]
