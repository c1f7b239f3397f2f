"""The `cuda` engine on a device: `pytest -m gpu`. Elsewhere the same kernels run by fibers."""

import importlib

import numpy as np
import pytest
from test_cuda import close, order_of
from test_native import cloud
from test_rounding import MAPS, cast

from pushforward.numeric import cuda, engine_status
from pushforward.numeric.arrays import to_numpy
from pushforward.numeric.lowering import lower
from pushforward.numeric.reference import Inputs
from pushforward.symbolic import Measure, Point, SymbolicMap, dot, gibbs

pytestmark = pytest.mark.gpu
x, y, mu = Point("x"), Point("y"), Measure("mu")


@pytest.fixture(autouse=True)
def device():
    if engine_status()["cuda"]:
        pytest.fail(engine_status()["cuda"])


def check(source, inputs, dtype, accumulate="tiles"):
    program, order = lower(source.term), order_of(source)
    given = cast(inputs, dtype)
    got = to_numpy(cuda.evaluate_cuda(program, given, order, accumulate))
    close(program, inputs, order, got, dtype)
    again = to_numpy(cuda.evaluate_cuda(program, given, order, accumulate))
    np.testing.assert_array_equal(got, again)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("n, m", [(1, 1), (70, 37), (513, 300)])
def test_every_map(name, n, m, dtype):
    check(MAPS[name], cloud(n, m, 2, order_of(MAPS[name])[1:]), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 3, 4, 8, 16, 31, 32, 64])
def test_every_dimension(d, dtype):
    check(MAPS["softmax"], cloud(300, 20, d, scale=1 / d), dtype)


@pytest.mark.parametrize("accumulate", ["compensated", "float64"])
def test_every_way_to_add_up(accumulate):
    check(MAPS["Cucker-Smale"], cloud(5000, 20, 3), np.float32, accumulate)


@pytest.mark.parametrize("rows", [5, 40_000, 300_000])
def test_every_layout(rows):
    check(MAPS["softmax"], cloud(9, rows, 2), np.float32)


def test_many_measures():
    program = lower(MAPS["softmax"].term)
    batch = [cloud(1 + n % 40, 1 + n % 50, 3, seed=n) for n in range(200)]
    batch = [Inputs(b.points, b.measures, batch[0].parameters) for b in batch]
    for inputs, value in zip(batch, cuda.evaluate_batch(program, batch, ("x",)), strict=True):
        close(program, inputs, ("x",), to_numpy(value))


@pytest.mark.parametrize("engine", ["auto", "cuda", "cuda:compensated"])
def test_arrays_of_the_device_stay_there(engine):
    cupy = importlib.import_module("cupy")
    bound = SymbolicMap(x + gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    got = bound.evaluate(cupy.asarray(points), None, cupy.asarray(points), engine=engine)
    want = bound(points, None, points, engine="reference", dtype="float64")
    assert isinstance(got.value, cupy.ndarray) and got.value.dtype == cupy.float32
    assert (np.abs(got.value.get() - want) <= got.bound.get()).all()
