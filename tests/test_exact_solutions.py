"""Exact solutions solve their equations: by differences, by every method, and by computer algebra.

The differences in time and the algebra use no solver; the solvers use no formula.
"""

import numpy as np
import pytest
import sympy as sp

import pushforward as pf
from pushforward.symbolic import Scalar, component, integral, library
from pushforward.verify.exact_solutions import SOLUTIONS, ExactSolution

NAMES = list(SOLUTIONS)
STATISTICS = {"linear-attention-moment", *(n for n in NAMES if n.startswith("cucker-smale-line-"))}
t, s0, v, a, k, x0, m0 = sp.symbols("t s_0 v a k x_0 m_0", positive=True)


@pytest.fixture(scope="module")
def solutions():
    return {name: build() for name, build in SOLUTIONS.items()}


@pytest.mark.parametrize("name", NAMES)
def test_they_start_at_their_initial_measure(solutions, name):
    solution = solutions[name]
    assert isinstance(solution, ExactSolution) and solution.name == name
    assert solution.error(solution.initial.points, 0.0) < 1e-15
    assert solution.source and solution.statement


@pytest.mark.parametrize("name", sorted(set(NAMES) - STATISTICS))
def test_they_move_by_their_field(solutions, name):
    """The difference quotient of order six in time is the field on the exact positions."""
    solution = solutions[name]
    weights = np.asarray(solution.initial.weights)
    h = 2e-3
    for time in (0.01, 0.4 * solution.time, 0.95 * solution.time):
        at = {j: solution.exact(time + j * h) for j in range(-3, 4)}
        quotient = (
            45 * (at[1] - at[-1]) - 9 * (at[2] - at[-2]) + (at[3] - at[-3])
        ) / (60 * h)  # fmt: skip
        field = solution.field(at[0], weights, at[0], engine="numpy")
        np.testing.assert_allclose(quotient, field, atol=5e-9)


@pytest.mark.parametrize("name", NAMES)
def test_solvers_reach_them_and_coarse_ones_do_not(solutions, name):
    solution = solutions[name]
    fine = solution.flow(method="dopri5", rtol=1e-7, atol=1e-8, engine="numpy")
    assert solution.error(fine, solution.time) < 3e-6
    coarse = solution.flow(method="euler", steps=3, engine="numpy")
    assert solution.error(coarse, solution.time) > 1e-4


def test_parameters_and_measures_of_ones_own():
    tokens = np.random.default_rng(5).normal(size=(4, 3))
    mine = pf.exact_solutions.linear_attention(-0.2, tokens, [0.1, 0.2, 0.3, 0.4])
    moved = mine.flow(method="dopri5", rtol=1e-11, engine="numpy")
    assert moved.shape == (4, 3) and mine.error(moved, mine.time) < 1e-9
    assert mine.error(moved, 0.5 * mine.time) > 1e-3
    with pytest.raises(ValueError, match="0.5, 1 or 1.5"):
        pf.exact_solutions.cucker_smale_line(2.0)
    with pytest.raises(ValueError, match="expected a matrix"):
        pf.exact_solutions.softmax_gaussian(A=2.0)


# ---- by computer algebra


def test_gaussians_under_softmax():
    """Attention on N(m, s) is v (m + s a x), and the closed form solves the two moments."""
    y, x, m = sp.symbols("y x m", real=True)
    s = sp.Symbol("s", positive=True)
    (mean,) = sp.solve(sp.diff(a * x * y - (y - m) ** 2 / (2 * s), y), y)
    assert sp.simplify(mean - (m + s * a * x)) == 0
    shrink = 1 / sp.sqrt(1 - 2 * v * a * s0 * t)
    at, centre, variance = (
        (m0 * sp.exp(v * t) + x0 - m0) * shrink, m0 * sp.exp(v * t) * shrink, s0 * shrink**2
    )  # fmt: skip
    assert sp.simplify(sp.diff(at, t) - v * (centre + variance * a * at)) == 0


def test_linear_attention_in_eigenvectors():
    at = x0 / sp.sqrt(1 - 2 * v * t * m0)
    moment = m0 / (1 - 2 * v * t * m0)
    assert sp.simplify(sp.diff(at, t) - v * moment * at) == 0
    assert sp.simplify(sp.diff(moment, t) - 2 * v * moment**2) == 0


def test_the_mean_shift_of_a_gaussian():
    s = sp.LambertW(s0 * sp.exp(s0 - 2 * t))
    assert sp.simplify(sp.diff(s, t) + 2 * s / (1 + s)) == 0
    # The mean of a Gaussian law is where its logarithm is flat.
    y, x, m = sp.symbols("y x m", real=True)
    r = sp.Symbol("r", positive=True)
    log_law = -((x - y) ** 2) / 2 - (y - m) ** 2 / (2 * r)
    (mean,) = sp.solve(sp.diff(log_law, y), y)
    assert sp.simplify(mean - x + (x - m) / (1 + r)) == 0


def test_pairs():
    phase = 2 * sp.atan(x0 * sp.exp(-k * t))
    assert sp.simplify(sp.expand_trig(sp.diff(phase, t) + k * sp.sin(phase))) == 0
    gap = x0 / sp.sqrt(1 + 2 * x0**2 * t)
    assert sp.simplify(sp.diff(gap, t) + gap**3) == 0
    r = sp.Symbol("r", real=True)
    psi = 1 / (1 + r**2)
    primitive = sp.sqrt(2) * sp.atan(r / sp.sqrt(2))
    assert sp.simplify(sp.diff(primitive, r) - 2 * psi / (1 + psi)) == 0


def test_the_poisson_kernel_of_oscillators():
    r, w = sp.Function("r")(t), sp.Symbol("w")
    rate = k * r * (1 - r**2) / 2
    z = (w + r) / (1 + r * w)
    moved = sp.diff(z, t).subs(sp.diff(r, t), rate)
    # theta' = K r sin(-theta) is z' = K r (1 - z^2) / 2
    assert sp.simplify(moved - k * r * (1 - z**2) / 2) == 0
    odds = x0 * sp.exp(k * t)
    root = sp.sqrt(odds / (1 + odds))
    assert sp.simplify(sp.diff(root, t) - k * root * (1 - root**2) / 2) == 0


@pytest.mark.parametrize("n", [2, 3, 4])
def test_orthogonal_tokens(n):
    """The rate of the inner product from the field itself, at tokens with one inner product."""
    c, beta = sp.Rational(1, 3), sp.Rational(3, 2)
    gram = sp.Matrix(n, n, lambda i, j: 1 if i == j else c)
    pull = [sp.exp(beta * gram[0, j]) for j in range(n)]
    total = sum(pull)
    toward = [sum(pull[j] * gram[j, i] for j in range(n)) / total for i in range(n)]
    rate = 2 * (toward[1] - toward[0] * gram[0, 1])
    e, ec = sp.exp(beta), sp.exp(beta * c)
    want = 2 * ec * (1 - c) * (1 + (n - 1) * c) / (e + (n - 1) * ec)
    assert sp.simplify(rate - want) == 0


@pytest.mark.parametrize(
    "beta, primitive",
    [
        (sp.Rational(1, 2), sp.asinh),
        (sp.S.One, sp.atan),
        (sp.Rational(3, 2), lambda r: r / sp.sqrt(1 + r**2)),
    ],
)
def test_the_invariant_of_bodies_on_a_line(beta, primitive):
    """The tool's own calculus: `v + K int Psi(q - q') dmu` has rate zero along characteristics."""
    model = library.cucker_smale(1)
    x, mu, y = model.x, model.mu, library.Y
    strength = Scalar("K")
    kept = component(x, 1) + strength * integral(
        primitive(component(x, 0) - component(y, 0)), y, mu
    )
    rate = model.vlasov().rate(kept).bind(K=1.3, beta=float(beta))
    rng = np.random.default_rng(0)
    points, weights = rng.normal(size=(5, 2)), rng.dirichlet(np.ones(5))
    assert np.abs(rate(points, weights, points, engine="reference")).max() < 1e-14
    wrong = component(x, 1) + integral(primitive(component(x, 0) - component(y, 0)), y, mu) / 2
    moved = model.vlasov().rate(wrong).bind(K=1.3, beta=float(beta))
    assert np.abs(moved(points, weights, points, engine="reference")).max() > 1e-2


def test_polygons_of_vortices():
    n, radius, width = 3, sp.Rational(3, 2), sp.Rational(1, 3)
    at = [sp.Matrix([sp.cos(2 * sp.pi * j / n), sp.sin(2 * sp.pi * j / n)]) for j in range(n)]
    at = [radius * p for p in at]
    turn = sp.Matrix([[0, -1], [1, 0]])
    pull = sum(
        (turn * (at[0] - p) / ((at[0] - p).dot(at[0] - p) + width**2) for p in at), sp.zeros(2, 1)
    ) / n  # fmt: skip
    part = [1 - sp.cos(2 * sp.pi * j / n) for j in range(n)]
    speed = sum(p / (2 * radius**2 * p + width**2) for p in part) / n
    assert sp.simplify(pull - speed * turn * at[0]) == sp.zeros(2, 1)
