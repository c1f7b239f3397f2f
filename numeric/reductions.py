"""Sums over the atoms in a tile, distributed until one factor of each has no rows.

A weighted sum `sum_i w_i c_i (A u_i + v)` is distributed until what is left to sum over is
`sum_i (w c)_i u_i`, a matrix product.

The weights of a Gibbs law are `exp(s + log w)` up to a factor. Taken without any shift they need
one pass over the pairs, and are right wherever they stay in the range of the type. That is seen
afterwards: with weights in units of the largest times `Run.lift`, no sum is below one or infinite.
Otherwise the tile is made again with the largest exponent of each row subtracted before `exp`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .parts import Part, aligned
from .program import Axis, Instruction, Use
from .reference import central_blocks
from .sums import Weight, last
from .tiles import OutOfRange, Work


def integral(work: Work, instruction: Instruction) -> Part:
    over = _reduced(instruction)
    part = Part(work.run.weights(over.owner), (over,))
    weight = Weight(part, "ones", over)
    if work.run.has_base(over.owner, "weights"):
        weight = Weight(None, "weights", over)
    return _contract(work, weight, instruction.operands[0])


def supremum(work: Work, instruction: Instruction) -> Part:
    (use,), over = instruction.operands, _reduced(instruction)
    if over not in use.axes:
        return work.part(use)
    part = last(work, work.part(use), over)
    return Part(work.xp.max(part.array, axis=-1), part.axes[:-1])


def _reduced(instruction: Instruction) -> Axis:
    assert instruction.over is not None
    return instruction.over


def _contract(work: Work, weight: Weight, use: Use) -> Part:
    """`sum over the atoms of weight * value`, distributed over what is linear in the value."""
    instruction, over = work.run.program.instructions[use.index], weight.over
    if over not in use.axes:
        return work.product(weight.sum(work), work.part(use))
    rule = _DISTRIBUTED.get(instruction.op)  # none for sums: their operands have one more axis
    if rule and len(use.axes) > 1 and not work.tile.is_whole(use.index):
        names = dict(zip(instruction.axes, use.axes, strict=True))
        operands = [
            Use(inner.index, tuple(names[axis] for axis in inner.axes))
            for inner in instruction.operands
        ]
        found = rule(work, weight, operands)
        if found is not None:
            return found
    return weight.against(work, use)


def _ranks(work: Work, operands: list[Use]) -> list[int]:
    return [work.run.program.instructions[use.index].rank for use in operands]


def _contract_sum(work: Work, weight: Weight, operands: list[Use]) -> Part | None:
    every = {axis for use in operands for axis in use.axes}
    if all(set(use.axes) == every for use in operands):
        return None
    # Those that are summed first: the product that does it gives the sum of the weight, too.
    operands = sorted(operands, key=lambda use: weight.over not in use.axes)
    return work.sum(*(_contract(work, weight, use) for use in operands))


def _contract_product(work: Work, weight: Weight, operands: list[Use]) -> Part | None:
    ranks, over = _ranks(work, operands), weight.over
    tensors = [use for use, rank in zip(operands, ranks, strict=True) if rank]
    scalars = [use for use, rank in zip(operands, ranks, strict=True) if not rank]
    if len(tensors) != 1:
        return None
    inside = [work.part(use) for use in scalars if over in use.axes]
    outside = [work.part(use) for use in scalars if over not in use.axes]
    return work.product(*outside, _contract(work, weight.times(work, *inside), tensors[0]))


def _contract_image(work: Work, weight: Weight, operands: list[Use]) -> Part | None:
    matrix, vector = operands
    if weight.over in matrix.axes:
        return None
    return work.image(work.part(matrix), _contract(work, weight, vector))


def _contract_stack(work: Work, weight: Weight, operands: list[Use]) -> Part | None:
    return work.stacked([_contract(work, weight, use) for use in operands], 1)


_DISTRIBUTED: dict[str, Callable[..., Part | None]] = {
    "add": _contract_sum,
    "mul": _contract_product,
    "matvec": _contract_image,
    "stack": _contract_stack,
}


@dataclass(slots=True)
class _Law:
    """A Gibbs law up to its normaliser: weights `w exp(s - shift) / scale` of the atoms.

    Without a shift they may have left the range of the type, which their sums tell; what was
    shifted is sure not to.
    """

    weight: Weight
    shift: Part
    scale: float
    is_sure: bool
    axes: tuple[Axis, ...]

    def named(self, axes: tuple[Axis, ...]) -> "_Law":
        """The same law with its axes named as another instruction names them."""
        if axes == self.axes:
            return self
        names = dict(zip(self.axes, axes, strict=True))
        shift = Part(self.shift.array, tuple(names[axis] for axis in self.shift.axes))
        return _Law(self.weight.renamed(names), shift, self.scale, self.is_sure, axes)

    def total(self, work: Work) -> Part:
        """The sum of the weights, made sure to be in range."""
        total = self.weight.sum(work)
        if not (self.is_sure or _are(work, total.array >= 1) and _is_finite(work, total.array)):
            raise OutOfRange
        return total

    def mean(self, work: Work, sums: Part) -> Part:
        """Sums against the weights in units of their sum."""
        (above, below), axes = work.common(sums, self.total(work))
        if not (self.is_sure or _is_finite(work, above)):
            raise OutOfRange
        return Part(above / below, axes)


def _are(work: Work, conditions: Any) -> bool:
    return bool(work.xp.all(conditions))


def _is_finite(work: Work, array: Any) -> bool:
    """Whether all numbers are finite; it may say no where their sum is not."""
    return bool(work.xp.isfinite(work.xp.sum(array)))


def _law(work: Work, instruction: Instruction) -> _Law:
    """The law of a reduction in this tile, made once for all reductions that share it."""
    use, over = instruction.operands[0], _reduced(instruction)
    places = tuple(use.axes.index(a) if a in use.axes else None for a in (over, work.row))
    key = "law", use.index, places, over.owner
    if key not in work.tile.made:
        work.tile.made[key] = _new_law(work, work.energy_key(use, key), use, over)
    return work.tile.made[key].named((*use.axes, over))


def _new_law(work: Work, key: tuple, use: Use, over: Axis) -> _Law:
    run, axes = work.run, (*use.axes, over)
    if "gibbs" in run.functions or over not in use.axes or not run.is_bold:
        return _shifted_law(work, key, use, over)
    if not run.has_base(over.owner, "lifted"):
        return _shifted_law(work, key, use, over)
    energy = last(work, work.part(use), over)
    terms = Part(run.workspace.apply(key, run.functions["exp"], energy.array), energy.axes)
    shift = Part(run.weights_in_exponent(over.owner)[1], ())
    return _Law(Weight(terms, "lifted", over), shift, run.lift, False, axes)


def _shifted_law(work: Work, key: tuple, use: Use, over: Axis) -> _Law:
    xp, room, functions = work.xp, work.run.workspace, work.run.functions
    log_weights, unit = work.run.weights_in_exponent(over.owner)
    energy = last(work, work.part(use), over) if over in use.axes else work.part(use)
    arrays, axes = work.common(energy, Part(log_weights, (over,)))
    law = lambda terms, total, shift: _Law(  # noqa: E731
        Weight(Part(terms, axes), "ones", over, total), Part(shift, axes[:-1]), 1.0, True,
        (*use.axes, over),
    )  # fmt: skip
    if "gibbs" in functions:
        terms, shift, total = functions["gibbs"](*arrays)
        return law(terms, Part(total, axes[:-1]), shift + unit)
    exponents = room.apply(key, functions["add"], *arrays)
    shift = xp.max(exponents, axis=-1, keepdims=True)
    # A row of minus infinities has no law; its sums are zero, and what divides by them is NaN.
    shift = xp.where(shift == -math.inf, xp.zeros_like(shift), shift)
    exponents = room.apply(key, functions["sub"], exponents, shift)
    terms = room.apply(key, functions["exp"], exponents)
    return law(terms, None, shift[..., 0] + unit)


def log_partition(work: Work, instruction: Instruction) -> Part:
    law = _law(work, instruction)
    total = law.total(work)
    (shift, value), axes = work.common(law.shift, total)
    return Part(shift + work.xp.log(value / law.scale), axes)


def _mean(work: Work, law: _Law, use: Use) -> Part:
    """`E_p[h]`; exactly h where it does not depend on the atom."""
    if law.weight.over not in use.axes:
        return work.part(use)
    return law.mean(work, _contract(work, law.weight, use))


def cumulant(work: Work, instruction: Instruction) -> Part:
    law, slots = _law(work, instruction), instruction.operands[1:]
    means = [_mean(work, law, use) for use in slots]
    if len(slots) == 1:
        return means[0]
    ranks = _ranks(work, list(slots))
    moments = _Moments(work, law, slots, means, ranks)
    return work.sum(*(moments.product(blocks) for blocks in central_blocks(len(slots))))


@dataclass(frozen=True, slots=True)
class _Moments:
    """Central moments of the slots of a cumulant, with tensor slots first."""

    work: Work
    law: _Law
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
        weight = self.law.weight.times(work, *scalars)
        if not tensors:
            sums = weight.sum(work)
        elif len(tensors) == 1:
            sums = self.against(weight, tensors[0])
        elif self.slots[tensors[1]].axes == (weight.over,):
            sums = self.against_atoms(self.raised(weight, tensors[0]), tensors[1])
        else:
            sums = self.row_by_row(self.raised(weight, tensors[0]), tensors[1])
        return self.law.mean(work, sums)

    def centred(self, k: int) -> Part:
        (value, mean), axes = self.work.common(self.work.part(self.slots[k]), self.means[k])
        return Part(value - mean, axes)

    def raised(self, weight: Weight, k: int) -> Weight:
        """weight * (slot k - its mean), a vector with the atoms last."""
        work, run = self.work, self.work.run
        assert weight.part is not None
        parts = weight.part, self.means[k], work.part(self.slots[k])
        (w, mean, value), axes = work.common(*parts, rows_first=True)
        # In one place of memory: the traffic of a (d, rows, n) array is what costs.
        key, room = ("raised", work.index, k), run.workspace
        centred = room.apply(key, run.functions["sub"], value, mean)
        part = Part(room.apply(key, run.functions["mul"], centred, w), axes)
        return Weight(last(work, part, weight.over), weight.base, weight.over)

    def against(self, weight: Weight, k: int) -> Part:
        """The sum of weight * (slot k - its mean) for a scalar weight."""
        work = self.work
        raw = _contract(work, weight, self.slots[k])
        rest = work.product(weight.sum(work), self.means[k])
        (a, b), axes = work.common(raw, rest)
        return Part(a - b, axes)

    def row_by_row(self, weight: Weight, k: int) -> Part:
        """The same for a vector weight, one component after the other."""
        assert weight.part is not None
        array, axes = weight.part.array, weight.part.axes
        rows = [
            self.against(Weight(Part(array[i, ...], axes), weight.base, weight.over), k)
            for i in range(array.shape[0])
        ]
        arrays, axes = self.work.common(*rows)
        return Part(self.work.xp.stack(arrays, axis=0), axes)

    def against_atoms(self, weight: Weight, k: int) -> Part:
        """The same for a vector weight (d, ..., n) and a slot (d', n): one matrix product."""
        assert weight.part is not None
        work, xp, array = self.work, self.work.xp, weight.part.array
        matrix = weight.matrix(work, self.slots[k])
        flat = xp.reshape(array, (-1, array.shape[-1]))
        sums = xp.matmul(flat, xp.permute_dims(matrix, (1, 0)))
        sums = xp.reshape(sums, (*array.shape[:-1], matrix.shape[0]))
        sums = xp.permute_dims(sums, (0, sums.ndim - 1, *range(1, sums.ndim - 1)))
        axes = weight.part.axes[:-1]
        mean = aligned(xp, self.means[k], axes)
        return Part(sums[:, :-1, ...] - sums[:, -1:, ...] * mean[None, ...], axes)
