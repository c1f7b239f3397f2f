"""Wasserstein distances between discrete measures, with both sides of the duality."""

import math
import os
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from .arrays import to_numpy
from .measures import DiscreteMeasure

_EPS = float(np.finfo(np.float64).eps)
_MOST_PIVOTS = 10_000_000
_TILE = 512
_BACKENDS = ("PYTORCH", "JAX", "CUPY", "TENSORFLOW")

_Entries = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Transport:
    """The distance of two discrete measures and the evidence for it from both sides.

    `upper` is the cost of `plan`, whose marginals are those of the measures; `lower` is the value
    of `potentials`, which satisfy `f_i + g_j <= |x_i - y_j|^p`. The true distance lies between the
    two, which allow for the rounding of their own evaluation; `value` is the cost as computed.
    """

    value: float
    lower: float
    upper: float
    potentials: tuple[np.ndarray, np.ndarray]
    _shape: tuple[int, int] = field()
    _entries: _Entries = field()

    @property
    def plan(self) -> np.ndarray:
        """The mass that goes from atom i to atom j, (n, m)."""
        plan = np.zeros(self._shape)
        rows, columns, mass = self._entries
        np.add.at(plan, (rows, columns), mass)
        return plan

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return (
            f"Transport(value={self.value:.12g}, lower={self.lower:.12g}, upper={self.upper:.12g})"
        )


def wasserstein(mu: DiscreteMeasure, nu: DiscreteMeasure, p: float = 1) -> Transport:
    """The Wasserstein distance `W_p(mu, nu) = (min over plans of sum plan_ij |x_i - y_j|^p)^(1/p)`.

    On a line the monotone plan is optimal and no program is solved; else the network simplex of POT
    runs. Measures of mass m are compared as they are: the plan has mass m.

    Args:
        mu, nu: discrete measures on one space; their masses agree to 1e-9, and the weights of `nu`
            are scaled to the mass of `mu`.
        p: the exponent, >= 1.

    Returns:
        A `Transport` with `value`, the two-sided bounds `lower <= W_p <= upper`, the plan and the
        potentials; `float(result)` is the value.

    Raises:
        ValueError: other dimensions, masses that differ, or p < 1.
        TypeError: an argument is no DiscreteMeasure.

    >>> mu = DiscreteMeasure([[0.0], [1.0]], [0.5, 0.5])
    >>> nu = DiscreteMeasure([[0.0], [2.0]], [0.25, 0.75])
    >>> float(wasserstein(mu, nu))
    1.0
    >>> wasserstein(mu, nu).plan.tolist()
    [[0.25, 0.25], [0.0, 0.5]]

    Source: Villani (2009), Optimal Transport, chapter 5.
    """
    p = checked(mu, nu, p)
    (x, a), (y, b) = _as_float64(mu), _as_float64(nu)
    b = b * (a.sum() / b.sum())
    # A power of two, so that scaling rounds nothing.
    size = 2.0 ** math.frexp(max(np.abs(x).max(), np.abs(y).max()))[1]
    x, y = x / size, y / size
    solve = _on_a_line if x.shape[1] == 1 else _in_space
    entries, (f, g), infeasible = solve(x, a, y, b, p)
    entries = _with_marginals(entries, a, b)
    cost, over, under = _two_sides(x, a, y, b, p, entries, (f, g))
    under -= infeasible * a.sum()
    value, upper, lower = (size * max(c, 0.0) ** (1 / p) for c in (cost, over, under))
    lower = min(lower * (1 - 4 * _EPS), value)
    upper = max(upper * (1 + 4 * _EPS), value)
    with np.errstate(over="ignore", invalid="ignore"):
        potentials = (f * np.power(size, p), g * np.power(size, p))
    return Transport(value, lower, upper, potentials, (len(a), len(b)), entries)


def checked(mu: Any, nu: Any, p: Any) -> float:
    for measure in (mu, nu):
        if not isinstance(measure, DiscreteMeasure):
            raise TypeError(f"expected a DiscreteMeasure, got {type(measure).__name__}")
    if mu.dim != nu.dim:
        raise ValueError(f"expected measures on one space, got dimensions {mu.dim} and {nu.dim}")
    if not abs(mu.mass - nu.mass) <= 1e-9 * max(mu.mass, nu.mass):
        raise ValueError(
            f"expected measures of equal mass, got {mu.mass:.12g} and {nu.mass:.12g}; "
            "scale the weights of one"
        )
    if not isinstance(p, (int, float, np.number)):
        raise TypeError(f"expected a number as exponent p, got {type(p).__name__}")
    if not 1 <= p < math.inf:
        raise ValueError(f"expected a finite exponent p >= 1, got {p}")
    return float(p)


def _as_float64(measure: DiscreteMeasure) -> tuple[np.ndarray, np.ndarray]:
    return to_numpy(measure.points).astype(np.float64), to_numpy(measure.weights).astype(np.float64)


def _staircase(a: np.ndarray, b: np.ndarray) -> _Entries:
    """The plan that fills from the first atoms to the last; every atom is on its path."""
    n = len(a)
    cuts = np.concatenate([np.cumsum(a)[:-1], np.cumsum(b)[:-1]])
    order = np.argsort(cuts, kind="stable")
    rows = np.concatenate([[0], np.cumsum(order < n - 1)])
    columns = np.concatenate([[0], np.cumsum(order >= n - 1)])
    ends = np.concatenate([[0.0], cuts[order], [min(a.sum(), b.sum())]])
    return rows, columns, np.maximum(np.diff(ends), 0.0)


def _on_a_line(x, a, y, b, p):
    """The monotone plan, and the potentials that are tight along its path.

    For a convex cost they are feasible (the cost has the Monge property), up to the rounding of
    their cumulative sums: two c-transforms remove it, or for many atoms the third result bounds it.
    """
    to_x, to_y = np.argsort(x[:, 0], kind="stable"), np.argsort(y[:, 0], kind="stable")
    xs, ys = x[to_x, 0], y[to_y, 0]
    rows, columns, mass = _staircase(a[to_x], b[to_y])
    costs = np.abs(xs[rows] - ys[columns]) ** p
    # One index moves a step: f_i - f_(i-1) = c_ij - c_(i-1)j, and likewise for g.
    rise, moves_row = np.diff(costs), np.diff(rows) == 1
    f, g = np.empty(len(xs)), np.empty(len(ys))
    f[to_x] = np.concatenate([[0.0], np.cumsum(rise[moves_row])])
    g[to_y] = costs[0] + np.concatenate([[0.0], np.cumsum(rise[~moves_row])])
    if len(f) * len(g) <= 64 * _TILE**2:
        f = _c_transform(x, y, g, p)
        return (to_x[rows], to_y[columns], mass), (f, _c_transform(y, x, f, p)), 0.0
    travelled = np.abs(rise).sum() + costs[0]
    return (to_x[rows], to_y[columns], mass), (f, g), 8 * len(costs) * _EPS * p * travelled


def _in_space(x, a, y, b, p):
    """An optimal plan of POT; its potentials made feasible by two c-transforms."""
    kept_x, kept_y = np.flatnonzero(a > 0), np.flatnonzero(b > 0)
    plan, f = _network_simplex(a[kept_x], b[kept_y], cdist(x[kept_x], y[kept_y]) ** p)
    g = _c_transform(y, x[kept_x], f, p)
    f = _c_transform(x, y, g, p)
    rows, columns = np.nonzero(plan)
    return (kept_x[rows], kept_y[columns], plan[rows, columns]), (f, g), 0.0


def _network_simplex(a, b, cost):
    if len(a) == 1 or len(b) == 1:
        return np.outer(a, b) / a.sum(), cost[:, 0] * (len(b) == 1)
    plan, log = pot().emd(a, b * (a.sum() / b.sum()), cost, numItermax=_MOST_PIVOTS, log=True)
    return plan, log["u"]


def pot():
    """POT, imported on first use and without the array libraries that it would import as well.

    It imports torch, JAX, CuPy and TensorFlow where they are installed, which takes seconds; the
    solver used here reads NumPy arrays only.
    """
    if "ot" not in sys.modules:
        wanted = {f"POT_BACKEND_DISABLE_{name}": "1" for name in _BACKENDS}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            import ot  # noqa: F401
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
    return sys.modules["ot"]


def _c_transform(x, y, g, p):
    """min_j |x_i - y_j|^p - g_j, for every i."""
    tiles = (x[i : i + _TILE] for i in range(0, len(x), _TILE))
    return np.concatenate([(cdist(tile, y) ** p - g).min(axis=1) for tile in tiles])


def _with_marginals(entries: _Entries, a: np.ndarray, b: np.ndarray) -> _Entries:
    """The plan scaled under its marginals, and what is missing filled in.

    Source: Altschuler, Weed & Rigollet (2017), arXiv 1705.09634, algorithm 2.
    """
    rows, columns, mass = entries
    mass = mass * _shrink(a, np.bincount(rows, mass, len(a)))[rows]
    mass = mass * _shrink(b, np.bincount(columns, mass, len(b)))[columns]
    short_a = np.maximum(a - np.bincount(rows, mass, len(a)), 0.0)
    short_b = np.maximum(b - np.bincount(columns, mass, len(b)), 0.0)
    filled = _staircase(short_a, short_b)
    rows, columns, mass = map(np.concatenate, zip((rows, columns, mass), filled, strict=True))
    used = mass > 0
    return rows[used], columns[used], mass[used]


def _shrink(wanted: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.divide(wanted, present, out=np.ones_like(wanted), where=present > wanted)


def _two_sides(x, a, y, b, p, entries, potentials):
    """The cost of the plan, a bound above it and one below it, with their rounding."""
    rows, columns, mass = entries
    f, g = potentials
    relative = ((x.shape[1] + 4) * p + 4) * _EPS
    cost = math.fsum(mass * np.linalg.norm(x[rows] - y[columns], axis=1) ** p)
    defect = np.abs(np.bincount(rows, mass, len(a)) - a).sum()
    defect += np.abs(np.bincount(columns, mass, len(b)) - b).sum()
    widest = (np.maximum(x.max(0), y.max(0)) - np.minimum(x.min(0), y.min(0))) ** 2
    over = cost * (1 + relative) + defect * float(widest.sum()) ** (p / 2)
    dual = math.fsum(np.concatenate([a * f, b * g]))
    largest = float(np.abs(f).max() + np.abs(g).max())
    under = dual - abs(dual) * relative - 4 * _EPS * largest * float(a.sum() + b.sum())
    return cost, over, under
