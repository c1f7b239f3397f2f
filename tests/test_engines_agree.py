"""All engines give the value of the hand-written oracle, on random terms and measures."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from term_oracle import value
from term_recipes import MU, NU, A, B, C, U, V, X, Y, Z, environment, vectors

from pushforward.numeric import reductions, tiles
from pushforward.numeric.arrays import to_numpy
from pushforward.numeric.blocked import evaluate
from pushforward.numeric.lowering import lower
from pushforward.numeric.multiprecision import interpret_precisely
from pushforward.numeric.reference import Inputs, interpret
from pushforward.symbolic import (
    Along,
    LogPartition,
    MassAt,
    SymbolicMap,
    covariance,
    dot,
    gateaux,
    gibbs,
    jacobian_in,
)

ORDER = ("x", "y", "z")
SEEDS = st.integers(0, 100)


def inputs_of(env, rows, cast=lambda array: np.array(array, dtype=float)):
    """The environment of the oracle as inputs, each point argument with several rows."""
    rng = np.random.default_rng(1)
    points = {p.name: np.stack([env[p], *rng.normal(size=(rows - 1, 2)) / 2]) for p in (X, Y, Z, U)}
    return Inputs(
        {name: cast(array) for name, array in points.items()},
        {m.name: (cast(env[m][0]), cast(env[m][1])) for m in (MU, NU)},
        {p.name: cast(env[p]) for p in (A, V, B, C)},
    )


def oracle(term, env, inputs, index):
    """The oracle at one row of each point argument."""
    at = {p: inputs.points[p.name][i] for p, i in zip((X, Y, Z), index, strict=True)}
    return value(term, env | at)


@st.composite
def terms(draw):
    """Vector terms and what is derived from them: matrices and scalars too."""
    term = draw(vectors())
    how = draw(st.sampled_from(["plain", "plain", "jacobian", "flat", "trace"]))
    if how == "flat":
        return gateaux(term, MassAt(draw(st.sampled_from((MU, NU))), Z))
    if how == "plain":
        return term
    jacobian = jacobian_in(gateaux(term, Along(X, U)), U)
    return jacobian if how == "jacobian" else lower_trace(jacobian)


def lower_trace(matrix):
    from pushforward.symbolic import Trace

    return Trace(matrix)


@settings(max_examples=40, deadline=None)
@given(terms(), SEEDS, st.integers(1, 5))
def test_the_reference_is_the_oracle(term, seed, n):
    env = environment(seed, n=n)
    inputs = inputs_of(env, rows=2)
    got = interpret(lower(term), inputs, ORDER)
    for index in ((0, 0, 0), (1, 0, 1), (1, 1, 0)):
        want = oracle(term, env, inputs, index)
        np.testing.assert_allclose(got[index], want, rtol=1e-9, atol=1e-9)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(terms(), SEEDS, st.integers(1, 7), st.sampled_from([1, 40, 2**18]))
def test_tiles_are_the_reference(monkeypatch, term, seed, n, numbers):
    monkeypatch.setattr(tiles, "TILE_NUMBERS", numbers)
    inputs = inputs_of(environment(seed, n=n), rows=4)
    program = lower(term)
    want = interpret(program, inputs, ORDER)
    got = evaluate(program, inputs, ORDER)
    assert got.shape == want.shape and got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * (1 + np.abs(want).max()))
    np.testing.assert_array_equal(got, evaluate(program, inputs, ORDER))


FORMULAS = {
    "mean": gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)),
    "covariance": covariance(V @ Y, dot(Y, Y), Y, MU, energy=dot(X, A @ Y)),
    "logarithm": LogPartition(Y, MU, dot(X, A @ Y)) * X,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(
    "scale, offset, least, size, shifted",
    [
        (1, 0, 1e-3, 1, False),  # as they come
        (1, -15, 1e-3, 1, False),  # all small: the lift holds them
        (1, -400, 1e-3, 1, True),  # no sum is as large as one
        (1, 800, 1e-3, 1, True),  # infinite sums
        (1e4, 0, 1e-3, 1, True),
        (1, 0, 1e-300, 1, True),  # weights that no lift brings above one
        (1, 20, 1e-3, 1e36, None),  # sums in range, and products with values that are not
    ],
)
def test_laws_are_shifted_where_they_must_be(
    monkeypatch, formula, scale, offset, least, size, shifted, dtype
):
    """Exponentials without a shift where sums show them in range, in tiles of three rows."""
    made = []
    law = reductions._shifted_law
    monkeypatch.setattr(reductions, "_shifted_law", lambda *args: made.append(1) or law(*args))
    monkeypatch.setattr(tiles, "TILE_NUMBERS", 60)
    rng, n = np.random.default_rng(4), 40
    points, queries = np.ones((n, 2)), np.ones((8, 2))
    points[:, 0], queries[:, 0] = rng.normal(size=n), rng.normal(size=8)
    queries[:3, 1] = 0  # rows without the offset: their tile alone is in range
    weights = np.where(np.arange(n) < 3, least, 1.0)
    values = {"A": np.diag([scale, offset]), "V": size * np.eye(2)}
    term = SymbolicMap(FORMULAS[formula], X, MU)
    bound = term.bind(**{p.name: values[p.name] for p in term.parameters})
    got = bound.evaluate(points, weights, queries, engine="numpy", dtype=dtype)
    if shifted is not None:
        assert bool(made) == shifted
    exact = bound.at_precision(points, weights, queries, digits=40).astype(float)
    assert np.isfinite(got.value).all()
    assert ((np.abs(got.value - exact) <= got.bound) | np.isinf(got.bound)).all()
    np.testing.assert_array_equal(
        got.value, bound(points, weights, queries, engine="numpy", dtype=dtype)
    )


@settings(max_examples=15, deadline=None)
@given(terms(), SEEDS)
def test_many_digits_are_the_reference(term, seed):
    inputs = inputs_of(environment(seed), rows=1)
    program = lower(term)
    want = interpret(program, inputs, ORDER)
    got = interpret_precisely(program, inputs, ORDER, 30).astype(float)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8 * (1 + np.abs(want).max()))


@settings(max_examples=15, deadline=None)
@given(terms(), SEEDS)
def test_torch_is_the_reference(term, seed):
    torch = pytest.importorskip("torch")
    env = environment(seed)
    program = lower(term)
    want = interpret(program, inputs_of(env, rows=3), ORDER)
    cast = lambda array: torch.tensor(np.array(array), dtype=torch.float64)  # noqa: E731
    got = evaluate(program, inputs_of(env, 3, cast), ORDER)
    assert isinstance(got, torch.Tensor) and got.dtype == torch.float64
    np.testing.assert_allclose(to_numpy(got), want, rtol=1e-9, atol=1e-9 * (1 + np.abs(want).max()))
