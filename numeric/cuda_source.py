"""CUDA C++ text for a program: one kernel a step of its schedule, rows in the threads of blocks.

The planning is that of the C kernels: which reductions share a law, which need another pass over
the atoms. What differs is where things are. A block holds `row_threads` times `lanes` rows and,
where there are few rows, `split` groups of threads that share the atoms among them. A pass reads
the atoms in tiles from shared memory:

    chunk     exponents of a few atoms, their maximum, a new scale where it has grown
    tile      sums of the weighted values in registers
    pass      sums of the tiles, in the type that is asked for; then over the groups

A launch may hold many measures: each block works for one of them and looks up where its atoms are.
"""

import re
from dataclasses import dataclass
from math import prod

from .cuda_prelude import PRELUDE
from .native_operations import Array, Unsupported, indented, lines_for
from .native_source import GIVEN, StepWriter, Tables
from .native_sums import Largest, Law, Loop, Task, Total
from .program import Axis, Program
from .registered import c_functions
from .schedule import Step, schedule
from .shapes import Shape
from .slices import ROW

THREADS = 128
"""Threads of a block."""
_TILE_BYTES = 24 * 1024
_MOST_NUMBERS = 700
"""Of 32 bits, for a row: beyond it a kernel spills more than it saves."""
_MOST_PRODUCTS = 2**14
_MOST_UNROLLED = 2**8
"""Larger products of a row, made once for all of its pairs, stay loops: they compile faster."""
_ROLLED = '_Pragma("unroll 1")'
_EXCHANGED = "exchange, {}, ROW_THREADS, SPLIT"
ACCUMULATE = {"tiles": 0, "compensated": 2, "float64": 64}
"""How sums of tiles are kept in float32, and what the prelude calls it."""


class TooLarge(Unsupported):
    """A program whose kernel would need more registers or shared memory than there are."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a kernel shares out its work: `lanes` rows a thread, `row_threads` of them in a block.

    The `THREADS // row_threads` groups of a block share the atoms. Sums over atoms without any rows
    are shared by all threads. `chunk` atoms have their exponents in registers at a time.
    """

    lanes: int
    row_threads: int
    chunk: int

    @property
    def rows(self) -> int:
        """The rows of a block: all axes are padded to a multiple of it."""
        return self.lanes * self.row_threads


@dataclass(frozen=True, slots=True)
class CudaKernel:
    """The text of a program's kernels and how they are called.

    `slots` and `counts` are those of the C kernels. Step k of `steps`, those that make anything, is
    `step_k(B, N, owner, stride)`, of `THREADS` threads a block. `B` are the addresses of the
    buffers, `owner` the measure of each block, and `N` has `stride` numbers for each axis of
    `counts`: the padded total, the largest count, then start and count of every measure.
    """

    text: str
    slots: tuple[tuple[str, int | str], ...]
    counts: tuple[Axis, ...]
    layout: Layout
    steps: tuple[int, ...]


def render_cuda(
    program: Program,
    shapes: tuple[Shape, ...],
    bits: int,
    layout: Layout,
    accumulate: str = "tiles",
) -> CudaKernel:
    """The kernels of a program for given component shapes.

    Raises:
        Unsupported: a value of three axes, a function without a form here, or too many components.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> x, y = builder.point("x"), builder.atoms("mu", Axis("mu", 0))
    >>> mean = builder.emit("cumulant", builder.emit("dot", x, y), y, over=Axis("mu", 0))
    >>> kernel = render_cuda(builder.program(mean), ((3,), (3,), (), (3,)), 32, Layout(2, 64, 4))
    >>> "__global__" in kernel.text
    True
    """
    tables = CudaTables(program, shapes, bits)
    writers = [CudaStepWriter(tables, step, layout) for step in schedule(program).steps]
    made = [number for number, writer in enumerate(writers) if writer.makes]
    functions = [writers[number].function(number) for number in made]
    head = f"""#define REAL_BITS {bits}
#define LANES {layout.lanes}
#define THREADS {THREADS}
#define ACCUMULATE {ACCUMULATE[accumulate] if bits == 32 else 0}"""
    text = "\n".join([head, PRELUDE, c_functions(program), *map(_unrolled, functions)])
    return CudaKernel(text, tuple(tables.slots), tuple(tables.counts), layout, tuple(made))


def _unrolled(text: str) -> str:
    """Every loop over components unrolled, so that arrays lie in registers.

    What the writers of C say about memory and zeros, in words that every dialect has.
    """
    text = re.sub(r"^ *#pragma GCC unroll.*\n", "", text, flags=re.MULTILINE)
    text = text.replace(" = {{0}};", " = {};")
    text = re.sub(r"const T \*(g\d+) =", r"const GLOBAL T *\1 =", text)
    return re.sub(r"for \(int ", '_Pragma("unroll") for (int ', text)


class CudaTables(Tables):
    """The numbering of buffers; what is read atom by atom is read from the tile of its pass."""

    def __init__(self, program: Program, shapes: tuple[Shape, ...], bits: int):
        super().__init__(program, shapes)
        self.numbers_of_16_bytes = 128 // bits
        self.bits = bits
        self.tile_slots: dict[int, tuple[str, int | str]] = {}

    def slot(self, kind: str, name: int | str) -> str:
        number = self.slots.setdefault((kind, name), len(self.slots))
        if kind in ("atom", "weights", "logs"):
            self.tile_slots[number] = kind, name
            return f"tile_{number}"
        if kind == "unit":
            return f"(BUFFER({number}) + measure)"
        if kind == "global" and self.is_own(int(name)):
            return f"(BUFFER({number}) + measure * {self.components(int(name))})"
        return f"BUFFER({number})"

    def is_own(self, index: int) -> bool:
        """Whether each measure of a batch has its own value, of those that vary over no axis."""
        instruction = self.program.instructions[index]
        return instruction.op not in GIVEN or ROW in instruction.attributes[1:]

    def stride(self, kind: str, name: int | str) -> int:
        """The numbers from an atom to the next: whole pieces of 16 bytes for vectors."""
        n = self.components(int(name)) if kind == "atom" else 1
        piece = self.numbers_of_16_bytes
        return n if n <= 2 and piece % n == 0 else -(-n // piece) * piece

    def axis_number(self, axis: Axis) -> int:
        self.count(axis)
        return self.counts[Axis(axis.owner, 0 if axis.is_atoms else -1)]

    def total(self, axis: Axis) -> str:
        """The padded number of indices over all measures of the batch."""
        return f"N[{self.axis_number(axis)} * stride]"

    def most(self, axis: Axis) -> str:
        return f"N[{self.axis_number(axis)} * stride + 1]"

    def first(self, axis: Axis) -> str:
        return f"N[{self.axis_number(axis)} * stride + 2 + 2 * measure]"

    def own(self, axis: Axis) -> str:
        """The number of indices of the measure of this block."""
        return f"N[{self.axis_number(axis)} * stride + 3 + 2 * measure]"


class CudaLoop(Loop):
    """The lines for one atom j of a tile, which lies in `memory`."""

    memory = "SHARED"

    def atom(self, index: int) -> Array:
        tables: CudaTables = self.step.tables  # pyright: ignore
        array, key = Array(f"a{index}", self.step.shapes[index], False), (index, None)
        if key not in self.made:
            self.made[key] = array
            stride = tables.stride("atom", index)
            source = tables.slot("atom", index)
            pointer = f"const {self.memory} T *{array.name}"
            self.lines.append(f"{pointer} = {source} + j * {stride};")
        return self.made[key]

    def exponent(self, law: Law) -> str:
        """`s + log w`; powers of two are taken in `law_weight`."""
        energy = self.value(law.energy, self.step.axis)
        return f"{energy.at(0)} + {self.step.tables.slot('logs', self.owner)}[j]"

    def weight(self, law: Law, new: bool) -> str:
        """`exp(s + log w - maximum)` of this atom."""
        if law.name not in self.weights:
            exponent = f"{law.name}_exponents[j - j0]" if new else self.exponent(law)
            name = self.weights[law.name] = f"{law.name}_weight"
            self.lines.append(f"const V {name} = law_weight({exponent}, {law.name}_top);")
        return self.weights[law.name]


class CudaStepWriter(StepWriter):
    """The kernel of one step."""

    tables: CudaTables

    def __init__(self, tables: CudaTables, step: Step, layout: Layout):
        super().__init__(tables, step)
        alone = step.axis is None
        self.row_threads = 1 if alone else layout.row_threads
        self.split = THREADS // self.row_threads
        self.chunk = 1 if alone else layout.chunk
        self.lanes = layout.lanes
        self.most_numbers = 0

    @property
    def makes(self) -> list[int]:
        """The members that are neither given nor written where they are used."""
        return [index for index in self.step.members if not self.is_leaf(index)]

    def function(self, number: int) -> str:
        members = self.makes
        for index in members:
            self.plan(index)
        for key in sorted(self.tasks, key=lambda key: (key[0], key[1])):
            self.write_pass(key[0], self.tasks[key])
        self.store_members(members)
        if self.stack * self.tables.bits > 32 * _MOST_NUMBERS:
            raise TooLarge(f"{self.stack} numbers a row at a time")
        exchange = THREADS * self.lanes
        return "\n".join(
            [
                f"KERNEL step_{number}(",
                "    BUFFERS B, const GLOBAL L *N, const GLOBAL L *owner, L stride) {",
                f"  enum {{ ROW_THREADS = {self.row_threads}, SPLIT = {self.split} }};",
                f"  SHARED_MEMORY(shared, {self.most_numbers + exchange});",
                f"  SHARED T *const exchange = shared + {self.most_numbers};",
                "  const int lane = threadIdx.x % ROW_THREADS, group = threadIdx.x / ROW_THREADS;",
                "  const L measure = owner[blockIdx.x];",
                "  const L i = (L)blockIdx.x * (ROW_THREADS * LANES) + lane;",
                *(f"  {line}" for line in self.header.values()),
                *(f"  {line}" for line in self.body),
                "}",
            ]
        )

    def leading(self) -> str:
        assert self.axis is not None
        self.header["rows"] = f"const L rows = {self.tables.total(self.axis)};"
        return "rows"

    def compute(self, lines: list[str], index: int, operands: list[Array]) -> Array:
        instruction = self.program.instructions[index]
        if instruction.op in ("matmul", "matvec"):
            products = prod(operands[0].shape) * prod(operands[1].shape[1:])
            if products > _MOST_PRODUCTS:
                raise TooLarge(f"a product of {products} terms a row")
            if products > _MOST_UNROLLED:
                inside: list[str] = []
                result = super().compute(inside, index, operands)
                lines += [line.replace("for (int a", f"{_ROLLED} for (L a") for line in inside]
                return result
        return super().compute(lines, index, operands)

    def log_partition(self, law: Law) -> Array:
        value, unit = self.declare(self.body, ()), self.tables.slot("unit", law.over.owner)
        total = f"{law.name}_top + {unit}[0] + vlog({law.name}_sum)"
        self.body.append(f"{value.name}[0] = {total};")
        return value

    # ---- what is kept

    def store_members(self, members: list[int]) -> None:
        whole = [i for i in members if len(self.program.instructions[i].axes) < 2]
        for index in members:
            if index not in whole:
                self.store_pairs(index)
        if whole:
            outside, self.body = self.body, []
            for index in whole:
                self.store(index)
            first = "group == 0" if self.axis else "threadIdx.x == 0"
            self.body = [*outside, f"if ({first}) {{", *indented(self.body), "}"]

    def store_pairs(self, index: int) -> None:
        """A result of two axes: the groups share the indices of the other axis."""
        instruction, n = self.program.instructions[index], self.tables.components(index)
        (other,) = [axis for axis in instruction.axes if axis != self.axis]
        self.tables.tile_slots.clear()
        loop = CudaLoop(self, other.owner)
        loop.memory = "GLOBAL"
        value = loop.pair(index, self.axis)
        target, rows = self.tables.slot("row", index), self.leading()
        most = self.tables.most(other)
        loop.lines += lines_for(
            n, lambda c: f"STORE({target} + ({c} * {most} + j) * {rows} + i, {value.at(c)});"
        )
        first = self.tables.first(other)
        places = [
            f"const GLOBAL T *tile_{k} = BUFFER({k}) + {first} * {self.tables.stride(*slot)};"
            for k, slot in self.tables.tile_slots.items()
        ]
        self.body += [
            "{",
            *indented(places),
            f"  for (L j = group; j < {self.tables.own(other)}; j += SPLIT) {{",
            *indented(indented(loop.lines)),
            "  }",
            "}",
        ]

    # ---- sums over the atoms

    def write_pass(self, number: int, tasks: list[Task]) -> None:
        new = [task.law for task in tasks if isinstance(task, Total)]
        over = tasks[0].over
        self.tables.tile_slots.clear()
        for law in new:
            self.body.append(f"V {law.name}_top = SPLAT(-HUGE_EXPONENT), {law.name}_sum;")
        exponents = CudaLoop(self, over.owner)
        for law in new:
            exponents.lines += [
                f"{law.name}_exponents[j - j0] = {exponents.exponent(law)};",
                f"{law.name}_new = larger({law.name}_exponents[j - j0], {law.name}_new);",
            ]
        sums, zeros = CudaLoop(self, over.owner), []
        for task in tasks:
            task.start()
        for task in tasks:
            task.accumulate(sums)
            zeros += task.zero_tile()
        chunk = self.chunk_lines(new, tasks, exponents.lines, sums.lines)
        self.body += self.wide_sums(tasks)
        self.body += ["{", *indented(self.tile_lines(over, zeros, chunk, tasks)), "}"]
        self.body += self.finished(new, tasks)

    def wide_sums(self, tasks: list[Task]) -> list[str]:
        sums = [task for task in tasks if not isinstance(task, Largest)]
        self.stack += sum(prod(task.shape) for task in sums)
        return [f"W {_wide(task)}[{prod(task.shape)}] = {{}};" for task in sums]

    def chunk_lines(
        self, new: list[Law], tasks: list[Task], exponents: list[str], sums: list[str]
    ) -> list[str]:
        """The atoms j0 ... j0 + K - 1 of a tile."""
        lines: list[str] = []
        if new:
            lines = [
                *(f"V {law.name}_exponents[K], {law.name}_new = {law.name}_top;" for law in new),
                "for (int j = j0; j < j0 + K; ++j) {",
                *indented(exponents),
                "}",
            ]
        for law in new:
            scale = f"{law.name}_scale"
            lines += [
                f"if (any_lane({law.name}_new > {law.name}_top)) {{",
                f"  const V {scale} = law_scale({law.name}_top, {law.name}_new);",
                f"  {law.name}_top = {law.name}_new;",
                *indented(_scaled([task for task in tasks if task.law is law], scale)),
                "}",
            ]
        return [*lines, "for (int j = j0; j < j0 + K; ++j) {", *indented(sums), "}"]

    def tile_lines(
        self, over: Axis, zeros: list[str], chunk: list[str], tasks: list[Task]
    ) -> list[str]:
        """The loop over tiles, and within each over the chunks of this group."""
        slots = {k: self.tables.stride(*slot) for k, slot in self.tables.tile_slots.items()}
        tile = self.tile_atoms(sum(slots.values()))
        places, copies, offset = [], [], 0
        for k, stride in slots.items():
            places.append(f"SHARED T *const tile_{k} = shared + {offset};")
            copies.append(
                f"copy_tile(tile_{k}, BUFFER({k}) + (first + start) * {stride}, size * {stride});"
            )
            offset += tile * stride
        self.most_numbers = max(self.most_numbers, offset)
        whole = ["{", f"  enum {{ K = {self.chunk} }};", *indented(chunk), "}"]
        single = ["{", "  enum { K = 1 };", *indented(chunk), "}"]
        folds = [line for task in tasks for line in _folded(task)]
        return [
            f"enum {{ TILE = {tile}, CHUNK = {self.chunk} }};",
            f"const L first = {self.tables.first(over)}, count = {self.tables.own(over)};",
            *places,
            "for (L start = 0; start < count; start += TILE) {",
            "  const int size = count - start < TILE ? (int)(count - start) : TILE;",
            "  __syncthreads();",
            *indented(copies),
            "  __syncthreads();",
            *indented(zeros),
            "  int j0 = group * CHUNK;",
            "  for (; j0 + CHUNK <= size; j0 += SPLIT * CHUNK)",
            *indented(indented(whole)),
            "  for (; j0 < size; ++j0)",
            *indented(indented(single)),
            *indented(folds),
            "}",
        ]

    def tile_atoms(self, numbers: int) -> int:
        """Atoms in a tile: a power of two, so many that their numbers fit."""
        size, bytes_each = 256, numbers * self.tables.bits // 8
        while size * bytes_each > _TILE_BYTES and size > 16:
            size //= 2
        if size * bytes_each > _TILE_BYTES:
            raise TooLarge(f"{numbers} numbers an atom at a time")
        return size

    def finished(self, new: list[Law], tasks: list[Task]) -> list[str]:
        """Sums in T; where groups share the atoms, over all of them."""
        lines: list[str] = []
        for law in new if self.split > 1 else ():
            lines += [
                f"const V {law.name}_own = {law.name}_top;",
                f"{law.name}_top = over_groups({law.name}_top, {_EXCHANGED.format('true')});",
                f"const V {law.name}_part = law_scale({law.name}_own, {law.name}_top);",
            ]
        for task in tasks:
            if isinstance(task, Largest):
                lines += self.largest(task)
                continue
            target = _total_name(task)
            part = f" * {task.law.name}_part" if task.law in new and self.split > 1 else ""
            text = f"narrow({_wide(task)}[@]){part}"
            if self.split > 1:
                text = f"over_groups({text}, {_EXCHANGED.format('false')})"
            lines += lines_for(
                prod(task.shape),
                lambda c, text=text, target=target: f"{target(c)} = {text.replace('@', c)};",
            )
        return lines

    def largest(self, task: Largest) -> list[str]:
        """The largest values over all groups."""
        name, exchange = _total_name(task), _EXCHANGED.format("true")
        if self.split == 1:
            return []
        return lines_for(
            prod(task.shape), lambda c: f"{name(c)} = over_groups({name(c)}, {exchange});"
        )


def _folded(task: Task) -> list[str]:
    """What a tile adds to a sum, or how it raises a maximum."""
    if isinstance(task, Largest):
        return task.fold(None)
    name, wide = task.tile.name, _wide(task)
    return lines_for(prod(task.shape), lambda c: f"wide_add(&{wide}[{c}], {name}[{c}]);")


def _wide(task: Task) -> str:
    return f"wide_{task.tile.name}"


def _total_name(task: Task):
    if isinstance(task, Total):
        return lambda _: f"{task.law.name}_sum"
    total = task.total
    assert total is not None
    return lambda c: f"{total.name}[{c}]"


def _scaled(tasks: list[Task], scale: str) -> list[str]:
    lines: list[str] = []
    for task in tasks:
        lines += lines_for(
            prod(task.shape),
            lambda c, task=task: (
                f"{{ {task.tile.name}[{c}] = {task.tile.name}[{c}] * {scale}; "
                f"wide_scale(&{_wide(task)}[{c}], {scale}); }}"
            ),
        )
    return lines
