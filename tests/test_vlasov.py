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
    outer,
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
    assert names == ["equation", "characteristics", "weak form", "linearisation", "adjoint",
                     "moments", "volume", "invariants"]  # fmt: skip


def test_derive_lists_all_derivatives():
    found = derive(ATTENTION)
    assert str(found).count("\n") == 6
    assert "V Cov_p(y) A^T" in str(found)
    assert r"\frac{\delta^2 V}{\delta m^2}" in found.latex()
    assert found.lions_derivative == ATTENTION.lions_derivative(Z)


def shifted(field, term, env, t):
    """The value of a term in mu after an Euler step of size t of the particles."""
    return value(term, step(field, env, t))


def test_moment_equations_are_the_rates_of_the_moments():
    env = environment(3)
    vlasov = ATTENTION.vlasov()
    for moment, rate in (
        (integral(X, X, MU), vlasov.mean_rate()),
        (integral(outer(X, X), X, MU), vlasov.second_moment_rate()),
    ):
        difference = shifted(ATTENTION, moment, env, 1e-5) - shifted(ATTENTION, moment, env, -1e-5)
        np.testing.assert_allclose(value(rate.term, env), difference / 2e-5, atol=1e-9)


def test_rate_follows_a_characteristic():
    env = environment(4)
    term = dot(X, integral(norm2(Y) * Y, Y, MU))
    speed = value(ATTENTION.term, env)

    def moved(t):
        return value(term, step(ATTENTION, env, t) | {X: env[X] + t * speed})

    rate = ATTENTION.vlasov().rate(term)
    assert value(rate.term, env) == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, abs=1e-9)


def test_adjoint_is_the_change_of_the_weak_form_as_mass_arrives():
    env = environment(5)
    psi = lambda v: sp.sin(component(v, 0)) * component(v, 1)  # noqa: E731
    vlasov = ATTENTION.vlasov()
    weak = vlasov.weak(psi).term

    def with_mass(eps):
        points, weights = env[MU]
        return value(weak, env | {MU: (np.vstack([points, env[X][None]]), np.append(weights, eps))})

    rate = (with_mass(1e-5) - with_mass(-1e-5)) / 2e-5
    assert value(vlasov.adjoint_rate(psi).term, env) == pytest.approx(rate, abs=1e-8)


def test_tangent_sees_a_change_of_the_weights():
    env = environment(6)
    still = lambda z: 0 * z  # noqa: E731
    tangent = ATTENTION.vlasov().tangent(U, still, lambda z: component(z, 0))
    points, weights = env[MU]

    def changed(t):
        heavier = weights * (1 + t * points[:, 0])
        return value(ATTENTION.term, env | {X: env[X] + t * env[U], MU: (points, heavier)})

    rate = (changed(1e-5) - changed(-1e-5)) / 2e-5
    np.testing.assert_allclose(value(tangent.term, env), rate, atol=1e-9)


def test_terms_bind_and_agree_with_the_oracle():
    env = environment(7)
    points, weights = env[MU]
    vlasov = ATTENTION.vlasov()
    for derived in (vlasov.mean_rate(), vlasov.second_moment_rate(), vlasov.log_density_rate(),
                    vlasov.adjoint_rate(norm2)):  # fmt: skip
        bound = derived.bind(A=env[A], V=env[V])
        found = bound(points, weights, env[X][None])
        np.testing.assert_allclose(found[0], value(derived.term, env), atol=1e-12)


def test_log_density_follows_the_volume_of_a_flow():
    env = environment(8)
    points, weights = env[MU]
    field = ATTENTION.bind(A=env[A], V=env[V])
    h, t = 1e-4, 1e-3
    corners = env[X] + h * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    _, ends = field.flow(points, weights, t, steps=4, x=corners)
    jacobian = np.array([ends[1] - ends[2], ends[3] - ends[4]]).T / (2 * h)
    half, middle = field.flow(points, weights, t / 2, steps=4, x=env[X][None])
    rate = ATTENTION.vlasov().log_density_rate().bind(A=env[A], V=env[V])(half, weights, middle)
    assert -np.log(np.linalg.det(jacobian)) == pytest.approx(t * rate.item(), abs=1e-8)
