"""Reading the images of single atoms off the masses of an image measure.

If `f` is support-preserving, the atoms of `f(sum a_i delta_{x_i})` have masses that are subset sums
of the `a_i`, and the sets partition the atoms. Where all subset sums differ, the masses alone tell
which atom went where (Furuya, de Hoop, Lassas 2025, condition (B1); docs/mathematics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..numeric import DiscreteMeasure, wasserstein
from .distance import clusters
from .subject import Atoms

LARGEST_DECODED = 14


@dataclass(frozen=True, slots=True)
class Decoded:
    """Where each input atom went, or why the masses cannot be read.

    `images` (n, d') is None if some output mass is no subset sum (`mismatch` > `tolerance`), or if
    the sets are no partition. `mismatch` is the largest distance of an output mass from the nearest
    subset sum of the input weights.
    """

    images: np.ndarray | None
    mismatch: float
    reason: str


def binary_weights(atoms: int) -> np.ndarray:
    """Weights proportional to `K + 2^i` with `K = 2^atoms`: all subset sums differ by far.

    The sum of a subset S is `|S| K + sum 2^i`, so that sets of different size are far apart and the
    largest weight is less than twice the smallest.
    """
    weights = 2.0**atoms + 2.0 ** np.arange(atoms)
    return weights / weights.sum()


def margin(weights: np.ndarray) -> float:
    """The smallest difference of two subset sums of the weights: how well masses can be read."""
    if len(weights) > LARGEST_DECODED:
        return 0.0
    return float(np.diff(_sorted_sums(weights.tobytes())[1]).min())


@lru_cache(maxsize=64)
def _sorted_sums(weights: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The order of the subset sums, and the sums in order; weights come back at every call."""
    sums = subset_sums(np.frombuffer(weights))
    order = np.argsort(sums)
    return order, sums[order]


def subset_sums(weights: np.ndarray) -> np.ndarray:
    """All 2^n subset sums; the sum of subset S has index `sum of 2^i over i in S`."""
    sums = np.zeros(1)
    for weight in weights:
        sums = np.concatenate([sums, sums + weight])
    return sums


def carriers(weights: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which output atom carries which input weight, if each carries one: (b, n) of (b, n).

    Returns:
        the output atom of each input atom, and how far its mass is from the weight. Where the
        distances add up to less than half the `margin`, output atoms that merge carry the sums.
    """
    here, there = weights.argsort(axis=1), masses.argsort(axis=1)
    each = np.arange(len(weights))[:, None]
    at = np.empty_like(there)
    at[each, here] = there
    return at, np.abs(masses[each, at] - weights)


def decode(weights: np.ndarray, image: Atoms, tolerance: float, near: float) -> Decoded:
    """Read off where each atom went.

    Args:
        weights: (n,) input weights with distinct subset sums, n <= 14.
        image: the image measure.
        tolerance: how far an output mass may be from a subset sum; below half the `margin`.
        near: output atoms this close are one.
    """
    points, masses = image
    groups = clusters(points, near)
    heads, totals = points, masses
    if len(groups) < len(points):
        heads = np.array([points[group].mean(axis=0) for group in groups])
        totals = np.array([masses[group].sum() for group in groups])
    order, sums = _sorted_sums(weights.tobytes())
    place = np.searchsorted(sums, totals)
    left, right = np.maximum(place - 1, 0), np.minimum(place, len(order) - 1)
    at = np.where(np.abs(sums[left] - totals) <= np.abs(sums[right] - totals), left, right)
    mismatch = float(np.abs(sums[at] - totals).max())
    nearest = order[at]
    if mismatch > tolerance:
        return Decoded(None, mismatch, "an output mass is no sum of input weights")
    members = (nearest[:, None] >> np.arange(len(weights))) & 1
    if not (members.sum(axis=0) == 1).all():
        return Decoded(None, mismatch, "the output masses are no partition of the input weights")
    return Decoded(heads[members.argmax(axis=0)], mismatch, "")


def support_defect(
    weights: np.ndarray, image: Atoms, small: float = 0.0, rounds: int = 60
) -> float:
    """An upper estimate of `min_y W1(f(mu), sum a_i delta_{y_i})`, the distance from (B1) at mu.

    Alternates an optimal plan with weighted geometric medians from several starts; the value is
    attained by an assignment, so it is never below the true minimum. A value of at most `small` is
    returned as soon as it is found.
    """
    points, masses = image
    a, b = weights[weights > 0] / weights.sum(), masses / masses.sum()
    best, mass = np.inf, float(weights.sum())
    for start in range(6):
        if best * mass <= small:
            break
        rng = np.random.default_rng(start)
        y = points[rng.choice(len(points), size=len(a), p=b)] if start else _largest_first(a, image)
        value = np.inf
        for _ in range(rounds):
            moved = wasserstein(DiscreteMeasure(y, a), DiscreteMeasure(points, b))
            if moved.value >= value - 1e-15:
                break
            value, plan = moved.value, moved.plan
            y = np.array([_median(points, row, at) for row, at in zip(plan, y, strict=True)])
        best = min(best, value)
    return best * mass


def _largest_first(a: np.ndarray, image: Atoms) -> np.ndarray:
    """Put the heaviest atoms where the most mass is still free."""
    points, masses = image
    free = masses / masses.sum()
    y = np.empty((len(a), points.shape[1]))
    for i in np.argsort(-a):
        at = int(np.argmax(free))
        y[i] = points[at]
        free[at] -= a[i]
    return y


def _median(points: np.ndarray, row: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The geometric median of the masses a row of the plan carries (Weiszfeld's iteration)."""
    used = row > 0
    points, row = points[used], row[used]
    if len(points) == 1:
        return points[0]
    for _ in range(40):
        pull = row / np.maximum(np.linalg.norm(points - at, axis=1), 1e-12)
        at = pull @ points / pull.sum()
    costs = [float(row @ np.linalg.norm(points - y, axis=1)) for y in (at, *points[:8])]
    return (at, *points[:8])[int(np.argmin(costs))]
