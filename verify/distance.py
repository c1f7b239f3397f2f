"""How far apart two image measures are, fast enough for a search."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..numeric import DiscreteMeasure, wasserstein
from ..numeric.transport import pot
from .subject import Atoms, Stack

LARGEST_SOLVED = 256
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
    mass, other = a.sum(), b.sum()
    excess = abs(mass - other) / max(mass, other)
    if excess > 1e-12:
        excess *= max(1.0, float(np.ptp(np.concatenate([x, y]), axis=0).max()))
    else:
        excess = 0.0
    a, b = a / mass, b / other
    if len(a) == len(b) and np.array_equal(a, b):
        bound = float(a @ lengths(x - y))
        if bound <= small or len(a) == 1:
            return bound + excess
    if x.shape[1] == 1:
        return _on_a_line(x[:, 0], a, y[:, 0], b) + excess
    if len(a) == len(b) and small > 0:
        left, right = np.lexsort(x.T), np.lexsort(y.T)
        bound = moved((x[left], a[left]), (y[right], b[right]))
        if bound <= small:
            return bound + excess
    if max(len(a), len(b)) > LARGEST_SOLVED:
        return excess + max(_on_a_line(x @ u, a, y @ u, b) for u in _directions(x.shape[1]))
    return _transported(x, a, y, b) + excess


def _transported(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> float:
    """W1 of probability measures by the network simplex alone; `wasserstein` certifies it."""
    x, a, y, b = x[a > 0], a[a > 0], y[b > 0], b[b > 0]
    costs = lengths(x[:, None] - y)
    largest = costs.max()
    if len(a) == 1 or len(b) == 1 or not 0 < largest < np.inf:
        return float(a @ costs @ b)
    _, cost, _, _, status = _solver()(a, b * (a.sum() / b.sum()), costs / largest, _MOST_PIVOTS, 1)
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


def _directions(dim: int) -> np.ndarray:
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
    if not exchanged.any():
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
    return np.linalg.norm(np.ptp(atoms[0], axis=-2), axis=-1)


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
