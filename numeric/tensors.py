"""Values with more than two axes: a program contracted with directions, run once a unit vector."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .arrays import namespace
from .bound import Bound, Values


class BoundTensor(Bound):
    """A derived term of three axes or more with arrays for its parameters.

    Its map holds `directions`, pairs of a parameter and the atom that has its shape. A call sets
    each to its units in turn; the axes of the directions come last in the array that it returns.

    >>> from pushforward.symbolic import Measure, Point, SymbolicMap, norm2
    >>> x, mu = Point("x"), Measure("mu")
    >>> hessian = SymbolicMap(norm2(x) * x, x, mu).hessian().bind()
    >>> hessian([[0.0, 0.0]], None, [[1.0, 0.0]]).shape
    (1, 2, 2, 2)
    """

    def __call__(self, points: Any, weights: Any, x: Any, **more: Any) -> Any:
        """The whole array, see `Bound`; the axes of the directions come last."""
        return self._whole([part(points, weights, x, **more) for part in self._parts(x)], x)

    def evaluate(self, points: Any, weights: Any, x: Any, **more: Any) -> Values:
        """The values with a bound on their rounding errors, see `Bound`."""
        parts = [part.evaluate(points, weights, x, **more) for part in self._parts(x)]
        value = self._whole([p.value for p in parts], x)
        return Values(value, self._whole([p.bound for p in parts], x), parts[0].unknown)

    def at_precision(self, points: Any, weights: Any, x: Any, **more: Any) -> np.ndarray:
        """The values as mpmath numbers, see `Bound`."""
        parts = [part.at_precision(points, weights, x, **more) for part in self._parts(x)]
        return np.stack(parts, axis=-1).reshape((*parts[0].shape, *self._sizes(x)))

    @cached_property
    def dim_out(self) -> int | None:
        return None

    def _sizes(self, x: Any) -> tuple[int, ...]:
        return tuple(size for shape in self._unit_shapes(x).values() for size in shape)

    def _unit_shapes(self, x: Any) -> dict[str, tuple[int, ...]]:
        d = np.shape(x)[-1:]  # the query has the dimension of all points
        return {
            atom.name: tuple(self.parameters[like.name].shape)
            if like.name in self.parameters
            else d
            for atom, like in self.map.directions
        }

    def _parts(self, x: Any) -> Iterator[Bound]:
        if not hasattr(x, "shape"):
            x = np.asarray(x)
        shapes = self._unit_shapes(x)
        sizes = [size for shape in shapes.values() for size in shape]
        for place in np.ndindex(*sizes):
            values: dict[str, Any] = {}
            start = 0
            for name, shape in shapes.items():
                values[name] = np.zeros(shape)
                values[name][place[start : start + len(shape)]] = 1.0
                start += len(shape)
            yield Bound(self.map, {**self.parameters, **values}, self.program)

    def _whole(self, parts: list, x: Any) -> Any:
        xp = namespace(parts[0])
        stacked = xp.stack(parts, axis=-1)
        return xp.reshape(stacked, (*tuple(parts[0].shape), *self._sizes(x)))


@dataclass(frozen=True, eq=False)
class BoundTokenJacobian:
    """The Jacobian of all images in all tokens, with arrays for the parameters.

    >>> from pushforward.symbolic import Measure, Point, SymbolicMap, integral
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> mean = SymbolicMap(integral(y, y, mu), x, mu).token_jacobian().bind()
    >>> mean([[0.0], [1.0]], [0.25, 0.75])[:, 0, :, 0].tolist()
    [[0.25, 0.75], [0.25, 0.75]]
    """

    jacobian: Bound
    lions: Bound

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The arrays by name."""
        return self.jacobian.parameters

    def __call__(
        self,
        points: Any,
        weights: Any = None,
        *,
        engine: str = "auto",
        dtype: Any = None,
        **measures: Any,
    ) -> Any:
        """`delta_ij D_x G(mu, x_i) + a_j D_mu G(mu, x_i)(x_j)`.

        Args:
            points: (n, d) the tokens.
            weights: (n,) their weights a_j, each 1/n by default.
            engine, dtype: as for a call of `Bound`.
            measures: further measures that the map reads, by their names.

        Returns:
            (n, d', n, d): [i, a, j, b] is the derivative of `G_a(mu, x_i)` in `x_{j, b}`.
        """
        z = self.lions.point_names[1]
        options = {"engine": engine, "dtype": dtype, **measures}
        at_point = self.jacobian(points, weights, points, **options)
        in_measure = self.lions(points, weights, points, **options, **{z: points})
        xp = namespace(at_point)
        n = at_point.shape[0]
        given = xp.ones(n) / n if weights is None else xp.asarray(weights)
        a = xp.astype(given, at_point.dtype)
        same = xp.eye(n, dtype=at_point.dtype)
        blocks = same[:, :, None, None] * at_point[:, None] + a[None, :, None, None] * in_measure
        return xp.permute_dims(blocks, (0, 2, 1, 3))
