"""The reference: a plain interpreter that does what each instruction says, without tiles or tricks.

Values are arrays with the components first and then one dimension for each axis, so that a scalar
value broadcasts against the components of a tensor. It runs in any arithmetic that NumPy arrays can
hold: float64 here, multiprecision numbers elsewhere.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import scipy.special

from .program import LIKE, UNARY, Axis, Instruction, Program, Use
from .registered import FUNCTIONS
from .shapes import Shape, component_shapes

CONSTANTS = {
    "pi": math.pi,
    "e": math.e,
    "euler": 0.5772156649015329,
    "phi": (1 + math.sqrt(5)) / 2,
    "inf": math.inf,
    "-inf": -math.inf,
    "nan": math.nan,
    "true": True,
    "false": False,
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a program is evaluated at; atoms of weight zero have been left out.

    Args:
        points: the rows (m, d) of each point argument, by name.
        measures: the atoms (n, d) and weights (n,) of each measure, by name.
        parameters: the value of each parameter, by name.
    """

    points: Mapping[str, Any]
    measures: Mapping[str, tuple[Any, Any]]
    parameters: Mapping[str, Any]

    def shapes(self, program: Program) -> tuple[Shape, ...]:
        """The component shape of every instruction; ValueError where they do not fit."""
        dims = {name: rows.shape[1] for name, rows in self.points.items()}
        dims |= {name: atoms.shape[1] for name, (atoms, _) in self.measures.items()}
        parameters = {name: tuple(value.shape) for name, value in self.parameters.items()}
        return component_shapes(program, dims, parameters)

    def count(self, axis: Axis) -> int:
        """The number of indices of an axis."""
        rows = self.measures[axis.owner][0] if axis.is_atoms else self.points[axis.owner]
        return rows.shape[0]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How numbers are made and functions of them evaluated, elementwise on arrays."""

    array: Callable[[Any], np.ndarray]
    constant: Callable[[str], Any]
    functions: Mapping[str, Callable[..., np.ndarray]]
    power: Callable[[np.ndarray, Fraction], np.ndarray]
    registered: Callable[[Callable[[Any, Any], Any]], Callable[[np.ndarray], np.ndarray]]


def interpret(
    program: Program, inputs: Inputs, order: tuple[str, ...], arithmetic: Arithmetic | None = None
) -> np.ndarray:
    """The value of a program, as an array with one dimension a point argument, then components.

    Args:
        program: the program.
        inputs: points, measures and parameters.
        order: the names of the point arguments in the order of the dimensions of the result.
        arithmetic: float64 by default.

    Raises:
        ValueError: shapes that do not fit.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> x, y = builder.point("x"), builder.atoms("mu", Axis("mu", 0))
    >>> score = builder.emit("dot", x, y)
    >>> program = builder.program(builder.emit("cumulant", score, y, over=Axis("mu", 0)))
    >>> atoms, weights = np.array([[-1.0], [1.0]]), np.array([0.5, 0.5])
    >>> inputs = Inputs({"x": np.array([[1.0]])}, {"mu": (atoms, weights)}, {})
    >>> interpret(program, inputs, ("x",)).round(6).tolist() == [[round(math.tanh(1), 6)]]
    True
    """
    run = _Run(program, inputs, arithmetic or FLOAT64)
    needed, values = program.needed(), []
    with np.errstate(all="ignore"):
        for index, instruction in enumerate(program.instructions):
            values.append(run.value(index, instruction, values) if index in needed else None)
    return arranged(program, inputs, order, values[program.result.index], run.shapes)


def arranged(program, inputs, order, value, shapes) -> np.ndarray:
    """The result with one dimension a point argument, in this order, then the components."""
    axes = tuple(Axis(name) for name in order)
    rank = program.rank
    value = aligned(value, program.result, rank, axes)
    counts = tuple(inputs.count(axis) for axis in axes)
    value = np.broadcast_to(value, (*shapes[program.result.index], *counts))
    return np.moveaxis(value, range(rank), range(-rank, 0)) if rank else value


def aligned(array: np.ndarray, use: Use, rank: int, axes: tuple[Axis, ...]) -> np.ndarray:
    """The operand with its components first and one dimension for each of the axes."""
    places = [axes.index(axis) for axis in use.axes]
    order = sorted(range(len(places)), key=places.__getitem__)
    array = np.asarray(array).transpose((*range(rank), *(rank + k for k in order)))
    extents = iter(array.shape[rank:])
    full = [next(extents) if k in places else 1 for k in range(len(axes))]
    return array.reshape((*array.shape[:rank], *full))


class _Run:
    """One evaluation: the inputs as arrays of the arithmetic."""

    def __init__(self, program: Program, inputs: Inputs, arithmetic: Arithmetic):
        self.program, self.inputs, self.arithmetic = program, inputs, arithmetic
        self.shapes = inputs.shapes(program)

    def value(self, index: int, instruction: Instruction, values: list) -> np.ndarray:
        if instruction.op in LIKE:
            return self.arithmetic.array(like(instruction, self.shapes, index))
        over = (instruction.over,) if instruction.over else ()
        axes = (*instruction.axes, *over)
        ranks = [self.program.instructions[use.index].rank for use in instruction.operands]
        operands = [
            aligned(values[use.index], use, rank, axes)
            for use, rank in zip(instruction.operands, ranks, strict=True)
        ]
        return RULES.get(instruction.op, _function)(self, instruction, *operands)

    def weights(self, instruction: Instruction) -> np.ndarray:
        assert instruction.over is not None
        return self.arithmetic.array(self.inputs.measures[instruction.over.owner][1])

    def call(self, name: str, *operands: np.ndarray) -> np.ndarray:
        return self.arithmetic.functions[name](*operands)


def like(instruction: Instruction, shapes: tuple[Shape, ...], index: int) -> np.ndarray:
    shape = shapes[index]
    if instruction.op == "identity":
        return np.eye(shape[0])
    if instruction.op == "basis":
        return np.eye(shape[0])[int(instruction.attributes[0])]
    if instruction.op == "dimension":
        return np.array(float(shapes[instruction.operands[0].index][0]))
    return np.full(shape, 1.0 if instruction.op == "ones" else 0.0)


def _point(run: _Run, instruction: Instruction) -> np.ndarray:
    return run.arithmetic.array(run.inputs.points[str(instruction.attributes[0])]).T


def _atoms(run: _Run, instruction: Instruction) -> np.ndarray:
    return run.arithmetic.array(run.inputs.measures[str(instruction.attributes[0])][0]).T


def _parameter(run: _Run, instruction: Instruction) -> np.ndarray:
    return run.arithmetic.array(run.inputs.parameters[str(instruction.attributes[0])])


def _constant(run: _Run, instruction: Instruction) -> np.ndarray:
    return np.array(run.arithmetic.constant(str(instruction.attributes[0])))


def _function(run: _Run, instruction: Instruction, *operands: np.ndarray) -> np.ndarray:
    if instruction.op not in run.arithmetic.functions:
        raise NotImplementedError(f"no numerical meaning of {instruction.op} in this arithmetic")
    if instruction.op in UNARY:
        return run.call(instruction.op, *operands)
    return reduce(lambda a, b: run.call(instruction.op, a, b), operands)


def _power(run: _Run, instruction: Instruction, base: np.ndarray) -> np.ndarray:
    return run.arithmetic.power(base, Fraction(str(instruction.attributes[0])))


def _registered(run: _Run, instruction: Instruction, operand: np.ndarray) -> np.ndarray:
    function = FUNCTIONS[str(instruction.attributes[0])]
    return run.arithmetic.registered(function.value)(operand)


def _select(run: _Run, _: Instruction, *operands: np.ndarray) -> np.ndarray:
    value = operands[-1]
    for k in range(len(operands) - 3, -1, -2):
        value = np.where(operands[k].astype(bool), operands[k + 1], value)
    return value


def _dot(_: _Run, __: Instruction, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u * v).sum(axis=0)


def _matvec(_: _Run, __: Instruction, m: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (m * v[None]).sum(axis=1)


def _matmul(_: _Run, __: Instruction, m: np.ndarray, n: np.ndarray) -> np.ndarray:
    return (m[:, :, None] * n[None]).sum(axis=1)


def _stack(_: _Run, instruction: Instruction, *parts: np.ndarray) -> np.ndarray:
    n = len(instruction.axes)
    rows = [part[None] if part.ndim == n and instruction.rank == 1 else part for part in parts]
    axes = np.broadcast_shapes(*(row.shape[row.ndim - n :] for row in rows))
    return np.concatenate([np.broadcast_to(r, (*r.shape[: r.ndim - n], *axes)) for r in rows])


def _trace(_: _Run, __: Instruction, m: np.ndarray) -> np.ndarray:
    return np.sum([m[i, i] for i in range(m.shape[0])], axis=0)


def _diagonal(run: _Run, _: Instruction, v: np.ndarray) -> np.ndarray:
    eye = run.arithmetic.array(np.eye(v.shape[0]))
    return eye.reshape((*eye.shape, *(1,) * (v.ndim - 1))) * v[None]


def _part(_: _Run, instruction: Instruction, v: np.ndarray) -> np.ndarray:
    start, stop = instruction.attributes
    return v[int(start) : None if stop == "end" else int(stop)]


def _integral(run: _Run, instruction: Instruction, body: np.ndarray) -> np.ndarray:
    return (body * run.weights(instruction)).sum(axis=-1)


def _supremum(_: _Run, __: Instruction, body: np.ndarray) -> np.ndarray:
    return body.max(axis=-1)


def _log_weights(run: _Run, instruction: Instruction) -> tuple[np.ndarray, Any]:
    """The logarithms of the weights in units of the largest, and that of the largest."""
    weights = run.weights(instruction)
    largest = weights.max()
    return run.call("log", weights / largest), run.call("log", np.array(largest))


def _shifted(run: _Run, instruction: Instruction, energy: np.ndarray) -> tuple:
    """`exp(s + log w - shift)` with the shift, the largest exponent of each row.

    Weights enter the exponent: no product of a tiny weight and a huge exponential is formed.
    """
    log_weights, unit = _log_weights(run, instruction)
    exponents = energy + log_weights
    shift = exponents.max(axis=-1, keepdims=True)
    shift = np.where(shift == -math.inf, run.arithmetic.constant("0"), shift)
    return run.call("exp", exponents - shift), shift[..., 0] + unit


def _log_partition(run: _Run, instruction: Instruction, energy: np.ndarray) -> np.ndarray:
    terms, shift = _shifted(run, instruction, energy)
    return shift + run.call("log", terms.sum(axis=-1))


def _cumulant(run: _Run, instruction: Instruction, energy: np.ndarray, *slots: Any) -> np.ndarray:
    terms, _ = _shifted(run, instruction, energy)
    law = terms / terms.sum(axis=-1, keepdims=True)
    placed = _side_by_side(slots, energy.ndim)
    means = [(law * slot).sum(axis=-1, keepdims=True) for slot in placed]
    if len(slots) == 1:
        return means[0][..., 0]
    centred = [slot - mean for slot, mean in zip(placed, means, strict=True)]
    terms = [_product_of_moments(law, centred, blocks) for blocks in central_blocks(len(slots))]
    return reduce(np.add, terms)


def _side_by_side(slots: tuple[np.ndarray, ...], dimensions: int) -> list[np.ndarray]:
    """The slots with the components of all, each constant along those of the others."""
    ranks = [slot.ndim - dimensions for slot in slots]
    placed = []
    for k, slot in enumerate(slots):
        before, after = (1,) * sum(ranks[:k]), (1,) * sum(ranks[k + 1 :])
        own, axes = slot.shape[: ranks[k]], slot.shape[ranks[k] :]
        placed.append(slot.reshape((*before, *own, *after, *axes)))
    return placed


def _product_of_moments(law: np.ndarray, centred: list, blocks: tuple) -> Any:
    sign = (-1) ** (len(blocks) - 1) * math.factorial(len(blocks) - 1)
    moments = [
        (law * reduce(np.multiply, [centred[k] for k in block])).sum(axis=-1) for block in blocks
    ]
    return reduce(np.multiply, moments) * sign


def central_blocks(n: int) -> list[tuple[tuple[int, ...], ...]]:
    """The partitions of 0..n-1 into blocks of two or more: the terms of a cumulant.

    `kappa = sum over partitions of (-1)^(b-1) (b-1)! prod over blocks of E[prod of centred slots]`;
    blocks of one vanish.

    >>> central_blocks(4)
    [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)), ((0, 1, 2, 3),)]
    """
    found: list[list[list[int]]] = [[]]
    for k in range(n):
        grown = []
        for blocks in found:
            grown += [[*blocks[:i], [*b, k], *blocks[i + 1 :]] for i, b in enumerate(blocks)]
            grown.append([*blocks, [k]])
        found = grown
    kept = [tuple(map(tuple, blocks)) for blocks in found if all(len(b) > 1 for b in blocks)]
    return sorted(kept, key=lambda blocks: (-len(blocks), blocks))


RULES: Mapping[str, Callable[..., np.ndarray]] = {
    "point": _point,
    "atoms": _atoms,
    "parameter": _parameter,
    "constant": _constant,
    "power": _power,
    "registered": _registered,
    "select": _select,
    "dot": _dot,
    "matvec": _matvec,
    "matmul": _matmul,
    "transpose": lambda _, __, m: np.swapaxes(m, 0, 1),
    "outer": lambda _, __, u, v: u[:, None] * v[None],
    "component": lambda _, instruction, v: v[int(instruction.attributes[0])],
    "block": _part,
    "rows": _part,
    "stack": _stack,
    "row_stack": _stack,
    "trace": _trace,
    "diagonal": _diagonal,
    "integral": _integral,
    "log_partition": _log_partition,
    "cumulant": _cumulant,
    "supremum": _supremum,
}


def float_constant(text: str) -> Any:
    if text in CONSTANTS:
        return CONSTANTS[text]
    number = Fraction(text)
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def _float_registered(value: Callable[[Any, Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    from mpmath import fp, mp, mpf  # fp: functions of Python floats under the names of mpmath

    def number(t: Any) -> float:
        try:
            return float(value(float(t), fp))
        except OverflowError:  # Python raises where the exponential of a float would be infinite
            return float(value(mpf(float(t)), mp))
        except ZeroDivisionError:
            return math.nan

    return np.vectorize(number, otypes=[np.float64])


def _float_power(base: np.ndarray, exponent: Fraction) -> np.ndarray:
    """Products and roots for small integers and halves: faster and a little more exact."""
    size = abs(exponent)
    if size > 4 or size.denominator > 2:
        return np.power(base, float(exponent))
    value = reduce(np.multiply, [base] * int(size), np.ones_like(base))
    value = value * np.sqrt(base) if size.denominator == 2 else value
    return value if exponent >= 0 else 1 / value


FLOAT64 = Arithmetic(
    array=lambda values: np.asarray(values, dtype=np.float64),
    constant=float_constant,
    functions={
        "add": np.add,
        "mul": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
        "pow": np.power,
        "exp": np.exp,
        "log": np.log,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tanh": np.tanh,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "atan2": np.arctan2,
        "erf": scipy.special.erf,
        "erfc": scipy.special.erfc,
        "gamma": scipy.special.gamma,
        "loggamma": scipy.special.gammaln,
        "digamma": scipy.special.digamma,
        "sigmoid": scipy.special.expit,
        "softplus": lambda u: np.logaddexp(0.0, u),
        "abs": np.abs,
        "sign": np.sign,
        "heaviside": lambda u: np.heaviside(u, 0.5),
        "floor": np.floor,
        "ceiling": np.ceil,
        "less": np.less,
        "less_equal": np.less_equal,
        "equal": np.equal,
        "and": np.logical_and,
        "or": np.logical_or,
        "not": np.logical_not,
    },
    power=_float_power,
    registered=_float_registered,
)
