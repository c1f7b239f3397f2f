"""Long vectors on a device: matrix products by blocks, and one kernel for the weights of a law.

From 32 components on, a pair costs more in products than in anything else, and the products of a
library are the fastest there are. So blocks of rows are evaluated as the `numpy` engine does it,
and what is between two products, `exp(s + log w - max)`, its maximum and its sum, is one kernel.
"""

from collections.abc import Callable
from typing import Any

from .blocked import RULES
from .cuda_layout import arranged
from .program import Program
from .reference import Inputs
from .schedule import Step
from .tiles import Run

COMPONENTS = 32
"""From so many components of a point on, programs are evaluated by blocks."""

GIBBS_THREADS = 256
_NUMBERS = 2**26
"""Of the largest array of a block: a quarter of a gigabyte in float32."""

GIBBS = r"""
/* terms[row][k] = exp(energy[row][k] + logs[k] - shift[row]), their sum, and shift, the largest
   exponent; zero where all of them are minus infinity. A block a row. */
INLINE T over_block(T value, SHARED T *shared, bool largest) {
  __syncthreads();
  shared[threadIdx.x] = value;
  for (int apart = THREADS / 2; apart > 0; apart /= 2) {
    __syncthreads();
    if (threadIdx.x < apart) {
      const T other = shared[threadIdx.x + apart], own = shared[threadIdx.x];
      shared[threadIdx.x] = !largest ? own + other : other > own ? other : own;
    }
  }
  __syncthreads();
  return shared[0];
}

KERNEL gibbs(const GLOBAL T *energy, const GLOBAL T *logs, GLOBAL T *terms, GLOBAL T *shift,
             GLOBAL T *total, L atoms) {
  SHARED_MEMORY(shared, THREADS);
  const L row = blockIdx.x;
  T top = -INFINITY, sum = 0;
  for (L k = threadIdx.x; k < atoms; k += THREADS) {
    const T exponent = energy[row * atoms + k] + logs[k];
    top = exponent > top ? exponent : top;
  }
  top = over_block(top, shared, true);
  top = top == -INFINITY ? (T)0 : top;
  for (L k = threadIdx.x; k < atoms; k += THREADS) {
    const T term = OF_TYPE(exp)(energy[row * atoms + k] + logs[k] - top);
    terms[row * atoms + k] = term;
    sum += term;
  }
  sum = over_block(sum, shared, false);
  if (threadIdx.x == 0) {
    shift[row] = top;
    total[row] = sum;
  }
}
"""


def gibbs_text(bits: int, prelude: str) -> str:
    """The kernel of Gibbs weights with what it needs below it."""
    head = f"#define REAL_BITS {bits}\n#define LANES 1\n#define ACCUMULATE 0"
    return f"{head}\n#define THREADS {GIBBS_THREADS}\n{prelude}\n{GIBBS}"


Gibbs = Callable[[Any, Any], tuple[Any, Any, Any]]
"""`gibbs(energy (..., n), logs (n,))` gives the terms, the shift and the total of every row."""


class _BlockRun(Run):
    """Blocks as large as a device wants them."""

    def height(self, step: Step) -> int:
        widths = [self.width(index, row) for index, row in step.pairs]
        widths += [self.width(index, step.axis) for index in step.members]
        return max(1, _NUMBERS // max(widths))


def evaluate_blocks(program: Program, inputs: Inputs, order: tuple[str, ...], gibbs: Gibbs) -> Any:
    """The value of a program: one dimension for each point argument, then the components."""
    run = _BlockRun(program, inputs, RULES)
    run.functions = {**run.functions, "gibbs": gibbs}
    for step in run.schedule.steps:
        run.make(step)
    return arranged(run.xp, program, inputs, order, run.values[program.result.index])
