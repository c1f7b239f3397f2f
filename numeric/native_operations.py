"""C lines for the operations of a program on components."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from .program import CONDITIONS, LIKE, Instruction
from .reference import float_constant, like
from .registered import FUNCTIONS, RegisteredFunction
from .shapes import Shape

_FILLED = (*LIKE, "dot", "matvec", "matmul", "trace", "diagonal")
FEW = 4
"""So many components are written out one by one."""


_FUNCTIONS = {
    **{name: f"v{name}" for name in "exp log sin cos tan asin acos atan sinh cosh tanh".split()},
    **{name: f"v{name}" for name in "asinh acosh atanh atan2 erf erfc floor pow abs sign".split()},
    **{name: f"v{name}" for name in "heaviside sigmoid softplus max min".split()},
    "ceiling": "vceil",
}


class Unsupported(Exception):
    """A program that has no kernel; the message says why."""


@dataclass(frozen=True, slots=True)
class Array:
    """A C array of components: vectors of rows, or numbers that are the same in every row."""

    name: str
    shape: Shape
    is_vector: bool
    literal: str | None = None

    def at(self, place: str | int) -> str:
        """A component as a vector; a scalar has the same one at every place."""
        if self.literal is not None:
            return f"SPLAT({self.literal})"
        element = f"{self.name}[{place if self.shape else 0}]"
        return element if self.is_vector else f"SPLAT({element})"


def starts_at_zero(op: str, operands: list[Array]) -> bool:
    """Whether an operation adds to its result or leaves zeros in it."""
    return op in _FILLED and not (op == "dot" and operands[0].shape[0] <= FEW)


def indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def lines_for(n: int, line: Callable[[str], str], variable: str = "c") -> list[str]:
    """A line for every component, written out where they are few."""
    if n <= FEW:
        return [line(str(c)) for c in range(n)]
    unroll = "#pragma GCC unroll 4"
    return [unroll, f"for (int {variable} = 0; {variable} < {n}; ++{variable}) {line(variable)}"]


def operation(
    instruction: Instruction,
    result: Array,
    operands: list[Array],
    shapes: tuple[Shape, ...],
    index: int,
) -> list[str]:
    if instruction.op in LIKE:
        values = like(instruction, shapes, index).ravel().tolist()
        return [f"{result.name}[{c}] = SPLAT({number_text(v)});" for c, v in enumerate(values) if v]
    writer = _WRITERS.get(instruction.op)
    if writer is not None:
        return list(writer(instruction, result, *operands))
    expression = _expression(instruction)
    return lines_for(
        prod(result.shape),
        lambda c: f"{result.name}[{c}] = {expression(*(part.at(c) for part in operands))};",
    )


def number_text(value: float) -> str:
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"(T){value.hex()}"


def _expression(instruction: Instruction) -> Callable[..., str]:
    """The C expression of a function of components."""
    op = instruction.op
    if op == "constant":
        value = float(float_constant(str(instruction.attributes[0])))
        return lambda: f"SPLAT({number_text(value)})"
    if op in ("add", "mul"):
        sign = " + " if op == "add" else " * "
        return lambda *parts: sign.join(parts)
    if op in ("max", "min"):
        return lambda *parts: _nested(f"v{op}", parts)
    if op in CONDITIONS:
        return _condition(op)
    if op == "select":
        return _selected
    if op == "power":
        return lambda part: _power(part, Fraction(str(instruction.attributes[0])))
    if op == "registered":
        return _registered(FUNCTIONS[str(instruction.attributes[0])])
    if op not in _FUNCTIONS:
        raise Unsupported(f"the function {op}")
    return lambda *parts: f"{_FUNCTIONS[op]}({', '.join(parts)})"


def _registered(function: RegisteredFunction) -> Callable[..., str]:
    if function.c is None:
        raise Unsupported(f"the function {function.name}, registered without c=")
    return lambda part: f"vregistered_{function.name}({part})"


def _nested(function: str, parts: tuple[str, ...]) -> str:
    text = parts[0]
    for part in parts[1:]:
        text = f"{function}({text}, {part})"
    return text


def _condition(op: str) -> Callable[..., str]:
    """Conditions are one and zero."""
    if op in ("and", "or"):
        sign = " & " if op == "and" else " | "
        return lambda *parts: f"vone({sign.join(f'({part} != 0)' for part in parts)})"
    if op == "not":
        return lambda part: f"vone({part} == 0)"
    sign = {"less": "<", "less_equal": "<=", "equal": "=="}[op]
    return lambda a, b: f"vone({a} {sign} {b})"


def _selected(*parts: str) -> str:
    text = parts[-1]
    for k in range(len(parts) - 3, -1, -2):
        text = f"vselect({parts[k]} != 0, {parts[k + 1]}, {text})"
    return text


def _power(base: str, exponent: Fraction) -> str:
    size = abs(exponent)
    if size > 4 or size.denominator > 2:
        if exponent.denominator == 1:
            return f"vpow({base}, SPLAT({int(exponent)}))"
        return f"vexp((T){float(exponent).hex()} * vlog({base}))"
    factors = [base] * int(size) + [f"vsqrt({base})"] * (size.denominator == 2)
    product = " * ".join(factors) if factors else "SPLAT(1)"
    return product if exponent >= 0 else f"1 / ({product})"


def _dot(_: Instruction, out: Array, u: Array, v: Array) -> list[str]:
    n = u.shape[0]
    if n <= FEW:
        return [f"{out.name}[0] = {sum_of_products(u, v)};"]
    return lines_for(n, lambda c: f"{out.name}[0] += {u.at(c)} * {v.at(c)};")


def sum_of_products(u: Array, v: Array) -> str:
    return " + ".join(f"{u.at(c)} * {v.at(c)}" for c in range(u.shape[0]))


def _product(_: Instruction, out: Array, m: Array, n: Array) -> Iterator[str]:
    """Four rows at a time, since a sum waits for its own last multiply-add."""
    rows, inner, columns = m.shape[0], m.shape[1], prod(n.shape[1:])
    whole = rows // 4 * 4
    for first, end, step in ((0, whole, 4), (whole, rows, 1)):
        if first == end:
            continue
        loop = f"for (int a = {first}; a < {end}; a += {step})"
        yield f"{loop} for (int b = 0; b < {columns}; ++b) {{"

        def sums(c: str, step=step) -> str:
            parts = (
                f"{out.name}[(a + {k}) * {columns} + b] += "
                f"{m.at(f'(a + {k}) * {inner} + {c}')} * {n.at(f'{c} * {columns} + b')};"
                for k in range(step)
            )
            return f"{{ {' '.join(parts)} }}"

        yield from indented(lines_for(inner, sums))
        yield "}"


def _outer(_: Instruction, out: Array, u: Array, v: Array) -> Iterator[str]:
    yield f"for (int a = 0; a < {u.shape[0]}; ++a) for (int b = 0; b < {v.shape[0]}; ++b)"
    yield f"  {out.name}[a * {v.shape[0]} + b] = {u.at('a')} * {v.at('b')};"


def _transpose(_: Instruction, out: Array, m: Array) -> Iterator[str]:
    rows, columns = m.shape
    yield f"for (int a = 0; a < {rows}; ++a) for (int b = 0; b < {columns}; ++b)"
    yield f"  {out.name}[b * {rows} + a] = {m.at(f'a * {columns} + b')};"


def _trace(_: Instruction, out: Array, m: Array) -> list[str]:
    return lines_for(m.shape[0], lambda c: f"{out.name}[0] += {m.at(f'{c} * {m.shape[0] + 1}')};")


def _diagonal(_: Instruction, out: Array, v: Array) -> list[str]:
    n = v.shape[0]
    return lines_for(n, lambda c: f"{out.name}[{c} * {n + 1}] = {v.at(c)};")


def _part(instruction: Instruction, out: Array, v: Array) -> list[str]:
    start = int(instruction.attributes[0]) * prod(v.shape[1:])
    return lines_for(prod(out.shape), lambda c: f"{out.name}[{c}] = {v.at(f'{c} + {start}')};")


def _component(instruction: Instruction, out: Array, v: Array) -> list[str]:
    return [f"{out.name}[0] = {v.at(int(instruction.attributes[0]))};"]


def _stack(_: Instruction, out: Array, *parts: Array) -> Iterator[str]:
    start = 0
    for part in parts:
        yield from lines_for(
            prod(part.shape),
            lambda c, part=part, start=start: f"{out.name}[{c} + {start}] = {part.at(c)};",
        )
        start += prod(part.shape)


_WRITERS: dict[str, Callable[..., Iterable[str]]] = {
    "dot": _dot,
    "matvec": _product,
    "matmul": _product,
    "outer": _outer,
    "transpose": _transpose,
    "trace": _trace,
    "diagonal": _diagonal,
    "block": _part,
    "rows": _part,
    "component": _component,
    "stack": _stack,
    "row_stack": _stack,
}
