"""Flows by random batches: their error falls like 1/sqrt(batch), and they know how large it is."""

import numpy as np
import pytest

from pushforward.numeric import Sphere, estimate_flow
from pushforward.verify.exact_solutions import softmax_gaussian_line


def pull(points, weights, x):
    return weights @ points - weights.sum() * x


RNG = np.random.default_rng(0)
SWARM = RNG.normal(size=(3000, 2))
EXACT = SWARM.mean(0) + np.exp(-1.0) * (SWARM - SWARM.mean(0))


def off(found):
    return float(np.sqrt(np.mean(np.sum((found.points - EXACT) ** 2, axis=1))))


def test_the_error_falls_with_the_batch_and_is_known():
    sizes = np.array([16, 64, 256, 1024])
    found = [
        [estimate_flow(pull, SWARM, None, 1.0, batch=int(p), seed=s) for s in range(6)]
        for p in sizes
    ]
    true = np.array([np.sqrt(np.mean([off(f) ** 2 for f in row])) for row in found])
    said = np.array([np.sqrt(np.mean([f.typical**2 for f in row])) for row in found])
    assert np.polyfit(np.log(sizes), np.log(true), 1)[0] == pytest.approx(-0.5, abs=0.15)
    assert (said / true > 0.5).all() and (said / true < 2).all()


def test_weights_count():
    weights = np.where(SWARM[:, 0] > 0, 3.0, 0.0) / 3000
    found = estimate_flow(pull, SWARM, weights, 0.5, batch=1024)
    mean, mass = weights @ SWARM / weights.sum(), weights.sum()
    exact = mean + np.exp(-0.5 * mass) * (SWARM - mean)
    assert np.abs(found.points - exact).max() < 0.05


def test_the_same_seed_gives_the_same_bits():
    one, two = (estimate_flow(pull, SWARM, None, 1.0, steps=4, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
    other = estimate_flow(pull, SWARM, None, 1.0, steps=4, seed=8)
    assert np.abs(one.points - other.points).max() > 1e-4
    shares = []
    estimate_flow(pull, SWARM, None, 1.0, steps=4, progress=shares.append)
    assert shares[-1] == 1.0 and len(shares) == 8


def test_attention_and_spheres():
    law = softmax_gaussian_line()
    start = 0.2 + 0.5 * RNG.normal(size=(2000, 1))
    found = estimate_flow(law.field, start, None, 1.0, batch=1000, dtype=np.float32)
    assert found.points.dtype == np.float32 and "standard error" in str(found)
    tokens = Sphere(3).sample(RNG, 50)
    moved = estimate_flow(pull, tokens, None, 1.0, batch=20, domain=Sphere(3)).points
    assert np.abs(np.linalg.norm(moved, axis=1) - 1).max() < 1e-15


def test_bad_calls():
    with pytest.raises(ValueError, match="expected runs, an integer >= 2"):
        estimate_flow(pull, SWARM, None, 1.0, runs=1)
    with pytest.raises(ValueError, match="expected batch"):
        estimate_flow(pull, SWARM, None, 1.0, batch=0)
    with pytest.raises(TypeError, match="no array"):
        np.asarray(estimate_flow(pull, SWARM, None, 1.0, steps=1))
