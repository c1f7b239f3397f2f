"""How far apart two image measures are, fast enough for a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ..numeric import DiscreteMeasure, wasserstein
from ..numeric.transport import pot
from .subject import Atoms, Stack

LARGEST_SOLVED = 256
FEW = 12  # atoms: to transport them takes no longer than a bound
_MOST_PIVOTS = 1_000_000
_OPTIMAL = 1


def gap(first: Atoms, second: Atoms, small: float = 0.0) -> float:
    """The distance of two finite measures: W1 of the normalised ones, plus the mass difference.

    The mass difference counts once for each unit of the larger spread, so that it has the unit of
    a length. Where two measures have equal weights, moving atom to atom bounds W1 from above; a
    bound of at most `small` is returned as it is, without solving the transport problem. Beyond
    256 atoms the value is a lower bound, the largest W1 of a few projections on lines.
    """
    (x, a), (y, b) = first, second
    if x.shape[1] != y.shape[1]:
        return float("inf")
    mass, other = float(a.sum()), float(b.sum())
    excess = abs(mass - other) / max(mass, other)
    if excess > 1e-12:
        excess *= max(1.0, float(np.ptp(np.concatenate([x, y]), axis=0).max()))
    else:
        excess = 0.0
    a, b = a / mass, b / other
    if len(a) == len(b) and np.count_nonzero(a == b) == len(a):
        bound = float(a @ lengths(x - y))
        if bound <= small or len(a) == 1:
            return bound + excess
    if x.shape[1] == 1:
        return _on_a_line(x[:, 0], a, y[:, 0], b) + excess
    most = max(len(a), len(b))
    if small > 0 and most > FEW:
        bound = float(in_order([(x, a)], [(y, b)])[0])
        if bound <= small:
            return bound + excess
    if most > LARGEST_SOLVED:
        return excess + max(_on_a_line(x @ u, a, y @ u, b) for u in _directions(x.shape[1]))
    return _transported(x, a, y, b) + excess


def gaps(first: Sequence[Atoms], second: Sequence[Atoms], small: float = 0.0) -> np.ndarray:
    """The `gap` of each pair of measures; measures of few atoms are handled all at once."""
    if not first:
        return np.zeros(0)
    points, weights = zip(*first, *second, strict=True)
    most, d = max(map(len, weights)), points[0].shape[1]
    one_by_one = len(first) < 4 or most > FEW or d == 1
    if one_by_one or len({p.shape[1] for p in points}) > 1:
        return np.array([gap(a, b, small) for a, b in zip(first, second, strict=True)])
    places, masses = _padded(points, weights, most)
    totals = masses.sum(axis=1)
    masses /= totals[:, None]
    (x, y), (a, b) = places.reshape(2, -1, most, d), masses.reshape(2, -1, most)
    found = np.einsum("km,km->k", a, lengths(x - y))
    far = np.flatnonzero((a != b).any(axis=1) | (found > small)) if most > 1 else ()
    if len(far):
        found[far] = _all_solved(x[far], a[far], y[far], b[far])
    one, other = totals.reshape(2, -1)
    excess = np.abs(one - other) / np.maximum(one, other)
    if excess.max() > 1e-12:
        spreads = np.ptp(np.concatenate([x, y], axis=1), axis=1).max(axis=1)
        found += np.where(excess > 1e-12, excess * np.maximum(1.0, spreads), 0.0)
    return found


def _padded(points: Sequence[Any], weights: Sequence[Any], atoms: int) -> Stack:
    """Measures with equally many atoms, those of weight zero where the first atom is."""
    if all(len(w) == atoms for w in weights):
        return np.array(points), np.array(weights)
    places = np.array([[p[:1]] for p in points])[:, 0].repeat(atoms, axis=1)
    masses = np.zeros((len(weights), atoms))
    for k, (p, w) in enumerate(zip(points, weights, strict=True)):
        places[k, : len(p)], masses[k, : len(w)] = p, w
    return places, masses


def _all_solved(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> np.ndarray:
    """W1 of pairs of probability measures (k, n, d), (k, n)."""
    costs = lengths(x[:, :, None] - y[:, None])
    largest = costs.max(axis=(1, 2))
    movable = (largest > 0) & (largest < np.inf)
    scale = np.where(movable, largest, 1.0)
    costs /= scale[:, None, None]
    solve, found = _solver(), np.where(movable, 0.0, largest)
    for k in np.flatnonzero(movable).tolist():
        _, cost, _, _, status = solve(a[k], b[k], costs[k], _MOST_PIVOTS, 1)
        found[k] = cost if status == _OPTIMAL else _transported(x[k], a[k], y[k], b[k]) / scale[k]
    return found * scale


def in_order(first: Sequence[Atoms], second: Sequence[Atoms]) -> np.ndarray:
    """Upper bounds of the `gap` of pairs, all at once: infinite where masses differ.

    Mass goes where it comes in the order along a generic line. This plan moves what is written in
    another order, split or merged hardly at all. The pairs are queued one behind the other, each
    of mass one, and matched as one.
    """
    points, weights = zip(*first, *second, strict=True)
    places, shares = np.concatenate(points), np.concatenate(weights)
    sizes = np.array([len(w) for w in weights])
    owner = np.arange(len(sizes)).repeat(sizes)
    masses = np.bincount(owner, shares)
    order = np.lexsort((places @ _directions(places.shape[1])[-1], owner))
    places, shares = places.take(order, axis=0), (shares / masses.take(owner)).take(order)
    n = sum(len(w) for w in weights[: len(first)])
    ends, others = shares[:n].cumsum(), shares[n:].cumsum()
    pieces = np.concatenate([ends, others])
    pieces.sort()
    cuts = pieces.copy()
    pieces[1:] -= cuts[:-1]
    middles = cuts - 0.5 * pieces
    i = np.minimum(ends.searchsorted(middles), n - 1)
    j = np.minimum(others.searchsorted(middles) + n, len(places) - 1)
    pair = np.minimum(middles.astype(int), len(first) - 1)
    moves = lengths(places.take(i, axis=0) - places.take(j, axis=0))
    bounds = np.bincount(pair, pieces * moves, len(first))
    mass, other = masses.reshape(2, -1)
    unequal = ~(np.abs(mass - other) <= 1e-12 * np.maximum(mass, other))
    if np.count_nonzero(unequal):
        bounds[unequal] = np.inf
    return bounds


def _transported(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> float:
    """W1 of probability measures by the network simplex alone; `wasserstein` certifies it."""
    if np.count_nonzero(a) < len(a):
        x, a = x[a > 0], a[a > 0]
    if np.count_nonzero(b) < len(b):
        y, b = y[b > 0], b[b > 0]
    costs = lengths(x[:, None] - y)
    largest = float(costs.max())
    if len(a) == 1 or len(b) == 1 or not 0 < largest < np.inf:
        return float(a @ costs @ b)
    _, cost, _, _, status = _solver()(a, b, costs / largest, _MOST_PIVOTS, 1)
    if status != _OPTIMAL:
        return wasserstein(DiscreteMeasure(x, a), DiscreteMeasure(y, b)).value
    return float(cost * largest)


@cache
def load_solver() -> None:
    """Solve one small problem: the import of the solver takes a second that no check should pay."""
    gap((np.eye(2), np.array([0.5, 0.5])), (-np.eye(2), np.array([0.25, 0.75])))


@cache
def _solver() -> Callable[..., Any]:
    """The compiled core of POT: what `ot.emd2` does around it takes a hundred times as long."""
    pot()
    from ot.lp.emd_wrap import emd_c

    return emd_c


@lru_cache(maxsize=16)
def _directions(dim: int) -> np.ndarray:
    """The axes, up to eight, and eight generic directions."""
    drawn = np.random.default_rng(dim).normal(size=(8, dim))
    axes = np.eye(dim)[:8]
    return np.concatenate([axes, drawn / np.linalg.norm(drawn, axis=1, keepdims=True)])


def lengths(steps: np.ndarray) -> np.ndarray:
    """The norms of vectors (..., d)."""
    return np.sqrt(np.einsum("...d,...d->...", steps, steps))


def moved(first: Atoms | Stack, second: Atoms | Stack) -> Any:
    """An upper bound of W1 between images whose rows correspond: atom to atom, then the weights.

    Of two stacks of images, (b, n, d) and (b, n), the b bounds.
    """
    (x, a), (y, b) = first, second
    bound = (np.minimum(a, b) * lengths(x - y)).sum(axis=-1)
    exchanged = 0.5 * np.abs(a - b).sum(axis=-1)
    if np.count_nonzero(exchanged) == 0:
        return bound
    return bound + exchanged * spread((np.concatenate([x, y], axis=-2), a))


def _on_a_line(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> float:
    """W1 on the line, the area between the distribution functions."""
    at = np.concatenate([x, y])
    order = np.argsort(at, kind="stable")
    jump = np.cumsum(np.concatenate([a, -b])[order])[:-1]
    return float(np.abs(jump) @ np.diff(at[order]))


def spread(atoms: Atoms | Stack) -> Any:
    """The diameter of the bounding box of the atoms."""
    points = atoms[0]
    sides = np.maximum.reduce(points, axis=-2) - np.minimum.reduce(points, axis=-2)
    return np.sqrt(np.add.reduce(sides * sides, axis=-1))


def clusters(points: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Index sets of atoms that chains of steps of at most `tolerance` connect."""
    if len(points) == 1:
        return [np.array([0])]
    if tolerance == 0 or points.shape[1] == 1:
        order = np.lexsort(points.T[::-1])
        step = np.linalg.norm(np.diff(points[order], axis=0), axis=1)
        cuts = np.flatnonzero(step > tolerance) + 1
        return [np.sort(group) for group in np.split(order, cuts)]
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import cdist

    near = cdist(points, points) <= tolerance
    if near.sum() == len(points):
        return list(np.arange(len(points))[:, None])
    count, label = connected_components(near, directed=False)
    return [np.flatnonzero(label == k) for k in range(count)]
