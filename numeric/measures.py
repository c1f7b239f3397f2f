"""Discrete measures: finitely many atoms with weights."""

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from .arrays import namespace, real_array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DiscreteMeasure:
    """A measure with finitely many atoms: `mu = sum_i weights[i] delta_{points[i]}`.

    Atoms may coincide and weights may be zero; both are kept as given, and nothing is normalised.
    NumPy arrays are copied and made read-only; arrays of other libraries are held as they are.

    Args:
        points: (n, d) real, finite; NumPy, CuPy, torch, JAX or nested sequences. n, d >= 1.
        weights: (n,) real, finite, >= 0, of positive sum. None gives each atom the weight 1/n.

    Raises:
        ValueError: a wrong shape, no atoms, a number not finite, a negative weight, no mass.
        TypeError: points or weights are no real numbers, or are arrays of two libraries.

    >>> mu = DiscreteMeasure([[0.0, 1.0], [2.0, 3.0]], [0.25, 0.5])
    >>> mu
    DiscreteMeasure(2 atoms in R^2, mass 0.75: 0.25 at (0, 1), 0.5 at (2, 3))
    >>> mu.dim, mu.mass, len(mu)
    (2, 0.75, 2)
    """

    points: Any
    weights: Any = None

    def __post_init__(self):
        points = _checked_points(self.points)
        if self.weights is None:
            xp, n = namespace(points), points.shape[0]
            device = array_api_compat.device(points)
            weights = xp.full((n,), 1.0 / n, dtype=points.dtype, device=device)
        else:
            weights = _checked_weights(self.weights, points)
        object.__setattr__(self, "points", _frozen(points))
        object.__setattr__(self, "weights", _frozen(weights))

    @property
    def dim(self) -> int:
        """The dimension d of the space that the atoms lie in."""
        return self.points.shape[1]

    @property
    def mass(self) -> float:
        """The total mass, the sum of the weights."""
        return float(namespace(self.weights).sum(self.weights))

    def __len__(self) -> int:
        return self.points.shape[0]

    def __eq__(self, other: object) -> bool:
        """Same atoms with the same weights in the same order, in one array library."""
        if not isinstance(other, DiscreteMeasure):
            return NotImplemented
        if self.points.shape != other.points.shape or type(self.points) is not type(other.points):
            return False
        same_points = bool((self.points == other.points).all())
        return same_points and bool((self.weights == other.weights).all())

    def __hash__(self) -> int:
        return hash((self.points.shape, self.mass))

    def __repr__(self) -> str:
        shown = [_atom(self.weights[i], self.points[i]) for i in range(min(len(self), 4))]
        more = ", ..." if len(self) > 4 else ""
        atoms = "1 atom" if len(self) == 1 else f"{len(self)} atoms"
        listed = ", ".join(shown) + more
        return f"DiscreteMeasure({atoms} in R^{self.dim}, mass {self.mass:.6g}: {listed})"


def _atom(weight, point) -> str:
    coordinates = [f"{float(point[j]):.6g}" for j in range(min(len(point), 4))]
    dots = ["..."] if len(point) > 4 else []
    return f"{float(weight):.6g} at ({', '.join(coordinates + dots)})"


def _checked_points(points: Any) -> Any:
    points = real_array(points, "points")
    shape = tuple(points.shape)
    if len(shape) == 1:
        raise ValueError(
            f"expected points of shape (n, d), got {shape}; "
            "use points[:, None] for n points on a line or points[None, :] for one point"
        )
    if len(shape) != 2:
        raise ValueError(f"expected points of shape (n, d), got {shape}")
    if shape[0] == 0 or shape[1] == 0:
        raise ValueError(f"expected at least one atom and one coordinate, got shape {shape}")
    xp = namespace(points)
    if not bool(xp.all(xp.isfinite(points))):
        raise ValueError("expected finite points, got NaN or infinity among them")
    return points


def _checked_weights(weights: Any, points: Any) -> Any:
    weights = real_array(weights, "weights", like=points)
    xp = namespace(points, weights)
    n = points.shape[0]
    if tuple(weights.shape) != (n,):
        raise ValueError(
            f"expected weights of shape ({n},), one for each point, got {tuple(weights.shape)}"
        )
    if not bool(xp.all(xp.isfinite(weights))):
        raise ValueError("expected finite weights, got NaN or infinity among them")
    if bool(xp.any(weights < 0)):
        raise ValueError(f"expected weights >= 0, got {float(xp.min(weights)):.6g}")
    mass = float(xp.sum(weights))
    if not 0 < mass < float("inf"):
        raise ValueError(f"expected weights of positive and finite sum, got {mass:.6g}")
    return weights


def _frozen(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        array = np.array(array)
        array.setflags(write=False)
    return array
