"""The kernels of the device as OpenCL on this processor (`pip install 'pyopencl[pocl]'`)."""

import numpy as np
import pytest
import sympy as sp
from cuda_opencl import Module, OpenCL, opencl_gibbs, opencl_text, processors
from test_cuda import close, order_of
from test_native import cloud
from test_rounding import MAPS, cast

from pushforward.numeric.cuda_blocks import evaluate_blocks
from pushforward.numeric.cuda_source import Layout
from pushforward.numeric.lowering import lower
from pushforward.numeric.reference import Inputs
from pushforward.symbolic import Point, component, stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not processors(), reason="OpenCL has no processor here"),
]
x = Point("x")

FAMILIES = {
    # a map, type, layout, and how long sums are kept
    "running maximum": ("softmax", np.float32, Layout(2, 32, 4), "compensated"),
    "plain sum": ("Cucker-Smale", np.float32, Layout(4, 128, 2), "float64"),
    "moments": ("Jacobian", np.float64, Layout(1, 16, 4), "tiles"),
    "two axes": ("Lions derivative", np.float32, Layout(2, 64, 4), "tiles"),
    "nested": ("second layer", np.float64, Layout(2, 64, 1), "tiles"),
    "extrema": ("suprema", np.float32, Layout(2, 32, 4), "tiles"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family):
    name, dtype, layout, accumulate = FAMILIES[family]
    source = MAPS[name]
    program, order = lower(source.term), order_of(source)
    inputs = cloud(300, 37, 2, order[1:])
    given = [cast(inputs, dtype)]
    got = OpenCL(program, given, layout, accumulate).run(given, order)[0]
    close(program, inputs, order, got, dtype)


def test_many_measures_in_one_launch():
    program = lower(MAPS["flat derivative"].term)
    batch = [cloud(n, m, 2, ("z",), seed=n) for n, m in [(1, 5), (70, 1), (40, 33)]]
    batch = [Inputs(inputs.points, inputs.measures, batch[0].parameters) for inputs in batch]
    values = OpenCL(program, batch, Layout(1, 32, 4)).run(batch, ("x", "z"))
    for inputs, value in zip(batch, values, strict=True):
        close(program, inputs, ("x", "z"), value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_numbers(dtype):
    u = component(x, 0)
    inside = [sp.exp(u), sp.sin(u), sp.cos(u), sp.tan(u), sp.log(1 + u**2), sp.sqrt(1 + u**2)]
    inside += [1 / sp.sqrt(1 + u**2), sp.erfc(u), sp.Abs(u), sp.sign(u), sp.floor(u), sp.Max(u, 0)]
    inside += [1 / (1 + sp.exp(-u)), u**-3, (1 + u**2) ** sp.Rational(1, 3), sp.atan2(u, 2)]
    inside += [sp.Piecewise((u, u > sp.Rational(1, 2)), (u**2, sp.And(u < 0, u > -1)), (1, True))]
    program, inputs = lower(stack(*inside)), cloud(3, 50, 1)
    given = [cast(inputs, dtype)]
    close(program, inputs, ("x",), OpenCL(program, given).run(given, ("x",))[0], dtype)


def test_long_vectors_by_blocks():
    program, inputs = lower(MAPS["softmax"].term), cloud(270, 2, 33, scale=1 / 33)
    got = evaluate_blocks(program, cast(inputs, np.float32), ("x",), opencl_gibbs(32))
    close(program, inputs, ("x",), got, np.float32)


def test_a_missing_barrier_is_seen():
    program, inputs = lower(MAPS["softmax"].term), cloud(300, 32, 2)
    opencl = OpenCL(program, [inputs], Layout(1, 32, 4))
    want = opencl.run([inputs], ("x",))[0]
    text, barrier = opencl_text(opencl.kernel.text), "__syncthreads();\n      V"
    assert text.count(barrier) == 1
    opencl.module = Module(text.replace(barrier, barrier.partition(";")[2]))
    assert not np.array_equal(opencl.run([inputs], ("x",))[0], want)
