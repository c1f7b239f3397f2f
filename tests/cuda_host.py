"""CUDA kernels on a processor: the text that a device gets, its threads as fibers.

Threads of a block run one after the other, each up to the next barrier, in an order that the caller
chooses: a missing barrier gives other numbers in another order. Shared memory is fresh for every
block, as large as the kernel asks for, and full of NaN. A thread that ends while others wait at a
barrier is reported. Numbers of float32 below the smallest normal one are zero, as CuPy's compiler
options make them on a device.
"""

import ctypes
import hashlib
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np

from pushforward.numeric.arrays import namespace
from pushforward.numeric.cuda_blocks import GIBBS_THREADS, gibbs_text
from pushforward.numeric.cuda_layout import Batch, Ragged, layout_for
from pushforward.numeric.cuda_prelude import PRELUDE
from pushforward.numeric.cuda_source import THREADS, render_cuda

COMPILER = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
ORDERS = ("ascending", "descending", "shuffled")

HOST = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(threads)
#define SHARED_MEMORY(name, numbers) T *const name = (T *)shared_memory(sizeof(T) * (numbers))

#define EXP2_APPROXIMATE(result, x) (result = exp2f(x))

struct Place { int x; };
static Place threadIdx, blockIdx;
static void *block_memory;
static size_t block_bytes;

static void *shared_memory(size_t bytes) {
  if (!block_memory) {
    if (posix_memalign(&block_memory, 16, bytes)) abort();
    memset(block_memory, 0xff, bytes);
    block_bytes = bytes;
  }
  return block_memory;
}

static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline int __float_as_int(float x) { int bits; memcpy(&bits, &x, 4); return bits; }

static ucontext_t scheduler, *fibers;
static void __syncthreads() { swapcontext(&fibers[threadIdx.x], &scheduler); }
"""

LAUNCH = r"""
typedef void Kernel(T *const *, const L *, const L *, L);
static struct { Kernel *kernel; T *const *B; const L *N, *owner; L stride; } call;
static int ended[THREADS];

static void thread_body() {
  call.kernel(call.B, call.N, call.owner, call.stride);
  ended[threadIdx.x] = 1;
}

/* Zero, or one if the threads of a block did not all meet at the same barriers. */
static int run_block(const int *order, char *stacks, size_t stack) {
  int live = THREADS, diverged = 0;
  memset(ended, 0, sizeof ended);
  for (int t = 0; t < THREADS; ++t) {
    getcontext(&fibers[t]);
    fibers[t].uc_stack.ss_sp = stacks + t * stack;
    fibers[t].uc_stack.ss_size = stack;
    fibers[t].uc_link = &scheduler;
    makecontext(&fibers[t], thread_body, 0);
  }
  while (live) {
    int before = live;
    for (int k = 0; k < THREADS; ++k) {
      const int t = order[k];
      if (ended[t]) continue;
      threadIdx.x = t;
      swapcontext(&scheduler, &fibers[t]);
      live -= ended[t];
    }
    if (live && live != before) diverged = 1;
  }
  free(block_memory);
  block_memory = 0;
  return diverged;
}

/* Sets what x86 does with subnormal numbers, zero with -1; returns what it did before. */
static unsigned flushing(long long state) {
#ifdef __SSE2__
  const unsigned before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(state < 0 ? before | 0x8040 : (unsigned)state);
  return before;
#else
  return 0;
#endif
}

extern "C" int launch(int step, L blocks, const int *order, T *const *B, const L *N,
                      const L *owner, L stride) {
  const size_t stack = 1 << 18;
  char *stacks = (char *)malloc(THREADS * stack);
  fibers = (ucontext_t *)malloc(THREADS * sizeof(ucontext_t));
  call.kernel = kernels[step], call.B = B, call.N = N, call.owner = owner, call.stride = stride;
  int diverged = 0;
  const unsigned before = REAL_BITS == 32 ? flushing(-1) : 0;
  for (L block = 0; block < blocks; ++block) {
    blockIdx.x = (int)block;
    diverged |= run_block(order, stacks, stack);
  }
  if (REAL_BITS == 32) flushing(before);
  free(fibers);
  free(stacks);
  return diverged;
}
"""


def host_text(kernel):
    """The kernel text between what a processor lacks and what launches it."""
    last = max(kernel.steps, default=0)
    steps = [f"step_{k}" if k in kernel.steps else "0" for k in range(last + 1)]
    table = (
        "typedef void Step(T *const *, const L *, const L *, L);\n"
        f"static Step *const kernels[] = {{{', '.join(steps)}}};"
    )
    return "\n".join([HOST, kernel.text, table, LAUNCH])


def compiled(text, folder, flags=()):
    # A name for each text: a library that is loaded must not be overwritten.
    name = hashlib.sha256("\n".join([text, *flags]).encode()).hexdigest()[:16]
    source, library = folder / f"{name}.cpp", folder / f"{name}.so"
    source.write_text(text)
    if library.exists():
        return ctypes.CDLL(str(library))
    command = [
        COMPILER,
        "-std=c++17",
        "-nostdinc++",
        "-O0",
        "-w",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
    ]
    done = subprocess.run(
        [*command, *flags, str(source), "-o", str(library)], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr[:4000]
    return ctypes.CDLL(str(library))


def order_of(name, threads=THREADS):
    places = np.arange(threads, dtype=np.int32)
    if name == "descending":
        return places[::-1].copy()
    return np.random.default_rng(0).permutation(places) if name == "shuffled" else places


def pointers(*arrays):
    """The addresses of arrays that the caller keeps alive."""
    return [ctypes.c_void_p(array.ctypes.data) for array in arrays]


class Host:
    """The kernels of a program on this processor, for one shape of inputs and one layout."""

    def __init__(self, program, batch, folder, layout=None, accumulate="tiles", flags=()):
        self.program = program
        shapes = batch[0].shapes(program)
        like = next(iter(batch[0].measures.values()))[0]
        counts = [max(len(rows) for rows in inputs.points.values()) for inputs in batch]
        bits = 8 * like.itemsize
        layout = layout or layout_for(shapes, counts, bits)
        self.kernel = render_cuda(program, shapes, bits, layout, accumulate)
        self.library = compiled(host_text(self.kernel), folder, flags)

    def run(self, batch, order, thread_order="ascending"):
        """The values of every measure; AssertionError if the threads part at a barrier."""
        xp = namespace(np.empty(0))
        given = batch if isinstance(batch, Ragged) else Ragged.of(batch, xp)
        job = Batch(self.program, given, self.kernel, xp, lambda array: array.ctypes.data)
        threads = order_of(thread_order)

        def launch(step, blocks, addresses, counts, owner, stride):
            given = pointers(threads, addresses, counts, owner)
            diverged = self.library.launch(
                step, ctypes.c_longlong(blocks), *given, ctypes.c_longlong(stride)
            )
            assert not diverged, "threads of a block part at a barrier"

        return job.run(launch, lambda array: array, order)


ADAPTER = """
static void step_0(T *const *B, const L *, const L *, L atoms) {
  gibbs(B[0], B[1], B[2], B[3], B[4], atoms);
}
"""


def host_gibbs(bits, folder, thread_order="ascending"):
    """The kernel of Gibbs weights on this processor, for `evaluate_blocks`."""
    kernel = SimpleNamespace(text=gibbs_text(bits, PRELUDE) + ADAPTER, steps=(0,))
    library = compiled(host_text(kernel), folder)

    def gibbs(energy, logs):
        shape = np.broadcast_shapes(energy.shape, logs.shape)
        energy = np.ascontiguousarray(np.broadcast_to(energy, shape))
        logs, terms = np.ascontiguousarray(logs.ravel()), np.empty(shape, energy.dtype)
        shift, total = np.empty(shape[:-1], energy.dtype), np.empty(shape[:-1], energy.dtype)
        arrays = energy, logs, terms, shift, total
        addresses = np.array([array.ctypes.data for array in arrays], dtype=np.uint64)
        order = order_of(thread_order, GIBBS_THREADS)
        given = pointers(order, addresses, addresses, addresses)
        blocks, atoms = ctypes.c_longlong(shift.size), ctypes.c_longlong(shape[-1])
        assert not library.launch(0, blocks, *given, atoms)
        return terms, shift, total

    return gibbs
