"""The BBGKY hierarchy: weak form for small numbers of particles, the limit, the refusals."""

import itertools

import numpy as np
import pytest
import sympy as sp
from term_oracle import value

from pushforward.symbolic import (
    Integral,
    Matrix,
    Measure,
    Point,
    VelocityField,
    component,
    dot,
    gibbs,
    integral,
    library,
    norm2,
)
from pushforward.symbolic.hierarchy import bbgky
from pushforward.symbolic.normal import Normal

X, Y, MU, A = Point("x"), Point("y"), Measure("mu"), Matrix("A")
SCORE = np.array([[0.3, 0.8], [-0.5, 0.2]])
PAIRS = VelocityField(integral(sp.exp(dot(X, A @ Y)) * Y, Y, MU) - A @ X, X, MU)


def phi(*points):
    return sp.sin(component(points[0], 0)) * sp.Mul(*(component(p, 1) for p in points))


def exchangeable_law(n, seed):
    """Configurations (m, n, 2) with weights: a correlated law with all orders of each."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(3, n, 2)) * 0.7
    weights = rng.dirichlet(np.ones(3))
    orders = list(itertools.permutations(range(n)))
    states = np.array([c[list(o)] for c in drawn for o in orders])
    return states, np.repeat(weights / len(orders), len(orders))


def mean_of(term, points, states, law, env):
    return sum(
        w * value(term, env | dict(zip(points, c, strict=False)))
        for c, w in zip(states, law, strict=True)
    )


@pytest.mark.parametrize("s, n", [(1, 2), (1, 3), (2, 2), (2, 3), (3, 3)])
def test_weak_form_for_few_particles(s, n):
    """d/dt E phi along the exact particle system, its whole law known."""
    states, law = exchangeable_law(n, 10 * s + n)
    env = {A: SCORE}
    made = bbgky(PAIRS)
    within, beyond = made.rate(phi, s, n)
    points = [X, *(Point(f"x_{i}") for i in range(2, s + 2))]
    found = mean_of(within.term, points, states, law, env)
    if s < n:
        found += mean_of(beyond.term, points, states, law, env)
    else:
        assert beyond.term == 0
    bound = PAIRS.bind(A=SCORE)
    observable = phi(*points[:s])

    def later(t):
        moved = np.array([bound.flow(c, np.full(n, 1 / n), t, steps=1) for c in states])
        return mean_of(observable, points, moved, law, env)

    assert found == pytest.approx((later(1e-4) - later(-1e-4)) / 2e-4, abs=1e-7)


def test_independent_particles_by_monte_carlo():
    """The identity of s = 1 for independent normal particles, to the error of the mean."""
    n, draws, rng = 3, 800, np.random.default_rng(1)
    states = rng.normal(size=(draws, n, 2)) / 2
    within, beyond = bbgky(PAIRS).rate(phi, 1, n)
    own = within.bind(A=SCORE)
    pair = beyond.bind(A=SCORE)
    bound, weights, h = PAIRS.bind(A=SCORE), np.full(n, 1 / n), 1e-4
    one, nothing = np.ones(1), np.zeros((1, 2))
    said = own(nothing, one, states[:, 0])
    said = said + np.array([pair(nothing, one, c[:1], x_2=c[1:2]).item() for c in states[:draws]])

    def observed(z):
        return np.sin(z[:, 0]) * z[:, 1]

    v = np.array([bound(c, weights, c[:1])[0] for c in states])
    x = states[:, 0]
    seen = (observed(x + h * v) - observed(x - h * v)) / (2 * h)
    gap = said - seen  # zero in the mean only: the second term sees one of the partners
    error = gap.std() / np.sqrt(draws)
    assert abs(gap.mean()) < 4 * error and error < 0.1
    assert gap.std() > 10 * error


def test_kernel_and_drift():
    made = bbgky(PAIRS)
    assert str(made.kernel) == "exp(<x, A y>) y" and str(made.drift) == "-A x"
    assert [p.name for p in made.kernel.parameters] == ["A"]


@pytest.mark.parametrize(
    "field",
    [PAIRS, library.kuramoto(), library.consensus(lambda r: 1 / (1 + r)), library.cucker_smale(1)],
    ids=["pairs", "kuramoto", "consensus", "swarm"],
)
@pytest.mark.parametrize("s", [1, 2, 3])
def test_products_solve_the_limit(field, s):
    assert bbgky(field).solved_by_products(s)


def test_products_do_not_solve_the_equation_of_few_particles():
    made = bbgky(library.consensus())
    points = made._points(2)
    within, beyond = made._rates(lambda v: norm2(v), points, sp.Integer(2))
    left = Integral(Integral(within + beyond, points[0], MU), points[1], MU)
    limit = sum(made._rates(lambda v: norm2(v), points, None))
    right = Integral(Integral(limit, points[0], MU), points[1], MU)
    assert not Normal(MU).vanishes(left - right)


def test_equations_can_be_read():
    made = bbgky(PAIRS)
    assert made.equation().text == (
        "d_t F_s + sum_{i<=s} div_{x_i}[b(x_i) F_s + 1/N sum_{j<=s} K(x_i, x_j) F_s "
        "+ (N-s)/N int K(x_i, x_{s+1}) F_{s+1} dx_{s+1}] = 0, "
        "K(x, y) = exp(<x, A y>) y, b(x) = -A x"
    )
    assert "int" not in made.equation(2, 2).text
    assert r"\frac{N-s}{N} \int K" in made.latex()
    second = bbgky(library.cucker_smale(2))
    assert (made.order, second.order) == (1, 2)
    assert "v_i . grad_{q_i} F_s" in second.equation().text
    assert r"\nabla_{v_i} \cdot" in second.latex()
    assert second.latex().count("{") == second.latex().count("}")


REFUSED = {
    "softmax": (gibbs(Y, Y, MU, energy=dot(X, Y)), "a ratio of integrals"),
    "product": (integral(Y, Y, MU) * integral(dot(X, Y), Y, MU), "not linear in the measure"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fields_that_are_not_pairwise_are_refused(name):
    term, why = REFUSED[name]
    with pytest.raises(ValueError, match=why):
        bbgky(VelocityField(term, X, MU))


@pytest.mark.parametrize("s, n", [(0, 2), (3, 2), ("s", 1.5), (True, 2)])
def test_wrong_numbers_of_particles(s, n):
    with pytest.raises(ValueError, match="integer >= 1|s <= N"):
        bbgky(PAIRS).equation(s, n)
