"""The Vlasov equation of a field: weak form, linearisation, conserved quantities."""

import numpy as np
import pytest
import sympy as sp
from term_oracle import value
from term_recipes import MU, A, U, V, X, Y, Z, environment

from pushforward.symbolic import (
    Measure,
    Scalar,
    VelocityField,
    block,
    component,
    derive,
    dot,
    gibbs,
    integral,
    norm2,
    stack,
)

MASS_ONE = Measure("mu", probability=True)
ATTENTION = VelocityField(gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)), X, MU)


def step(field, env, t):
    """The measure after an Euler step of size t."""
    points, weights = env[MU]
    moved = [p + t * value(field.term, env | {X: p}) for p in points]
    return env | {MU: (np.array(moved), weights)}


def test_weak_form_is_the_rate_of_an_observable():
    env = environment(1)
    phi = lambda v: sp.sin(component(v, 0)) * component(v, 1)  # noqa: E731
    whole = integral(phi(Y), Y, MU)
    rate = (
        value(whole, step(ATTENTION, env, 1e-5)) - value(whole, step(ATTENTION, env, -1e-5))
    ) / 2e-5
    weak = ATTENTION.vlasov().weak(phi)
    assert value(weak.term, env) == pytest.approx(rate, abs=1e-9)


def test_tangent_is_the_rate_of_a_displacement():
    env = environment(2)
    eta = lambda z: A @ z  # noqa: E731
    tangent = ATTENTION.vlasov().tangent(U, eta)

    def displaced(t):
        points, weights = env[MU]
        moved = points + t * points @ env[A].T
        return value(ATTENTION.term, env | {X: env[X] + t * env[U], MU: (moved, weights)})

    rate = (displaced(1e-5) - displaced(-1e-5)) / 2e-5
    np.testing.assert_allclose(value(tangent.term, env), rate, atol=1e-9)


def alignment(kernel):
    z, w = Point_pair()
    pull = kernel(block(z, 0, 2) - block(w, 0, 2)) * (block(w, 2, 4) - block(z, 2, 4))
    return VelocityField(stack(block(z, 2, 4), integral(pull, w, MU)), z, MU)


def Point_pair():
    from pushforward.symbolic import Point

    return Point("z"), Point("w")


CASES = [
    (VelocityField(integral(Y - X, Y, MU), X, MU), ["the mean of x"]),
    (VelocityField(integral(sp.exp(-norm2(X - Y)) * (Y - X), Y, MU), X, MU), ["the mean of x"]),
    (VelocityField(integral(sp.exp(dot(X, Y)) * (Y - X), Y, MU), X, MU), ["the mean of x"]),
    (VelocityField(integral(sp.exp(component(Y, 0)) * (Y - X), Y, MU), X, MU), []),
    (VelocityField(gibbs(Y, Y, MU, energy=dot(X, Y)) - X, X, MU), []),
    (alignment(lambda r: (1 + norm2(r)) ** sp.Rational(-3, 2)), ["the mean of z[2:4]"]),
    (VelocityField(integral(sp.exp(dot(X, Y)) * (Y - dot(X, Y) * X), Y, MU), X, MU), ["|x| = 1"]),
    (
        VelocityField(stack(integral(sp.sin(component(Y, 0) - component(X, 0)), Y, MU)), X, MU),
        ["the mean of x[0:1]"],
    ),
]


@pytest.mark.parametrize("field, want", CASES, ids=range(len(CASES)))
def test_conserved_quantities(field, want):
    assert list(field.vlasov().conserved())[1:] == want


def test_statements_can_be_read():
    time = Scalar("t")
    field = VelocityField(sp.exp(-time) * ATTENTION.term, X, MU, time=time)
    assert [p.name for p in field.parameters] == ["A", "V"]
    vlasov = field.vlasov()
    assert "d_t mu + div(V(t, mu) mu) = 0" in str(vlasov)
    assert r"\partial_t \mu" in vlasov.latex() and vlasov.latex().count("&") >= 6
    assert "E_p[y]" in vlasov.equation.text
    names = [s.name for s in vlasov.statements]
    assert names == ["equation", "characteristics", "weak form", "linearisation", "volume",
                     "invariants"]  # fmt: skip


def test_derive_lists_all_derivatives():
    found = derive(ATTENTION)
    assert str(found).count("\n") == 6
    assert "V Cov_p(y) A^T" in str(found)
    assert r"\frac{\delta^2 V}{\delta m^2}" in found.latex()
    assert found.lions_derivative == ATTENTION.lions_derivative(Z)
