"""Exact solutions of swarms: consensus, Cucker-Smale, oscillators, aggregation, vortices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..numeric import DiscreteMeasure
from ..symbolic import Matrix, Measure, Point, Scalar, VelocityField, integral, library, norm2
from ._exact import ExactSolution, array, solved

OWN = "docs/flows.md, exact solutions"
HA = "Ha & Liu (2009), flocking; docs/flows.md, exact solutions"


def consensus(points: Any = None, weights: Any = None, *, time: float = 1.5) -> ExactSolution:
    """Opinions that attract linearly: `x = m + (x_0 - m) e^{-t}`, of mass one.

    Args:
        points, weights: (n, d), (n,) of sum one; seven points of the plane by default.
    """
    mu = _cloud(points, weights)
    start, mean = np.asarray(mu.points), np.asarray(mu.weights) @ np.asarray(mu.points)
    return ExactSolution(
        "consensus", library.consensus().bind(), mu, time,
        lambda t: mean + (start - mean) * np.exp(-t),
        source=OWN, statement="x = m + (x_0 - m) exp(-t)",
    )  # fmt: skip


def driven_consensus(
    B: Any = ((0.1, -2.0), (2.0, 0.1)), points: Any = None, weights: Any = None,
    *, time: float = 1.5,
) -> ExactSolution:  # fmt: skip
    """Consensus with a linear drift, `x' = B x + int (y - x) mu(dy)`, of mass one.

    `x = e^{tB} (m_0 + e^{-t} (x_0 - m_0))`: the mean and the differences separate.

    Args:
        B: (d, d).
        points, weights: (n, d), (n,) of sum one.
    """
    from scipy.linalg import expm

    b, mu = array(B, 2), _cloud(points, weights)
    x, y, nu = Point("x"), Point("y"), Measure("mu")
    field = VelocityField(Matrix("B") @ x + integral(y - x, y, nu), x, nu)
    start, mean = np.asarray(mu.points), np.asarray(mu.weights) @ np.asarray(mu.points)
    return ExactSolution(
        "driven-consensus", field.bind(B=b), mu, time,
        lambda t: (mean + np.exp(-t) * (start - mean)) @ expm(t * b).T,
        source=OWN, statement="x = exp(t B) (m_0 + exp(-t) (x_0 - m_0))",
    )  # fmt: skip


def kuramoto_pair(
    coupling: float = 1.5, angles: Any = (0.3, 2.1), weights: Any = (0.3, 0.7),
    *, time: float = 2.0,
) -> ExactSolution:  # fmt: skip
    """Two oscillators: the tangent of half their difference decays like `e^{-K |mu| t}`.

    The weighted mean of the phases stays.

    Args:
        coupling: K. angles: two phases. weights: two weights.
    """
    start, a = array(angles, 1), array(weights, 1)
    mean, mass = a @ start / a.sum(), a.sum()

    def exact(t: float) -> np.ndarray:
        gap = 2 * np.arctan(np.tan((start[1] - start[0]) / 2) * np.exp(-coupling * mass * t))
        return (mean + gap * np.array([-a[1], a[0]]) / mass)[:, None]

    return ExactSolution(
        "kuramoto-pair", library.kuramoto().bind(K=coupling),
        DiscreteMeasure(start[:, None], a), time, exact,
        source=OWN, statement="tan(phi/2) = tan(phi_0/2) exp(-K |mu| t), the mean phase stays",
    )  # fmt: skip


def kuramoto_poisson(
    coupling: float = 1.0, order: float = 0.3, n: int = 128, *, time: float = 2.0
) -> ExactSolution:
    """Oscillators distributed by a Poisson kernel, whose order parameter r stays real.

    `r^2 / (1 - r^2)` grows like `e^{K t}`, and each phase moves by a Moebius map:
    `e^{i theta} = (w + r) / (1 + r w)` with w fixed. With n equal steps for w on the circle the
    error of the particles against the kernel is below `r^{n - 1}`.

    Args:
        coupling: K. order: r at time zero, in (0, 1). n: the number of oscillators.

    Source: Ott & Antonsen (2008); Marvel, Mirollo & Strogatz (2009).
    """
    turns = 2 * np.pi * (np.arange(n) + 0.5) / n - np.pi

    def exact(t: float) -> np.ndarray:
        odds = order**2 / (1 - order**2) * np.exp(coupling * t)
        r = np.sqrt(odds / (1 + odds))
        # arg((w + r) / (1 + r w)) without a jump: w has its phase in (-pi, pi)
        return 2 * np.arctan((1 - r) / (1 + r) * np.tan(turns / 2))[:, None]

    return ExactSolution(
        "kuramoto-poisson", library.kuramoto().bind(K=coupling), DiscreteMeasure(exact(0.0)),
        time, exact, source="Ott & Antonsen (2008); Marvel, Mirollo & Strogatz (2009)",
        statement="tan(theta/2) = (1-r)/(1+r) tan(psi/2), r^2/(1-r^2) = C exp(K t)",
    )  # fmt: skip


def cucker_smale_linear(
    strength: float = 1.3, points: Any = None, weights: Any = None, *, time: float = 1.5
) -> ExactSolution:
    """Cucker-Smale with a constant rate: velocities relax to their mean.

    `v = u + (v_0 - u) e^{-kt}`, `q = q_0 + u t + (v_0 - u) (1 - e^{-kt}) / k`.

    Args:
        strength: k > 0. points: (n, 2 d) positions and velocities. weights: (n,) of sum one.
    """
    mu = _cloud(points, weights, dim=4)
    d = mu.dim // 2
    q0, v0 = np.asarray(mu.points)[:, :d], np.asarray(mu.points)[:, d:]
    mean = np.asarray(mu.weights) @ v0

    def exact(t: float) -> np.ndarray:
        fade = np.exp(-strength * t)
        q = q0 + mean * t + (v0 - mean) * (1 - fade) / strength
        return np.concatenate([q, mean + (v0 - mean) * fade], axis=1)

    return ExactSolution(
        "cucker-smale-linear", library.cucker_smale(d).bind(K=strength, beta=0.0), mu, time, exact,
        source=OWN, statement="v = u + (v_0 - u) exp(-k t), q = q_0 + u t + ...",
    )  # fmt: skip


def cucker_smale_pair(
    strength: float = 1.0, gap: float = 0.5, speed: float = 0.9, weights: Any = (0.25, 0.75),
    *, time: float = 2.0,
) -> ExactSolution:  # fmt: skip
    """Two bodies on a line with the rate `K / (1 + r^2)`: `w + K arctan r` is conserved.

    So `r' = w_0 + K arctan r_0 - K arctan r`, one scalar equation; the centre moves straight on.

    Args:
        strength: K. gap, speed: r and w at time zero. weights: two, of sum one.
    """
    a = array(weights, 1)
    total = speed + strength * np.arctan(gap)
    split = np.array([-a[1], a[0]])
    drift = 0.2

    def exact(t: float) -> np.ndarray:
        r = float(
            solved(lambda _, r: total - strength * np.arctan(r), np.array([float(gap)]), t)[0]
        )
        w = total - strength * np.arctan(r)
        return np.stack([drift * t + r * split, drift + w * split], axis=1)

    return ExactSolution(
        "cucker-smale-pair", library.cucker_smale(1).bind(K=strength, beta=1.0),
        DiscreteMeasure(exact(0.0), a), time, exact,
        source=HA, statement="w + K arctan r = const, r' = w",
    )  # fmt: skip


def cucker_smale_line(
    beta: float = 1.0, strength: float = 1.0, n: int = 6, *, time: float = 2.0
) -> ExactSolution:
    """Bodies on a line: each keeps `v + int Psi(q - q') mu(dq', dv')`, with `Psi' = psi`.

    `Psi = K asinh r, K arctan r, K r / sqrt(1 + r^2)` for beta = 1/2, 1, 3/2.

    Args:
        beta: 0.5, 1 or 1.5. strength: K. n: the number of bodies.
    """
    primitive: dict[float, Callable[[np.ndarray], np.ndarray]] = {
        0.5: np.arcsinh,
        1.0: np.arctan,
        1.5: lambda r: r / np.sqrt(1 + r * r),
    }
    if beta not in primitive:
        raise ValueError(f"expected beta of 0.5, 1 or 1.5, got {beta}")
    rng = np.random.default_rng(3)
    mu = DiscreteMeasure(rng.normal(size=(n, 2)), rng.dirichlet(np.ones(n)))

    def observe(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        q, v = points.T
        return v + strength * primitive[beta](q[:, None] - q) @ weights

    kept = observe(np.asarray(mu.points), np.asarray(mu.weights))
    return ExactSolution(
        f"cucker-smale-line-{beta:g}", library.cucker_smale(1).bind(K=strength, beta=beta),
        mu, time, lambda t: kept, observe,
        source=HA, statement="v + int Psi(q - q') dmu = const along each body, Psi' = psi",
    )  # fmt: skip


def motsch_tadmor_pair(gap: float = 0.5, speed: float = 0.9, *, time: float = 2.0) -> ExactSolution:
    """Two equal bodies with normalised rates, beta = 1: `w + sqrt(2) arctan(r / sqrt 2)` is kept.

    `w' = -2 psi / (1 + psi) w` with `psi = 1 / (1 + r^2)`.

    Args:
        gap, speed: r and w at time zero.
    """
    root = np.sqrt(2.0)
    total = speed + root * np.arctan(gap / root)

    def exact(t: float) -> np.ndarray:
        start = np.array([float(gap)])
        r = float(solved(lambda _, r: total - root * np.arctan(r / root), start, t)[0])
        w = total - root * np.arctan(r / root)
        return np.array([[-r, -w], [r, w]]) / 2

    return ExactSolution(
        "motsch-tadmor-pair", library.motsch_tadmor(1).bind(beta=1.0),
        DiscreteMeasure(exact(0.0)), time, exact,
        source=OWN, statement="w + sqrt(2) arctan(r / sqrt 2) = const, r' = w",
    )  # fmt: skip


def aggregation_pair(
    separation: Any = (0.9, -0.5), weights: Any = (0.4, 0.6), *, time: float = 1.0
) -> ExactSolution:
    """Two particles in the energy `|r|^4 / 4`: `r = r_0 / sqrt(1 + 2 |r_0|^2 |mu| t)`.

    Args:
        separation: (d,) r at time zero. weights: two.
    """
    r0, a = array(separation, 1), array(weights, 1)
    split = np.array([-a[1], a[0]])[:, None] / a.sum()

    def exact(t: float) -> np.ndarray:
        return split * r0 / np.sqrt(1 + 2 * (r0 @ r0) * a.sum() * t)

    return ExactSolution(
        "aggregation-pair", library.aggregation(lambda r: norm2(r) ** 2 / 4).bind(),
        DiscreteMeasure(exact(0.0), a), time, exact,
        source=OWN, statement="r = r_0 / sqrt(1 + 2 |r_0|^2 |mu| t), the centre stays",
    )  # fmt: skip


def vortex_ring(
    n: int = 5, radius: float = 1.0, width: float = 0.3, *, time: float = 2.0
) -> ExactSolution:
    """Equal vortex blobs at the corners of a regular polygon turn like a rigid body.

    `x' = int J (x - y) / (|x - y|^2 + width^2) mu(dy)`, J the quarter turn; with n >= 2 the angular
    velocity is `sum_j (1 - cos 2 pi j / n) / (2 n R^2 (1 - cos 2 pi j / n) + n width^2)`.

    Args:
        n: vortices. radius: R of the polygon. width: of the blobs.
    """
    x, y, mu = Point("x"), Point("y"), Measure("mu")
    term = Matrix("J") @ integral((x - y) / (norm2(x - y) + Scalar("w") ** 2), y, mu)
    field = VelocityField(term, x, mu).bind(J=[[0.0, -1.0], [1.0, 0.0]], w=width)
    turns = 2 * np.pi * np.arange(n) / n
    part = 1 - np.cos(turns)
    speed = float(np.mean(part / (2 * radius**2 * part + width**2)))

    def exact(t: float) -> np.ndarray:
        return radius * np.stack([np.cos(turns + speed * t), np.sin(turns + speed * t)], axis=1)

    return ExactSolution(
        "vortex-ring", field, DiscreteMeasure(exact(0.0)), time, exact,
        source=OWN, statement="the polygon turns with one angular velocity",
    )  # fmt: skip


def _cloud(points: Any, weights: Any, dim: int = 2) -> DiscreteMeasure:
    if points is not None:
        return DiscreteMeasure(points, weights)
    rng = np.random.default_rng(dim)
    return DiscreteMeasure(rng.normal(size=(7, dim)), rng.dirichlet(np.ones(7)))
