"""Two-sided bounds of W1 between measures of very many atoms, in shards.

Both measures are moved to the nearest of a few anchors, which costs `r = int |x - q(x)| mu(dx)`
each, and the small problem between the anchors is solved exactly: by the triangle inequality
`W1 <= r_mu + W1(q#mu, q#nu) + r_nu`. Its potentials extend to the 1-Lipschitz function
`f(x) = min_k |x - c_k| - g_k` on the whole space, and by duality `int f dmu - int f dnu <= W1`.
Neither side is a guess: the anchors decide only how far apart they are.

Source: Villani (2009), Optimal Transport, theorem 5.10 and remark 6.5.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from .arrays import to_numpy
from .measures import DiscreteMeasure
from .native import processors
from .shards import Cluster, Job, Place, Progress, Threads
from .transport import checked, wasserstein

_ROWS = 2**15
_TILE = 512
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class TransportBounds:
    """`lower <= W1 <= upper`, and an estimate between the two.

    `estimate` is the distance of the measures moved to the anchors, cut to the bounds; it is off by
    at most `upper - lower`, and never exact unless these are equal.
    """

    lower: float
    upper: float
    estimate: float
    anchors: int


def wasserstein_bounds(
    mu: DiscreteMeasure,
    nu: DiscreteMeasure,
    *,
    anchors: int = 1024,
    seed: int = 0,
    client: Any = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> TransportBounds:
    """Bounds of `W1(mu, nu)` at the cost of (atoms x anchors), for measures of very many atoms.

    Args:
        mu, nu: discrete measures on one space; their masses agree to 1e-9, and the weights of `nu`
            are scaled to the mass of `mu`.
        anchors: how many points the measures are moved to; atoms of both, drawn by their weights.
            With d coordinates the bounds are about `anchors^(-1/d)` diameters apart.
        seed: of the draw.
        client: a `dask.distributed` client to do the work; else threads of this process.
        workers: the number of threads, by default one a processor.
        progress: called with the share that is done, from 0 to 1.

    Returns:
        `TransportBounds`, which allow for the rounding of their own evaluation, and are the same
        bits however many take part.

    Raises:
        ValueError: other dimensions, masses that differ, or fewer than one anchor.
        TypeError: an argument is no DiscreteMeasure.

    >>> rng = np.random.default_rng(0)
    >>> mu = DiscreteMeasure(rng.random((500, 2)))
    >>> nu = DiscreteMeasure(mu.points + [3.0, 0.0])
    >>> bounds = wasserstein_bounds(mu, nu, anchors=100)
    >>> bounds.lower <= 3 <= bounds.upper < 3.2
    True
    """
    checked(mu, nu, 1)
    if not (hasattr(anchors, "__index__") and anchors >= 1):
        raise ValueError(f"expected anchors, an integer >= 1, got {anchors!r}")
    measures = [(_float64(m.points), _float64(m.weights)) for m in (mu, nu)]
    measures[1] = measures[1][0], measures[1][1] * (measures[0][1].sum() / measures[1][1].sum())
    place = Cluster(client) if client is not None else Threads(workers or processors())
    tell = (lambda share: None) if progress is None else progress
    return _bounds(measures, _drawn(measures, int(anchors), seed), place, tell)


def _float64(array: Any) -> np.ndarray:
    return to_numpy(array).astype(np.float64)


def _drawn(measures: list, anchors: int, seed: int) -> np.ndarray:
    """All atoms where there are no more than anchors, else so many of both by their weights."""
    rng = np.random.default_rng(seed)
    atoms = np.unique(np.concatenate([x[a > 0] for x, a in measures]), axis=0)
    if len(atoms) <= anchors:
        return atoms
    found = [x[rng.choice(len(x), -(-anchors // 2), p=a / a.sum())] for x, a in measures]
    return np.unique(np.concatenate(found)[:anchors], axis=0)


def _bounds(measures: list, anchors: np.ndarray, place: Place, tell: Progress) -> TransportBounds:
    pieces = [
        (side, x[k : k + _ROWS], a[k : k + _ROWS])
        for side, (x, a) in enumerate(measures)
        for k in range(0, len(x), _ROWS)
    ]
    moved = Job(_moved, anchors, pieces, place).run(lambda share: tell(share / 2))
    masses = [np.zeros(len(anchors)), np.zeros(len(anchors))]
    for (side, _, _), (mass, _) in zip(pieces, moved, strict=True):
        masses[side] += mass
    there = [DiscreteMeasure(anchors, mass) for mass in masses]
    small = wasserstein(there[0], there[1])
    potential = anchors, small.potentials[1]
    sums = Job(_potential_sum, potential, pieces, place).run(lambda share: tell((1 + share) / 2))
    pairs = zip(pieces, sums, strict=True)
    signed = [-total if side else total for (side, _, _), (total, _) in pairs]
    largest = max(size for _, size in sums)
    mass, d = float(measures[0][1].sum()), anchors.shape[1]
    n = max(len(x) for x, _ in measures)
    slack = 4 * (d + 8) * _EPS * mass * largest
    lower = max(math.fsum(signed) - slack, 0.0)
    # The masses at the anchors are sums of up to n weights, each off by n units at most.
    slack = (d + 8) * _EPS * small.upper + 2 * n * _EPS * mass * largest
    upper = (small.upper + math.fsum(cost for _, cost in moved)) * (1 + (d + 8) * _EPS) + slack
    lower, upper = float(min(lower, upper)), float(upper)
    return TransportBounds(lower, upper, min(max(small.value, lower), upper), len(anchors))


def _moved(anchors: np.ndarray, piece: tuple[int, np.ndarray, np.ndarray]) -> tuple:
    """The masses that come to the anchors, and the cost of moving them there."""
    _, x, a = piece
    distances, nearest = KDTree(anchors).query(x)
    return np.bincount(nearest, a, len(anchors)), math.fsum(a * distances)


def _potential_sum(potential: tuple[np.ndarray, np.ndarray], piece: tuple) -> tuple[float, float]:
    """`sum a_i f(x_i)`, and a bound on the numbers that f is computed from."""
    (anchors, g), (_, x, a) = potential, piece
    terms, largest = [], 0.0
    for k in range(0, len(x), _TILE):
        distances = cdist(x[k : k + _TILE], anchors)
        largest = max(largest, float(distances.max()))
        terms.append(a[k : k + _TILE] * (distances - g).min(axis=1))
    return math.fsum(np.concatenate(terms)), largest + float(np.abs(g).max())
