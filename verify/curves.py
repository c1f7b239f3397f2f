"""One-parameter families of measures, and the search for jumps and oscillations along them.

A `Segment` moves positions and weights of the same atoms linearly. `zoom` looks for a jump at an
unknown parameter, on several segments side by side: it splits the interval with the largest rise
over the root of its width, then the steepest one, so that a smooth response is sampled evenly and a
jump is bisected to the last bits.
`descend` looks at the start of a segment on a logarithmic scale, down to 1e-300 where the numbers
allow it.

A response is called discontinuous only where it *persists*: over the finer half of the decades
reached it falls by less than 10 %. The slowest continuous moduli fail this: `1/log(1/s)` halves
each time the number of decades doubles.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..numeric import AbstractDomain
from .gauges import Gauge, Split
from .modulus import Modulus
from .recipes import inside
from .simplify import unhurried
from .subject import Atoms, Clock, Stack

FALL = 0.9
KNOTS = 17


@dataclass(frozen=True)
class Segment:
    """The measures between `start` and `end`, which have the same number of atoms.

    `tags` are indices of atoms whose images are followed; `kind` names the path in reports.
    """

    kind: str
    start: Atoms
    end: Atoms
    domain: AbstractDomain
    tags: tuple[int, ...] = ()

    def at(self, t: float) -> Atoms:
        (p, a), (q, b) = self.start, self.end
        points = p if p is q else self.domain.project(p + t * (q - p))
        if a is b:
            return points, a
        return points, a + t * (b - a)

    def pair(self, first: float, second: float) -> tuple[Atoms, Atoms]:
        """The measures at two parameters."""
        return self.at(first), self.at(second)

    @property
    def finest(self) -> float:
        """The exponent down to which small parameters still move the measure: -15.5 or -300."""
        (p, a), (q, b) = self.start, self.end
        moved = p != q
        if moved.any() and (p[moved] != 0).any():
            return -15.5
        if not moved.any() and (a[a != b] > 0).all():
            return -15.5
        return -300.0

    def shift(self) -> float:
        """An upper bound of W1 between the ends, per unit of the parameter."""
        (p, a), (q, b) = self.start, self.end
        moving = float(np.maximum(a, b) @ np.linalg.norm(p - q, axis=1))
        return moving + 0.5 * float(np.abs(a - b).sum()) * self.domain.diameter

    def without(self, index: int) -> Segment | None:
        """The segment with one atom left out, its weights scaled back to their sums."""
        if index in self.tags or len(self.start[1]) == 1:
            return None
        keep = np.arange(len(self.start[1])) != index
        ends: list[Atoms] = []
        for points, weights in (self.start, self.end):
            rest = weights[keep].sum()
            if rest <= 0:
                return None
            ends.append((points[keep], weights[keep] * (weights.sum() / rest)))
        tags = tuple(tag - (tag > index) for tag in self.tags)
        return replace(self, start=ends[0], end=ends[1], tags=tags)

    def rounded(self, cell: float) -> Segment:
        """The segment with coordinates rounded to multiples of `cell`."""
        p, q = (
            self.domain.project(np.round(points / cell) * cell)
            for points, _ in (self.start, self.end)
        )
        q = p if np.array_equal(p, q) else q
        return replace(self, start=(p, self.start[1]), end=(q, self.end[1]))


@dataclass(frozen=True, slots=True)
class Zoom:
    """The steepest place found: nested intervals of parameters and the rise over each of them."""

    intervals: tuple[tuple[float, float], ...]
    rises: tuple[float, ...]
    bottom: bool

    @property
    def widths(self) -> tuple[float, ...]:
        return tuple(right - left for left, right in self.intervals)

    @property
    def rise(self) -> float:
        return self.rises[-1]

    def record(self, modulus: Modulus, segment: Segment) -> None:
        """Add every rise to a modulus of continuity."""
        for (left, right), rise in zip(self.intervals, self.rises, strict=True):
            modulus.add((right - left) * segment.shift(), rise, partial(segment.pair, left, right))

    def middle(self) -> tuple[float, float]:
        """The interval half way down on the logarithmic scale: far above the last bits."""
        widths = np.log(self.widths)
        return self.intervals[int(np.argmin(np.abs(widths - 0.5 * (widths[0] + widths[-1]))))]


def persists(widths: Any, rises: Any, floor: float) -> bool:
    """Whether a rise stays: over the finer half of the decades it falls by less than 10 %.

    The typical rise near the middle of the decades reached is compared with the typical one at
    their fine end. Medians are compared, for rounding at a singular measure makes single rises that
    come and go: where `1/log|m|` is evaluated at a mean of 1e-17 in place of zero, say.
    """
    decades = -np.log10(np.asarray(widths, dtype=float))
    rises = np.asarray(rises, dtype=float)
    low, high = decades.min(), decades.max()
    if high - low < 3:
        return False
    where = (decades - low) / (high - low)
    middle = rises[np.abs(where - 0.5) <= 0.1]
    fine = rises[where >= 0.85]
    if len(middle) == 0 or len(fine) == 0:
        return False
    typical = float(np.median(fine))
    steady = typical >= 0.5 * float(fine.max())
    return typical > floor and steady and typical >= FALL * float(np.median(middle))


def stops_at_rounding(parameters: Any, rises: Any, floor: float) -> bool:
    """Whether a rise still moves just above the last bit of one and is frozen below it.

    A slow continuous response does so where masses are added to one, or saturate at it, in double
    arithmetic: its decay is cut short by rounding, and the plateau below says nothing.
    """
    exponents, rises = np.log10(np.asarray(parameters, dtype=float)), np.asarray(rises, dtype=float)
    above = rises[(exponents >= -15.6) & (exponents <= -12)]
    below = rises[exponents <= -18]
    if len(above) < 3 or len(below) < 3:
        return False
    return float(np.ptp(above)) > floor and float(np.ptp(below)) < 0.1 * float(np.ptp(above))


class Bundle:
    """Segments on one domain, padded to equally many atoms by atoms of weight zero."""

    def __init__(self, segments: Sequence[Segment]):
        self.domain = segments[0].domain
        most = max(len(segment.start[1]) for segment in segments)
        starts = _padded([segment.start for segment in segments], most)
        ends = _padded([segment.end for segment in segments], most)
        self.points, self.weights = starts
        self.steps, self.changes = ends[0] - starts[0], ends[1] - starts[1]
        self.still = np.array([segment.start[0] is segment.end[0] for segment in segments])

    def at(self, which: ArrayLike, ts: ArrayLike) -> Stack:
        """The measures of these segments at these parameters."""
        index, t = np.asarray(which), np.asarray(ts)[:, None]
        points, steps = self.points.take(index, axis=0), self.steps.take(index, axis=0)
        moved = inside(self.domain, points + t[:, :, None] * steps)
        if np.count_nonzero(self.still):
            still = self.still[index]
            moved[still] = points[still]
        return moved, self.weights.take(index, axis=0) + t * self.changes.take(index, axis=0)


def _padded(measures: Sequence[Atoms], atoms: int) -> Stack:
    points = [np.concatenate([p, np.repeat(p[:1], atoms - len(p), axis=0)]) for p, _ in measures]
    weights = [np.concatenate([w, np.zeros(atoms - len(w))]) for _, w in measures]
    return np.array(points), np.array(weights)


Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")


def in_step(
    searches: Sequence[Generator[Q, A, T]], answer: Callable[[list[tuple[int, Q]]], list[A]]
) -> list[T]:
    """Run searches side by side, and answer what they ask for in one round together.

    Args:
        searches: generators that yield questions, are sent the answers, and return their results.
        answer: the answers to (number of the search, question).
    """
    results: dict[int, T] = {}
    asked: list[tuple[int, Q]] = []

    def go_on(number: int, reply: Any) -> None:
        try:
            asked.append((number, searches[number].send(reply)))
        except StopIteration as stop:
            results[number] = stop.value

    for number in range(len(searches)):
        go_on(number, None)
    while asked:
        answers, now = answer(asked), asked
        asked = []
        for (number, _), reply in zip(now, answers, strict=True):
            go_on(number, reply)
    return [results[number] for number in range(len(searches))]


Thirds = list[tuple[float, float, float]]
"""Triples of rising parameters of a curve."""


def zoom(
    respond: Callable[[list[int], list[float]], list[Any]],
    gauge: Gauge,
    bends: Sequence[bool],
    *,
    calls: int,
    floor: float,
    clock: Clock,
) -> list[Zoom | None]:
    """The steepest place of each of several responses on [0, 1], searched for side by side.

    Args:
        respond: the responses of the curves of these numbers at these parameters, None where one
            cannot be read.
        gauge: tells how far responses are apart and from straight.
        bends: for each curve whether to look for the most bent interval, if the gauge can: a small
            jump on a steep smooth response is found where the response itself bends less than the
            jump, at far fewer calls.
        calls: how many responses of a curve to evaluate; a rise that has not fallen over its last
            halvings is followed down beyond that.
        floor: rises below it count for nothing.
        clock: stops the search.

    Returns:
        For each curve the interval that was split most often among those whose rise still exceeds
        `floor`, with the widths and rises of its ancestors, or None.
    """
    known: list[dict[float, Any]] = [{} for _ in bends]

    def answer(asked: list[tuple[int, Thirds]]) -> list[list[Split]]:
        which: list[int] = []
        ts: list[float] = []
        for number, thirds in asked:
            new = {t: None for third in thirds for t in third if t not in known[number]}
            known[number] |= new
            which += [number] * len(new)
            ts += new
        for number, t, response in zip(which, ts, respond(which, ts), strict=True):
            known[number][t] = response
        flat = [(known[number], *third) for number, thirds in asked for third in thirds]
        triples = [(seen[a], seen[m], seen[b]) for seen, a, m, b in flat]
        splits = iter(gauge.splits(triples, [(m - a) / (b - a) for _, a, m, b in flat]))
        return [list(islice(splits, len(thirds))) for _, thirds in asked]

    return in_step([_zoomed(bend, calls, floor, clock) for bend in bends], answer)


def _zoomed(
    bends: bool, calls: int, floor: float, clock: Clock
) -> Generator[Thirds, list[Split], Zoom | None]:
    """Find the steepest place of one response by always splitting the most urgent interval."""
    grid = np.linspace(0.0, 1.0, KNOTS)
    grid[1:-1] += np.random.default_rng(KNOTS).uniform(-0.3, 0.3, size=KNOTS - 2) / KNOTS
    heap: list[tuple[float, tuple[tuple[float, float], ...], tuple[float, ...], float]] = []
    power, seen = 0.5, KNOTS

    def urgency(interval: tuple[float, float], size: float) -> float:
        # With power 1/2 a smooth response, whose rise falls faster, is sampled evenly, and a jump
        # or a modulus below 1/2 is followed down. With power 1, the slope, the steepest place is
        # followed down whatever the modulus: that shows staircases too fine to sample.
        return -size / (interval[1] - interval[0]) ** power

    def push(
        interval: tuple[float, float], intervals: Any, rises: Any, rise: float, bent: float
    ) -> None:
        size = min(rise, bent) if bends else rise
        if size > floor:
            chain = ((*intervals, interval), (*rises, rise), size)
            heapq.heappush(heap, (urgency(interval, size), *chain))

    at = [float(t) for t in grid]
    splits = yield list(zip(at, at[1:], at[2:], strict=False))
    steps = [split[0] for split in splits] + [splits[-1][1]]
    inner = [np.inf if np.isnan(bent) else bent for *_, bent in splits]
    for k, bent in enumerate(map(max, [0.0, *inner], [*inner, 0.0])):
        push((at[k], at[k + 1]), (), (), steps[k], bent)
    best, narrowest = None, np.inf
    while heap:
        if power < 1 and seen > 0.6 * calls:
            power = 1.0
            heap = [(urgency(c[-1], size), c, rises, size) for _, c, rises, size in heap]
            heapq.heapify(heap)
        _, intervals, rises, _ = heapq.heappop(heap)
        left, right = intervals[-1]
        middle = 0.5 * (left + right)
        bottom = not left < middle < right or right - left < 4e-16
        if right - left <= narrowest:
            best, narrowest = (intervals, rises, bottom), right - left
        stays = len(rises) > 3 and rises[-1] >= 0.8 * rises[-4]
        if bottom or clock.left <= 0 or (seen >= calls and not stays) or seen > calls + 400:
            break
        ((first, second, bent),) = yield [(left, middle, right)]
        seen += 1
        if math.isnan(bent):
            break  # the response cannot be read here: the parent is the finest
        push((left, middle), intervals, rises, first, bent)
        push((middle, right), intervals, rises, second, bent)
    return best and Zoom(*best)


def jump_on(zoomed: Zoom | None, floor: float, resolution: float) -> bool:
    """Whether the steepest place is a jump: it reached the last readable bits and persists.

    Intervals narrower than the resolution of the arithmetic say nothing about that; but a jump is
    there in one piece, while a response that is steep at the finest scale above the resolution
    falls apart into the steps of its last bits below.
    """
    if zoomed is None or zoomed.rise <= floor or zoomed.widths[-1] >= 1e-7:
        return False
    count = sum(width >= resolution for width in zoomed.widths)
    whole = count > 0 and zoomed.rise >= FALL * zoomed.rises[count - 1]
    return whole and persists(zoomed.widths[:count], zoomed.rises[:count], floor)


@dataclass(frozen=True, slots=True)
class Descent:
    """Responses at parameters that fall towards zero, with their rises."""

    parameters: tuple[float, ...]
    rises: tuple[float, ...]

    def record(self, modulus: Modulus, segment: Segment) -> None:
        """Add every rise to a modulus of continuity."""
        for t, rise in zip(self.parameters, self.rises, strict=True):
            modulus.add(t * segment.shift(), rise, partial(segment.pair, 0.0, t))

    def well_above_rounding(self) -> float:
        """The parameter next to 1e-7, where rounding cannot make the rise that a jump makes."""
        return min(self.parameters, key=lambda t: abs(np.log10(t) + 7))


def exponents(finest: float, rng: np.random.Generator, per_decade: float) -> np.ndarray:
    """Exponents from -0.5 down to `finest`, denser at first, jittered against aliasing."""
    fine = np.arange(-0.5, max(finest, -16.0), -1 / per_decade)
    tail = np.arange(-16.0, finest, -1.7) if finest < -16 else np.empty(0)
    grid = np.concatenate([fine, tail])
    return grid - rng.uniform(0, 0.5 / per_decade, size=len(grid))


def descend(
    rises_from_start: Callable[[np.ndarray], list[float | None]],
    finest: float,
    rng: np.random.Generator,
    floor: float,
    clock: Clock,
    together: int,
) -> Descent | None:
    """The rise `|R(t) - R(0)|` as t falls to `10**finest`, or None where it clearly vanishes.

    Three probes at the fine end come first; the whole range is evaluated only if one of them
    exceeds `floor`, so many parameters `together`.
    """
    probes = 10.0 ** probed(finest)
    seen = rises_from_start(probes)
    if all(rise is None or rise <= floor for rise in seen):
        return None
    parameters = 10.0 ** exponents(finest, rng, 2.0)
    for k in range(0, len(parameters), together):
        if clock.left <= 0:
            return None
        seen += rises_from_start(parameters[k : k + together])
    every = zip([*probes.tolist(), *parameters.tolist()], seen, strict=True)
    found = sorted(((t, rise) for t, rise in every if rise is not None), reverse=True)
    return Descent(tuple(t for t, _ in found), tuple(rise for _, rise in found))


def probed(finest: float) -> np.ndarray:
    """Three exponents at the fine end, where a response that vanishes has done so."""
    return finest + abs(finest) * np.array([0.0, 0.03, 0.06])


def oscillation(parameters: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The diameter of the values over windows of falling parameters.

    Args:
        parameters: (k,) falling towards zero.
        values: (k, m) the responses.

    Returns:
        window ends (parameters) and the diameter of the responses in each window, 24 windows of
        equal length in log t that overlap by half.
    """
    decades = -np.log10(parameters)
    low, high = decades.min(), decades.max()
    width = (high - low) / 12
    ends, sizes = [], []
    for start in np.linspace(low, high - width, 24):
        inside = (decades >= start) & (decades <= start + width)
        if inside.sum() >= 3:
            block = values[inside]
            ends.append(10.0 ** -(start + width))
            sizes.append(float(np.linalg.norm(np.ptp(block, axis=0))))
    return np.array(ends), np.array(sizes)


def simpler(segment: Segment, fails: Callable[[Segment], bool], clock: Clock) -> Segment:
    """The segment with as few atoms and as short coordinates as still fail."""
    index = 0
    while index < len(segment.start[1]):
        trial = segment.without(index)
        if trial is not None and clock.left > 0 and unhurried(partial(fails, trial), clock):
            segment = trial
        else:
            index += 1
    unit = 2.0 ** np.round(np.log2(max(segment.domain.diameter, 1e-300)))
    for bits in (0, 1, 2, 3, 5, 8):
        trial = segment.rounded(unit / 2.0**bits)
        if clock.left > 0 and unhurried(partial(fails, trial), clock):
            return trial
    return segment
