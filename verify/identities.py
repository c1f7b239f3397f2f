"""Identities that every solution of a Vlasov equation satisfies, evaluated on a candidate flow.

They are evidence, not verdicts: each number is a defect, near zero for a solution, relative to what
it is a defect of. What refutes is in `solving`.

Source: docs/mathematics.md, section 9; docs/flows.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numeric import AbstractDomain, BoundField, DiscreteMeasure, Sphere, integrate, wasserstein
from ..proofs_checks import Growth, growth
from .noise import Noise
from .subject import Atoms, Clock, OutOfTime, Undefined

STEPS = 64
NODES = 10
ENGINE = "numpy"  # needs no compilation, and the measures are small


@dataclass(frozen=True, slots=True)
class Solution:
    """A candidate: `flow(points, weights, time, steps)`, `velocity(points, weights, x)`, the field
    as it was given, the domain and the horizon."""

    flow: Callable[..., np.ndarray]
    velocity: Callable[..., np.ndarray]
    field: Any
    domain: AbstractDomain
    time: float

    @property
    def symbolic(self) -> bool:
        return isinstance(self.field, BoundField)


def identities(solution: Solution, atoms: Atoms, noise: Noise, clock: Clock) -> dict[str, Any]:
    """The defects of the identities that the time allows, by name."""
    found: dict[str, Any] = {}
    for name, check in CHECKS.items():
        if clock.left <= SLOW.get(name, 0.0):
            continue
        try:
            value = check(solution, atoms, noise)
        except (Undefined, ValueError, OutOfTime):
            continue  # an identity that cannot be evaluated says nothing
        if value is not None:
            found |= value if isinstance(value, dict) else {name: value}
    return found


# ---- the weak form


def weak_residual(solution: Solution, atoms: Atoms, noise: Noise) -> dict[str, Any]:
    """`|<phi, mu_T> - <phi, mu_0> - int_0^T <grad phi . V(mu_t), mu_t> dt|`, the largest over phi.

    The test functions are waves at three scales, bumps about atoms, coordinates and squares, each
    with slopes of about one; time is integrated by Gauss-Legendre on the candidate's trajectory.
    The rate is the base-two logarithm by which the residual falls when the steps double.
    """
    tests = _test_functions(atoms[0], solution.domain.scale)
    residuals = [_residuals(solution, atoms, steps, tests).max() for steps in (STEPS // 2, STEPS)]
    floor = 100 * noise.value
    rate = np.log2(residuals[0] / residuals[1]) if residuals[1] > floor else None
    return {
        "weak residual": float(residuals[1]),
        "weak residual, rate": None if rate is None else float(rate),
        "test functions": tests[0](atoms[0])[0].shape[1],
    }


Family = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def _test_functions(points: np.ndarray, scale: float) -> list[Family]:
    """A list of one family: values (n, k) and gradients (n, k, d) of k functions."""
    rng = np.random.default_rng(15)
    d, unit = points.shape[1], max(scale, 1e-300)
    waves = np.concatenate([rng.normal(size=(4, d)) * s / unit for s in (0.5, 2.0, 6.0)])
    phases = rng.uniform(0, 2 * np.pi, size=len(waves))
    sizes = np.linalg.norm(waves, axis=1)
    centres = points[: min(4, len(points))]

    def family(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        angle = x @ waves.T + phases
        away = (x[:, None] - centres) / (0.5 * unit)
        bumps = np.exp(-np.sum(away**2, axis=2) / 2) * unit / 2
        n = len(x)
        values = [np.sin(angle) / sizes, bumps, x, x**2 / (2 * unit)]
        slopes = [
            np.cos(angle)[:, :, None] * (waves / sizes[:, None]),
            -bumps[:, :, None] * away / (0.5 * unit),
            np.broadcast_to(np.eye(d), (n, d, d)),
            np.eye(d) * x[:, :, None] / unit,
        ]
        return np.concatenate(values, axis=1), np.concatenate(slopes, axis=1)

    return [family]


def _residuals(solution: Solution, atoms: Atoms, steps: int, tests: list[Family]) -> np.ndarray:
    (family,) = tests
    points, weights = atoms
    change = 0.0
    for _, factor, at in _along(solution, atoms, steps):
        speed = _tangent(solution, at, solution.velocity(at, weights, at))
        change = change + factor * np.einsum("n,nkd,nd->k", weights, family(at)[1], speed)
    end = solution.flow(points, weights, solution.time, steps)
    return np.abs(weights @ (family(end)[0] - family(points)[0]) - change)


def _along(
    solution: Solution, atoms: Atoms, steps: int
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Times, weights and states of Gauss-Legendre quadrature over the candidate's trajectory."""
    nodes, factors = np.polynomial.legendre.leggauss(NODES)
    for node, factor in zip(nodes, factors, strict=True):
        time = 0.5 * solution.time * (node + 1)
        count = max(1, round(steps * time / solution.time))
        yield time, 0.5 * solution.time * factor, solution.flow(*atoms, float(time), count)


def _tangent(solution: Solution, at: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """The velocity, without its normal part where the candidate keeps to the sphere."""
    if isinstance(solution.domain, Sphere) and np.abs(np.sum(at**2, axis=1) - 1).max() < 1e-9:
        return speed - np.sum(speed * at, axis=1, keepdims=True) * at
    return speed


# ---- semigroup, reversal, symmetries


def semigroup(solution: Solution, atoms: Atoms, noise: Noise) -> float:
    """`|f_{T/2} f_{T/2} - f_T|` over the displacement."""
    points, weights = atoms
    half = solution.flow(points, weights, solution.time / 2, STEPS // 2)
    twice = solution.flow(half, weights, solution.time / 2, STEPS // 2)
    whole = solution.flow(points, weights, solution.time, STEPS)
    return _relative(twice - whole, whole - points, solution)


def reversal(solution: Solution, atoms: Atoms, noise: Noise) -> float | None:
    """How far the equation, solved backwards from the image, misses the start; symbolic fields."""
    if not solution.symbolic:
        return None
    points, weights = atoms
    image = solution.flow(points, weights, solution.time, STEPS)
    sphere = solution.domain if isinstance(solution.domain, Sphere) else None
    if sphere is not None and not sphere.contains(image, 1e-9).all():
        sphere = None
    back = integrate(solution.velocity, image, weights, -solution.time, 32, "dopri5", domain=sphere)
    return _relative(back - points, image - points, solution)


def equivariance(solution: Solution, atoms: Atoms, noise: Noise) -> dict[str, Any] | None:
    """The symmetries that the field was found to have, and how far the flow breaks them."""
    points, weights = atoms
    whole = solution.flow(points, weights, solution.time, STEPS)
    speed = solution.velocity(points, weights, points)
    size = max(float(np.abs(speed).max()), 1e-300)
    names, worst = [], 0.0
    for name, turn, shift in _symmetries(points.shape[1], solution.domain):
        moved = points @ turn.T + shift
        if np.abs(solution.velocity(moved, weights, moved) - speed @ turn.T).max() > 1e-10 * size:
            continue
        image = solution.flow(moved, weights, solution.time, STEPS)
        names.append(name)
        worst = max(worst, _relative(image - whole @ turn.T - shift, whole - points, solution))
    return {"symmetries": names, "equivariance": worst} if names else None


def _symmetries(d: int, domain: AbstractDomain) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(16)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    rotation[:, 0] *= np.sign(np.linalg.det(rotation))
    none = np.zeros(d)
    yield "reflection in the origin", -np.eye(d), none
    if d > 1:
        yield "rotations", rotation, none
        yield "exchange of coordinates", np.eye(d)[::-1], none
    if not isinstance(domain, Sphere):
        yield "translations", np.eye(d), 0.1 * domain.scale * rng.normal(size=d)


# ---- derivatives


def volume(solution: Solution, atoms: Atoms, noise: Noise) -> float:
    """`|log det D_x X - int_0^T div V dt|` at points without mass, by differences."""
    if isinstance(solution.domain, Sphere):
        raise ValueError("a volume on the sphere is not taken by differences")
    points, weights = atoms
    d, h = points.shape[1], 1e-4 * solution.domain.diameter
    x = solution.domain.project(points[:3] + 0.1 * solution.domain.scale)
    crosses = np.concatenate([x + s * h * e for e in np.eye(d) for s in (1, -1)])
    carried = (
        np.concatenate([points, x, crosses]),
        np.append(weights, np.zeros(len(x) * (1 + 2 * d))),
    )
    end = solution.flow(*carried, solution.time, STEPS)[len(points) + len(x) :]
    sides = end.reshape(d, 2, len(x), d)
    jacobian = np.moveaxis((sides[:, 0] - sides[:, 1]) / (2 * h), 0, 2)
    growth = 0.0
    for _, factor, at in _along(solution, carried, STEPS):
        growth = growth + factor * _divergence(solution, at, weights, len(points), len(x), h)
    return float(np.abs(np.linalg.slogdet(jacobian)[1] - growth).max())


def _divergence(
    solution: Solution, at: np.ndarray, weights: np.ndarray, n: int, m: int, h: float
) -> np.ndarray:
    x, total = at[n : n + m], np.zeros(m)
    for i, e in enumerate(np.eye(at.shape[1])):
        there, back = (solution.velocity(at[:n], weights, x + s * h * e) for s in (1, -1))
        total = total + (there - back)[:, i] / (2 * h)
    return total


def linearised(solution: Solution, atoms: Atoms, noise: Noise) -> float | None:
    """The response to a small mass at a new point against the linearised equation; symbolic fields.

    Relative to the size of the response.
    """
    if not solution.symbolic or isinstance(solution.domain, Sphere):
        return None
    points, weights = atoms
    z = solution.domain.project(-points[:1] + 0.2 * solution.domain.scale)
    want = solution.field.flow_derivatives(
        points, weights, solution.time, z=z, engine=ENGINE
    ).in_measure[:, 0]
    h = max(1e-4, (noise.value / max(noise.scale, 1e-300)) ** (1 / 3))
    ends = [
        solution.flow(np.concatenate([points, z]), np.append(weights, c), solution.time, 4 * STEPS)
        for c in (0.0, h, 2 * h)
    ]
    got = (4 * ends[1] - 3 * ends[0] - ends[2])[: len(points)] / (2 * h)
    size = float(np.abs(want).max())
    return float(np.abs(got - want).max() / size) if size > 1e-9 else None


# ---- quantities


def conservation(solution: Solution, atoms: Atoms, noise: Noise) -> dict[str, Any] | None:
    """The drift of what the tool decides to be conserved, over the scale; symbolic fields."""
    if not solution.symbolic:
        return None
    points, weights = atoms
    equation = solution.field.map.vlasov()
    image = solution.flow(points, weights, solution.time, STEPS)
    drifts = {
        "mean": lambda: np.abs(weights @ image - weights @ points).max(),
        "second moment": lambda: abs(weights @ np.sum(image**2 - points**2, axis=1)),
    }
    kept = [name for name in drifts if equation.conserves(name).verdict == "conserved"]
    scale = max(solution.domain.scale, 1e-300)
    found = {name: float(drifts[name]()) / scale for name in kept}
    return {"conserved quantities, drift": found} if found else None


def energy(solution: Solution, atoms: Atoms, noise: Noise) -> dict[str, Any] | None:
    """For a gradient field: `|E(mu_T) - E(mu_0) - int_0^T dE/dt|` over the change of E."""
    if not solution.symbolic:
        return None
    formula, sphere = solution.field.map, isinstance(solution.domain, Sphere)
    symmetric = [p for p in formula.parameters if _is_symmetric(solution.field, p.name)]
    found = formula.vlasov().gradient(symmetric=symmetric, sphere=sphere)
    if found.energy is None:
        return None
    values = solution.field.parameters
    rate = formula.vlasov().rate(found.energy).bind(**values)
    level = formula._derived("energy", found.energy, (), formula.parameters).bind(**values)
    points, weights = atoms
    change = 0.0
    for _, factor, at in _along(solution, atoms, STEPS):
        change += factor * _scalar(rate, at, weights)
    end = solution.flow(points, weights, solution.time, STEPS)
    fall = _scalar(level, end, weights) - _scalar(level, points, weights)
    if abs(fall) < 1e-12:
        return None
    return {"energy": str(found.energy), "energy identity": abs(fall - change) / abs(fall)}


def _scalar(term: Any, points: np.ndarray, weights: np.ndarray) -> float:
    return float(np.asarray(term(points, weights, points[:1], engine=ENGINE)).ravel()[0])


def _is_symmetric(field: Any, name: str) -> bool:
    value = np.asarray(field.parameters[name])
    return value.ndim == 2 and value.shape[0] == value.shape[1] and bool((value == value.T).all())


def stability(solution: Solution, atoms: Atoms, noise: Noise) -> dict[str, Any]:
    """`log(W1(mu_T, nu_T) / W1(mu_0, nu_0)) / T` for a measure nearby, the largest of a few.

    For a symbolic field also the largest `|D_x V| + |D_mu V|` along the trajectory, which bounds it
    for measures close enough. Both are measured; what is proved is in `proved_growth`.
    """
    points, weights = atoms
    rng = np.random.default_rng(17)
    end = DiscreteMeasure(solution.flow(points, weights, solution.time, STEPS), weights)
    rates = []
    for _ in range(4):
        step = 1e-3 * solution.domain.diameter * rng.normal(size=points.shape)
        near = solution.domain.project(points + step)
        before = float(
            wasserstein(DiscreteMeasure(points, weights), DiscreteMeasure(near, weights))
        )
        image = DiscreteMeasure(solution.flow(near, weights, solution.time, STEPS), weights)
        after = float(wasserstein(end, image))
        rates.append(np.log(max(after, 1e-300) / before) / solution.time)
    found: dict[str, Any] = {"growth of distances, measured": float(max(rates))}
    if solution.symbolic:
        found["slopes along the trajectory, measured"] = _slopes(solution, atoms)
    return found


def proved_growth(solution: Solution, atoms: Atoms, noise: Noise) -> dict[str, Any] | None:
    """A proved rate L with `W1(mu_t, nu_t) <= e^{L T} W1(mu_0, nu_0)` for all measures on the
    domain and t up to the horizon T; symbolic fields for which a proof is found."""
    if not solution.symbolic:
        return None
    found = growth(
        solution.field.map, solution.field.parameters, solution.domain, solution.time,
        slices=2, parts=4,
    )  # fmt: skip
    return {"growth of distances, proved": found.rate} if isinstance(found, Growth) else None


def _slopes(solution: Solution, atoms: Atoms) -> float:
    formula, values = solution.field.map, solution.field.parameters
    names = {point.name for point in (formula.x, *formula.points)}
    z = type(formula.x)(next(name for name in ("z", "w", "z'") if name not in names))
    slope = formula.jacobian().bind(**values)
    pull = formula.lions_derivative(z).bind(**values)
    worst = 0.0
    for _, _, at in _along(solution, atoms, STEPS):
        one = np.linalg.norm(slope(at, atoms[1], at, engine=ENGINE), 2, axis=(1, 2)).max()
        other = np.linalg.norm(
            pull(at, atoms[1], at, engine=ENGINE, **{z.name: at}), 2, axis=(2, 3)
        ).max()
        worst = max(worst, float(one + other))
    return worst


def _relative(defect: np.ndarray, displacement: np.ndarray, solution: Solution) -> float:
    moved = float(np.abs(displacement).max())
    return float(np.abs(defect).max() / max(moved, 1e-9 * solution.domain.diameter))


CHECKS: dict[str, Callable[[Solution, Atoms, Noise], Any]] = {
    "weak residual": weak_residual,
    "semigroup": semigroup,
    "equivariance": equivariance,
    "stability": stability,
    "volume": volume,
    "reversal": reversal,
    "conservation": conservation,
    "linearised equation": linearised,
    "energy": energy,
    "proved growth": proved_growth,
}
SLOW = {"proved growth": 4.0}
"""Seconds that must be left for a check to begin."""
