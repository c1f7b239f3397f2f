"""CUDA kernels without a device: run by fibers on this processor, against the reference.

The text is the one that a device gets. With a device, `-m gpu` runs the same maps there.
"""

import ctypes
import os
import platform
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import sympy as sp
from cuda_host import COMPILER, ORDERS, Host, compiled, host_gibbs, host_text, pointers
from hypothesis import assume, given, settings, strategies as st
from term_recipes import environment
from test_engines_agree import ORDER, SEEDS, inputs_of, terms
from test_native import cloud
from test_rounding import MAPS, cast
from test_slices import WIDE, values

from pushforward.numeric import cuda, engine_status, engines
from pushforward.numeric.arrays import namespace
from pushforward.numeric.bound import Bound
from pushforward.numeric.cuda_blocks import evaluate_blocks
from pushforward.numeric.cuda_layout import Batch, Ragged
from pushforward.numeric.cuda_source import Layout, TooLarge, render_cuda
from pushforward.numeric.lowering import lower
from pushforward.numeric.native_operations import Unsupported
from pushforward.numeric.reference import Inputs, interpret
from pushforward.numeric.rounding import Precision, rounding_bound
from pushforward.symbolic import (
    Cumulant,
    LogPartition,
    Measure,
    Point,
    Scalar,
    SymbolicMap,
    component,
    dot,
    gibbs,
    integral,
    stack,
)

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
pytestmark = needs_compiler
x, y, z, mu = Point("x"), Point("y"), Point("z"), Measure("mu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Kernels that were compiled once stay for all tests."""
    return tmp_path_factory.mktemp("kernels")


def order_of(source):
    return ("x", *(point.name for point in source.points))


def close(program, inputs, order, got, dtype=np.float64):
    """Both lie within the bound of exact, so within twice the bound of each other."""
    want = interpret(program, cast(inputs, dtype), order)
    bound = rounding_bound(program, inputs, order, Precision.of(dtype))
    assert got.shape == want.shape and got.dtype == dtype
    known = np.isfinite(bound)
    assert known.any() and (np.abs(got - want) <= 2 * bound)[known].all()


def check(source, dtype, layout, folder, n=70, m=37, d=2):
    program, order = lower(source.term), order_of(source)
    inputs = cloud(n, m, d, order[1:])
    given = [cast(inputs, dtype)]
    host = Host(program, given, folder, layout)
    values = [host.run(given, order, threads)[0] for threads in ORDERS]
    close(program, inputs, order, values[0], dtype)
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])


def slow(*values):
    """A repeat of what the quick suite has once."""
    return pytest.param(*values, marks=pytest.mark.slow)


DEFAULT = {
    "softmax": np.float32,
    "Jacobian": np.float64,
    "Lions derivative": np.float32,
    "second layer": np.float64,
    "Cucker-Smale": np.float32,
    "psi": np.float32,
    "suprema": np.float32,
}


@pytest.mark.parametrize("name", DEFAULT)
def test_maps_in_three_orders_of_threads(name, folder):
    check(MAPS[name], DEFAULT[name], Layout(2, 32, 4), folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout, dtype", [(Layout(4, 128, 2), np.float32), (Layout(1, 64, 1), np.float64)]
)
@pytest.mark.parametrize("name", MAPS)
def test_every_map_type_and_layout(name, layout, dtype, folder):
    check(MAPS[name], dtype, layout, folder, d=3 if "Jacobian" in name else 2)


def test_ragged_sizes(folder):
    program = lower(MAPS["softmax"].term)
    host = None
    for n in (1, 3, 4, 5, 127, 255, 256, 257, 300):
        for m in (1, 65) if n < 300 else (64,):
            inputs = cloud(n, m, 2, seed=n)
            given = [cast(inputs, np.float32)]
            host = host or Host(program, given, folder, Layout(2, 32, 4))
            close(program, inputs, ("x",), host.run(given, ("x",))[0], np.float32)


@pytest.mark.parametrize("d, dtype", [slow(5, np.float64), (19, np.float32)])
def test_dimensions(d, dtype, folder):
    """With the layout that the engine chooses for few rows."""
    program, inputs = lower(MAPS["softmax"].term), cloud(150, 33, d, scale=1 / d)
    given = [cast(inputs, dtype)]
    host = Host(program, given, folder)
    assert host.kernel.layout == Layout(1, 8, 4)
    got = host.run(given, ("x",))[0]
    close(program, inputs, ("x",), got, dtype)


def test_arrays_in_any_order_of_memory(folder):
    program, inputs = lower(MAPS["softmax"].term), cloud(9, 4, 3)
    turned = lambda array: np.asfortranarray(array)  # noqa: E731
    given = Inputs(
        {"x": turned(inputs.points["x"])},
        {"mu": (turned(inputs.measures["mu"][0]), np.repeat(inputs.measures["mu"][1], 2)[::2])},
        {name: turned(matrix) for name, matrix in inputs.parameters.items()},
    )
    close(program, inputs, ("x",), Host(program, [given], folder).run([given], ("x",))[0])


def test_no_rows(folder):
    program, inputs = lower(MAPS["softmax"].term), cloud(5, 0, 3)
    assert Host(program, [inputs], folder).run([inputs], ("x",))[0].shape == (0, 3)


@pytest.mark.parametrize("name", [slow("second layer"), "flat derivative"])
def test_many_measures_in_one_launch(name, folder):
    """Each has the values that it has alone, to the last bit."""
    source = MAPS[name]
    program, order = lower(source.term), order_of(source)
    batch = [cloud(n, m, 2, order[1:], seed=n) for n, m in [(1, 5), (70, 1), (40, 33), (256, 2)]]
    one = batch[0].parameters
    batch = [Inputs(inputs.points, inputs.measures, one) for inputs in batch]
    host = Host(program, batch, folder, Layout(1, 32, 4))
    for inputs, value in zip(batch, host.run(batch, order), strict=True):
        close(program, inputs, order, value)
        np.testing.assert_array_equal(value, host.run([inputs], order)[0])


def test_arrays_that_are_not_of_numpy(folder):
    """Laid out by their own library, as those of a device are: many measures and one."""
    torch = pytest.importorskip("torch")
    xp = namespace(torch.empty(0))
    moved = lambda inputs: Inputs(  # noqa: E731
        {name: torch.tensor(rows) for name, rows in inputs.points.items()},
        {name: tuple(map(torch.tensor, pair)) for name, pair in inputs.measures.items()},
        {name: torch.tensor(value) for name, value in inputs.parameters.items()},
    )
    program = lower(MAPS["softmax"].term)
    batch = [cloud(n, m, 2, seed=n) for n, m in [(70, 1), (40, 33)]]
    host = Host(program, batch, folder, Layout(1, 32, 4))
    for some in (batch, batch[1:]):
        given = Ragged.of(list(map(moved, some)), xp)
        job = Batch(program, given, host.kernel, xp, lambda array: array.data_ptr())

        def launch(step, blocks, *arrays_and_stride, library=host.library):
            *arrays, stride = arrays_and_stride
            addresses = [ctypes.c_void_p(array.data_ptr()) for array in arrays]
            order = np.arange(128, dtype=np.int32)
            numbers = ctypes.c_longlong(blocks), *pointers(order), *addresses
            assert not library.launch(step, *numbers, ctypes.c_longlong(stride))

        values = job.run(launch, lambda array: array, ("x",))
        for value, want in zip(values, host.run(some, ("x",)), strict=True):
            assert isinstance(value, torch.Tensor)
            # The logarithms of the weights are those of the library.
            np.testing.assert_allclose(value.numpy(), want, rtol=1e-12)


def test_large_scores_tiny_weights_and_minus_infinity(folder):
    masked = sp.Piecewise((300 * dot(x, y), component(y, 0) > 0), (-sp.oo, True))
    program, inputs = lower(gibbs(y, y, mu, energy=masked)), cloud(90, 40, 2)
    points, weights = inputs.measures["mu"]
    weights = weights * 10.0 ** -np.random.default_rng(0).integers(0, 300, len(weights))
    inputs = Inputs(inputs.points, {"mu": (points, weights)}, inputs.parameters)
    got = Host(program, [inputs], folder, Layout(2, 32, 4)).run([inputs], ("x",))[0]
    np.testing.assert_allclose(got, interpret(program, inputs, ("x",)), rtol=1e-11)


@pytest.mark.parametrize("scale", [3.0, 100.0, 1e4])
def test_large_scores_in_float32(scale, folder):
    """Within the bound, whatever the maximum does from chunk to chunk and from tile to tile."""
    source = SymbolicMap(
        stack(gibbs(y, y, mu, energy=dot(x, y)), LogPartition(y, mu, dot(x, y))), x, mu
    )
    program, inputs = lower(source.term), cloud(700, 40, 2)
    points, weights = inputs.measures["mu"]
    order = np.argsort(points[:, 0])
    measures = {"mu": (scale * points[order], weights[order])}
    inputs = Inputs(inputs.points, measures, inputs.parameters)
    given = [cast(inputs, np.float32)]
    got = Host(program, given, folder, Layout(1, 32, 4)).run(given, ("x",))[0]
    close(program, inputs, ("x",), got, np.float32)


@pytest.mark.parametrize("scale", [1e-36, 1e-38, 1e-41])
def test_numbers_too_small_for_float32(scale, folder):
    """Zero on a device, within the bound: weights, coordinates, products and results."""
    inner = gibbs(y, y, mu, energy=dot(x, y))
    source = SymbolicMap(stack(inner, integral(y, y, mu), sp.exp(-component(x, 0)) * inner), x, mu)
    program, inputs = lower(source.term), cloud(100, 20, 2)
    points, weights = inputs.measures["mu"]
    sizes = np.random.default_rng(0).choice([1.0, scale], size=(2, len(weights)))
    measures = {"mu": (points * sizes[0][:, None], weights * sizes[1])}
    queries = {"x": np.concatenate([inputs.points["x"], [[85.0, 0.0], [-scale, scale]]])}
    inputs = Inputs(queries, measures, inputs.parameters)
    given = [cast(inputs, np.float32)]
    got = Host(program, given, folder, Layout(1, 32, 4)).run(given, ("x",))[0]
    close(program, inputs, ("x",), got, np.float32)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flushes on x86 alone")
def test_the_host_flushes_as_a_device_does(folder):
    program = lower(2 * x)
    inputs = Inputs({"x": np.array([[1e-40, 1e-37]])}, cloud(1, 1, 2).measures, {})
    for dtype, first in ((np.float32, 0.0), (np.float64, 2e-40)):
        given = [cast(inputs, dtype)]
        got = Host(program, given, folder, Layout(1, 32, 4)).run(given, ("x",))[0]
        assert got[0, 0] == first and got[0, 1] == dtype(1e-37) * 2
    assert np.float32(1e-40) * np.float32(2) > 0


def test_higher_cumulants_and_several_measures(folder):
    nu, u, v = Measure("nu"), component(y, 0), component(y, 1)
    term = stack(
        Cumulant((u, v, u * v, v), y, mu, dot(x, y)),
        component(integral(dot(y, y) * y, y, mu), 0),
        component(gibbs(y, y, nu, energy=dot(x, y)), 1),
    )
    inputs = cloud(300, 20, 2)
    rng = np.random.default_rng(1)
    measures = {**inputs.measures, "nu": (rng.normal(size=(33, 2)), rng.random(33))}
    inputs = Inputs(inputs.points, measures, inputs.parameters)
    program = lower(term)
    got = Host(program, [inputs], folder, Layout(1, 32, 4)).run([inputs], ("x",))[0]
    np.testing.assert_allclose(got, interpret(program, inputs, ("x",)), rtol=1e-9)


@pytest.mark.parametrize("dtype", [slow(np.float64), np.float32])
def test_functions_of_numbers(dtype, folder):
    """Every scalar function that has a form on a device."""
    u = component(x, 0)
    inside = [sp.exp(u), sp.sin(u), sp.cos(u), sp.tan(u), sp.atan(u), sp.sinh(u), sp.cosh(u)]
    inside += [sp.tanh(u), sp.asinh(u), sp.erf(u), sp.erfc(u), sp.Abs(u), sp.sign(u), sp.floor(u)]
    inside += [sp.log(1 + u**2), sp.sqrt(1 + u**2), sp.acosh(2 + u**2), sp.ceiling(u)]
    inside += [sp.asin(sp.tanh(u)), sp.acos(sp.tanh(u)), sp.atanh(sp.tanh(u) / 2), u**5, u**-3]
    inside += [1 / (1 + sp.exp(-u)), sp.log(1 + sp.exp(u)), sp.Max(u, 0), sp.Min(u, 1, u**2)]
    inside += [(1 + u**2) ** sp.Rational(1, 3), sp.Heaviside(u), sp.pi]
    unbounded = [(1 + u**2) ** u, sp.atan2(u, 1 + u**2)]
    inside += [sp.Piecewise((u, u > sp.Rational(1, 2)), (u**2, sp.And(u < 0, u > -1)), (1, True))]
    inside += [sp.Piecewise((1, sp.Or(u <= -1, sp.Ne(u, u))), (-u, True))]
    program, inputs = lower(stack(*inside, *unbounded)), cloud(3, 50, 1)
    arrays = cast(inputs, dtype)
    got = Host(program, [arrays], folder).run([arrays], ("x",))[0]
    close(program, inputs, ("x",), got, dtype)
    want = interpret(program, arrays, ("x",))
    np.testing.assert_allclose(got[:, -2:], want[:, -2:], rtol=16 * np.finfo(dtype).eps)


def test_trigonometry_of_any_float32(folder):
    """Reduced without float64: small, large and huge arguments, near multiples of pi/2 too."""
    u = component(x, 0)
    program = lower(stack(sp.sin(u), sp.cos(u), sp.tan(u)))
    rng = np.random.default_rng(0)
    size = np.exp(rng.uniform(np.log(1e-3), np.log(3.4e38), 4000))
    near = np.pi / 2 * rng.integers(1, 2**20, 1000)
    edges = [0, 32767.998, 32768, 33554432, 16367173 * 2.0**72, 3.4028235e38]
    numbers = np.concatenate([size, -size, near, edges]).astype(np.float32)
    inputs = Inputs({"x": numbers[:, None]}, {"mu": (np.ones((1, 1), np.float32),) * 2}, {})
    inputs.measures["mu"] = (np.ones((1, 1), np.float32), np.ones(1, np.float32))
    got = Host(program, [inputs], folder).run([inputs], ("x",))[0]
    exact = numbers.astype(np.float64)
    want = np.stack([np.sin(exact), np.cos(exact), np.tan(exact)], axis=1)
    assert (np.abs(got - want) <= 4 * 2.0**-24 * np.abs(want)).all()


def test_compensated_and_float64_sums_keep_what_tiles_lose(folder):
    """One tile of 2^24, then eight tiles of 1: below the last digit of the sum in float32."""
    program = lower(SymbolicMap(integral(y, y, mu), x, mu).term)
    points = np.zeros((256 * 9, 1), np.float32)
    points[0], points[256::256] = 2.0**24, 1
    inputs = Inputs({"x": points[:1]}, {"mu": (points, np.ones(len(points), np.float32))}, {})
    found = {}
    for accumulate in ("tiles", "compensated", "float64"):
        # One group, so that a thread adds up all tiles.
        host = Host(program, [inputs], folder, Layout(1, 128, 4), accumulate)
        found[accumulate] = float(host.run([inputs], ("x",))[0][0, 0])
    assert found["tiles"] == 2.0**24
    assert found["compensated"] == found["float64"] == 2.0**24 + 8


@pytest.mark.parametrize("name, dtype", [slow("softmax", np.float32), ("Jacobian", np.float64)])
def test_long_vectors_by_blocks(name, dtype, folder):
    program, inputs = lower(MAPS[name].term), cloud(270, 2, 33, scale=1 / 33)
    given, bits = cast(inputs, dtype), 8 * np.dtype(dtype).itemsize
    values = [
        evaluate_blocks(program, given, ("x",), host_gibbs(bits, folder, order)) for order in ORDERS
    ]
    close(program, inputs, ("x",), values[0], dtype)
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])


def test_rows_of_minus_infinity_have_no_weights(folder):
    energy = np.full((3, 600), -np.inf)
    energy[1, 299], energy[2, 599] = 3.0, 800.0
    terms, shift, total = host_gibbs(64, folder)(energy, np.zeros(600))
    assert shift.tolist() == [0, 3, 800] and total.tolist() == [0, 1, 1]
    assert not terms[0].any() and terms[1, 299] == terms[2, 599] == 1


@settings(max_examples=2, deadline=None)
@given(terms(), SEEDS, st.sampled_from([np.float64, np.float32]))
def test_random_terms(folder, term, seed, dtype):
    random_term(folder, term, seed, dtype)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(terms(), SEEDS, st.sampled_from([np.float64, np.float32]))
def test_more_random_terms(folder, term, seed, dtype):
    random_term(folder, term, seed, dtype)


def random_term(folder, term, seed, dtype):
    inputs, program = inputs_of(environment(seed), rows=3), lower(term)
    arrays = [cast(inputs, dtype)]
    try:
        host = Host(program, arrays, folder, Layout(1, 32, 4))
    except Unsupported:
        assume(False)
    close(program, inputs, ORDER, host.run(arrays, ORDER)[0], dtype)


# ---- the rung itself

BARRIER = "__syncthreads();"


@pytest.mark.parametrize("barrier", [slow(0), 1, slow(2), slow(3)])
def test_a_missing_barrier_is_seen(barrier, folder):
    program, inputs = lower(MAPS["softmax"].term), cloud(300, 32, 2)
    host = Host(program, [inputs], folder, Layout(1, 32, 4))
    want = host.run([inputs], ("x",))[0]
    parts = host_text(host.kernel).split(BARRIER)
    text = BARRIER.join(parts[: barrier + 1]) + BARRIER.join(parts[barrier + 1 :])
    host.library = compiled(text, folder)
    values = [host.run([inputs], ("x",), threads)[0] for threads in ORDERS]
    assert any(not np.array_equal(value, want) for value in values)


def test_threads_that_part_are_seen(folder):
    program, inputs = lower(MAPS["softmax"].term), cloud(300, 32, 2)
    host = Host(program, [inputs], folder, Layout(1, 32, 4))
    text = host_text(host.kernel).replace(
        "const L measure =", "if (lane == 3) return;\nconst L measure ="
    )
    host.library = compiled(text, folder)
    with pytest.raises(AssertionError, match="part at a barrier"):
        host.run([inputs], ("x",))


ASAN = """
import sys, pathlib
import numpy as np
import cuda_host
from test_cuda import MAPS, Layout, cloud, lower, order_of

written, fault = cuda_host.host_text, sys.argv[2]
cuda_host.host_text = lambda kernel: written(kernel).replace(fault or "@", "false")
flags = ("-fsanitize=address,undefined",)
source = MAPS["Lions derivative"]
program, order = lower(source.term), order_of(source)
batch = [cloud(70, 37, 2, order[1:])]
host = cuda_host.Host(program, batch, pathlib.Path(sys.argv[1]), Layout(1, 32, 4), flags=flags)
assert np.isfinite(host.run(batch, order)[0]).all()
print("clean")
"""


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "count - start < TILE"])
def test_memory_under_the_address_sanitizer(fault, tmp_path):
    """No access outside of a buffer; one that a wrong bound makes is seen."""
    command = [COMPILER, "-print-file-name=libasan.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip("the address sanitizer is not installed")
    settings = {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONPATH": os.path.dirname(__file__),
    }
    ran = subprocess.run(
        [sys.executable, "-c", ASAN, str(tmp_path), fault],
        capture_output=True,
        text=True,
        env={**os.environ, **settings},
    )
    if fault:
        assert ran.returncode and "AddressSanitizer" in ran.stderr
    else:
        assert ran.stdout.strip() == "clean", ran.stderr[:3000]


# ---- the engine


def test_what_has_no_kernel_is_said_by_name():
    program = lower(sp.gamma(dot(x, x)) * x)
    with pytest.raises(Unsupported, match="gamma"):
        render_cuda(program, cloud(2, 2, 2).shapes(program), 32, Layout(1, 32, 4))


def test_what_is_too_large_goes_by_blocks():
    program = lower(MAPS["Jacobian"].term)
    shapes = cloud(2, 2, 31).shapes(program)
    with pytest.raises(TooLarge):
        render_cuda(program, shapes, 32, Layout(1, 32, 4))
    assert cuda._kernel(program, shapes, 32, Layout(1, 32, 4), "tiles") is None
    softmax = lower(MAPS["softmax"].term)
    assert (
        cuda._kernel(softmax, cloud(2, 2, 32).shapes(softmax), 32, Layout(1, 32, 4), "tiles")
        is None
    )
    assert cuda._kernel(softmax, cloud(2, 2, 16).shapes(softmax), 32, Layout(1, 32, 4), "tiles")


@pytest.mark.skipif(not engine_status()["cuda"], reason="there is a device")
def test_what_is_missing_is_said_and_left_by_auto():
    bound = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    points = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match="engine='cuda' is not there: CuPy"):
        bound(points, None, points, engine="cuda")
    with pytest.raises(ValueError, match="engine='cuda' is not there: CuPy"):
        bound(points, None, points, engine="cuda:float64")
    assert bound(points, None, points).shape == (30, 2)


def test_a_machine_without_cupy(monkeypatch):
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    cuda.missing.cache_clear()
    bound = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    try:
        assert "pip install" in engine_status()["cuda"]
        with pytest.raises(ValueError, match="CuPy is not installed; pip install"):
            bound([[1.0]], None, [[1.0]], engine="cuda")
    finally:
        cuda.missing.cache_clear()


@pytest.mark.parametrize(
    "failure, said",
    [
        (RuntimeError("CuPy failed to load libnvrtc.so.12\nand more"), "no NVRTC (CuPy failed to"),
        (ImportError("moved"), ""),
        (None, ""),
    ],
)
def test_a_device_without_the_compiler_of_kernels(failure, said, monkeypatch):
    def get_version():
        if failure:
            raise failure
        return 12, 9

    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1)
    modules = {
        "cupy": types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime)),
        "cupy_backends.cuda.libs.nvrtc": types.SimpleNamespace(getVersion=get_version),
    }
    monkeypatch.setattr(cuda, "find_spec", lambda name: True)
    monkeypatch.setattr(cuda, "import_module", modules.__getitem__)
    cuda.missing.cache_clear()
    try:
        found = cuda.missing()
        assert said in found and bool(found) == bool(said) and "\n" not in found
        assert not said or "pip install" in found
    finally:
        cuda.missing.cache_clear()


class Module:
    """What stands in for a module on a device: the same text on this processor."""

    def __init__(self, code, options, backend, folder):
        assert backend == "nvrtc" and all(option.startswith("--") for option in options)
        self.code, self.folder = code, folder

    def get_function(self, name):
        step = int(name.removeprefix("step_"))
        steps = tuple(map(int, re.findall(r"KERNEL step_(\d+)\(", self.code)))
        kernel = types.SimpleNamespace(text=self.code, steps=steps)
        library = compiled(host_text(kernel), self.folder)

        def call(grid, threads, arguments):
            *arrays, stride = arguments
            order = np.arange(threads[0], dtype=np.int32)
            given = pointers(order, *arrays)
            blocks, stride = ctypes.c_longlong(grid[0]), ctypes.c_longlong(int(stride))
            assert not library.launch(step, blocks, *given, stride)

        return call


@pytest.fixture
def pretended(monkeypatch, folder):
    """CuPy's part of the engine in NumPy, and modules that run on this processor."""
    names = "asarray empty ascontiguousarray broadcast_to".split()
    stand_in = types.SimpleNamespace(
        **{name: getattr(np, name) for name in names},
        asnumpy=np.array,
        ndarray=Module,
        RawModule=lambda code, options, backend: Module(code, options, backend, folder),
    )
    monkeypatch.setattr(cuda, "_cupy", lambda: stand_in)
    monkeypatch.setattr(engines, "missing", lambda: "")
    monkeypatch.setattr(cuda, "_address", lambda array: array.ctypes.data)
    cuda._functions.cache_clear()
    yield
    cuda._functions.cache_clear()


@pytest.mark.parametrize("engine", ["cuda", slow("cuda:compensated"), slow("cuda:float64")])
def test_the_engine_from_call_to_answer(engine, pretended):
    c = Scalar("c")
    bound = SymbolicMap(x + c * gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind(c=0.5)
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=(9, 3))
    got = bound.evaluate(points, None, queries, engine=engine, dtype="float32")
    want = bound(points, None, queries, engine="reference", dtype="float64")
    assert got.value.dtype == np.float32
    assert (np.abs(got.value - want) <= got.bound).all()


@pytest.mark.parametrize("name", [slow(name) if name != "three bodies" else name for name in WIDE])
def test_three_axes_from_call_to_answer(name, pretended, monkeypatch):
    """By slices, several in a launch, and the same bits however many."""
    got, want = (values(WIDE[name][0], engine, n=20, m=4) for engine in ("cuda", "reference"))
    assert (np.abs(got.value - want.value) <= got.bound + want.bound).all()
    monkeypatch.setattr(cuda, "_MOST_NUMBERS", 1)
    np.testing.assert_array_equal(values(WIDE[name][0], "cuda", n=20, m=4).value, got.value)


def test_batches_from_call_to_answer(pretended):
    bound = SymbolicMap(x + gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    rng = np.random.default_rng(0)
    items = [(rng.normal(size=(n, 2)), None, rng.normal(size=(3, 2))) for n in (1, 7, 33)]
    values = bound.batch(items, engine="cuda")
    for item, value in zip(items, values, strict=True):
        np.testing.assert_allclose(value, bound(*item, engine="reference"), rtol=1e-12)
        np.testing.assert_array_equal(value, bound(*item, engine="cuda"))
    weighed = [(p, np.arange(len(p)) % 2 + 0.0 if len(p) > 1 else None, q) for p, _, q in items]
    values = bound.batch(weighed, engine="cuda")
    for item, value in zip(weighed, values, strict=True):
        np.testing.assert_allclose(value, bound(*item, engine="reference"), rtol=1e-12)
    mixed = [items[0], tuple(None if a is None else a.astype(np.float32) for a in items[1])]
    kinds = [value.dtype.name for value in bound.batch(mixed, engine="cuda")]
    assert kinds == ["float64", "float32"] and bound.batch([], engine="cuda") == []
    wrong = [(np.ones(3), "points of shape"), (np.full((2, 2), np.nan), "finite points")]
    for points, said in wrong:
        with pytest.raises(ValueError, match=f"item 1: expected {said}"):
            bound.batch([items[0], (points, None, np.ones((1, 2)))], engine="cuda")


def test_a_batch_costs_no_call_a_measure(pretended, monkeypatch):
    bound = SymbolicMap(x + gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    rng = np.random.default_rng(0)
    items = [(rng.normal(size=(n, 2)), None, rng.normal(size=(2, 2))) for n in (1, 7, 3)]
    want = bound.batch(items, engine="reference")
    monkeypatch.setattr(Bound, "request", lambda *_: pytest.fail("a request for each measure"))
    for value, exact in zip(bound.batch(items, engine="cuda"), want, strict=True):
        np.testing.assert_allclose(value, exact, rtol=1e-12)
