"""What is declared of scalars and measures, and what follows for terms, is used; no more is."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings, strategies as st
from term_oracle import value
from term_recipes import MU, A, B, C, X, Y, nonlinear, scalars, vectors
from test_rules import P, surroundings

from pushforward import symbolic as s

PLUS, MINUS = s.Scalar("p", positive=True), s.Scalar("m", negative=True)
WEIGHT = sp.exp(s.dot(X, A @ Y))
LAW = {"energy": s.dot(X, A @ Y)}
SIGNED = s.dot(X, Y)
POSITIVE = {
    "a positive scalar": PLUS, "an exponential": WEIGHT, "a dimension": s.Dimension(X),
    "an integral against a probability": s.integral(WEIGHT, Y, P),
    "a Gibbs mean": s.gibbs(WEIGHT, Y, MU, **LAW),
    "a mean over an image": s.integral(WEIGHT, Y, s.Pushforward(P, Y, A @ Y)),
}  # fmt: skip
NONNEGATIVE = {
    "a mass": s.mass(MU), "a second moment": s.integral(s.norm2(Y), Y, MU),
    "an integral against any measure": s.integral(WEIGHT, Y, MU),
    "a mean of squares": s.gibbs(SIGNED**2, Y, MU, **LAW),
    "a variance": s.covariance(SIGNED, SIGNED, Y, MU, **LAW),
    "a total variance": s.Trace(s.covariance(Y, Y, Y, MU, **LAW)),
}  # fmt: skip
UNKNOWN = {
    "a real scalar": C, "an inner product": SIGNED, "a mean": s.integral(SIGNED, Y, P),
    "a covariance": s.covariance(SIGNED, s.norm2(Y), Y, MU, **LAW),
    "a third cumulant": s.Cumulant((SIGNED,) * 3, Y, MU, s.dot(X, A @ Y)),
    "a trace": s.Trace(s.covariance(A @ Y, Y, Y, MU, **LAW)),
    "a product": PLUS * C, "a difference": s.mass(MU) - 1,
}  # fmt: skip


@pytest.mark.parametrize("name", POSITIVE)
def test_what_is_positive_leaves_abs_and_roots(name):
    e = POSITIVE[name]
    assert e.is_positive
    assert sp.Abs(e) == e == sp.sqrt(e**2) and sp.Max(e, 0) == e
    assert s.norm(e * X) == e * s.norm(X)


@pytest.mark.parametrize("name", NONNEGATIVE)
def test_what_is_not_negative_may_be_zero(name):
    e = NONNEGATIVE[name]
    assert e.is_nonnegative and not e.is_positive
    assert sp.Abs(e) == e == sp.sqrt(e**2) and sp.Max(e, 0) == e


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_may_have_both_signs_keeps_abs_and_roots(name):
    e = UNKNOWN[name]
    assert e.is_positive is None and e.is_nonnegative is None
    assert sp.Abs(e).has(sp.Abs) and sp.sqrt(e**2) != e and sp.Max(e, 0) != e


def test_negative_scalars():
    assert sp.Abs(MINUS) == -MINUS and sp.expand(s.norm(MINUS * X) + MINUS * s.norm(X)) == 0
    assert s.norm(C * X) == sp.Abs(C) * s.norm(X)
    assert sp.exp(2 * sp.log(PLUS)) == PLUS**2 and sp.log(sp.exp(C)) == C


@settings(max_examples=40, deadline=None)
@given(vectors(4), st.data(), st.integers(0, 50))
def test_signs_of_random_terms_are_those_of_their_values(v, data, seed):
    h = data.draw(st.one_of(scalars(st.just(v)), nonlinear(scalars(st.just(v)))))
    env = surroundings(seed)
    for e in (s.integral(h, Y, P), s.integral(h**2, Y, MU), s.gibbs(sp.exp(h), Y, MU, **LAW),
              s.covariance(sp.sin(h), sp.sin(h), Y, MU, **LAW)):  # fmt: skip
        if e.is_positive:
            assert value(e, env) > 0
        if e.is_nonnegative:
            assert value(e, env) > -1e-12
        if e.is_negative:
            assert value(e, env) < 0


def test_mass_one_shortens_what_mass_alone_does_not():
    assert s.integral(B, Y, P) == B and s.integral(B, Y, MU) == s.mass(MU) * B
    G = s.SymbolicMap(X / s.integral(1 + s.norm2(Y), Y, P), X, P)
    assert s.mass(P) == 1 and not G.term.has(s.mass(MU))
    sphere = s.integral(s.norm2(X - Y), Y, P)
    assert sphere.is_nonnegative and (1 + sphere).is_positive


def test_proofs_use_signs_and_refuse_without_them():
    """`1 / (1 + int |y|^2)` is continuous; `1 / int <x, y>` has a denominator that may vanish."""
    import pushforward as pf
    from pushforward.proofs_checks.derivation import Proof, Refusal
    from pushforward.proofs_checks.prove import prove

    good = s.SymbolicMap(X / (1 + s.integral(s.norm2(Y), Y, MU)), X, MU)
    bad = s.SymbolicMap(X / s.integral(SIGNED, Y, MU), X, MU)
    assert isinstance(prove(good, {}, pf.Ball(2)), Proof)
    assert isinstance(prove(bad, {}, pf.Ball(2)), Refusal)
    scaled = s.SymbolicMap(X / (C + s.norm2(X)), X, MU)
    assert isinstance(prove(scaled, {"c": np.float64(0.5)}, pf.Ball(2)), Proof)
    assert isinstance(prove(scaled, {"c": np.float64(-0.5)}, pf.Ball(2)), Refusal)


@pytest.mark.parametrize(
    "declared, inside, outside",
    [("positive", 0.5, 0.0), ("nonnegative", 0.0, -0.5), ("negative", -1.0, 1.0),
     ("nonpositive", 0.0, 1.0), ("integer", 3, 2.5)],
)  # fmt: skip
def test_bound_values_keep_what_is_declared(declared, inside, outside):
    c = s.Scalar("c", **{declared: True})
    G = s.SymbolicMap(s.norm(c * X) * X, X, MU)
    got = G.bind(c=inside)([[1.0]], None, [[2.0]])
    np.testing.assert_allclose(got, [[4.0 * abs(inside)]])
    with pytest.raises(ValueError, match=f"c is declared {declared}, got"):
        G.bind(c=outside)
