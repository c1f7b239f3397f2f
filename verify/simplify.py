"""Making a counterexample simple: few atoms, equal weights, short dyadic coordinates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..numeric import AbstractDomain
from .subject import Atoms, Clock, OutOfTime

Fails = Callable[[np.ndarray, np.ndarray], bool]
_BITS = (0, 1, 2, 3, 5, 8, 12)


def simplify(
    atoms: Atoms, fails: Fails, domain: AbstractDomain, clock: Clock, keep_atoms: bool = False
) -> Atoms:
    """The simplest measure found, near `atoms`, on which `fails` is still true.

    Atoms are dropped one by one, weights are made equal or dyadic, coordinates are rounded to the
    shortest dyadics, first all together and then one by one. `fails` is called at most while the
    clock runs; the result always fails.
    """
    points, weights = atoms

    def holds(p: np.ndarray, w: np.ndarray) -> bool:
        if clock.left <= 0 or not domain.contains(p, 1e-9).all():
            return False
        return unhurried(lambda: fails(p, w), clock)

    if not keep_atoms:
        points, weights = _fewer_atoms(points, weights, holds)
    weights = _simpler_weights(points, weights, holds)
    return _shorter_coordinates(points, weights, holds, domain), weights


def unhurried(fails: Callable[[], bool], clock: Clock) -> bool:
    """Whether a simpler case fails; what stops this trial must not lose the case that is known."""
    try:
        return fails()
    except OutOfTime:
        return False
    except KeyboardInterrupt:
        clock.interrupt()
        return False


def _fewer_atoms(points: np.ndarray, weights: np.ndarray, holds: Fails) -> Atoms:
    size = len(points) // 2
    while size >= 1:
        start = 0
        while start < len(points) and len(points) > size:
            keep = np.r_[0:start, start + size : len(points)]
            rest = weights[keep]
            if rest.sum() > 0 and holds(points[keep], rest / rest.sum()):
                points, weights = points[keep], rest / rest.sum()
            else:
                start += size
        size //= 2
    return points, weights


def _simpler_weights(points: np.ndarray, weights: np.ndarray, holds: Fails) -> np.ndarray:
    equal = (weights > 0) / (weights > 0).sum()
    trials = [np.full(len(weights), 1 / len(weights)), equal]
    for bits in _BITS[2:]:
        rounded = np.maximum(np.round(weights * 2.0**bits), weights > 0)
        trials.append(rounded / rounded.sum())
    return next((w for w in trials if holds(points, w)), weights)


def _shorter_coordinates(
    points: np.ndarray, weights: np.ndarray, holds: Fails, domain: AbstractDomain
) -> np.ndarray:
    unit = 2.0 ** np.round(np.log2(max(domain.diameter, 1e-300)))
    for bits in _BITS:
        cell = unit / 2.0**bits
        trial = domain.project(np.round(points / cell) * cell)
        if np.array_equal(trial, points):
            return points
        if holds(trial, weights):
            return trial
    for index in np.ndindex(points.shape) if points.size <= 64 else ():
        for bits in _BITS:
            trial = points.copy()
            cell = unit / 2.0**bits
            trial[index] = np.round(points[index] / cell) * cell
            if np.array_equal(trial, points):
                break
            if holds(trial, weights):
                points = trial
                break
    return points
