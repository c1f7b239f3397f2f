"""Domains: what they draw and project lies in them, and their text reads back."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pushforward import Ball, Box, FiniteSet, Product, Simplex, Sphere
from pushforward.numeric import parse_domain

DOMAINS = [
    Box([-1.0], [1.0]),
    Box([-1.0, 2.0, 0.0], [1.0, 2.0, 5e6]),
    Box([0.0] * 40, [0.1] * 40),
    Ball(1),
    Ball(3, 2.5, [1.0, -2.0, 0.5]),
    Ball(2, 1e-9),
    Sphere(1),
    Sphere(4),
    Simplex(1),
    Simplex(5),
    FiniteSet([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
    Product(Box([-1.0, -1.0], [1.0, 1.0]), Ball(2, 3.0)),
    Product(Simplex(3), FiniteSet([[0.0], [1.0]]), Sphere(2)),
]
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@settings(max_examples=20, deadline=None)
@given(seed=seeds, far=st.sampled_from([1e-3, 1.0, 1e8]))
def test_draws_and_projections_lie_inside(domain, seed, far):
    rng = np.random.default_rng(seed)
    outside = far * rng.standard_normal((30, domain.dim))
    for points in (
        domain.sample(rng, 30),
        domain.boundary(rng, 30),
        domain.anchors(),
        domain.project(outside),
    ):
        assert points.dtype == np.float64 and points.ndim == 2 and points.shape[1] == domain.dim
        assert domain.contains(points).all()
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        assert distances.max() <= domain.diameter * (1 + 1e-9) + 1e-15


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_no_point_of_the_domain_is_nearer_than_the_projection(domain, seed):
    rng = np.random.default_rng(seed)
    points = domain.scale * rng.standard_normal((10, domain.dim))
    images, others = domain.project(points), domain.sample(rng, 200)
    nearest = np.linalg.norm(points[:, None] - others[None], axis=2).min(axis=1)
    assert (np.linalg.norm(points - images, axis=1) <= nearest + 1e-9 * domain.scale).all()
    np.testing.assert_allclose(domain.project(images), images, rtol=0, atol=1e-15 * domain.scale)


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_the_text_reads_back(domain):
    assert parse_domain(domain.spec()) == domain
    assert pickle.loads(pickle.dumps(domain)) == domain
    assert hash(parse_domain(domain.spec())) == hash(domain)


def test_diameters():
    assert Box([0.0, 0.0], [3.0, 4.0]).diameter == 5.0
    assert Simplex(3).diameter == pytest.approx(math.sqrt(2))
    assert FiniteSet([[0.0], [3.0], [1.0]]).diameter == 3.0
    assert Product(Ball(2, 1.5), Box([0.0], [4.0])).diameter == 5.0


def test_boundaries():
    rng = np.random.default_rng(0)
    faces = Box([-1.0] * 3, [1.0] * 3).boundary(rng, 100)
    assert (np.abs(faces).max(axis=1) == 1.0).all()
    assert np.allclose(np.linalg.norm(Ball(3, 2.0).boundary(rng, 100), axis=1), 2.0)
    assert (Simplex(4).boundary(rng, 100).min(axis=1) == 0.0).all()


def test_a_ball_never_overshoots_its_radius():
    points = np.random.default_rng(1).standard_normal((10000, 3))
    assert (np.linalg.norm(Ball(3).project(points), axis=1) <= 1.0).all()


def test_samples_of_a_ball_are_uniform():
    radii = np.linalg.norm(Ball(3).sample(np.random.default_rng(2), 20000), axis=1)
    np.testing.assert_allclose(
        np.quantile(radii**3, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.02
    )


def test_non_members():
    assert Box([0.0], [1.0]).contains([[0.5], [1.1], [np.nan]]).tolist() == [True, False, False]
    assert Simplex(2).contains([[0.5, 0.5], [0.6, 0.6]]).tolist() == [True, False]
    assert Sphere(2).contains([[0.6, 0.8], [0.0, 0.0]]).tolist() == [True, False]
    assert FiniteSet([[0.0]]).contains([[1e-3]]).tolist() == [False]


BAD_CALLS = [
    (lambda: Box([1.0], [0.0]), ValueError, "lower <= upper"),
    (lambda: Box([0.0], [1.0, 2.0]), ValueError, "equal length"),
    (lambda: Box(0.0, 1.0), ValueError, "shape (d,)"),
    (lambda: Box([], []), ValueError, "shape (d,)"),
    (lambda: Box([-np.inf], [0.0]), ValueError, "finite"),
    (lambda: Ball(0), ValueError, ">= 1"),
    (lambda: Ball(2.0), TypeError, "integer"),
    (lambda: Ball(2, 0.0), ValueError, "> 0"),
    (lambda: Ball(2, np.nan), ValueError, "finite"),
    (lambda: Ball(2, "wide"), TypeError, "number"),
    (lambda: Ball(2, 1.0, [0.0]), ValueError, "2 coordinates"),
    (lambda: Sphere(-1), ValueError, ">= 1"),
    (lambda: Simplex("a"), TypeError, "integer"),
    (lambda: FiniteSet([1.0, 2.0]), ValueError, "shape (n, d)"),
    (lambda: FiniteSet([[np.nan]]), ValueError, "finite"),
    (lambda: Product(), ValueError, "at least one"),
    (lambda: Product(Ball(2), 3), TypeError, "domains"),
    (lambda: Ball(2).contains([[0.0]]), ValueError, "(n, 2)"),
    (lambda: parse_domain("cube:3"), ValueError, "cube:3"),
    (lambda: parse_domain("box:-1:3"), ValueError, "box:-1:3"),
    (lambda: parse_domain("box:-1,1:x"), ValueError, "expected a domain"),
    (lambda: parse_domain("box:1,-1:3"), ValueError, "lower <= upper"),
    (lambda: parse_domain("ball:2:1:0,0:9"), ValueError, "ball:2:1:0,0:9"),
    (lambda: parse_domain("ball:2:-1"), ValueError, "> 0"),
    (lambda: parse_domain("sphere:0"), ValueError, ">= 1"),
    (lambda: parse_domain("sphere"), ValueError, "expected a domain"),
    (lambda: parse_domain("finite:0,0;1"), ValueError, "unequal"),
    (lambda: parse_domain(""), ValueError, "expected a domain"),
]


@pytest.mark.parametrize("call, error, words", BAD_CALLS)
def test_bad_calls_name_what_was_expected(call, error, words):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert words in message and "\n" not in message and len(message) < 300
