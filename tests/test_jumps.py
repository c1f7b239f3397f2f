"""Derivatives of piecewise terms say where they leave a jump out."""

import numpy as np
import pytest
import sympy as sp
from term_oracle import value
from term_recipes import MU, A, C, X, Y, Z, environment

from pushforward import symbolic as s
from pushforward.symbolic.jumps import jumps

T, R = s.component(X, 0), s.component(Y, 0)
D = s.Scalar("D", positive=True)
CONTINUOUS = {
    "relu": sp.Piecewise((T, T > 0), (0, True)),
    "clip": sp.Piecewise((-1, T < -1), (T, T < 1), (1, True)),
    "clip in another order": sp.Piecewise((1, T > 1), (-1, T < -1), (T, True)),
    "huber": sp.Piecewise((T**2 / 2, sp.And(T < D, T > -D)), (D * T - D**2 / 2, T >= D),
                          (-D * T - D**2 / 2, True)),
    "of a difference": sp.Piecewise((T - R, T > R), (0, True)),
    "tanh": sp.Piecewise((sp.tanh(T), T >= 0), (T, True)),
}  # fmt: skip
JUMPING = {
    "step": sp.Piecewise((1, T > 0), (0, True)),
    "clip too late": sp.Piecewise((-1, T < -1), (T, T < 2), (1, True)),
    "shadowed": sp.Piecewise((T, T < 1), (T - 1, T < 0), (0, True)),
    "mask": sp.Piecewise((1, R <= T), (0, True)),
    "a hole": sp.Piecewise((1, sp.Eq(T, 0)), (sp.sin(T) / T, True)),
    "huber with a width of any sign": CONTINUOUS["huber"].xreplace({D: C}),
    "not linear": sp.Piecewise((1, s.norm2(X) < 1), (0, True)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_pieces_that_meet_are_seen_to(name):
    term = CONTINUOUS[name]
    assert jumps(term) == ()
    G = s.SymbolicMap(s.integral(term * Y, Y, MU), X, MU)
    assert "jump" not in str(G.jacobian()) and G.jacobian().jumps == ()
    env = environment(3) | {X: np.array([0.7, 0.1]), D: 0.5}
    h = 1e-6
    want = [(value(G.term, env | {X: env[X] + h * e}) - value(G.term, env | {X: env[X] - h * e}))
            / (2 * h) for e in np.eye(2)]  # fmt: skip
    np.testing.assert_allclose(value(G.jacobian().term, env), np.array(want).T, atol=1e-8)


@pytest.mark.parametrize("name", JUMPING)
def test_jumps_are_named_in_what_is_printed(name):
    term = JUMPING[name]
    assert jumps(term)
    G = s.SymbolicMap(s.integral(term * Y, Y, MU), X, MU)
    for derived in (G.jacobian(), G.divergence(), G.lions_derivative(Z), s.derive(G).jacobian):
        assert derived.jumps and "away from the jump at" in str(derived)
        assert "away from the jump at" in derived.latex()


def test_mass_added_beside_a_mask_meets_no_jump():
    """The flat derivative of an integral reads the integrand; through a push-forward it derives."""
    mask = JUMPING["mask"]
    G = s.SymbolicMap(s.integral(mask * Y, Y, MU), X, MU)
    assert G.flat_derivative(Z).jumps == ()
    assert (G @ s.SymbolicMap(X - s.integral(Y, Y, MU), X, MU)).flat_derivative(Z).jumps
    assert s.library.causal_attention().jacobian().jumps


def test_a_condition_on_parameters_is_no_jump_in_x():
    G = s.SymbolicMap(sp.Piecewise((1, C > 0), (0, True)) * (A @ X), X, MU)
    assert G.jacobian().jumps == () and G.parameter_derivative(C).jumps


def test_elementwise_steps_are_named():
    G = s.SymbolicMap(s.elementwise(lambda t: sp.Piecewise((1, t > 0), (t, True)), A @ X), X, MU)
    assert G.jacobian().jumps
    H = s.SymbolicMap(s.elementwise(lambda t: sp.Piecewise((t, t > 0), (0, True)), A @ X), X, MU)
    assert H.jacobian().jumps == ()
