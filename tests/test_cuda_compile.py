"""Every family of CUDA kernels compiles to machine code, and which registers it takes.

NVRTC needs no device. A kernel that spills keeps numbers in memory that belong in registers.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from cuda_nvrtc import MISSING, compiled, double_instructions, nvrtc, usage
from test_native import cloud
from test_rounding import MAPS

from pushforward.numeric.cuda_blocks import gibbs_text
from pushforward.numeric.cuda_layout import layout_for
from pushforward.numeric.cuda_prelude import PRELUDE
from pushforward.numeric.cuda_source import Layout, render_cuda
from pushforward.numeric.lowering import lower
from pushforward.symbolic import Measure, Point, SymbolicMap, component, stack

pytestmark = pytest.mark.skipif(nvrtc() is None, reason=MISSING)
ARCHITECTURES = (80, 90, 100)
x, mu = Point("x"), Measure("mu")

FAMILIES = {
    # family: a map, and dimensions
    "running maximum": ("softmax", (2, 3, 8, 16)),
    "plain sum": ("Cucker-Smale", (2, 3, 8, 16)),
    "moments": ("Jacobian", (2, 3, 4)),
    "two axes": ("Lions derivative", (3,)),
    "nested": ("second layer", (3,)),
    "extrema": ("suprema", (2, 3, 8, 16)),
}


def text_of(name, d, bits, rows=10**6, accumulate="tiles"):
    source = MAPS[name]
    program = lower(source.term)
    shapes = cloud(2, 2, d, tuple(p.name for p in source.points)).shapes(program)
    varying = [s for s, i in zip(shapes, program.instructions, strict=True) if i.axes]
    return render_cuda(program, shapes, bits, layout_for(varying, [rows], bits), accumulate).text


def compile_family(family, d, bits, architecture, record_property):
    name, _ = FAMILIES[family]
    found = usage(text_of(name, d, bits), architecture)
    assert found and all(step.startswith("step_") for step in found)
    for step, numbers in found.items():
        label = f"{family} d={d} f{bits} sm_{architecture} {step}"
        record_property(label, str(numbers))
        assert numbers.shared_bytes <= 48 * 1024, label
        assert numbers.registers <= 255 and numbers.spilled_bytes <= 64, label


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_kernel_of_attention_at_every_architecture(architecture, record_property):
    compile_family("running maximum", 3, 32, architecture, record_property)
    made, _ = compiled(gibbs_text(32, PRELUDE), architecture, "CUBIN")
    assert made.startswith(b"\x7fELF")


@pytest.mark.slow
@pytest.mark.parametrize("architecture, bits", [(80, 32), (90, 32), (90, 64), (100, 32)])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_at_every_architecture(family, bits, architecture, record_property):
    for d in FAMILIES[family][1] if architecture == 90 else (3,):
        compile_family(family, d, bits, architecture, record_property)


@pytest.mark.parametrize("name", ["softmax", "Cucker-Smale", "Jacobian", "Lions derivative"])
def test_no_double_in_a_float32_kernel(name):
    assert double_instructions(text_of(name, 3, 32)) == []
    assert double_instructions(text_of(name, 3, 32, accumulate="compensated")) == []


def test_no_double_in_float32_functions():
    u = component(x, 0)
    inside = [sp.sin(u), sp.cos(u), sp.tan(u), sp.erfc(u), (1 + u**2) ** u, sp.acosh(2 + u**2)]
    inside += [0.1 * u, sp.pi * u, u ** sp.Rational(3, 10), sp.log(1 + sp.exp(u)), sp.atan2(u, 2)]
    program = lower(SymbolicMap(stack(*inside), x, mu).term)
    shapes = cloud(1, 1, 1).shapes(program)
    assert double_instructions(render_cuda(program, shapes, 32, Layout(1, 32, 4)).text) == []
    assert double_instructions(gibbs_text(32, PRELUDE)) == []


def test_doubles_are_seen_where_they_are():
    assert double_instructions(text_of("softmax", 3, 64))
    assert double_instructions(text_of("softmax", 3, 32, accumulate="float64"))


def test_a_root_that_is_divided_by_is_one_instruction():
    term = benchmark().ALIGNMENT.term
    shapes = cloud(1, 1, 3).shapes(lower(term))
    ptx, _ = compiled(render_cuda(lower(term), shapes, 32, Layout(4, 128, 4)).text, 90, "PTX")
    assert b"rsqrt.approx.ftz.f32" in ptx and b"sqrt.rn" not in ptx and b"div." not in ptx


def test_atoms_are_read_16_bytes_at_a_time():
    ptx, _ = compiled(text_of("softmax", 3, 32), 90, "PTX")
    assert b"st.shared.v4.f32" in ptx or b"st.shared.v4.b32" in ptx
    assert b"ld.shared.v4.f32" in ptx or b"ld.shared.v4.b32" in ptx


def test_yardsticks_of_the_benchmark(record_property):
    """Their numbers stay in registers, and those of float32 hold no double."""
    gpu = benchmark()
    for dtype, real in (("float32", "float"), ("float64", "double")):
        head = f"{gpu.EXPONENTIAL[dtype]}\n#define EXP E\ntypedef {real} T;\n"
        found = usage(head + gpu.YARDSTICK, 90)
        assert set(found) == {"multiply_adds", "exponentials"}
        assert not any(numbers.stack_bytes for numbers in found.values())
        assert bool(double_instructions(head + gpu.YARDSTICK)) == (dtype == "float64")


def benchmark():
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"
    if str(path.parent) not in sys.path:  # where a script finds what lies beside it
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location("gpu", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module
    spec.loader.exec_module(module)
    return module


def test_errors_of_the_compiler_are_told():
    with pytest.raises(AssertionError, match="undefined"):
        compiled("__global__ void f() { undefined(); }", 80, "PTX")
    assert np.isfinite(usage('extern "C" __global__ void f() {}', 80)["f"].registers)
