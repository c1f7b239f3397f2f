"""C text for a program: one function a step of its schedule, rows in the lanes of vectors.

A step runs over its rows in vectors, and for each vector of rows over the atoms, in tiles. Row
values stay in registers; values of an atom are read as numbers and broadcast; pairs exist for one
atom at a time. Reductions that need one another are passes over the atoms, one after the other:

    pass 1    the exponents of a Gibbs law, its running maximum and total, means, integrals
    pass 2    what needs those: central moments, integrals of exp(s - log Z), ...

Sums are first made within a tile and then added up, which keeps the error of long sums small.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from .program import CONDITIONS, LIKE, Axis, Instruction, Program, Use, value_operands
from .reference import central_blocks, float_constant, like
from .schedule import Step, operand_row, schedule
from .shapes import Shape

TILE = 64
_MOST_STACK_BYTES = 2**19
_LONGEST_VECTOR = 64

_GIVEN = ("point", "atoms", "parameter")
_FILLED = (*LIKE, "dot", "matvec", "matmul", "trace", "diagonal")
"""Operations that add to their result or leave zeros in it."""

_FUNCTIONS = {
    **{name: f"v{name}" for name in "exp log sin cos tan asin acos atan sinh cosh tanh".split()},
    **{name: f"v{name}" for name in "asinh acosh atanh atan2 erf erfc floor pow abs sign".split()},
    **{name: f"v{name}" for name in "heaviside sigmoid softplus max min".split()},
    "ceiling": "vceil",
}


class Unsupported(Exception):
    """A program that has no kernel; the message says why."""


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
    >>> "vexp_nonpositive" in kernel.text
    True
    """
    tables = _Tables(program, shapes)
    functions = [
        _StepWriter(tables, step).function(number)
        for number, step in enumerate(schedule(program).steps)
    ]
    return Kernel("\n".join(functions), tuple(tables.slots), tuple(tables.counts))


class _Tables:
    """What the functions of a kernel share: the program and the numbering of buffers."""

    def __init__(self, program: Program, shapes: tuple[Shape, ...]):
        self.program, self.shapes, self.rows = program, shapes, schedule(program).rows
        self.slots: dict[tuple[str, int | str], int] = {}
        self.counts: dict[Axis, int] = {}
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


@dataclass(frozen=True, slots=True)
class _Array:
    """A C array of components: vectors of rows, or numbers that are the same in every row."""

    name: str
    shape: Shape
    is_vector: bool
    literal: str | None = None

    def at(self, place: str | int) -> str:
        """A component as a vector; a scalar has the same one at every place."""
        if self.literal is not None:
            return f"SPLAT({self.literal})"
        element = f"{self.name}[{place if self.shape else 0}]"
        return element if self.is_vector else f"SPLAT({element})"


@dataclass(frozen=True, slots=True)
class _Law:
    """The name of a Gibbs law within a step, what its energy is, and the pass that makes it."""

    name: str
    energy: Use
    over: Axis
    made_in: int


class _StepWriter:
    """The C function of one step."""

    def __init__(self, tables: _Tables, step: Step):
        self.tables, self.step, self.axis = tables, step, step.axis
        self.program, self.shapes = tables.program, tables.shapes
        self.header: dict[str, str] = {}
        self.body: list[str] = []
        self.row_values: dict[int, _Array] = {}
        self.laws: dict[tuple, _Law] = {}
        self.ready: dict[int, int] = {}
        self.tasks: dict[tuple[int, str], list[_Task]] = {}
        self.means: dict[tuple, _Mean] = {}
        self.makers: dict[int, Callable[[], _Array]] = {}
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
        if self.stack * _LONGEST_VECTOR > _MOST_STACK_BYTES:
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
        return self.program.instructions[index].op in _GIVEN or self.is_written(index)

    def is_written(self, index: int) -> bool:
        op = self.program.instructions[index].op
        return (op == "constant" or op in LIKE) and index != self.program.result.index

    def name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def declare(
        self, lines: list[str], shape: Shape, prefix: str = "v", zero: bool = True
    ) -> _Array:
        """A new array of vectors."""
        array = _Array(self.name(prefix), shape, True)
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
            self.body += _loop(n, lambda c: f"{target}[{c}] = {value.name}[{c}][0];")
        else:
            target, rows = self.tables.slot("row", index), self.leading()
            self.body += _loop(n, lambda c: f"STORE({target} + {c} * {rows} + i, {value.at(c)});")

    def store_pairs(self, index: int) -> None:
        """A result of two axes: a value for every row and every index of the other axis."""
        instruction, n = self.program.instructions[index], self.tables.components(index)
        (other,) = [axis for axis in instruction.axes if axis != self.axis]
        loop = _Loop(self, other.owner)
        value = loop.pair(index, self.axis)
        target, rows = self.tables.slot("row", index), self.leading()
        count = self.tables.count(other)
        loop.lines += _loop(
            n, lambda c: f"STORE({target} + ({c} * {count} + j) * {rows} + i, {value.at(c)});"
        )
        self.body += [f"for (long j = 0; j < {count}; ++j) {{", *_indented(loop.lines), "}"]

    # ---- which pass makes what

    def plan(self, index: int) -> int:
        """The pass after which a member is ready, having noted what has to be summed for it."""
        if index in self.ready:
            return self.ready[index]
        instruction = self.program.instructions[index]
        if instruction.op == "integral":
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

    def add_task(self, number: int, over: Axis, task: "_Task") -> None:
        self.tasks.setdefault((number, over.owner), []).append(task)

    def plan_integral(self, index: int, instruction: Instruction) -> int:
        (body,), over = instruction.operands, _over(instruction)
        number = 1 + self.needs(body, self.axis)
        task = _Integral(self, body, over)
        self.add_task(number, over, task)
        self.makers[index] = task.value
        return number

    def law(self, instruction: Instruction) -> _Law:
        energy, over = instruction.operands[0], _over(instruction)
        key = energy.index, operand_row(self.program, energy, self.axis), over.owner
        if key not in self.laws:
            made_in = 1 + self.needs(energy, self.axis)
            law = _Law(self.name("law"), energy, over, made_in)
            self.laws[key] = law
            self.add_task(made_in, over, _Total(self, law))
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
            tasks[block] = _Moment(self, law, slots, means, block)
            self.add_task(ready + 1, law.over, tasks[block])
        shape = self.shapes[index]
        self.makers[index] = lambda: self.cumulant(tasks, slots, shape)
        return ready + 1

    def mean(self, law: _Law, slot: Use) -> "_Mean":
        key = law.name, slot.index, operand_row(self.program, slot, self.axis)
        if key not in self.means:
            number = self.needs(slot, self.axis)
            if law.over in slot.axes:
                number = max(law.made_in, 1 + number)
            self.means[key] = _Mean(self, law, slot, number)
            if law.over in slot.axes:
                self.add_task(number, law.over, self.means[key])
        return self.means[key]

    # ---- row values

    def row_value(self, index: int) -> _Array:
        """A value of this row, or of no axis, made when it is first asked for."""
        if index not in self.row_values:
            self.row_values[index] = self.new_row_value(index)
        return self.row_values[index]

    def new_row_value(self, index: int) -> _Array:
        instruction = self.program.instructions[index]
        if self.is_written(index):
            return self.written(index, instruction)
        if index not in self.step.members or self.is_leaf(index):
            return self.loaded(index)
        if index in self.makers:
            return self.makers[index]()
        operands = [self.row_value(use.index) for use in value_operands(instruction)]
        return self.compute(self.body, index, operands)

    def written(self, index: int, instruction: Instruction) -> _Array:
        if instruction.op == "constant":
            value = float(float_constant(str(instruction.attributes[0])))
            return _Array("", (), False, _number(value))
        return self.compute(self.body, index, [])

    def loaded(self, index: int) -> _Array:
        """A value that an earlier step or the caller has made."""
        shape, n = self.shapes[index], self.tables.components(index)
        if not self.program.instructions[index].axes:
            array = _Array(f"g{index}", shape, False)
            self.header[array.name] = (
                f"const T *{array.name} = {self.tables.slot('global', index)};"
            )
            return array
        array, rows = self.declare(self.body, shape, "r", zero=False), self.leading()
        source = self.tables.slot("row", index)
        self.body += _loop(n, lambda c: f"{array.name}[{c}] = LOAD({source} + {c} * {rows} + i);")
        return array

    def compute(self, lines: list[str], index: int, operands: list[_Array]) -> _Array:
        instruction = self.program.instructions[index]
        zero = instruction.op in _FILLED
        result = self.declare(lines, self.shapes[index], zero=zero)
        lines += _operation(instruction, result, operands, self.shapes, index)
        return result

    # ---- sums over the atoms

    def write_pass(self, number: int, tasks: list["_Task"]) -> None:
        new = [task.law for task in tasks if isinstance(task, _Total)]
        over = tasks[0].over
        loop = _Loop(self, over.owner)
        for law in new:
            self.body.append(f"V {law.name}_top = SPLAT(-HUGE_EXPONENT), {law.name}_sum = {{0}};")
        scaling = self.write_exponents(new, over)
        for task in tasks:
            task.start()
        for task in tasks:
            task.accumulate(loop)
        zeros = [line for task in tasks for line in task.zero_tile()]
        folds = [line for task in tasks for line in task.fold(task.scale(new))]
        count = self.tables.count(over)
        self.body += [
            f"for (long j0 = 0; j0 < {count}; j0 += {TILE}) {{",
            f"  const long j1 = j0 + {TILE} < {count} ? j0 + {TILE} : {count};",
            *_indented(scaling),
            *_indented(zeros),
            "  for (long j = j0; j < j1; ++j) {",
            *_indented(_indented(loop.lines)),
            "  }",
            *_indented(folds),
            "}",
        ]

    def write_exponents(self, laws: list[_Law], over: Axis) -> list[str]:
        """The exponents of a tile, and the change of scale that its maximum asks for."""
        if not laws:
            return []
        loop = _Loop(self, over.owner)
        lines: list[str] = []
        for law in laws:
            lines.append(f"V {law.name}_exponents[{TILE}], {law.name}_tile = {law.name}_top;")
            loop.lines += [
                f"{law.name}_exponents[j - j0] = {loop.exponent(law)};",
                f"{law.name}_tile = vmax({law.name}_exponents[j - j0], {law.name}_tile);",
            ]
        lines += ["for (long j = j0; j < j1; ++j) {", *_indented(loop.lines), "}"]
        for law in laws:
            lines += [
                f"const V {law.name}_scale = vexp_nonpositive({law.name}_top - {law.name}_tile);",
                f"{law.name}_top = {law.name}_tile;",
            ]
        return lines

    def log_partition(self, law: _Law) -> _Array:
        value = self.declare(self.body, ())
        unit = self.tables.slot("unit", law.over.owner)
        total = f"{law.name}_top + {unit}[0] + vlog({law.name}_sum)"
        self.body.append(f"{value.name}[0] = {total};")
        return value

    def cumulant(self, tasks: dict, slots: tuple[Use, ...], shape: Shape) -> _Array:
        """The sum over partitions of signed products of central moments."""
        moments = {block: task.value() for block, task in tasks.items()}
        result = self.declare(self.body, shape)
        ranks = [self.program.instructions[slot.index].rank for slot in slots]
        for blocks in central_blocks(len(slots)):
            factor = (-1) ** (len(blocks) - 1) * prod(range(1, len(blocks)))
            places = [_place(ranks, block) for block in blocks]

            def line(c: str, blocks=blocks, places=places, factor=factor) -> str:
                columns = shape[-1] if len(shape) == 2 else 1
                split = {"all": c, "row": f"({c}) / {columns}", "column": f"({c}) % {columns}"}
                terms = [
                    moments[block].at(split[place])
                    for block, place in zip(blocks, places, strict=True)
                ]
                return f"{result.name}[{c}] += {' * '.join([f'(T){factor}', *terms])};"

            self.body += _loop(prod(shape), line)
        return result


def _place(ranks: list[int], block: tuple[int, ...]) -> str:
    """Which components of a cumulant a moment has: all, or those of one of two vector slots."""
    vectors = [k for k, rank in enumerate(ranks) if rank == 1]
    inside = [k for k in vectors if k in block]
    if len(vectors) < 2 or len(inside) != 1:
        return "all"
    return "row" if inside[0] == vectors[0] else "column"


def _over(instruction: Instruction) -> Axis:
    assert instruction.over is not None
    return instruction.over


class _Loop:
    """The lines for one atom j, and the pairs that they have made so far."""

    def __init__(self, step: _StepWriter, owner: str):
        self.step, self.owner = step, owner
        self.lines: list[str] = []
        self.made: dict[tuple[int, Axis | None], _Array] = {}
        self.weights: dict[str, str] = {}

    def value(self, use: Use, row: Axis | None) -> _Array:
        """An operand of an instruction that calls the axis of the rows `row`."""
        step, inner = self.step, operand_row(self.step.program, use, row)
        instruction = step.program.instructions[use.index]
        others = [axis for axis in instruction.axes if axis != inner]
        if not others:
            return step.row_value(use.index)
        if len(instruction.axes) == 1:
            return self.atom(use.index)
        return self.pair(use.index, inner)

    def atom(self, index: int) -> _Array:
        """A value of the atom, read from a buffer with the atoms first."""
        step, n = self.step, self.step.tables.components(index)
        array = _Array(f"a{index}", step.shapes[index], False)
        key = index, None
        if key not in self.made:
            self.made[key] = array
            source = step.tables.slot("atom", index)
            self.lines.append(f"const T *{array.name} = {source} + j * {n};")
        return self.made[key]

    def pair(self, index: int, row: Axis | None) -> _Array:
        key = index, row
        if key not in self.made:
            instruction = self.step.program.instructions[index]
            if instruction.over is not None:
                raise Unsupported("a reduction inside a pair")
            operands = [self.value(use, row) for use in value_operands(instruction)]
            self.made[key] = self.step.compute(self.lines, index, operands)
        return self.made[key]

    def exponent(self, law: _Law) -> str:
        energy = self.value(law.energy, self.step.axis)
        logs = self.step.tables.slot("logs", self.owner)
        return f"{energy.at(0)} + {logs}[j]"

    def weight(self, law: _Law, new: bool) -> str:
        """`exp(s + log w - maximum)` of this atom."""
        if law.name not in self.weights:
            exponent = f"{law.name}_exponents[j - j0]" if new else self.exponent(law)
            name = self.weights[law.name] = f"{law.name}_weight"
            self.lines.append(f"const V {name} = vexp_nonpositive({exponent} - {law.name}_top);")
        return self.weights[law.name]


class _Task:
    """A sum over the atoms: its total, and the part of a tile."""

    def __init__(self, step: _StepWriter, over: Axis, shape: Shape, number: int, law: _Law | None):
        self.step, self.over, self.shape, self.number, self.law = step, over, shape, number, law
        self.total: _Array | None = None
        self.tile = _Array(step.name("t"), shape, True)
        self.made: _Array | None = None

    def start(self) -> None:
        self.total = self.step.declare(self.step.body, self.shape, "sum")

    def zero_tile(self) -> list[str]:
        self.step.stack += prod(self.shape)
        return [f"V {self.tile.name}[{prod(self.shape)}] = {{{{0}}}};"]

    def accumulate(self, loop: _Loop) -> None:
        raise NotImplementedError

    def scale(self, new: list[_Law]) -> str | None:
        """What the sum so far is multiplied by when the maximum of its law has grown."""
        names = [law.name for law in new]
        return f"{self.law.name}_scale" if self.law and self.law.name in names else None

    def fold(self, scale: str | None) -> list[str]:
        assert self.total is not None
        total, tile = self.total.name, self.tile.name
        if scale is None:
            return _loop(prod(self.shape), lambda c: f"{total}[{c}] += {tile}[{c}];")
        return _loop(
            prod(self.shape), lambda c: f"{total}[{c}] = {total}[{c}] * {scale} + {tile}[{c}];"
        )

    def is_new(self, law: _Law) -> bool:
        return law.made_in == self.number

    def value(self) -> _Array:
        """The sum, divided by the total of its law."""
        assert self.total is not None
        if self.law is None:
            return self.total
        if self.made is None:
            step, total = self.step, self.total
            made = self.made = step.declare(step.body, self.shape, zero=False)
            step.body += _loop(
                prod(self.shape),
                lambda c: f"{made.name}[{c}] = {total.name}[{c}] / {self.law.name}_sum;",  # pyright: ignore
            )
        return self.made


class _Total(_Task):
    """The total of a new law."""

    law: _Law

    def __init__(self, step: _StepWriter, law: _Law):
        super().__init__(step, law.over, (), law.made_in, law)

    def start(self) -> None:
        self.total = _Array(f"{self.law.name}_sums", (), True)

    def accumulate(self, loop: _Loop) -> None:
        loop.lines.append(f"{self.tile.name}[0] += {loop.weight(self.law, True)};")

    def fold(self, scale: str | None) -> list[str]:
        name = self.law.name
        return [f"{name}_sum = {name}_sum * {scale} + {self.tile.name}[0];"]


class _Integral(_Task):
    """`sum_j w_j h_j`."""

    def __init__(self, step: _StepWriter, body: Use, over: Axis):
        super().__init__(step, over, step.shapes[body.index], 0, None)
        self.body = body

    def accumulate(self, loop: _Loop) -> None:
        value = loop.value(self.body, self.step.axis)
        weight = f"{self.step.tables.slot('weights', self.over.owner)}[j]"
        loop.lines += _loop(
            prod(self.shape), lambda c: f"{self.tile.name}[{c}] += {weight} * {value.at(c)};"
        )


class _Mean(_Task):
    """`E_p[h]`; h itself where it does not depend on the atom."""

    law: _Law

    def __init__(self, step: _StepWriter, law: _Law, slot: Use, number: int):
        super().__init__(step, law.over, step.shapes[slot.index], number, law)
        self.slot = slot

    def accumulate(self, loop: _Loop) -> None:
        value = loop.value(self.slot, self.step.axis)
        weight = loop.weight(self.law, self.is_new(self.law))
        loop.lines += _loop(
            prod(self.shape), lambda c: f"{self.tile.name}[{c}] += {weight} * {value.at(c)};"
        )

    def value(self) -> _Array:
        if self.law.over not in self.slot.axes:
            return self.step.row_value(self.slot.index)
        return super().value()


class _Moment(_Task):
    """`E_p` of the product of the centred slots of a block."""

    law: _Law

    def __init__(
        self,
        step: _StepWriter,
        law: _Law,
        slots: tuple[Use, ...],
        means: list[_Mean],
        block: tuple[int, ...],
    ):
        shape = tuple(size for k in block for size in step.shapes[slots[k].index])
        number = 1 + max(mean.number for mean in means)
        super().__init__(step, law.over, shape, number, law)
        self.slots, self.means, self.block = slots, means, block

    def centred(self, loop: _Loop, k: int) -> _Array:
        mean, value = self.means[k].value(), loop.value(self.slots[k], self.step.axis)
        result = self.step.declare(loop.lines, value.shape, "c", zero=False)
        loop.lines += _loop(
            prod(value.shape), lambda c: f"{result.name}[{c}] = {value.at(c)} - {mean.at(c)};"
        )
        return result

    def accumulate(self, loop: _Loop) -> None:
        weight = loop.weight(self.law, self.is_new(self.law))
        factors = [self.centred(loop, k) for k in self.block]
        scalars = [factor for factor in factors if not factor.shape]
        tensors = [factor for factor in factors if factor.shape]
        product = " * ".join([weight, *(factor.at(0) for factor in scalars)])
        name, tile = self.step.name("w"), self.tile.name
        loop.lines.append(f"const V {name} = {product};")
        if len(tensors) < 2:
            tensor = tensors[0] if tensors else None
            loop.lines += _loop(
                prod(self.shape),
                lambda c: f"{tile}[{c}] += {name}{f' * {tensor.at(c)}' if tensor else ''};",
            )
        else:
            loop.lines += _outer_sum(tile, name, *tensors)


def _outer_sum(tile: str, weight: str, left: _Array, right: _Array) -> list[str]:
    (rows,), (columns,) = left.shape, right.shape
    return [
        f"for (int a = 0; a < {rows}; ++a) {{",
        f"  const V u = {weight} * {left.at('a')};",
        *_indented(
            _loop(columns, lambda c: f"{tile}[a * {columns} + {c}] += u * {right.at(c)};", "b")
        ),
        "}",
    ]


# ---- one operation


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _loop(n: int, line: Callable[[str], str], variable: str = "c") -> list[str]:
    """A line for every component, written out where they are few."""
    if n <= 4:
        return [line(str(c)) for c in range(n)]
    unroll = "#pragma GCC unroll 4"
    return [unroll, f"for (int {variable} = 0; {variable} < {n}; ++{variable}) {line(variable)}"]


def _operation(
    instruction: Instruction,
    result: _Array,
    operands: list[_Array],
    shapes: tuple[Shape, ...],
    index: int,
) -> list[str]:
    if instruction.op in LIKE:
        values = like(instruction, shapes, index).ravel().tolist()
        return [f"{result.name}[{c}] = SPLAT({_number(v)});" for c, v in enumerate(values) if v]
    writer = _WRITERS.get(instruction.op)
    if writer is not None:
        return list(writer(instruction, result, *operands))
    expression = _expression(instruction)
    return _loop(
        prod(result.shape),
        lambda c: f"{result.name}[{c}] = {expression(*(part.at(c) for part in operands))};",
    )


def _number(value: float) -> str:
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"(T){value.hex()}"


def _expression(instruction: Instruction) -> Callable[..., str]:
    """The C expression of a function of components."""
    op = instruction.op
    if op == "constant":
        value = float(float_constant(str(instruction.attributes[0])))
        return lambda: f"SPLAT({_number(value)})"
    if op in ("add", "mul"):
        sign = " + " if op == "add" else " * "
        return lambda *parts: sign.join(parts)
    if op in ("max", "min"):
        return lambda *parts: _nested(f"v{op}", parts)
    if op in CONDITIONS:
        return _condition(op)
    if op == "select":
        return _selected
    if op == "power":
        return lambda part: _power(part, Fraction(str(instruction.attributes[0])))
    if op not in _FUNCTIONS:
        raise Unsupported(f"the function {op}")
    return lambda *parts: f"{_FUNCTIONS[op]}({', '.join(parts)})"


def _nested(function: str, parts: tuple[str, ...]) -> str:
    text = parts[0]
    for part in parts[1:]:
        text = f"{function}({text}, {part})"
    return text


def _condition(op: str) -> Callable[..., str]:
    """Conditions are one and zero."""
    if op in ("and", "or"):
        sign = " & " if op == "and" else " | "
        return lambda *parts: f"vone({sign.join(f'({part} != 0)' for part in parts)})"
    if op == "not":
        return lambda part: f"vone({part} == 0)"
    sign = {"less": "<", "less_equal": "<=", "equal": "=="}[op]
    return lambda a, b: f"vone({a} {sign} {b})"


def _selected(*parts: str) -> str:
    text = parts[-1]
    for k in range(len(parts) - 3, -1, -2):
        text = f"vselect({parts[k]} != 0, {parts[k + 1]}, {text})"
    return text


def _power(base: str, exponent: Fraction) -> str:
    size = abs(exponent)
    if size > 4 or size.denominator > 2:
        if exponent.denominator == 1:
            return f"vpow({base}, SPLAT({int(exponent)}))"
        return f"vexp((T){float(exponent).hex()} * vlog({base}))"
    factors = [base] * int(size) + [f"vsqrt({base})"] * (size.denominator == 2)
    product = " * ".join(factors) if factors else "SPLAT(1)"
    return product if exponent >= 0 else f"1 / ({product})"


def _dot(_: Instruction, out: _Array, u: _Array, v: _Array) -> list[str]:
    return _loop(u.shape[0], lambda c: f"{out.name}[0] += {u.at(c)} * {v.at(c)};")


def _product(_: Instruction, out: _Array, m: _Array, n: _Array) -> Iterator[str]:
    rows, inner, columns = m.shape[0], m.shape[1], prod(n.shape[1:])
    yield f"for (int a = 0; a < {rows}; ++a) for (int b = 0; b < {columns}; ++b) {{"
    left, right = f"a * {inner} + ", f" * {columns} + b"
    target = f"{out.name}[a * {columns} + b]"
    yield from _indented(
        _loop(inner, lambda c: f"{target} += {m.at(left + c)} * {n.at(c + right)};")
    )
    yield "}"


def _outer(_: Instruction, out: _Array, u: _Array, v: _Array) -> Iterator[str]:
    yield f"for (int a = 0; a < {u.shape[0]}; ++a) for (int b = 0; b < {v.shape[0]}; ++b)"
    yield f"  {out.name}[a * {v.shape[0]} + b] = {u.at('a')} * {v.at('b')};"


def _transpose(_: Instruction, out: _Array, m: _Array) -> Iterator[str]:
    rows, columns = m.shape
    yield f"for (int a = 0; a < {rows}; ++a) for (int b = 0; b < {columns}; ++b)"
    yield f"  {out.name}[b * {rows} + a] = {m.at(f'a * {columns} + b')};"


def _trace(_: Instruction, out: _Array, m: _Array) -> list[str]:
    return _loop(m.shape[0], lambda c: f"{out.name}[0] += {m.at(f'{c} * {m.shape[0] + 1}')};")


def _diagonal(_: Instruction, out: _Array, v: _Array) -> list[str]:
    n = v.shape[0]
    return _loop(n, lambda c: f"{out.name}[{c} * {n + 1}] = {v.at(c)};")


def _part(instruction: Instruction, out: _Array, v: _Array) -> list[str]:
    start = int(instruction.attributes[0]) * prod(v.shape[1:])
    return _loop(prod(out.shape), lambda c: f"{out.name}[{c}] = {v.at(f'{c} + {start}')};")


def _component(instruction: Instruction, out: _Array, v: _Array) -> list[str]:
    return [f"{out.name}[0] = {v.at(int(instruction.attributes[0]))};"]


def _stack(_: Instruction, out: _Array, *parts: _Array) -> Iterator[str]:
    start = 0
    for part in parts:
        yield from _loop(
            prod(part.shape),
            lambda c, part=part, start=start: f"{out.name}[{c} + {start}] = {part.at(c)};",
        )
        start += prod(part.shape)


_WRITERS: dict[str, Callable[..., Iterable[str]]] = {
    "dot": _dot,
    "matvec": _product,
    "matmul": _product,
    "outer": _outer,
    "transpose": _transpose,
    "trace": _trace,
    "diagonal": _diagonal,
    "block": _part,
    "rows": _part,
    "component": _component,
    "stack": _stack,
    "row_stack": _stack,
}
