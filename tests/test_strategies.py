"""What strategies promise: inside the domain, of mass one, near enough, simple when shrunk."""

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings, strategies as st
from hypothesis.errors import NoSuchExample

import pushforward as pf
from pushforward.verify import strategies as some

LINE = pf.Box([-1.0], [1.0])
DOMAINS = {
    "box": pf.Box([-1.0, 0.0], [1.0, 3.0]),
    "far box": pf.Box([10.0], [11.0]),
    "ball": pf.Ball(3, 0.5, [1.0, 2.0, 3.0]),
    "sphere": pf.Sphere(3),
    "simplex": pf.Simplex(3),
    "finite": pf.FiniteSet([[0.0, 1.0], [2.0, 2.0], [5.0, 0.0]]),
    "product": pf.Product(pf.Box([-1.0], [1.0]), pf.Sphere(2)),
    "a point": pf.Box([2.0], [2.0]),
}
by_domain = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
few = settings(max_examples=15)
fresh = settings(max_examples=80, database=None)


def distance(mu, nu):
    return float(pf.wasserstein(mu, nu))


# -- measures ----------------------------------------------------------------------------------
@by_domain
@few
@given(data=st.data())
def test_measures_lie_in_the_domain_and_have_mass_one(domain, data):
    mu = data.draw(some.measures(domain, min_atoms=2, max_atoms=5, zeros=True))
    assert 2 <= len(mu) <= 5 and mu.dim == domain.dim
    assert domain.contains(mu.points).all()
    assert (mu.weights >= 0).all() and abs(mu.mass - 1) < 1e-14


@pytest.mark.parametrize("law", some.WEIGHTS)
@few
@given(data=st.data())
def test_weights_follow_their_law(law, data):
    mu = data.draw(some.measures(LINE, max_atoms=12, weights=law))
    n, weights = len(mu), mu.weights
    assert (weights > 0).all()
    if law == "uniform":
        assert (weights == 1 / n).all()
    if law == "dyadic":
        assert weights.sum() == 1 and (weights * 2.0**50 % 1 == 0).all()
    if law == "rational":
        assert any(np.allclose(weights * k, np.round(weights * k)) for k in range(n, 12 * n + 1))


@settings(max_examples=2, suppress_health_check=list(HealthCheck))
@given(some.measures(LINE, min_atoms=300, max_atoms=300, weights="dyadic"))
def test_many_dyadic_weights_neither_vanish_nor_overflow(mu):
    assert (mu.weights > 0).all() and abs(mu.mass - 1) < 1e-12


def test_zero_weights_come_only_where_they_are_asked_for():
    def has_zero(mu):
        return (mu.weights == 0).any()

    assert len(find(some.measures(LINE, zeros=True), has_zero, settings=fresh)) == 2
    with pytest.raises(NoSuchExample):
        find(some.measures(LINE), has_zero, settings=fresh)


def test_atoms_coincide_and_weights_spread():
    def coincide(mu):
        return len(np.unique(mu.points, axis=0)) < len(mu)

    def uneven(mu):
        return mu.weights.max() > 1000 * mu.weights.min()

    assert len(find(some.measures(pf.Ball(2)), coincide, settings=fresh)) == 2
    assert find(some.measures(LINE), uneven, settings=fresh).weights.tolist() == [
        1 - 2.0**-20,
        2.0**-20,
    ]


# -- shrinking ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "domain, condition, want",
    [
        (pf.Ball(2), lambda mu: np.ptp(mu.points) > 0, ([[0.0, 0.5]], [1.0])),
        (LINE, lambda mu: len(set(mu.points[:, 0])) > 2, ([[0.0], [0.5], [-0.5]], [1 / 3] * 3)),
        (LINE, lambda mu: len(mu) > 1 and mu.weights[0] > 0.6, ([[0.0]] * 2, [0.75, 0.25])),
        (LINE, lambda mu: mu.weights @ mu.points[:, 0] > 0.9, ([[1.0]], [1.0])),
        (pf.Sphere(2), lambda mu: len(np.unique(mu.points, axis=0)) > 1, None),
        (pf.Simplex(2), lambda mu: mu.points[0, 1] < 1, ([[1.0, 0.0]], [1.0])),
    ],
)
def test_measures_shrink_to_few_atoms_and_simple_numbers(domain, condition, want):
    mu = find(some.measures(domain), condition, settings=fresh)
    if want is None:
        assert len(mu) == 2 and sorted(np.abs(mu.points).ravel()) == [0, 0, 1, 1]
        return
    np.testing.assert_allclose(mu.points, want[0], atol=0)
    np.testing.assert_allclose(mu.weights, want[1], rtol=1e-15)


def test_a_failing_test_is_shown_its_simplest_measure():
    """A map that replicates wrongly fails first on one simple measure of two atoms."""

    def root_pooling(tokens):
        return tokens + tokens.sum(0) / np.sqrt(len(tokens))

    def changes(mu):
        twice = np.concatenate([mu.points, mu.points])
        return np.abs(root_pooling(twice)[: len(mu)] - root_pooling(mu.points)).max() > 1e-3

    mu = find(some.measures(pf.Ball(2), weights="uniform"), changes, settings=fresh)
    assert len(mu) == 1 and sorted(np.abs(mu.points[0])) == [0.0, 0.5]


# -- pairs and sequences -----------------------------------------------------------------------
@by_domain
@pytest.mark.parametrize("delta", [0.1, 1e-6])
@settings(max_examples=5)
@given(data=st.data())
def test_pairs_are_near(domain, delta, data):
    mu, nu = data.draw(some.pairs(domain, delta))
    assert domain.contains(nu.points).all() and (nu.weights > 0).all()
    assert abs(nu.mass - 1) < 1e-14
    assert distance(mu, nu) <= delta * (1 + 1e-9) + 1e-14


def test_pairs_reach_their_distance_in_many_ways():
    ball, delta = pf.Ball(2), 0.01
    pairs = some.pairs(ball, delta)

    def first(condition):
        return find(pairs, condition, settings=fresh)

    mu, nu = first(lambda pair: distance(*pair) > 0.9 * delta)
    assert len(mu) == 1
    first(lambda pair: len(pair[1]) > len(pair[0]))  # split
    far = first(lambda pair: np.ptp(pair[1].points) > 0.4 and np.ptp(pair[0].points) == 0)
    assert far[1].weights.min() <= 2 * delta  # little mass far away


@by_domain
@settings(max_examples=4)
@given(data=st.data())
def test_sequences_refine(domain, data):
    sequence = data.draw(some.refining(domain, levels=3))
    assert [len(mu) for mu in sequence] == [2**k * len(sequence[0]) for k in range(4)]
    for k, (mu, nu) in enumerate(zip(sequence, sequence[1:], strict=False)):
        assert domain.contains(nu.points).all()
        assert distance(mu, nu) <= domain.diameter * 2.0**-k / 16 + 1e-14


def test_sequences_do_become_finer():
    last = find(
        some.refining(LINE), lambda sequence: True, settings=settings(fresh, max_examples=1)
    )[-1]
    assert len(np.unique(last.points)) == len(last) == 16


# -- test functions ----------------------------------------------------------------------------
@few
@given(some.functions(2), some.measures(pf.Ball(2), min_atoms=2))
def test_test_functions_are_bounded_and_lipschitz(psi, mu):
    values, (y, z) = psi(mu.points), mu.points[:2]
    assert (np.abs(values) <= 1).all()
    assert abs(values[0] - values[1]) <= np.linalg.norm(y - z) * (1 + 1e-12) + 1e-15


@few
@given(st.data())
def test_plateaus_are_constant_near_the_places_and_keep_the_rest(data):
    mu = data.draw(some.measures(pf.Ball(2), max_atoms=4))
    psi = data.draw(some.plateaus(mu.points))
    rng = np.random.default_rng(0)
    step = rng.normal(size=mu.points.shape)
    near = mu.points + 0.99 * psi.radius * step / np.linalg.norm(step, axis=1, keepdims=True)
    np.testing.assert_array_equal(psi(near), psi.wave(mu.points))
    y, z = rng.uniform(-1.5, 1.5, size=(2, 200, 2))
    slopes = np.abs(psi(y) - psi(z)) / np.linalg.norm(y - z, axis=1)
    assert slopes.max() <= 3 * (1 + 1e-9)
    away = np.linalg.norm(y[:, None] - mu.points, axis=2).min(axis=1) >= 2 * psi.radius
    np.testing.assert_array_equal(psi(y[away]), psi.wave(y[away]))


def test_plateaus_take_out_the_irregular_part():
    """On a smooth map the quotient with a plateau is psi(G), without it is not."""
    points, weights, x = np.array([[-0.5], [0.5]]), np.array([0.75, 0.25]), np.array([[1.0]])

    def image(p, w):
        return p + w @ p, w

    psi = some.Plateau(some.Wave((1.0,), 0.5), image(points, weights)[0], 0.125)
    eps = 1e-6
    tagged = image(np.concatenate([points, x]), np.append((1 - eps) * weights, eps))
    for phi, regular in ((psi, True), (psi.wave, False)):
        before = image(points, weights)
        quotient = (tagged[1] @ phi(tagged[0]) - (1 - eps) * before[1] @ phi(before[0])) / eps
        value = phi(tagged[0][2:])[0]
        assert (abs(quotient - value) < 1e-9) == regular


# -- maps --------------------------------------------------------------------------------------
@settings(max_examples=15)
@given(st.data())
def test_maps_are_maps_of_measures(data):
    ball = pf.Ball(2)
    G = data.draw(some.in_context_maps(ball))
    mu, nu = data.draw(some.pairs(ball, 1e-7))
    assert isinstance(G, pf.InContextMap) and G.domain == ball
    x = ball.sample(np.random.default_rng(0), 3)
    here, there = (G.fn(m.points.copy(), m.weights.copy(), x) for m in (mu, nu))
    assert here.shape == (3, 2) and np.isfinite(here).all()
    np.testing.assert_allclose(here, there, atol=1e-3)
    order = np.arange(len(mu))[::-1]
    np.testing.assert_allclose(G.fn(mu.points[order], mu.weights[order], x), here, atol=1e-12)


@settings(max_examples=6)
@given(st.data())
def test_symbolic_maps_agree_with_their_reference(data):
    ball = pf.Ball(2)
    G = data.draw(some.symbolic_maps(ball))
    mu = data.draw(some.measures(ball))
    x = ball.sample(np.random.default_rng(0), 2)
    want = G.bound(mu.points, mu.weights, x, engine="reference")
    np.testing.assert_allclose(G.bound(mu.points, mu.weights, x, engine="numpy"), want, rtol=1e-9)


def test_symbolic_maps_shrink_to_one_layer_without_parameters():
    def interacts(G):
        return any(name.startswith("K") for name in G.bound.parameters)

    G = find(some.symbolic_maps(pf.Ball(1)), interacts, settings=settings(fresh, max_examples=50))
    assert {name: value.tolist() for name, value in G.bound.parameters.items()} == {"K0": [[0.0]]}


# -- wrong calls -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: some.measures([[0.0], [1.0]]), "expected a domain"),
        (lambda: some.measures(LINE, min_atoms=0), "min_atoms"),
        (lambda: some.measures(LINE, min_atoms=7), "max_atoms"),
        (lambda: some.measures(LINE, weights="heavy"), "heavy"),
        (lambda: some.pairs(LINE, 0.0), "delta > 0"),
        (lambda: some.pairs(LINE, float("nan")), "delta > 0"),
        (lambda: some.refining(LINE, levels=0), "levels"),
        (lambda: some.plateaus([0.0, 1.0]), r"\(k, d\)"),
        (lambda: some.attention_blocks(3), "expected a domain"),
        (lambda: some.symbolic_maps("ball"), "expected a domain"),
        (lambda: some.places(None), "expected a domain"),
    ],
)
def test_wrong_calls_are_refused_when_the_strategy_is_made(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
