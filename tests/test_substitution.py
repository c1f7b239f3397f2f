"""Substitution respects scopes: the substitution lemma, alpha-equality, pickles, histories."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sympy import tanh
from term_oracle import value
from term_recipes import MU, NU, POINTS, X, Y, Z, environment, vectors

from pushforward.symbolic import Matrix, Point, dot, gibbs, integral, substitute

SEEDS = st.integers(0, 100)


def close(got, want):
    return np.allclose(got, want, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(vectors(), st.sampled_from(POINTS), vectors(3), SEEDS)
def test_substitution_lemma_of_subs(term, point, other, seed):
    env = environment(seed)
    want = value(term, env | {point: value(other, env)})
    assert close(value(term.subs(point, other), env), want)


@settings(max_examples=60, deadline=None)
@given(vectors(), vectors(3), vectors(3), SEEDS)
def test_substitution_lemma_of_xreplace(term, first, second, seed):
    env = environment(seed)
    want = value(term, env | {X: value(first, env), Y: value(second, env)})
    assert close(value(term.xreplace({X: first, Y: second}), env), want)


@settings(max_examples=40, deadline=None)
@given(vectors(4), vectors(3), SEEDS)
def test_substitution_lemma_of_measures(term, image, seed):
    from pushforward.symbolic import Pushforward

    env = environment(seed)
    points, weights = env[NU]
    moved = np.array([value(image, env | {Z: p}) for p in points])
    want = value(term, env | {MU: (moved, weights)})
    assert close(value(term.xreplace({MU: Pushforward(NU, Z, image)}), env), want)


@settings(max_examples=60, deadline=None)
@given(vectors(), st.permutations(POINTS))
def test_renaming_bound_points_changes_nothing(term, names):
    """Rename free points away and back by any detour: the same object, hash and pickle."""
    fresh = [Point(f"{p}'") for p in POINTS]
    away = term.xreplace(dict(zip(POINTS, fresh, strict=True)))
    detour = away.xreplace(dict(zip(fresh, names, strict=True)))
    back = detour.xreplace(dict(zip(names, POINTS, strict=True)))
    assert back == term and hash(back) == hash(term)
    assert pickle.loads(pickle.dumps(term)) == term


@settings(max_examples=60, deadline=None)
@given(vectors())
def test_rebuilding_from_args_is_the_same_term(term):
    def rebuilt(t):
        return t.func(*map(rebuilt, t.args)) if t.args and not isinstance(t, Point) else t

    assert rebuilt(term) == term


@settings(max_examples=60, deadline=None)
@given(vectors(), vectors(3), vectors(3))
def test_form_does_not_depend_on_the_history(term, first, second):
    """Two substitutions one after the other are one: the same form, with heights named anew."""
    at_once = term.xreplace({X: first, Y: second})
    u, v = Point("u'"), Point("v'")
    stepwise = term.subs(X, u).subs(Y, v).subs(u, first).subs(v, second)
    assert stepwise == at_once


def test_alpha_equality_of_nested_binders():
    def nested(a, b):
        return integral(dot(a, integral(dot(a, b) * b, b, MU)) * a, a, NU)

    assert nested(X, Y) == nested(Y, X) == nested(Z, X)
    assert nested(X, Y) != integral(dot(X, integral(dot(X, Y) * X, Y, MU)) * X, X, NU)


def test_nothing_is_captured():
    inner = integral(dot(X, Y) * Y, Y, MU)
    assert inner.subs(X, Y) == integral(dot(Y, Z) * Z, Z, MU)
    outer = integral(inner, X, NU)
    assert outer.subs(X, Y) == outer
    # the image is a binder as tall as the one it enters
    taller = integral(inner + Z, X, NU)
    assert taller.subs(Z, integral(inner, X, NU)).free_symbols == {MU, NU}


def test_an_opened_body_may_be_closed_again_anywhere():
    term = integral(dot(X, Y) * Y, Y, MU)
    variable, (body,) = term.opened()
    assert integral(body, variable, MU) == term
    assert integral(integral(body, variable, MU) + dot(variable, X) * variable, variable, MU) == (
        integral(integral(dot(X, Y) * Y, Y, MU) + dot(Z, X) * Z, Z, MU)
    )


def taller(inner_variable):
    """A vector with a binder inside, in which the point z is free."""
    return integral(tanh(dot(inner_variable, Z)) * inner_variable, inner_variable, MU)


def test_a_binder_may_grow_while_the_one_around_it_is_open():
    """The inner variable would take the level of the open outer one: it takes the next."""
    inner = integral(tanh(dot(X, Y) + dot(Y, Z)) * Y, Y, MU)
    outer = integral(tanh(dot(X, inner)) * X, X, NU)
    variable, (body,) = outer.opened()
    grown = body.subs(Z, taller(Y))
    assert integral(grown, variable, NU) == outer.subs(Z, taller(Y))
    env = environment(0)
    want = value(outer, env | {Z: value(taller(Y), env)})
    assert close(value(integral(grown, variable, NU), env), want)


def test_an_open_variable_enters_another_binder():
    """A term with the open variable of one binder goes into one with the same variable."""
    one = integral(tanh(dot(X, Y)) * Y, Y, MU)
    other = integral(tanh(dot(Z, Y)) * Y, Y, NU)
    variable, _ = one.opened()
    assert other.variable == variable
    assert other.subs(Z, variable) == other.subs(Z, Point("fresh")).subs(Point("fresh"), variable)
    closed = integral(other.subs(Z, variable), variable, MU)
    assert closed == integral(other.subs(Z, Y), Y, MU)


def test_kinds_do_not_mix():
    term = gibbs(Y, Y, MU, energy=dot(X, Matrix("A") @ Y))
    with pytest.raises(TypeError, match="cannot put the scalar 3 in place of the vector x"):
        substitute(term, {X: 3})
    with pytest.raises(TypeError, match="cannot put the vector x in place of the matrix A"):
        term.subs(Matrix("A"), X)
