"""The rounding errors of sums and products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from .program import Instruction
from .rounding_functions import Known

if TYPE_CHECKING:
    from .rounding import Analysis


def added(run: Analysis, _: Instruction, *terms: Known) -> Known:
    size = reduce(np.add, [term.size + 2 * term.error for term in terms])
    error = reduce(np.add, [term.error for term in terms])
    value = reduce(np.add, [term.value for term in terms])
    if len(terms) <= 2:
        # One rounding, of the sum itself: differences of near numbers are exact.
        return Known(value, error + 1.01 * run.unit * (np.abs(value) + 2 * error), size)
    return Known(value, error + run.gamma(len(terms)) * size, size)


def _mul(run: Analysis, _: Instruction, *factors: Known) -> Known:
    return multiplied(run, *factors)


def multiplied(run: Analysis, *factors: Known) -> Known:
    return reduce(lambda a, b: bilinear(run, a, b, np.multiply, _roundings(a, b)), factors)


def _roundings(a: Known, b: Known) -> int:
    """None for a change of sign."""
    return 0 if any((np.abs(f.value) == 1).all() and not f.error.any() for f in (a, b)) else 1


def bilinear(
    run: Analysis, a: Known, b: Known, times: Callable[..., np.ndarray], operations: int
) -> Known:
    """Any bilinear product of so many operations a component."""
    size = times(a.size + 2 * a.error, b.size + 2 * b.error)
    error = times(a.reach, b.error) + times(a.error, b.reach)
    rounding = run.gamma(operations) * size * (operations > 0) + operations * run.precision.tiny
    return Known(times(a.value, b.value), error + rounding, size)


def _dot(run: Analysis, _: Instruction, u: Known, v: Known) -> Known:
    # No engine expands a product of differences: only what the components are now counts.
    u, v = (Known(part.value, part.error, np.abs(part.value)) for part in (u, v))
    times = lambda a, b: (a * b).sum(axis=0)  # noqa: E731
    return bilinear(run, u, v, times, u.value.shape[0] + 1)


def _matvec(run: Analysis, _: Instruction, m: Known, v: Known) -> Known:
    times = lambda a, b: (a * b[None]).sum(axis=1)  # noqa: E731
    return bilinear(run, m, v, times, m.value.shape[1] + 1)


def _matmul(run: Analysis, _: Instruction, m: Known, n: Known) -> Known:
    times = lambda a, b: (a[:, :, None] * b[None]).sum(axis=1)  # noqa: E731
    return bilinear(run, m, n, times, m.value.shape[1] + 1)


def _outer(run: Analysis, _: Instruction, u: Known, v: Known) -> Known:
    return bilinear(run, u, v, lambda a, b: a[:, None] * b[None], 1)


def _trace(run: Analysis, instruction: Instruction, m: Known) -> Known:
    entries = [m.map(lambda array, i=i: array[i, i]) for i in range(m.value.shape[0])]
    return added(run, instruction, *entries)


PRODUCT_RULES: Mapping[str, Callable[..., Known]] = {
    "add": added,
    "mul": _mul,
    "dot": _dot,
    "matvec": _matvec,
    "matmul": _matmul,
    "outer": _outer,
    "trace": _trace,
}
