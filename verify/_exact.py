"""What an exact solution is, and the few tools that all of them use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numeric import AbstractDomain, BoundField, DiscreteMeasure


def positions(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The statistic of a solution that is known point by point."""
    return points


@dataclass(frozen=True, slots=True)
class ExactSolution:
    """A solution of a Vlasov equation known without solving it step by step.

    Args:
        name: what it is called in tables.
        field: the bound velocity field.
        initial: the measure at time zero.
        time: the horizon up to which it is meant to be used.
        exact: `exact(t)`, the value of `observe` at time t.
        observe: `observe(points (n, d), weights (n,))`, what is known exactly; the positions
            themselves by default, else a statistic.
        domain: a sphere where the flow lives on one.
        statement: the formula. source: where it comes from.

    >>> from pushforward.verify import exact_solutions
    >>> pair = exact_solutions.kuramoto_pair(coupling=1.0)
    >>> moved = pair.field.flow(pair.initial.points, pair.initial.weights, 1.0, steps=200)
    >>> bool(pair.error(moved, 1.0) < 1e-9)
    True
    """

    name: str
    field: BoundField
    initial: DiscreteMeasure
    time: float
    exact: Callable[[float], np.ndarray]
    observe: Callable[[np.ndarray, np.ndarray], np.ndarray] = positions
    domain: AbstractDomain | None = None
    statement: str = ""
    source: str = ""

    @property
    def pointwise(self) -> bool:
        """Whether the positions themselves are known, not a statistic of them alone."""
        return self.observe is positions

    def error(self, points: Any, time: float) -> float:
        """The largest deviation of `observe` from its exact value, for particles at a time."""
        got = self.observe(np.asarray(points, dtype=float), np.asarray(self.initial.weights))
        return float(np.abs(got - self.exact(time)).max())

    def flow(self, **options: Any) -> np.ndarray:
        """The particles at the horizon by the flow of the field; options as for `field.flow`."""
        options = {"domain": self.domain} | options
        return self.field.flow(self.initial.points, self.initial.weights, self.time, **options)


def array(value: Any, rank: int) -> np.ndarray:
    """The value as floats, with so many dimensions."""
    result = np.asarray(value, dtype=float)
    if result.ndim != rank:
        raise ValueError(f"expected {('a vector', 'a matrix')[rank - 1]}, got shape {result.shape}")
    return result


def solved(rate: Callable[[float, np.ndarray], Any], start: np.ndarray, time: float) -> np.ndarray:
    """The end of a small ordinary differential equation, to about 1e-13, by order eight."""
    from scipy.integrate import solve_ivp

    if time == 0:
        return start
    run = solve_ivp(rate, (0.0, time), start, "DOP853", rtol=3e-14, atol=1e-15)
    return run.y[:, -1]


def gauss_hermite(
    mean: np.ndarray, covariance: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points (nodes^d, d) and weights that integrate polynomials against a Gaussian exactly."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    d = len(mean)
    grid = np.stack(np.meshgrid(*[z] * d, indexing="ij"), axis=-1).reshape(-1, d)
    weights = np.prod(np.stack(np.meshgrid(*[w] * d, indexing="ij"), axis=-1), axis=-1).ravel()
    return mean + grid @ np.linalg.cholesky(covariance).T, weights / weights.sum()
