"""Every rewriting rule of the binders, on random terms, against sums over atoms by hand."""

import numpy as np
import sympy as sp
from hypothesis import given, settings, strategies as st
from term_oracle import value
from term_recipes import MU, NU, A, C, V, X, Y, Z, environment, nonlinear, scalars, vectors
from test_gateaux import agrees

from pushforward import symbolic as s

SEEDS = st.integers(0, 100)
P = s.Measure("p", probability=True)
TERMS = vectors(4)
NUMBERS = st.one_of(scalars(TERMS), nonlinear(scalars(TERMS)))
FREE = st.sampled_from([C, s.dot(X, X), s.integral(s.dot(X, Z), Z, NU), sp.Integer(-3)])
quick = settings(max_examples=60, deadline=None)


def surroundings(seed):
    env = environment(seed)
    points, weights = environment(seed + 1)[MU]
    return env | {P: (points, weights / weights.sum())}


def summed(body, variable, measure, env):
    """The sum over atoms of the body's values, without a binder."""
    points, weights = env[measure]
    return sum(w * value(body, env | {variable: p}) for p, w in zip(points, weights, strict=True))


def gibbs_mean(body, energy, variable, measure, env):
    points, weights = env[measure]
    scores = np.array([value(energy, env | {variable: p}) for p in points])
    p = weights * np.exp(scores - scores.max())
    rows = [value(body, env | {variable: a}) for a in points]
    return sum(q * r for q, r in zip(p / p.sum(), rows, strict=True))


@quick
@given(TERMS, TERMS, FREE, SEEDS)
def test_integrals_are_linear_and_constants_leave(g, h, c, seed):
    env = surroundings(seed)
    for measure in (MU, P):
        for body in (c * g + h, A @ g - h, s.outer(g, X) @ h, X + c * g, s.dot(X, h) * V @ g):
            got = value(s.integral(body, Y, measure), env)
            assert agrees(got, summed(body, Y, measure, env), 1e-9)
        assert s.vanishes(s.integral(c * g, Y, measure) - c * s.integral(g, Y, measure))


@quick
@given(TERMS, SEEDS)
def test_double_integrals_do_not_depend_on_the_order(h, seed):
    """Fubini: by value, and by form once products are multiplied out."""
    env = surroundings(seed)
    one = s.integral(s.integral(h, Z, NU), Y, MU)
    other = s.integral(s.integral(h, Y, MU), Z, NU)
    by_hand = sum(w * summed(h, Z, NU, env | {Y: p}) for p, w in zip(*env[MU], strict=True))
    assert agrees(value(one, env), by_hand, 1e-9) and agrees(value(other, env), by_hand, 1e-9)


@quick
@given(TERMS, NUMBERS, FREE, SEEDS)
def test_gibbs_means(h, raw, c, seed):
    """Constants of the energy cancel, constants of the slot leave, weights are recognised."""
    env, energy = surroundings(seed), sp.tanh(raw)
    for measure in (MU, P):
        mean = s.gibbs(h, Y, measure, energy=energy)
        want = gibbs_mean(h, energy, Y, measure, env)
        assert agrees(value(mean, env), want, 1e-9)
        assert s.gibbs(h, Y, measure, energy=energy + c) == mean
        got = value(s.gibbs(c * h + X, Y, measure, energy=energy), env)
        assert agrees(got, value(c, env) * want + env[X], 1e-9)
        weight = sp.exp(energy - s.LogPartition(Y, measure, energy))
        whole = s.integral(weight * h, Y, measure)
        assert agrees(value(whole, env), want, 1e-9)
        energy_of_y = energy + s.dot(X, Y)
        weight = sp.exp(energy_of_y - s.LogPartition(Y, measure, energy_of_y))
        assert s.integral(weight * Y, Y, measure) == s.gibbs(Y, Y, measure, energy=energy_of_y)


@quick
@given(TERMS, TERMS, NUMBERS, FREE, SEEDS)
def test_covariances(g, h, raw, c, seed):
    env, energy = surroundings(seed), sp.tanh(raw)
    for measure in (MU, P):
        mean = lambda body: gibbs_mean(body, energy, Y, measure, env)  # noqa: E731, B023
        want = mean(s.outer(g, h)) - np.outer(mean(g), mean(h))
        got = value(s.covariance(g, h, Y, measure, energy=energy), env)
        assert agrees(got, want, 1e-9)
        moved = value(s.covariance(c * g + X, A @ h, Y, measure, energy=energy), env)
        assert agrees(moved, value(c, env) * want @ env[A].T, 1e-9)


@quick
@given(TERMS, SEEDS)
def test_mass_one_is_used_where_it_is_declared_and_nowhere_else(h, seed):
    env = surroundings(seed)
    free = s.substitute(h, {Y: X})
    assert s.integral(free, Y, P) == free
    kept = s.integral(free, Y, MU)
    assert agrees(value(kept, env), env[MU][1].sum() * value(free, env), 1e-9)
    assert s.matrices.is_zero(free) or s.mass(MU) in kept.atoms(s.Integral)
    image = s.Pushforward(P, Y, h)
    assert s.mass(image) == 1 and s.mass(s.Pushforward(MU, Y, h)) == s.mass(MU)
    assert s.LogPartition(Y, P, sp.Integer(0)) == 0 != s.LogPartition(Y, MU, sp.Integer(0))


@quick
@given(TERMS, TERMS, NUMBERS, SEEDS)
def test_expanding_changes_no_value(g, h, c, seed):
    env = surroundings(seed)
    for term in (c * (g - h) + s.dot(g + h, h) * g, s.integral(s.dot(g + h, X) * h, Y, MU)):
        assert agrees(value(s.expanded(term), env), value(term, env), 1e-9)
    assert s.vanishes(s.dot(g + h, h) * g - s.dot(g, h) * g - s.dot(h, h) * g)
