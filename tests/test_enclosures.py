"""Slopes of registered functions on intervals, and the rounding bounds that follow from them."""

import math

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import example, given, settings, strategies as st
from registered_heads import bump, jump, swish
from test_rounding import PLACES, WEIGHTS, holds

from pushforward.numeric import engine_status
from pushforward.numeric.rounding_functions import _between
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    component,
    dot,
    integral,
    norm2,
    register,
)
from pushforward.symbolic.enclosures import Enclosure, Undecided, steepest

X, Y, MU = Point("x"), Point("y"), Measure("mu")
A, V = Matrix("A"), Matrix("V")

root = register(
    "root_e",  # steep at zero
    value=lambda t, mp: mp.sqrt(abs(t)),
    derivative=lambda t: sp.sign(t) / (2 * sp.sqrt(sp.Abs(t))),
    numpy="np.sqrt(np.abs(t))",
    c="sqrt(fabs(t))",
    continuous=True,
    rounding=4,
)
hinge = register(
    "hinge_e",  # a branch, and errors that no multiple of the value bounds
    value=lambda t, mp: t**3 - 3 * t if t > 1 else -2 + 0 * t,
    derivative=lambda t: sp.Piecewise((3 * t**2 - 3, t > 1), (0, True)),
    numpy="np.where(t > 1, t**3 - 3 * t, -2.0)",
    c="t > 1 ? t * t * t - 3 * t : (T)-2",
    continuous=True,
    rounding=lambda low, high: 8 * (2 + max(abs(low), abs(high)) ** 3),
)
step = register(
    "step_e",  # its derivative tells nothing of the jump
    value=lambda t, mp: mp.sign(t),
    derivative=lambda t: sp.Integer(0),
    numpy="np.sign(t)",
    c="(T)((t > 0) - (t < 0))",
    rounding=0,
)
wave = register(
    "wave_e",  # its slope is given, for the derivative has no rule on intervals
    value=lambda t, mp: mp.cos(t),
    derivative=lambda t: sp.Derivative(sp.cos(t), t),
    numpy="np.cos(t)",
    c="cos(t)",
    slope=lambda low, high: 1.0,
    rounding=8,
)
FORMULAS = {
    "swish": SymbolicMap(X + integral(swish(dot(X, A @ Y)) * (V @ Y), Y, MU), X, MU),
    "its Jacobian": SymbolicMap(integral(swish(dot(X, A @ Y)) * (V @ Y), Y, MU), X, MU).jacobian(),
    "root": SymbolicMap(integral(root(dot(X, A @ Y)) * (V @ Y), Y, MU), X, MU),
    "hinge": SymbolicMap(integral(hinge(norm2(A @ X - Y)) * (V @ Y), Y, MU), X, MU),
    "step": SymbolicMap(integral(step(dot(X, A @ Y)) * (V @ Y), Y, MU), X, MU),
    "wave": SymbolicMap(integral(wave(dot(X, A @ Y)) * (V @ Y), Y, MU), X, MU),
}
ENGINES = ["reference", "numpy"]
INPUTS = (
    st.sampled_from(sorted(FORMULAS)),
    st.sampled_from(ENGINES),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**20),
    st.sampled_from(sorted(PLACES)),
    st.sampled_from(sorted(WEIGHTS)),
)


@settings(max_examples=12, deadline=None)
@given(*INPUTS, st.sampled_from([1e-3, 1.0, 1e2]))
def test_bounds_hold_on_adversarial_inputs(name, engine, dtype, seed, places, weights, scale):
    assert holds(FORMULAS[name], engine, dtype, seed, 5, places, weights, scale)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(*INPUTS, st.sampled_from([1e-6, 1e-3, 1.0, 1e2, 1e4]))
def test_bounds_hold_on_many_inputs(name, engine, dtype, seed, places, weights, scale):
    assert holds(FORMULAS[name], engine, dtype, seed, 7, places, weights, scale)


@pytest.mark.skipif(bool(engine_status()["native"]), reason="no C compiler")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_hold_for_compiled_code(dtype):
    for seed, places in enumerate(("ordinary", "far", "near")):
        assert holds(FORMULAS["swish"], "native", dtype, seed, 6, places, "ordinary", 1.0)
        assert holds(FORMULAS["hinge"], "native", dtype, seed, 6, places, "ordinary", 1.0)


@pytest.mark.parametrize("name", ["swish", "its Jacobian", "hinge", "wave"])
def test_bounds_are_finite_and_small_where_all_is_known(name):
    rng = np.random.default_rng(2)
    points, a, v = rng.normal(size=(40, 2)), rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    got = FORMULAS[name].bind(A=a, V=v).evaluate(points, None, points, engine="numpy")
    assert got.unknown == () and np.isfinite(got.bound).all()
    assert (got.bound < 1e-10).all()


def test_a_jump_has_no_slope():
    bound = FORMULAS["step"].bind(A=np.eye(2), V=np.eye(2))
    at = lambda x: bound.evaluate([[1.0, 1.0]], None, [x], engine="numpy").bound  # noqa: E731
    assert np.isinf(at([0.3, -0.1])).all()
    exact = SymbolicMap(step(component(X, 0)) * X, X, MU).bind()
    got = exact.evaluate([[1.0]], None, [[0.5]], engine="numpy")
    assert np.isfinite(got.bound).all()  # the argument is exact


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([swish, bump, root, hinge]),
    st.floats(-30, 30),
    st.floats(0, 4),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
@example(bump, 0.5, 1.0, [0.0, 0.4, 1.0])  # a branch within
@example(root, -0.5, 1.0, [0.5, 0.5, 0.5])  # infinitely steep within
@example(hinge, 0.5, 1.0, [0.0, 0.9, 1.0])
def test_slopes_bound_quotients(head, low, width, places):
    m = head.meaning
    high = low + width
    slope = m.steepest(low, high)
    with mpmath.workdps(40):
        at = sorted(mpmath.mpf(low) + mpmath.mpf(p) * (mpmath.mpf(high) - low) for p in places)
        for s, t in zip(at, at[1:], strict=False):
            assert abs(m.value(t, mpmath.mp) - m.value(s, mpmath.mp)) <= slope * (t - s) or s == t


def test_slopes_are_sharp_on_short_intervals():
    for t in (-3.0, 0.2, 5.0):
        exact = float(mpmath.diff(lambda u: swish.meaning.value(u, mpmath.mp), t))
        assert math.isclose(swish.meaning.steepest(t, t + 1e-9), abs(exact), rel_tol=1e-6)


def test_what_an_interval_does_not_decide_is_infinite():
    assert bump.meaning.steepest(0.9, 1.1) == math.inf
    assert jump.meaning.steepest(-1.0, 1.0) == math.inf
    assert steepest(abs, lambda t: sp.Derivative(sp.Abs(t), t), 0.0, 1.0) == math.inf
    assert steepest(lambda t, mp: mp.log(t), lambda t: 1 / t, -1.0, 1.0) == math.inf
    assert steepest(lambda t, mp: t, lambda t: sp.Integer(1), -math.inf, 1.0) == math.inf
    with pytest.raises(Undecided):
        bool(Enclosure.between(-1, 1) < 0)
    with pytest.raises(Undecided):
        bool(Enclosure.between(-1, 1) == 0)


RULES = [sp.exp, sp.sin, sp.cos, sp.sinh, sp.cosh, sp.tanh, sp.atan, sp.asinh, sp.erf, sp.erfc]
RULES += [sp.Abs, sp.sign, lambda t: sp.Max(t, 1) * sp.Min(t, 2), lambda t: t**3 - t**-2 + sp.pi]
RULES += [lambda t: sp.sqrt(1 + t**2) ** 3, lambda t: (2 + sp.cos(t)) ** sp.Rational(1, 3) + 0.25]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RULES), st.floats(-5, 5), st.floats(0, 2), st.floats(0, 1))
def test_images_hold_the_values_inside(rule, low, width, place):
    high = low + width
    most = steepest(lambda t, mp: t, rule, low, high)
    t = sp.Float(low + place * width, 30)
    if low <= t <= high and t != 0:
        assert abs(rule(t).evalf(30)) <= most


def test_many_intervals_are_taken_together():
    rng, asked = np.random.default_rng(0), []
    low = rng.normal(size=(40, 50))
    high = low + rng.random((40, 50)) * 1e-3
    found = _between(lambda a, b: asked.append(1) or max(abs(a), abs(b)), low, high)
    assert found.shape == low.shape and len(asked) <= 64
    assert (found >= np.maximum(abs(low), abs(high))).all()
    low[0, 0], high[1, 1] = np.nan, np.inf
    found = _between(lambda a, b: 1.0, low, high)
    assert np.isinf(found[0, 0]) and np.isinf(found[1, 1]) and found[2, 2] == 1
