"""NumPy programs: every value is an array whose leading axes are points.

Axis 0 is the query, then come the further points; the variable of a binder takes the first axis
after those of the points that are free in it, and its reduction removes that axis again.
"""

from functools import singledispatch
from typing import Any

from sympy import Basic, Expr, oo

from .binders import Cumulant, Integral, LogPartition, Pushforward, rank
from .code import Names, Scalars, Syntax, function_name, signed_sum
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
from .terms import (
    SLOT,
    BoundPoint,
    FreshPoint,
    Measure,
    MeasureTerm,
    Parameter,
    Point,
    free_symbols,
    make,
)
from .vectors import Basis, Block, Elementwise, Ones, Scaled, Stack, VectorSum, Zero

SYNTAX = Syntax(
    functions={name: f"np.{name}" for name in """exp log sin cos tan tanh sinh cosh sqrt sign
               floor""".split()} | {
        "Abs": "np.abs", "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan",
        "atan2": "np.arctan2", "asinh": "np.arcsinh", "acosh": "np.arccosh",
        "atanh": "np.arctanh", "ceiling": "np.ceil", "erf": "erf",
        "Heaviside": "np.heaviside",
    },
    power="({0}) ** {1}",
    choice="np.where({0}, {1}, {2})",
    logic={"And": " & ", "Or": " | ", "Not": "~"},
    maximum="np.maximum",
    minimum="np.minimum",
    nan="np.nan",
    language="numpy",
)  # fmt: skip


def numpy_program(formula: Any) -> str:
    """The program of a formula as a Python function of arrays."""
    names = Names({"points", "weights", "x", "np", "erf", "math"})
    queries = ["x", *(names.of(p) for p in formula.points)]
    parameters = [names.of(p) for p in formula.arguments]
    time = [] if formula.time is None else [names.of(formula.time)]
    writer = Writer(names)
    for axis, (point, name) in enumerate(zip((formula.x, *formula.points), queries, strict=True)):
        writer.axes[point] = axis
        writer.done[point] = _placed(name, axis)
    known = (*formula.arguments, *([] if formula.time is None else [formula.time]))
    writer.done |= dict(zip(known, parameters + time, strict=True))
    result = writer.at(formula.term, len(queries))
    sizes = ", ".join(f"len({q})" for q in queries)
    tail = f" + {result}.shape[-{rank(formula.term)}:]" if rank(formula.term) else ""
    full = f"({sizes},){tail}"
    arguments = ["points", "weights", *queries, *time, *(["*", *parameters] if parameters else [])]
    body = [f"# {_title(formula)}", *writer.lines, f"return np.broadcast_to({result}, {full})"]
    head = ["import numpy as np", "", ""]
    if any("erf(" in line for line in body):
        head = ["import math", "", *head[:1], "", "erf = np.vectorize(math.erf, otypes=[float])",
                "", ""]  # fmt: skip
    head.append(f"def {function_name(formula)}({', '.join(arguments)}):")
    return "\n".join([*head, *(f"    {line}" for line in body)]) + "\n"


def _title(formula: Any) -> str:
    return f"{function_name(formula)}({formula.mu}, {formula.x}) = {formula}"


def _placed(name: str, axis: int) -> str:
    """An array (n, d) with its points on one axis and axes of length one before it."""
    return name if axis == 0 else f"{name}[{'None, ' * axis}:, :]"


class Writer:
    """The lines of one program, and the variables that hold the terms already written."""

    def __init__(self, names: Names):
        self.names = names
        self.lines: list[str] = []
        self.done: dict[Basic, str] = {}
        self.axes: dict[Basic, int] = {}
        self.atoms: dict[tuple, FreshPoint] = {}
        self.pushed: dict[MeasureTerm, str] = {}

    def depth(self, term: Basic) -> int:
        """How many leading axes the array of a term has."""
        return 1 + max((self.axes[a] for a in free_symbols(term) if a in self.axes), default=-1)

    def assign(self, text: str, letter: str) -> str:
        name = self.names.new(letter)
        self.lines.append(f"{name} = {text}")
        return name

    def value(self, term: Any) -> str:
        """The variable that holds a term."""
        if term not in self.done:
            text = written(term, self)
            self.done[term] = self.assign(text, "caM"[rank(term)])
        return self.done[term]

    def at(self, term: Any, depth: int) -> str:
        """A term with as many leading axes as asked."""
        missing = depth - self.depth(term)
        name = self.value(term)
        if missing == 0 or self.depth(term) == 0:
            return name
        return f"{name}[..., {'None, ' * missing}{', '.join(':' * rank(term))}]".replace(", ]", "]")

    def pair(self, *terms: Any) -> list[str]:
        depth = max(map(self.depth, terms))
        return [self.at(t, depth) for t in terms]

    def opened(self, binder: Any) -> tuple[FreshPoint, list, int]:
        """A point for the atoms on the next free axis, and the parts there."""
        axis = self.depth(binder)
        key = (binder.measure, axis)
        if key not in self.atoms:
            point = self.atoms[key] = FreshPoint()
            self.axes[point] = axis
            self.done[point] = _placed(self.points_of(binder.measure), axis)
        point = self.atoms[key]
        return point, list(binder.parts_at(point)), axis

    def points_of(self, measure: MeasureTerm) -> str:
        """The variable with the atoms (n, d) of a measure."""
        if isinstance(measure, Measure):
            return "points"
        if measure not in self.pushed:
            assert isinstance(measure, Pushforward)
            if any(a in self.axes for a in free_symbols(measure)):
                raise ValueError(f"no program for the measure {measure} that moves with a point")
            y = FreshPoint()
            self.axes[y], self.done[y] = 0, self.points_of(measure.measure)
            self.pushed[measure] = self.value(measure.at(y))
        return self.pushed[measure]


@singledispatch
def written(term: Any, writer: Writer) -> str:
    """The right side of the assignment for a head."""
    raise ValueError(f"no program for {type(term).__name__} in {term}")


@written.register(Parameter)
@written.register(Point)
@written.register(BoundPoint)
def _(term: Any, writer: Writer) -> str:
    raise ValueError(f"the program has no argument for {term}")


@written.register
def _(term: Expr, writer: Writer) -> str:
    depth = writer.depth(term)
    return Scalars(SYNTAX, lambda part: writer.at(part, depth))(term)


# ---- vectors and matrices


@written.register(VectorSum)
@written.register(MatrixSum)
def _(term: Any, writer: Writer) -> str:
    depth = writer.depth(term)
    signed = [(_is_negative(a), a) for a in term.args]
    return signed_sum([(minus, writer.at(-a if minus else a, depth)) for minus, a in signed])


def _is_negative(term: Any) -> bool:
    scaled = isinstance(term, (Scaled, MatrixScaled))
    return scaled and bool(term.args[0].as_coeff_Mul()[0].is_negative)


@written.register(Scaled)
@written.register(MatrixScaled)
def _(term: Any, writer: Writer) -> str:
    c, v = term.args
    if c.is_number:
        return f"{Scalars(SYNTAX, str)(c)} * {writer.value(v)}"
    factor, core = writer.pair(c, v)
    if writer.depth(c):
        factor = f"({factor})[..., None]" if rank(v) == 1 else f"({factor})[..., None, None]"
    return f"{factor} * {core}"


@written.register
def _(term: MatVec, writer: Writer) -> str:
    m, v = term.args
    if isinstance(m, Diagonal):
        u, w = writer.pair(m.args[0], v)
        return f"{u} * {w}"
    if writer.depth(m) == 0:
        return f"{writer.value(v)} @ {writer.value(m)}.T"
    a, b = writer.pair(m, v)
    return f'np.einsum("...ij,...j->...i", {a}, {b})'


@written.register
def _(term: MatMul, writer: Writer) -> str:
    return " @ ".join(writer.pair(*term.args))


@written.register
def _(term: Outer, writer: Writer) -> str:
    u, v = writer.pair(*term.args)
    return f"({u})[..., :, None] * ({v})[..., None, :]"


@written.register
def _(term: Transpose, writer: Writer) -> str:
    return f"np.swapaxes({writer.value(term.args[0])}, -1, -2)"


@written.register
def _(term: Diagonal, writer: Writer) -> str:
    v = writer.value(term.args[0])
    return f"({v})[..., :, None] * np.eye({v}.shape[-1])"


@written.register
def _(term: Block, writer: Writer) -> str:
    v, i, j = term.args
    return f"({writer.value(v)})[..., {i}:{'' if j is oo else j}]"


@written.register
def _(term: Rows, writer: Writer) -> str:
    m, i, j = term.args
    return f"({writer.value(m)})[..., {i}:{'' if j is oo else j}, :]"


@written.register
def _(term: Component, writer: Writer) -> str:
    return f"({writer.value(term.args[0])})[..., {term.args[1]}]"


@written.register(Stack)
@written.register(RowStack)
def _(term: Any, writer: Writer) -> str:
    parts = [(p, t) for p, t in zip(term.args, writer.pair(*term.args), strict=True)]
    texts = [t if rank(p) else f"np.asarray({t})[..., None]" for p, t in parts]
    if len(texts) == 1:
        return texts[0]
    r = rank(term)  # parts may lack points that others have: broadcast the leading axes
    lead = ", ".join(f"({t}).shape[:-{r}]" for t in texts)
    lead = writer.assign(f"np.broadcast_shapes({lead})", "s")
    wide = ", ".join(f"np.broadcast_to({t}, {lead} + ({t}).shape[-{r}:])" for t in texts)
    return f"np.concatenate(({wide}), axis=-{r})"


@written.register
def _(term: Elementwise, writer: Writer) -> str:
    expression, v = term.args
    depth = writer.depth(term)
    t = writer.at(v, depth)

    def leaf(part: Any) -> str:
        if part is SLOT:
            return t
        return f"np.asarray({writer.at(part, depth)})[..., None]"

    return Scalars(SYNTAX, leaf, inline=True)(expression)


@written.register
def _(term: Zero, writer: Writer) -> str:
    return f"0.0 * ({writer.value(term.args[0])})"


@written.register
def _(term: Ones, writer: Writer) -> str:
    return f"np.ones_like({writer.value(term.args[0])})"


@written.register
def _(term: Basis, writer: Writer) -> str:
    i, like = term.args
    v = writer.value(like)
    return f"np.zeros_like({v}) + (np.arange({v}.shape[-1]) == {i})"


@written.register
def _(term: Identity, writer: Writer) -> str:
    v = writer.value(term.args[0])
    return f"np.zeros({v}.shape[:-1] + ({v}.shape[-1],) * 2) + np.eye({v}.shape[-1])"


@written.register
def _(term: ZeroMatrix, writer: Writer) -> str:
    u, v = writer.pair(*term.args)
    return f"0.0 * ({u})[..., :, None] * ({v})[..., None, :]"


# ---- scalars


@written.register
def _(term: Dot, writer: Writer) -> str:
    u, v = writer.pair(*term.args)
    return f"np.sum({u} * {v}, axis=-1)"


@written.register
def _(term: Trace, writer: Writer) -> str:
    return f"np.trace({writer.value(term.args[0])}, axis1=-2, axis2=-1)"


@written.register
def _(term: Dimension, writer: Writer) -> str:
    v = writer.value(term.args[0])
    return f"np.full({v}.shape[:-1], float({v}.shape[-1]))"


# ---- binders: the variable lies on the last leading axis, which the reduction removes


@written.register
def _(term: Integral, writer: Writer) -> str:
    _, (body,), axis = writer.opened(term)
    return _mean("weights", body, axis, writer)


def _mean(weights: str, body: Any, axis: int, writer: Writer) -> str:
    """The sum over the atoms of weights times the body."""
    if not rank(body):
        return f"np.sum({weights} * {writer.at(body, axis + 1)}, axis=-1)"
    letters = "ij"[: rank(body)]
    return f'np.einsum("...n,...n{letters}->...{letters}", {weights}, {writer.at(body, axis + 1)})'


def _law(term: Any, writer: Writer) -> tuple[str, str, int]:
    """Variables for `log Z` and for the probabilities of the atoms, and the axis of these."""
    key = make(LogPartition, term.variable, term.measure, term.parts[-1])
    _, parts, axis = writer.opened(key)
    law = ("law", key)
    if law not in writer.done:  # type: ignore[operator]
        energy = writer.at(parts[-1], axis + 1)
        scores = writer.assign(f"np.where(weights > 0, {energy} + 0.0 * weights, -np.inf)", "s")
        top = writer.assign(f"np.max({scores}, axis=-1, keepdims=True)", "m")
        kernel = writer.assign(f"weights * np.exp({scores} - {top})", "k")
        total = writer.assign(f"np.sum({kernel}, axis=-1, keepdims=True)", "z")
        log_z = writer.assign(f"({top} + np.log({total}))[..., 0]", "l")
        p = writer.assign(f"{kernel} / {total}", "p")
        writer.done[law] = log_z, p, axis  # type: ignore[index,assignment]
    return writer.done[law]  # type: ignore[index,return-value]


@written.register
def _(term: LogPartition, writer: Writer) -> str:
    return _law(term, writer)[0]


@written.register
def _(term: Supremum, writer: Writer) -> str:
    _, (body,), axis = writer.opened(term)
    counts = f"weights[:{', None' * rank(body)}] > 0"
    values = f"np.where({counts}, {writer.at(body, axis + 1)}, -np.inf)"
    return f"np.max({values}, axis={-1 - rank(body)})"


@written.register
def _(term: Cumulant, writer: Writer) -> str:
    _, p, before = _law(term, writer)
    _, (*slots, _), axis = writer.opened(term)
    p = p if axis == before else f"{p}[..., {'None, ' * (axis - before)}:]"
    if len(slots) == 1:
        return _mean(p, slots[0], axis, writer)
    centred = [_centred(h, p, axis, writer) for h in slots]
    products = [_product(centred, slots, b, p, writer) for _, b in central_moments(len(slots))]
    factors = [f for f, _ in central_moments(len(slots))]
    return " + ".join(f"{f} * {t}" if f != 1 else t for f, t in zip(factors, products, strict=True))


def _centred(slot: Any, p: str, axis: int, writer: Writer) -> str:
    mean = writer.assign(_mean(p, slot, axis, writer), "e")
    wide = f"np.expand_dims({mean}, -{rank(slot) + 1})"
    return writer.assign(f"{writer.at(slot, axis + 1)} - {wide}", "d")


def _product(centred: list, slots: list, blocks: tuple, p: str, writer: Writer) -> str:
    """The product of the moments of the blocks, with the tensor axes in the order of the slots."""
    letters = iter("ijkl")
    axes = {i: "".join(next(letters) for _ in range(rank(h))) for i, h in enumerate(slots)}
    inputs, found = [], []
    for block in blocks:
        factors = ",".join(["...n", *(f"...n{axes[i]}" for i in block)])
        inputs.append("..." + "".join(axes[i] for i in block))
        args = ", ".join([p, *(centred[i] for i in block)])
        found.append(writer.assign(f'np.einsum("{factors}->{inputs[-1]}", {args})', "u"))
    if len(found) == 1:
        return found[0]
    output = "..." + "".join(axes[i] for i in range(len(slots)))
    return f'np.einsum("{",".join(inputs)}->{output}", {", ".join(found)})'
