"""Estimates from random batches: how far off they are, and that they say so."""

import numpy as np
import pytest

from pushforward.numeric import Ensemble, Estimate
from pushforward.numeric.lowering import lower
from pushforward.numeric.random_batches import is_plain_sum
from pushforward.symbolic import Measure, Point, SymbolicMap, gibbs, integral, library as lib, norm2

RNG = np.random.default_rng(11)
N = 2000
POINTS, WEIGHTS = RNG.normal(size=(N, 3)), 2 * RNG.dirichlet(np.ones(N))
QUERIES = RNG.normal(size=(40, 3)) / 2
PLAIN = lib.consensus(lambda r2: 1 / (1 + r2)).bind()
RATIO = lib.softmax_attention().bind(A=np.eye(3) / 2, V=np.eye(3))
EXACT = {field: field(POINTS, WEIGHTS, QUERIES) for field in (PLAIN, RATIO)}


def estimates(field, batch, seeds=6, rows=20, **options):
    ensemble = Ensemble(field, rows=rows)
    calls = ({"batch": batch, "seed": seed, **options} for seed in range(seeds))
    return [ensemble.estimate(POINTS, WEIGHTS, QUERIES, **call) for call in calls]


def root_mean(arrays):
    return float(np.sqrt(np.mean(np.square(arrays))))


@pytest.mark.parametrize("field", [PLAIN, RATIO], ids=["plain sum", "ratio"])
def test_errors_fall_like_the_root_of_the_batch(field):
    few, many = estimates(field, 32), estimates(field, 512)
    truth = EXACT[field]
    true_ratio = root_mean([e.value - truth for e in few]) / root_mean(
        [e.value - truth for e in many]
    )
    stated_ratio = root_mean([e.error for e in few]) / root_mean([e.error for e in many])
    assert 3 < true_ratio < 5.3  # sqrt(512 / 32) = 4
    assert 3 < stated_ratio < 6.5


def test_the_error_is_what_it_says():
    """Exact lies within four standard errors, and within one about two times of three."""
    found = estimates(PLAIN, 32, batches=32, seeds=1, rows=1)
    apart = np.abs([(e.value - EXACT[PLAIN]) / e.error for e in found])
    assert apart.max() < 4
    assert 0.55 < np.mean(apart < 1) < 0.8
    assert not any(e.is_biased or e.bias is not None for e in found)


def test_a_ratio_says_so_and_states_its_bias():
    found = estimates(RATIO, 16, seeds=60, batches=2)
    assert all(e.is_biased for e in found) and "ratio" in str(found[0])
    bias = np.mean([e.value - EXACT[RATIO] for e in found], axis=0)
    stated = np.mean([e.bias for e in found], axis=0)
    # Along the query: the mean is drawn towards that of the whole measure.
    along = [np.sum(b * QUERIES) / np.sum(QUERIES**2) for b in (bias, stated)]
    assert along[0] < -0.005 and along[1] < -0.005
    assert 0.4 < along[1] / along[0] < 2.5


def test_a_map_without_the_measure_is_exact():
    bound = lib.rms_norm().bind(eps=1e-6)
    found = Ensemble(bound).estimate(POINTS, WEIGHTS, QUERIES, batch=2, batches=4)
    np.testing.assert_allclose(found.value, bound(POINTS, WEIGHTS, QUERIES), rtol=1e-14)
    assert found.error.max() < 1e-15


def test_seeds_and_shards_decide_the_bits():
    call = lambda rows, seed, workers: (  # noqa: E731
        Ensemble(RATIO, rows=rows, workers=workers)
        .estimate(POINTS, WEIGHTS, QUERIES, batch=8, seed=seed)
        .value
    )
    np.testing.assert_array_equal(call(20, 1, 1), call(20, 1, 3))
    assert not np.array_equal(call(20, 1, 1), call(20, 2, 1))
    same = np.tile(QUERIES[:1], (40, 1))
    value = Ensemble(PLAIN, rows=20).estimate(POINTS, WEIGHTS, same, batch=8).value
    assert np.array_equal(value[0], value[19]) and not np.array_equal(value[0], value[20])


def test_an_estimate_is_no_array():
    found = estimates(PLAIN, 4, seeds=1)[0]
    assert isinstance(found, Estimate) and "standard errors up to" in str(found)
    with pytest.raises(TypeError, match="take its value, and see its error"):
        np.asarray(found)
    with pytest.raises(TypeError):
        found + 1.0


def test_heavy_atoms_are_drawn_by_their_weight():
    """All mass on one atom: every batch is that atom; an atom of no mass is never drawn."""
    weights = np.zeros(N)
    weights[7] = 3.0
    found = Ensemble(PLAIN).estimate(POINTS, weights, QUERIES, batch=2)
    np.testing.assert_allclose(found.value, PLAIN(POINTS, weights, QUERIES), rtol=1e-13, atol=1e-15)
    assert found.error.max() < 1e-14


def test_arrays_of_other_libraries():
    torch = pytest.importorskip("torch")
    made = [torch.tensor(a, dtype=torch.float32) for a in (POINTS, WEIGHTS, QUERIES)]
    found = Ensemble(PLAIN).estimate(*made, batch=256)
    for part in (found.value, found.error):
        assert isinstance(part, torch.Tensor) and part.dtype == torch.float32
    apart = np.abs(found.value.numpy() - EXACT[PLAIN]) / found.error.numpy()
    assert apart.max() < 6


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch": 0}, "expected batch, an integer >= 1, got 0"),
        ({"batches": 1}, "expected batches, an integer >= 2, got 1"),
        ({"seed": -1}, "expected seed, an integer >= 0"),
    ],
)
def test_bad_numbers(options, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(PLAIN).estimate(POINTS, WEIGHTS, QUERIES, **options)


x, y, z, mu, nu = Point("x"), Point("y"), Point("z"), Measure("mu"), Measure("nu")
PLAIN_SUMS = {
    "difference": integral(y - x, y, mu),
    "kernel": integral(y / (1 + norm2(x - y)), y, mu),
    "mean of one": x + integral(y, y, mu) - 2 * integral(norm2(y) * x, y, mu),
    "mean of another": gibbs(y, y, nu, energy=norm2(y)),
    "product with another": gibbs(norm2(y), y, nu, energy=norm2(y)) * integral(y, y, mu),
}
NO_PLAIN_SUMS = {
    "ratio": gibbs(y, y, mu, energy=norm2(x - y)),
    "square": norm2(integral(y, y, mu)) * x,
    "two layers": integral(norm2(integral(z - y, z, mu)) * y, y, mu),
    "function": integral(y, y, mu) / integral(norm2(y), y, mu),
}


@pytest.mark.parametrize("name", [*PLAIN_SUMS, *NO_PLAIN_SUMS])
def test_plain_sums_are_told_from_others(name):
    term = {**PLAIN_SUMS, **NO_PLAIN_SUMS}[name]
    formula = SymbolicMap(term, x, mu, others=(nu,))
    assert is_plain_sum(lower(formula.term), "mu") == (name in PLAIN_SUMS)
    # By the definition: affine along the segment between two measures of one mass.
    values = [formula.bind()(*part, **more) for *part, more in segment()]
    affine = np.allclose(values[2], (values[0] + values[1]) / 2, rtol=1e-9, atol=1e-9)
    assert affine == (name in PLAIN_SUMS)


def segment():
    points, query = RNG.normal(size=(6, 2)), RNG.normal(size=(1, 2))
    ends = RNG.dirichlet(np.ones(6), size=2)
    more = {"nu": (points, None)}
    for weights in (*ends, ends.mean(axis=0)):
        yield points, weights, query, more
