"""The rules of `simplify`: by form where they promise one, by value always, on random terms."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings, strategies as st
from term_oracle import value
from term_recipes import MU, NU, A, B, C, V, X, Y, Z, environment, nonlinear, scalars, vectors
from test_gateaux import agrees
from test_rules import P, surroundings

import pushforward.symbolic as s
from pushforward.symbolic import simplify
from pushforward.symbolic.binders import Cumulant

SEEDS = st.integers(0, 100)
TERMS = vectors(4)
NUMBERS = st.one_of(scalars(TERMS), nonlinear(scalars(TERMS)))
MEASURES = st.sampled_from((MU, NU, P))
quick = settings(max_examples=40, deadline=None)
SMALL = vectors(2)
FACTORS = st.builds(
    lambda c, v: c * v,
    st.sampled_from([s.norm2(Y), sp.exp(s.norm2(Y)), 1 + s.component(Y, 0) ** 2, C]),
    st.sampled_from(
        [Y, X + V @ Y, s.elementwise(sp.tanh, X - Y), s.integral(Y / (2 + s.dot(Y, X) ** 2), Y, NU)]
    ),
)  # functions of y
W = s.Point("w")


def at(term, old, new):
    return s.substitute(term, {old: new})


@settings(max_examples=100, deadline=None)
@given(TERMS, SEEDS)
def test_no_value_changes(term, seed):
    env = surroundings(seed)
    found = simplify(term)
    assert s.terms.kind(found) == s.terms.kind(term)
    assert agrees(value(found, env), value(term, env), 1e-9)


@quick
@given(SMALL, scalars(SMALL), MEASURES, MEASURES, SEEDS)
def test_both_orders_of_a_double_integral_are_one_form(h, c, one, other, seed):
    """Fubini, for one measure and for two."""
    env = surroundings(seed)
    body = sp.exp(-(c**2)) * h
    first = s.integral(s.integral(body, Z, other), Y, one)
    second = s.integral(s.integral(body, Y, one), Z, other)
    assert simplify(first) == simplify(second)
    swapped = at(at(at(body, Y, W), Z, Y), W, Z)
    assert simplify(s.integral(s.integral(swapped, Y, other), Z, one)) == simplify(first)
    assert agrees(value(simplify(first), env), value(second, env), 1e-9)


@quick
@given(FACTORS, FACTORS, MEASURES, MEASURES, SEEDS)
def test_integrals_of_products_that_separate_are_products(g, h, one, other, seed):
    env = surroundings(seed)
    u, v = g, at(h, Y, Z)
    here, there = s.dot(X, Y), s.dot(B, Z) + s.norm2(Z)
    over_y, over_z = lambda b: s.integral(b, Y, one), lambda b: s.integral(b, Z, other)
    pairs = [
        (s.dot(u, v), s.dot(over_y(u), over_z(v))),
        (sp.exp(here + there) * v, over_y(sp.exp(here)) * over_z(sp.exp(there) * v)),
        (s.component(v, 0) * u, over_z(s.component(v, 0)) * over_y(u)),
    ]
    for body, want in pairs:
        found = simplify(over_z(over_y(body)))
        assert found == simplify(over_y(over_z(body))) == simplify(want)
        assert agrees(value(found, env), value(want, env), 1e-9)


@quick
@given(TERMS, NUMBERS, MEASURES, SEEDS)
def test_quotients_of_integrals_are_gibbs_means(h, c, measure, seed):
    env = surroundings(seed)
    weight = sp.exp(sp.tanh(c) + s.dot(X, Y))
    z = s.integral(weight, Y, measure)
    quotient = s.integral(weight * h, Y, measure) / z
    found = simplify(quotient)
    assert agrees(value(found, env), value(quotient, env), 1e-9)
    assert z not in found.atoms(s.Integral) or z in simplify(h).atoms(s.Integral)
    mean = s.integral(h, Y, MU) / s.mass(MU)
    assert agrees(value(simplify(mean), env), value(mean, env), 1e-9)
    assert simplify(s.integral(Y, Y, MU) / s.mass(MU)) == s.expectation(Y, Y, MU)


def mean_under(measure, energy):
    def mean(h):
        return s.gibbs(h, Y, measure, energy=energy)

    return mean


SLOT_A, SLOT_B, SLOT_C = sp.sin(s.dot(X, Y)), s.component(Y, 1), 1 / (2 + s.norm2(Y))
LAWS = {
    "Gibbs": (mean_under(MU, s.dot(X, A @ Y)), MU, s.dot(X, A @ Y)),
    "mean": (mean_under(MU, sp.S.Zero), MU, sp.S.Zero),
    "probability": (lambda h: s.integral(h, Y, P), P, sp.S.Zero),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("factor", [sp.S.One, -2 * C, s.dot(X, X)])
def test_cumulants_are_recognised(law, factor):
    mean, measure, energy = LAWS[law]
    a, b, c = SLOT_A, SLOT_B, SLOT_C
    k = lambda *slots: Cumulant(slots, Y, measure, energy)  # noqa: E731
    rest = s.dot(X, V @ X)
    second = factor * mean(a * b) - factor * mean(a) * mean(b)
    assert simplify(second + rest) == factor * k(a, b) + rest
    third = sum(
        factor * part
        for part in (
            mean(a * b * c), -mean(a * b) * mean(c), -mean(a * c) * mean(b),
            -mean(b * c) * mean(a), 2 * mean(a) * mean(b) * mean(c),
        )
    )  # fmt: skip
    assert simplify(third + rest) == factor * k(a, b, c) + rest
    cube = mean(a**3) - 3 * mean(a**2) * mean(a) + 2 * mean(a) ** 3
    assert simplify(cube) == k(a, a, a)
    matrix = mean(s.outer(V @ Y, Y)) - s.outer(V @ mean(Y), mean(Y))
    assert simplify(matrix) == V @ s.covariance(Y, Y, Y, measure, energy=energy)
    assert simplify(mean(a * Y) - mean(a) * mean(Y)) == k(Y, a)


@pytest.mark.parametrize("law", LAWS)
def test_sums_beside_a_cumulant_are_left(law):
    mean = LAWS[law][0]
    a, b, c = SLOT_A, SLOT_B, SLOT_C
    env = surroundings(3)
    beside = [
        mean(a * b) + mean(a) * mean(b), mean(a * b) - 2 * mean(a) * mean(b),
        mean(a * b) - mean(a) * mean(c), 3 * mean(a * b) - mean(a) * mean(b),
        mean(a * b * c) - mean(a * b) * mean(c) + 2 * mean(a) * mean(b) * mean(c),
        mean(a**3) - 3 * mean(a**2) * mean(a) + mean(a) ** 3,
    ]  # fmt: skip
    for term in beside:
        found = simplify(term)
        assert agrees(value(found, env), value(term, env), 1e-11)
        orders = [len(k.slots) for k in found.atoms(Cumulant)]
        assert all(n < 3 for n in orders)
    assert not any(len(k.slots) > 1 for term in beside[:4] for k in simplify(term).atoms(Cumulant))


@quick
@given(TERMS, NUMBERS, NUMBERS, MEASURES, SEEDS)
def test_centred_products_and_moments_by_value(h, a, b, measure, seed):
    env = surroundings(seed)
    energy = sp.tanh(a)
    mean = mean_under(measure, energy)
    a, b = sp.sin(a), sp.cos(b)
    terms = [
        mean((a - mean(a)) * (h - mean(h))), mean((a - mean(a)) * (b - mean(b)) ** 2),
        mean(s.outer(h, h)) - s.outer(mean(h), mean(h)), mean(a * h) - mean(a) * mean(h),
        mean(a * b * h) - mean(a * b) * mean(h) - mean(a) * mean(b * h) - mean(b) * mean(a * h)
        + 2 * mean(a) * mean(b) * mean(h),
    ]  # fmt: skip
    for term in terms:
        assert agrees(value(simplify(term), env), value(term, env), 1e-8)


def test_the_jacobian_of_a_quotient_of_integrals_is_a_covariance():
    k = sp.exp(s.dot(X, A @ Y))
    G = s.SymbolicMap(s.integral(k * (V @ Y), Y, MU) / s.integral(k, Y, MU), X, MU)
    softmax = s.SymbolicMap(s.gibbs(V @ Y, Y, MU, energy=s.dot(X, A @ Y)), X, MU)
    assert simplify(G.term) == softmax.term
    assert G.jacobian().simplified().term == softmax.jacobian().term
    env = environment(4)
    whole = G.second_flat_derivative(Z, W)
    env[W] = np.array([0.3, 0.2])
    assert agrees(value(whole.simplified().term, env), value(whole.term, env), 1e-10)


def test_mass_one_is_used_where_it_is_declared():
    kernel = s.dot(Y, Z) ** 2
    double = lambda m: s.integral(s.integral(s.norm2(Y) + 0 * kernel, Z, m), Y, m)  # noqa: E731
    assert simplify(double(P)) == s.integral(s.norm2(Y), Y, P)
    assert simplify(double(MU)) == s.mass(MU) * s.integral(s.norm2(Y), Y, MU)
