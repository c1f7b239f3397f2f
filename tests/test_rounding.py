"""The rounding bound covers the error of every engine, against many digits."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings, strategies as st
from term_recipes import environment
from test_engines_agree import ORDER, SEEDS, inputs_of, terms

from pushforward.numeric.blocked import evaluate
from pushforward.numeric.lowering import lower
from pushforward.numeric.multiprecision import interpret_precisely
from pushforward.numeric.reference import Inputs, interpret
from pushforward.numeric.rounding import Precision, rounding_bound
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    component,
    dot,
    elementwise,
    gibbs,
    integral,
    norm,
    norm2,
)


def cast(inputs, dtype):
    turn = lambda array: np.asarray(array).astype(dtype)  # noqa: E731
    return Inputs(
        {name: turn(a) for name, a in inputs.points.items()},
        {name: (turn(a), turn(w)) for name, (a, w) in inputs.measures.items()},
        {name: turn(a) for name, a in inputs.parameters.items()},
    )


def errors(program, inputs, order, dtype, digits=60):
    """|value - exact| of the tiled engine, by many digits."""
    exact = interpret_precisely(program, inputs, order, digits)
    got = evaluate(program, cast(inputs, dtype), order)
    to_mpf = np.frompyfunc(lambda v: mpmath.mpf(float(v)), 1, 1)
    return np.abs(to_mpf(got) - exact).astype(float)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(terms(), SEEDS, st.sampled_from([np.float32, np.float64]))
def test_random_terms(term, seed, dtype):
    inputs = inputs_of(environment(seed), rows=1)
    program = lower(term)
    bound = rounding_bound(program, inputs, ORDER, Precision.of(dtype))
    error = errors(program, inputs, ORDER, dtype)
    assert (error <= bound).all()


@settings(max_examples=50, deadline=None)
@given(terms(), SEEDS)
def test_random_terms_by_the_reference(term, seed):
    inputs = inputs_of(environment(seed), rows=1)
    program = lower(term)
    exact = interpret_precisely(program, inputs, ORDER, 40).astype(float)
    got = interpret(program, inputs, ORDER)
    bound = rounding_bound(program, inputs, ORDER, Precision.of(np.float64))
    assert (np.abs(got - exact) <= bound + 2.0**-53 * np.abs(exact)).all()


x, y, z, mu, A, V = Point("x"), Point("y"), Point("z"), Measure("mu"), Matrix("A"), Matrix("V")
SOFTMAX = SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
CUCKER_SMALE = SymbolicMap(
    integral((y - x) / (1 + norm2(y - x)) ** sp.Rational(3, 10), y, mu), x, mu
)
SIGMOID = SymbolicMap(integral(y / (1 + sp.exp(-dot(x, A @ y))), y, mu), x, mu)
NORMAL = SymbolicMap(x / sp.sqrt(dot(x, x) + sp.Rational(1, 10**6)) + V @ x, x, mu)
MAPS = {
    "softmax": SOFTMAX,
    "Jacobian": SOFTMAX.jacobian(),
    "flat derivative": SOFTMAX.flat_derivative(z),
    "Lions derivative": SOFTMAX.lions_derivative(z),
    "second layer": SOFTMAX @ SOFTMAX,
    "Cucker-Smale": CUCKER_SMALE,
    "its Jacobian": CUCKER_SMALE.jacobian(),
    "sigmoid": SIGMOID,
    "its derivative": SIGMOID.jacobian(),
    "normalisation": NORMAL,
    "distance": SymbolicMap(integral(norm(x - y) * y, y, mu), x, mu),
    "elementwise": SymbolicMap(elementwise(sp.tanh, A @ x), x, mu),
    "psi": SOFTMAX.derivative(lambda v: sp.sin(component(v, 0))),
}


def ordinary(rng, n):
    return rng.normal(size=(n, 2)), rng.dirichlet(np.ones(n)), np.eye(2)


def large_scores(rng, n):
    return rng.normal(size=(n, 2)), rng.dirichlet(np.ones(n)), 1e4 * rng.normal(size=(2, 2))


def tiny_weights(rng, n):
    points, weights, a = ordinary(rng, n)
    return points, weights * 10.0 ** -rng.integers(0, 300, n), 30 * a


def coincident(rng, n):
    points, weights, a = ordinary(rng, n)
    return points[rng.integers(0, min(2, n), n)], weights, a


def far_away(rng, n):
    points, weights, a = ordinary(rng, n)
    return points * 1e-3 + 1e3, weights, a * 1e-3


def nearly_coincident(rng, n):
    points, weights, a = ordinary(rng, n)
    return points[:1] + 1e-9 * points, weights, 10 * a


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(
    "cloud", [ordinary, large_scores, tiny_weights, coincident, far_away, nearly_coincident]
)
def test_adversarial_clouds(name, cloud):
    formula = MAPS[name]
    program = lower(formula.term)
    rng = np.random.default_rng(7)
    for n in (1, 6):
        points, weights, a = cloud(rng, n)
        at = np.concatenate([points[:2], rng.normal(size=(1, 2))])
        values = {"A": a, "V": rng.normal(size=(2, 2))}
        given_points = {"x": at} | ({"z": points[-1:]} if formula.points else {})
        inputs = Inputs(given_points, {"mu": (points, weights)}, values)
        for dtype in (np.float64, np.float32):
            if dtype == np.float32 and cloud is tiny_weights:
                continue  # such weights are no float32 numbers
            bound = rounding_bound(program, inputs, tuple(given_points), Precision.of(dtype))
            error = errors(program, inputs, tuple(given_points), dtype, digits=80)
            assert (error <= bound).all(), (n, dtype, error, bound)


def test_the_bound_is_of_the_order_of_the_unit():
    rng = np.random.default_rng(3)
    inputs = Inputs(
        {"x": rng.normal(size=(5, 3))},
        {"mu": (rng.normal(size=(50, 3)), rng.dirichlet(np.ones(50)))},
        {"A": np.eye(3), "V": np.eye(3)},
    )
    for dtype, most in ((np.float64, 1e-13), (np.float32, 1e-4)):
        bound = rounding_bound(lower(SOFTMAX.term), inputs, ("x",), Precision.of(dtype))
        assert 0 < bound.max() < most


def test_rows_in_chunks_are_rows_together(monkeypatch):
    from pushforward.numeric import rounding

    rng = np.random.default_rng(3)
    inputs = Inputs({"x": rng.normal(size=(7, 2))}, {"mu": (rng.normal(size=(4, 2)), np.ones(4))},
                    {"A": np.eye(2), "V": np.eye(2)})  # fmt: skip
    program = lower(SOFTMAX.jacobian().term)
    whole = rounding_bound(program, inputs, ("x",), Precision.of(np.float64))
    monkeypatch.setattr(rounding, "_CHUNK_NUMBERS", 16)
    np.testing.assert_array_equal(
        rounding_bound(program, inputs, ("x",), Precision.of(np.float64)), whole
    )
