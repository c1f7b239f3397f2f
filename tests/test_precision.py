"""Symbolic maps are refuted only where higher precision agrees."""

import numpy as np
import pytest
import sympy

import pushforward as pf
from pushforward.symbolic import Measure, Point, SymbolicMap, component, integral
from pushforward.verify.precision import doubt
from pushforward.verify.trials import Violation

x, y, mu = Point("x"), Point("y"), Measure("mu")
MEAN = component(integral(y, y, mu), 0)
LINE = pf.Box([-1.0], [1.0])


def symbolic(term):
    return pf.Symbolic(SymbolicMap(term, x, mu).bind(), LINE)


def across_zero(width):
    weights = np.array([0.5, 0.25, 0.25])
    left, right = (np.array([[0.5], [-0.75], [-0.25 + s * width]]) for s in (-1, 1))
    return Violation(
        "jump",
        ((left, weights), (right, weights)),
        {"defect": 1.0, "threshold": 1e-6, "distance": width},
        "",
    )


def sign(argument):
    return sympy.Piecewise((1, argument > 0), (-1, True))


@pytest.mark.parametrize("power", [17, 25, 60, 100])
def test_a_steep_formula_is_not_refuted(power):
    steep = symbolic(x + x * sympy.tanh(sympy.Integer(10) ** power * MEAN))
    why = doubt(steep, across_zero(1e-16))
    assert why is not None and "steep" in why


def test_a_jump_is_confirmed():
    assert doubt(symbolic(x + x * sign(MEAN)), across_zero(1e-16)) is None


def test_the_search_refutes_a_jump_of_a_formula():
    report = pf.verify(symbolic(x + x * sign(MEAN - sympy.Rational(1, 3))), budget="standard")
    assert report["continuous"].verdict == "refuted"
    assert report["continuous"].counterexample.replay() == "STILL FAILS"
