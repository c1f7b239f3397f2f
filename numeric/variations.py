"""What is integrated along a flow: its Jacobian, volume, linearisation, derivative in the measure.

With `X_t(mu, x)` the flow of V, and all derivatives at the moving measure and points,

    d/dt D_x X  = D_x V  D_x X
    d/dt log det D_x X = div V,     log rho_t(X_t) = log rho_0 - log det D_x X
    d/dt Y(x)   = D_x V(x) Y(x) + int D_mu V(x)(y) Y(y) mu(dy) + int dV/dm(x)(y) chi(dy)

where Y is the derivative of `X_t(mu, x)` as the points move along `Y_0` and the measure changes by
the signed measure chi. With `Y_0 = 0` and `chi = delta_z` it is the flat derivative of the flow.

Source: Carmona & Delarue (2018), vol. I, ch. 5; docs/mathematics.md, section 9.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import integrators
from .arrays import real_array, to_numpy
from .charts import Blocks, Round, space_of
from .domains import AbstractDomain
from .integrators import Position
from .measures import DiscreteMeasure


@dataclass(frozen=True, slots=True)
class FlowDerivatives:
    """A flow at a time and its derivatives; rows are the n atoms, then the m passive points.

    `points` (n, d) and `x` (m, d) or None are where they are. `jacobian` is (n + m, d, d), the
    derivative in the point alone. `log_volume` (n + m,) is its log determinant, on a sphere that of
    its tangent part. `in_measure` (n + m, k, d) is the flat derivative on positive measures at the
    k points z, the response to a small mass there. `displacement` (n + m, d) answers the initial
    displacement. What was not asked for is None.
    """

    points: np.ndarray
    x: np.ndarray | None
    jacobian: np.ndarray
    log_volume: np.ndarray
    in_measure: np.ndarray | None
    displacement: np.ndarray | None

    def log_density(self, initial: Any) -> np.ndarray:
        """`log rho_t` at the moved points, from `log rho_0` (n + m,) at the initial ones."""
        return np.asarray(initial, dtype=float) - self.log_volume


def flow_derivatives(
    field: Any,
    points: Any,
    weights: Any,
    time: float,
    *,
    x: Any = None,
    z: Any = None,
    displacement: Any = None,
    domain: AbstractDomain | None = None,
    steps: int = 100,
    method: str = "dopri5",
    engine: str = "auto",
    rtol: float = 1e-9,
    atol: float = 1e-11,
) -> FlowDerivatives:
    """The flow of a bound field with its derivatives, integrated along it by one method.

    Args:
        field: a bound symbolic velocity field; its derivatives are taken symbolically.
        points, weights: (n, d), (n,) the particles; None weighs each 1/n.
        time: how long to go; negative goes backwards.
        x: (m, d) passive points.
        z: (k, d) points where mass may arrive, for `in_measure`.
        displacement: (n + m, d) initial velocities of displacement of the atoms and the passive
            points, or (n, d) of the atoms alone.
        domain: a `Sphere` or a product with spheres, for the volume there; the field must be
            tangent, and is followed in the surrounding space.
        steps, method, engine, rtol, atol: as for `integrate`; the tolerance holds for all that is
            integrated. With z or a displacement each step takes n (n + m) matrices (d, d).

    Returns:
        `FlowDerivatives`, float64, accurate to the method.

    Raises:
        ValueError: as for a flow; shapes that do not fit.

    The distance to the mean shrinks by exp(-t), and with it the volume:

    >>> from pushforward.symbolic.library import consensus
    >>> got = flow_derivatives(consensus().bind(), [[-1.0], [1.0]], None, 1.0, z=[[5.0]])
    >>> got.jacobian.round(6).ravel().tolist(), got.log_volume.round(6).tolist()
    ([0.367879, 0.367879], [-1.0, -1.0])
    """
    from .flows import _check

    _check(time, steps, method, rtol, atol)
    mu = DiscreteMeasure(_rows(points, "points", None), weights)
    dim = mu.dim
    passive = np.zeros((0, dim)) if x is None else _rows(x, "x", dim)
    probes = np.zeros((0, dim)) if z is None else _rows(z, "z", dim)
    system = _System(
        _derivatives(field), np.asarray(mu.points), np.asarray(mu.weights), passive, probes,
        _displacement(displacement, len(mu), len(passive), dim), space_of(domain, dim), engine,
    )  # fmt: skip
    end = _solve(system, float(time), steps, method, rtol, atol)
    moved, jacobian, volume, in_measure, pushed = system.parts(end)
    n, q = len(mu), len(mu) + len(passive)
    return FlowDerivatives(
        moved[:n],
        None if x is None else moved[n:q],
        jacobian,
        volume,
        None if z is None else np.swapaxes(in_measure, 1, 2),
        None if displacement is None else pushed[:, :, 0],
    )


def _rows(value: Any, name: str, dim: int | None) -> np.ndarray:
    rows = to_numpy(real_array(value, name)).astype(np.float64)
    rows = rows[None, :] if rows.ndim == 1 and dim is not None else rows
    if rows.ndim != 2 or (dim is not None and rows.shape[1] != dim):
        raise ValueError(f"expected {name} of shape (n, {dim or 'd'}), got {rows.shape}")
    return rows


def _displacement(value: Any, n: int, m: int, dim: int) -> np.ndarray:
    if value is None:
        return np.zeros((n + m, dim, 0))
    rows = _rows(value, "displacement", dim)
    if len(rows) == n:
        rows = np.concatenate([rows, np.zeros((m, dim))])
    if len(rows) != n + m:
        raise ValueError(f"expected displacement of shape ({n + m}, {dim}), got {rows.shape}")
    return rows[:, :, None]


def _derivatives(field: Any) -> tuple:
    """The field, its Jacobian, its Lions and its flat derivative, bound to the same parameters."""
    formula = getattr(field, "map", None)
    if formula is None or not hasattr(formula, "lions_derivative"):
        raise ValueError(
            f"expected a bound symbolic velocity field, got {type(field).__name__}; derivatives "
            "of a plain function are not known"
        )
    names = {point.name for point in (formula.x, *formula.points)}
    point = type(formula.x)(next(name for name in ("z", "w", "z'") if name not in names))
    derived = (formula.jacobian(), formula.lions_derivative(point), formula.flat_derivative(point))
    return field, *(term.bind(**field.parameters) for term in derived), point.name


@dataclass(frozen=True, slots=True)
class _System:
    """The flow and its linear equations as one ordinary differential equation.

    Its state is one vector: positions of atoms, passive points and probes; Jacobians; log volumes;
    the responses to the probes and to the displacement, as columns of (n + m, d, columns).
    """

    derivatives: tuple
    atoms: np.ndarray
    weights: np.ndarray
    passive: np.ndarray
    probes: np.ndarray
    pushed: np.ndarray
    space: Any
    engine: str

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        n, m, k, d = len(self.atoms), len(self.passive), len(self.probes), self.atoms.shape[1]
        q = n + m
        return (q + k, d), (q, d, d), (q,), (q, d, k), (q, d, self.pushed.shape[2])

    def start(self) -> np.ndarray:
        where, jacobian, volume, response, _ = self.shapes
        identity = np.broadcast_to(np.eye(where[1]), jacobian)
        positions = np.concatenate([self.atoms, self.passive, self.probes])
        parts = (positions, identity, np.zeros(volume), np.zeros(response), self.pushed)
        return np.concatenate([part.ravel() for part in parts])

    def parts(self, state: np.ndarray) -> list[np.ndarray]:
        cuts = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        pieces = np.split(state, cuts)
        return [piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def rate(self, t: float, state: np.ndarray) -> np.ndarray:
        field, gradient, lions, flat, name = self.derivatives
        where, jacobian, _, response, pushed = self.parts(state)
        n, q = len(self.atoms), len(self.atoms) + len(self.passive)
        atoms, seen = where[:n], where[:q]
        options: dict[str, Any] = dict.fromkeys(field._time_name, t) | {"engine": self.engine}
        slope = gradient(atoms, self.weights, seen, **options)
        both = np.concatenate([response, pushed], axis=2)
        change = slope @ both
        if both.shape[2]:
            pull = lions(atoms, self.weights, seen, **options, **{name: atoms})
            change = change + np.einsum("j,qjab,jbk->qak", self.weights, pull, both[:n])
        if len(self.probes):
            arriving = flat(atoms, self.weights, seen, **options, **{name: where[q:]})
            change[:, :, : len(self.probes)] += np.swapaxes(arriving, 1, 2)
        parts = (
            field(atoms, self.weights, where, **options),
            slope @ jacobian,
            _divergence(slope, seen, self.space),
            change[:, :, : len(self.probes)],
            change[:, :, len(self.probes) :],
        )
        return np.concatenate([np.asarray(part).ravel() for part in parts])


def _divergence(slope: np.ndarray, at: np.ndarray, space: Any) -> np.ndarray:
    """The trace of the slope, without the normal direction of each sphere."""
    total = np.trace(slope, axis1=1, axis2=2)
    spheres = [(0, at.shape[1])] if isinstance(space, Round) else []
    if isinstance(space, Blocks):
        spheres = [(a, b) for a, b, part in space.parts if isinstance(part, Round)]
    for a, b in spheres:
        normal = at[:, a:b]
        total = total - np.einsum("qi,qij,qj->q", normal, slope[:, a:b, a:b], normal)
    return total


def _solve(
    system: _System, time: float, steps: int, method: str, rtol: float, atol: float
) -> np.ndarray:
    space, h = space_of(None, 1), time / steps
    at = Position(0, 0.0, system.start(), None, h)
    if method == "dopri5":
        while at.t != time:
            at, _ = integrators.dopri5(system.rate, space, at, time, rtol, atol)
        return at.state
    step = integrators.euler if method == "euler" else integrators.rk4
    state = at.state
    for k in range(steps):
        state = step(system.rate, space, k * h, state, h)
    return state
