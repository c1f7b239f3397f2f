"""Attention flows, right and wrong: `fn(points, weights, time, steps)`, the points at `time`."""

from __future__ import annotations

import numpy as np

from ._catalogue_attention import SCORE, gibbs_weights, live, softmax

TURN = np.array([[-0.4, 0.8], [-0.8, -0.4]])


def attention_field(points, weights, x):
    """`V(mu, x) = int V y p_x(dy)`, whose value matrix turns and contracts."""
    return softmax(points, weights, x, value=TURN)


def vlasov_step(points, weights, x):
    return x + 0.25 * attention_field(points, weights, x)


def runge_kutta_step(field, state, step):
    k1 = field(state)
    k2 = field(state + step / 2 * k1)
    k3 = field(state + step / 2 * k2)
    k4 = field(state + step * k3)
    return state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def runge_kutta_flow(points, weights, time, steps):
    for _ in range(steps):
        points = runge_kutta_step(lambda at: attention_field(at, weights, at), points, time / steps)
    return points


def euler_flow(points, weights, time, steps):
    for _ in range(steps):
        points = points + time / steps * attention_field(points, weights, points)
    return points


def frozen_attention_flow(points, weights, time, steps):
    """Runge-Kutta steps that compute the attention matrix once a step: first order only."""
    for _ in range(steps):
        atoms, shares = live(points, weights)
        attention = gibbs_weights(points @ SCORE @ atoms.T, shares)
        carries = weights > 0

        def frozen(at, attention=attention, carries=carries):
            return attention @ at[carries] @ TURN.T

        points = runge_kutta_step(frozen, points, time / steps)
    return points


def uncoupled_flow(points, weights, time, steps):
    """Every token moves in the field of the measure at time 0, which it never updates."""
    atoms = points
    for _ in range(steps):
        points = runge_kutta_step(
            lambda at: attention_field(atoms, weights, at), points, time / steps
        )
    return points


def staggered_flow(points, weights, time, steps):
    """Euler steps in which tokens at even places of the list move first, the others next."""
    points = points.copy()
    for _ in range(steps):
        for parity in (0, 1):
            mine = points[parity::2]
            points[parity::2] = mine + time / steps * attention_field(points, weights, mine)
    return points


def transformer_flow(points, weights, x, time=1.0, steps=4):
    """The flow as an in-context map: passive points ride in the field of the tokens."""
    count = len(points)
    state = np.vstack([points, x])
    for _ in range(steps):
        state = runge_kutta_step(
            lambda at: attention_field(at[:count], weights, at), state, time / steps
        )
    return state[count:]
