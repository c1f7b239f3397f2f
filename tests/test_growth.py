"""Proved bounds of how fast two solutions of a Vlasov equation part."""

import numpy as np
import pytest
import sympy

import pushforward as pf
from pushforward.proofs_checks import Growth, Refusal, growth
from pushforward.symbolic import Matrix, Point, Scalar, VelocityField, library

ATTENTION = VelocityField(library.softmax_attention().term, library.X, library.MU)
SWARM = VelocityField(
    library.cucker_smale(1).term.subs({Scalar("beta"): sympy.Rational(1, 2)}), library.X, library.MU
)
MATRICES = {"A": np.array([[0.5, 0.2], [-0.3, 0.4]]), "V": np.array([[0.3, -0.4], [0.4, 0.3]])}
CASES = {
    "attention": (ATTENTION, MATRICES, pf.Ball(2, 0.7), pf.Ball(2, 0.7)),
    "swarm": (SWARM, {"K": 0.5}, pf.Product(pf.Box([-1.0], [1.0]), pf.Box([-0.5], [0.5])), None),
    "consensus": (library.consensus(), {}, pf.Box([-1.0, 0.0], [1.0, 0.5]), None),
    "oscillators": (library.kuramoto(), {"K": 0.8}, pf.Box([0.0], [3.0]), None),
    "on the sphere": (
        library.sphere_attention(), {"A": 0.2 * np.eye(3), "V": 0.5 * np.eye(3)}, pf.Sphere(3), None
    ),
}  # fmt: skip


HEAVY = ("swarm", "on the sphere")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n for n in CASES]
)
def test_no_flow_exceeds_its_bound(name):
    field, values, domain, _ = CASES[name]
    time = 0.4
    found = growth(field, values, domain, time, slices=2, parts=1)
    assert isinstance(found, Growth), found
    bound, rng = field.bind(**values), np.random.default_rng(0)
    sphere = domain if isinstance(domain, pf.Sphere) else None
    for spread in (1.0, 1e-3):
        start = domain.sample(rng, 5), domain.sample(rng, 5)
        pair = start[0], domain.project(start[0] + spread * (start[1] - start[0]))
        weights = rng.dirichlet(np.ones(5))
        paths = [
            bound.flow(p, weights, time, steps=12, times=[0.2, 0.4], engine="numpy", domain=sphere)
            for p in pair
        ]
        before = float(pf.wasserstein(*(pf.DiscreteMeasure(p, weights) for p in pair)))
        for ends in zip(*paths, strict=True):
            after = float(pf.wasserstein(*(pf.DiscreteMeasure(p, weights) for p in ends)))
            assert after <= found.factor * before * (1 + 1e-7)
            assert all(found.domains[-1].contains(end, 1e-9).all() for end in ends)


@pytest.mark.slow
def test_velocities_that_align_stay_in_their_box():
    field, values, domain, _ = CASES["swarm"]
    found = growth(field, values, domain, 1.0, slices=2, parts=2)
    assert found.domains[-1].factors[1] == domain.factors[1]
    # Positions move by 0.5 at most in a time of one.
    assert found.domains[-1].factors[0].upper[0] == pytest.approx(1.5, abs=0.1)


def test_more_slices_are_sharper():
    one, several = (growth(ATTENTION, MATRICES, pf.Ball(2, 0.7), 0.6, slices=k, parts=1)
                    for k in (1, 4))  # fmt: skip
    assert several.exponent < one.exponent
    assert "proved" in str(one) and one.rate == pytest.approx(one.exponent / 0.6)
    rest = growth(ATTENTION, MATRICES, pf.Ball(2), 0.0)
    assert rest.factor == pytest.approx(1) and rest.rate == 0


def test_what_stops_a_proof_is_named():
    x, t, mu = Point("x"), Scalar("t"), library.MU
    moving = VelocityField(t * x, x, mu, time=t)
    assert isinstance(growth(moving, {}, pf.Ball(2), 1.0), Refusal)
    exploding = VelocityField(sympy.exp(library.dot(x, x)) * x, x, mu)
    stopped = growth(exploding, {}, pf.Ball(2), 5.0)
    assert isinstance(stopped, Refusal) and stopped.head in ("growth", "enclosure")
    free = VelocityField(Matrix("V") @ x, x, mu)
    assert "tangent" in str(growth(free, {"V": np.eye(3)}, pf.Sphere(3), 1.0))
    finite = pf.FiniteSet([[0.0, 0.0], [1.0, 0.0]])
    assert isinstance(growth(ATTENTION, MATRICES, finite, 1.0), Refusal)
    for call, error in (
        (lambda: growth(ATTENTION, MATRICES, pf.Ball(2), -1.0), ValueError),
        (lambda: growth(ATTENTION, MATRICES, pf.Ball(2), 1.0, slices=0), ValueError),
        (lambda: growth(ATTENTION, {"A": np.eye(2)}, pf.Ball(2), 1.0), ValueError),
        (lambda: growth(lambda x: x, {}, pf.Ball(2), 1.0), TypeError),
    ):
        with pytest.raises(error):
            call()
