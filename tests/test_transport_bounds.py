"""Bounds of W1 from a few anchors hold the exact distance, whatever the anchors."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pushforward.numeric import DiscreteMeasure, transport_bounds, wasserstein, wasserstein_bounds


def pair(seed, n, m, d, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) ** 4, rng.random(m) ** 4
    mu = DiscreteMeasure(scale * rng.normal(size=(n, d)) + shift, a)
    return mu, DiscreteMeasure(
        scale * rng.normal(size=(m, d)) + 0.3 * scale + shift, b * a.sum() / b.sum()
    )


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 1000), st.integers(1, 30), st.integers(1, 30), st.integers(1, 4),
    st.integers(1, 40), st.sampled_from([1e-6, 1.0, 1e8]), st.sampled_from([0.0, 1e4]),
)  # fmt: skip
def test_the_distance_lies_between(seed, n, m, d, anchors, scale, shift):
    mu, nu = pair(seed, n, m, d, scale, shift)
    exact = wasserstein(mu, nu)
    bounds = wasserstein_bounds(mu, nu, anchors=anchors, seed=seed)
    assert bounds.lower <= exact.upper and exact.lower <= bounds.upper
    assert bounds.lower <= bounds.estimate <= bounds.upper


def test_all_atoms_as_anchors_give_the_distance():
    mu, nu = pair(1, 40, 50, 2)
    bounds, exact = wasserstein_bounds(mu, nu, anchors=90), wasserstein(mu, nu)
    assert bounds.anchors == 90
    assert bounds.lower == pytest.approx(exact.value, rel=1e-10)
    assert bounds.upper == pytest.approx(exact.value, rel=1e-10)


def test_more_anchors_bring_the_bounds_together():
    mu, nu = pair(2, 3000, 3000, 2)
    widths = [b.upper - b.lower for b in (wasserstein_bounds(mu, nu, anchors=k) for k in (20, 320))]
    assert widths[1] < widths[0] / 2.5  # 4 in the limit, the root of 16


def test_pieces_and_workers(monkeypatch):
    mu, nu = pair(3, 500, 400, 3)
    monkeypatch.setattr(transport_bounds, "_ROWS", 64)
    shares = []
    found = wasserstein_bounds(mu, nu, anchors=50, workers=1, progress=shares.append)
    assert found == wasserstein_bounds(mu, nu, anchors=50, workers=4)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == 2 * (8 + 7)


def test_coincident_measures():
    mu, _ = pair(4, 300, 1, 2)
    bounds = wasserstein_bounds(mu, mu, anchors=20)
    assert bounds.lower == 0 and bounds.estimate == pytest.approx(0, abs=1e-12)


def test_bad_calls():
    mu, nu = pair(5, 4, 4, 2)
    with pytest.raises(ValueError, match="expected anchors, an integer >= 1, got 0"):
        wasserstein_bounds(mu, nu, anchors=0)
    with pytest.raises(ValueError, match="equal mass"):
        wasserstein_bounds(mu, DiscreteMeasure(nu.points, 2 * nu.weights))
    with pytest.raises(TypeError, match="expected a DiscreteMeasure"):
        wasserstein_bounds(mu, nu.points)
