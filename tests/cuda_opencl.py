"""CUDA kernels as OpenCL C: an independent compiler and runtime for the same kernels.

The text of a kernel is C but for its dialect: types with operators, names of memory and functions.
Here that is vectors and address spaces of OpenCL C. On a processor (PoCL) a buffer may hold
addresses of the host, so the kernels read the arrays of NumPy where they lie.
"""

import os
import tempfile

import numpy as np
import pytest

from pushforward.numeric.arrays import namespace
from pushforward.numeric.cuda_blocks import GIBBS_THREADS, gibbs_text
from pushforward.numeric.cuda_layout import Batch, Ragged, layout_for
from pushforward.numeric.cuda_prelude import DIALECT, PRELUDE
from pushforward.numeric.cuda_source import THREADS, render_cuda

# What is compiled is kept nowhere.
FOLDER = tempfile.TemporaryDirectory(prefix="pocl")
os.environ |= {"POCL_CACHE_DIR": FOLDER.name, "POCL_KERNEL_CACHE": "0", "PYOPENCL_NO_CACHE": "1"}

MISSING = "pyopencl is not installed; pip install 'pyopencl[pocl]'"
pyopencl = pytest.importorskip("pyopencl", reason=MISSING)

OPENCL = r"""
#pragma OPENCL FP_CONTRACT OFF
typedef long L;
typedef ulong Bits64;
#if REAL_BITS == 64
typedef double T;
typedef long Bits;
typedef double2 Sixteen;
#define HUGE_EXPONENT 4e307
#define NUMBERS_OF_16_BYTES 2
#else
typedef float T;
typedef int Bits;
typedef float4 Sixteen;
#define HUGE_EXPONENT 8e37f
#define NUMBERS_OF_16_BYTES 4
#endif
#define OF_TYPE(function) function
#define fabsf fabs
#define fmaf fma
#define rintf rint
#define __float_as_int as_int
#define __fmul_rn(a, b) ((a) * (b))
#define EXP2_APPROXIMATE(result, x) (result = exp2(x))

#define GLOBAL __global
#define SHARED __local
#define BUFFERS const __global ulong *
#define BUFFER(k) ((__global T *)B[k])
#define KERNEL __kernel __attribute__((reqd_work_group_size(THREADS, 1, 1))) void
#define SHARED_MEMORY(name, numbers) __local T name[numbers] __attribute__((aligned(16)))
#define INLINE static inline
#define OUTLINE static __attribute__((noinline))
#define __syncthreads() barrier(CLK_LOCAL_MEM_FENCE)
typedef struct { int x; } Place;
#define threadIdx ((Place){(int)get_local_id(0)})
#define blockIdx ((Place){(int)get_group_id(0)})
#define EACH_LANE for (int l = 0; l < LANES; ++l)

typedef T V __attribute__((ext_vector_type(LANES)));
typedef Bits Mask __attribute__((ext_vector_type(LANES)));
INLINE V vsqrt(V a) { EACH_LANE a[l] = sqrt(a[l]); return a; }
"""


def opencl_text(text):
    """The text of a kernel in OpenCL C."""
    assert DIALECT in text
    return (
        text.replace(DIALECT, OPENCL)
        .replace('_Pragma("unroll 1")', "")
        .replace('_Pragma("unroll")', "")
    )


class OpenCL:
    """The kernels of a program on the first OpenCL device that is a processor."""

    def __init__(self, program, batch, layout=None, accumulate="tiles"):
        self.program, like = program, next(iter(batch[0].measures.values()))[0]
        shapes = batch[0].shapes(program)
        counts = [max(len(rows) for rows in inputs.points.values()) for inputs in batch]
        layout = layout or layout_for(shapes, counts, 8 * like.itemsize)
        self.kernel = render_cuda(program, shapes, 8 * like.itemsize, layout, accumulate)
        self.module = Module(opencl_text(self.kernel.text))

    def run(self, batch, order):
        """The values of every measure."""
        xp = namespace(np.empty(0))
        given = Ragged.of(batch, xp)
        job = Batch(self.program, given, self.kernel, xp, lambda array: array.ctypes.data)

        def launch(step, blocks, addresses, counts, owner, stride):
            arrays = addresses, counts, owner
            self.module.launch(f"step_{step}", blocks, THREADS, *arrays, np.int64(stride))

        return job.run(launch, lambda array: array, order)


def processors():
    """The OpenCL devices that are processors; there the host's addresses are the device's."""
    try:
        platforms = pyopencl.get_platforms()
    except pyopencl.LogicError:
        return []
    kind = pyopencl.device_type.CPU
    return [device for platform in platforms for device in platform.get_devices(kind)]


class Module:
    """A compiled text."""

    def __init__(self, text):
        self.context = pyopencl.Context([processors()[0]])
        self.queue = pyopencl.CommandQueue(self.context)
        # Unoptimised, a kernel takes a third of the time to compile and run once.
        options = ["-cl-std=CL1.2", "-w", "-cl-opt-disable"]
        self.program = pyopencl.Program(self.context, text).build(options=options)

    def launch(self, name, blocks, threads, *arguments):
        """Arrays go as they are, in their own memory."""
        flags = pyopencl.mem_flags.READ_WRITE | pyopencl.mem_flags.USE_HOST_PTR
        given = [
            pyopencl.Buffer(self.context, flags, hostbuf=a) if isinstance(a, np.ndarray) else a
            for a in arguments
        ]
        kernel = pyopencl.Kernel(self.program, name)
        kernel(self.queue, (blocks * threads,), (threads,), *given)
        self.queue.finish()


def opencl_gibbs(bits):
    """The kernel of Gibbs weights, for `evaluate_blocks`."""
    module = Module(opencl_text(gibbs_text(bits, PRELUDE)))

    def gibbs(energy, logs):
        shape = np.broadcast_shapes(energy.shape, logs.shape)
        energy = np.array(np.broadcast_to(energy, shape), order="C")
        logs, terms = np.array(logs).ravel(), np.empty(shape, energy.dtype)
        shift, total = np.empty(shape[:-1], energy.dtype), np.empty(shape[:-1], energy.dtype)
        arrays = energy, logs, terms, shift, total
        module.launch("gibbs", shift.size, GIBBS_THREADS, *arrays, np.int64(shape[-1]))
        return terms, shift, total

    return gibbs
