"""Evaluations that are written down and run again: the same bits, whatever ran before."""

import numpy as np
import pytest
from sympy import Rational, sqrt

from pushforward.numeric import plans, tiles
from pushforward.numeric.tapes import Tape, Untraceable
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    covariance,
    dot,
    gibbs,
    integral,
    norm2,
    stack,
)

X, Y, MU, A = Point("x"), Point("y"), Measure("mu"), Matrix("A")
APART = norm2(X - Y)
RATE = (1 + APART) ** -Rational(1, 2)
TERMS = {
    "attention": gibbs(Y, Y, MU, energy=dot(X, A @ Y)),
    "covariance": covariance(Y, dot(Y, Y), Y, MU, energy=dot(X, A @ Y)),
    "distances": integral(RATE * (Y - X), Y, MU),
    "powers": integral((RATE**3 + sqrt(norm2(X + Y))) * (A @ Y - X) * dot(X, Y), Y, MU),
    "stack": stack(X, integral(APART * (X - Y), Y, MU), gibbs(Y, Y, MU, energy=-APART)),
}


def _bound(name):
    term = SymbolicMap(TERMS[name], X, MU)
    matrix = np.array([[1.0, 0.5], [-0.25, 2.0]])
    return term.bind(**{p.name: matrix for p in term.parameters})


def _inputs(seed, n=9, rows=7, scale=1.0):
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(n, 2)), rng.dirichlet(np.ones(n)), rng.normal(size=(rows, 2))


@pytest.mark.parametrize("name", TERMS)
def test_a_plan_gives_the_bits_of_the_first_call(monkeypatch, name):
    monkeypatch.setattr(plans, "_PLANS", {})
    bound = _bound(name)
    first = [bound(*_inputs(seed), engine="numpy") for seed in range(3)]
    assert [len(ways) for ways in plans._PLANS.values()] == [1]
    for seed, value in enumerate(first):
        plans._PLANS.clear()
        np.testing.assert_array_equal(bound(*_inputs(seed), engine="numpy"), value)
        want = bound(*_inputs(seed), engine="reference")
        np.testing.assert_allclose(value, want, rtol=1e-12, atol=1e-12)


def test_a_plan_has_a_way_for_every_decision(monkeypatch):
    """Scores out of range take another way; which was taken first changes nothing."""
    monkeypatch.setattr(plans, "_PLANS", {})
    bound, found = _bound("attention"), {}
    for scales in ((1.0, 1e4), (1e4, 1.0)):
        plans._PLANS.clear()
        for scale in (*scales, *scales):
            value = bound(*_inputs(1, scale=scale), engine="numpy")
            np.testing.assert_array_equal(found.setdefault(scale, value), value)
        assert [len(ways) for ways in plans._PLANS.values()] == [2]
    want = bound(*_inputs(1, scale=1e4), engine="reference")
    np.testing.assert_allclose(found[1e4], want, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TERMS)
def test_tiles_by_a_tape_have_the_bits_of_tiles_without(monkeypatch, name, dtype):
    monkeypatch.setattr(tiles, "TILE_NUMBERS", 200)
    bound, recorded = _bound(name), []
    take = tiles.Run._recorded
    monkeypatch.setattr(
        tiles.Run, "_recorded", lambda *args: recorded.append(take(*args)) or recorded[-1]
    )
    points, weights, queries = _inputs(2, n=20, rows=180)
    got = bound(points, weights, queries, engine="numpy", dtype=dtype)
    assert recorded and all(again is not None for _, again in recorded)
    monkeypatch.setattr(tiles, "_FEWEST_AGAIN", 1000)
    np.testing.assert_array_equal(bound(points, weights, queries, engine="numpy", dtype=dtype), got)


def test_tiles_leave_a_tape_where_scores_leave_the_range(monkeypatch):
    monkeypatch.setattr(tiles, "TILE_NUMBERS", 200)
    points, weights, queries = _inputs(3, n=20, rows=200)
    queries[120:] *= 1e4
    bound = _bound("attention")
    got = bound(points, weights, queries, engine="numpy")
    np.testing.assert_allclose(got, bound(points, weights, queries, engine="reference"), rtol=1e-9)


def test_what_is_no_call_is_refused():
    u = Tape().input(np.ones(2))
    for use in (np.array, float, lambda a: np.linalg.qr(a[:, None])):
        with pytest.raises((Untraceable, TypeError)):
            use(u)


def test_a_tape_stops_at_another_decision():
    tape = Tape()
    u = tape.input(np.array([1.0, 2.0]))
    value = np.sqrt(u) if bool(np.all(u > 0)) else u
    again = tape.replay([value])
    assert again(np.array([4.0, 9.0]))[0].tolist() == [2.0, 3.0]
    assert again(np.array([4.0, -9.0])) is None
