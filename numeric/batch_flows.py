"""Flows of very many particles by the random batch method: an estimate, with its error.

In each step every group of particles sees, in place of the measure, a batch of p atoms drawn with
the probabilities `w_i / M`, each of weight `M / p`, and moves by a midpoint step in that field. The
error of a path is `O(sqrt(h / p))` at random for steps h, and its mean is off by `O(h / p)`, where
the field is linear in the measure; a ratio as in softmax adds `O(1 / p)`. The whole flow is run
several times with independent batches: the runs scatter as one of them errs at random.

Source: Jin, Li & Liu (2020), Random batch methods (RBM) for interacting particle systems, J.
Comput. Phys. 400, 108877, arXiv 1812.10575.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .charts import space_of
from .domains import AbstractDomain
from .measures import DiscreteMeasure
from .program import Program
from .random_batches import refuse_extrema

GROUP = 2**16
"""Particles that share their batches."""


@dataclass(frozen=True, slots=True)
class FlowEstimate:
    """Estimated positions; they are not exact, and no array is made of them silently.

    Args:
        points: (n, d) the mean over the runs.
        error: (n, d) its standard error at random, from the scatter of the runs. It holds neither
            the error of the time step nor the bias of order `1 / batch` of a ratio.
        batch, steps, runs, seed: how it was made.
    """

    points: np.ndarray
    error: np.ndarray
    batch: int
    steps: int
    runs: int
    seed: int

    @property
    def typical(self) -> float:
        """The root of the mean square of `|error|` over the particles."""
        return float(np.sqrt(np.mean(np.sum(self.error**2, axis=1))))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a FlowEstimate is no array: take its points, and see its error")

    def __str__(self) -> str:
        return (
            f"estimate of {len(self.points)} particles from {self.runs} runs of {self.steps} steps "
            f"with batches of {self.batch}, standard error {self.typical:.3g}"
        )


def estimate_flow(
    field: Callable[..., Any],
    points: Any,
    weights: Any,
    time: float,
    *,
    steps: int = 20,
    batch: int = 256,
    runs: int = 2,
    seed: int = 0,
    domain: AbstractDomain | None = None,
    dtype: Any = np.float64,
    progress: Callable[[float], object] | None = None,
) -> FlowEstimate:
    """The particles after a time, each step from random batches of the atoms.

    Args:
        field: `field(points, weights, x)`, a bound velocity field or a function.
        points, weights: (n, d), (n,) the particles; None weighs each 1/n.
        time: how long to go; negative goes backwards.
        steps: the number of equal steps, of order two in the field of a batch.
        batch: atoms in place of the measure, drawn for each step and group of 65536 particles.
        runs: independent repetitions, two or more.
        seed: an integer >= 0; the same call gives the same bits.
        domain: a `Sphere` or a product with spheres, that no step leaves.
        dtype: float64 or float32, of the computation.
        progress: called after each step with the share of the work done.

    Returns:
        A `FlowEstimate`.

    Raises:
        ValueError: numbers that are too small, bad shapes, a bound field with a supremum.

    >>> rng = np.random.default_rng(0)
    >>> swarm = rng.normal(size=(5000, 3))
    >>> pull = lambda points, weights, x: weights @ points - weights.sum() * x
    >>> found = estimate_flow(pull, swarm, None, 1.0, batch=512)
    >>> off = found.points - swarm.mean(0) - np.exp(-1.0) * (swarm - swarm.mean(0))
    >>> bool(np.sqrt(np.mean(np.sum(off**2, axis=1))) < 10 * found.typical)
    True
    """
    least = {"steps": (steps, 1), "batch": (batch, 1), "runs": (runs, 2), "seed": (seed, 0)}
    for name, (value, low) in least.items():
        if not (hasattr(value, "__index__") and value >= low):
            raise ValueError(f"expected {name}, an integer >= {low}, got {value!r}")
    if isinstance(program := getattr(field, "program", None), Program):
        refuse_extrema(program)
    mu = DiscreteMeasure(points, weights)
    start = np.asarray(mu.points, dtype=dtype)
    walk = _Walk(field, np.asarray(mu.weights, dtype=float), space_of(domain, mu.dim), batch, seed)
    total: Any = 0.0
    squares: Any = 0.0
    for run in range(runs):
        state = walk.space.nearest(start)
        for k in range(steps):
            state = walk.step(state, time / steps, run, k)
            if progress is not None:
                progress((run * steps + k + 1) / (runs * steps))
        total, squares = total + state, squares + state.astype(float) ** 2
    mean = (total / runs).astype(start.dtype)
    variance = np.maximum(squares - runs * mean.astype(float) ** 2, 0) / (runs - 1)
    return FlowEstimate(
        walk.space.nearest(mean), np.sqrt(variance / runs), batch, steps, runs, seed
    )


@dataclass(frozen=True, slots=True)
class _Walk:
    """One step of all particles: the field, the law that batches are drawn from, the space."""

    field: Callable[..., Any]
    weights: np.ndarray
    space: Any
    batch: int
    seed: int

    def step(self, state: np.ndarray, h: float, run: int, k: int) -> np.ndarray:
        cumulative = np.cumsum(self.weights)
        share = np.full(self.batch, cumulative[-1] / self.batch, dtype=state.dtype)
        after = np.empty_like(state)
        for group, first in enumerate(range(0, len(state), GROUP)):
            rng = np.random.default_rng([self.seed, run, k, group])
            levels = rng.random(self.batch) * cumulative[-1]
            drawn = np.searchsorted(cumulative, levels, side="right")
            atoms = state[np.minimum(drawn, len(cumulative) - 1)]
            mine = slice(first, first + GROUP)
            after[mine] = self._midpoint(np.concatenate([atoms, state[mine]]), share, h)
        return after

    def _midpoint(self, state: np.ndarray, share: np.ndarray, h: float) -> np.ndarray:
        p, h = self.batch, state.dtype.type(h)
        half = self.space.move(state, h / 2 * self._rate(state, state, share))
        rate = self._rate(state, half, share)
        return self.space.move(state[p:], h * rate[p:])

    def _rate(self, x: np.ndarray, at: np.ndarray, share: np.ndarray) -> np.ndarray:
        return self.space.pull(x, at, self.field(at[: self.batch], share, at))
