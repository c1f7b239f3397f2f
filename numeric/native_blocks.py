"""C text for blocks of groups of vectors of rows, with small matrix products in the cache.

Where points have many components, a vector of rows at a time asks for every component of an atom
twice for one multiply-add each. So a step takes groups of `VECTORS` vectors of rows, and each group
of a block makes in a tile of atoms, before the next group comes to it,

    products   the inner products of row vectors with atom vectors, rows by atoms
    scalars    what is made of them for each pair: exponents, weights, coefficients
    sums       of coefficients times atom vectors, rows by components

The first and the last are products of small matrices.
"""

from collections.abc import Iterator, Sequence
from math import prod

from .native_interleaved import ATOM_LOOP, INTERLEAVED, InterleavedWriter
from .native_moments import Moment, TileMoment, moment_lines
from .native_operations import Array, indented, lines_for
from .native_products import COMPONENTS, VECTORS, Atoms, inner_products, weighted_sums
from .native_source import MOST_KEPT, Kernel, StepWriter, Tables
from .native_sums import (
    TILE,
    IntegralSum,
    Law,
    Loop,
    Mean,
    Task,
    Total,
)
from .program import Axis, Program, Use, value_operands
from .schedule import Step, operand_row, schedule
from .shapes import Shape

_MOST_GROUPS, _MOST_IN_BLOCK = 16, 2**14
"""The groups of vectors in a block, and the vectors that all of them together keep.

Once a block, the atoms come from the third cache or from memory, where other cores work too. So a
block has as many rows as the second cache holds: its vectors have half a megabyte where they have
32 bytes, and the half of them that a tile goes through stays there. What lasts for a tile is kept
for one group alone, in the first cache.
"""

_MOST_FOR_TILE = 32
"""With more components a tile has half as many atoms, so that it stays in the cache."""

_FEWEST = 5
"""From so many components on a product is worth its buffers."""


class BlockLoop(Loop):
    """The lines for one atom j and one vector u of the block."""

    step: "BlockWriter"

    def weight(self, law: Law, new: bool) -> str:
        if self.step.is_weighed(law, new):
            return f"{law.name}_exponents[j - j0]"
        return super().weight(law, new)

    def pair(self, index: int, row: Axis | None) -> Array:
        key = index, row
        if key not in self.made:
            staged = self.step.staged(index, row)
            if staged is not None:
                self.made[key] = staged
        return super().pair(index, row)


class BlockWriter(StepWriter):
    """The C function of one step; a name that is kept for a row is one of each vector u.

    `name_at(u)` stands for what vector u has of it, and `name` for `name_at(u)`, by macros.
    """

    centres_tiles = True

    def __init__(self, tables: Tables, step: Step):
        super().__init__(tables, step)
        self.group = 1 if step.axis is None else VECTORS
        self.tile = TILE if _most_components(tables) <= _MOST_FOR_TILE else TILE // 2
        self.kept: dict[str, int] = {}
        self.of_tile: dict[str, int] = {}
        self.segments: list[str] = []
        self.stages: dict[tuple[int, Axis | None], tuple[Array, list[str]]] = {}
        self.buffers: set[str] = set()
        self.weighed: dict[str, list[str]] = {}
        self.zeros: list[str] = []
        self.folds: list[str] = []
        self.merges: list[str] = []
        self.products = 0

    def function(self, number: int) -> str:
        super().function(number)
        self.close_rows()
        vectors = self.group * self.groups()
        kept = [
            *((name, "u", vectors, n) for name, n in self.kept.items()),
            *((name, "(u) - g", self.group, n) for name, n in self.of_tile.items()),
        ]
        return "\n".join(
            [
                *(
                    f"#define {name}_at(u) {name}_all[{place}]\n#define {name} {name}_at(u)"
                    for name, place, _, _ in kept
                ),
                f"void step_{number}(T *const *B, const long *N, long begin, long end) {{",
                *(f"  {line}" for line in self.header.values()),
                f"  for (long first = begin; first < end; first += {vectors} * LANES) {{",
                f"    const long left = (end - first + {self.group} * LANES - 1) / LANES;",
                f"    const int used = left < {vectors} ? left / {self.group} * {self.group}",
                f"                                          : {vectors};",
                *(f"    V {name}_all[{count}]{_size(n)};" for name, _, count, n in kept),
                *(f"    {line}" for line in self.segments),
                "  }",
                "}",
                *(f"#undef {name}\n#undef {name}_at" for name, *_ in kept),
            ]
        )

    def groups(self) -> int:
        """The groups of vectors in a block, by what one keeps."""
        if self.axis is None:
            return 1
        of_group = self.group * sum(max(n, 1) for n in self.kept.values())
        rest = min(_MOST_IN_BLOCK, MOST_KEPT) - (self.stack - of_group)
        return max(1, min(_MOST_GROUPS, rest // max(of_group, 1)))

    # ---- what is kept for each vector

    def keep(self, name: str, n: int) -> str:
        """A name that every vector has its own of: an array, or a single one where n is zero."""
        self.kept[name] = n
        self.stack += self.group * max(n, 1)
        return name

    def keep_in_tile(self, name: str, n: int) -> str:
        """The same for what lasts while a group goes through a tile: the next one takes it over."""
        self.of_tile[name] = n
        self.stack += self.group * max(n, 1)
        return name

    def place(self, name: str, u: int | str) -> str:
        """What vector u of the group has of a name."""
        return f"{name}_at(g + {u})"

    def places(self, name: str) -> list[str]:
        return [self.place(name, u) for u in range(self.group)]

    def declare(
        self, lines: list[str], shape: Shape, prefix: str = "v", zero: bool = True
    ) -> Array:
        if lines is not self.body:
            return super().declare(lines, shape, prefix, zero)
        name, n = self.keep(self.name(prefix), prod(shape)), prod(shape)
        if zero:
            lines += lines_for(n, lambda c: f"{name}[{c}] = (V){{0}};")
        return Array(name, shape, True)

    def leading(self) -> str:
        assert self.axis is not None
        count = self.tables.count(self.axis)
        self.header["rows"] = f"const long rows = ({count} + BLOCK - 1) / BLOCK * BLOCK;"
        return "rows"

    def rows(self, lines: list[str], first: str = "g", end: str = "") -> list[str]:
        """Lines that are done for each vector of a group, or of those from `first` to `end`."""
        if not lines:
            return []
        return [
            f"for (int u = {first}; u < {end or f'g + {self.group}'}; ++u) {{",
            "  const long i = first + u * LANES; (void)i;",
            *indented(lines),
            "}",
        ]

    def close_rows(self) -> None:
        self.segments += self.rows(self.body, "0", "used")
        self.body = []

    # ---- sums over the atoms

    def write_pass(self, number: int, tasks: list[Task]) -> None:
        new = [task.law for task in tasks if isinstance(task, Total)]
        over = tasks[0].over
        self.stages, self.buffers, self.weighed, self.merges = {}, set(), {}, []
        for law in new:
            for part in ("top", "sum"):
                self.keep(f"{law.name}_{part}", 0)
            for part in ("scale", "tile", "part"):
                self.keep_in_tile(f"{law.name}_{part}", 0)
            self.keep_in_tile(f"{law.name}_exponents", self.tile)
            self.body.append(f"{law.name}_top = SPLAT(-HUGE_EXPONENT); {law.name}_sum = (V){{0}};")
        exponents, sums = BlockLoop(self, over.owner), BlockLoop(self, over.owner)
        for law in new:
            if not self.made_with_product(law, is_new=True):
                exponents.lines += [
                    f"{law.name}_exponents[j - j0] = {exponents.exponent(law)};",
                    f"{law.name}_tile = vmax({law.name}_exponents[j - j0], {law.name}_tile);",
                ]
        for task in tasks:
            task.start()
        for task in tasks:
            if isinstance(task, Total):
                self.is_weighed(task.law, True)
        moments = [task for task in tasks if isinstance(task, TileMoment)]
        means = [task for task in tasks if not isinstance(task, (Total, TileMoment))]
        rows, products, after = self.summed(means, sums, new)
        if moments:
            second = self.summed(moments, BlockLoop(self, over.owner), new)
            products += [*self.rows([*moment_lines(moments), *second[0]]), *second[1]]
            after += second[2]
        ends = [*self.merges, *self.folds_of_centres(means, new)]
        ends += [f"{n}_sum = {n}_sum * {n}_scale + {n}_part;" for n in (law.name for law in new)]
        tops = self.rows([f"{law.name}_tile = {law.name}_top;" for law in new])
        scales = [*_for_atoms(exponents.lines), *_new_scales(new)]
        stages = [line for _, lines in self.stages.values() for line in lines]
        weights = [line for lines in self.weighed.values() for line in lines]
        count = self.tables.count(over)
        self.close_rows()
        of_group = [*tops, *stages, *self.rows(scales), *weights]
        of_group += [*self.rows(rows), *products, *self.rows(ends)]
        self.segments += [
            f"for (long j0 = 0; j0 < {count}; j0 += {self.tile}) {{",
            f"  const long j1 = j0 + {self.tile} < {count} ? j0 + {self.tile} : {count};",
            f"  for (int g = 0; g < used; g += {self.group}) {{",
            *indented(indented(of_group)),
            "  }",
            "}",
        ]
        self.body += after

    def summed(
        self, tasks: Sequence[Task], loop: BlockLoop, new: list[Law]
    ) -> tuple[list[str], list[str], list[str]]:
        """The lines of sums for each vector, those of products, and those after all atoms."""
        self.zeros, self.folds, products, after = [], [], [], []
        for task in tasks:
            product = self.product(task, loop, new)
            if product is None:
                task.accumulate(loop)
                self.zeros += task.zero_tile()
                self.folds += self.folded(task, new)
            else:
                products += product[0]
                after += product[1]
        return [*self.zeros, *_for_atoms(loop.lines), *self.folds], products, after

    def folded(self, task: Task, new: list[Law]) -> list[str]:
        if isinstance(task, TileMoment):
            self.merges += task.merge()
            return Moment.fold(task, task.scale(new))
        waits = isinstance(task, Mean) and task.centre is not None
        return [] if waits else task.fold(task.scale(new))

    def folds_of_centres(self, tasks: list[Task], new: list[Law]) -> Iterator[str]:
        """Means of a tile are added when its moments are done."""
        for task in tasks:
            if isinstance(task, Mean) and task.centre is not None:
                yield from task.fold(task.scale(new))

    def tile_array(self, name: str, n: int, zero: bool = False) -> list[str]:
        self.keep_in_tile(name, n)
        return lines_for(n, lambda c: f"{name}[{c}] = (V){{0}};") if zero else []

    def tile_total(self, law: Law) -> str:
        return f"{law.name}_part"

    def is_weighed(self, law: Law, new: bool) -> bool:
        """Whether the exponents of a law lie in its buffer, where its weights then replace them."""
        if law.name not in self.weighed:
            if not new and not self.made_with_product(law, is_new=False):
                return False
            self.weighed[law.name] = list(self.weights(law.name, new))
        return True

    def weights(self, law: str, new: bool) -> Iterator[str]:
        """The weights of a law in a tile, and their sum where the law is new."""
        block = range(self.group)
        exponents = [f"{self.place(f'{law}_exponents', u)}[j]" for u in block]
        shifted = [f"{e} - {self.place(f'{law}_top', u)}" for u, e in enumerate(exponents)]
        yield "{"
        yield f"  V {', '.join(f'part{u} = {{0}}' for u in block)};"
        yield "  #pragma GCC unroll 2"
        yield "  for (long j = 0; j < j1 - j0; ++j) {"
        yield f"    V all[] = {{{', '.join(shifted)}}};"
        yield f"    vexp2_nonpositive_of(all, {self.group});"
        yield f"    {' '.join(f'{place} = all[{u}];' for u, place in enumerate(exponents))}"
        yield f"    {' '.join(f'part{u} += all[{u}];' for u in block)}"
        yield "  }"
        for u in block if new else ():
            yield f"  {self.place(f'{law}_part', u)} = part{u};"
        yield "}"

    # ---- inner products of rows with atoms

    def staged(self, index: int, row: Axis | None) -> Array | None:
        """The inner product of a vector of the row with one of the atom, from the first phase."""
        if (index, row) not in self.stages:
            found = self.row_and_atoms(index, row)
            if found is None:
                return None
            name = self.keep_in_tile(self.name("dot"), self.tile)
            vector, atoms = self.row_value(found[0]).name, found[1]
            lines = list(
                inner_products(
                    self.places(vector),
                    self.factor(atoms),
                    lambda u, a: f"{self.place(name, u)}[j - j0 + {a}]",
                )
            )
            self.stages[index, row] = Array(f"(&{name}[j - j0])", (), True), lines
        return self.stages[index, row][0]

    def made_with_product(self, law: Law, is_new: bool) -> bool:
        """An energy that is an inner product: its exponents leave the product as they are.

        They are in powers of two, since the row vector is multiplied by log2 e before. Those of a
        new law tell its maximum.
        """
        row = operand_row(self.program, law.energy, self.axis)
        found = self.row_and_atoms(law.energy.index, row)
        if found is None:
            return False
        vector, atoms = found
        logs = self.tables.slot("logs", law.over.owner)
        lines = list(
            inner_products(
                self.places(self.scaled(vector).name),
                self.factor(atoms),
                lambda u, a: f"{self.place(f'{law.name}_exponents', u)}[j - j0 + {a}]",
                lambda a: f"SPLAT({logs}[j + {a} < j1 ? j + {a} : j])",
                (lambda u: self.place(f"{law.name}_tile", u)) if is_new else None,
            )
        )
        self.stages[-1 - law.energy.index, row] = Array("", (), True), lines
        return True

    def row_and_atoms(self, index: int, row: Axis | None) -> tuple[int, int] | None:
        """The row vector and the vectors of the atoms of which a pair is the inner product."""
        instruction = self.program.instructions[index]
        if instruction.op == "dot" and row is not None:
            for left, right in (instruction.operands, instruction.operands[::-1]):
                atoms = self.atoms(right, row)
                if atoms is not None and self.is_of_row(left, row):
                    return left.index, atoms
        return None

    def atoms(self, use: Use, row: Axis | None) -> int | None:
        """The instruction of a tensor that depends on the atom alone, if it is long enough."""
        long_enough = self.tables.components(use.index) >= _FEWEST
        return use.index if long_enough and self.is_of_atom(use, row) else None

    # ---- sums of coefficients times tensors of the atom

    def product(self, task: Task, loop: Loop, new: list[Law]) -> tuple[list[str], list[str]] | None:
        """The lines of a sum as a product, in every tile and after all; None where it is none."""
        if isinstance(task, Moment):
            return self.moment_product(task, loop, new)
        if not isinstance(task, (IntegralSum, Mean)):
            return None
        use = task.body if isinstance(task, IntegralSum) else task.slot
        found = self.factored(use, self.axis)
        if found is None:
            return None
        atoms, scalars = found
        factors = [loop.value(scalar, row).at(0) for scalar, row in scalars]
        buffer = self.coefficients(task, loop, new, factors)
        return list(self.sums(task, buffer, atoms, new)), []

    def factored(
        self, use: Use, row: Axis | None
    ) -> tuple[int, list[tuple[Use, Axis | None]]] | None:
        """A value as a tensor of the atom times scalars."""
        atoms = self.atoms(use, row)
        if atoms is not None:
            return atoms, []
        instruction, inner = (
            self.program.instructions[use.index],
            operand_row(self.program, use, row),
        )
        tensors = [
            u for u in value_operands(instruction) if self.program.instructions[u.index].rank
        ]
        if instruction.op != "mul" or len(tensors) != 1 or len(instruction.axes) < 2:
            return None
        atoms = self.atoms(tensors[0], inner)
        scalars = [(u, inner) for u in instruction.operands if u is not tensors[0]]
        return None if atoms is None else (atoms, scalars)

    def coefficients(self, task: Task, loop: Loop, new: list[Law], factors: list[str]) -> str:
        """The buffer of the weight of each atom times the factors."""
        law = task.law
        if law is None:
            weight = f"SPLAT({self.tables.slot('weights', task.over.owner)}[j])"
        else:
            weight = loop.weight(law, law in new)
        if law is not None and not factors:
            if law.name in self.weighed:
                return f"{law.name}_exponents"
            buffer = f"{law.name}_weights"
        else:
            buffer = self.name("coefficients")
        if buffer not in self.buffers:
            self.buffers.add(buffer)
            self.keep_in_tile(buffer, self.tile)
            loop.lines.append(f"{buffer}[j - j0] = {' * '.join([weight, *factors])};")
        return buffer

    def sums(
        self, task: Task, buffer: str, atoms: int, new: list[Law], first: str = "0", at: str = ""
    ) -> Iterator[str]:
        """`total[c] += sum_j coefficient_j * atom_j[c]` over a tile, from component `first` on."""
        assert task.total is not None
        scale, target = task.scale(new), task.total.name
        in_tile = isinstance(task, Mean) and task.centre is not None
        if in_tile:
            target = self.keep_in_tile(task.tile.name, self.tables.components(atoms))

        def add(u: int, c: str, part: str) -> str:
            place = f"{self.place(target, u)}[{at}{c}]"
            scaled = f"{place} * {self.place(scale, u)}" if scale else place
            return f"{place} = {part};" if in_tile else f"{place} = {scaled} + {part};"

        return weighted_sums(self.places(buffer), self.factor(atoms), add, first)

    def factor(self, atoms: int) -> Atoms:
        """The vectors of the atoms as a factor of a product of matrices."""
        self.products += 1
        return Atoms(self.tables.slot("atom", atoms), self.tables.components(atoms))

    def moment_product(
        self, task: Moment, loop: Loop, new: list[Law]
    ) -> tuple[list[str], list[str]] | None:
        """A central moment whose last tensor is of the atom: that one is centred after the sum."""
        tensors = [k for k in task.block if self.shapes[task.slots[k].index]]
        if not tensors or self.atoms(task.slots[tensors[-1]], self.axis) is None:
            return None
        last = tensors[-1]
        atoms = task.slots[last].index
        if len(tensors) > 1:
            return self.outer_product(task, loop, new, tensors)
        factors = [task.centred(loop, k).at(0) for k in task.block if k != last]
        buffer = self.coefficients(task, loop, new, factors)
        mean, in_tile = task.centre(last), isinstance(task, TileMoment)
        total, whole = task.total, self.declare(self.body, (), "whole")
        assert total is not None
        scale, part = task.scale(new), self.name("part")
        scaled = f"{whole.name}[0] * {scale}" if scale else f"{whole.name}[0]"
        self.zeros.append(f"V {part} = {{0}};")
        loop.lines.append(f"{part} += {buffer}[j - j0];")
        self.folds.append(f"{whole.name}[0] = {part if in_tile else f'{scaled} + {part}'};")
        centred = lines_for(
            prod(task.shape),
            lambda c: f"{total.name}[{c}] -= {whole.name}[0] * {mean.at(c)};",
        )
        if isinstance(task, TileMoment):
            self.merges += [*centred, *task.merge()]
            centred = []
        return list(self.sums(task, buffer, atoms, new)), centred

    def outer_product(
        self, task: Moment, loop: Loop, new: list[Law], tensors: list[int]
    ) -> tuple[list[str], list[str]] | None:
        """A matrix, row by row: the coefficients of a row are a centred component of the first."""
        first, last = tensors
        left, right = (task.slots[k].index for k in tensors)
        if self.atoms(task.slots[first], self.axis) is None:
            return None
        factors = [task.centred(loop, k).at(0) for k in task.block if k not in tensors]
        weights = self.coefficients(task, loop, new, factors)
        means, in_tile = [task.centre(k) for k in tensors], isinstance(task, TileMoment)
        assert task.total is not None
        (rows,), (columns,) = self.shapes[left], self.shapes[right]
        buffer, source = self.name("coefficients"), self.tables.slot("atom", left)
        self.keep_in_tile(buffer, self.tile)
        whole = self.declare(self.body, (rows,), "whole")
        factor = task.scale(new)
        scale = None if in_tile else self.place(factor, "@") if factor else "1"
        centre = f"{self.place(means[0].name, '@')}[a]" if means[0].is_vector else means[0].at("a")
        # For each vector u of the group, in place of @.
        each = lambda text: " ".join(text.replace("@", str(u)) for u in range(self.group))  # noqa: E731
        weight, coefficient = self.place(weights, "@"), self.place(buffer, "@")
        result = f"{self.place(whole.name, '@')}[a]"
        kept = f"{result} * {scale} + part@" if scale else "part@"
        coefficients = [
            "{",
            f"  {each(f'const V mean@ = {centre}; V part@ = {{0}};')}",
            f"  const T *f = {source} + j0 * {rows} + a;",
            f"  for (long j = 0; j < j1 - j0; ++j, f += {rows}) {{",
            "    const V b = SPLAT(*f);",
            f"    {each(f'const V value@ = {weight}[j] * (b - mean@);')}",
            f"    {each(f'{coefficient}[j] = value@; part@ += value@;')}",
            "  }",
            f"  {each(f'{result} = {kept};')}",
            "}",
        ]
        # Of a symmetric matrix, the part on and above the diagonal, in whole groups of columns.
        start = f"a / {COMPONENTS} * {COMPONENTS}" if left == right else "0"
        lines = [
            f"for (int a = 0; a < {rows}; ++a) {{",
            *indented(coefficients),
            *indented(list(self.sums(task, buffer, right, new, start, f"a * {columns} + "))),
            "}",
        ]
        total, at = task.total.name, f"a * {columns} + b"
        begin = "a" if left == right else "0"
        loops = f"for (int a = 0; a < {rows}; ++a) for (int b = {begin}; b < {columns}; ++b)"
        centred = [loops, f"  {total}[{at}] -= {whole.name}[a] * {means[1].at('b')};"]
        copied = [loops, f"  {total}[b * {columns} + a] = {total}[{at}];"] if left == right else []
        if isinstance(task, TileMoment):
            self.merges += [*centred, *task.merge(symmetric=left == right)]
            return lines, copied
        return lines, [*centred, *copied]


def _size(n: int) -> str:
    return f"[{n}]" if n else ""


def _for_atoms(lines: list[str]) -> list[str]:
    return [*ATOM_LOOP, *indented(lines), "}"] if lines else []


def _new_scales(new: list[Law]) -> list[str]:
    """The change of scale that the maximum of a tile asks for."""
    return [
        *(
            f"{law.name}_scale = vexp2_nonpositive({law.name}_top - {law.name}_tile);"
            for law in new
        ),
        *(f"{law.name}_top = {law.name}_tile;" for law in new),
    ]


def _most_components(tables: Tables) -> int:
    """The most components of a value that is made for every row or atom."""
    instructions = enumerate(tables.program.instructions)
    made = (tables.components(k) for k, instruction in instructions if instruction.axes)
    return max(made, default=1)


def render_native(program: Program, shapes: tuple[Shape, ...]) -> Kernel:
    """The kernel of a program, which takes `BLOCK` rows at a time.

    Raises:
        Unsupported: as for `render`.
    """
    tables = Tables(program, shapes)
    writers = [BlockWriter(tables, step) for step in schedule(program).steps]
    functions = [writer.function(number) for number, writer in enumerate(writers)]
    vectors = VECTORS
    if not any(writer.products for writer in writers):
        tables = Tables(program, shapes)
        plain = [InterleavedWriter(tables, step) for step in schedule(program).steps]
        functions = [writer.function(number) for number, writer in enumerate(plain)]
        vectors = INTERLEAVED
    # The same number of parentheses: only a power of -1/2 is written like this.
    text = "\n".join(functions).replace("1 / (vsqrt(", "(vrsqrt(")
    text = f"#define BLOCK ({vectors} * LANES)\n{text}"
    return Kernel(text, tuple(tables.slots), tuple(tables.counts))
