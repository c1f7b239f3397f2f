"""Climbing to an unknown critical measure: where the in-context map gets ever steeper.

Atoms of equal weight are moved along the gradient of one value `G(mu, x)`, as long as the local
slope (the Lions derivative of G, by differences) grows; then every atom is split in two and the
climb goes on. At a critical measure without atoms the slope grows like a power of their number
without saturating, and the distance over which G changes by a fixed amount falls without end; a map
that is only steep saturates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numeric import Box
from .gauges import Labels
from .homing import Respond, Search
from .labels import label_distance, labels_of
from .noise import Noise
from .poles import follow
from .recipes import inside
from .subject import TOGETHER, Atoms, Clock, Stack, Subject

TAG = 1e-9
STARTS = (6, 2, 1)  # the fewest calls first
DONE = 4096
KNOTS = 96
ENOUGH = 2.6
_NUMBERS = 2**21
PLACES, WIDER, MOMENTS = 4, 30.0, 0.1
STEEPER = 3.0
"""Near a critical measure without atoms 0.8 was seen, in responses to the mean 17 and more."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One number of atoms of a climb: the slope reached, and a pair of measures that shows it."""

    atoms: int
    slope: float
    change: float
    distance: float
    pair: tuple[Atoms, Atoms]
    tag: int


@dataclass(frozen=True, slots=True)
class Climb:
    """The stages of one climb, from few atoms to many."""

    stages: tuple[Stage, ...]

    @property
    def unsaturated(self) -> bool:
        """The slope still grows like a power of n, over at least four doublings."""
        slopes = np.array([stage.slope for stage in self.stages])
        if len(slopes) < 6 or slopes.min() <= 0:
            return False
        growth = slopes[1:] / slopes[:-1]
        return bool((growth[-4:] > 1.3).all())

    @property
    def decades(self) -> float:
        """The decades of distance over which G keeps changing by the same amount."""
        kept = [s.distance for s in self.stages if s.change >= 0.5 * self.stages[-1].change]
        return float(np.log10(max(kept) / min(kept))) if kept and min(kept) > 0 else 0.0


def steeper_elsewhere(
    subject: Subject,
    noise: Noise,
    stage: Stage,
    rng: np.random.Generator,
    clock: Clock,
) -> bool:
    """Whether G is more than `STEEPER` times as steep near other measures of as many atoms.

    A response to few moments of the measure, such as its mean, is steepest where these take some
    values. A climb comes the nearer to them the more atoms it has, for it moves them in steps and
    looks at slopes a little beside its measure; so its slope grows with their number however smooth
    the response is at finer scales. Its gradients span all that such a response depends on: in that
    family of measures complex singularities lead to the steepest place. Near a critical measure
    without atoms none is steeper than the climb's last one. True where time is up.
    """
    points, n = stage.pair[0][0], stage.atoms
    response, spots = _Response(subject, noise, points[n:]), points[:n]
    basis = _moments(response, spots, stage.pair[1][0][:n] - spots, rng)

    def respond(places: np.ndarray) -> list[np.ndarray | None]:
        return response(spots + np.einsum("bk,knd->bnd", places[:, 0], basis))

    half = np.full(len(basis), WIDER * stage.distance)
    search = Search(respond, Labels(), Box(-half, half), 1, noise, clock)
    for _ in range(PLACES):
        found = follow(search, rng)
        if clock.left <= 0:
            return True
        if found is not None:
            place, radius = found[0], max(found[1], 1e-3 * stage.distance)
            sizes = radius * rng.choice([0.2, 0.5, 1.0, 2.0], size=(16, 1, 1))
            near = place + sizes * rng.normal(size=(16, 1, len(basis)))
            if _slopes(respond, near, basis, 0.05 * radius, rng).max() > STEEPER * stage.slope:
                return True
    return False


def _moments(
    response: _Response, points: np.ndarray, moved: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Displacements (k, n, d) of mean length 1 that span the gradients around a measure."""
    found = [_gradient(response, points, rng) for _ in range(4)]
    table = np.array([moved.ravel(), *(each[1].ravel() for each in found if each is not None)])
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-300)
    _, sizes, rows = np.linalg.svd(table, full_matrices=False)
    basis = rows[sizes > MOMENTS * sizes[0]].reshape(-1, *points.shape)
    return basis / np.linalg.norm(basis, axis=2).mean(axis=1)[:, None, None]


def _slopes(
    respond: Respond, places: np.ndarray, basis: np.ndarray, step: float, rng: np.random.Generator
) -> np.ndarray:
    """The slopes of a response at places (b, 1, k) of a family, along a few of its directions."""
    directions = rng.normal(size=(3, 1, len(basis)))
    fields = np.einsum("jk,knd->jnd", directions[:, 0], basis)
    lengths = np.linalg.norm(fields, axis=2).mean(axis=1)
    around = np.concatenate([np.zeros((1, 1, len(basis))), directions / lengths[:, None, None]])
    values = respond((places[:, None] + step * around).reshape(-1, 1, len(basis)))
    return _rises(values, len(around)) / step


class _Response:
    """Values of G at a few tags, as a function of the positions of n atoms of equal weight."""

    def __init__(self, subject: Subject, noise: Noise, tags: np.ndarray):
        self.subject, self.noise, self.tags = subject, noise, tags

    def measures(self, points: np.ndarray) -> Stack:
        """The measures with the tags, of positions (b, n, d)."""
        points = inside(self.subject.domain, points)  # a map need not be defined outside
        count, n, _ = points.shape
        masses = TAG * 2.0 ** -np.arange(len(self.tags)) / n
        weights = np.concatenate([np.full(n, (1 - masses.sum()) / n), masses])
        tags = np.broadcast_to(self.tags, (count, *self.tags.shape))
        spots = np.concatenate([points, tags], axis=1)
        return spots, np.broadcast_to(weights, (count, len(weights)))

    def measure(self, points: np.ndarray) -> Atoms:
        (spots,), (weights,) = self.measures(points[None])
        return spots, weights

    def __call__(self, points: np.ndarray) -> list[np.ndarray | None]:
        n = points.shape[1]
        follow = np.arange(n, n + len(self.tags))[None]
        return labels_of(self.subject, self.noise, self.measures(points), follow)


def climb(
    subject: Subject, noise: Noise, atoms: int, seed: int, clock: Clock, largest: int = DONE
) -> Climb:
    """Climb from a random measure of `atoms` atoms; stops where the slope saturates.

    The number of calls is about 4 n a stage up to 96 atoms and constant after that.
    """
    rng = np.random.default_rng([seed, 10, atoms])
    response = _Response(subject, noise, subject.domain.sample(rng, 3))
    points = subject.domain.sample(rng, atoms)
    stages: list[Stage] = []
    while len(points) <= largest and clock.left > 0:
        # no less than n^1.5 would have made of the steepest of the last few stages
        enough = [ENOUGH**k * stage.slope for k, stage in enumerate(stages[:-5:-1], 1)]
        points, stage = _ascend(response, points, rng, clock, max(enough, default=np.inf))
        if stage is None:
            break
        stages.append(stage)
        if len(stages) >= 4 and stages[-1].slope <= 1.25 * stages[-3].slope:
            break
        points = _split(points, subject, rng)
    return Climb(tuple(stages))


def _ascend(
    response: _Response,
    points: np.ndarray,
    rng: np.random.Generator,
    clock: Clock,
    enough: float,
) -> tuple[np.ndarray, Stage | None]:
    """Move the atoms along plus or minus the gradient while the slope grows by 2 %, up to enough.

    More atoms come nearer to a measure without atoms than few in their best places.
    """
    found = _gradient(response, points, rng)
    if found is None:
        return points, None
    slope, direction = found
    failures = 0
    for _ in range(24 if len(points) <= KNOTS else 8):
        if clock.left <= 0 or failures == 2 or slope >= enough:
            break
        moved = _line_search(response, points, direction, rng, clock)
        again = None if moved is None else _gradient(response, moved, rng)
        if moved is None or again is None or again[0] < 1.02 * slope:
            failures += 1
            direction = (_gradient(response, points, rng) or found)[1]
            continue
        failures, points, (slope, direction) = 0, moved, again
    return points, _stage(response, points, slope, direction)


def _jittered(response: _Response, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions (b, n, d) moved by a twelfth of the distance to their neighbours.

    At the best placement of n atoms the slope vanishes by symmetry, although it is large all
    around: what is climbed is the slope at a small distance, which grows all the way.
    """
    if points.shape[1] == 1:
        return points
    signs = rng.choice([-1.0, 1.0], size=points.shape[1:])
    domain = response.subject.domain
    gaps = np.array([_gaps(each, domain.diameter) for each in points])
    return inside(domain, points + 0.08 * gaps[:, :, None] * signs)


def _gaps(points: np.ndarray, diameter: float) -> np.ndarray:
    """The distance of each atom to its nearest neighbour."""
    if len(points) == 1:
        return np.full(1, 0.25 * diameter)
    if points.shape[1] == 1:
        order = np.argsort(points[:, 0])
        step = np.diff(points[order, 0])
        gaps = np.empty(len(points))
        gaps[order] = np.minimum(np.append(step, np.inf), np.append(np.inf, step))
        return gaps
    from scipy.spatial import KDTree

    return KDTree(points).query(points, k=2)[0][:, 1]


def _steps(points: np.ndarray) -> tuple[np.ndarray, int]:
    """A basis of displacements: single atoms, or hats over sorted atoms where there are many."""
    n = len(points)
    if n <= KNOTS:
        return np.eye(n), n
    order = np.argsort(points[:, 0], kind="stable")
    place = np.empty(n)
    place[order] = np.linspace(0, KNOTS - 1, n)
    return np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(KNOTS))).T, KNOTS


def _axes(dim: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal directions of moves: all axes up to dimension 8, else 8 random ones."""
    if dim <= 8:
        return np.eye(dim)
    return np.linalg.qr(rng.normal(size=(dim, 8)))[0].T


def _gradient(
    response: _Response, points: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray] | None:
    """The largest slope and the direction of the steepest value, a displacement (n, d)."""
    n, d = points.shape
    (points,) = _jittered(response, points[None], rng)
    (base,) = response(points[None])
    if base is None:
        return None
    basis, count = _steps(points)
    step = _step(response)
    axes = _axes(d, rng)
    changes: list[np.ndarray] = []
    for some in np.array_split(np.arange(count), -(-count * len(axes) * n * d // _NUMBERS)):
        moves = step * basis[some][:, None, :, None] * axes[None, :, None, :]
        values = response(inside(response.subject.domain, points + moves.reshape(-1, n, d)))
        read = [value for value in values if value is not None]
        if len(read) < len(values):
            return None
        changes.append(np.array(read) - base)
    slopes = np.concatenate(changes).reshape(count, len(axes), -1)
    slopes /= (step * basis.sum(axis=1))[:, None, None]
    size = np.linalg.norm(slopes, axis=1)
    component = int(np.argmax(size.max(axis=0)))
    direction = np.einsum("kn,ka,ad->nd", basis, slopes[:, :, component], axes)
    largest = np.abs(direction).max()
    return float(size.max()) * n, direction / (largest or 1.0)


def _step(response: _Response) -> float:
    """The step of differences: the noise of G is well below what a slope of one makes of it."""
    diameter, noise = response.subject.domain.diameter, response.noise
    share = 1e2 * noise.value / noise.diameter if noise.diameter else 0.0
    return diameter * min(max(1e-9, share), 1e-3)


def _line_search(
    response: _Response,
    points: np.ndarray,
    direction: np.ndarray,
    rng: np.random.Generator,
    clock: Clock,
) -> np.ndarray | None:
    """The best of geometric steps both ways, judged by the slope along a few random directions."""
    domain, together = response.subject.domain, response.subject.abreast(4, clock, TOGETHER)
    probes = rng.choice([-1.0, 1.0], size=(3, *points.shape))
    around = _step(response) * np.concatenate([np.zeros((1, *points.shape)), probes])
    state = int(rng.integers(2**31))

    def steepness(at: np.ndarray) -> np.ndarray:
        at = _jittered(response, at, np.random.default_rng(state))
        values = response(inside(domain, at[:, None] + around).reshape(-1, *points.shape))
        return _rises(values, len(around))

    sizes = domain.diameter * 10.0 ** np.arange(-5.5, -0.2, 0.34)
    moves = [sign * size * direction for size in sizes for sign in (1.0, -1.0)]
    trials = inside(domain, points + np.array([*moves, *_smoothings(points)]))
    best, best_slope = None, 1.02 * steepness(points[None])[0]
    for k in range(0, len(trials), together):
        if clock.left <= 0:
            return best
        slopes = steepness(trials[k : k + together])
        if slopes.max() > best_slope:
            best, best_slope = trials[k + int(np.argmax(slopes))], slopes.max()
    return best


def _rises(values: list[np.ndarray | None], count: int) -> np.ndarray:
    """The rise of each block of so many values."""
    return np.array([_rise(values[k : k + count]) for k in range(0, len(values), count)])


def _rise(values: list[np.ndarray | None]) -> float:
    """The changes from the first value to the others, together; 0 where one cannot be read."""
    read = [value for value in values if value is not None]
    if len(read) < len(values):
        return 0.0
    changes = np.linalg.norm(np.array(read[1:]) - read[0], axis=2)
    return float(np.linalg.norm(changes.max(axis=1)))


def _smoothings(points: np.ndarray) -> list[np.ndarray]:
    """Moves of many atoms on a line to running means of their quantiles.

    Where there are too many atoms to move one by one, these take out what the climb with fewer
    atoms left uneven.
    """
    n, d = points.shape
    if d > 1 or n <= 32:
        return []
    order = np.argsort(points[:, 0])
    quantiles = points[order, 0]
    moves = []
    for half in (1, 3, 9, 27, 81):
        if 2 * half + 1 > n // 2:
            break
        left = 2 * quantiles[0] - quantiles[half:0:-1]
        right = 2 * quantiles[-1] - quantiles[-2 : -2 - half : -1]
        padded = np.concatenate([left, quantiles, right])
        mean = np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
        move = np.zeros_like(points)
        move[order, 0] = mean - quantiles
        moves.append(move)
    return moves


def _stage(
    response: _Response, points: np.ndarray, slope: float, direction: np.ndarray
) -> Stage | None:
    """The shortest move along the direction over which G changes most."""
    domain = response.subject.domain
    (base,) = response(points[None])
    if base is None:
        return None
    length = float(np.linalg.norm(direction, axis=1).mean())
    sizes = np.repeat(domain.diameter * 10.0 ** np.arange(-9.0, -0.2, 0.15), 2)
    signs = np.tile([1.0, -1.0], len(sizes) // 2)
    trials = inside(domain, points + (signs * sizes)[:, None, None] * direction)
    changes = [
        (label_distance(base, value), size * length, moved, value)
        for size, moved, value in zip(sizes.tolist(), trials, response(trials), strict=True)
        if value is not None
    ]
    if not changes:
        return None
    largest = max(change for change, *_ in changes)
    change, distance, moved, value = next(c for c in changes if c[0] >= 0.5 * largest)
    tag = len(points) + int(np.argmax(np.linalg.norm(value - base, axis=1)))
    pair = (response.measure(points), response.measure(moved))
    return Stage(len(points), slope, change, distance, pair, tag)


def _split(points: np.ndarray, subject: Subject, rng: np.random.Generator) -> np.ndarray:
    """Every atom in two, a quarter of the distance to its neighbour to both sides."""
    n, d = points.shape
    axes = rng.normal(size=(n, d)) if d > 1 else np.ones((n, 1))
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    shift = 0.25 * _gaps(points, subject.domain.diameter)[:, None] * axes
    return subject.domain.project(np.concatenate([points - shift, points + shift]))
