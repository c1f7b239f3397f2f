"""Values of three axes and more: kernels make them row by row of an argument."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from term_recipes import environment
from test_engines_agree import ORDER, SEEDS, inputs_of, terms
from test_native import cloud, own_cache  # noqa: F401  the fixture keeps compiled C to itself

from pushforward.numeric import engine_status
from pushforward.numeric.lowering import lower
from pushforward.numeric.native import Unsupported, evaluate_native
from pushforward.numeric.reference import Inputs, interpret
from pushforward.numeric.slices import choices, evaluate_slices, fixed, narrow, slices_pay
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    component,
    dot,
    gibbs,
    integral,
    norm2,
)

x, y, z, w, u, mu = *map(Point, "xyzwu"), Measure("mu")
A = Matrix("A")
SOFTMAX = SymbolicMap(gibbs(y, y, mu, energy=dot(x, A @ y)), x, mu)
TRIPLE = integral(integral(sp.exp(-norm2(x - y + u) / 3) * (u + y), u, mu), y, mu)
WIDE = {
    # name: a term of three axes and more, and the arguments that are taken row by row
    "second flat": (SOFTMAX.second_flat_derivative(z, w), [("x",), ("w",), ("z",)]),
    "flat of two layers": ((SOFTMAX @ SOFTMAX).flat_derivative(z), [("x",), ("z",)]),
    "three bodies": (SymbolicMap(TRIPLE, x, mu), [("x",)]),
    "three bodies, flat": (SymbolicMap(TRIPLE, x, mu).flat_derivative(z), [("x",), ("z",)]),
}
needs_compiler = pytest.mark.skipif(bool(engine_status()["native"]), reason="no C compiler")


def values(formula, engine, n=60, m=9, dtype="float64", **options):
    bound = formula.bind(
        **({"A": np.array([[1.0, 0.5], [-0.5, 2.0]])} if formula.parameters else {})
    )
    rng = np.random.default_rng(3)
    points, queries = rng.normal(size=(n, 2)), rng.normal(size=(m, 2))
    more = {p.name: rng.normal(size=(3 + k, 2)) for k, p in enumerate(formula.points)}
    given = (points.astype(dtype), rng.dirichlet(np.ones(n)).astype(dtype), queries.astype(dtype))
    more = {name: rows.astype(dtype) for name, rows in more.items()}
    return bound.evaluate(*given, engine=engine, **more, **options)


@pytest.mark.parametrize("name", WIDE)
def test_which_arguments_are_taken_row_by_row(name):
    formula, expected = WIDE[name]
    program = lower(formula.term)
    assert not narrow(program)
    assert sorted(choices(program)) == sorted(expected)
    assert all(narrow(fixed(program, names)) for names in expected)


def test_narrow_programs_stay_as_they_are():
    assert choices(lower(SOFTMAX.lions_derivative(z).term)) == ()


@needs_compiler
@pytest.mark.parametrize(
    "name, dtype",
    [
        ("second flat", "float64"),
        ("three bodies", "float64"),
        *(
            pytest.param(name, dtype, marks=pytest.mark.slow)
            for name, dtype in [
                ("second flat", "float32"),
                ("flat of two layers", "float64"),
                ("three bodies, flat", "float32"),
            ]
        ),
    ],
)
def test_native_is_the_reference_within_the_bounds(name, dtype):
    got, want = values(WIDE[name][0], "native", dtype=dtype), values(WIDE[name][0], "reference")
    assert got.value.dtype == dtype and got.value.shape == want.value.shape
    if dtype == "float64":
        assert (np.abs(got.value - want.value) <= got.bound + want.bound).all()
    else:
        # The inputs differ too: by half a unit each.
        scale = np.abs(want.value).max()
        assert np.abs(got.value - want.value).max() <= 1e-4 * scale
    np.testing.assert_array_equal(got.value, values(WIDE[name][0], "native", dtype=dtype).value)


@needs_compiler
def test_auto_takes_slices_for_many_pairs():
    formula = WIDE["three bodies"][0]
    native, auto = (values(formula, engine, n=200, m=2) for engine in ("native", "auto"))
    np.testing.assert_array_equal(auto.value, native.value)


def one_by_one(program, batch, order):
    return [interpret(program, inputs, order) for inputs in batch]


@settings(max_examples=15, deadline=None)
@given(terms(), SEEDS)
def test_random_terms(term, seed):
    """Whatever is taken row by row, the value is that of the whole."""
    program, inputs = lower(term), inputs_of(environment(seed), rows=2)
    want = interpret(program, inputs, ORDER)
    sets = choices(program) or (("x",), ("y", "z"), ("x", "y", "z"))
    for names in sets[:2]:
        got = evaluate_slices(one_by_one, program, inputs, ORDER, (names,))
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12 * (1 + np.abs(want).max()))


def test_the_argument_with_the_fewest_rows_is_taken():
    program, asked = lower(WIDE["second flat"][0].term), []
    inputs = cloud(5, 4, 2, ("z", "w"))
    inputs = Inputs({**inputs.points, "w": np.ones((2, 2))}, inputs.measures, inputs.parameters)

    def evaluate(program, batch, order):
        asked.append((order, len(batch)))
        return one_by_one(program, batch, order)

    got = evaluate_slices(evaluate, program, inputs, ("x", "z", "w"))
    assert asked == [(("x", "z"), 2)]
    np.testing.assert_allclose(got, interpret(program, inputs, ("x", "z", "w")), rtol=1e-12)


def test_no_rows_and_arguments_of_one_name_with_a_parameter():
    program = lower(WIDE["second flat"][0].term)
    inputs = cloud(5, 4, 2, ("z", "w"))
    empty = Inputs({**inputs.points, "w": np.ones((0, 2))}, inputs.measures, inputs.parameters)
    assert evaluate_slices(one_by_one, program, empty, ("x", "z", "w")).shape == (4, 3, 0, 2)
    named = SymbolicMap(Matrix("x") @ TRIPLE, x, mu)
    inputs = Inputs(inputs.points, inputs.measures, {"x": np.diag([1.0, 2.0])})
    order, program = ("x", "z", "w"), lower(named.term)
    got = evaluate_slices(one_by_one, program, inputs, order)
    np.testing.assert_allclose(got, interpret(program, inputs, order), rtol=1e-12)


@needs_compiler
def test_four_axes_of_atoms_have_no_kernel():
    inner = integral(dot(x, y) * component(u, 0) * sp.exp(dot(u, z) * dot(x, z) * dot(y, z)), u, mu)
    program = lower(integral(integral(inner, y, mu), z, mu))
    assert not narrow(program) and choices(program) == ()
    with pytest.raises(Unsupported, match="axes"):
        evaluate_native(program, cloud(3, 2, 2), ("x",))


@pytest.mark.parametrize(
    "name, atoms, queries, rows, pays",
    [
        ("second flat", 64, 8, 8, False),
        ("second flat", 4096, 64, 16, False),
        ("second flat", 8192, 32, 1, True),
        ("flat of two layers", 4096, 32, 4, True),
        ("flat of two layers", 1024, 32, 32, False),
        ("three bodies", 256, 64, 0, True),  # nothing is shared by the slices
    ],
)
def test_slices_are_taken_where_they_are_few_or_share_nothing(name, atoms, queries, rows, pays):
    formula, _ = WIDE[name]
    arrays = {p.name: np.zeros((rows, 2)) for p in formula.points}
    measures = {"mu": (np.zeros((atoms, 2)), np.ones(atoms))}
    inputs = Inputs({"x": np.zeros((queries, 2)), **arrays}, measures, {"A": np.eye(2)})
    assert slices_pay(lower(formula.term), inputs) == pays
