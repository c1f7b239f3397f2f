"""Values of three axes and more by kernels that know two: an evaluation a row of some arguments.

A kernel runs over rows, and for each of them over one more axis. A point argument of a single row
is a vector parameter: with it a program has an axis less. So a second flat derivative, which varies
over x, z and w, is the program of x and w for one z after another; and an integral over two atoms
at each x is a double sum for one x after another. What does not depend on the argument is made
again for each of its rows, so the argument with the fewest rows is taken.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations
from math import prod
from typing import Any

from .arrays import namespace
from .costs import operations
from .program import Axis, Builder, Instruction, Program, Use
from .reference import Inputs
from .schedule import schedule
from .shapes import Shape

ROW = "row"
"""What marks a parameter that holds a row of a point argument, beside its name."""


def _row(name: str) -> str:
    return f"row of {name}"


def narrow(program: Program) -> bool:
    """Whether a program has the axes of a kernel.

    No value varies over three axes, and one that varies over two exists for a pair at a time: it is
    no sum, and nobody needs it whole, unless it is the result.
    """
    kept = schedule(program).rows
    for index in program.needed():
        instruction = program.instructions[index]
        axes = len(instruction.axes)
        whole = index in kept and index != program.result.index
        if axes > 2 or (axes > 1 and (whole or instruction.over is not None)):
            return False
    return True


@lru_cache(maxsize=256)
def choices(program: Program) -> tuple[tuple[str, ...], ...]:
    """The smallest sets of point arguments whose rows, one at a time, leave a narrow program.

    Empty where a program is narrow as it is, and where no set makes it so.
    """
    if narrow(program):
        return ()
    needed = [program.instructions[index] for index in sorted(program.needed())]
    names = [str(i.attributes[0]) for i in needed if i.op == "point"]
    for size in range(1, len(names) + 1):
        found = [some for some in combinations(names, size) if narrow(fixed(program, some))]
        if found:
            return tuple(found)
    return ()


@lru_cache(maxsize=256)
def fixed(program: Program, names: tuple[str, ...]) -> Program:
    """The program with these point arguments as parameters.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> x, z = builder.point("x"), builder.point("z")
    >>> print(fixed(builder.program(builder.emit("dot", x, z)), ("z",)))
    %0 vector[x] = point x
    %1 vector[] = parameter row of z row
    %2 scalar[x] = dot %0[x] %1
    return %2[x]
    """
    builder, uses = Builder(), []
    for instruction in program.instructions:
        operands = [_renamed(program, uses, use) for use in instruction.operands]
        uses.append(_again(builder, instruction, operands, names))
    return builder.program(_renamed(program, uses, program.result))


def _renamed(program: Program, uses: list[Use], use: Use) -> Use:
    """What stands for an operand, with its axes named as its user names them."""
    local = dict(zip(program.instructions[use.index].axes, use.axes, strict=True))
    return Use(uses[use.index].index, tuple(local[axis] for axis in uses[use.index].axes))


def _again(
    builder: Builder, instruction: Instruction, operands: list[Use], names: tuple[str, ...]
) -> Use:
    op, attributes = instruction.op, instruction.attributes
    if op == "point":
        name = str(attributes[0])
        return builder.parameter(_row(name), 1, ROW) if name in names else builder.point(name)
    if op == "atoms":
        return builder.atoms(str(attributes[0]), instruction.axes[0])
    if op == "parameter":
        return builder.parameter(str(attributes[0]), instruction.rank, *attributes[1:])
    return builder.emit(op, *operands, attributes=attributes, over=instruction.over)


_SLICE, _WHOLE, _COMPILED = 450_000, 400_000, 0.15
"""What it costs to begin a slice of compiled code and an evaluation in array code, in operations of
array code, and an operation of compiled code. Fitted to times of second flat derivatives, of flat
derivatives of two layers and of forces of three bodies, with 16 to 8192 atoms."""


def slices_pay(program: Program, inputs: Inputs) -> bool:
    """Whether compiled slices are the faster way, from the sizes alone.

    Array code makes what does not depend on the argument once; slices make it again in each.
    """
    counts = {name: len(rows) for name, rows in inputs.points.items()}
    counts |= {name: len(atoms) for name, (atoms, _) in inputs.measures.items()}
    names = _fewest(choices(program), inputs)
    if not all(counts.values()):
        return False
    first = _slice(inputs, names, (0,) * len(names))
    one, whole = fixed(program, names), tuple(sorted(counts.items()))
    slices = prod(counts[name] for name in names)
    each = _SLICE + _COMPILED * _operations(one, first.shapes(one), whole)
    return slices * each < _WHOLE + _operations(program, inputs.shapes(program), whole)


@lru_cache(maxsize=1024)
def _operations(program: Program, shapes: tuple[Shape, ...], counts: tuple) -> int:
    return operations(program, shapes, dict(counts))


def _fewest(sets: Sequence[tuple[str, ...]], inputs: Inputs) -> tuple[str, ...]:
    """The set of arguments with the fewest slices."""
    return min(sets, key=lambda some: prod(inputs.count(Axis(name)) for name in some))


Evaluate = Callable[[Program, Sequence[Inputs], tuple[str, ...]], Sequence[Any]]
"""The values of a program for several inputs, which differ in rows that are parameters."""


def evaluate_slices(
    evaluate: Evaluate,
    program: Program,
    inputs: Inputs,
    order: tuple[str, ...],
    sets: Sequence[tuple[str, ...]] | None = None,
) -> Any:
    """The value of a program, by slices where it is not narrow.

    Args:
        evaluate: evaluates narrow programs.
        program: any program.
        inputs: arrays of one library.
        order: the names of the point arguments in the order of the dimensions of the result.
        sets: arguments of which one set is taken row by row, by default `choices(program)`.
    """
    sets = choices(program) if sets is None else sets
    if not sets:
        return evaluate(program, [inputs], order)[0]
    names = _fewest(sets, inputs)
    counts = [inputs.count(Axis(name)) for name in names]
    left = tuple(name for name in order if name not in names)
    like = inputs.points[order[0]]
    xp = namespace(like)
    slices = [_slice(inputs, names, place) for place in _places(counts)]
    components = inputs.shapes(program)[program.result.index]
    shape = (*counts, *(inputs.count(Axis(name)) for name in left), *components)
    if not prod(shape):
        empty = (*(inputs.count(Axis(name)) for name in order), *components)
        return xp.zeros(empty, dtype=like.dtype)
    values = evaluate(fixed(program, names), slices, left)
    whole = xp.reshape(xp.stack(list(values)), shape)
    at = {name: k for k, name in enumerate((*names, *left))}
    rest = range(len(order), len(shape))
    return xp.asarray(xp.permute_dims(whole, (*(at[name] for name in order), *rest)), copy=True)


def _places(counts: list[int]) -> list[tuple[int, ...]]:
    """All indices, the last one fastest."""
    places: list[tuple[int, ...]] = [()]
    for count in counts:
        places = [(*place, k) for place in places for k in range(count)]
    return places


def _slice(inputs: Inputs, names: tuple[str, ...], place: tuple[int, ...]) -> Inputs:
    rows = {_row(name): inputs.points[name][k] for name, k in zip(names, place, strict=True)}
    points = {name: rows for name, rows in inputs.points.items() if name not in names}
    return Inputs(points, inputs.measures, {**inputs.parameters, **rows})
