"""Sums over the atoms in a tile, as matrix products where one factor has no rows.

A weighted sum `sum_i w_i c_i (A u_i + v)` is distributed until what is left to sum over is
`sum_i (w c)_i u_i`. The largest exponent of each row is subtracted before `exp`, always.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .parts import Part, aligned
from .program import Axis, Instruction, Use
from .reference import central_blocks
from .tiles import Work


def integral(work: Work, instruction: Instruction) -> Part:
    over = _reduced(instruction)
    weights = Part(work.run.weights(over.owner), (over,))
    return _contract(work, weights, instruction.operands[0], over)


def _reduced(instruction: Instruction) -> Axis:
    assert instruction.over is not None
    return instruction.over


def _contract(work: Work, weight: Part, use: Use, over: Axis) -> Part:
    """`sum over the atoms of weight * value`, distributed over what is linear in the value."""
    instruction = work.run.program.instructions[use.index]
    if over not in use.axes:
        return work.product(_summed(work, weight, over), work.part(use))
    rule = _DISTRIBUTED.get(instruction.op)  # none for sums: their operands have one more axis
    if rule and len(use.axes) > 1 and not work.tile.is_whole(use.index):
        names = dict(zip(instruction.axes, use.axes, strict=True))
        operands = [
            Use(inner.index, tuple(names[axis] for axis in inner.axes))
            for inner in instruction.operands
        ]
        found = rule(work, weight, operands, over)
        if found is not None:
            return found
    return _weighted_sum(work, weight, work.part(use), over)


def _ranks(work: Work, operands: list[Use]) -> list[int]:
    return [work.run.program.instructions[use.index].rank for use in operands]


def _contract_sum(work: Work, weight: Part, operands: list[Use], over: Axis) -> Part | None:
    every = {axis for use in operands for axis in use.axes}
    if all(set(use.axes) == every for use in operands):
        return None
    return work.sum(*(_contract(work, weight, use, over) for use in operands))


def _contract_product(work: Work, weight: Part, operands: list[Use], over: Axis) -> Part | None:
    ranks = _ranks(work, operands)
    tensors = [use for use, rank in zip(operands, ranks, strict=True) if rank]
    scalars = [use for use, rank in zip(operands, ranks, strict=True) if not rank]
    if len(tensors) != 1:
        return None
    inside = [work.part(use) for use in scalars if over in use.axes]
    outside = [work.part(use) for use in scalars if over not in use.axes]
    weight = work.product(weight, *inside)
    return work.product(*outside, _contract(work, weight, tensors[0], over))


def _contract_image(work: Work, weight: Part, operands: list[Use], over: Axis) -> Part | None:
    matrix, vector = operands
    if over in matrix.axes:
        return None
    return work.image(work.part(matrix), _contract(work, weight, vector, over))


def _contract_stack(work: Work, weight: Part, operands: list[Use], over: Axis) -> Part | None:
    return work.stacked([_contract(work, weight, use, over) for use in operands], 1)


_DISTRIBUTED: dict[str, Callable[..., Part | None]] = {
    "add": _contract_sum,
    "mul": _contract_product,
    "matvec": _contract_image,
    "stack": _contract_stack,
}


def _last(work: Work, part: Part, over: Axis) -> Part:
    """The part with the reduced axis last."""
    axes = (*(axis for axis in part.axes if axis != over), over)
    return Part(aligned(work.xp, part, axes), axes)


def _summed(work: Work, part: Part, over: Axis) -> Part:
    part = _last(work, part, over)
    return Part(work.xp.sum(part.array, axis=-1), part.axes[:-1])


def _weighted_sum(work: Work, weight: Part, value: Part, over: Axis) -> Part:
    """`sum over the atoms of weight * value`: a matrix product where only one of them has rows."""
    weight, value = _last(work, weight, over), _last(work, value, over)
    xp, n = work.xp, weight.array.shape[-1]
    outer_weight, outer_value = weight.axes[:-1], value.axes[:-1]
    if set(outer_weight) & set(outer_value):
        return _summed(work, work.product(weight, value), over)
    left = xp.reshape(value.array, (-1, n))
    right = xp.permute_dims(xp.reshape(weight.array, (-1, n)), (1, 0))
    array = xp.matmul(left, right)
    shape = (*value.array.shape[:-1], *weight.array.shape[:-1])
    return Part(xp.reshape(array, shape), outer_value + outer_weight)


@dataclass(frozen=True, slots=True)
class _Law:
    """A Gibbs law up to its normaliser: `terms = exp(s + log w - shift)`, of sum `total`."""

    terms: Part
    total: Part
    shift: Part
    axes: tuple[Axis, ...]

    def named(self, axes: tuple[Axis, ...]) -> "_Law":
        """The same law with its axes named as another instruction names them."""
        names = dict(zip(self.axes, axes, strict=True))
        terms, total, shift = (
            Part(part.array, tuple(names[axis] for axis in part.axes))
            for part in (self.terms, self.total, self.shift)
        )
        return _Law(terms, total, shift, axes)


def _law(work: Work, instruction: Instruction) -> _Law:
    """The law of a reduction in this tile, made once for all reductions that share it."""
    use, over = instruction.operands[0], _reduced(instruction)
    places = tuple(use.axes.index(a) if a in use.axes else None for a in (over, work.row))
    key = "law", use.index, places, over.owner
    if key not in work.tile.made:
        work.tile.made[key] = _new_law(work, key, use, over)
    return work.tile.made[key].named((*use.axes, over))


def _new_law(work: Work, key: tuple, use: Use, over: Axis) -> _Law:
    xp, room, functions = work.xp, work.run.workspace, work.run.functions
    log_weights, unit = work.run.weights_in_exponent(over.owner)
    energy = _last(work, work.part(use), over) if over in use.axes else work.part(use)
    arrays, axes = work.common(energy, Part(log_weights, (over,)))
    if "gibbs" in functions:
        terms, shift, total = (
            Part(array, axes[: array.ndim]) for array in functions["gibbs"](*arrays)
        )
        return _Law(terms, total, Part(shift.array + unit, shift.axes), (*use.axes, over))
    exponents = room.apply(key, functions["add"], *arrays)
    shift = xp.max(exponents, axis=-1, keepdims=True)
    # A row of minus infinities has no law; its sums are zero, and what divides by them is NaN.
    shift = xp.where(shift == -math.inf, xp.zeros_like(shift), shift)
    exponents = room.apply(key, functions["sub"], exponents, shift)
    terms = Part(room.apply(key, functions["exp"], exponents), axes)
    shift = Part(shift[..., 0] + unit, axes[:-1])
    return _Law(terms, _summed(work, terms, over), shift, (*use.axes, over))


def log_partition(work: Work, instruction: Instruction) -> Part:
    law = _law(work, instruction)
    return Part(law.shift.array + work.xp.log(law.total.array), law.total.axes)


def _mean(work: Work, law: _Law, use: Use, over: Axis) -> Part:
    """`E_p[h]`; exactly h where it does not depend on the atom."""
    if over not in use.axes:
        return work.part(use)
    raw = _contract(work, law.terms, use, over)
    return _divided(work, raw, law.total)


def _divided(work: Work, part: Part, total: Part) -> Part:
    (above, below), axes = work.common(part, total)
    return Part(above / below, axes)


def cumulant(work: Work, instruction: Instruction) -> Part:
    law, over, slots = _law(work, instruction), _reduced(instruction), instruction.operands[1:]
    means = [_mean(work, law, use, over) for use in slots]
    if len(slots) == 1:
        return means[0]
    ranks = _ranks(work, list(slots))
    moments = _Moments(work, law, over, slots, means, ranks)
    return work.sum(*(moments.product(blocks) for blocks in central_blocks(len(slots))))


@dataclass(frozen=True, slots=True)
class _Moments:
    """Central moments of the slots of a cumulant, with tensor slots first."""

    work: Work
    law: _Law
    over: Axis
    slots: tuple[Use, ...]
    means: list[Part]
    ranks: list[int]

    def product(self, blocks: tuple[tuple[int, ...], ...]) -> Part:
        sign = (-1.0) ** (len(blocks) - 1) * math.factorial(len(blocks) - 1)
        moments = map(self.placed, blocks)
        return self.work.product(Part(self.work.run.number(sign), ()), *moments)

    def placed(self, block: tuple[int, ...]) -> Part:
        """The moment, with a component axis for each vector slot of the whole cumulant."""
        part = self.moment(block)
        vectors = [k for k, rank in enumerate(self.ranks) if rank == 1]
        if len(vectors) < 2 or all(k in block for k in vectors):
            return part
        own = iter(part.components)
        shape = tuple(next(own) if k in block else 1 for k in vectors)
        array = self.work.xp.reshape(part.array, (*shape, *part.array.shape[part.rank :]))
        return Part(array, part.axes)

    def moment(self, block: tuple[int, ...]) -> Part:
        """`E_p` of the product of the centred slots of a block.

        The last tensor is centred after its sum, by `E[c (h - m)] = E[c h] - E[c] m`: c is centred
        already, so what cancels is small, and the sum is a matrix product.
        """
        work = self.work
        tensors = [k for k in block if self.ranks[k]]
        scalars = [self.centred(k) for k in block if not self.ranks[k]]
        weight = work.product(self.law.terms, *scalars)
        if not tensors:
            sums = _summed(work, weight, self.over)
        elif len(tensors) == 1:
            sums = self.against(weight, tensors[0])
        elif self.slots[tensors[1]].axes == (self.over,):
            sums = self.against_atoms(self.raised(weight, tensors[0]), tensors[1])
        else:
            sums = self.row_by_row(self.raised(weight, tensors[0]), tensors[1])
        return _divided(work, sums, self.law.total)

    def centred(self, k: int) -> Part:
        (value, mean), axes = self.work.common(self.work.part(self.slots[k]), self.means[k])
        return Part(value - mean, axes)

    def raised(self, weight: Part, k: int) -> Part:
        """weight * (slot k - its mean), a vector with the atoms last."""
        work, run = self.work, self.work.run
        parts = weight, self.means[k], work.part(self.slots[k])
        (w, mean, value), axes = work.common(*parts, rows_first=True)
        # In one place of memory: the traffic of a (d, rows, n) array is what costs.
        key, room = ("raised", work.index, k), run.workspace
        centred = room.apply(key, run.functions["sub"], value, mean)
        return _last(work, Part(room.apply(key, run.functions["mul"], centred, w), axes), self.over)

    def against(self, weight: Part, k: int) -> Part:
        """The sum of weight * (slot k - its mean) for a scalar weight."""
        work = self.work
        raw = _contract(work, weight, self.slots[k], self.over)
        rest = work.product(_summed(work, weight, self.over), self.means[k])
        (a, b), axes = work.common(raw, rest)
        return Part(a - b, axes)

    def row_by_row(self, weight: Part, k: int) -> Part:
        """The same for a vector weight, one component after the other."""
        rows = [
            self.against(Part(weight.array[i, ...], weight.axes), k)
            for i in range(weight.components[0])
        ]
        arrays, axes = self.work.common(*rows)
        return Part(self.work.xp.stack(arrays, axis=0), axes)

    def against_atoms(self, weight: Part, k: int) -> Part:
        """The same for a vector weight (d, ..., n) and a slot (d', n): one matrix product."""
        work, xp = self.work, self.work.xp
        value, rows = work.part(self.slots[k]).array, weight.array.shape[:-1]
        flat = xp.reshape(weight.array, (-1, value.shape[-1]))
        raw = xp.matmul(flat, xp.permute_dims(value, (1, 0)))
        raw = xp.reshape(raw, (*rows, value.shape[0]))
        last = raw.ndim - 1
        raw = xp.permute_dims(raw, (0, last, *range(1, last)))
        sums = _summed(work, weight, self.over)
        mean = aligned(xp, self.means[k], sums.axes)
        return Part(raw - sums.array[:, None, ...] * mean[None, ...], sums.axes)
