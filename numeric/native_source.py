"""C text for a program: one function a step of its schedule, rows in the lanes of vectors.

A step runs over its rows in vectors, and for each vector of rows over the atoms, in tiles. Row
values stay in registers; values of an atom are read as numbers and broadcast; pairs exist for one
atom at a time. Reductions that need one another are passes over the atoms, one after the other:

    pass 1    the exponents of a Gibbs law, its running maximum and total, means, integrals
    pass 2    what needs those: central moments, integrals of exp(s - log Z), ...

Sums are first made within a tile and then added up, which keeps the error of long sums small.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from .native_moments import Moment, TileMoment, moment_lines
from .native_operations import (
    Array,
    Unsupported,
    indented,
    lines_for,
    number_text,
    operation,
    starts_at_zero,
)
from .native_sums import (
    TILE,
    IntegralSum,
    Largest,
    Law,
    Loop,
    Mean,
    Task,
    Total,
    reduced_axis,
)
from .program import LIKE, Axis, Instruction, Program, Use, value_operands
from .reference import central_blocks, float_constant
from .schedule import Step, operand_row, schedule
from .shapes import Shape

MOST_KEPT = 2 ** (21 if sys.platform == "linux" else 19) // 64
"""Vectors that a function may keep: they lie on the stack, and the longest have 64 bytes."""

GIVEN = ("point", "atoms", "parameter")


@dataclass(frozen=True, slots=True)
class Kernel:
    """The text of a program's kernel and how it is called.

    `slots` names the buffers in the order in which the functions take them: ("row", index) with
    the components first, ("atom", index) with the atoms first, ("global", index), and for each
    measure ("weights", owner), ("logs", owner), ("unit", owner). `counts` are the axes whose
    lengths they take. Function k makes step k.
    """

    text: str
    slots: tuple[tuple[str, int | str], ...]
    counts: tuple[Axis, ...]


def render(program: Program, shapes: tuple[Shape, ...]) -> Kernel:
    """The kernel of a program for given component shapes.

    Raises:
        Unsupported: a value of three axes, a function without a C form, or too many components.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> x, y = builder.point("x"), builder.atoms("mu", Axis("mu", 0))
    >>> mean = builder.emit("cumulant", builder.emit("dot", x, y), y, over=Axis("mu", 0))
    >>> kernel = render(builder.program(mean), ((3,), (3,), (), (3,)))
    >>> "vexp2_nonpositive" in kernel.text
    True
    """
    tables = Tables(program, shapes)
    functions = [
        StepWriter(tables, step).function(number)
        for number, step in enumerate(schedule(program).steps)
    ]
    return Kernel("\n".join(functions), tuple(tables.slots), tuple(tables.counts))


class Tables:
    """What the functions of a kernel share: the program and the numbering of buffers."""

    def __init__(self, program: Program, shapes: tuple[Shape, ...]):
        self.program, self.shapes, self.rows = program, shapes, schedule(program).rows
        self.slots: dict[tuple[str, int | str], int] = {}
        self.counts: dict[Axis, int] = {}
        members = [program.instructions[index] for index in program.needed()]
        self.readers = Counter(use.index for member in members for use in member.operands)
        laws = [member for member in members if member.op in ("cumulant", "log_partition")]
        self.energies = Counter(member.operands[0].index for member in laws)
        for index in program.needed():
            instruction = program.instructions[index]
            kept = index in self.rows
            if len(instruction.axes) > 2 or (
                kept and len(instruction.axes) > 1 and index != program.result.index
            ):
                raise Unsupported(f"a value of the axes {', '.join(map(str, instruction.axes))}")

    def slot(self, kind: str, name: int | str) -> str:
        return f"B[{self.slots.setdefault((kind, name), len(self.slots))}]"

    def count(self, axis: Axis) -> str:
        axis = Axis(axis.owner, 0 if axis.is_atoms else -1)
        return f"N[{self.counts.setdefault(axis, len(self.counts))}]"

    def components(self, index: int) -> int:
        return prod(self.shapes[index])

    def is_energy_alone(self, index: int) -> bool:
        """Whether every reader of a value takes it for the energy of a Gibbs law."""
        return self.readers[index] == self.energies[index]


class StepWriter:
    """The C function of one step."""

    centres_tiles = False
    """Whether second moments are taken tile by tile, with the means; else after those."""

    def __init__(self, tables: Tables, step: Step):
        self.tables, self.step, self.axis = tables, step, step.axis
        self.program, self.shapes = tables.program, tables.shapes
        self.header: dict[str, str] = {}
        self.body: list[str] = []
        self.row_values: dict[int, Array] = {}
        self.scaled_values: dict[int, Array] = {}
        self.laws: dict[tuple, Law] = {}
        self.totals: dict[str, Total] = {}
        self.ready: dict[int, int] = {}
        self.tasks: dict[tuple[int, str], list[Task]] = {}
        self.means: dict[tuple, Mean] = {}
        self.makers: dict[int, Callable[[], Array]] = {}
        self.stack = 0
        self.names = 0

    # ---- the function

    def function(self, number: int) -> str:
        members = [index for index in self.step.members if not self.is_leaf(index)]
        for index in members:
            self.plan(index)
        for key in sorted(self.tasks, key=lambda key: (key[0], key[1])):
            self.write_pass(key[0], self.tasks[key])
        for index in members:
            self.store(index)
        if self.stack > MOST_KEPT:
            raise Unsupported("more components than fit on the stack")
        return "\n".join(
            [
                f"void step_{number}(T *const *B, const long *N, long begin, long end) {{",
                *(f"  {line}" for line in self.header.values()),
                "  for (long i = begin; i < end; i += LANES) {",
                *(f"    {line}" for line in self.body),
                "  }",
                "}",
            ]
        )

    def is_leaf(self, index: int) -> bool:
        """Whether the caller gives the value, or the text of the kernel does."""
        return self.program.instructions[index].op in GIVEN or self.is_written(index)

    def is_written(self, index: int) -> bool:
        op = self.program.instructions[index].op
        return (op == "constant" or op in LIKE) and index != self.program.result.index

    def is_positive(self, index: int) -> bool:
        """Whether a value is a constant above zero, and a normal number."""
        instruction = self.program.instructions[index]
        text = str(instruction.attributes[0]) if instruction.op == "constant" else "0"
        return float_constant(text) > 1e-300

    def inverse_root(self, number: str) -> str:
        """The power -1/2 of a positive number, for each atom in turn."""
        return f"1 / (vsqrt({number}))"

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def declare(
        self, lines: list[str], shape: Shape, prefix: str = "v", zero: bool = True
    ) -> Array:
        """A new array of vectors."""
        array = Array(self.name(prefix), shape, True)
        self.stack += prod(shape)
        lines.append(f"V {array.name}[{prod(shape)}]{' = {{0}}' if zero else ''};")
        return array

    def leading(self) -> str:
        """The distance between components in a buffer of rows: the rows, padded to vectors."""
        assert self.axis is not None
        self.header["rows"] = (
            f"const long rows = ({self.tables.count(self.axis)} + LANES - 1) / LANES * LANES;"
        )
        return "rows"

    def store(self, index: int) -> None:
        instruction, n = self.program.instructions[index], self.tables.components(index)
        if len(instruction.axes) == 2:
            return self.store_pairs(index)
        value = self.row_value(index)
        if self.axis is None:
            target = self.tables.slot("global", index)
            self.body += lines_for(n, lambda c: f"{target}[{c}] = {value.name}[{c}][0];")
        else:
            target, rows = self.tables.slot("row", index), self.leading()
            self.body += lines_for(
                n, lambda c: f"STORE({target} + {c} * {rows} + i, {value.at(c)});"
            )

    def store_pairs(self, index: int) -> None:
        """A result of two axes: a value for every row and every index of the other axis."""
        instruction, n = self.program.instructions[index], self.tables.components(index)
        (other,) = [axis for axis in instruction.axes if axis != self.axis]
        loop = Loop(self, other.owner)
        value = loop.pair(index, self.axis)
        target, rows = self.tables.slot("row", index), self.leading()
        count = self.tables.count(other)
        loop.lines += lines_for(
            n, lambda c: f"STORE({target} + ({c} * {count} + j) * {rows} + i, {value.at(c)});"
        )
        self.body += [f"for (long j = 0; j < {count}; ++j) {{", *indented(loop.lines), "}"]

    # ---- which pass makes what

    def plan(self, index: int) -> int:
        """The pass after which a member is ready, having noted what has to be summed for it."""
        if index in self.ready:
            return self.ready[index]
        instruction = self.program.instructions[index]
        if instruction.op in ("integral", "supremum"):
            ready = self.plan_integral(index, instruction)
        elif instruction.op == "log_partition":
            law = self.law(instruction)
            ready = law.made_in
            self.makers[index] = lambda: self.log_partition(law)
        elif instruction.op == "cumulant":
            ready = self.plan_cumulant(index, instruction)
        else:
            uses = value_operands(instruction)
            ready = max((self.needs(use, self.axis) for use in uses), default=0)
        self.ready[index] = ready
        return ready

    def needs(self, use: Use, row: Axis | None) -> int:
        """The pass after which all row values that an operand reads are ready."""
        index, inner = use.index, operand_row(self.program, use, row)
        if index in self.tables.rows:
            same = index in self.step.members and inner == self.axis and not self.is_leaf(index)
            return self.plan(index) if same and (inner is not None or self.axis is None) else 0
        operands = value_operands(self.program.instructions[index])
        return max((self.needs(operand, inner) for operand in operands), default=0)

    def add_task(self, number: int, over: Axis, task: Task) -> None:
        self.tasks.setdefault((number, over.owner), []).append(task)

    def plan_integral(self, index: int, instruction: Instruction) -> int:
        (body,), over = instruction.operands, reduced_axis(instruction)
        number = 1 + self.needs(body, self.axis)
        task = (Largest if instruction.op == "supremum" else IntegralSum)(self, body, over)
        self.add_task(number, over, task)
        self.makers[index] = task.value
        return number

    def law(self, instruction: Instruction) -> Law:
        energy, over = instruction.operands[0], reduced_axis(instruction)
        key = energy.index, operand_row(self.program, energy, self.axis), over.owner
        if key not in self.laws:
            made_in = 1 + self.needs(energy, self.axis)
            law = Law(self.name("law"), energy, over, made_in)
            self.laws[key] = law
            self.totals[law.name] = Total(self, law)
            self.add_task(made_in, over, self.totals[law.name])
        return self.laws[key]

    def plan_cumulant(self, index: int, instruction: Instruction) -> int:
        law, slots = self.law(instruction), instruction.operands[1:]
        means = [self.mean(law, slot) for slot in slots]
        ready = max(mean.number for mean in means)
        if len(slots) == 1:
            self.makers[index] = means[0].value
            return ready
        tasks = {}
        for block in {block for blocks in central_blocks(len(slots)) for block in blocks}:
            in_tile = self.centres_tiles and len(slots) == 2 and ready == law.made_in
            tasks[block] = (TileMoment if in_tile else Moment)(self, law, slots, means, block)
            self.add_task(tasks[block].number, law.over, tasks[block])
        shape = self.shapes[index]
        self.makers[index] = lambda: self.cumulant(tasks, slots, shape)
        return max(task.number for task in tasks.values())

    def mean(self, law: Law, slot: Use) -> Mean:
        key = law.name, slot.index, operand_row(self.program, slot, self.axis)
        if key not in self.means:
            number = self.needs(slot, self.axis)
            if law.over in slot.axes:
                number = max(law.made_in, 1 + number)
            self.means[key] = Mean(self, law, slot, number)
            if law.over in slot.axes:
                self.add_task(number, law.over, self.means[key])
        return self.means[key]

    # ---- row values

    def row_value(self, index: int) -> Array:
        """A value of this row, or of no axis, made when it is first asked for."""
        if index not in self.row_values:
            self.row_values[index] = self.new_row_value(index)
        return self.row_values[index]

    def new_row_value(self, index: int) -> Array:
        instruction = self.program.instructions[index]
        if self.is_written(index):
            return self.written(index, instruction)
        if index not in self.step.members or self.is_leaf(index):
            return self.loaded(index)
        if index in self.makers:
            return self.makers[index]()
        operands = [self.row_value(use.index) for use in value_operands(instruction)]
        return self.compute(self.body, index, operands)

    def written(self, index: int, instruction: Instruction) -> Array:
        if instruction.op == "constant":
            value = float(float_constant(str(instruction.attributes[0])))
            return Array("", (), False, number_text(value))
        return self.compute(self.body, index, [])

    def loaded(self, index: int) -> Array:
        """A value that an earlier step or the caller has made."""
        shape, n = self.shapes[index], self.tables.components(index)
        if not self.program.instructions[index].axes:
            array = Array(f"g{index}", shape, False)
            self.header[array.name] = (
                f"const T *{array.name} = {self.tables.slot('global', index)};"
            )
            return array
        array, rows = self.declare(self.body, shape, "r", zero=False), self.leading()
        source = self.tables.slot("row", index)
        self.body += lines_for(
            n, lambda c: f"{array.name}[{c}] = LOAD({source} + {c} * {rows} + i);"
        )
        return array

    def scaled(self, index: int) -> Array:
        """A row value times log2 e, made once."""
        if index not in self.scaled_values:
            value, n = self.row_value(index), self.tables.components(index)
            result = self.declare(self.body, value.shape, zero=False)
            self.body += lines_for(n, lambda c: f"{result.name}[{c}] = LOG2E * {value.at(c)};")
            self.scaled_values[index] = result
        return self.scaled_values[index]

    def is_of_row(self, use: Use, row: Axis | None) -> bool:
        """Whether an operand of an instruction with the rows `row` depends on them alone."""
        axes = self.program.instructions[use.index].axes
        return row is not None and axes == (operand_row(self.program, use, row),)

    def is_of_atom(self, use: Use, row: Axis | None) -> bool:
        axes = self.program.instructions[use.index].axes
        inner = operand_row(self.program, use, row)
        return inner is None and len(axes) == 1 and axes[0].is_atoms

    def compute(self, lines: list[str], index: int, operands: list[Array]) -> Array:
        instruction = self.program.instructions[index]
        zero = starts_at_zero(instruction.op, operands)
        result = self.declare(lines, self.shapes[index], zero=zero)
        lines += operation(instruction, result, operands, self.shapes, index)
        return result

    # ---- sums over the atoms

    def write_pass(self, number: int, tasks: list[Task]) -> None:
        new = [task.law for task in tasks if isinstance(task, Total)]
        over = tasks[0].over
        loop = Loop(self, over.owner)
        for law in new:
            self.body.append(f"V {law.name}_top = SPLAT(-HUGE_EXPONENT), {law.name}_sum = {{0}};")
        scaling = self.write_exponents(new, over)
        for task in tasks:
            task.start()
        moments = [task for task in tasks if isinstance(task, TileMoment)]
        for task in tasks:
            if not isinstance(task, TileMoment):
                task.accumulate(loop)
        tasks = [*moments, *(task for task in tasks if not isinstance(task, TileMoment))]
        zeros = [line for task in tasks for line in task.zero_tile()]
        folds = [line for task in tasks for line in task.fold(task.scale(new))]
        centred = self.centred_moments(moments, loop, over)
        count = self.tables.count(over)
        self.body += [
            f"for (long j0 = 0; j0 < {count}; j0 += {TILE}) {{",
            f"  const long j1 = j0 + {TILE} < {count} ? j0 + {TILE} : {count};",
            *indented(scaling),
            *indented(zeros),
            "  for (long j = j0; j < j1; ++j) {",
            *indented(indented(loop.lines)),
            "  }",
            *indented(centred),
            *indented(folds),
            "}",
        ]

    def centred_moments(self, moments: list[TileMoment], loop: Loop, over: Axis) -> list[str]:
        """The second loop over the atoms of a tile, about the means that the first has made."""
        if not moments:
            return []
        second = Loop(self, over.owner)
        for law in {task.law.name: task.law for task in moments}.values():
            place = f"{law.name}_exponents[j - j0]"
            loop.lines.append(f"{place} = {loop.weight(law, True)};")
            second.weights[law.name] = place
        for task in moments:
            task.accumulate(second)
        loop_lines = ["for (long j = j0; j < j1; ++j) {", *indented(second.lines), "}"]
        return [*moment_lines(moments), *loop_lines]

    def tile_total(self, law: Law) -> str:
        """The weight of a tile."""
        return f"{self.totals[law.name].tile.name}[0]"

    def tile_array(self, name: str, n: int, zero: bool = False) -> list[str]:
        """Declares what a tile has, a single one where n is zero."""
        size = f"[{n}]" if n else ""
        return [f"V {name}{size}{' = {{0}}' if zero else ''};"]

    def write_exponents(self, laws: list[Law], over: Axis) -> list[str]:
        """The exponents of a tile, and the change of scale that its maximum asks for."""
        if not laws:
            return []
        loop = Loop(self, over.owner)
        lines: list[str] = []
        for law in laws:
            lines.append(f"V {law.name}_exponents[{TILE}], {law.name}_tile = {law.name}_top;")
            loop.lines += [
                f"{law.name}_exponents[j - j0] = {loop.exponent(law)};",
                f"{law.name}_tile = vmax({law.name}_exponents[j - j0], {law.name}_tile);",
            ]
        lines += ["for (long j = j0; j < j1; ++j) {", *indented(loop.lines), "}"]
        for law in laws:
            lines += [
                f"const V {law.name}_scale = vexp2_nonpositive({law.name}_top - {law.name}_tile);",
                f"{law.name}_top = {law.name}_tile;",
            ]
        return lines

    def log_partition(self, law: Law) -> Array:
        value = self.declare(self.body, ())
        unit = self.tables.slot("unit", law.over.owner)
        total = f"{law.name}_top * LN2 + ({unit}[0] + vlog({law.name}_sum))"
        self.body.append(f"{value.name}[0] = {total};")
        return value

    def cumulant(self, tasks: dict, slots: tuple[Use, ...], shape: Shape) -> Array:
        """The sum over partitions of signed products of central moments."""
        moments = {block: task.value() for block, task in tasks.items()}
        result = self.declare(self.body, shape)
        ranks = [self.program.instructions[slot.index].rank for slot in slots]
        for blocks in central_blocks(len(slots)):
            factor = (-1) ** (len(blocks) - 1) * prod(range(1, len(blocks)))
            places = [component_place(ranks, block) for block in blocks]

            def line(c: str, blocks=blocks, places=places, factor=factor) -> str:
                columns = shape[-1] if len(shape) == 2 else 1
                split = {"all": c, "row": f"({c}) / {columns}", "column": f"({c}) % {columns}"}
                terms = [
                    moments[block].at(split[place])
                    for block, place in zip(blocks, places, strict=True)
                ]
                return f"{result.name}[{c}] += {' * '.join([f'(T){factor}', *terms])};"

            self.body += lines_for(prod(shape), line)
        return result


def component_place(ranks: list[int], block: tuple[int, ...]) -> str:
    """Which components of a cumulant a moment has: all, or those of one of two vector slots."""
    vectors = [k for k, rank in enumerate(ranks) if rank == 1]
    inside = [k for k in vectors if k in block]
    if len(vectors) < 2 or len(inside) != 1:
        return "all"
    return "row" if inside[0] == vectors[0] else "column"
