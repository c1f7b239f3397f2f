"""C lines for central moments over the atoms: after their means, or tile by tile with them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from .native_operations import Array, indented, lines_for
from .native_sums import Law, Loop, Mean, Task
from .program import Use

if TYPE_CHECKING:
    from .native_source import StepWriter


class Moment(Task):
    """`E_p` of the product of the centred slots of a block."""

    law: Law

    def __init__(
        self,
        step: StepWriter,
        law: Law,
        slots: tuple[Use, ...],
        means: list[Mean],
        block: tuple[int, ...],
    ):
        shape = tuple(size for k in block for size in step.shapes[slots[k].index])
        number = 1 + max(mean.number for mean in means)
        super().__init__(step, law.over, shape, number, law)
        self.slots, self.means, self.block = slots, means, block

    def centre(self, k: int) -> Array:
        return self.means[k].value()

    def centred(self, loop: Loop, k: int) -> Array:
        mean, value = self.centre(k), loop.value(self.slots[k], self.step.axis)
        result = self.step.declare(loop.lines, value.shape, "c", zero=False)
        loop.lines += lines_for(
            prod(value.shape), lambda c: f"{result.name}[{c}] = {value.at(c)} - {mean.at(c)};"
        )
        return result

    def accumulate(self, loop: Loop) -> None:
        weight = loop.weight(self.law, self.is_new(self.law))
        factors = [self.centred(loop, k) for k in self.block]
        scalars = [factor for factor in factors if not factor.shape]
        tensors = [factor for factor in factors if factor.shape]
        product = " * ".join([weight, *(factor.at(0) for factor in scalars)])
        name, tile = self.step.name("w"), self.tile.name
        loop.lines.append(f"const V {name} = {product};")
        if len(tensors) < 2:
            tensor = tensors[0] if tensors else None
            loop.lines += lines_for(
                prod(self.shape),
                lambda c: f"{tile}[{c}] += {name}{f' * {tensor.at(c)}' if tensor else ''};",
            )
        else:
            loop.lines += _outer_sum(tile, name, *tensors)


class TileMoment(Moment):
    """A second moment in the pass that makes its means: within a tile about the means of the tile.

    With W, m and M of the tiles before and W', m', M' of this one, all of the same scale,

        M + M' + W W' / (W + W') (m' - m)(m' - m)^T

    is the moment of both about their own mean (Chan, Golub & LeVeque 1979), and nothing cancels.
    """

    def __init__(
        self,
        step: StepWriter,
        law: Law,
        slots: tuple[Use, ...],
        means: list[Mean],
        block: tuple[int, ...],
    ):
        super().__init__(step, law, slots, means, block)
        self.number = law.made_in
        for k in block:
            means[k].of_tile()

    def centre(self, k: int) -> Array:
        return self.means[k].of_tile()

    def merge(self, symmetric: bool = False) -> list[str]:
        """What the distance of the means adds."""
        if not all(self.means[k].is_of_atoms for k in self.block):
            return []
        assert self.total is not None
        total, law = self.total.name, self.law.name
        left, right = (f"{self.centre(k).name}_off" for k in self.block)
        ranks = [len(self.centre(k).shape) for k in self.block]
        if sum(ranks) < 2 or 0 in ranks:
            places = ["{c}" if rank else "0" for rank in ranks]
            factors = " * ".join(
                f"{name}[{place}]" for name, place in zip((left, right), places, strict=True)
            )
            return lines_for(
                prod(self.shape),
                lambda c: f"{total}[{c}] += {law}_between * {factors.format(c=c)};",
            )
        rows, columns = self.shape
        begin = "a" if symmetric else "0"
        return [
            f"for (int a = 0; a < {rows}; ++a) for (int b = {begin}; b < {columns}; ++b)",
            f"  {total}[a * {columns} + b] += {law}_between * {left}[a] * {right}[b];",
        ]

    def fold(self, scale: str | None) -> list[str]:
        return [*super().fold(scale), *self.merge()]


def moment_lines(tasks: list[TileMoment]) -> list[str]:
    """What moments of a tile are centred and weighed with."""
    step, laws = tasks[0].step, {task.law.name: task.law for task in tasks}
    means = {task.means[k].tile.name: task.means[k] for task in tasks for k in task.block}
    lines: list[str] = []
    for name, law in laws.items():
        before, part = f"({name}_sum * {name}_scale)", step.tile_total(law)
        both = f"vmax({before} + {part}, SPLAT(TINY))"
        lines += step.tile_array(f"{name}_between", 0)
        lines.append(f"{name}_between = {before} * ({part} / {both});")
    for mean in means.values():
        lines += mean.centre_lines() if mean.is_of_atoms else []
    return lines


def _outer_sum(tile: str, weight: str, left: Array, right: Array) -> list[str]:
    (rows,), (columns,) = left.shape, right.shape
    return [
        f"for (int a = 0; a < {rows}; ++a) {{",
        f"  const V u = {weight} * {left.at('a')};",
        *indented(
            lines_for(columns, lambda c: f"{tile}[a * {columns} + {c}] += u * {right.at(c)};", "b")
        ),
        "}",
    ]
