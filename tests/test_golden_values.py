"""Numbers known in advance: softmax attention on three tokens, and closed forms on Gaussians."""

import numpy as np
import pytest
import sympy as sp

from pushforward.numeric import engine_status
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    component,
    dot,
    gibbs,
    integral,
)

x, y, z, w, mu = Point("x"), Point("y"), Point("z"), Point("w"), Measure("mu")
u, v = Point("u"), Point("v")
A, V = Matrix("A"), Matrix("V")
ATTENTION = SymbolicMap(gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
RESIDUAL = SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)

# Tokens (-1, 0.5, 2) with weights (0.2, 0.5, 0.3), A = 0.7, V = 1, query 0.3, in R^1.
TOKENS, WEIGHTS = np.array([[-1.0], [0.5], [2.0]]), np.array([0.2, 0.5, 0.3])
QUERY = np.array([[0.3]])
NUMBERS = {"A": [[0.7]], "V": [[1.0]]}
ENGINES = ("numpy", "reference", "mpmath", "auto", *("native",) * (not engine_status()["native"]))


def sine(term):
    return sp.sin(component(term, 0))


GOLDEN = {
    "value": (ATTENTION, {}, 0.876221992557),
    "jacobian": (ATTENTION.jacobian(), {}, 0.730911865623),
    "divergence": (ATTENTION.divergence(), {}, 0.730911865623),
    "second derivative": (ATTENTION.second_derivative(u, v), {"u": 1.0, "v": 1.0}, -0.188777278570),
    "flat": (ATTENTION.flat_derivative(z), {"z": 1.0}, 0.130063311339),
    "Lions": (ATTENTION.lions_derivative(z), {"z": 1.0}, 1.078092137487),
    "second flat": (ATTENTION.second_flat_derivative(z, w), {"z": 1.0, "w": -0.4}, 0.948330867712),
    "regular": (RESIDUAL.regular_derivative(sine), {}, 0.923160280410),
    "irregular": (RESIDUAL.irregular_derivative(sine), {}, 0.110395508407),
    "derivative": (RESIDUAL.derivative(sine), {}, 1.033555788817),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", GOLDEN)
def test_softmax_attention(name, engine):
    formula, points, want = GOLDEN[name]
    given = {name: np.array([[number]]) for name, number in points.items()}
    got = formula.bind(**NUMBERS)(TOKENS, WEIGHTS, QUERY, engine=engine, **given)
    np.testing.assert_allclose(got.item(), want, rtol=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_image_of_the_tokens(engine):
    got = RESIDUAL.bind(**NUMBERS)(TOKENS, WEIGHTS, TOKENS, engine=engine)
    want = [-1.094829136444, 1.518228736919, 3.723140854304]
    np.testing.assert_allclose(got[:, 0], want, rtol=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_attention_on_a_gaussian_is_affine(engine):
    """Att(N(m, s^2), x) = V (m + s^2 A x), by Gauss-Hermite quadrature as a discrete measure."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    mean, deviation = 0.4, 0.8
    points, at = mean + deviation * nodes[:, None], np.linspace(-1, 1, 5)[:, None]
    got = ATTENTION.bind(A=[[0.7]], V=[[1.5]])(points, weights, at, engine=engine)
    np.testing.assert_allclose(got, 1.5 * (mean + deviation**2 * 0.7 * at), rtol=1e-10)


def test_linear_attention():
    """int <Q x, K y> V y mu(dy) = V M A^T x with M the second moment."""
    linear = SymbolicMap(integral(dot(x, A @ y) * (V @ y), y, mu), x, mu)
    rng = np.random.default_rng(0)
    a, v = rng.normal(size=(2, 3, 3))
    points, weights, at = rng.normal(size=(7, 3)), rng.random(7), rng.normal(size=(4, 3))
    moment = (points * weights[:, None]).T @ points
    bound = linear.bind(A=a, V=v)
    np.testing.assert_allclose(bound(points, weights, at), at @ (v @ moment @ a.T).T, rtol=1e-12)
    jacobian = linear.jacobian().bind(A=a, V=v)(points, weights, at)
    np.testing.assert_allclose(jacobian, np.broadcast_to(v @ moment @ a.T, (4, 3, 3)), rtol=1e-12)


def test_a_dirac_maps_to_itself_exactly():
    """One token with itself: the attention is V y to the last bit."""
    points = np.array([[0.1, 0.7]])
    for engine in ("numpy", "reference"):
        bound = ATTENTION.bind(A=np.eye(2) * 50, V=np.eye(2))
        assert bound(points, [1e-300], points, engine=engine).tolist() == points.tolist()
