"""Every head goes through every pass: it has a rule there, or a refusal that names it."""

import inspect
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import sympy as sp
from term_oracle import value
from term_recipes import MU, NU, A, B, C, U, V, X, Y, environment
from test_gateaux import agrees, difference
from test_terms import EXAMPLES

import pushforward as pf
from pushforward import symbolic as s
from pushforward.numeric.lowering import lower
from pushforward.proofs_checks.derivation import Proof, Refusal
from pushforward.proofs_checks.prove import prove
from pushforward.symbolic.canonical import THEIRS
from pushforward.symbolic.printing import latex, mathml, text

T = s.dot(X, A @ X) / 4 + sp.Rational(1, 3)  # in (0, 1) near the environment's points
INSIDE = 1 / (2 + T**2)


def of_function(name):
    """A scalar term with the function of SymPy of that name at its outside."""
    head = THEIRS[name]
    if not inspect.isclass(head) or issubclass(head, s.RegisteredHead):
        return None
    special = {
        "Add": T + C, "Mul": T * C, "Pow": (2 + T) ** C, "Max": sp.Max(T, C), "Min": sp.Min(T, C),
        "atan2": sp.atan2(T, C), "acosh": sp.acosh(2 + T**2), "Heaviside": sp.Heaviside(T),
        "sign": sp.sign(T), "floor": sp.floor(3 * T), "ceiling": sp.ceiling(3 * T),
        "Piecewise": sp.Piecewise((T, T > C), (C, True)),
    }  # fmt: skip
    if name in special:
        return special[name]
    return head(INSIDE) if issubclass(head, sp.Function) else None


# Conditions and pairs occur inside Piecewise alone; constants have a test of their own.
INNER = {"Tuple", "And", "Or", "Not", "ExprCondPair", "Equality", "Unequality",
         "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan"}  # fmt: skip
FUNCTIONS = {n: of_function(n) for n in THEIRS if of_function(n) is not None}
SMOOTH_NOT = {n: n for n in ("floor", "ceiling", "sign", "Heaviside")}
SMOOTH_NOT |= {"ScalarSupremum": "Supremum"}
TERMS = {type(e).__name__: e for e in EXAMPLES if not isinstance(e, s.MeasureTerm)} | FUNCTIONS
UNVALUED = {"BoundPoint", "FreshPoint"}  # they stand for a point that a binder gives
VECTORS = {n: e for n, e in TERMS.items() if n not in UNVALUED}


def as_map(term):
    """A map whose term contains the head."""
    if isinstance(term, s.MatrixTerm):
        term = term @ X
    elif not isinstance(term, s.VectorTerm):
        term = term * X
    return s.SymbolicMap(s.substitute(term, {Y: X, NU: MU, s.Point("z"): X}), X, MU)


def test_all_functions_are_covered():
    registered = set(s.heads.REGISTERED)
    constants = {n for n, f in THEIRS.items() if not inspect.isclass(f)}
    assert set(THEIRS) - set(FUNCTIONS) - constants - INNER - registered == set()


def arguments(formula, env):
    return {p.name: env[p] for p in formula.parameters}


@pytest.mark.parametrize("name", TERMS)
def test_printing_and_text(name):
    term = TERMS[name]
    for formula in (text(term), latex(term)):
        assert formula and formula.count("(") == formula.count(")")
    ElementTree.fromstring(mathml(term))
    assert s.read(s.canonical(term)) == term


@pytest.mark.parametrize("name", TERMS)
def test_derivative(name):
    term, env = TERMS[name], environment(21)
    if name in SMOOTH_NOT:
        with pytest.raises(s.NotDerivable, match=SMOOTH_NOT[name]):
            s.gateaux(term, s.Along(X, U))
        return
    if name in UNVALUED:
        assert s.gateaux(term, s.Along(X, U)) == s.Zero(term)
        return
    got = value(s.gateaux(term, s.Along(X, U)), env)
    want = difference(lambda t: value(term, env | {X: env[X] + t * env[U]}))
    assert agrees(got, want, 1e-8)


@pytest.mark.parametrize("name", VECTORS)
def test_programs_agree_with_the_oracle(name):
    G, env = as_map(VECTORS[name]), environment(22)
    assert lower(G.term).instructions
    bound = G.bind(**arguments(G, env))
    want = value(G.term, env)
    for engine in ("reference", "numpy", "mpmath"):
        np.testing.assert_allclose(
            bound(*env[MU], env[X], engine=engine)[0], want, rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("language", ["numpy", "c", "cuda"])
def test_code(name, language):
    """A program, or a sentence that names the head; the NumPy program gives the oracle's value."""
    G, env = as_map(VECTORS[name]), environment(23)
    try:
        program = G.code(language)
    except ValueError as refusal:
        assert f"no program for {name}" in str(refusal)
        return
    if language == "numpy" and "scipy" not in program:
        names: dict = {}
        exec(program, names)
        got = names["G"](*env[MU], env[X][None], **arguments(G, env))
        np.testing.assert_allclose(got[0], value(G.term, env), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", VECTORS)
def test_proof_or_refusal(name):
    G, env = as_map(VECTORS[name]), environment(24)
    found = prove(G, arguments(G, env), pf.Ball(2))
    assert isinstance(found, (Proof, Refusal))
    if isinstance(found, Refusal):
        assert found.head and found.reason
        assert found.head in name or found.head in found.reason


def test_the_list_is_not_empty():
    assert len(FUNCTIONS) >= 28 and len(TERMS) >= 60 and {A, B, C, V}
