"""Domains: the sets that atoms and queries are drawn from."""

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import real_array, to_numpy

_EPS = float(np.finfo(np.float64).eps)
_MOST_WRITTEN = 256
_MOST_ANCHORS = 64


class AbstractDomain(ABC):
    """A compact set in R^dim that can be drawn from and projected on.

    All methods work on NumPy float64. Points are rows: (n, dim).
    """

    __slots__ = ()

    @property
    @abstractmethod
    def dim(self) -> int:
        """The number of coordinates of a point."""

    @property
    @abstractmethod
    def diameter(self) -> float:
        """The largest Euclidean distance between two points of the domain."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """The largest absolute coordinate, the unit in which rounding is measured."""

    @abstractmethod
    def project(self, points: Any) -> np.ndarray:
        """The nearest point of the domain to each row, (n, dim); one of them where several are."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw n points, independent and uniform, as (n, dim)."""

    @abstractmethod
    def boundary(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw n points of the boundary, as (n, dim); all points where there is no boundary."""

    @abstractmethod
    def anchors(self) -> np.ndarray:
        """A few special points, the centre first where it belongs to the domain, as (k, dim)."""

    @abstractmethod
    def spec(self) -> str:
        """The text that `parse_domain` reads back to an equal domain."""

    def contains(self, points: Any, tol: float = 1e-12) -> np.ndarray:
        """Whether each row lies in the domain up to a distance of `tol * scale`, (n,) bool."""
        points = self._rows(points)
        with np.errstate(invalid="ignore"):
            distance = np.linalg.norm(points - self.project(points), axis=1)
            return distance <= tol * self.scale

    def __str__(self) -> str:
        return self.spec()

    def _rows(self, points: Any) -> np.ndarray:
        if type(points) is np.ndarray and points.dtype == np.float64:
            rows = points  # the common case, without a search
        else:
            rows = to_numpy(real_array(points, "points")).astype(np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"expected points of shape (n, {self.dim}), got {rows.shape}")
        return rows


@dataclass(frozen=True, slots=True)
class Box(AbstractDomain):
    """The box of all points between two corners, coordinate by coordinate.

    Args:
        lower, upper: (d,) finite, `lower <= upper`; kept as tuples of floats.

    >>> box = Box([-1.0, 0.0], [1.0, 3.0])
    >>> box.contains([[0.5, 3.0], [0.5, 3.1]]).tolist()
    [True, False]
    >>> box.spec()
    'box:-1.0,1.0;0.0,3.0'
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __init__(self, lower: Any, upper: Any):
        lower, upper = _vector(lower, "Box(lower)"), _vector(upper, "Box(upper)")
        if len(lower) != len(upper):
            raise ValueError(
                f"expected lower and upper of equal length, got {len(lower)} and {len(upper)}"
            )
        for i, (low, high) in enumerate(zip(lower, upper, strict=True)):
            if low > high:
                raise ValueError(
                    f"expected lower <= upper, got {low:g} > {high:g} in coordinate {i}"
                )
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def dim(self) -> int:
        return len(self.lower)

    @property
    def diameter(self) -> float:
        return math.dist(self.lower, self.upper)

    @property
    def scale(self) -> float:
        return max(map(abs, self.lower + self.upper))

    def project(self, points: Any) -> np.ndarray:
        return np.clip(self._rows(points), self.lower, self.upper)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self.project(rng.uniform(self.lower, self.upper, (n, self.dim)))

    def boundary(self, rng: np.random.Generator, n: int) -> np.ndarray:
        points = self.sample(rng, n)
        axis, corner = rng.integers(self.dim, size=n), rng.integers(2, size=n)
        points[np.arange(n), axis] = np.array([self.lower, self.upper])[corner, axis]
        return points

    def anchors(self) -> np.ndarray:
        lower, upper = np.array(self.lower), np.array(self.upper)
        centre = lower / 2 + upper / 2
        if 2**self.dim < _MOST_ANCHORS:
            corners = np.array(list(itertools.product(*zip(lower, upper, strict=True))))
        else:
            few = np.eye(min(self.dim, (_MOST_ANCHORS - 3) // 2), self.dim)
            corners = np.concatenate([lower + few * (upper - lower), upper - few * (upper - lower)])
            corners = np.concatenate([[lower], [upper], corners])
        return self.project(_distinct(np.concatenate([centre[None], corners])))

    def spec(self) -> str:
        pairs = [f"{low!r},{high!r}" for low, high in zip(self.lower, self.upper, strict=True)]
        if len(set(pairs)) == 1:
            return f"box:{pairs[0]}:{self.dim}"
        return "box:" + ";".join(pairs)


@dataclass(frozen=True, slots=True)
class Ball(AbstractDomain):
    """The closed Euclidean ball of a radius about a centre.

    Args:
        dim: the dimension, >= 1.
        radius: > 0.
        center: (dim,), the origin by default; kept as a tuple of floats.

    >>> Ball(2).project([[3.0, 4.0], [0.1, 0.2]]).round(3).tolist()
    [[0.6, 0.8], [0.1, 0.2]]
    """

    dim: int  # pyright: ignore[reportIncompatibleMethodOverride]
    radius: float = 1.0
    center: tuple[float, ...] = ()

    def __init__(self, dim: int, radius: float = 1.0, center: Any = None):
        dim, radius = dimension(dim, "Ball"), _number(radius, "Ball(radius)")
        if radius <= 0:
            raise ValueError(f"expected Ball(radius) > 0, got {radius:g}")
        center = (0.0,) * dim if center is None else _vector(center, "Ball(center)")
        if len(center) != dim:
            raise ValueError(f"expected Ball(center) with {dim} coordinates, got {len(center)}")
        object.__setattr__(self, "dim", dim)
        object.__setattr__(self, "radius", radius)
        object.__setattr__(self, "center", center)

    @property
    def diameter(self) -> float:
        return 2 * self.radius

    @property
    def scale(self) -> float:
        return self.radius + max(map(abs, self.center))

    def project(self, points: Any) -> np.ndarray:
        rows = self._rows(points)
        offset = rows - self.center
        norm = _norms(offset)
        if np.count_nonzero(norm <= self.radius) == len(rows):
            return rows.copy()
        # A few ulps inside, so that a caller who tests the norm against the radius agrees.
        inside = self.radius * (1 - 4 * _EPS)
        shrink = np.divide(inside, norm, out=np.ones_like(norm), where=norm > self.radius)
        return self.center + offset * shrink

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        radii = self.radius * rng.random((n, 1)) ** (1 / self.dim)
        return self.project(self.center + radii * _directions(rng, n, self.dim))

    def boundary(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self.project(self.center + self.radius * _directions(rng, n, self.dim))

    def anchors(self) -> np.ndarray:
        few = self.radius * np.eye(min(self.dim, (_MOST_ANCHORS - 1) // 2), self.dim)
        offsets = np.concatenate([np.zeros((1, self.dim)), few, -few])
        return self.project(self.center + offsets)

    def spec(self) -> str:
        text = f"ball:{self.dim}:{self.radius!r}"
        return text if not any(self.center) else text + ":" + ",".join(map(repr, self.center))


@dataclass(frozen=True, slots=True)
class Sphere(AbstractDomain):
    """The unit sphere in R^dim: all points of norm one.

    >>> Sphere(3).anchors()[0].tolist()
    [1.0, 0.0, 0.0]
    """

    dim: int  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self):
        object.__setattr__(self, "dim", dimension(self.dim, "Sphere"))

    @property
    def diameter(self) -> float:
        return 2.0

    @property
    def scale(self) -> float:
        return 1.0

    def project(self, points: Any) -> np.ndarray:
        return _normalised(self._rows(points))

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return _directions(rng, n, self.dim)

    def boundary(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self.sample(rng, n)

    def anchors(self) -> np.ndarray:
        few = np.eye(min(self.dim, _MOST_ANCHORS // 2), self.dim)
        return np.concatenate([few, -few]) + 0.0

    def spec(self) -> str:
        return f"sphere:{self.dim}"


@dataclass(frozen=True, slots=True)
class Simplex(AbstractDomain):
    """The probability vectors with `dim` coordinates: nonnegative, of sum one.

    >>> Simplex(3).project([[2.0, 0.0, 0.0]]).tolist()
    [[1.0, 0.0, 0.0]]
    """

    dim: int  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self):
        object.__setattr__(self, "dim", dimension(self.dim, "Simplex"))

    @property
    def diameter(self) -> float:
        return math.sqrt(2.0) if self.dim > 1 else 0.0

    @property
    def scale(self) -> float:
        return 1.0

    def project(self, points: Any) -> np.ndarray:
        rows = self._rows(points)
        # The nearest point is max(row - tau, 0), with tau read off the sorted coordinates.
        falling = -np.sort(-rows, axis=1)
        taus = (np.cumsum(falling, axis=1) - 1) / np.arange(1, self.dim + 1)
        kept = np.maximum(np.count_nonzero(falling > taus, axis=1), 1)
        tau = np.take_along_axis(taus, kept[:, None] - 1, axis=1)
        image = np.maximum(rows - tau, 0.0)
        return image / np.sum(image, axis=1, keepdims=True)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.dirichlet(np.ones(self.dim), n)

    def boundary(self, rng: np.random.Generator, n: int) -> np.ndarray:
        if self.dim == 1:
            return self.sample(rng, n)
        points = rng.exponential(size=(n, self.dim))
        # A random nonempty proper set of coordinates survives: a face.
        order = np.argsort(rng.random((n, self.dim)), axis=1)
        points[order >= rng.integers(1, self.dim, size=(n, 1))] = 0.0
        return points / points.sum(axis=1, keepdims=True)

    def anchors(self) -> np.ndarray:
        vertices = np.eye(min(self.dim, _MOST_ANCHORS - 1), self.dim)
        return _distinct(np.concatenate([np.full((1, self.dim), 1 / self.dim), vertices]))

    def spec(self) -> str:
        return f"simplex:{self.dim}"


@dataclass(frozen=True, slots=True)
class FiniteSet(AbstractDomain):
    """Finitely many points, as a vocabulary without embedding.

    Args:
        points: (n, d), finite; kept as a tuple of tuples of floats.

    >>> FiniteSet([[0.0], [1.0]]).project([[0.7]]).tolist()
    [[1.0]]
    """

    points: tuple[tuple[float, ...], ...]

    def __init__(self, points: Any):
        rows = to_numpy(real_array(points, "FiniteSet(points)")).astype(np.float64)
        if rows.ndim != 2 or 0 in rows.shape:
            raise ValueError(f"expected FiniteSet(points) of shape (n, d), got {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("expected finite FiniteSet(points), got NaN or infinity among them")
        object.__setattr__(self, "points", tuple(map(tuple, rows.tolist())))

    @property
    def dim(self) -> int:
        return len(self.points[0])

    @property
    def diameter(self) -> float:
        rows = np.array(self.points)
        return float(max(np.linalg.norm(rows - row, axis=1).max() for row in rows))

    @property
    def scale(self) -> float:
        return float(np.abs(self.points).max())

    def project(self, points: Any) -> np.ndarray:
        rows, members = self._rows(points), np.array(self.points)
        best, nearest = np.full(len(rows), np.inf), np.zeros(len(rows), dtype=int)
        for k, member in enumerate(members):
            distance = np.linalg.norm(rows - member, axis=1)
            nearest[distance < best] = k
            best = np.fmin(best, distance)
        return members[nearest]

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return np.array(self.points)[rng.integers(len(self.points), size=n)]

    def boundary(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self.sample(rng, n)

    def anchors(self) -> np.ndarray:
        return np.array(self.points[:_MOST_ANCHORS])

    def spec(self) -> str:
        if len(self.points) * self.dim > _MOST_WRITTEN:
            return f"finite:{len(self.points)} points of dimension {self.dim}"
        return "finite:" + ";".join(",".join(map(repr, point)) for point in self.points)


@dataclass(frozen=True, slots=True)
class Product(AbstractDomain):
    """The product of domains; a point is the blocks of its factors, one after the other.

    >>> phase_space = Product(Box([-1.0], [1.0]), Ball(2))
    >>> phase_space.dim, phase_space.spec()
    (3, 'box:-1.0,1.0:1*ball:2:1.0')
    """

    factors: tuple[AbstractDomain, ...]

    def __init__(self, *domains: AbstractDomain):
        if not domains:
            raise ValueError("expected Product(*domains) of at least one domain, got none")
        for domain in domains:
            if not isinstance(domain, AbstractDomain):
                raise TypeError(f"expected Product of domains, got {type(domain).__name__}")
        object.__setattr__(self, "factors", domains)

    @property
    def dim(self) -> int:
        return sum(factor.dim for factor in self.factors)

    @property
    def diameter(self) -> float:
        return math.hypot(*(factor.diameter for factor in self.factors))

    @property
    def scale(self) -> float:
        return max(factor.scale for factor in self.factors)

    def project(self, points: Any) -> np.ndarray:
        cuts = np.cumsum([factor.dim for factor in self.factors])[:-1]
        blocks = np.split(self._rows(points), cuts, axis=1)
        images = [factor.project(block) for factor, block in zip(self.factors, blocks, strict=True)]
        return np.concatenate(images, axis=1)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return np.concatenate([factor.sample(rng, n) for factor in self.factors], axis=1)

    def boundary(self, rng: np.random.Generator, n: int) -> np.ndarray:
        chosen = rng.integers(len(self.factors), size=(n, 1))
        blocks = [
            np.where(chosen == k, factor.boundary(rng, n), factor.sample(rng, n))
            for k, factor in enumerate(self.factors)
        ]
        return np.concatenate(blocks, axis=1)

    def anchors(self) -> np.ndarray:
        lists = [factor.anchors() for factor in self.factors]
        longest = max(map(len, lists))
        # In step, and each list alone against the first anchors of the others.
        first = [points[:1] for points in lists]
        rows = [
            np.concatenate([np.resize(points, (longest, points.shape[1])) for points in lists], 1)
        ]
        for j, points in enumerate(lists):
            others = [np.repeat(one, len(points), axis=0) for one in first]
            rows.append(np.concatenate([*others[:j], points, *others[j + 1 :]], axis=1))
        return _distinct(np.concatenate(rows))[:_MOST_ANCHORS]

    def spec(self) -> str:
        return "*".join(factor.spec() for factor in self.factors)


def dimension(dim: Any, name: str) -> int:
    """The dimension of a domain as an integer, >= 1."""
    try:
        value = dim.__index__()
    except AttributeError:
        raise TypeError(f"expected {name}(dim) to be an integer, got {dim!r}") from None
    if value < 1:
        raise ValueError(f"expected {name}(dim) >= 1, got {value}")
    return value


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"expected {name} to be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"expected {name} to be finite, got {number}")
    return number


def _vector(value: Any, name: str) -> tuple[float, ...]:
    array = to_numpy(real_array(value, name)).astype(np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected {name} of shape (d,), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite {name}, got {array.tolist()}")
    return tuple(array.tolist())


def _normalised(rows: np.ndarray) -> np.ndarray:
    # Scaled first: the squares of tiny or huge coordinates leave the range.
    largest = np.maximum.reduce(np.abs(rows), axis=1, keepdims=True)
    if np.count_nonzero(largest) < len(rows):
        first = np.eye(1, rows.shape[1])
        rows, largest = np.where(largest == 0, first, rows), np.where(largest == 0, 1.0, largest)
    rows = rows / largest
    return rows / _norms(rows)


def _norms(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.add.reduce(rows * rows, axis=1, keepdims=True))


def _directions(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    return _normalised(rng.standard_normal((n, dim)))


def _distinct(rows: np.ndarray) -> np.ndarray:
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]
