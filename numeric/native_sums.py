"""C lines for sums over the atoms: the loop over atoms, and what is added up in it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from .native_operations import (
    FEW,
    Array,
    Unsupported,
    lines_for,
    sum_of_products,
)
from .program import Axis, Instruction, Use, value_operands
from .schedule import operand_row
from .shapes import Shape

if TYPE_CHECKING:
    from .native_source import StepWriter

TILE = 64
"""Atoms in a tile: their exponents stay in the first-level cache."""


@dataclass(frozen=True, slots=True)
class Law:
    """The name of a Gibbs law within a step, what its energy is, and the pass that makes it."""

    name: str
    energy: Use
    over: Axis
    made_in: int


def reduced_axis(instruction: Instruction) -> Axis:
    assert instruction.over is not None
    return instruction.over


class Loop:
    """The lines for one atom j, and the pairs that they have made so far."""

    def __init__(self, step: StepWriter, owner: str):
        self.step, self.owner = step, owner
        self.lines: list[str] = []
        self.made: dict[tuple[int, Axis | None], Array] = {}
        self.weights: dict[str, str] = {}

    def value(self, use: Use, row: Axis | None) -> Array:
        """An operand of an instruction that calls the axis of the rows `row`."""
        step, inner = self.step, operand_row(self.step.program, use, row)
        instruction = step.program.instructions[use.index]
        others = [axis for axis in instruction.axes if axis != inner]
        if not others:
            return step.row_value(use.index)
        if len(instruction.axes) == 1:
            return self.atom(use.index)
        return self.pair(use.index, inner)

    def atom(self, index: int) -> Array:
        """A value of the atom, read from a buffer with the atoms first."""
        step, n = self.step, self.step.tables.components(index)
        array = Array(f"a{index}", step.shapes[index], False)
        key = index, None
        if key not in self.made:
            self.made[key] = array
            source = step.tables.slot("atom", index)
            self.lines.append(f"const T *{array.name} = {source} + j * {n};")
        return self.made[key]

    def pair(self, index: int, row: Axis | None) -> Array:
        key = index, row
        if key not in self.made:
            instruction = self.step.program.instructions[index]
            if instruction.over is not None:
                raise Unsupported("a reduction inside a pair")
            self.made[key] = self.inverse_root(instruction, row) or self.computed(index, row)
        return self.made[key]

    def computed(self, index: int, row: Axis | None) -> Array:
        instruction = self.step.program.instructions[index]
        operands = [self.value(use, row) for use in value_operands(instruction)]
        return self.step.compute(self.lines, index, operands)

    def inverse_root(self, instruction: Instruction, row: Axis | None) -> Array | None:
        """`(c + |u|^2)^(-1/2)` for positive c and few components, which are added to c in turn.

        So every square is one operation with its sum. Each of the roundings moves the base by one
        unit of itself, all terms being positive, and the value by half of one: with the root that
        is within what the rounding bound has for a power.
        """
        step = self.step
        if instruction.op != "power" or str(instruction.attributes[0]) != "-1/2":
            return None
        (base,) = instruction.operands
        terms = self.only_for_one(base, "add")
        if len(terms) != 2:
            return None
        inner = operand_row(step.program, base, row)
        for constant, other in (terms, terms[::-1]):
            factors = self.only_for_one(other, "dot")
            if not step.is_positive(constant.index) or len(set(factors)) != 1:
                continue
            u = self.value(factors[0], operand_row(step.program, other, inner))
            if u.shape[0] <= FEW:
                result = step.declare(self.lines, (), zero=False)
                start = step.row_value(constant.index).at(0)
                root = step.inverse_root(f"{start} + {sum_of_products(u, u)}")
                self.lines.append(f"{result.name}[0] = {root};")
                return result
        return None

    def only_for_one(self, use: Use, op: str) -> tuple[Use, ...]:
        """The operands of a pair that is the operation and has one reader; none otherwise."""
        instruction = self.step.program.instructions[use.index]
        alone = self.step.tables.readers[use.index] == 1 and len(instruction.axes) == 2
        return instruction.operands if alone and instruction.op == op else ()

    def exponent(self, law: Law) -> str:
        logs = self.step.tables.slot("logs", self.owner)
        factors = self.inner_product(law)
        if factors is not None:
            return f"{logs}[j] + {sum_of_products(*factors)}"
        energy = self.value(law.energy, self.step.axis)
        return f"{energy.at(0)} * LOG2E + {logs}[j]"

    def inner_product(self, law: Law) -> tuple[Array, Array] | None:
        """The factors of an energy that is an inner product of a row with an atom and nothing else.

        The one of the row is in powers of two: it is multiplied by log2 e once, before the atoms.
        """
        step, index = self.step, law.energy.index
        instruction = step.program.instructions[index]
        if instruction.op != "dot" or not step.tables.is_energy_alone(index):
            return None
        row = operand_row(step.program, law.energy, step.axis)
        for left, right in (instruction.operands, instruction.operands[::-1]):
            if step.is_of_row(left, row) and step.is_of_atom(right, row):
                atom = self.atom(right.index)
                return (step.scaled(left.index), atom) if atom.shape[0] <= FEW else None
        return None

    def weight(self, law: Law, new: bool) -> str:
        """`exp(s + log w - maximum)` of this atom."""
        if law.name not in self.weights:
            exponent = f"{law.name}_exponents[j - j0]" if new else self.exponent(law)
            name = self.weights[law.name] = f"{law.name}_weight"
            self.lines.append(f"V {name} = {exponent} - {law.name}_top;")
            self.lines.append(f"{name} = vexp2_nonpositive({name});")
        return self.weights[law.name]


class Task:
    """A sum over the atoms: its total, and the part of a tile."""

    def __init__(self, step: StepWriter, over: Axis, shape: Shape, number: int, law: Law | None):
        self.step, self.over, self.shape, self.number, self.law = step, over, shape, number, law
        self.total: Array | None = None
        self.tile = Array(step.name("t"), shape, True)
        self.made: Array | None = None

    def start(self) -> None:
        self.total = self.step.declare(self.step.body, self.shape, "sum")

    def zero_tile(self) -> list[str]:
        self.step.stack += prod(self.shape)
        return [f"V {self.tile.name}[{prod(self.shape)}] = {{{{0}}}};"]

    def accumulate(self, loop: Loop) -> None:
        raise NotImplementedError

    def scale(self, new: list[Law]) -> str | None:
        """What the sum so far is multiplied by when the maximum of its law has grown."""
        names = [law.name for law in new]
        return f"{self.law.name}_scale" if self.law and self.law.name in names else None

    def fold(self, scale: str | None) -> list[str]:
        assert self.total is not None
        total, tile = self.total.name, self.tile.name
        if scale is None:
            return lines_for(prod(self.shape), lambda c: f"{total}[{c}] += {tile}[{c}];")
        return lines_for(
            prod(self.shape), lambda c: f"{total}[{c}] = {total}[{c}] * {scale} + {tile}[{c}];"
        )

    def is_new(self, law: Law) -> bool:
        return law.made_in == self.number

    def value(self) -> Array:
        """The sum, divided by the total of its law."""
        assert self.total is not None
        if self.law is None:
            return self.total
        if self.made is None:
            step, total = self.step, self.total
            made = self.made = step.declare(step.body, self.shape, zero=False)
            step.body += lines_for(
                prod(self.shape),
                lambda c: f"{made.name}[{c}] = {total.name}[{c}] / {self.law.name}_sum;",  # pyright: ignore
            )
        return self.made


class Total(Task):
    """The total of a new law."""

    law: Law

    def __init__(self, step: StepWriter, law: Law):
        super().__init__(step, law.over, (), law.made_in, law)

    def start(self) -> None:
        self.total = Array(f"{self.law.name}_sums", (), True)

    def accumulate(self, loop: Loop) -> None:
        loop.lines.append(f"{self.tile.name}[0] += {loop.weight(self.law, True)};")

    def fold(self, scale: str | None) -> list[str]:
        name = self.law.name
        return [f"{name}_sum = {name}_sum * {scale} + {self.tile.name}[0];"]


class IntegralSum(Task):
    """`sum_j w_j h_j`."""

    def __init__(self, step: StepWriter, body: Use, over: Axis):
        super().__init__(step, over, step.shapes[body.index], 0, None)
        self.body = body

    def accumulate(self, loop: Loop) -> None:
        weight = f"{self.step.tables.slot('weights', self.over.owner)}[j]"
        value, scalars = self.factored(loop)
        if scalars:
            name = self.step.name("w")
            loop.lines.append(f"const V {name} = {' * '.join([weight, *scalars])};")
            weight = name
        loop.lines += lines_for(
            prod(self.shape), lambda c: f"{self.tile.name}[{c}] += {weight} * {value.at(c)};"
        )

    def factored(self, loop: Loop) -> tuple[Array, list[str]]:
        """The integrand as a tensor and scalar factors, which join the weight."""
        step, row = self.step, self.step.axis
        instruction = step.program.instructions[self.body.index]
        operands = value_operands(instruction)
        ranks = [step.program.instructions[use.index].rank for use in operands]
        if instruction.op != "mul" or sum(rank > 0 for rank in ranks) != 1 or len(ranks) < 2:
            return loop.value(self.body, row), []
        inner = operand_row(step.program, self.body, row)
        values = [loop.value(use, inner) for use in operands]
        scalars = [v.at(0) for v, rank in zip(values, ranks, strict=True) if not rank]
        (tensor,) = [v for v, rank in zip(values, ranks, strict=True) if rank]
        return tensor, scalars


class Largest(Task):
    """The largest of the values of the atoms, of each component by itself; NaN stays."""

    def __init__(self, step: StepWriter, body: Use, over: Axis):
        super().__init__(step, over, step.shapes[body.index], 0, None)
        self.body = body

    def start(self) -> None:
        total = self.total = self.step.declare(self.step.body, self.shape, "sum", zero=False)
        self.step.body += lines_for(
            prod(self.shape), lambda c: f"{total.name}[{c}] = SPLAT(-INFINITY);"
        )

    def zero_tile(self) -> list[str]:
        n, tile = prod(self.shape), self.tile.name
        self.step.stack += n
        return [f"V {tile}[{n}];", *lines_for(n, lambda c: f"{tile}[{c}] = SPLAT(-INFINITY);")]

    def accumulate(self, loop: Loop) -> None:
        value = loop.value(self.body, self.step.axis)
        self.raise_to(loop.lines, self.tile, value)

    def fold(self, scale: str | None) -> list[str]:
        lines: list[str] = []
        assert self.total is not None
        self.raise_to(lines, self.total, self.tile)
        return lines

    def raise_to(self, lines: list[str], largest: Array, value: Array) -> None:
        """Lines that replace numbers by larger ones."""
        name = largest.name
        lines += lines_for(
            prod(self.shape), lambda c: f"{name}[{c}] = vlargest({value.at(c)}, {name}[{c}]);"
        )


class Mean(Task):
    """`E_p[h]`; h itself where it does not depend on the atom."""

    law: Law

    def __init__(self, step: StepWriter, law: Law, slot: Use, number: int):
        super().__init__(step, law.over, step.shapes[slot.index], number, law)
        self.slot = slot
        self.centre: Array | None = None

    def accumulate(self, loop: Loop) -> None:
        value = loop.value(self.slot, self.step.axis)
        weight = loop.weight(self.law, self.is_new(self.law))
        loop.lines += lines_for(
            prod(self.shape), lambda c: f"{self.tile.name}[{c}] += {weight} * {value.at(c)};"
        )

    @property
    def is_of_atoms(self) -> bool:
        return self.law.over in self.slot.axes

    def value(self) -> Array:
        if not self.is_of_atoms:
            return self.step.row_value(self.slot.index)
        return super().value()

    def zero_tile(self) -> list[str]:
        if not self.centre:
            return super().zero_tile()
        return self.step.tile_array(self.tile.name, prod(self.shape), zero=True)

    def of_tile(self) -> Array:
        """The mean of a tile, about which moments of the tile are taken."""
        if not self.is_of_atoms:
            return self.value()
        if self.centre is None:
            self.centre = Array(self.step.name("t"), self.shape, True)
        return self.centre

    def centre_lines(self) -> list[str]:
        """The mean of the tile, and by how much it is off that of the tiles before."""
        assert self.centre is not None and self.total is not None
        n, law, centre, total = prod(self.shape), self.law.name, self.centre.name, self.total.name
        part, least, tile = self.step.tile_total(self.law), "SPLAT(TINY)", self.tile.name
        return [
            *self.step.tile_array(centre, n),
            *self.step.tile_array(f"{centre}_off", n),
            *lines_for(n, lambda c: f"{centre}[{c}] = {tile}[{c}] / vmax({part}, {least});"),
            *lines_for(
                n,
                lambda c: (
                    f"{centre}_off[{c}] = {centre}[{c}] - {total}[{c}] / vmax({law}_sum, {least});"
                ),
            ),
        ]
