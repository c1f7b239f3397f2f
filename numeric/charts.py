"""Local coordinates on the spaces that flows live in, so that steps never leave them.

A step of a method starts at a point x and runs in coordinates u about it, with u = 0 at x. On a
vector space `y = x + u`. On the unit sphere u is tangent at x and

    y = ((1 - |u|^2 / 4) x + u) / (1 + |u|^2 / 4),

the stereographic projection from -x, which is the Cayley transform of a rotation generator of rank
two applied to x. In coordinates the equation is an ordinary smooth one, so a method keeps its
order, every stage and every step lies on the sphere, and only the velocity there is asked for.

Source: Hairer, Lubich & Wanner (2006), Geometric Numerical Integration, IV.5.3 and IV.8.
"""

from dataclasses import dataclass
from typing import Any

from .arrays import namespace
from .domains import AbstractDomain, Product, Sphere


@dataclass(frozen=True, slots=True)
class Flat:
    """Coordinates on a vector space: the difference of two points."""

    def move(self, x: Any, u: Any) -> Any:
        """The points with coordinates u about x; all are (n, d)."""
        return x + u

    def pull(self, x: Any, y: Any, velocity: Any) -> Any:
        """The rate of the coordinates about x of a point that is at y with this velocity."""
        return velocity

    def nearest(self, points: Any) -> Any:
        """The points, made to lie in the space exactly."""
        return points


@dataclass(frozen=True, slots=True)
class Round:
    """Stereographic coordinates on the unit sphere; the tangent part of a velocity counts."""

    def move(self, x: Any, u: Any) -> Any:
        """The points with coordinates u about x, of norm one up to the last bit."""
        square = _dot(u, u) / 4
        return self.nearest(((1 - square) * x + u) / (1 + square))

    def pull(self, x: Any, y: Any, velocity: Any) -> Any:
        """The rate of `u = 2 (y - <x, y> x) / (1 + <x, y>)`."""
        velocity = velocity - _dot(y, velocity) * y
        height, rise = _dot(x, y), _dot(x, velocity)
        side = (velocity - rise * x) - (y - height * x) * (rise / (1 + height))
        return 2 * side / (1 + height)

    def nearest(self, points: Any) -> Any:
        """The points over their norms."""
        return points / namespace(points).sqrt(_dot(points, points))


@dataclass(frozen=True, slots=True)
class Blocks:
    """The product of spaces: blocks of coordinates, `parts` of (first, behind the last, space)."""

    parts: tuple[tuple[int, int, Any], ...]

    def move(self, x: Any, u: Any) -> Any:
        """As on each factor."""
        return self._each("move", x, u)

    def pull(self, x: Any, y: Any, velocity: Any) -> Any:
        """As on each factor."""
        return self._each("pull", x, y, velocity)

    def nearest(self, points: Any) -> Any:
        """As on each factor."""
        return self._each("nearest", points)

    def _each(self, name: str, *arrays: Any) -> Any:
        blocks = [
            getattr(space, name)(*(array[..., a:b] for array in arrays))
            for a, b, space in self.parts
        ]
        return namespace(arrays[0]).concat(blocks, axis=-1)


def space_of(domain: AbstractDomain | None, dim: int) -> Any:
    """The space that a flow from points of a domain stays in: spheres stay, all else is open.

    Args:
        domain: a `Sphere`, a `Product` with spheres among its factors, or any other domain, whose
            boundary does not hold particles back; None is like R^dim.
        dim: the number of components of a point.

    Raises:
        ValueError: the domain is of another dimension.

    >>> from .domains import Ball
    >>> space_of(Product(Ball(2), Sphere(3)), 5)
    Blocks(parts=((0, 2, Flat()), (2, 5, Round())))
    """
    if domain is None:
        return Flat()
    if not isinstance(domain, AbstractDomain):
        raise ValueError(f"expected a domain such as Sphere(3), got {type(domain).__name__}")
    if domain.dim != dim:
        raise ValueError(f"expected points of dimension {domain.dim} ({domain}), got {dim}")
    if isinstance(domain, Sphere):
        return Round()
    if isinstance(domain, Product):
        return _blocks(domain)
    return Flat()


def _blocks(domain: Product) -> Any:
    parts, start = [], 0
    for factor in domain.factors:
        parts.append((start, start + factor.dim, space_of(factor, factor.dim)))
        start += factor.dim
    flat = all(isinstance(space, Flat) for _, _, space in parts)
    return Flat() if flat else Blocks(tuple(parts))


def _dot(u: Any, v: Any) -> Any:
    return namespace(u, v).sum(u * v, axis=-1, keepdims=True)
