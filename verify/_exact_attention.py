"""Exact solutions of attention flows: Gaussian closures, second moments, tokens on spheres."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..numeric import DiscreteMeasure, Sphere
from ..symbolic import Measure, Point, VelocityField, gibbs, library, norm2
from ._exact import ExactSolution, array, gauss_hermite, solved

CASTIN = "Castin, Ablin & Peyre (2024), arXiv:2312.14820 (Gaussians stay Gaussian)"
GESHKOVSKI = "Geshkovski, Letrouit, Polyanskiy & Rigollet (2023), arXiv:2312.10794"
OWN = "docs/flows.md, exact solutions"


def _field(layer: Any) -> VelocityField:
    return VelocityField(layer.term, layer.x, layer.mu)


def softmax_gaussian(
    A: Any = ((0.5, 0.3), (-0.2, 0.4)),
    V: Any = ((0.4, -0.5), (0.6, 0.2)),
    mean: Any = (0.3, -0.2),
    covariance: Any = ((0.3, 0.1), (0.1, 0.2)),
    *,
    nodes: int = 16,
    time: float = 1.0,
) -> ExactSolution:
    """Softmax attention moves a Gaussian by an affine map.

    `Att(N(m, S), x) = V (m + S A^T x)`, so `m' = V (m + S A^T m)`, `S' = V S A^T S + S A S V^T` and
    `x = m + F (x_0 - m_0)` with `F' = V S A^T F`. The Gaussian is given by tensor Gauss-Hermite
    nodes, whose quadrature error is below 1e-10 at the default values.

    Args:
        A, V: (d, d). mean: (d,). covariance: (d, d), positive definite.
        nodes: the number of nodes in each direction.
        time: the horizon, before the covariance blows up.
    """
    a, v, m0, s0 = array(A, 2), array(V, 2), array(mean, 1), array(covariance, 2)
    points, weights = gauss_hermite(m0, s0, nodes)
    d = len(m0)

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        m, f = state[:d], state[d:].reshape(d, d)
        s = f @ s0 @ f.T
        return np.concatenate([v @ (m + s @ a.T @ m), (v @ s @ a.T @ f).ravel()])

    def exact(t: float) -> np.ndarray:
        state = solved(rate, np.concatenate([m0, np.eye(d).ravel()]), t)
        return state[:d] + (points - m0) @ state[d:].reshape(d, d).T

    return ExactSolution(
        "softmax-gaussian", _field(library.softmax_attention()).bind(A=a, V=v),
        DiscreteMeasure(points, weights), time, exact, source=CASTIN,
        statement="x = m + F (x_0 - m_0), m' = V(m + S A^T m), F' = V S A^T F, S = F S_0 F^T",
    )  # fmt: skip


def softmax_gaussian_line(
    a: float = 0.6, v: float = 0.8, mean: float = 0.2, variance: float = 0.25, *,
    nodes: int = 30, time: float = 1.0,
) -> ExactSolution:  # fmt: skip
    """Softmax attention on a Gaussian of the line, in closed form.

    `x = (m_0 e^{vt} + x_0 - m_0) / sqrt(1 - 2 v a s_0 t)`, up to `1 / (2 v a s_0)` where v a > 0.

    Args:
        a, v: numbers. mean, variance: of the Gaussian. nodes: of its quadrature.
    """
    points, weights = gauss_hermite(np.array([mean]), np.array([[variance]]), nodes)

    def exact(t: float) -> np.ndarray:
        shrink = (1 - 2 * v * a * variance * t) ** -0.5
        return (mean * np.exp(v * t) + points - mean) * shrink

    return ExactSolution(
        "softmax-gaussian-line", _field(library.softmax_attention()).bind(A=[[a]], V=[[v]]),
        DiscreteMeasure(points, weights), time, exact, source=CASTIN,
        statement="x = (m_0 exp(v t) + x_0 - m_0) / sqrt(1 - 2 v a s_0 t)",
    )  # fmt: skip


def linear_attention(
    v: float = -0.7, points: Any = None, weights: Any = None, *, time: float = 1.0
) -> ExactSolution:
    """Linear attention `x' = v M x` with the second moment M, of any measure.

    `M' = 2 v M^2`, so `M = M_0 (I - 2 v t M_0)^-1` and `x = (I - 2 v t M_0)^{-1/2} x_0`.

    Args:
        v: a number; v > 0 blows up at `1 / (2 v |M_0|)`.
        points, weights: (n, d), (n,); seven points of the plane by default.
    """
    mu = _tokens(points, weights)
    start, mass = np.asarray(mu.points), np.asarray(mu.weights)
    values, vectors = np.linalg.eigh(start.T * mass @ start)

    def exact(t: float) -> np.ndarray:
        root = vectors * (1 - 2 * v * t * values) ** -0.5 @ vectors.T
        return start @ root

    identity = np.eye(mu.dim)
    return ExactSolution(
        "linear-attention", _field(library.linear_attention()).bind(A=identity, V=v * identity),
        mu, time, exact, source=OWN, statement="x = (I - 2 v t M_0)^(-1/2) x_0",
    )  # fmt: skip


def linear_attention_moment(
    A: Any = ((0.5, 0.3), (0.3, 0.6)), v: float = -0.7, points: Any = None, weights: Any = None,
    *, time: float = 1.0,
) -> ExactSolution:  # fmt: skip
    """Linear attention with a symmetric A: the second moment alone is explicit.

    `M' = 2 v M A M`, so `M^-1 = M_0^-1 - 2 v t A`.

    Args:
        A: (d, d), symmetric. v: a number, V = v I.
        points, weights: (n, d), (n,), with an invertible second moment.
    """
    a, mu = array(A, 2), _tokens(points, weights)

    def moment(at: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return at.T * weights @ at

    start = np.linalg.inv(moment(np.asarray(mu.points), np.asarray(mu.weights)))
    bound = _field(library.linear_attention()).bind(A=a, V=v * np.eye(mu.dim))
    return ExactSolution(
        "linear-attention-moment", bound, mu, time,
        lambda t: np.linalg.inv(start - 2 * v * t * a), moment,
        source=OWN, statement="int x x^T dmu = (M_0^-1 - 2 v t A)^-1",
    )  # fmt: skip


def mean_shift(
    mean: float = 0.4, variance: float = 0.8, *, nodes: int = 40, time: float = 1.0
) -> ExactSolution:
    """Blurring mean shift `x' = E_p[y] - x`, `p ~ exp(-|x - y|^2 / 2) mu`, on a Gaussian.

    `x - m = sqrt(s / s_0) (x_0 - m)` with `s' = -2 s / (1 + s)`, that is
    `s = W(s_0 e^{s_0 - 2t})` with the function W of Lambert.

    Args:
        mean, variance: of the Gaussian on the line. nodes: of its quadrature.
    """
    from scipy.special import lambertw

    x, y, mu = Point("x"), Point("y"), Measure("mu")
    field = VelocityField(gibbs(y, y, mu, energy=-norm2(x - y) / 2) - x, x, mu)
    points, weights = gauss_hermite(np.array([mean]), np.array([[variance]]), nodes)

    def exact(t: float) -> np.ndarray:
        s = lambertw(variance * np.exp(variance - 2 * t)).real
        return mean + np.sqrt(s / variance) * (points - mean)

    return ExactSolution(
        "mean-shift", field.bind(), DiscreteMeasure(points, weights), time, exact, source=OWN,
        statement="x = m + sqrt(s / s_0) (x_0 - m), s = W(s_0 exp(s_0 - 2 t))",
    )  # fmt: skip


def mean_attention_on_sphere(
    b: Any = (0.6, 0.8, 0.0), c: Any = (1.0, -0.5, 2.0), points: Any = None, weights: Any = None,
    *, time: float = 1.5,
) -> ExactSolution:  # fmt: skip
    """Attention on the sphere with A = 0 and the rank-one value `b c^T`: one scalar equation.

    All points move along `P_x b`, where `<b, x> = tanh(artanh <b, x_0> + s)`, with the common time
    `s' = int <c, y> mu_s(dy)`.

    Args:
        b: (d,), a unit vector. c: (d,).
        points, weights: (n, d) on the sphere, none at -b or b, and (n,).
    """
    b, c = array(b, 1), array(c, 1)
    if points is None:
        points = Sphere(len(b)).sample(np.random.default_rng(1), 6)
    mu = DiscreteMeasure(points, weights)
    start, mass = np.asarray(mu.points), np.asarray(mu.weights)
    height = np.arctanh(start @ b)
    side = (start - np.outer(start @ b, b)) * np.cosh(height)[:, None]

    def at(s: float) -> np.ndarray:
        return np.outer(np.tanh(height + s), b) + side / np.cosh(height + s)[:, None]

    def exact(t: float) -> np.ndarray:
        return at(float(solved(lambda _, s: mass @ at(s[0]) @ c, np.zeros(1), t)[0]))

    d = len(b)
    return ExactSolution(
        "mean-attention-on-sphere",
        library.sphere_attention().bind(A=np.zeros((d, d)), V=np.outer(b, c)),
        mu, time, exact, domain=Sphere(d), source=OWN,
        statement="<b, x> = tanh(artanh <b, x_0> + s), s' = int <c, y> mu_s(dy)",
    )  # fmt: skip


def orthogonal_tokens(n: int = 4, beta: float = 2.0, *, time: float = 1.5) -> ExactSolution:
    """Softmax attention on the sphere with V = I, A = beta I, from n orthogonal tokens.

    All inner products are one number c, with
    `c' = 2 e^{beta c} (1 - c) (1 + (n - 1) c) / (e^beta + (n - 1) e^{beta c})`; the tokens are the
    columns of the square root of the matrix with ones and c.

    Args:
        n: tokens in R^n, >= 2. beta: a number.
    """

    def rate(_: float, c: np.ndarray) -> np.ndarray:
        pull = np.exp(beta * c)
        return 2 * pull * (1 - c) * (1 + (n - 1) * c) / (np.exp(beta) + (n - 1) * pull)

    def exact(t: float) -> np.ndarray:
        c = float(solved(rate, np.zeros(1), t)[0])
        low, high = np.sqrt(1 - c), np.sqrt(1 + (n - 1) * c)
        return low * np.eye(n) + (high - low) / n

    return ExactSolution(
        "orthogonal-tokens", library.sphere_attention().bind(A=beta * np.eye(n), V=np.eye(n)),
        DiscreteMeasure(np.eye(n)), time, exact, domain=Sphere(n), source=GESHKOVSKI,
        statement="<x_i, x_j> = c for i != j, c' = 2 e^(bc) (1-c) (1+(n-1)c) / (e^b+(n-1)e^(bc))",
    )  # fmt: skip


def _tokens(points: Any, weights: Any) -> DiscreteMeasure:
    if points is not None:
        return DiscreteMeasure(points, weights)
    rng = np.random.default_rng(2)
    return DiscreteMeasure(0.6 * rng.normal(size=(7, 2)), rng.dirichlet(np.ones(7)))
