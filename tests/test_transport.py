"""Wasserstein distances against closed forms, a linear program, and their own duality."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

from pushforward import DiscreteMeasure, wasserstein


def random_measure(rng, n, d, mass=1.0):
    """Atoms on a coarse grid, so that some coincide, and some weights zero."""
    points = np.round(rng.normal(size=(n, d)), int(rng.integers(0, 3)))
    weights = rng.dirichlet(np.full(n, 0.5))
    weights[rng.random(n) < 0.2] = 0.0
    weights[0] += weights.sum() == 0
    return DiscreteMeasure(points, mass * weights / weights.sum())


def linear_program(mu, nu, p):
    """The cost by scipy's LP, an implementation that shares nothing with ours."""
    n, m = len(mu), len(nu)
    cost = np.linalg.norm(mu.points[:, None] - nu.points[None], axis=2) ** p
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    marginals = np.concatenate([mu.weights, nu.weights])
    solution = linprog(cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=marginals)
    return solution.fun ** (1 / p)


sizes = st.integers(1, 7)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), sizes, sizes, st.integers(1, 3), st.sampled_from([1, 1.5, 2, 4]))
def test_it_is_the_linear_program(seed, n, m, d, p):
    rng = np.random.default_rng(seed)
    mass = float(rng.choice([1.0, 0.25, 40.0]))
    mu, nu = random_measure(rng, n, d, mass), random_measure(rng, m, d, mass)
    assert float(wasserstein(mu, nu, p)) == pytest.approx(linear_program(mu, nu, p), abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), sizes, sizes, st.integers(1, 3), st.sampled_from([1, 2, 3.5]))
def test_the_two_sides_hold_and_meet(seed, n, m, d, p):
    rng = np.random.default_rng(seed)
    mu, nu = random_measure(rng, n, d), random_measure(rng, m, d)
    result = wasserstein(mu, nu, p)
    cost = np.linalg.norm(mu.points[:, None] - nu.points[None], axis=2) ** p
    f, g = result.potentials
    assert result.lower <= result.value <= result.upper
    assert (result.plan >= 0).all()
    np.testing.assert_allclose(result.plan.sum(1), mu.weights, atol=1e-15)
    np.testing.assert_allclose(result.plan.sum(0), nu.weights, atol=1e-15)
    assert (f[:, None] + g[None] <= cost + 1e-12 * (1 + cost.max())).all()
    np.testing.assert_allclose((result.plan * cost).sum(), result.value**p, atol=1e-12)
    np.testing.assert_allclose(mu.weights @ f + nu.weights @ g, result.value**p, atol=1e-10)
    assert result.upper**p - result.lower**p <= 1e-12 * (1 + cost.max())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_on_a_line_it_is_the_area_between_distribution_functions(seed, n, m):
    rng = np.random.default_rng(seed)
    mu, nu = random_measure(rng, n, 1), random_measure(rng, m, 1)
    want = wasserstein_distance(mu.points[:, 0], nu.points[:, 0], mu.weights, nu.weights)
    assert float(wasserstein(mu, nu)) == pytest.approx(want, abs=1e-13)


def test_a_line_in_the_plane_costs_what_the_line_does():
    rng = np.random.default_rng(5)
    mu, nu = random_measure(rng, 40, 1), random_measure(rng, 30, 1)
    plane = [DiscreteMeasure(m.points * [[0.6, 0.8]], m.weights) for m in (mu, nu)]
    for p in (1, 2):
        assert float(wasserstein(*plane, p)) == pytest.approx(
            float(wasserstein(mu, nu, p)), rel=1e-12
        )


def test_closed_forms():
    x, y = np.array([[1.0, 2.0, 2.0]]), np.array([[0.0, 0.0, 0.0]])
    assert float(wasserstein(DiscreteMeasure(x), DiscreteMeasure(y), 2)) == 3.0
    mu = DiscreteMeasure([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], [0.5, 0.2, 0.3])
    tagged = DiscreteMeasure([*mu.points, [3.0, 4.0]], [*(0.9 * mu.weights), 0.1])
    to_x = np.linalg.norm(mu.points - [3.0, 4.0], axis=1) @ mu.weights
    # W1((1 - e) mu + e delta_x, mu) = e W1(delta_x, mu)
    assert float(wasserstein(tagged, mu)) == pytest.approx(0.1 * to_x, rel=1e-12)
    n = 100
    grid = DiscreteMeasure((np.arange(n)[:, None] + 0.5) / n)
    fine = DiscreteMeasure((np.arange(100 * n)[:, None] + 0.5) / (100 * n))
    # Midpoints of n cells are 1/(4n) from the uniform law.
    assert float(wasserstein(grid, fine)) == pytest.approx(1 / (4 * n), rel=1e-3)


def test_a_measure_is_at_distance_zero_from_its_rearrangements():
    mu = DiscreteMeasure([[0.1, 0.2], [0.3, 0.7], [0.5, 0.1]], [0.2, 0.3, 0.5])
    again = DiscreteMeasure(mu.points[[2, 0, 1, 0, 1]], [0.5, 0.1, 0.3, 0.1, 0.0])
    result = wasserstein(mu, again)
    assert result.value == pytest.approx(0.0, abs=1e-16) and result.lower >= 0.0


def test_extreme_scales():
    mu, nu = DiscreteMeasure([[0.0], [-1.0]]), DiscreteMeasure([[1e-20], [-1.0]])
    assert float(wasserstein(mu, nu)) == pytest.approx(5e-21, rel=1e-12)
    far = wasserstein(DiscreteMeasure([[1e200, 0.0]]), DiscreteMeasure([[0.0, 1e200]]), 2)
    assert float(far) == pytest.approx(np.sqrt(2) * 1e200, rel=1e-12)
    tiny = DiscreteMeasure([[0.0, 0.0], [1.0, 0.0]], [1.0, 1e-300])
    dirac = DiscreteMeasure([[0.0, 0.0]])
    assert float(wasserstein(tiny, dirac)) == pytest.approx(1e-300, rel=1e-9)
    zero = wasserstein(dirac, dirac, 2)
    assert (zero.value, zero.lower, zero.upper) == (0.0, 0.0, 0.0)


def test_torch_measures():
    torch = pytest.importorskip("torch")
    mu, nu = DiscreteMeasure(torch.zeros((1, 2))), DiscreteMeasure(torch.ones((3, 2)))
    assert float(wasserstein(mu, nu)) == pytest.approx(np.sqrt(2), rel=1e-7)


@pytest.mark.parametrize(
    "mu, nu, p, error, words",
    [
        (DiscreteMeasure([[0.0]]), DiscreteMeasure([[0.0, 0.0]]), 1, ValueError, "1 and 2"),
        (DiscreteMeasure([[0.0]]), DiscreteMeasure([[0.0]], [2.0]), 1, ValueError, "1 and 2"),
        (DiscreteMeasure([[0.0]]), DiscreteMeasure([[0.0]]), 0.5, ValueError, "p >= 1"),
        (DiscreteMeasure([[0.0]]), DiscreteMeasure([[0.0]]), np.nan, ValueError, "p >= 1"),
        (DiscreteMeasure([[0.0]]), np.zeros((1, 1)), 1, TypeError, "DiscreteMeasure"),
    ],
)
def test_bad_calls(mu, nu, p, error, words):
    with pytest.raises(error) as caught:
        wasserstein(mu, nu, p)
    assert words in str(caught.value) and "\n" not in str(caught.value)
