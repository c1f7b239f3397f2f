"""The order in which a program is evaluated in tiles.

Values of at most one axis are kept whole: they take memory like the points. Values of more axes,
the pairs, exist only within a tile of rows. So a program falls into steps: a step runs along one
axis and makes, tile by tile, all values that need of each other the same row only. What needs all
rows of a value waits for a later step.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .program import Axis, Program, Use, value_operands


@dataclass(frozen=True, slots=True)
class Step:
    """Instructions to evaluate along one axis; without pairs the whole axis is one tile.

    `pairs` are the instructions that exist within a tile only, each with the axis of its rows.
    """

    axis: Axis | None
    members: tuple[int, ...]
    pairs: tuple[tuple[int, Axis], ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of a program, and the axis along which each value that is kept is made.

    `exponents` are the energies of Gibbs laws that nothing else uses: memory to write their
    exponentials in.

    >>> from .program import Builder
    >>> builder = Builder()
    >>> x, y = builder.point("x"), builder.atoms("mu", Axis("mu", 0))
    >>> score = builder.emit("dot", x, y)
    >>> mean = builder.emit("cumulant", score, y, over=Axis("mu", 0))
    >>> for step in schedule(builder.program(mean)).steps:
    ...     print(step.axis, step.members, [index for index, _ in step.pairs])
    mu.0 (1,) []
    x (0,) []
    x (3,) [2]
    """

    steps: tuple[Step, ...]
    rows: dict[int, Axis | None]
    exponents: frozenset[int]


@lru_cache(maxsize=256)
def schedule(program: Program) -> Schedule:
    """The steps of a program: fewest tile loops first, in a fixed order."""
    needed = program.needed()
    kept = {
        index
        for index in needed
        if len(program.instructions[index].axes) <= 1 or index == program.result.index
    }
    while True:
        rows = {index: _row(program, index) for index in sorted(kept)}
        reach = {index: _Reach(program, rows, index) for index in rows}
        rowless = set().union(*(r.rowless for r in reach.values()))
        if not rowless:
            return Schedule(_steps(rows, reach), rows, _exponents(program, needed))
        # A pair without the rows of the tile would be made again in every tile: keep it.
        kept |= rowless


def _exponents(program: Program, needed: frozenset[int]) -> frozenset[int]:
    """Energies of which there is one law; -1 stands for another use."""
    places: dict[int, set[int]] = {program.result.index: {-1}}
    for instruction in (program.instructions[index] for index in sorted(needed)):
        for k, use in enumerate(value_operands(instruction)):
            is_energy = k == 0 and instruction.op in ("cumulant", "log_partition")
            over = instruction.over if is_energy else None
            place = use.axes.index(over) if over in use.axes else -1
            places.setdefault(use.index, set()).add(place)
    return frozenset(
        index for index, found in places.items() if len(found) == 1 and -1 not in found
    )


def _row(program: Program, index: int) -> Axis | None:
    axes = program.instructions[index].axes
    points = [axis for axis in axes if not axis.is_atoms]
    return (points or list(axes) or [None])[0]


def operand_row(program: Program, use: Use, row: Axis | None) -> Axis | None:
    """What an operand calls the axis that its user calls `row`."""
    if row is None or row not in use.axes:
        return None
    return program.instructions[use.index].axes[use.axes.index(row)]


class _Reach:
    """What one kept value is made from, through the pairs between."""

    def __init__(self, program: Program, rows: dict[int, Axis | None], index: int):
        self.pairs: dict[tuple[int, Axis], None] = {}
        self.rowless: set[int] = set()
        self.dependencies = list(self._walk(program, rows, index, rows[index]))

    def _walk(self, program, rows, index, row) -> Iterator[tuple[int, bool]]:
        for use in value_operands(program.instructions[index]):
            inner = operand_row(program, use, row)
            if use.index in rows:
                yield use.index, inner == rows[use.index]
            elif inner is None:
                self.rowless.add(use.index)
            elif (use.index, inner) not in self.pairs:
                self.pairs[use.index, inner] = None
                yield from self._walk(program, rows, use.index, inner)


def _steps(rows: dict[int, Axis | None], reach: dict[int, _Reach]) -> tuple[Step, ...]:
    stages: dict[int, int] = {}
    groups: dict[tuple[int, Axis | None], list[int]] = {}
    for index in rows:
        later = [
            stages[other] + (0 if same and rows[other] == rows[index] else 1)
            for other, same in reach[index].dependencies
        ]
        stages[index] = max(later, default=0)
        groups.setdefault((stages[index], rows[index]), []).append(index)
    order = sorted(groups, key=lambda key: (key[0], str(key[1])))
    return tuple(
        Step(axis, tuple(groups[stage, axis]), tuple(_pairs(groups[stage, axis], reach)))
        for stage, axis in order
    )


def _pairs(members: list[int], reach: dict[int, _Reach]) -> list[tuple[int, Axis]]:
    found: dict[tuple[int, Axis], None] = {}
    for index in members:
        found |= reach[index].pairs
    return list(found)
