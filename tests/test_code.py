"""Programs as text run on their own and agree with the oracle."""

import numpy as np
import pytest
from term_oracle import value
from test_library import MU, ROWS, X, Z, environment

from pushforward.symbolic import Point, library as lib

W = Point("w")


def queries(source):
    env = environment(source, seed=3)
    rng = np.random.default_rng(4)
    x = env[X] + rng.normal(size=(2, len(env[X]))) / 5
    z = rng.normal(size=(3, len(env[X]))) / 2
    w = rng.normal(size=(2, len(env[X]))) / 2
    return env, x, z, w


def wanted(derived, env, x, z, w):
    """The values (m, k, l, ...) of a derived term by the oracle."""
    if derived.points == ():
        return np.array([value(derived.term, env | {X: a}) for a in x])
    if derived.points == (Z,):
        return np.array([[value(derived.term, env | {X: a, Z: b}) for b in z] for a in x])
    return np.array(
        [[[value(derived.term, env | {X: a, Z: b, W: c}) for c in w] for b in z] for a in x]
    )


def derived_terms(source, second=True):
    psi = lambda y: lib.component(y, 0) ** 2  # noqa: E731
    return [
        source, source.jacobian(), source.flat_derivative(Z), source.lions_derivative(Z),
        source.derivative(psi), *([source.second_flat_derivative(Z, W)] if second else []),
    ]  # fmt: skip


@pytest.mark.parametrize("name", [n for n in ROWS if n != "two blocks"])
def test_numpy_programs(name):
    source = ROWS[name][0]
    env, x, z, w = queries(source)
    points, weights = env[MU]
    slow = name == "sinkhorn"  # in the oracle
    for derived in derived_terms(source, second=not slow)[: 2 if slow else None]:
        space: dict = {}
        exec(compile(derived.code("numpy"), "<program>", "exec"), space)
        function = space[{"map": "G", "field": "V"}.get(derived.kind, derived.kind)]
        further = [{Z: z, W: w}[p] for p in derived.points]
        got = function(points, weights, x, *further, **{p.name: env[p] for p in derived.parameters})
        want = wanted(derived, env, x, z, w)
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_unknown_language():
    with pytest.raises(ValueError, match='"numpy", "c" or "cuda"'):
        lib.softmax_attention().code("fortran")


def shim(text):
    """CUDA text as C++ that runs the threads one after the other."""
    return (
        "#include <math.h>\n#include <stdlib.h>\n#define __global__\n#define __device__ static\n"
        'struct dim { long x; };\nextern "C" { struct dim blockIdx, blockDim, threadIdx; }\n' + text
    )


def compiled(text, folder, compiler, defines):
    import ctypes
    import shutil
    import subprocess

    path = shutil.which(compiler)
    if path is None:
        pytest.skip(f"needs {compiler}")
    source = folder / ("program.c" if compiler == "cc" else "program.cpp")
    source.write_text(text)
    library = folder / "program.so"
    flags = [f"-D{name}={size}" for name, size in defines.items()]
    command = [path, "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-Wno-unused", *flags]
    subprocess.run([*command, str(source), "-o", str(library), "-lm"], check=True)
    return ctypes.CDLL(str(library))


def sizes(derived, env):
    found = {"D": env[X].size}
    for p in derived.parameters:
        value_of = env[p]
        if np.ndim(value_of) == 2:
            found |= {f"ROWS_{p.name}": value_of.shape[0], f"COLS_{p.name}": value_of.shape[1]}
        elif np.ndim(value_of) == 1:
            found |= {f"DIM_{p.name}": value_of.size}
    return found


def arguments(derived, env, arrays):
    """The arguments of a program, in order, as ctypes; arrays are kept alive by the caller."""
    import ctypes

    points, weights = env[MU]
    result = []
    for value_of in [points, weights, len(points), *arrays, *(env[p] for p in derived.parameters)]:
        if isinstance(value_of, int):
            result.append(ctypes.c_int(value_of))
        elif np.ndim(value_of) == 0:
            result.append(ctypes.c_double(value_of))
        else:
            kept = np.ascontiguousarray(value_of, dtype=float)
            result.append(kept.ctypes.data_as(ctypes.c_void_p))
            KEPT.append(kept)
    return result


KEPT: list = []
SMALL = ["softmax", "sinkhorn", "sink", "causal", "block", "two blocks", "sphere transformer",
         "Cucker-Smale", "Motsch-Tadmor", "Kuramoto", "token norm", "layer norm"]  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_c_programs(name, tmp_path):
    import ctypes

    source = ROWS[name][0]
    env, x, z, w = queries(source)
    kinds = derived_terms(source) if name in ("softmax", "causal", "Motsch-Tadmor") else [source]
    for derived in [*kinds, source.jacobian()]:
        folder = tmp_path / derived.kind
        folder.mkdir(exist_ok=True)
        library = compiled(derived.code("c"), folder, "cc", sizes(derived, env))
        want = wanted(derived, env, x, z, w)
        got = np.full(want.shape, np.nan)
        further = [{Z: z, W: w}[p] for p in derived.points]
        arrays = [a for q in (x, *further) for a in (q, len(q))]
        function = library[{"map": "G", "field": "V"}.get(derived.kind, derived.kind)]
        function(*arguments(derived, env, arrays), got.ctypes.data_as(ctypes.c_void_p))
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["softmax", "block", "sphere transformer"])
def test_cuda_programs_on_a_shim(name, tmp_path):
    """The kernel text with the threads in a loop: what a device computes, thread by thread."""
    import ctypes

    source = ROWS[name][0]
    env, x, z, w = queries(source)
    text = source.jacobian().code("cuda")
    assert "__global__ void" in text
    library = compiled(shim(text), tmp_path, "c++", sizes(source, env))
    thread = ctypes.c_long.in_dll(library, "threadIdx")
    kernels = [k for k in ("jacobian_layer1", "jacobian") if f" {k}(" in text]
    points, _ = env[MU]
    moved = np.full_like(points, np.nan)
    want = wanted(source.jacobian(), env, x, z, w)
    got = np.full(want.shape, np.nan)
    for kernel in kernels:
        last = kernel == "jacobian"
        at, out = (x, got) if last else (points, moved)
        given = arguments(source.jacobian(), env, [at, len(at)])
        if last and len(kernels) > 1:
            given.append(moved.ctypes.data_as(ctypes.c_void_p))
        for q in range(len(at)):
            thread.value = q
            library[kernel](*given, out.ctypes.data_as(ctypes.c_void_p))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
