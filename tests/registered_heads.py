"""Functions that a user registers, and a map of them; one module, for a name is taken once."""

import sympy as sp
from term_recipes import MU, A, V, X, Y

from pushforward.symbolic import SymbolicMap, dot, integral, register

swish = register(
    "swish_t",
    value=lambda t, mp: t / (1 + mp.exp(-t)),
    derivative=lambda t: 1 / (1 + sp.exp(-t)) + swish(t) / (1 + sp.exp(t)),
    numpy="t / (1 + np.exp(-t))",
    c="t / (1 + exp(-t))",
    enclosure=lambda t: t / (1 + (-t).exp()),
    continuous=True,
    rounding=40,
)
bump = register(
    "bump_t",
    value=lambda t, mp: mp.exp(-1 / (1 - t**2)) if abs(t) < 1 else mp.mpf(0),
    derivative=lambda t: sp.Piecewise(
        (-2 * t / (1 - t**2) ** 2 * bump(t), sp.Abs(t) < 1), (0, True)
    ),
    numpy="np.where(np.abs(t) < 1, np.exp(-1 / np.where(np.abs(t) < 1, 1 - t**2, 1)), 0)",
    c="fabs(t) < 1 ? exp(-1 / (1 - t * t)) : 0",
    enclosure=lambda t: bump_ball(t),
    continuous=True,
)
jump = register("jump_t", value=lambda t, mp: mp.sign(t), derivative=lambda t: sp.Integer(0))


def bump_ball(t):
    from flint import arb

    return arb(0).union((-arb(1)).exp()) if t.abs_upper() > 0 else (-arb(1)).exp()


G = SymbolicMap(X + integral(swish(dot(X, A @ Y)) * bump(dot(Y, Y) / 4) * (V @ Y), Y, MU), X, MU)


def numbers(env):
    return {p.name: env[p] for p in G.parameters}
