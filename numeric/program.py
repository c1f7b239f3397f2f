"""The small language between terms and machines.

A program is a list of instructions without loops, simplification or target text. Each instruction
makes one value: a scalar, vector or matrix for every index of its axes. An axis runs over the rows
of a point argument (`x`) or over the atoms of a measure (`mu.0`); reductions consume an atom axis.

Atom axes are named within each instruction, in the order of their appearance, and operands say
which of their axes is which here. So a value that depends on one atom is one instruction, computed
once, whatever the bound variable was called and however deep it was nested.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

UNARY = (
    "exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh "
    "erf erfc gamma loggamma digamma abs sign heaviside floor ceiling sigmoid softplus power not "
    "registered"
).split()
"""Functions of one number, applied to every component; `power` has its exponent as attribute,
`registered` the name of a function of the user."""

BINARY = "pow atan2 less less_equal equal".split()
"""Functions of two numbers, applied to every component; a scalar operand meets each component."""

NARY = "add mul max min and or select".split()
"""The same for any number of operands; `select` takes condition, value, ..., and a last value."""

CONDITIONS = "less less_equal equal and or not".split()
"""Those whose values are true or false."""

LIKE = "zeros zero_matrix ones identity basis dimension columns".split()
"""Values that take from their operands nothing but the number of components.

`columns` stands for a vector that a matrix applies to: it has components and no value.
"""

REDUCTIONS = "integral log_partition cumulant supremum".split()
"""Sums and maxima over the atoms of a measure: `over` names the axis that they consume.

`integral` h: `sum_i w_i h_i`. `log_partition` s: `log sum_i w_i exp(s_i)`. `cumulant` s, h, ...:
the joint cumulant of the slots h, ... under the weights `w_i exp(s_i)` normalised; of one slot the
mean, of two the covariance. Tensor slots are multiplied as outer products in their order.
`supremum` h: the largest of the `h_i`, of each component by itself.
"""

_RANKS = {
    # operation: (ranks of the operands, rank of the result)
    "point": ((), 1),
    "atoms": ((), 1),
    "constant": ((), 0),
    "dot": ((1, 1), 0),
    "matvec": ((2, 1), 1),
    "matmul": ((2, 2), 2),
    "transpose": ((2,), 2),
    "outer": ((1, 1), 2),
    "component": ((1,), 0),
    "block": ((1,), 1),
    "trace": ((2,), 0),
    "diagonal": ((1,), 2),
    "rows": ((2,), 2),
    "zeros": ((1,), 1),
    "zero_matrix": ((1, 1), 2),
    "ones": ((1,), 1),
    "columns": ((2,), 1),
    "identity": ((1,), 2),
    "basis": ((1,), 1),
    "dimension": ((1,), 0),
    "log_partition": ((0,), 0),
}


class Axis(NamedTuple):
    """What a value varies over: the rows of a point argument, or the atoms of a measure.

    >>> str(Axis("x")), str(Axis("mu", 0))
    ('x', 'mu.0')
    """

    owner: str
    slot: int = -1

    @property
    def is_atoms(self) -> bool:
        return self.slot >= 0

    def __str__(self) -> str:
        return f"{self.owner}.{self.slot}" if self.is_atoms else self.owner


@dataclass(frozen=True, slots=True)
class Use:
    """A value with its axes named as its user names them."""

    index: int
    axes: tuple[Axis, ...]

    def __str__(self) -> str:
        return f"%{self.index}[{','.join(map(str, self.axes))}]" if self.axes else f"%{self.index}"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One value: the operation, its operands, and the axes and the rank of the result."""

    op: str
    operands: tuple[Use, ...]
    attributes: tuple[str | int, ...]
    axes: tuple[Axis, ...]
    rank: int
    over: Axis | None = None

    def __str__(self) -> str:
        words = [self.op, *map(str, self.attributes), *map(str, self.operands)]
        over = [f"over {self.over}"] if self.over else []
        kind = ("scalar", "vector", "matrix")[self.rank]
        return f"{kind}[{','.join(map(str, self.axes))}] = {' '.join(words + over)}"


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A checked list of instructions and the one that is the result; equal by its digest.

    >>> builder = Builder()
    >>> x, y = builder.point("x"), builder.atoms("mu", Axis("mu", 0))
    >>> score = builder.emit("dot", x, y)
    >>> mean = builder.emit("cumulant", score, y, over=Axis("mu", 0))
    >>> print(builder.program(mean))
    %0 vector[x] = point x
    %1 vector[mu.0] = atoms mu
    %2 scalar[x,mu.0] = dot %0[x] %1[mu.0]
    %3 vector[x] = cumulant %2[x,mu.0] %1[mu.0] over mu.0
    return %3[x]
    """

    instructions: tuple[Instruction, ...]
    result: Use
    digest: str = field(init=False, repr=False)

    def __post_init__(self):
        for index, instruction in enumerate(self.instructions):
            _check_operands(self, index, instruction)
        object.__setattr__(self, "digest", hashlib.sha256(str(self).encode()).hexdigest())

    def __str__(self) -> str:
        lines = [f"%{index} {line}" for index, line in enumerate(self.instructions)]
        return "\n".join([*lines, f"return {self.result}"])

    def __len__(self) -> int:
        return len(self.instructions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def rank(self) -> int:
        """The rank of the result: 0, 1 or 2."""
        return self.instructions[self.result.index].rank

    def needed(self) -> frozenset[int]:
        """The instructions whose values are used, and not their shapes alone."""
        found, open_ = set(), [self.result.index]
        while open_:
            index = open_.pop()
            if index not in found:
                found.add(index)
                open_.extend(use.index for use in value_operands(self.instructions[index]))
        return frozenset(found)


def value_operands(instruction: Instruction) -> tuple[Use, ...]:
    """The operands whose values enter the value."""
    return () if instruction.op in LIKE else instruction.operands


class Builder:
    """Collects instructions; equal ones, up to the names of atom axes, are one."""

    def __init__(self):
        self._instructions: list[Instruction] = []
        self._index: dict[Instruction, int] = {}

    def point(self, name: str) -> Use:
        """The rows of a point argument."""
        return self._place(Instruction("point", (), (name,), (Axis(name),), 1), (Axis(name),))

    def atoms(self, measure: str, axis: Axis) -> Use:
        """The atoms of a measure, along an axis."""
        atoms = Instruction("atoms", (), (measure,), (Axis(measure, 0),), 1)
        return self._place(atoms, (axis,))

    def parameter(self, name: str, rank: int, *marks: str | int) -> Use:
        """A scalar, vector or matrix parameter."""
        return self._place(Instruction("parameter", (), (name, *marks), (), rank), ())

    def emit(
        self,
        op: str,
        *operands: Use,
        attributes: tuple[str | int, ...] = (),
        over: Axis | None = None,
    ) -> Use:
        """The value of an operation; `over` is the axis that a reduction consumes."""
        seen: dict[Axis, None] = {}
        if op not in LIKE:
            seen = {axis: None for use in operands for axis in use.axes if axis != over}
        outer = tuple(seen)
        local = _local_names((*outer, over) if over else outer)
        uses = tuple(Use(use.index, _renamed(use, local, op)) for use in operands)
        axes = tuple(local[axis] for axis in outer)
        ranks = [self._instructions[use.index].rank for use in operands]
        rank = _rank(op, ranks)
        within = local[over] if over else None
        return self._place(Instruction(op, uses, attributes, axes, rank, within), outer)

    def rank(self, use: Use) -> int:
        """The rank of a value."""
        return self._instructions[use.index].rank

    def program(self, result: Use) -> Program:
        """What is needed for the result, in the order in which it was first asked for."""
        order: dict[int, int] = {}
        for index in _post_order(self._instructions, result.index):
            order[index] = len(order)
        kept = []
        for index in order:
            old = self._instructions[index]
            operands = tuple(Use(order[use.index], use.axes) for use in old.operands)
            kept.append(Instruction(old.op, operands, old.attributes, old.axes, old.rank, old.over))
        return Program(tuple(kept), Use(order[result.index], result.axes))

    def _place(self, instruction: Instruction, axes: tuple[Axis, ...]) -> Use:
        index = self._index.setdefault(instruction, len(self._instructions))
        if index == len(self._instructions):
            self._instructions.append(instruction)
        return Use(index, axes)


def _local_names(axes: tuple[Axis, ...]) -> dict[Axis, Axis]:
    counts: dict[str, int] = {}
    names = {}
    for axis in axes:
        if axis.is_atoms:
            slot = counts.get(axis.owner, 0)
            counts[axis.owner] = slot + 1
            names[axis] = Axis(axis.owner, slot)
        else:
            names[axis] = axis
    return names


def _renamed(use: Use, local: dict[Axis, Axis], op: str) -> tuple[Axis, ...]:
    # Only the shape of the operand matters: any names will do, and equal ones share.
    names = _local_names(use.axes) if op in LIKE else local
    return tuple(names[axis] for axis in use.axes)


def _post_order(instructions: list[Instruction], root: int) -> Iterator[int]:
    done, stack = set(), [(root, False)]
    while stack:
        index, ready = stack.pop()
        if index in done:
            continue
        if ready:
            done.add(index)
            yield index
        else:
            stack.append((index, True))
            stack.extend((use.index, False) for use in reversed(instructions[index].operands))


def _rank(op: str, ranks: list[int]) -> int:
    """The rank of the result; ValueError if the operation does not take such operands."""
    if op in _RANKS:
        wanted, rank = _RANKS[op]
        if tuple(ranks) != wanted:
            raise ValueError(f"expected {op} of ranks {wanted}, got {tuple(ranks)}")
        return rank
    arity_holds = {
        "stack": len(ranks) >= 1 and all(rank <= 1 for rank in ranks),
        "row_stack": len(ranks) >= 1 and all(rank == 2 for rank in ranks),
        "integral": len(ranks) == 1,
        "supremum": len(ranks) == 1,
        "cumulant": len(ranks) >= 2 and ranks[0] == 0 and sum(ranks) <= 2,
        **{name: len(ranks) == 1 for name in UNARY},
        **{name: len(ranks) == 2 and 2 not in ranks for name in BINARY},
        **{name: len(ranks) >= 1 for name in NARY},
    }
    if not arity_holds.get(op, False):
        raise ValueError(
            f"expected an operation of the program language, got {op} of ranks {ranks}"
        )
    if op == "stack":
        return 1
    return sum(ranks) if op == "cumulant" else max(ranks)


def _check_operands(program: Program, index: int, instruction: Instruction) -> None:
    for use in instruction.operands:
        if use.index >= index:
            raise ValueError(f"expected operands before %{index}, got {use} in {instruction}")
        if len(use.axes) != len(program.instructions[use.index].axes):
            raise ValueError(f"expected as many axes as %{use.index} has, got {use} in %{index}")
    if (instruction.op in REDUCTIONS) != (instruction.over is not None):
        raise ValueError(f"expected an axis to reduce over in reductions alone, got {instruction}")
