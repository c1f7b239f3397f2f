"""C and CUDA programs: one query at a time, a loop over the atoms for each binder.

A value that does not depend on the atom of a loop is computed before that loop. Dimensions are
macros: `D` for points, `ROWS_A` and `COLS_A` for a matrix A, `DIM_b` for a vector b; all are `D`
unless defined otherwise.
"""

from typing import Any

from .binders import Cumulant, Integral, LogPartition, rank
from .code import Scalars
from .code_c_writer import SYNTAX, Loop, Nest, Program, Writer, emit
from .extrema import Supremum
from .gateaux import central_moments
from .matrices import (
    Diagonal,
    Identity,
    MatMul,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Outer,
    Rows,
    RowStack,
    Trace,
    Transpose,
    ZeroMatrix,
)
from .scalars import Component, Dimension, Dot
from .terms import SLOT, FreshPoint, free_symbols
from .vectors import Basis, Block, Elementwise, Ones, Scaled, Stack, VectorSum, Zero


def c_program(formula: Any, device: bool) -> str:
    """The program of a formula in C, or as CUDA kernels."""
    return Program(formula, device).text()


# ---- vectors and matrices


@emit.register(VectorSum)
@emit.register(MatrixSum)
def _(term: Any, writer: Writer, nest: Nest) -> str:
    parts = " + ".join(f"{writer.value(a)}[i]" for a in term.args)
    return writer.filled(writer.size(term), parts, nest)


@emit.register(Scaled)
@emit.register(MatrixScaled)
def _(term: Any, writer: Writer, nest: Nest) -> str:
    c, v = term.args
    factor = Scalars(SYNTAX, str)(c) if c.is_number else writer.value(c)
    return writer.filled(writer.size(term), f"{factor} * {writer.value(v)}[i]", nest)


@emit.register
def _(term: MatVec, writer: Writer, nest: Nest) -> str:
    m, v = term.args
    rows = writer.rows(m)
    if isinstance(m, Diagonal):
        return writer.filled(rows, f"{writer.value(m.args[0])}[i] * {writer.value(v)}[i]", nest)
    turned = isinstance(m, Transpose)
    matrix, vector = writer.value(m.args[0] if turned else m), writer.value(v)
    columns = writer.columns(m)
    entry = f"{matrix}[j * ({rows}) + i]" if turned else f"{matrix}[i * ({columns}) + j]"
    result = writer.array(rows, nest, start="0")
    nest.lines.append(f"for (int i = 0; i < {rows}; i++) for (int j = 0; j < {columns}; j++) "
                      f"{result}[i] += {entry} * {vector}[j];")  # fmt: skip
    return result


@emit.register
def _(term: MatMul, writer: Writer, nest: Nest) -> str:
    left, right = term.args[0], MatMul(*term.args[1:])
    a, b = writer.value(left), writer.value(right)
    rows, inner, columns = writer.rows(left), writer.columns(left), writer.columns(right)
    result = writer.array(f"({rows}) * ({columns})", nest, "M", start="0")
    nest.lines.append(
        f"for (int i = 0; i < {rows}; i++) for (int j = 0; j < {columns}; j++) "
        f"for (int r = 0; r < {inner}; r++) {result}[i * ({columns}) + j] += "
        f"{a}[i * ({inner}) + r] * {b}[r * ({columns}) + j];"
    )
    return result


def _entries(term: Any, text: str, writer: Writer, nest: Nest) -> str:
    """A matrix whose entry i, j is the text."""
    rows, columns = writer.rows(term), writer.columns(term)
    result = writer.array(f"({rows}) * ({columns})", nest, "M")
    nest.lines.append(f"for (int i = 0; i < {rows}; i++) for (int j = 0; j < {columns}; j++) "
                      f"{result}[i * ({columns}) + j] = {text};")  # fmt: skip
    return result


@emit.register
def _(term: Outer, writer: Writer, nest: Nest) -> str:
    u, v = map(writer.value, term.args)
    return _entries(term, f"{u}[i] * {v}[j]", writer, nest)


@emit.register
def _(term: Transpose, writer: Writer, nest: Nest) -> str:
    inner = term.args[0]
    entry = f"{writer.value(inner)}[j * ({writer.columns(inner)}) + i]"
    return _entries(term, entry, writer, nest)


@emit.register
def _(term: Diagonal, writer: Writer, nest: Nest) -> str:
    return _entries(term, f"i == j ? {writer.value(term.args[0])}[i] : 0", writer, nest)


@emit.register
def _(term: Identity, writer: Writer, nest: Nest) -> str:
    return _entries(term, "i == j", writer, nest)


@emit.register
def _(term: ZeroMatrix, writer: Writer, nest: Nest) -> str:
    return _entries(term, "0", writer, nest)


@emit.register
def _(term: Rows, writer: Writer, nest: Nest) -> str:
    inner, start, _ = term.args
    entry = f"{writer.value(inner)}[(i + {start}) * ({writer.columns(inner)}) + j]"
    return _entries(term, entry, writer, nest)


@emit.register
def _(term: Block, writer: Writer, nest: Nest) -> str:
    inner, start, _ = term.args
    return writer.filled(writer.dim(term), f"{writer.value(inner)}[i + {start}]", nest)


@emit.register(Stack)
@emit.register(RowStack)
def _(term: Any, writer: Writer, nest: Nest) -> str:
    values = [(a, writer.value(a)) for a in term.args]
    result = writer.array(writer.size(term), nest)
    offset = "0"
    for a, value in values:
        if rank(a):
            nest.lines.append(f"for (int i = 0; i < {writer.size(a)}; i++) "
                              f"{result}[{offset} + i] = {value}[i];")  # fmt: skip
        else:
            nest.lines.append(f"{result}[{offset}] = {value};")
        offset += f" + {writer.size(a)}"
    return result


@emit.register
def _(term: Elementwise, writer: Writer, nest: Nest) -> str:
    expression, v = term.args
    inner = writer.value(v)

    def leaf(part: Any) -> str:
        return f"{inner}[i]" if part is SLOT else writer.value(part)

    text = Scalars(SYNTAX, leaf, inline=True)(expression)
    return writer.filled(writer.dim(term), text, nest)


@emit.register
def _(term: Zero, writer: Writer, nest: Nest) -> str:
    return writer.filled(writer.dim(term), "0", nest)


@emit.register
def _(term: Ones, writer: Writer, nest: Nest) -> str:
    return writer.filled(writer.dim(term), "1", nest)


@emit.register
def _(term: Basis, writer: Writer, nest: Nest) -> str:
    return writer.filled(writer.dim(term), f"i == {term.args[0]}", nest)


# ---- scalars


@emit.register
def _(term: Component, writer: Writer, nest: Nest) -> str:
    return writer.scalar(f"{writer.value(term.args[0])}[{term.args[1]}]", nest)


@emit.register
def _(term: Dimension, writer: Writer, nest: Nest) -> str:
    return writer.scalar(writer.dim(term.args[0]), nest)


def _sum(count: str, text: str, writer: Writer, nest: Nest) -> str:
    name = writer.program.names.new("c")
    nest.lines += [f"double {name} = 0;", f"for (int i = 0; i < {count}; i++) {name} += {text};"]
    return name


@emit.register
def _(term: Dot, writer: Writer, nest: Nest) -> str:
    u, v = map(writer.value, term.args)
    return _sum(writer.dim(term.args[0]), f"{u}[i] * {v}[i]", writer, nest)


@emit.register
def _(term: Trace, writer: Writer, nest: Nest) -> str:
    m = term.args[0]
    columns = writer.columns(m)
    return _sum(columns, f"{writer.value(m)}[i * ({columns}) + i]", writer, nest)


# ---- binders


def _started(term: Any, count: str, writer: Writer, nest: Nest, start: str = "0") -> str:
    if rank(term):
        return writer.array(count, nest, start=start)
    name = writer.program.names.new("c")
    nest.lines.append(f"double {name} = {start};")
    return name


def _accumulate(total: str, weight: str, body: Any, loop: Loop, count: str) -> None:
    value = loop.writer.value(body)
    if rank(body):
        loop.add(f"for (int i = 0; i < {count}; i++) {total}[i] += {weight} * {value}[i];")
    else:
        loop.add(f"{total} += {weight} * {value};")


@emit.register
def _(term: Integral, writer: Writer, nest: Nest) -> str:
    if not rank(term) and not writer_needs_atom(term):
        return _mass(term, writer, nest)
    count = writer.size(term) if rank(term) else "1"
    total = _started(term, count, writer, nest)
    with writer.loop(term, nest) as loop:
        _accumulate(total, f"weights[{loop.index}]", loop.parts[0], loop, count)
    return total


def writer_needs_atom(term: Integral) -> bool:
    """Whether the body reads the atom: the mass of a measure does not."""
    return term.variable in free_symbols(term.parts[0])


def _mass(term: Any, writer: Writer, nest: Nest) -> str:
    name = writer.program.names.new("c")
    nest.lines += [f"double {name} = 0;", f"for (int i = 0; i < n; i++) {name} += weights[i];"]
    return name


@emit.register
def _(term: LogPartition, writer: Writer, nest: Nest) -> str:
    """The running maximum t and the sum z of exp(score - t)."""
    t, z = writer.program.names.new("t"), writer.program.names.new("z")
    nest.lines += [f"double {t} = -INFINITY;", f"double {z} = 0;"]
    with writer.loop(term, nest) as loop:
        s = writer.value(loop.parts[-1])
        w = f"weights[{loop.index}]"
        loop.add(f"if ({s} > {t}) {{ {z} = {z} * exp({t} - ({s})) + {w}; {t} = {s}; }}")
        loop.add(f"else {z} += {w} * exp({s} - {t});")
    return writer.scalar(f"{t} + log({z})", nest, "l")


@emit.register
def _(term: Supremum, writer: Writer, nest: Nest) -> str:
    count, place = (writer.size(term), "[i]") if rank(term) else ("1", "")
    top = _started(term, count, writer, nest, "-INFINITY")
    with writer.loop(term, nest) as loop:
        value = writer.value(loop.parts[0])
        each = f"for (int i = 0; i < {count}; i++) " if rank(term) else ""
        loop.add(f"{each}{top}{place} = fmax({top}{place}, {value}{place});")
    return top


def _probability(loop: Loop, log_z: str) -> str:
    score = loop.writer.value(loop.parts[-1])
    text = f"weights[{loop.index}] * exp({score} - {log_z})"
    return loop.writer.scalar(text, loop.inside, "p")


@emit.register
def _(term: Cumulant, writer: Writer, nest: Nest) -> str:
    law = (term.variable, term.measure, term.energy)
    if term.energy.is_number:  # the law of the measure itself
        log_z = writer.scalar(f"log({_mass(term, writer, nest)})", nest, "l")
    else:
        log_z = writer.value(LogPartition(*law))
    sizes = _sizes(term, writer)
    if len(term.slots) == 1:
        total = _started(term, sizes[0], writer, nest)
        with writer.loop(term, nest) as loop:
            p = _probability(loop, log_z)
            _accumulate(total, p, loop.parts[0], loop, sizes[0])
        return total
    means = [writer.value(Cumulant((h,), *law)) for h in term.slots]
    found = {}
    for _, blocks in central_moments(len(term.slots)):
        for block in blocks:
            if block not in found:
                found[block] = _moment(term, block, means, log_z, sizes, writer, nest)
    return _combined(term, found, sizes, writer, nest)


def _sizes(term: Cumulant, writer: Writer) -> list[str]:
    y = FreshPoint()
    writer.placed[y] = "", writer.program.atoms_of(term.measure)[1]
    return [writer.size(h) if rank(h) else "1" for h in term.at(y)[0]]


def _moment(
    term: Any, block: tuple, means: list, log_z: str, sizes: list, writer: Writer, nest: Nest
) -> str:
    """The mean of the product of the centred slots of a block, an array by rows."""
    tensors = [i for i in block if rank(term.slots[i])]
    count = " * ".join(f"({sizes[i]})" for i in tensors) or "1"
    total = writer.array(count, nest, "u", start="0")
    with writer.loop(term, nest) as loop:
        p = _probability(loop, log_z)
        values = [writer.value(h) for h in loop.parts[:-1]]
        factors = [p] + [f"({values[i]} - {means[i]})" for i in block if i not in tensors]
        steps = ""
        place = "0"
        for i, letter in zip(tensors, "ij", strict=False):
            steps += f"for (int {letter} = 0; {letter} < {sizes[i]}; {letter}++) "
            factors.append(f"({values[i]}[{letter}] - {means[i]}[{letter}])")
            place = letter if place == "0" else f"{place} * ({sizes[i]}) + {letter}"
        loop.add(f"{steps}{total}[{place}] += {' * '.join(factors)};")
    return total


def _combined(term: Any, found: dict, sizes: list, writer: Writer, nest: Nest) -> str:
    """The cumulant from the moments of its blocks."""
    tensors = [i for i, h in enumerate(term.slots) if rank(h)]
    letters = dict(zip(tensors, "ij", strict=False))
    texts = []
    for factor, blocks in central_moments(len(term.slots)):
        product = [f"{factor}.0"]
        for block in blocks:
            place = "0"
            for i in (i for i in block if i in letters):
                place = letters[i] if place == "0" else f"{place} * ({sizes[i]}) + {letters[i]}"
            product.append(f"{found[block]}[{place}]")
        texts.append(" * ".join(product))
    text = " + ".join(texts)
    if not tensors:
        return writer.scalar(text, nest)
    if len(tensors) == 1:
        return writer.filled(sizes[tensors[0]], text, nest)
    i, j = (sizes[t] for t in tensors)
    result = writer.array(f"({i}) * ({j})", nest, "M")
    nest.lines.append(f"for (int i = 0; i < {i}; i++) for (int j = 0; j < {j}; j++) "
                      f"{result}[i * ({j}) + j] = {text};")  # fmt: skip
    return result
