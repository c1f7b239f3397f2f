"""Random terms and environments for the symbolic tests; Hypothesis draws their structure."""

import numpy as np
import sympy as sp
from hypothesis import strategies as st

from pushforward import symbolic as s

X, Y, Z, U = (s.Point(n) for n in "xyzu")
POINTS = (X, Y, Z)
MU, NU = s.Measure("mu"), s.Measure("nu")
A, V = s.Matrix("A"), s.Matrix("V")
B = s.Vector("b")
C = s.Scalar("c")


def environment(seed, d=2, n=3):
    """Values for all atoms of the recipes."""
    rng = np.random.default_rng(seed)
    env = {p: rng.normal(size=d) / 2 for p in (*POINTS, U, B)}
    env |= {m: rng.normal(size=(d, d)) / 2 for m in (A, V)}
    env |= {C: float(rng.uniform(0.5, 1.5))}
    env |= {m: (rng.normal(size=(n, d)) / 2, rng.uniform(0.2, 1, n)) for m in (MU, NU)}
    return env


def scalars(vectors):
    return st.one_of(
        st.builds(s.dot, vectors, vectors),
        st.builds(s.component, vectors, st.integers(0, 1)),
        st.just(C),
        st.integers(-2, 2).map(sp.Integer),
    )


def nonlinear(parts):
    return st.one_of(
        st.builds(lambda a: sp.tanh(a), parts),
        st.builds(lambda a: 1 / (2 + sp.cos(a)), parts),
        st.builds(lambda a, b: a * b, parts, parts),
        st.builds(lambda a, b: a + b, parts, parts),
        st.builds(lambda a: sp.sqrt(1 + a**2), parts),
    )


def bound(vectors):
    """Binders over inner terms: integrals, Gibbs laws, push-forwards."""
    bodies, energies = vectors, scalars(vectors)
    variables, measures = st.sampled_from(POINTS), st.sampled_from((MU, NU))
    pushed = st.one_of(measures, st.builds(s.Pushforward, measures, variables, vectors))
    small = energies.map(lambda e: sp.tanh(e))
    return st.one_of(
        st.builds(s.integral, bodies, variables, pushed),
        st.builds(lambda h, y, m, e: s.gibbs(h, y, m, energy=e), bodies, variables, pushed, small),
        st.builds(lambda h, y, m, e: s.covariance(h, e, y, m, energy=e),
                  bodies, variables, pushed, small),
        st.builds(lambda h, y, m, e, v: s.LogPartition(y, m, e) * v,
                  bodies, variables, pushed, small, vectors),
    )  # fmt: skip


def extended(vectors):
    numbers = scalars(vectors)
    return st.one_of(
        st.builds(lambda u, v: u + v, vectors, vectors),
        st.builds(lambda u, v: u - 2 * v, vectors, vectors),
        st.builds(lambda c, v: c * v, st.one_of(numbers, nonlinear(numbers)), vectors),
        st.builds(lambda m, v: m @ v, st.sampled_from((A, V, A.T, A @ V)), vectors),
        st.builds(lambda u, v: s.outer(u, v) @ u, vectors, vectors),
        st.builds(lambda v: s.elementwise(sp.tanh, v), vectors),
        st.builds(lambda u, v: s.stack(s.block(u, 1), s.component(v, 0)), vectors, vectors),
        bound(vectors),
        bound(vectors),
    )


def vectors(max_leaves=6):
    """Vector terms of dimension two with free points x, y, z."""
    return st.recursive(st.sampled_from((*POINTS, B)), extended, max_leaves=max_leaves)
