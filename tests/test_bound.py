"""What binding promises: shapes, layouts, types, zero weights, and calls that are refused."""

import pickle

import numpy as np
import pytest
import sympy

from pushforward.numeric import Values
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    Scalar,
    SymbolicMap,
    Vector,
    dot,
    gibbs,
    integral,
    stack,
)

x, y, z, w, mu = Point("x"), Point("y"), Point("z"), Point("w"), Measure("mu")
A, V, b, c = Matrix("A"), Matrix("V"), Vector("b"), Scalar("c")
MAP = SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)

RNG = np.random.default_rng(0)
VALUES = {"A": RNG.normal(size=(3, 3)), "V": RNG.normal(size=(2, 3))}
SQUARE = {"A": VALUES["A"], "V": RNG.normal(size=(3, 3))}
POINTS, WEIGHTS, QUERIES = RNG.normal(size=(5, 3)), RNG.random(5), RNG.normal(size=(4, 3))
Z, W = RNG.normal(size=(6, 3)), RNG.normal(size=(7, 3))
NARROW = SymbolicMap(gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)


@pytest.mark.parametrize(
    "formula, points, shape",
    [
        (NARROW, {}, (4, 2)),
        (NARROW.jacobian(), {}, (4, 2, 3)),
        (MAP.divergence(), {}, (4,)),
        (NARROW.flat_derivative(z), {"z": Z}, (4, 6, 2)),
        (NARROW.lions_derivative(z), {"z": Z}, (4, 6, 2, 3)),
        (NARROW.second_flat_derivative(z, w), {"z": Z, "w": W}, (4, 6, 7, 2)),
        (SymbolicMap(integral(y, y, mu), x, mu).flat_derivative(z), {"z": Z}, (4, 6, 3)),
    ],
)
@pytest.mark.parametrize("engine", ["numpy", "reference"])
def test_layouts(formula, points, shape, engine):
    names = [p.name for p in formula.parameters]
    values = SQUARE if formula.kind == "divergence" else VALUES
    bound = formula.bind(**{name: values[name] for name in names})
    got = bound(POINTS, WEIGHTS, QUERIES, engine=engine, **points)
    assert got.shape == shape and got.flags["C_CONTIGUOUS"] and got.flags["WRITEABLE"]
    one = bound(POINTS, WEIGHTS, QUERIES[2], engine=engine, **{k: p[3] for k, p in points.items()})
    np.testing.assert_allclose(one[0], got[2][(slice(3, 4),) * len(points)], rtol=1e-12)
    values = bound.evaluate(POINTS, WEIGHTS, QUERIES, engine=engine, **points)
    assert isinstance(values, Values) and values.bound.shape == shape
    np.testing.assert_array_equal(values.value, got)


def test_the_jacobian_is_indexed_output_first():
    step = 1e-6
    bound, jacobian = NARROW.bind(**VALUES), NARROW.jacobian().bind(**VALUES)
    got = jacobian(POINTS, WEIGHTS, QUERIES)
    for j in range(3):
        shift = step * np.eye(3)[j]
        ahead, behind = (bound(POINTS, WEIGHTS, QUERIES + s * shift) for s in (1, -1))
        np.testing.assert_allclose(got[:, :, j], (ahead - behind) / (2 * step), atol=1e-8)


def test_the_lions_derivative_is_that_of_the_flat_one():
    step = 1e-6
    flat, lions = (
        d.bind(**VALUES) for d in (NARROW.flat_derivative(z), NARROW.lions_derivative(z))
    )
    got = lions(POINTS, WEIGHTS, QUERIES, z=Z)
    for j in range(3):
        shift = step * np.eye(3)[j]
        ahead, behind = (flat(POINTS, WEIGHTS, QUERIES, z=Z + s * shift) for s in (1, -1))
        np.testing.assert_allclose(got[..., j], (ahead - behind) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("engine", ["numpy", "reference", "mpmath"])
def test_atoms_of_weight_zero_count_for_nothing(engine):
    bound = MAP.bind(A=100 * SQUARE["A"], V=SQUARE["V"])
    far = 1e3 * np.ones((1, 3))  # it would win the running maximum
    want = bound(POINTS, WEIGHTS, QUERIES, engine=engine)
    got = bound(np.concatenate([far, POINTS]), [0.0, *WEIGHTS], QUERIES, engine=engine)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("engine", ["numpy", "reference"])
def test_weights_need_not_sum_to_one(engine):
    bound = SymbolicMap(integral(y, y, mu), x, mu).bind()
    got = bound(POINTS, 3 * WEIGHTS, QUERIES, engine=engine)
    np.testing.assert_allclose(got, np.tile(3 * WEIGHTS @ POINTS, (4, 1)), rtol=1e-12)
    uniform = bound(POINTS, None, QUERIES, engine=engine)
    np.testing.assert_allclose(uniform, np.tile(POINTS.mean(axis=0), (4, 1)), rtol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "reference", "mpmath", "auto"])
def test_floating_types(engine):
    bound = MAP.bind(**SQUARE)
    single = POINTS.astype(np.float32)
    # The weights do not decide the type.
    assert bound(single, WEIGHTS, single, engine=engine).dtype == np.float32
    assert bound(single, WEIGHTS, QUERIES, engine=engine).dtype == np.float64
    for dtype in (np.float32, "float32", np.dtype("f4"), "f"):
        assert bound(POINTS, WEIGHTS, QUERIES, engine=engine, dtype=dtype).dtype == np.float32
    whole = bound(np.arange(6).reshape(2, 3), [1, 2], [0, 0, 1], engine=engine)
    assert whole.dtype == np.float64 and whole.shape == (1, 3)


def test_torch_in_torch_out():
    torch = pytest.importorskip("torch")
    bound = MAP.bind(**SQUARE)
    tensors = [torch.tensor(a, dtype=torch.float32) for a in (POINTS, WEIGHTS, QUERIES)]
    want = bound(POINTS, WEIGHTS, QUERIES)
    for engine in ("auto", "numpy", "reference", "mpmath"):
        got = bound(*tensors, engine=engine)
        assert isinstance(got, torch.Tensor) and got.dtype == torch.float32
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-4, atol=1e-5)
    assert isinstance(bound.evaluate(*tensors).bound, torch.Tensor)
    with pytest.raises(TypeError, match="one library"):
        bound(tensors[0], tensors[1], QUERIES)


def test_gradients_flow_through_torch():
    torch = pytest.importorskip("torch")
    bound, jacobian = MAP.bind(**SQUARE), MAP.jacobian().bind(**SQUARE)
    at = torch.tensor(QUERIES[:1], requires_grad=True)
    points, weights = torch.tensor(POINTS), torch.tensor(WEIGHTS)
    rows = [
        torch.autograd.grad(bound(points, weights, at, engine="numpy")[0, i], at)[0][0]
        for i in range(3)
    ]
    want = jacobian(POINTS, WEIGHTS, QUERIES[:1])[0]
    np.testing.assert_allclose(torch.stack(rows).numpy(), want, rtol=1e-10)


def test_many_digits():
    import mpmath

    got = MAP.bind(**SQUARE).at_precision(POINTS, WEIGHTS, QUERIES, digits=40)
    finer = MAP.bind(**SQUARE).at_precision(POINTS, WEIGHTS, QUERIES, digits=60)
    assert got.shape == (4, 3) and isinstance(got[0, 0], mpmath.mpf | type(got[0, 0]))
    difference = np.abs(got - finer).max()
    assert 0 < difference < mpmath.mpf(10) ** -38
    before = mpmath.mp.dps
    assert before == mpmath.mp.dps == 15


def test_a_point_that_is_bound_inside_is_a_keyword_too():
    flat = MAP.flat_derivative(y).bind(**SQUARE)
    want = MAP.flat_derivative(z).bind(**SQUARE)(POINTS, WEIGHTS, QUERIES, z=Z)
    np.testing.assert_array_equal(flat(POINTS, WEIGHTS, QUERIES, y=Z), want)


def test_parameters_that_dropped_out_are_still_taken():
    jacobian = SymbolicMap(x + b, x, mu).jacobian()
    got = jacobian.bind(b=np.ones(3))(POINTS, WEIGHTS, QUERIES)
    np.testing.assert_array_equal(got, np.tile(np.eye(3), (4, 1, 1)))


def test_what_is_known_of_the_dimensions():
    assert (NARROW.bind(**VALUES).dim_in, NARROW.bind(**VALUES).dim_out) == (3, 2)
    mean = SymbolicMap(integral(y, y, mu), x, mu).bind()
    assert (mean.dim_in, mean.dim_out) == (None, None)
    assert repr(NARROW.bind(**VALUES)) == "Bound(map with A (3, 3), V (2, 3))"


def test_it_pickles_and_keeps_its_parts():
    bound = pickle.loads(pickle.dumps(MAP.bind(**SQUARE)))
    np.testing.assert_array_equal(bound(POINTS, WEIGHTS, QUERIES), MAP.bind(**SQUARE)(
        POINTS, WEIGHTS, QUERIES))  # fmt: skip
    assert bound.map == MAP and set(bound.parameters) == {"A", "V"} and bound.kind == "map"


def test_a_composition_costs_the_sum_of_its_parts():
    layers, lengths = MAP, []
    for _ in range(5):
        lengths.append(len(layers.bind(**SQUARE).program))
        layers = MAP @ layers
    steps = np.diff(lengths)
    assert steps.max() == steps[1] and steps.max() <= 10


def test_many_queries_and_none():
    bound = MAP.bind(**SQUARE)
    for engine in ("numpy", "reference"):
        assert bound(POINTS, WEIGHTS, np.zeros((0, 3)), engine=engine).shape == (0, 3)
    many = RNG.normal(size=(3000, 3))
    got = bound(many, None, many, engine="numpy")
    np.testing.assert_allclose(got[2999], bound(many, None, many[2999], engine="reference")[0])


CALL = MAP.bind(**SQUARE)
FLAT = MAP.flat_derivative(z).bind(**SQUARE)
BAD_CALLS = [
    (lambda: CALL(POINTS[:, 0], WEIGHTS, QUERIES), ValueError, "points[:, None]"),
    (lambda: CALL(np.zeros((0, 3)), [], QUERIES), ValueError, "shape (n, d)"),
    (lambda: CALL(POINTS, WEIGHTS[:4], QUERIES), ValueError, "(5,)"),
    (lambda: CALL(POINTS, -WEIGHTS, QUERIES), ValueError, ">= 0"),
    (lambda: CALL(POINTS, 0 * WEIGHTS, QUERIES), ValueError, "positive sum"),
    (lambda: CALL(POINTS, WEIGHTS * np.nan, QUERIES), ValueError, "finite weights"),
    (lambda: CALL(POINTS * np.inf, WEIGHTS, QUERIES), ValueError, "finite points"),
    (lambda: CALL(POINTS, WEIGHTS, QUERIES + np.nan), ValueError, "finite x"),
    (lambda: CALL(POINTS, WEIGHTS, QUERIES[:, :2]), ValueError, "expected"),
    (lambda: CALL(POINTS[:, :2], WEIGHTS, QUERIES[:, :2]), ValueError, "A (3, 3)"),
    (lambda: CALL(POINTS, WEIGHTS, 0.0), ValueError, "x of shape"),
    (lambda: CALL(POINTS, WEIGHTS, "here"), TypeError, "real numbers"),
    (lambda: CALL(POINTS, WEIGHTS, QUERIES, z=Z), ValueError, "got z"),
    (lambda: FLAT(POINTS, WEIGHTS, QUERIES), ValueError, "z="),
    (lambda: FLAT(POINTS, WEIGHTS, QUERIES, z=Z, y=Z), ValueError, "got y"),
    (lambda: FLAT(POINTS, WEIGHTS, QUERIES, z=Z[:, :2]), ValueError, "expected"),
    (lambda: CALL(POINTS, WEIGHTS, QUERIES, engine="abacus"), ValueError, "'abacus'"),
    (lambda: CALL(POINTS, WEIGHTS, QUERIES, engine="cuda"), ValueError, "cuda"),
    (lambda: CALL(POINTS, WEIGHTS, QUERIES, dtype="int32"), ValueError, "int32"),
    (lambda: CALL(POINTS, WEIGHTS, QUERIES, dtype="real"), ValueError, "'real'"),
    (lambda: CALL.at_precision(POINTS, WEIGHTS, QUERIES, digits=3), ValueError, "digits"),
    (lambda: MAP.bind(A=np.eye(3)), ValueError, "V"),
    (lambda: MAP.bind(A=np.eye(3), V=np.eye(3), Q=1), ValueError, "Q"),
    (lambda: MAP.bind(A=np.ones(3), V=np.eye(3)), ValueError, "matrix"),
    (lambda: MAP.bind(A=np.eye(3) * np.nan, V=np.eye(3)), ValueError, "finite"),
    (lambda: MAP.bind(A=np.eye(3) * 1j, V=np.eye(3)), TypeError, "real numbers"),
    (lambda: MAP.bind(A="A", V=np.eye(3)), TypeError, "real numbers"),
    (lambda: SymbolicMap(c * x, x, mu).bind(c=[1.0, 2.0]), ValueError, "a number"),
    (lambda: SymbolicMap(x + b, x, mu).bind(b=2.0), ValueError, "a vector"),
    (
        lambda: SymbolicMap(stack(dot(x, b)), x, mu).bind(b=[1.0])(POINTS, WEIGHTS, QUERIES),
        ValueError,
        "one dimension",
    ),
]


@pytest.mark.parametrize("call, error, words", BAD_CALLS)
def test_bad_calls_are_refused_in_one_sentence(call, error, words):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert words in message and "\n" not in message and len(message) < 400


def test_numbers_alone_import_no_symbols():
    import subprocess
    import sys

    code = (
        "import sys, pushforward.numeric as n; n.wasserstein(n.DiscreteMeasure([[0.0]]),"
        " n.DiscreteMeasure([[1.0]])); n.integrate(lambda p, w, x: -x, [[1.0]], None, 1.0);"
        "print([m for m in ('sympy', 'hypothesis', 'torch', 'mpmath') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_floating_exponent_is_a_root_where_it_is_a_multiple_of_one_half():
    def program(exponent):
        return SymbolicMap((1 + dot(x, x)) ** exponent * x, x, mu).bind().program

    assert program(-0.5).digest == program(sympy.Rational(-1, 2)).digest
    assert program(2.0).digest == program(2).digest
    assert program(0.3).digest != program(sympy.Rational(3, 10)).digest
