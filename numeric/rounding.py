"""How far rounding can move a value: a running error analysis of a program.

Every value is carried with two more numbers. `error` bounds `|computed - exact|` for any engine
that rounds each operation to a unit u and sums in any order; the double-precision value carried
along is within `error` of exact too, so a computed value lies within `2 error` of it. `size` bounds
the sum of absolute values from which a linear value was summed, because an engine may distribute a
sum. Exact is real arithmetic at the given inputs.

Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, chapters 3 and 4.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .program import LIKE, Axis, Instruction, Program
from .reference import (
    RULES,
    Inputs,
    aligned,
    arranged,
    float_constant,
    like,
)
from .rounding_functions import FUNCTION_RULES, Known, function
from .rounding_products import PRODUCT_RULES
from .rounding_sums import SUM_RULES

_CHUNK_NUMBERS = 2**21


@dataclass(frozen=True, slots=True)
class Precision:
    """A floating type: its rounding unit, its smallest normal number and its largest number."""

    unit: float
    tiny: float
    huge: float

    @classmethod
    def of(cls, dtype: Any) -> "Precision":
        """The precision of a NumPy floating type.

        >>> Precision.of(np.float32).unit == 2.0**-24
        True
        """
        facts = np.finfo(dtype)
        return cls(float(facts.eps) / 2, float(facts.tiny), float(facts.max))


def rounding_bound(
    program: Program, inputs: Inputs, order: tuple[str, ...], precision: Precision
) -> np.ndarray:
    """A bound on the rounding error of every value of a program, whatever the engine.

    Args:
        program: the program.
        inputs: NumPy arrays in double precision, as the caller gave them.
        order: the names of the point arguments in the order of the dimensions of the result.
        precision: that in which the engine computes.

    Returns:
        An array of the shape of the values; infinite where nothing can be said.
    """
    name = order[0]
    rows = inputs.points[name]
    height = max(1, _CHUNK_NUMBERS // _width(program, inputs, Axis(name)))
    chunks = []
    for start in range(0, max(len(rows), 1), height):
        points = {**inputs.points, name: rows[start : start + height]}
        part = Inputs(points, inputs.measures, inputs.parameters)
        chunks.append(Analysis(program, part, precision).bound(order))
    return np.concatenate(chunks)


def upward(error: np.ndarray, dtype: Any) -> np.ndarray:
    """A bound in a floating type, never rounded below what it was; infinite where it was NaN."""
    with np.errstate(over="ignore"):
        error = np.where(np.isnan(error), np.inf, error * (1 + 1e-6))
        rounded = error.astype(dtype)
        return np.where(rounded < error, np.nextafter(rounded, np.inf, dtype=dtype), rounded)


def answer_error(value: np.ndarray, precision: Precision) -> np.ndarray:
    """How far a value moves that is rounded to a floating type once, at the end."""
    # Below the normal numbers it is half of the smallest; twice that is a number itself.
    return precision.unit * np.abs(value) + 2 * precision.unit * precision.tiny


def _width(program: Program, inputs: Inputs, rows: Axis) -> int:
    """The numbers of the largest array for one row of the first point argument."""
    widths = [1]
    for instruction, shape in zip(program.instructions, inputs.shapes(program), strict=True):
        axes = [*instruction.axes, *([instruction.over] if instruction.over else [])]
        counts = [inputs.count(axis) for axis in axes if axis != rows]
        widths.append(math.prod(counts) * max(shape, default=1))
    return max(widths)


class Analysis:
    """One run of the analysis, in the names of the reference interpreter."""

    def __init__(self, program: Program, inputs: Inputs, precision: Precision):
        self.program, self.inputs, self.precision = program, inputs, precision
        self.unit = precision.unit
        self.shapes = inputs.shapes(program)

    def bound(self, order: tuple[str, ...]) -> np.ndarray:
        needed, values = self.program.needed(), []
        with np.errstate(all="ignore"):
            for index, instruction in enumerate(self.program.instructions):
                made = self.make(index, instruction, values) if index in needed else None
                values.append(made)
        error = values[self.program.result.index].error
        return np.array(arranged(self.program, self.inputs, order, error, self.shapes))

    def make(self, index: int, instruction: Instruction, values: list) -> Known:
        if instruction.op in LIKE:
            return self.exactly(like(instruction, self.shapes, index))
        over = (instruction.over,) if instruction.over else ()
        axes = (*instruction.axes, *over)
        operands = []
        for use in instruction.operands:
            rank = self.program.instructions[use.index].rank
            operands.append(values[use.index].map(_aligner(use, rank, axes)))
        rule = _RULES.get(instruction.op)
        if rule is not None:
            return self.checked(rule(self, instruction, *operands))
        return self.checked(function(self, instruction, *operands))

    def exactly(self, value: Any) -> Known:
        value = np.asarray(value, dtype=np.float64)
        return Known(value, np.zeros_like(value), np.abs(value))

    def stored(self, value: Any) -> Known:
        """Inputs, rounded to the precision when the engine reads them."""
        known = self.exactly(value)
        # Numbers below the normal ones may be flushed to zero.
        flushed = np.where(known.size < self.precision.tiny, known.size, 0.0)
        if self.unit <= 2.0**-53:
            return Known(known.value, flushed, known.size)
        error = np.abs(known.value - known.value.astype(np.float32).astype(np.float64))
        return Known(known.value, np.maximum(error, flushed), known.size)

    def checked(self, known: Known) -> Known:
        """Infinite errors where the range of the type is left or nothing is known."""
        value, error = np.broadcast_arrays(known.value, known.error)
        lost = ~np.isfinite(value) | ~(np.abs(value) + 2 * error <= self.precision.huge)
        size = np.maximum(np.abs(value), known.size)
        return Known(
            value, np.where(lost, np.inf, error), np.where(np.isfinite(size), size, np.inf)
        )

    def gamma(self, operations: int) -> float:
        """The relative error of so many rounded operations, with room for the analysis itself."""
        total = (operations + 2) * self.unit
        return 1.01 * total / (1 - total) if total < 0.5 else math.inf

    def weights(self, instruction: Instruction) -> Known:
        assert instruction.over is not None
        return self.stored(self.inputs.measures[instruction.over.owner][1])


def _aligner(use: Any, rank: int, axes: tuple[Axis, ...]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: aligned(array, use, rank, axes)


# ---- leaves, and what only moves numbers


def _constant(run: Analysis, instruction: Instruction) -> Known:
    text = str(instruction.attributes[0])
    value = np.asarray(float(float_constant(text)))
    try:
        exact = Fraction(text) == Fraction(float(value))
    except (ValueError, OverflowError):
        exact = text not in ("pi", "e", "euler", "phi")
    known = run.stored(value)
    return known if exact else Known(value, known.error + run.unit * np.abs(value), known.size)


def _moved(function: Callable[..., np.ndarray]) -> Callable[..., Known]:
    """A rule that rearranges components and rounds nothing."""

    def rule(_: Analysis, instruction: Instruction, *operands: Known) -> Known:
        fields = ("value", "error", "size")
        return Known(
            *(function(instruction, *(getattr(part, f) for part in operands)) for f in fields)
        )

    return rule


def _diagonal(_: Instruction, v: np.ndarray) -> np.ndarray:
    place = np.eye(v.shape[0], dtype=bool)
    return np.where(place.reshape((*place.shape, *(1,) * (v.ndim - 1))), v[None], 0.0)


def _interpreted(op: str) -> Callable[..., np.ndarray]:
    return lambda instruction, *arrays: RULES[op](None, instruction, *arrays)  # pyright: ignore


_RULES: Mapping[str, Callable[..., Known]] = {
    "point": lambda run, i: run.stored(run.inputs.points[i.attributes[0]].T),
    "atoms": lambda run, i: run.stored(run.inputs.measures[i.attributes[0]][0].T),
    "parameter": lambda run, i: run.stored(run.inputs.parameters[i.attributes[0]]),
    "constant": _constant,
    **PRODUCT_RULES,
    "diagonal": _moved(_diagonal),
    **{op: _moved(_interpreted(op)) for op in ("transpose", "component", "block", "rows")},
    **{op: _moved(_interpreted(op)) for op in ("stack", "row_stack")},
    **FUNCTION_RULES,
    **SUM_RULES,
}
