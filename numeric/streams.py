"""Vectors of pairs made one component at a time, where they enter inner products and sums.

A vector for every pair of a tile fills the caches with its components, and each is needed once. Of
one component after the other only two arrays of pairs exist, its own and the sum so far.
"""

from typing import Any

from .parts import Part
from .program import Axis, Use
from .schedule import operand_row
from .tiles import Work

Made = dict[tuple[int, Axis | None], Part]


def component(work: Work, use: Use, k: int, made: Made, key: Any = None) -> Part:
    """Component k of a vector, out of those of its operands where it is made by components.

    `made` holds what there is of the same k. It is made in the memory of `key`, or its own.
    """
    run, index, row = work.run, use.index, operand_row(work.run.program, use, work.row)
    if index not in run.uses.streamed or work.tile.is_whole(index):
        part = work.part(use)
        return Part(part.array[k, ...], part.axes)
    inner = Work(work.tile, index, row)
    if (index, row) not in made:
        ranks = [run.program.instructions[o.index].rank for o in inner.instruction.operands]
        parts = [
            component(inner, operand, k, made) if rank else inner.part(operand)
            for operand, rank in zip(inner.instruction.operands, ranks, strict=True)
        ]
        arrays, axes = inner.common(*parts, rows_first=True)
        function, key = run.functions[inner.instruction.op], key or (index, row, "component")
        made[index, row] = Part(run.workspace.apply(key, function, *arrays), axes)
    part = made[index, row]
    names = dict(zip(inner.instruction.axes, use.axes, strict=True))
    return Part(part.array, tuple(names[axis] for axis in part.axes))


def inner_product(work: Work, u: Use, v: Use) -> Part:
    """The sum over the components of a product of two vectors of pairs."""
    run, total, key = work.run, None, work.key
    for k in range(run.shapes[u.index][0]):
        made: Made = {}
        left = component(work, u, k, made, key if total is None else None)
        right = left if u == v else component(work, v, k, made)
        arrays, axes = work.common(left, right, rows_first=True)
        multiply, add = run.functions["mul"], run.functions["add"]
        if total is None:
            total = Part(run.workspace.apply(key, multiply, *arrays), axes)
            continue
        # A component is done with here: its product takes its memory.
        place = u.index, operand_row(run.program, u, work.row), "component"
        place = place if run.workspace.holds(place, arrays[0]) else (key and (key, "product"))
        product = run.workspace.apply(place, multiply, *arrays)
        total = Part(run.workspace.apply(key, add, total.array, product), axes)
    assert total is not None
    return total
