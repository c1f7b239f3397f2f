"""What an evaluation costs: its stages, and the operations, numbers and pairs of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from .program import LIKE, Axis, Instruction, Program, value_operands
from .schedule import Step, schedule
from .shapes import Shape

_FREE = (*LIKE, "point", "atoms", "parameter", "constant", "component", "block", "rows", "stack")
_FREE = (*_FREE, "row_stack", "transpose", "diagonal")
_CHEAP = ("add", "mul", "max", "min", "less", "less_equal", "equal", "and", "or", "not", "abs")


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations of additions and multiplications, functions such as exp, and numbers moved."""

    flops: int = 0
    functions: int = 0
    numbers: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.flops + other.flops,
            self.functions + other.functions,
            self.numbers + other.numbers,
        )

    def times(self, count: int) -> "Cost":
        return Cost(self.flops * count, self.functions * count, self.numbers * count)


def explain(
    program: Program, shapes: tuple[Shape, ...], counts: Mapping[str, int], item_bytes: int = 8
) -> str:
    """The stages of a program with their operations, functions, pairs and bytes.

    Every instruction is counted once: an engine may make a pair again rather than keep it.

    Args:
        program: the program.
        shapes: the component shape of each instruction.
        counts: how many rows each point argument has and how many atoms each measure.
        item_bytes: of a number.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> x, y = builder.point("x"), builder.atoms("mu", Axis("mu", 0))
    >>> mean = builder.emit("cumulant", builder.emit("dot", x, y), y, over=Axis("mu", 0))
    >>> print(explain(builder.program(mean), ((3,), (3,), (), (3,)), {"x": 10, "mu": 20}))
    stage 1 along x: 10 rows, 200 pairs of mu; cumulant; 3200 flops, 200 functions, 960 bytes
    in all: 3200 flops, 200 functions, 960 bytes between stages
    """
    lines, total, number = [], Cost(), 0
    for step in schedule(program).steps:
        cost, pairs, names = _step(program, shapes, counts, step)
        total += cost
        if cost == Cost():
            continue
        number += 1
        along = "once" if step.axis is None else f"along {step.axis.owner}"
        rows = "" if step.axis is None else f": {counts[step.axis.owner]} rows"
        over = "".join(f", {n} pairs of {name}" for name, n in pairs.items())
        made = f"; {', '.join(names)}" if names else ""
        lines.append(f"stage {number} {along}{rows}{over}{made}; {_text(cost, item_bytes)}")
    return "\n".join([*lines, f"in all: {_text(total, item_bytes)} between stages"])


def operations(program: Program, shapes: tuple[Shape, ...], counts: Mapping[str, int]) -> int:
    """The operations of an evaluation; a function such as exp counts as ten.

    Args:
        program, shapes, counts: as for `explain`.
    """
    total = Cost()
    for step in schedule(program).steps:
        total += _step(program, shapes, counts, step)[0]
    return total.flops + 10 * total.functions


def _text(cost: Cost, item_bytes: int) -> str:
    size = item_bytes * cost.numbers
    return f"{cost.flops} flops, {cost.functions} functions, {size} bytes"


def _step(
    program: Program, shapes: tuple[Shape, ...], counts: Mapping[str, int], step: Step
) -> tuple[Cost, dict[str, int], list[str]]:
    """The cost of a stage; the pairs that it runs over, by measure; its reductions."""
    cost = Cost()
    pairs: dict[str, int] = {}
    names: dict[str, None] = {}
    length = 1 if step.axis is None else counts[step.axis.owner]
    for index in dict.fromkeys((*step.members, *(index for index, _ in step.pairs))):
        instruction = program.instructions[index]
        axes = (*instruction.axes, *((instruction.over,) if instruction.over else ()))
        operands = [shapes[use.index] for use in instruction.operands]
        cost += _one(instruction, shapes[index], operands).times(_product(axes, counts))
        if index in step.members and instruction.op not in _FREE:
            cost += Cost(0, 0, prod(shapes[index]) * _product(instruction.axes, counts))
        if instruction.over:
            pairs[instruction.over.owner] = length * counts[instruction.over.owner]
            names[instruction.op] = None
    here = {*step.members, *(index for index, _ in step.pairs)}
    made = {index for index in here if program.instructions[index].op not in _FREE}
    read = {use.index for k in made for use in value_operands(program.instructions[k])}
    for index in sorted(read - made):
        instruction = program.instructions[index]
        if len(instruction.axes) < 2 and instruction.op != "constant":
            cost += Cost(0, 0, prod(shapes[index]) * _product(instruction.axes, counts))
    return (Cost() if not cost.flops + cost.functions else cost), pairs, list(names)


def _product(axes: tuple[Axis, ...], counts: Mapping[str, int]) -> int:
    return prod(counts[axis.owner] for axis in axes)


def _one(instruction: Instruction, shape: Shape, operands: list[Shape]) -> Cost:
    """The cost of one value, for one index of each axis and of the reduced one."""
    op, size = instruction.op, prod(shape)
    if op in _FREE:
        return Cost()
    if op in ("dot", "matvec", "matmul", "trace"):
        inner = operands[0][-1]
        return Cost(2 * size * inner)
    if op == "outer" or op in _CHEAP:
        return Cost(size * max(1, len(operands) - 1))
    if op in ("integral", "supremum"):
        return Cost((2 if op == "integral" else 1) * size)
    if op in ("log_partition", "cumulant"):
        # Exponent, maximum, difference, total; then the sum of each slot, centred for products.
        slots = sum(prod(s) for s in operands[1:])
        more = 2 * size if len(operands) > 2 else 0
        return Cost(4 + 2 * slots + more + (slots if more else 0), 1)
    return Cost(0, size)
