"""Functions of the user go everywhere that the functions of SymPy go."""

import math
import pickle

import numpy as np
import pytest
import sympy as sp
from registered_heads import G, bump, jump, numbers, swish
from term_oracle import value
from term_recipes import MU, A, U, X, Z, environment
from test_gateaux import agrees, difference, with_mass

import pushforward as pf
from pushforward.numeric import engine_status
from pushforward.proofs_checks.prove import prove
from pushforward.symbolic import (
    Along,
    MassAt,
    SymbolicMap,
    canonical,
    component,
    digest,
    dot,
    elementwise,
    gateaux,
    read,
    register,
    stack,
)

ENGINES = ("reference", "numpy", *("native",) * (not engine_status()["native"]))


def test_values_at_any_precision():
    assert abs(swish(sp.Integer(2)).evalf(40) - 2 / (1 + sp.exp(-2)).evalf(40)) < 1e-38
    assert bump(sp.Rational(1, 2)).evalf(30) == sp.exp(-sp.Rational(4, 3)).evalf(30)
    assert float(bump(sp.Integer(3))) == 0.0


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_that_has_the_code(engine):
    env = environment(1)
    queries = np.array([[0.2, -0.4], [1.0, 0.3]])
    for formula in (G, G.jacobian(), G.hessian()):
        bound = formula.bind(**numbers(env))
        want = bound(*env[MU], queries, engine="mpmath")
        np.testing.assert_allclose(
            bound(*env[MU], queries, engine=engine), want, rtol=1e-12, atol=1e-14
        )
    want = [value(G.term, env | {X: q}) for q in queries]
    got = G.bind(**numbers(env))(*env[MU], queries, engine=engine)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_code_that_is_missing_is_named():
    M = SymbolicMap(jump(component(X, 0)) * X, X, MU)
    bound, points = M.bind(), [[-2.0], [3.0]]
    assert bound(points, None, points).tolist() == [[2.0], [3.0]]  # auto takes what there is
    with pytest.raises(ValueError, match=r"no code for jump_t; register it with numpy="):
        bound(points, None, points, engine="numpy")
    with pytest.raises(ValueError, match=r"no program for jump_t in c; register it with c="):
        M.code("c")
    if not engine_status()["native"]:
        with pytest.raises(ValueError, match="jump_t, registered without c="):
            bound(points, None, points, engine="native")


def test_derivatives():
    env = environment(2)
    want = difference(lambda t: value(G.term, env | {X: env[X] + t * env[U]}))
    assert agrees(value(gateaux(G.term, Along(X, U)), env), want, 1e-8)
    want = difference(lambda t: value(G.term, with_mass(env, MU, env[Z], t)))
    assert agrees(value(gateaux(G.term, MassAt(MU, Z)), env), want, 1e-8)
    entries = elementwise(swish, A @ X)
    want = difference(lambda t: value(entries, env | {X: env[X] + t * env[U]}))
    assert agrees(value(gateaux(entries, Along(X, U)), env), want, 1e-8)


def test_texts():
    assert str(SymbolicMap(swish(dot(X, X)) * X, X, MU)) == "swish_t(|x|^2) x"
    assert r"\mathrm{swish_t}" in G.latex() or "swish" in G.latex()
    assert "swish_t" in G.mathml()
    assert read(canonical(G.term)) == G.term
    assert digest(G.term) != digest(SymbolicMap(X, X, MU).term)
    assert pickle.loads(pickle.dumps(G.term)) == G.term


def test_programs():
    env = environment(3)
    names: dict = {}
    exec(G.code("numpy"), names)
    got = names["G"](*env[MU], env[X][None], **numbers(env))
    np.testing.assert_allclose(got[0], value(G.term, env), rtol=1e-12)
    for language in ("c", "cuda"):
        assert "fabs(" in G.code(language) and "swish_t" not in G.code(language).split("*/")[1]


def test_proofs():
    from flint import arb

    from pushforward.proofs_checks.heads import head_of
    from pushforward.proofs_checks.interval import Interval

    found = head_of(swish).image(Interval(arb(1), arb(2)))
    for t in (1.0, 1.3, 2.0):
        assert float(found.lower) <= t / (1 + math.exp(-t)) <= float(found.upper)
    domain, values = pf.Ball(2), {"A": np.eye(2), "V": np.eye(2)}
    assert not hasattr(prove(G, values, domain), "head")
    stopped = prove(SymbolicMap(stack(jump(component(X, 0))), X, MU), {}, domain)
    assert stopped.head == "jump_t"


@pytest.mark.parametrize("name", ["swish_t", "tanh", "Dot", "a b", "for", ""])
def test_names_that_cannot_be_had(name):
    with pytest.raises(ValueError, match="identifier|is taken"):
        register(name, value=lambda t, mp: t, derivative=lambda t: sp.Integer(1))
