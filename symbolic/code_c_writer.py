"""How a C program is written: functions for push-forwards, nests of loops, and their variables."""

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from sympy import Expr, oo

from .binders import Cumulant, Integral, Pushforward, rank
from .code import Names, Scalars, Syntax, function_name
from .extrema import Supremum
from .matrices import (
    Columns,
    Diagonal,
    Identity,
    MatMul,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Outer,
    Rows,
    RowStack,
    Transpose,
    ZeroMatrix,
)
from .terms import (
    FreshPoint,
    Matrix,
    MatrixTerm,
    Measure,
    MeasureTerm,
    Scalar,
    Vector,
    VectorTerm,
    free_symbols,
)
from .vectors import Block, Stack, VectorSum, shape

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
        if isinstance(v, (Integral, Cumulant, Supremum)):
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
