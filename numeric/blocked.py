"""The `numpy` engine: tiles of rows, sums over atoms as matrix products, on arrays of any library.

It reads the same program as the reference and differs in how: pairs of rows and atoms exist only
for a tile of rows; an inner product of a row vector with an atom vector is one matrix product; sums
over atoms are matrix products wherever the summand is linear in something that has no rows. All
reductions run in a fixed order, so equal inputs give equal bits.
"""

from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from .parts import Part, aligned
from .plans import planned
from .program import BINARY, CONDITIONS, LIKE, NARY, UNARY, Axis, Instruction, Program
from .reductions import cumulant, integral, log_partition, supremum
from .reference import Inputs, float_constant, like
from .registered import FUNCTIONS, array_code, used
from .streams import inner_product
from .tapes import unwrapped
from .tiles import Rules, Run, Work


def evaluate(program: Program, inputs: Inputs, order: tuple[str, ...]) -> Any:
    """The value of a program: one dimension for each point argument, then the components.

    Args:
        program: the program.
        inputs: arrays of one library, device and floating type, in which the work is done.
        order: the names of the point arguments in the order of the dimensions of the result.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> x, y = builder.point("x"), builder.atoms("mu", Axis("mu", 0))
    >>> score = builder.emit("dot", x, y)
    >>> program = builder.program(builder.emit("cumulant", score, y, over=Axis("mu", 0)))
    >>> atoms, weights = np.array([[-1.0], [1.0]]), np.array([0.5, 0.5])
    >>> inputs = Inputs({"x": np.array([[1.0], [0.0]])}, {"mu": (atoms, weights)}, {})
    >>> evaluate(program, inputs, ("x",)).round(6).tolist() == [[np.tanh(1).round(6)], [0.0]]
    True
    """
    with np.errstate(all="ignore"):
        value = planned(_evaluated, _is_small, program, inputs, order)
    if isinstance(value, np.ndarray):
        return np.array(value, order="C")
    return value * 1  # never a view of an argument


def _evaluated(program: Program, inputs: Inputs, order: tuple[str, ...]) -> Any:
    run = Run(program, inputs, RULES)
    try:
        for step in run.schedule.steps:
            run.make(step)
        return _arranged(run, order)
    finally:
        run.workspace.give_back()


def _is_small(program: Program, inputs: Inputs) -> bool:
    """Whether the work is small and means the same in every call."""
    return not used(program) and Run(program, inputs, RULES).is_small


def _arranged(run: Run, order: tuple[str, ...]) -> Any:
    xp, result = run.xp, run.program.result
    axes = tuple(Axis(name) for name in order)
    part = Part(run.values[result.index], result.axes)
    array = aligned(xp, part, axes)
    counts = tuple(run.inputs.count(axis) for axis in axes)
    array = xp.broadcast_to(array, (*run.shapes[result.index], *counts))
    rank = part.rank
    dimensions = (*range(rank, rank + len(axes)), *range(rank))
    return xp.permute_dims(array, dimensions)


# ---- values without reductions


def _like(work: Work, instruction: Instruction) -> Part:
    return Part(work.run.number(like(instruction, work.run.shapes, work.index)), ())


def _point(work: Work, instruction: Instruction) -> Part:
    return _columns(work, work.run.inputs.points[str(instruction.attributes[0])], instruction)


def _atoms(work: Work, instruction: Instruction) -> Part:
    return _columns(work, work.run.inputs.measures[str(instruction.attributes[0])][0], instruction)


def _columns(work: Work, rows: Any, instruction: Instruction) -> Part:
    columns = work.xp.permute_dims(rows, (1, 0))
    if isinstance(unwrapped(columns), np.ndarray):
        columns = np.copy(columns, order="C")  # passes over the pairs run along a component
    return Part(columns, instruction.axes)


def _parameter(work: Work, instruction: Instruction) -> Part:
    return Part(work.run.inputs.parameters[str(instruction.attributes[0])], ())


def _constant(work: Work, instruction: Instruction) -> Part:
    text = str(instruction.attributes[0])
    if text in ("true", "false"):
        return Part(work.xp.asarray(text == "true", device=work.run.device), ())
    return Part(work.run.number(float_constant(text)), ())


def _componentwise(work: Work, instruction: Instruction) -> Part:
    arrays, axes = work.common(*work.parts(), rows_first=True)
    work.take_over(arrays)
    key = None if instruction.op in CONDITIONS else work.key
    return Part(work.run.workspace.apply(key, work.run.functions[instruction.op], *arrays), axes)


def _power(work: Work, instruction: Instruction) -> Part:
    (base,), axes = work.common(*work.parts(), rows_first=True)
    exponent = Fraction(str(instruction.attributes[0]))
    if not 2 < abs(exponent) <= 4:
        work.take_over([base])  # otherwise a product of several factors reads it again
    size, xp, apply, key = abs(exponent), work.xp, work.run.workspace.apply, work.key
    if exponent.denominator > 2:
        # Two vectorised functions; a general power is slower by far.
        scaled = apply(key, xp.multiply, work.run.number(float(exponent)), apply(key, xp.log, base))
        return Part(apply(key, xp.exp, scaled), axes)
    if size > 4:
        return Part(base ** float(exponent), axes)
    factors = [base] * int(size)
    if size.denominator == 2:
        factors.append(apply((key, "root") if key and factors else key, xp.sqrt, base))
    one = work.run.number(1)
    value = apply(key, xp.multiply, *factors) if len(factors) > 1 else [*factors, one][0]
    value = value if exponent >= 0 else apply(key, xp.divide, one, value)
    return Part(value if factors else xp.ones_like(base), axes)


def _registered(work: Work, instruction: Instruction) -> Part:
    (argument,) = work.parts()
    function = FUNCTIONS[str(instruction.attributes[0])]
    if function.numpy is None:
        raise ValueError(
            f"engine='numpy' has no code for {function.name}; register it with numpy=, "
            "or use engine='reference'"
        )
    value = array_code(function.name, function.numpy)(work.xp, argument.array)
    return Part(work.xp.asarray(value, dtype=work.run.dtype), argument.axes)


def _pow(work: Work, _: Instruction) -> Part:
    (base, exponent), axes = work.common(*work.parts(), rows_first=True)
    if bool(work.xp.all(base > 0)):
        return Part(work.xp.exp(exponent * work.xp.log(base)), axes)
    return Part(work.run.functions["pow"](base, exponent), axes)


def _select(work: Work, _: Instruction) -> Part:
    arrays, axes = work.common(*work.parts())
    value = arrays[-1]
    for k in range(len(arrays) - 3, -1, -2):
        value = work.xp.where(arrays[k], arrays[k + 1], value)
    return Part(value, axes)


def _dot(work: Work, instruction: Instruction) -> Part:
    left, right = instruction.operands
    if set(left.axes) & set(right.axes):
        return inner_product(work, left, right)
    u, v = work.parts()
    if work.row in v.axes:
        # Rows first in memory: reductions over the atoms then run along contiguous numbers.
        u, v = v, u
    d = u.array.shape[0]
    left, right = work.xp.reshape(u.array, (d, -1)), work.xp.reshape(v.array, (d, -1))
    left = work.xp.permute_dims(left, (1, 0))
    array = work.run.workspace.product(work.key, work.xp, left, right)
    return Part(work.xp.reshape(array, (*u.array.shape[1:], *v.array.shape[1:])), u.axes + v.axes)


def _matvec(work: Work, _: Instruction) -> Part:
    return work.image(*work.parts())


def _matmul(work: Work, _: Instruction) -> Part:
    xp, (m, n) = work.xp, work.parts()
    if not m.axes and not n.axes:
        return Part(xp.matmul(m.array, n.array), ())
    (a, b), axes = work.common(m, n)
    back, k = (*range(2, 2 + len(axes)), 0, 1), len(axes)
    array = xp.matmul(xp.permute_dims(a, back), xp.permute_dims(b, back))
    return Part(xp.permute_dims(array, (k, k + 1, *range(k))), axes)


def _transpose(work: Work, _: Instruction) -> Part:
    (m,) = work.parts()
    return Part(work.xp.permute_dims(m.array, (1, 0, *range(2, m.array.ndim))), m.axes)


def _outer(work: Work, _: Instruction) -> Part:
    (u, v), axes = work.common(*work.parts())
    return Part(u[:, None, ...] * v[None, ...], axes)


def _component(work: Work, instruction: Instruction) -> Part:
    (v,) = work.parts()
    return Part(v.array[int(instruction.attributes[0]), ...], v.axes)


def _rows(work: Work, instruction: Instruction) -> Part:
    (v,), (start, stop) = work.parts(), instruction.attributes
    return Part(v.array[int(start) : None if stop == "end" else int(stop), ...], v.axes)


def _stack(work: Work, instruction: Instruction) -> Part:
    return work.stacked(work.parts(), instruction.rank)


def _trace(work: Work, _: Instruction) -> Part:
    (m,) = work.parts()
    terms = [m.array[i, i, ...] for i in range(m.array.shape[0])]
    return Part(reduce(lambda a, b: a + b, terms), m.axes)


def _diagonal(work: Work, _: Instruction) -> Part:
    (v,) = work.parts()
    d, ones = v.array.shape[0], (1,) * len(v.axes)
    eye = work.xp.reshape(work.run.number(np.eye(d)), (d, d, *ones))
    return Part(eye * v.array[None, ...], v.axes)


RULES: Rules = {
    **dict.fromkeys((*UNARY, *BINARY, *NARY), _componentwise),
    **dict.fromkeys(LIKE, _like),
    "point": _point,
    "atoms": _atoms,
    "parameter": _parameter,
    "constant": _constant,
    "power": _power,
    "registered": _registered,
    "pow": _pow,
    "select": _select,
    "dot": _dot,
    "matvec": _matvec,
    "matmul": _matmul,
    "transpose": _transpose,
    "outer": _outer,
    "component": _component,
    "block": _rows,
    "rows": _rows,
    "stack": _stack,
    "row_stack": _stack,
    "trace": _trace,
    "diagonal": _diagonal,
    "integral": integral,
    "log_partition": log_partition,
    "cumulant": cumulant,
    "supremum": supremum,
}
