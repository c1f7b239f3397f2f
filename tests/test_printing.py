"""Formulas read like the ones on paper, and their size is linear in the number of layers."""

import xml.etree.ElementTree as ElementTree

import pytest
import sympy as sp
from hypothesis import given, settings
from term_recipes import MU, A, C, V, X, Y, Z, vectors

from pushforward.symbolic import Point, SymbolicMap, dot, gibbs, integral, library, norm, norm2
from pushforward.symbolic.printing import latex, mathml, text

G = SymbolicMap(X + gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
LAW = "  where p(dy) = exp(<x, A y>) mu(dy) / Z_p"
PLAIN = [
    (G, "x + V E_p[y]" + LAW),
    (G.jacobian(), "I + V Cov_p(y) A^T" + LAW),
    (G.divergence(), "dim(x) + tr(V Cov_p(y) A^T)" + LAW),
    (G.flat_derivative(Z), "exp(<x, A z> - log Z_p) V (z - E_p[y])" + LAW),
    (
        G.second_derivative(Point("u"), Point("v")),
        "V kappa_p(y, <u, A y>, <v, A y>)" + LAW,
    ),
    (
        G.flat_derivative(Y),  # the bound point gives way
        "exp(<x, A y> - log Z_p) V (y - E_p[w])  where p(dw) = exp(<x, A w>) mu(dw) / Z_p",
    ),
]


@pytest.mark.parametrize("derived, want", PLAIN, ids=[w[:12] for _, w in PLAIN])
def test_formulas_as_text(derived, want):
    assert str(derived) == want


SCALARS = [
    (sp.exp(-norm2(X - Y)) / C, "exp(-|x - y|^2)/c"),
    (norm(X) ** 3, "|x|^3"),
    (1 / (1 + norm2(Y)) ** sp.Rational(3, 10), "1/(1 + |y|^2)^(3/10)"),
    (sp.sqrt(C + 1), "sqrt(1 + c)"),
    (sp.Max(0, dot(X, Y)), "Max(0, <x, y>)"),
    (sp.Piecewise((1, dot(X, Y) > 0), (0, True)), "{1 if <x, y> > 0; 0 otherwise}"),
    (-dot(X, Y) * (C - 1), "-(c - 1) <x, y>"),
    (integral(1, Y, MU) * integral(dot(X, Y), Y, MU), "|mu| int <x, y> mu(dy)"),
]


@pytest.mark.parametrize("scalar, want", SCALARS, ids=[w for _, w in SCALARS])
def test_scalars_as_text(scalar, want):
    assert text(scalar) == want


def test_latex():
    assert G.jacobian().latex() == (
        r"I + V\,\mathrm{Cov}_{p}(y)\,A^{\top} \quad\text{where } p(\mathrm{d}y) = "
        r"\frac{\exp (\langle x, A\,y\rangle)\,\mu (\mathrm{d}y)}{Z_{p}}"
    )
    assert G._repr_latex_().startswith("$")


@settings(max_examples=100, deadline=None)
@given(vectors())
def test_every_term_can_be_written(term):
    assert text(term)
    assert latex(term).count("{") == latex(term).count("}")
    assert latex(term).count(r"\left") == latex(term).count(r"\right")
    ElementTree.fromstring(mathml(term))


def test_length_does_not_explode_with_depth():
    """A sum over all layers before stands in each layer, so a little more than linear."""
    short, long = (len(str(library.transformer(n, shared=True))) for n in (5, 10))
    assert long < 3 * short < 20_000


def test_sympy_writes_expressions_with_our_heads():
    expression = sp.exp(dot(X, Y)) * C + norm2(X) ** 2
    assert str(expression) == "c*exp(<x, y>) + <x, x>**2"
    assert r"\left\langle" in sp.latex(expression) or r"\langle" in sp.latex(expression)
    deep = library.transformer(8, shared=True).divergence().term
    assert len(str(deep)) < 2000
