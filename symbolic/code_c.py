"""C and CUDA programs: one query at a time, a loop over the atoms for each binder.

A value that does not depend on the atom of a loop is computed before that loop. Dimensions are
macros: `D` for points, `ROWS_A` and `COLS_A` for a matrix A, `DIM_b` for a vector b; all are `D`
unless defined otherwise.
"""

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from sympy import Expr, oo

from .binders import Cumulant, Integral, LogPartition, Pushforward, rank
from .code import Names, Scalars, Syntax, function_name
from .gateaux import central_moments
from .terms import (
    SLOT,
    Basis,
    Block,
    Columns,
    Component,
    Diagonal,
    Dimension,
    Dot,
    Elementwise,
    FreshPoint,
    Identity,
    MatMul,
    Matrix,
    MatrixScaled,
    MatrixSum,
    MatrixTerm,
    MatVec,
    Measure,
    MeasureTerm,
    Ones,
    Outer,
    Rows,
    RowStack,
    Scalar,
    Scaled,
    Stack,
    Trace,
    Transpose,
    Vector,
    VectorSum,
    VectorTerm,
    Zero,
    ZeroMatrix,
    free_symbols,
    shape,
)

SYNTAX = Syntax(
    functions={name: name for name in """exp log sin cos tan tanh sinh cosh sqrt asin acos atan
               atan2 asinh acosh atanh erf floor""".split()} | {
        "Abs": "fabs", "ceiling": "ceil", "sign": "pf_sign", "Heaviside": "pf_heaviside",
    },
    power="pow({0}, {1})",
    choice="({0} ? {1} : {2})",
    logic={"And": " && ", "Or": " || ", "Not": "!"},
    maximum="fmax",
    minimum="fmin",
    nan="NAN",
    language="c",
)  # fmt: skip

HELPERS = {
    "pf_sign": "double pf_sign(double t) { return (t > 0) - (t < 0); }",
    "pf_heaviside": (
        "double pf_heaviside(double t, double at) { return t > 0 ? 1 : t < 0 ? 0 : at; }"
    ),
}


def c_program(formula: Any, device: bool) -> str:
    """The program of a formula in C, or as CUDA kernels."""
    return Program(formula, device).text()


@dataclass(frozen=True)
class Layer:
    """The function that moves the atoms of a push-forward, and the array that it fills."""

    function: str
    source: str  # the array of the atoms that it moves
    array: str
    dimension: str
    before: tuple[str, ...]  # arrays of earlier layers


class Program:
    """All functions of a program: one for each push-forward, and the formula's own."""

    def __init__(self, formula: Any, device: bool):
        self.formula, self.device = formula, device
        self.name = function_name(formula)
        self.names = Names({"points", "weights", "x", "n", "m", "q", "out", "i", "j", "r", "D"})
        self.macros: set[str] = set()
        self.functions: list[str] = []
        self.layers: dict[MeasureTerm, Layer] = {}
        atoms = [*formula.arguments, *([] if formula.time is None else [formula.time])]
        self.parameters = {a: self.names.of(a) for a in atoms}

    def text(self) -> str:
        formula = self.formula
        queries = {formula.x: ("x", "m", "D")}
        for p in formula.points:
            queries[p] = (self.names.of(p), self.names.new("m"), "D")
        self.function(self.name, formula.term, queries, last=True)
        if self.layers and not self.device:
            self.functions.append(self.driver(queries))
        title = f"/* {self.name}({formula.mu}, {formula.x}) = {formula} */"
        return "\n".join([title, *self.head(), *self.functions]) + "\n"

    def head(self) -> list[str]:
        lines = [] if self.device else ["#include <math.h>", "#include <stdlib.h>"]
        for macro in ("D", *sorted(self.macros)):
            lines += [f"#ifndef {macro}", f"#define {macro} {3 if macro == 'D' else 'D'}", "#endif"]
        kind = "__device__ " if self.device else "static "
        body = "".join(self.functions)
        return lines + [kind + line for key, line in HELPERS.items() if f"{key}(" in body]

    def macro(self, name: str) -> str:
        self.macros.add(name)
        return name

    def signature(self, name: str, queries: dict, layers: Any) -> str:
        arguments = ["const double *points", "const double *weights", "int n"]
        for array, size, _ in queries.values():
            arguments += [f"const double *{array}", f"int {size}"]
        for atom, text in self.parameters.items():
            arguments.append(f"{'double ' if isinstance(atom, Scalar) else 'const double *'}{text}")
        arguments += [f"const double *{array}" for array in layers]
        return f"void {name}({', '.join(arguments)}, double *out)"

    def function(self, name: str, term: Any, queries: dict, last: bool = False) -> str:
        """Write the function that evaluates a term at its query points; its size."""
        writer = Writer(self)
        rest = "q"
        for k, (point, (array, size, dimension)) in reversed(list(enumerate(queries.items()))):
            index = self.names.new("i")
            writer.root.lines.append(
                f"const long {index} = {rest if k == 0 else f'{rest} % {size}'};"
            )
            rest = f"({rest} / {size})"
            writer.place(point, array, index, dimension, writer.root)
        value, count = writer.value(term), writer.size(term)
        writer.root.lines += (
            [f"for (int i = 0; i < {count}; i++) out[q * ({count}) + i] = {value}[i];"]
            if rank(term) else [f"out[q] = {value};"]
        )  # fmt: skip
        total = " * ".join(["(long)1", *(size for _, size, _ in queries.values())])
        layers = [layer.array for layer in self.layers.values()]
        inner = not last or (bool(layers) and not self.device)
        head = self.signature(f"{name}_at" if last and inner else name, queries, layers)
        if self.device:
            loop = ["const long q = blockIdx.x * (long)blockDim.x + threadIdx.x;",
                    f"if (q >= {total}) return;", *writer.root.lines]  # fmt: skip
            head = f'extern "C" __global__ {head}'
        else:
            body = [f"    {line}" for line in writer.root.lines]
            loop = [f"for (long q = 0; q < {total}; q++) {{", *body, "}"]
            head = f"static {head}" if inner else head
        self.functions.append("\n".join(["", head + " {", *(f"    {x}" for x in loop), "}"]))
        return count

    def atoms_of(self, measure: MeasureTerm) -> tuple[str, str]:
        """The array with the atoms of a measure, and their dimension."""
        if isinstance(measure, Measure):
            return "points", "D"
        assert isinstance(measure, Pushforward)
        if measure not in self.layers:
            if any(isinstance(a, VectorTerm) and not isinstance(a, Vector)
                   for a in free_symbols(measure)):  # fmt: skip
                raise ValueError(f"no program for the measure {measure} that moves with a point")
            array, dimension = self.atoms_of(measure.measure)
            y = FreshPoint()
            name = f"{self.name}_layer{len(self.layers) + 1}"
            before = tuple(layer.array for layer in self.layers.values())
            size = self.function(name, measure.at(y), {y: ("x", "m", dimension)})
            self.layers[measure] = Layer(name, array, self.names.new("atoms"), size, before)
        return self.layers[measure].array, self.layers[measure].dimension

    def driver(self, queries: dict) -> str:
        """The C function that moves the atoms layer by layer and then evaluates."""
        given = list(self.parameters.values())
        lines = [self.signature(self.name, queries, ()) + " {"]
        for layer in self.layers.values():
            lines.append(f"    double *{layer.array} = "
                         f"malloc(sizeof(double) * n * ({layer.dimension}));")  # fmt: skip
            args = ["points", "weights", "n", layer.source, "n", *given, *layer.before, layer.array]
            lines.append(f"    {layer.function}({', '.join(args)});")
        asked = [a for array, size, _ in queries.values() for a in (array, size)]
        arrays = [layer.array for layer in self.layers.values()]
        args = ["points", "weights", "n", *asked, *given, *arrays, "out"]
        lines.append(f"    {self.name}_at({', '.join(args)});")
        lines += [f"    free({array});" for array in arrays]
        return "\n".join(["", *lines, "}"])


@dataclass(eq=False)
class Nest:
    """The lines of one block, and the variables that it holds."""

    lines: list[str] = field(default_factory=list)
    done: dict[Any, str] = field(default_factory=dict)


class Writer:
    """The lines of one function, with the nests of loops that are open."""

    def __init__(self, program: Program):
        self.program = program
        self.root = Nest()
        self.stack = [self.root]
        self.homes: dict[Any, Nest] = {}
        self.placed: dict[Any, tuple[str, str]] = {}

    def place(self, point: Any, array: str, index: str, dimension: str, nest: Nest) -> None:
        name = self.program.names.new("v")
        nest.lines.append(f"const double *{name} = {array} + {index} * ({dimension});")
        self.placed[point] = name, dimension
        self.homes[point] = nest

    def home(self, term: Any) -> Nest:
        """The innermost open nest on which a term depends."""
        nests = [self.homes[a] for a in free_symbols(term) if a in self.homes]
        return max(nests, key=self.stack.index, default=self.root)

    def value(self, term: Any) -> str:
        """The variable that holds a term; a pointer for vectors and, by rows, for matrices."""
        if term in self.placed:
            return self.placed[term][0]
        if term in self.program.parameters:
            return self.program.parameters[term]
        nest = self.home(term)
        if term not in nest.done:
            nest.done[term] = emit(term, self, nest)
        return nest.done[term]

    def scalar(self, text: str, nest: Nest, letter: str = "c") -> str:
        name = self.program.names.new(letter)
        nest.lines.append(f"const double {name} = {text};")
        return name

    def array(self, count: str, nest: Nest, letter: str = "a", start: str = "") -> str:
        name = self.program.names.new(letter)
        nest.lines.append(f"double {name}[{count}];")
        if start:
            nest.lines.append(f"for (int i = 0; i < {count}; i++) {name}[i] = {start};")
        return name

    def filled(self, count: str, text: str, nest: Nest) -> str:
        """An array whose entry i is the text."""
        return self.array(count, nest, start=text)

    def loop(self, binder: Any, nest: Nest) -> "Loop":
        return Loop(self, binder, nest)

    # dimensions

    def dim(self, v: Any) -> str:
        """The number of components of a vector, as an expression of macros."""
        if not isinstance(v, VectorTerm):
            return "1"
        v = shape(v)
        if v in self.placed:
            return self.placed[v][1]
        if isinstance(v, Vector):
            return self.program.macro(f"DIM_{self.program.parameters[v]}")
        if isinstance(v, Columns):
            return self.columns(v.args[0])
        if isinstance(v, MatVec):
            return self.rows(v.args[0])
        if isinstance(v, Block):
            inner, i, j = v.args
            return f"({self.dim(inner)} - {i})" if j is oo else f"({j} - {i})"
        if isinstance(v, Stack):
            return "(" + " + ".join(map(self.dim, v.args)) + ")"
        if isinstance(v, VectorSum):
            return self.dim(v.args[0])
        if isinstance(v, (Integral, Cumulant)):
            y = FreshPoint()
            self.placed[y] = "", self.program.atoms_of(v.measure)[1]
            return self.dim(next(h for h in v.parts_at(y) if rank(h)))
        raise ValueError(f"no program for {type(v).__name__} in {v}")

    def rows(self, m: Any) -> str:
        if isinstance(m, Matrix):
            return self.program.macro(f"ROWS_{self.program.parameters[m]}")
        if isinstance(m, (MatMul, MatrixSum)):
            return self.rows(m.args[0])
        if isinstance(m, (Outer, ZeroMatrix, Identity, Diagonal)):
            return self.dim(m.args[0])
        if isinstance(m, MatrixScaled):
            return self.rows(m.args[1])
        if isinstance(m, Transpose):
            return self.columns(m.args[0])
        if isinstance(m, Rows):
            inner, i, j = m.args
            return f"({self.rows(inner)} - {i})" if j is oo else f"({j} - {i})"
        if isinstance(m, RowStack):
            return "(" + " + ".join(map(self.rows, m.args)) + ")"
        return self.bound_sizes(m)[0]

    def columns(self, m: Any) -> str:
        if isinstance(m, Matrix):
            return self.program.macro(f"COLS_{self.program.parameters[m]}")
        if isinstance(m, (MatMul, MatrixScaled)):
            return self.columns(m.args[-1])
        if isinstance(m, (MatrixSum, Rows, RowStack)):
            return self.columns(m.args[0])
        if isinstance(m, (Outer, ZeroMatrix)):
            return self.dim(m.args[1])
        if isinstance(m, (Identity, Diagonal)):
            return self.dim(m.args[0])
        if isinstance(m, Transpose):
            return self.rows(m.args[0])
        return self.bound_sizes(m)[1]

    def bound_sizes(self, m: Any) -> tuple[str, str]:
        """Rows and columns of a matrix integral or cumulant."""
        y = FreshPoint()
        self.placed[y] = "", self.program.atoms_of(m.measure)[1]
        tensors = [h for h in m.parts_at(y) if rank(h)]
        if rank(tensors[0]) == 2:
            return self.rows(tensors[0]), self.columns(tensors[0])
        return self.dim(tensors[0]), self.dim(tensors[1])

    def size(self, term: Any) -> str:
        """The number of entries of a term."""
        if isinstance(term, MatrixTerm):
            return f"({self.rows(term)}) * ({self.columns(term)})"
        return self.dim(term)


class Loop:
    """A loop over the atoms of a binder's measure; `with` it open, values go inside."""

    def __init__(self, writer: Writer, binder: Any, nest: Nest):
        self.writer, self.binder, self.nest = writer, binder, nest
        self.inside = Nest()

    def __enter__(self) -> "Loop":
        writer = self.writer
        array, dimension = writer.program.atoms_of(self.binder.measure)
        self.index = writer.program.names.new("k")
        self.before = writer.stack
        writer.stack = [*writer.stack[: writer.stack.index(self.nest) + 1], self.inside]
        y = FreshPoint()
        writer.place(y, array, self.index, dimension, self.inside)
        self.parts = self.binder.parts_at(y)
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.stack = self.before
        k = self.index
        self.nest.lines.append(f"for (int {k} = 0; {k} < n; {k}++) {{")
        self.nest.lines.append(f"    if (!(weights[{k}] > 0)) continue;")
        self.nest.lines += [f"    {line}" for line in self.inside.lines] + ["}"]

    def add(self, line: str) -> None:
        self.inside.lines.append(line)


@singledispatch
def emit(term: Any, writer: Writer, nest: Nest) -> str:
    """Write a head into a nest; the name of its variable."""
    raise ValueError(f"no program for {type(term).__name__} in {term}")


@emit.register
def _(term: Expr, writer: Writer, nest: Nest) -> str:
    return writer.scalar(Scalars(SYNTAX, writer.value)(term), nest)


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


def _zeroed(term: Any, count: str, writer: Writer, nest: Nest) -> str:
    if rank(term):
        return writer.array(count, nest, start="0")
    name = writer.program.names.new("c")
    nest.lines.append(f"double {name} = 0;")
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
    total = _zeroed(term, count, writer, nest)
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
        total = _zeroed(term, sizes[0], writer, nest)
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
