"""Enclosures of vectors and matrices, and of the domains that points range over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, singledispatch
from typing import Any

from flint import arb, arb_mat

from ..numeric import AbstractDomain, Ball, Box, FiniteSet, Product, Simplex, Sphere
from .interval import Interval, Unbounded, enclosing, hull, symmetric, total

_LARGE = 64  # above this dimension products of matrices are spared
ZERO, ONE = Interval(arb(0), arb(0)), Interval(arb(1), arb(1))


@dataclass(frozen=True, slots=True, eq=False)
class VectorRange:
    """A set of vectors: those with components and a norm in these intervals.

    Args:
        components: an interval for each component.
        norm: an interval for the Euclidean norm.
        blocks: (start, stop, norm) of parts whose norm is known better.
        domain: where the set is the part of a domain within `components`.
    """

    components: tuple[Interval, ...]
    norm: Interval
    blocks: tuple[tuple[int, int, Interval], ...] = ()
    domain: AbstractDomain | None = None

    def __len__(self) -> int:
        return len(self.components)

    def __contains__(self, point: Sequence[float]) -> bool:
        pairs = zip(self.components, point, strict=True)
        size = norm_of([Interval.number(value) for value in point])
        return all(i.contains(value) for i, value in pairs) and self.norm.meet(size) is not None

    def split(self) -> tuple["VectorRange", ...]:
        """Smaller sets that cover this one: its widest component is halved."""
        widths = [interval.width for interval in self.components]
        widest = widths.index(max(widths))
        parts = []
        for half in self.components[widest].halves():
            box = (*self.components[:widest], half, *self.components[widest + 1 :])
            part = within(box, self.norm) if self.domain is None else region(self.domain, box)
            if part is not None:
                parts.append(part)
        return tuple(parts)


def norm_of(components: Iterable[Interval]) -> Interval:
    """The Euclidean norm of vectors with these components."""
    return total(interval.power(2) for interval in components).sqrt()


def vector_range(components: Iterable[Interval], *norms: Interval) -> VectorRange:
    """The vectors with these components whose norm lies in all of the intervals."""
    found = within(tuple(components), *norms)
    if found is None:
        raise Unbounded("enclosures of one vector are disjoint")
    return found


def within(components: tuple[Interval, ...], *norms: Interval) -> VectorRange | None:
    """The same, or None where there are no such vectors."""
    norm: Interval | None = norm_of(components)
    for other in norms:
        norm = norm and norm.meet(other)
    if norm is None:
        return None
    ball = symmetric(norm.upper)
    cut = [interval.meet(ball) for interval in components]
    return VectorRange(tuple(i for i in cut if i), norm) if all(cut) else None


def hull_of_range(vectors: VectorRange) -> VectorRange:
    """The means of such vectors: a norm bound from above survives, one from below does not."""
    return vector_range(vectors.components, Interval(arb(0), vectors.norm.upper))


def union(vectors: Sequence[VectorRange]) -> VectorRange:
    """A set around several."""
    columns = zip(*(v.components for v in vectors), strict=True)
    return vector_range(map(hull, columns), hull(v.norm for v in vectors))


# ---- domains


@singledispatch
def region(domain: Any, box: tuple[Interval, ...] | None = None) -> VectorRange | None:
    """The part of a domain within a box, all of it by default; None where that is empty."""
    raise TypeError(f"expected a domain, got {type(domain).__name__}")


def _part(domain: AbstractDomain, box: tuple | None, whole: Iterable, *norms: Interval) -> Any:
    components = tuple(whole)
    if box is not None:
        cut = [a.meet(b) for a, b in zip(components, box, strict=True)]
        if not all(cut):
            return None
        components = tuple(i for i in cut if i)
    found = within(components, *norms)
    return found and VectorRange(found.components, found.norm, (), domain)


@region.register
def _(domain: Box, box: tuple | None = None) -> VectorRange | None:
    ends = zip(domain.lower, domain.upper, strict=True)
    return _part(domain, box, [Interval(arb(low), arb(high)) for low, high in ends])


@region.register
def _(domain: Ball, box: tuple | None = None) -> VectorRange | None:
    centre, radius = [Interval.number(c) for c in domain.center], Interval.number(domain.radius)
    whole = [Interval.between(c - radius, c + radius) for c in centre]
    if box is not None and norm_of(b - c for b, c in zip(box, centre, strict=True)).lower > (
        radius.upper
    ):
        return None
    away = norm_of(centre)
    nearest = max((away - radius).lower, arb(0))
    return _part(domain, box, whole, Interval(nearest, (away + radius).upper))


@region.register
def _(domain: Sphere, box: tuple | None = None) -> VectorRange | None:
    return _part(domain, box, [Interval(arb(-1), arb(1))] * domain.dim, ONE)


@region.register
def _(domain: Simplex, box: tuple | None = None) -> VectorRange | None:
    if box is not None and total(box).meet(ONE) is None:
        return None
    least = (ONE / Interval.number(domain.dim)).sqrt()
    whole = [Interval.between(ZERO, ONE)] * domain.dim
    return _part(domain, box, whole, Interval.between(least, ONE))


@region.register
def _(domain: FiniteSet, box: tuple | None = None) -> VectorRange | None:
    points = [[Interval.number(c) for c in point] for point in domain.points]
    if box is not None:
        points = [p for p in points if all(a.meet(b) for a, b in zip(p, box, strict=True))]
    if not points:
        return None
    whole = [hull(column) for column in zip(*points, strict=True)]
    return _part(domain, None, whole, hull(map(norm_of, points)))


@region.register
def _(domain: Product, box: tuple | None = None) -> VectorRange | None:
    parts, blocks, start = [], [], 0
    for factor in domain.factors:
        stop = start + factor.dim
        part = region(factor, box and box[start:stop])
        if part is None:
            return None
        parts.append(part)
        blocks.append((start, stop, part.norm))
        start = stop
    components = tuple(c for part in parts for c in part.components)
    norm = norm_of(part.norm for part in parts)
    return VectorRange(components, norm, tuple(blocks), domain)


# ---- matrices


@dataclass(frozen=True, eq=False)
class MatrixRange:
    """A set of matrices: those with entries within `radius` of `center`.

    Args:
        center: midpoints or balls.
        radius: bounds of the distance of each entry, or None for zero.
        bound: a bound of the operator norm that is known otherwise.
    """

    center: arb_mat
    radius: arb_mat | None = None
    bound: arb | None = field(default=None)

    @property
    def shape(self) -> tuple[int, int]:
        return self.center.nrows(), self.center.ncols()

    @cached_property
    def norm(self) -> arb:
        """A bound of the operator norm of all these matrices."""
        found = spectral_bound(self.center)
        if self.radius is not None:
            found = (found + _frobenius(self.radius)).upper()
        return found if self.bound is None else min(found, self.bound)

    @cached_property
    def least(self) -> arb:
        """A bound from below of `|M u|` over unit vectors u; zero where none is found."""
        rows, columns = self.shape
        if self.radius is not None or rows < columns or columns > _LARGE:
            return arb(0)
        try:
            gram = self.center.transpose() * self.center
            inverse = spectral_bound(gram.inv())
        except ZeroDivisionError:
            return arb(0)
        return (1 / inverse).sqrt().lower() if inverse > 0 else arb(0)

    def entry(self, i: int, j: int) -> Interval:
        found = enclosing(self.center[i, j])
        return found if self.radius is None else found + symmetric(self.radius[i, j])

    def transposed(self) -> "MatrixRange":
        radius = None if self.radius is None else self.radius.transpose()
        return MatrixRange(self.center.transpose(), radius, self.bound)


def spectral_bound(matrix: arb_mat, squarings: int = 5) -> arb:
    """A bound of the operator norm.

    `|M|^2 = |M^T M|`, and `|S|^k = |S^k| <= min(|S^k|_F, |S^k|_inf)` for a symmetric S.
    """
    if max(matrix.nrows(), matrix.ncols()) > _LARGE:
        squarings = 1
    power, root = matrix.transpose() * matrix, arb(1)
    for _ in range(squarings):
        size = _frobenius(power)
        if not size > 0:
            return arb(0)
        power = power / size.mid()
        power, root = power * power, root * size.mid().root(1 << (_ + 1))
    last = min(_frobenius(power), _row_sum(power))
    return (root * last.root(1 << (squarings + 1))).upper()


def _frobenius(matrix: arb_mat) -> arb:
    row = arb_mat(1, matrix.nrows() * matrix.ncols(), matrix.entries())
    return (row * row.transpose())[0, 0].sqrt().upper()


def _row_sum(matrix: arb_mat) -> arb:
    """The largest sum of absolute values in a row, the norm as a map of the maximum norm."""
    columns = range(matrix.ncols())
    return max(
        sum((abs(matrix[i, j]) for j in columns), arb(0)).upper() for i in range(matrix.nrows())
    )
