"""What becomes of the pairs of a program: which are never whole, and which die where they are used.

Pairs of rows and atoms are what takes memory and time in array code. A vector of pairs that only
enters inner products and weighted sums is made one component at a time, and a value that one
function alone uses gives its memory to the result.
"""

from dataclasses import dataclass
from functools import lru_cache

from .program import BINARY, CONDITIONS, NARY, REDUCTIONS, UNARY, Instruction, Program

LINEAR = ("add", "mul", "matvec", "stack")
"""What a sum over atoms may be distributed over, which uses the operands and not the value."""

_COMPONENTWISE = {*UNARY, *BINARY, *NARY} - {"select", "registered", "pow", *CONDITIONS}


@dataclass(frozen=True, slots=True)
class Uses:
    """The instructions whose values are made by components, and those overwritten by their user.

    >>> from .program import Axis, Builder
    >>> builder, atoms = Builder(), Axis("mu", 0)
    >>> x, y = builder.point("x"), builder.atoms("mu", atoms)
    >>> apart = builder.emit("add", x, y)
    >>> distance = builder.emit("power", builder.emit("dot", apart, apart), attributes=("1/2",))
    >>> uses(builder.program(builder.emit("integral", distance, over=atoms)))
    Uses(streamed=frozenset({2}), dying=frozenset({3}))
    """

    streamed: frozenset[int]
    dying: frozenset[int]


@lru_cache(maxsize=256)
def uses(program: Program) -> Uses:
    """What becomes of the values of a program."""
    needed = program.needed()
    users: dict[int, list[tuple[int, int]]] = {index: [] for index in needed}
    for index in sorted(needed):
        for place, use in enumerate(program.instructions[index].operands):
            if use.index in needed:
                users[use.index].append((index, place))
    streamed, dying, passed_by = set(), set(), set()
    for index in sorted(needed, reverse=True):
        instruction = program.instructions[index]
        found = [(number, program.instructions[number], place) for number, place in users[index]]
        if any(_is_summed(user, place) or number in passed_by for number, user, place in found):
            # A sum over atoms may take its operands in its place, and more than once.
            if instruction.op in LINEAR:
                passed_by.add(index)
        if index == program.result.index or len(instruction.axes) < 2:
            continue
        if _is_vector_sum(instruction) and all(
            user.op == "dot" or number in streamed or _is_only_summed(user)
            for number, user, _ in found
        ):
            streamed.add(index)
        if len(found) == 1 and found[0][1].op in _COMPONENTWISE and found[0][0] not in passed_by:
            dying.add(index)
    return Uses(frozenset(streamed), frozenset(dying))


def _is_summed(user: Instruction, place: int) -> bool:
    return user.op in REDUCTIONS and (user.op == "integral" or place > 0)


def _is_only_summed(user: Instruction) -> bool:
    return user.op == "integral" or (user.op == "cumulant" and len(user.operands) == 2)


def _is_vector_sum(instruction: Instruction) -> bool:
    """Components so cheap that they may be made for each user anew."""
    return instruction.rank == 1 and instruction.op in ("add", "mul")
