"""The compiled engine: the values of the tiled one, within the rounding bound, for every size."""

import ctypes

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given, settings, strategies as st
from term_recipes import environment
from test_engines_agree import ORDER, SEEDS, inputs_of, terms
from test_rounding import MAPS, cast

from pushforward.numeric import compiler, native, native_calls
from pushforward.numeric.blocked import evaluate
from pushforward.numeric.lowering import lower
from pushforward.numeric.native import Unsupported, evaluate_native
from pushforward.numeric.native_source import render
from pushforward.numeric.reference import Inputs
from pushforward.numeric.rounding import Precision, rounding_bound
from pushforward.symbolic import (
    Cumulant,
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    component,
    dot,
    elementwise,
    gibbs,
    integral,
    stack,
)

pytestmark = pytest.mark.skipif(compiler.compiler() is None, reason="there is no C compiler")
x, y, z, w, mu = Point("x"), Point("y"), Point("z"), Point("w"), Measure("mu")
A, V = Matrix("A"), Matrix("V")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def cloud(n, m, d, extra=(), seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    points = {"x": rng.normal(size=(m, d))} | {name: rng.normal(size=(3, d)) for name in extra}
    return Inputs(
        points,
        {"mu": (rng.normal(size=(n, d)), rng.dirichlet(np.ones(n)))},
        {"A": scale * rng.normal(size=(d, d)), "V": rng.normal(size=(d, d))},
    )


def agree(program, inputs, order, dtype):
    """Both engines lie within the bound of exact, so within twice the bound of each other."""
    given_inputs = cast(inputs, dtype)
    got = evaluate_native(program, given_inputs, order)
    want = evaluate(program, given_inputs, order)
    bound = rounding_bound(program, inputs, order, Precision.of(dtype))
    assert got.shape == want.shape and got.dtype == dtype
    known = np.isfinite(bound)
    assert (np.abs(got - want) <= 2 * bound)[known].all()
    assert known.any()


@settings(max_examples=12, deadline=None)
@given(terms(), SEEDS, st.sampled_from([np.float64, np.float32]))
def test_random_terms(term, seed, dtype):
    inputs = inputs_of(environment(seed), rows=3)
    program = lower(term)
    try:
        render(program, inputs.shapes(program))
    except Unsupported:
        assume(False)
    agree(program, inputs, ORDER, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", MAPS)
def test_the_maps_of_the_rounding_tests(name, dtype):
    extra = tuple(point.name for point in MAPS[name].points)
    agree(lower(MAPS[name].term), cloud(70, 19, 2, extra), ("x", *extra), dtype)


@pytest.mark.parametrize("name", ["softmax", "Jacobian", "Lions derivative", "second layer"])
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 129])
@pytest.mark.parametrize("m", [1, 7, 8, 33])
def test_ragged_sizes(name, n, m):
    extra = tuple(point.name for point in MAPS[name].points)
    agree(lower(MAPS[name].term), cloud(n, m, 2, extra), ("x", *extra), np.float64)


@pytest.mark.parametrize("d", [1, 3, 5, 17])
def test_dimensions(d):
    """With rows for several groups of vectors, and atoms for two tiles."""
    agree(lower(MAPS["Jacobian"].term), cloud(70, 29, d, scale=1 / d), ("x",), np.float64)


@pytest.mark.parametrize(
    "d, dtype", [(2, np.float64), (5, np.float32), (9, np.float64), (40, np.float32)]
)
def test_many_sums_over_the_same_pairs(d, dtype):
    """Value, divergence, derivatives along a vector and along a displacement, in one program."""
    energy, moved = dot(x, A @ y), V @ (A @ y)
    rate = component(y, 0) + dot(x, A @ moved)
    value = gibbs(V @ y, y, mu, energy=energy)
    displaced = gibbs(moved, y, mu, energy=energy) + Cumulant((V @ y, rate), y, mu, energy)
    divergence = SymbolicMap(value, x, mu).divergence().term
    weighed = integral(sp.exp(-(dot(x, y) ** 2)) * y, y, mu)
    term = stack(value, divergence, displaced, weighed)
    agree(lower(term), cloud(150, 37, d, scale=1 / d), ("x",), dtype)


def test_the_divergence_is_the_trace_of_the_jacobian():
    field = SymbolicMap(gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
    inputs = cloud(60, 11, 6, scale=1 / 6)
    far = {"mu": (inputs.measures["mu"][0] + 100, inputs.measures["mu"][1])}
    for measures in (inputs.measures, far):
        here = Inputs(inputs.points, measures, inputs.parameters)
        jacobian = evaluate(lower(field.jacobian().term), here, ("x",))
        divergence = evaluate(lower(field.divergence().term), here, ("x",))
        trace = np.trace(jacobian, axis1=1, axis2=2)
        np.testing.assert_allclose(divergence, trace, rtol=1e-10, atol=1e-10)


def test_inverse_roots_at_their_limits():
    """The estimate of a reciprocal root and its step, at zero, infinity and below zero."""
    base = component(x, 0)
    program = lower(stack(1 / sp.sqrt(base)))
    edges = [0.0, 1e-40, 1e-30, 0.25, 1.0, 3.0, 1e30, np.inf, -1.0, np.nan]
    for dtype in (np.float64, np.float32):
        points = np.array(edges, dtype)[:, None]
        inputs = Inputs({"x": points}, {"mu": (np.ones((1, 1), dtype), np.ones(1, dtype))}, {})
        with np.errstate(all="ignore"):
            want = 1 / np.sqrt(np.where(points < np.finfo(dtype).tiny, 0 * points, points))
            want[points < 0] = np.nan
        got = evaluate_native(program, inputs, ("x",))
        np.testing.assert_allclose(got, want, rtol=5 * np.finfo(dtype).eps)


def test_functions_of_numbers():
    """Every scalar function that has a C form."""
    u = component(x, 0)
    inside = [sp.exp(u), sp.sin(u), sp.cos(u), sp.tan(u), sp.atan(u), sp.sinh(u), sp.cosh(u)]
    inside += [sp.tanh(u), sp.asinh(u), sp.erf(u), sp.erfc(u), sp.Abs(u), sp.sign(u), sp.floor(u)]
    inside += [sp.log(1 + u**2), sp.sqrt(1 + u**2), sp.acosh(2 + u**2), sp.ceiling(u)]
    inside += [sp.asin(sp.tanh(u)), sp.acos(sp.tanh(u)), sp.atanh(sp.tanh(u) / 2), u**5, u**-3]
    inside += [1 / (1 + sp.exp(-u)), sp.log(1 + sp.exp(u)), sp.Max(u, 0), sp.Min(u, 1, u**2)]
    inside += [(1 + u**2) ** sp.Rational(1, 3), (1 + u**2) ** u, sp.atan2(u, 1 + u**2)]
    inside += [sp.Piecewise((u, u > sp.Rational(1, 2)), (u**2, sp.And(u < 0, u > -1)), (1, True))]
    inside += [sp.Heaviside(u), sp.Piecewise((1, sp.Or(u <= -1, sp.Ne(u, u))), (-u, True)), sp.pi]
    term = stack(*inside)
    agree(lower(term), cloud(3, 50, 1), ("x",), np.float64)


def test_extreme_exponents():
    program = lower(stack(sp.exp(component(x, 0)), sp.log(sp.Abs(component(x, 0)))))
    edges = [-1e308, -800, -745, -708.4, -708.39, -1e-310, 0, 5e-324, 1e-310, 709.7, 710, 1e308]
    inputs = Inputs({"x": np.array(edges)[:, None]}, {"mu": (np.ones((1, 1)), np.ones(1))}, {})
    got = evaluate_native(program, inputs, ("x",))
    with np.errstate(all="ignore"):
        want = np.stack([np.exp(edges), np.log(np.abs(edges))], axis=1)
    np.testing.assert_allclose(got, want, rtol=4e-15, atol=3e-308)


@pytest.mark.parametrize("d", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rates_of_distances_within_their_bounds(d, dtype):
    """Against fifty digits: `(c + |x - y|^2)^(-1/2)`, for points nearby and far, and small c."""
    rate = (sp.Rational(1, 10**4) + dot(x - y, x - y)) ** -sp.Rational(1, 2)
    field = SymbolicMap(integral(rate * (y - x), y, mu), x, mu).bind()
    rng = np.random.default_rng(d)
    scales = 10.0 ** rng.integers(-6, 6, size=(30, 1))
    points = (rng.normal(size=(30, d)) * scales).astype(dtype)
    weights = rng.random(30).astype(dtype)
    got = field.evaluate(points, weights, points, engine="native")
    exact = field.at_precision(points, weights, points)
    assert np.isfinite(got.bound).all()
    assert (abs(got.value.astype(float) - exact) <= got.bound).all()


@pytest.mark.parametrize("dtype, bits", [(np.float64, 64), (np.float32, 32)])
def test_weights_are_powers_of_two(dtype, bits):
    """Within four units of rounding, zero below the normal numbers, and NaN where they were."""
    text = "void f(const T *x, T *y, long n) { for (long k = 0; k < n; k += LANES) "
    text += "STORE(y + k, vexp2_nonpositive(LOAD(x + k))); }"
    function = compiler.compiled(f"#define REAL_BITS {bits}\n{native.PRELUDE}\n{text}").f
    low = np.log2(np.finfo(dtype).tiny)
    x = np.concatenate(
        [np.linspace(low, 0, 2**16 - 16), [0, -np.inf, np.nan, -1e30, 2 * low] + 11 * [0]]
    )
    x = x.astype(dtype)
    got = np.full_like(x, 7)
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (x, got)), ctypes.c_long(len(x)))
    want = np.exp2(x.astype(np.longdouble))
    inside = slice(0, 2**16 - 15)
    assert (np.abs(got[inside] / want[inside] - 1).max()) < 2 * np.finfo(dtype).eps
    assert got[inside][-1] == 1
    np.testing.assert_array_equal(got[2**16 - 15 : 2**16 - 11], [0, np.nan, 0, 0])


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_of_tiles_far_apart(d, dtype):
    """Within their bounds where tiles of atoms differ much: means, spreads, weights that vanish."""
    rng = np.random.default_rng(d)
    centres = np.repeat([0.0, 30.0, -4.0, 30.0], 64)[:, None]
    spreads = np.repeat([1.0, 0.01, 3.0, 1e-3], 64)[:, None]
    points = (centres + spreads * rng.normal(size=(256, d)))[:230].astype(dtype)
    weights = rng.random(230).astype(dtype)
    weights[64:128] *= dtype(1e-30)
    queries = rng.normal(size=(3, d)) * np.array([[0], [0.1], [20]])
    queries = queries.astype(dtype)
    field = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).jacobian().bind()
    got = field.evaluate(points, weights, queries, engine="native")
    exact = field.at_precision(points, weights, queries)
    assert np.isfinite(got.bound).all()
    assert (abs(got.value.astype(float) - exact) <= got.bound).all()
    # Were the squares of the means subtracted after the sum, nothing would be right here.
    scale = np.linalg.norm(exact[0])
    assert np.abs(got.value[0] - exact[0]).max() < 100 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("dtype, bits", [(np.float64, 64), (np.float32, 32)])
@pytest.mark.parametrize("odd", [0, 1])
def test_inverse_roots_of_every_second_atom(dtype, bits, odd):
    """Within five units of rounding for all normal numbers, zero at infinity, and NaN."""
    text = "void f(const T *x, T *y, long n) { for (long k = 0; k < n; k += LANES) "
    text += f"STORE(y + k, vrsqrt_of(LOAD(x + k), {odd})); }}"
    function = compiler.compiled(f"#define REAL_BITS {bits}\n{native.PRELUDE}\n{text}").f
    info = np.finfo(dtype)
    most = np.linspace(np.log(info.tiny), np.log(info.max), 2**16 - 16, dtype=np.longdouble)
    near = np.linspace(1, 4, 2**16)
    x = np.concatenate([np.exp(most[1:-1]), near, [info.tiny, info.max, np.inf, np.nan], [1] * 14])
    x = x.astype(dtype)
    got = np.full_like(x, 7)
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (x, got)), ctypes.c_long(len(x)))
    want = 1 / np.sqrt(x.astype(np.longdouble))
    finite = np.isfinite(x)
    assert (np.abs(got[finite] / want[finite] - 1).max()) < 2.5 * info.eps
    np.testing.assert_array_equal(got[~finite], [0, np.nan])


def test_higher_cumulants_and_minus_infinity():
    u, v = component(y, 0), component(y, 1)
    masked = sp.Piecewise((dot(x, A @ y), u > 0), (-sp.oo, True))
    fourth = Cumulant((u, v, u * v, v), y, mu, dot(x, A @ y))
    third = Cumulant((y, u, v), y, mu, dot(x, A @ y))
    for term in (gibbs(y, y, mu, energy=masked), third, stack(fourth)):
        inputs = cloud(80, 11, 2)
        got = evaluate_native(lower(term), inputs, ("x",))
        np.testing.assert_allclose(
            got, evaluate(lower(term), inputs, ("x",)), rtol=1e-9, atol=1e-10
        )


def test_several_measures_and_means_without_queries():
    nu = Measure("nu")
    term = x + integral(dot(y, y) * y, y, mu) + gibbs(y, y, nu, energy=dot(x, y))
    inputs = cloud(70, 10, 2)
    rng = np.random.default_rng(1)
    measures = {**inputs.measures, "nu": (rng.normal(size=(33, 2)), rng.random(33))}
    inputs = Inputs(inputs.points, measures, inputs.parameters)
    program = lower(term)
    got = evaluate_native(program, inputs, ("x",))
    np.testing.assert_allclose(got, evaluate(program, inputs, ("x",)), rtol=1e-12)


@pytest.mark.parametrize("d", [3, 6])
def test_threads_change_no_bit(monkeypatch, d):
    program, inputs = lower(MAPS["Jacobian"].term), cloud(300, 301, d, scale=1 / d)
    alone = evaluate_native(program, inputs, ("x",))
    monkeypatch.setattr(native, "PAIRS_FOR_THREADS", 1)
    monkeypatch.setattr(native, "processors", lambda: 3)
    np.testing.assert_array_equal(evaluate_native(program, inputs, ("x",)), alone)
    np.testing.assert_array_equal(evaluate_native(program, inputs, ("x",)), alone)


@pytest.mark.parametrize("d", [3, 6])
def test_a_row_does_not_depend_on_its_neighbours(d):
    program, inputs = lower(MAPS["softmax"].term), cloud(90, 40, d, scale=1 / d)
    whole = evaluate_native(program, inputs, ("x",))
    for i in (0, 13, 39):
        one = Inputs({"x": inputs.points["x"][i : i + 1]}, inputs.measures, inputs.parameters)
        np.testing.assert_array_equal(evaluate_native(program, one, ("x",))[0], whole[i])


def test_subnormal_numbers_survive_in_the_process():
    evaluate_native(lower(MAPS["softmax"].term), cloud(5, 5, 2), ("x",))
    assert np.float64(1e-310) * 1.0 != 0.0


def test_kernels_are_kept_on_disk():
    program, inputs = lower(elementwise(sp.tanh, A @ x)), cloud(3, 4, 2)
    evaluate_native(program, inputs, ("x",))
    before = sorted(compiler.cache_folder().glob("*.so"))
    native.loaded.cache_clear()
    evaluate_native(program, inputs, ("x",))
    assert before and sorted(compiler.cache_folder().glob("*.so")) == before
    assert not [p for p in compiler.cache_folder().iterdir() if p.suffix != ".so"]


def test_a_spoilt_cache_is_made_again():
    program, inputs = lower(elementwise(sp.sinh, A @ x)), cloud(3, 4, 2)
    before = set(compiler.cache_folder().glob("*.so"))
    want = evaluate_native(program, inputs, ("x",))
    (made,) = set(compiler.cache_folder().glob("*.so")) - before
    whole = made.read_bytes()
    for spoilt in (b"", whole[: len(whole) // 2], whole[:500] + b"?" + whole[501:], None):
        # A new file, as after a crash: the old one is mapped by this process.
        made.unlink()
        if spoilt is not None:
            made.write_bytes(spoilt)
        native.loaded.cache_clear()
        np.testing.assert_array_equal(evaluate_native(program, inputs, ("x",)), want)
        assert made.stat().st_size >= len(whole) - 64


def test_processes_share_an_empty_cache(tmp_path):
    import os
    import subprocess
    import sys

    code = (
        "import numpy as np; from pushforward.symbolic import library; e = np.eye(2);"
        "b = library.softmax_attention().bind(A=e, V=e);"
        "print(b(e, None, e, engine='native').sum().hex())"
    )
    env = {**os.environ, "PUSHFORWARD_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    runs = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {run.communicate()[0] for run in runs}
    assert {run.returncode for run in runs} == {0} and len(said) == 1
    assert [path.suffix for path in (tmp_path / "kernels").iterdir()] == [".so"]


def test_a_cache_that_cannot_be_written_is_left(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PUSHFORWARD_HOME", str(tmp_path / "file" / "home"))
    native.loaded.cache_clear()
    inputs = cloud(3, 4, 2)
    program = lower(A @ x)
    got = evaluate_native(program, inputs, ("x",))
    np.testing.assert_allclose(got, evaluate(program, inputs, ("x",)), rtol=1e-14)


def test_auto_takes_a_kernel_for_many_pairs_alone(monkeypatch):
    used, make = [], native_calls.caller
    record = lambda *arguments: used.append(1) or make(*arguments)  # noqa: E731
    monkeypatch.setattr(native_calls, "caller", record)
    attention = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    few, many = np.ones((10, 2)), np.random.default_rng(0).normal(size=(200, 2))
    attention(few, None, few)
    assert not used
    got = attention(many, None, many)
    assert used
    np.testing.assert_allclose(got, attention(many, None, many, engine="numpy"), rtol=1e-11)


def test_what_has_no_kernel_is_said_by_name_and_left_by_auto():
    bound = SymbolicMap(sp.gamma(dot(x, x)) * x, x, mu).bind()
    points = np.random.default_rng(0).normal(size=(200, 2))
    with pytest.raises(ValueError, match="engine='native' has no kernel"):
        bound(points, None, points, engine="native")
    np.testing.assert_array_equal(
        bound(points, None, points), bound(points, None, points, engine="numpy")
    )


def test_what_is_refused_for_its_size_is_taken_at_another(monkeypatch):
    from pushforward.numeric import engines

    taken, make = [], engines.evaluate_native

    def evaluate_small(program, inputs, order):
        if inputs.points["x"].shape[1] > 3:
            raise Unsupported("more components than fit on the stack")
        return taken.append(1) or make(program, inputs, order)

    monkeypatch.setattr(engines, "evaluate_native", evaluate_small)
    monkeypatch.setattr(native_calls, "caller", lambda *_: None)
    bound = SymbolicMap(gibbs(y + x, y, mu, energy=dot(x, y)), x, mu).bind()
    large, small = np.random.default_rng(0).normal(size=(2, 200, 5)) / 9
    assert bound(large, None, large).shape == (200, 5) and not taken
    np.testing.assert_array_equal(
        bound(small[:, :3], None, small[:, :3]),
        bound(small[:, :3], None, small[:, :3], engine="native"),
    )
    assert len(taken) == 2


def test_no_compiler_is_said_by_name_and_left_by_auto(monkeypatch):
    from pushforward.numeric import engines

    for module in (compiler, engines, native_calls):
        monkeypatch.setattr(module, "compiler", lambda: None)
    native.loaded.cache_clear()
    bound = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    points = np.random.default_rng(0).normal(size=(300, 2))
    assert "C compiler" in engines.engine_status()["native"]
    with pytest.raises(ValueError, match="no C compiler is found"):
        bound(points, None, points, engine="native")
    np.testing.assert_array_equal(
        bound(points, None, points), bound(points, None, points, engine="numpy")
    )


def test_a_compiler_that_fails_is_said(monkeypatch, tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'error: no licence' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(compiler, "compiler", lambda: (str(broken),))
    with pytest.raises(compiler.CompilerMissing, match="no licence"):
        compiler.compiled("int x;")


SIZES = [(1, 1), (3, 2), (17, 8), (64, 5), (65, 33)]


def small_items(dtype, d=3):
    rng = np.random.default_rng(0)
    return [
        tuple(a.astype(dtype) for a in (rng.normal(size=(n, d)), rng.random(n) + 0.1,
                                        rng.normal(size=(m, d))))
        for n, m in SIZES
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("what", ["map", "jacobian", "composition"])
def test_a_batch_is_its_items(dtype, what):
    attention = SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
    formula = {"map": attention, "jacobian": attention.jacobian()}.get(what, attention @ attention)
    rng = np.random.default_rng(1)
    bound = formula.bind(A=rng.normal(size=(3, 3)), V=rng.normal(size=(3, 3)))
    items = small_items(dtype)
    together = bound.batch(items)
    for item, got in zip(items, together, strict=True):
        np.testing.assert_array_equal(got, bound.prepared()(*item))
        np.testing.assert_array_equal(got, bound(*item, engine="native"))
        program, inputs = bound.program, bound.request(*item, None, {}).on_numpy(dtype)
        np.testing.assert_array_equal(got, evaluate_native(program, inputs, ("x",)))
        assert got.dtype == dtype
        tolerance = 1e-11 if dtype == np.float64 else 1e-4
        np.testing.assert_allclose(
            got, bound(*item, engine="reference"), rtol=tolerance, atol=tolerance
        )


def test_a_batch_drops_zero_weights_and_names_a_bad_item():
    bound = SymbolicMap(x + gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    items = small_items(np.float64)
    points, weights, queries = items[2]
    weights = weights * (np.arange(len(weights)) % 2)
    far = np.where(weights[:, None] > 0, points, 1e6)
    got = bound.batch([*items, (far, weights, queries)])
    np.testing.assert_array_equal(got[-1], bound.batch([(points, weights, queries)])[0])
    np.testing.assert_array_equal(got[-1], bound.prepared()(far, weights, queries))
    np.testing.assert_array_equal(got[0], bound.batch(items)[0])
    for spoilt in ((points, -weights, queries), (points, weights, queries * np.nan)):
        with pytest.raises(ValueError, match="item 5: expected"):
            bound.batch([*items, spoilt])
    assert bound.batch([]) == []


def test_a_ragged_call_checks_its_offsets():
    bound = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    points, weights, queries = (
        np.concatenate(part) for part in zip(*small_items(np.float64), strict=True)
    )
    atoms, rows = (np.cumsum([0, *counts]) for counts in zip(*SIZES, strict=True))
    got = bound.ragged(points, weights, queries, atoms, rows)
    np.testing.assert_array_equal(got, np.concatenate(bound.batch(small_items(np.float64))))
    for bad in (atoms[:-1], atoms + 1, np.sort(atoms)[::-1], np.r_[0, 0, atoms[2:]]):
        with pytest.raises(ValueError, match="offsets"):
            bound.ragged(points, weights, queries, bad, rows)


def test_further_points_and_measures_take_their_place_in_a_call():
    flat = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).flat_derivative(z).bind()
    points, weights, queries = small_items(np.float64)[3]
    got = flat(points, weights, queries, z=points[:7], engine="native")
    want = flat(points, weights, queries, z=points[:7], engine="reference")
    assert got.shape == (5, 7, 3)
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)
    with pytest.raises(ValueError, match="z="):
        flat(points, weights, queries, engine="native")


def test_costs_add_up():
    attention = SymbolicMap(gibbs(y, y, mu, energy=dot(x, A @ y)), x, mu)
    few, more = (attention.bind(A=np.eye(5)).explain(n, 100).splitlines() for n in (10, 20))
    assert [line.split(":")[0] for line in more] == [
        "stage 1 along mu",
        "stage 2 along x",
        "in all",
    ]
    assert "100 rows, 2000 pairs of mu; cumulant" in more[1]
    flops = [int(text[-1].split()[2]) for text in (few, more)]
    assert flops[1] == 2 * flops[0] == 20 * (2 * 25) + 2000 * (2 * 5 + 4 + 2 * 5)
    with pytest.raises(ValueError, match="dim="):
        SymbolicMap(integral(y, y, mu), x, mu).bind().explain(10)


def test_a_prepared_bound_survives_pickling():
    import pickle

    bound = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind().prepared()
    item = small_items(np.float64)[1]
    got = bound(*item)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(bound))(*item), got)
