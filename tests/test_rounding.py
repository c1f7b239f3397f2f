"""The rounding bound covers the error of every engine, against many digits."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings, strategies as st
from term_recipes import MU, environment
from test_engines_agree import ORDER, SEEDS, inputs_of, terms

from pushforward.numeric import engine_status
from pushforward.numeric.blocked import evaluate
from pushforward.numeric.lowering import lower
from pushforward.numeric.multiprecision import interpret_precisely
from pushforward.numeric.reference import Inputs, interpret
from pushforward.numeric.rounding import Precision, rounding_bound, upward
from pushforward.symbolic import (
    LogPartition,
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    component,
    covariance,
    dot,
    elementwise,
    gibbs,
    integral,
    norm,
    norm2,
    supremum,
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
    with np.errstate(invalid="ignore"):
        return np.abs(to_mpf(got) - exact).astype(float)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(terms(), SEEDS, st.sampled_from([np.float32, np.float64]))
def test_random_terms(term, seed, dtype):
    inputs = inputs_of(environment(seed), rows=1)
    program = lower(term)
    bound = rounding_bound(program, inputs, ORDER, Precision.of(dtype))
    error = errors(program, inputs, ORDER, dtype)
    assert (error <= bound).all()


@settings(max_examples=25, deadline=None)
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
    "suprema": SymbolicMap(x + supremum(dot(x, A @ y) * y, y, mu) + supremum(V @ y, y, mu), x, mu),
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
            bound = rounding_bound(program, inputs, tuple(given_points), Precision.of(dtype))
            error = errors(program, inputs, tuple(given_points), dtype, digits=80)
            assert ((error <= bound) | np.isinf(bound)).all(), (n, dtype, error, bound)


# ---- drawn: what users give, by every engine, in both types

PLACES = {
    "ordinary": lambda rng, p: p,
    "coincident": lambda rng, p: p[rng.integers(0, min(2, len(p)), len(p))],
    "far": lambda rng, p: p * 10.0 ** rng.integers(-6, 1) + 10.0 ** rng.integers(1, 8),
    "near": lambda rng, p: p[:1] + 10.0 ** -rng.integers(3, 15) * p,
    "opposite": lambda rng, p: np.concatenate([p[: (len(p) + 1) // 2], -p[: len(p) // 2]]),
    "zeros": lambda rng, p: p * rng.integers(0, 2, p.shape),
    "huge": lambda rng, p: p * 10.0 ** rng.integers(1, 12),
    "small": lambda rng, p: p * 10.0 ** -rng.integers(1, 200),
    "of all sizes": lambda rng, p: p * 10.0 ** rng.integers(-8, 8, (len(p), 1)),
}
WEIGHTS = {
    "ordinary": lambda rng, w: w,
    "down to 1e-300": lambda rng, w: w * 10.0 ** -rng.integers(0, 300, len(w)),
    "one heavy": lambda rng, w: np.where(np.arange(len(w)) == 0, 1.0, 1e-12),
    "of all sizes": lambda rng, w: w * 10.0 ** rng.integers(-20, 20, len(w)),
}
CANCELLING = SymbolicMap(
    1000000 * integral(y, y, mu) - integral(1000000 * (y + x), y, mu) + x, x, mu
)
DRAWN = MAPS | {
    "differences that cancel": CANCELLING,
    "logarithm of a partition": SymbolicMap(LogPartition(y, mu, dot(x, A @ y)) * x, x, mu),
    "covariance": SymbolicMap(covariance(y, dot(y, V @ y), y, mu, energy=dot(x, A @ y)), x, mu),
    "root of a variance": SymbolicMap(
        x / sp.sqrt(integral(norm2(y), y, mu) - norm2(integral(y, y, mu)) + sp.Rational(1, 10**9)),
        x,
        mu,
    ),
    "root of a distance": SymbolicMap(
        integral((x - y) / sp.sqrt(norm(x - y) + sp.Rational(1, 100)), y, mu), x, mu
    ),
    "positive part": SymbolicMap(
        integral(sp.Max(dot(x, A @ y), 0) ** sp.Rational(3, 2) * y, y, mu), x, mu
    ),
    "logarithm": SymbolicMap(integral(sp.log(1 + norm2(x - y)) * (x - y), y, mu), x, mu),
}
# A kernel is compiled once a map and a type, so only some are drawn by default.
COMPILED = ["softmax", "Jacobian", "Cucker-Smale", "logarithm of a partition"]
NATIVE = [] if engine_status()["native"] else ["native"]


def holds(formula, engine, dtype, seed, n, places, weights, scale):
    """The stated bound of an evaluation is above its error, by many digits."""
    rng = np.random.default_rng(seed)
    points = PLACES[places](rng, rng.normal(size=(n, 2)))
    mass = WEIGHTS[weights](rng, rng.dirichlet(np.ones(n)))
    queries = np.concatenate([points[:1], rng.normal(size=(1, 2))])
    values = {p.name: scale * rng.normal(size=(2, 2)) for p in formula.parameters}
    more = {"z": points[-1:]} if formula.points else {}
    bound = formula.bind(**values)
    exact = bound.at_precision(points, mass, queries, digits=120, **more)
    got = bound.evaluate(points, mass, queries, engine=engine, dtype=dtype, **more)
    assert not np.isnan(got.bound).any()
    known = np.isfinite(got.bound)
    to_mpf = np.frompyfunc(lambda v: mpmath.mpf(float(v)), 1, 1)
    error = np.abs(to_mpf(got.value[known]) - exact[known])
    return (error <= to_mpf(got.bound[known])).all()


CASE = {
    "dtype": st.sampled_from(["float32", "float64"]),
    "seed": st.integers(0, 10**6),
    "n": st.sampled_from([1, 2, 6, 17]),
    "places": st.sampled_from(sorted(PLACES)),
    "weights": st.sampled_from(sorted(WEIGHTS)),
    "scale": st.sampled_from([1.0, 10.0, 1e4, 1e-8]),
}


def drawn(examples, names, engines):
    case = {"name": st.sampled_from(sorted(names)), "engine": st.sampled_from(engines), **CASE}

    def decorate(test):
        return settings(max_examples=examples, deadline=None)(given(**case)(test))

    return decorate


@drawn(60, DRAWN, ["reference", "numpy"])
def test_drawn_inputs(name, engine, **case):
    assert holds(DRAWN[name], engine, **case)


@pytest.mark.skipif(not NATIVE, reason="there is no C compiler")
@drawn(25, COMPILED, ["native"])
def test_drawn_inputs_of_kernels(name, engine, **case):
    assert holds(DRAWN[name], engine, **case)


@pytest.mark.slow
@drawn(300, DRAWN, ["reference", "numpy", "mpmath", *NATIVE])
def test_many_drawn_inputs(name, engine, **case):
    assert holds(DRAWN[name], engine, **case)


@pytest.mark.parametrize("engine", ["numpy", *NATIVE])
def test_weights_that_float32_does_not_have(engine):
    """An atom of weight 1e-60 that its energy makes the only one that counts."""
    bound = SOFTMAX.bind(A=np.eye(2), V=np.eye(2))
    points, weights = np.array([[0.0, 1.0], [200.0, 0.0]]), np.array([1.0, 1e-60])
    got = bound.evaluate(points, weights, [[1.0, 0.0]], engine=engine, dtype="float32")
    exact = bound(points, weights, [[1.0, 0.0]], engine="reference")
    error = np.abs(got.value - exact)
    assert error.max() > 100  # float32 has no such atom
    assert (error <= got.bound).all()
    alone = bound.evaluate(points[1:], weights[1:], [[1.0, 0.0]], engine=engine, dtype="float32")
    assert np.isinf(alone.bound).all()


def test_nearly_all_of_a_law_lost_to_the_type():
    """What float32 keeps is e^-60 of the whole, which one minus the rest does not tell."""
    rng, n = np.random.default_rng(1), 200
    points, weights = rng.normal(size=(n, 2)), 10.0 ** -rng.integers(0, 300, n)
    queries, values = rng.normal(size=(20, 2)), {"A": np.diag([200.0, 0.0])}
    bound = DRAWN["logarithm of a partition"].bind(**values)
    got = bound.evaluate(points, weights, queries, engine="numpy", dtype="float32")
    exact = bound(points, weights, queries, engine="reference", dtype="float64")
    error = np.abs(got.value - exact)
    assert error.max() > 10
    assert (error <= got.bound).all()


def test_bounds_are_rounded_up():
    """An exact value below all numbers of the type: the bound is not zero."""
    identity = SymbolicMap(x, x, mu).bind()
    point = np.array([[1e-60, 1.0 + 1e-9]])
    for engine in ("reference", "numpy"):
        got = identity.evaluate(point, None, point, engine=engine, dtype="float32")
        assert got.bound.dtype == np.float32
        assert (np.abs(got.value.astype(float) - point) <= got.bound).all()
    large = identity.evaluate([[1e60]], None, [[1e60]], engine="reference", dtype="float32")
    assert np.isinf(large.bound).all()


def test_upward():
    for error in (0.0, 1e-300, 1e-45, 0.1, 1e300, np.inf):
        assert float(upward(np.array([error]), np.float32)[0]) >= error
    assert np.isinf(upward(np.array([np.nan]), np.float64)).all()


def test_a_registered_function_without_rounding_has_no_bound():
    """Nothing is known of the code of a user, and the answer says of which function."""
    from registered_heads import G, numbers

    env = environment(1)
    got = G.bind(**numbers(env)).evaluate(*env[MU], [[0.2, 0.1]], engine="numpy")
    assert np.isinf(got.bound).all() and np.isfinite(got.value).all()
    assert got.unknown == ("bump_t",)


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
