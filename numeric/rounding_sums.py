"""The rounding errors of sums over atoms and of Gibbs laws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from .program import Instruction
from .reference import central_blocks
from .rounding_functions import FUNCTION_ULPS, Known
from .rounding_products import added, bilinear, multiplied
from .tiles import lift

if TYPE_CHECKING:
    from .rounding import Analysis

_SMALL = 0.1
"""Up to this relative error Gibbs weights are analysed; above it the range of the values holds."""


def _integral(run: Analysis, instruction: Instruction, body: Known) -> Known:
    weights = run.weights(instruction)
    times = lambda a, b: (a * b).sum(axis=-1)  # noqa: E731
    return bilinear(run, body, weights, times, weights.value.shape[0] + 4)


def _supremum(run: Analysis, instruction: Instruction, body: Known) -> Known:
    """The largest value moves by no more than those move that may be it, exact or computed."""
    value, error = np.broadcast_arrays(body.value, body.error)
    least = (value - 2 * error).max(axis=-1, keepdims=True)
    may_be = ~(value + 2 * error < least)
    worst = np.where(may_be, error, 0.0).max(axis=-1)
    largest = value.max(axis=-1)
    return Known(largest, worst, np.abs(largest))


@dataclass(frozen=True, slots=True)
class _Law:
    """A Gibbs law in double precision, and the errors of its logarithms.

    Computed weights are `p_i exp(e_i)` up to a factor, with `|e_i| <= errors`, and the law carried
    along is off by as much; `worst` is the largest of a row. Atoms whose weight leaves the range of
    the type, of itself or in units of the largest weight, may have any share from none to twice
    their own, and those of the least shares may have none: `lost` is what they have together,
    `held` what the others have.
    """

    weights: np.ndarray
    tilt: np.ndarray
    worst: np.ndarray
    lost: np.ndarray
    held: np.ndarray
    log_total: np.ndarray

    @property
    def slack(self) -> np.ndarray:
        """What replaces exact weights by those carried along, and divides by the computed total."""
        return np.exp(3 * self.worst) / self.held**2

    @property
    def is_near(self) -> np.ndarray:
        """Whether the computed law is so near to exact that first-order terms are most."""
        return (self.worst <= _SMALL) & (self.lost <= _SMALL)

    @property
    def is_gone(self) -> np.ndarray:
        """Whether an engine may find no atom at all."""
        return self.worst < 0


def _law(run: Analysis, instruction: Instruction, energy: Known) -> _Law:
    weights = run.weights(instruction).value
    # Not of the quotient, which may vanish.
    logs = np.log(weights) - np.log(weights.max())
    kept = np.minimum(weights, weights / weights.max()) >= run.precision.tiny
    exponents = energy.value + logs
    shift = exponents.max(axis=-1, keepdims=True)
    shift = np.where(np.isneginf(shift), 0.0, shift)
    terms = np.exp(exponents - shift)
    total = terms.sum(axis=-1, keepdims=True)
    ulps = FUNCTION_ULPS * (1 + np.abs(logs)) + 2 * np.abs(exponents) + 2 * np.abs(shift)
    stored = 0.0 if run.unit <= 2.0**-53 else 2 * run.unit
    errors = energy.error + run.unit * (ulps + FUNCTION_ULPS) + stored
    errors = errors + terms.shape[-1] * run.precision.tiny
    errors = np.where(np.isnan(errors) | (terms == 0) & np.isneginf(exponents), 0.0, errors)
    log_total = (shift + np.log(total))[..., 0] + np.log(weights.max())
    p = terms / total
    tilt = np.where(kept, np.expm1(errors), 1.0)
    worst = np.where(kept, errors, -1.0).max(axis=-1, keepdims=True)
    # Without a shift an exponential may vanish whose weight, lifted, is so small a part of the sum.
    vanishes = p < 4 * run.precision.tiny * lift(run.precision.huge)
    tilt = np.where(vanishes, np.maximum(tilt, 1.0), tilt)
    kept = kept & ~vanishes
    lost, held = _over_atoms(np.where(kept, 0.0, p)), _over_atoms(np.where(kept, p, 0.0))
    return _Law(p, tilt, worst, lost, held, log_total)


def _log_partition(run: Analysis, instruction: Instruction, energy: Known) -> Known:
    law = _law(run, instruction, energy)
    n = law.weights.shape[-1]
    # log sum p_i exp(e_i): at most the largest error, and about their mean.
    mean = np.log1p(law.slack[..., 0] * (law.weights * law.tilt).sum(axis=-1))
    most = (law.worst - np.log(law.held))[..., 0]
    value = law.log_total
    unit = np.log(run.weights(instruction).value.max())
    operations = 2 * np.abs(value) + 2 * abs(unit) + np.log(n) + 1
    rounding = run.gamma(n) + FUNCTION_ULPS * run.unit * operations
    error = np.where(law.is_gone[..., 0], np.inf, np.fmin(mean, most) + rounding)
    return Known(value, error, np.abs(value))


def _cumulant(run: Analysis, instruction: Instruction, energy: Known, *slots: Known) -> Known:
    law = _law(run, instruction, energy)
    means = [_mean(run, law, slot) for slot in slots]
    if len(slots) == 1:
        return means[0].map(lambda array: array[..., 0])
    gibbs = _Cumulant(run, law, slots, means, energy.value.ndim)
    products = [gibbs.product(blocks) for blocks in central_blocks(len(slots))]
    return added(run, instruction, *products)


def _mean(run: Analysis, law: _Law, slot: Known) -> Known:
    """`E_p[h]`, with the reduced axis kept.

    Weights off by factors exp(e_i) move it by `sum p_i (exp(e_i) - 1) (h_i - E h)` / their total.
    """
    p = law.weights
    mean = _over_atoms(p * slot.value)
    size, own = _over_atoms(p * slot.size), _over_atoms(p * slot.error)
    spread = _over_atoms(p * law.tilt * np.abs(slot.value - mean))
    unsure = (np.expm1(law.worst) + law.lost) * slot.error.max(axis=-1, keepdims=True)
    rounding = 2 * run.gamma(p.shape[-1] + 4) * size
    # The distance to the exact mean stands on both sides; below _SMALL it is solved for by 1.2.
    error = 1.2 * law.slack * (own + spread + unsure + rounding) + run.precision.tiny
    width = np.ptp(slot.value, axis=-1, keepdims=True)
    hull = width + 4 * slot.error.max(axis=-1, keepdims=True)
    hull = hull + 2 * run.gamma(p.shape[-1] + 4) * slot.size.max(axis=-1, keepdims=True)
    error = np.where(law.is_near, np.fmin(error, hull), hull)
    error = np.where(law.is_gone, np.inf, error)
    return Known(mean, error, np.maximum(size, np.abs(mean)))


def _over_atoms(array: np.ndarray) -> np.ndarray:
    return array.sum(axis=-1, keepdims=True)


class _Cumulant:
    """The central moments of the slots, each with its error."""

    def __init__(self, run: Analysis, law: _Law, slots: tuple, means: list, dimensions: int):
        self.run, self.law, self.slots, self.means = run, law, slots, means
        self.ranks = [slot.value.ndim - dimensions for slot in slots]

    def product(self, blocks: tuple[tuple[int, ...], ...]) -> Known:
        sign = (-1) ** (len(blocks) - 1) * math.factorial(len(blocks) - 1)
        return multiplied(self.run, self.run.exactly(float(sign)), *map(self.moment, blocks))

    def total(self, weights: np.ndarray, factors: Mapping[int, np.ndarray]) -> np.ndarray:
        """`sum over atoms of weights * factors`, an outer product with an axis a vector slot."""
        vectors = [k for k, rank in enumerate(self.ranks) if rank == 1]
        scalars = [factor for k, factor in factors.items() if not self.ranks[k]]
        tensors = [factor for k, factor in factors.items() if self.ranks[k]]
        weights = reduce(np.multiply, scalars, weights)
        if len(tensors) == 2:
            left = np.moveaxis(weights * tensors[0], 0, -2)
            product = np.matmul(left, np.moveaxis(tensors[1], 0, -1))
            return np.moveaxis(product, (-2, -1), (0, 1))
        sums = (weights * tensors[0] if tensors else weights).sum(axis=-1)
        if len(vectors) == 2:
            place = tuple(-1 if k in factors else 1 for k in vectors)
            axes = sums.shape[1:] if tensors else sums.shape
            return sums.reshape((*place, *axes))
        return sums

    def moment(self, block: tuple[int, ...]) -> Known:
        """`E_p` of a product of centred slots; the last tensor may have been centred afterwards."""
        run, law, p = self.run, self.law, self.law.weights
        centred = {k: self.slots[k].value - self.means[k].value for k in block}
        errors = {
            k: self.slots[k].error + self.means[k].error + run.unit * np.abs(centred[k])
            for k in block
        }
        sizes = {k: np.abs(centred[k]) for k in block}
        reach = {k: sizes[k] + 2 * errors[k] for k in block}
        value = self.total(p, centred)
        outer = self.total(p, reach)
        moved = reduce(np.add, [self.total(p, {**reach, k: errors[k]}) for k in block])
        tilt = p * law.tilt
        tilted = self.total(tilt, reach) + 1.2 * tilt.sum(axis=-1) * outer
        whole = dict(reach)
        for k in [k for k in block if self.ranks[k]][-1:]:
            whole[k] = self.slots[k].size + np.abs(self.means[k].value) + reach[k]
        rounding = 2 * run.gamma(p.shape[-1] + len(block) + 6) * self.total(p, whole)
        error = 1.2 * law.slack[..., 0] * (moved + tilted + rounding) + run.precision.tiny
        ranges = {
            k: np.ptp(self.slots[k].value, axis=-1, keepdims=True)
            + 4 * self.slots[k].error.max(axis=-1, keepdims=True)
            for k in block
        }
        hull = 2 * self.total(np.ones_like(p[..., :1]), ranges) + rounding
        error = np.where(law.is_near[..., 0], error, hull)
        error = np.where(law.is_gone[..., 0], np.inf, error)
        return Known(value, error, np.maximum(np.abs(value), outer))


SUM_RULES: Mapping[str, Callable[..., Known]] = {
    "integral": _integral,
    "log_partition": _log_partition,
    "cumulant": _cumulant,
    "supremum": _supremum,
}
