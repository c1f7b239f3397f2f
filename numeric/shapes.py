"""The number of components of every value of a program, and what does not fit."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from .program import BINARY, NARY, UNARY, Instruction, Program

Shape = tuple[int, ...]


def component_shapes(
    program: Program, dims: Mapping[str, int], parameters: Mapping[str, Shape]
) -> tuple[Shape, ...]:
    """The shape of the components of each instruction: (), (d,) or (rows, columns).

    Args:
        program: the program.
        dims: the dimension of each point argument and each measure, by name.
        parameters: the shape of each parameter, by name.

    Raises:
        ValueError: shapes that do not fit together; the message names the values.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> image = builder.emit("matvec", builder.parameter("A", 2), builder.point("x"))
    >>> component_shapes(builder.program(image), {"x": 3}, {"A": (2, 3)})
    ((2, 3), (3,), (2,))
    """
    return _component_shapes(program, tuple(dims.items()), tuple(parameters.items()))


@lru_cache(maxsize=1024)
def _component_shapes(program: Program, dims: tuple, parameters: tuple) -> tuple[Shape, ...]:
    size_of, shape_of = dict(dims), dict(parameters)
    shapes: list[Shape] = []
    for instruction in program.instructions:
        if instruction.op in ("point", "atoms"):
            shapes.append((size_of[str(instruction.attributes[0])],))
        elif instruction.op == "parameter":
            shapes.append(shape_of[str(instruction.attributes[0])])
        else:
            operands = [shapes[use.index] for use in instruction.operands]
            try:
                shapes.append(_shape(instruction, operands))
            except _Misfit as misfit:
                names = [_name(program, use.index) for use in instruction.operands]
                raise ValueError(misfit.sentence(names, operands)) from None
    return tuple(shapes)


class _Misfit(Exception):
    """A template for one sentence with the names and shapes of the operands."""

    def sentence(self, names: list[str], shapes: list[Shape]) -> str:
        listed = ", ".join(f"{name} {shape}" for name, shape in zip(names, shapes, strict=True))
        return f"expected {self.args[0]}, got shapes {listed}"


def _name(program: Program, index: int) -> str:
    instruction = program.instructions[index]
    if instruction.op in ("point", "atoms", "parameter"):
        words = {"point": "point ", "atoms": "atoms of ", "parameter": ""}
        return words[instruction.op] + str(instruction.attributes[0])
    parts = [_name(program, use.index) for use in instruction.operands]
    text = f"{instruction.op}({', '.join(parts)})"
    return text if len(text) <= 60 else f"{instruction.op}(...)"


def _shape(instruction: Instruction, shapes: list[Shape]) -> Shape:
    op = instruction.op
    if op in UNARY or op in BINARY or op in NARY:
        return _componentwise(shapes)
    if op in ("cumulant", "integral", "supremum"):
        return tuple(size for shape in shapes for size in shape)
    return _RULES[op](instruction, *shapes)


def _componentwise(shapes: list[Shape]) -> Shape:
    tensors = {shape for shape in shapes if shape}
    if len(tensors) > 1:
        raise _Misfit("summands and componentwise factors of one shape")
    return tensors.pop() if tensors else ()


def _fits(condition: bool, sentence: str) -> None:
    if not condition:
        raise _Misfit(sentence)


def _dot(_: Instruction, u: Shape, v: Shape) -> Shape:
    _fits(u == v, "vectors of one dimension for a dot product")
    return ()


def _product(_: Instruction, m: Shape, other: Shape) -> Shape:
    _fits(m[1] == other[0], "a matrix with as many columns as what it acts on has components")
    return (m[0], *other[1:])


def _square(_: Instruction, m: Shape) -> Shape:
    _fits(m[0] == m[1], "a square matrix for a trace")
    return ()


def _entry(instruction: Instruction, v: Shape) -> Shape:
    index = int(instruction.attributes[0])
    _fits(index < v[0], f"a vector with a component {index}")
    return ()


def _basis(instruction: Instruction, v: Shape) -> Shape:
    _entry(instruction, v)
    return v


def _part(instruction: Instruction, v: Shape) -> Shape:
    start, stop = instruction.attributes
    stop = v[0] if stop == "end" else int(stop)
    _fits(int(start) < stop <= v[0], f"components {start} to {stop} within range")
    return (stop - int(start), *v[1:])


def _stack(_: Instruction, *parts: Shape) -> Shape:
    return (sum(part[0] if part else 1 for part in parts),)


def _row_stack(_: Instruction, *parts: Shape) -> Shape:
    _fits(len({part[1] for part in parts}) == 1, "matrices with equally many columns")
    return (sum(part[0] for part in parts), parts[0][1])


_RULES: Mapping[str, Callable[..., Shape]] = {
    "constant": lambda _: (),
    "log_partition": lambda _, s: (),
    "dot": _dot,
    "matvec": _product,
    "matmul": _product,
    "transpose": lambda _, m: m[::-1],
    "outer": lambda _, u, v: (*u, *v),
    "component": _entry,
    "block": _part,
    "rows": _part,
    "stack": _stack,
    "row_stack": _row_stack,
    "trace": _square,
    "diagonal": lambda _, v: (*v, *v),
    "zeros": lambda _, v: v,
    "zero_matrix": lambda _, u, v: (*u, *v),
    "ones": lambda _, v: v,
    "columns": lambda _, m: m[1:],
    "identity": lambda _, v: (*v, *v),
    "basis": _basis,
    "dimension": lambda _, v: (),
}
