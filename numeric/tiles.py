"""One evaluation in tiles: what is kept whole, what exists for a tile, and for one instruction."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import array_api_compat
import numpy as np

from .arrays import namespace
from .functions import array_functions
from .parts import Part, Workspace, aligned
from .program import Axis, Instruction, Program, Use
from .reference import Inputs
from .schedule import Step, operand_row, schedule
from .tapes import Tape, Untraceable, unwrapped
from .uses import uses

TILE_NUMBERS = 2**18
"""Numbers in double precision of the pairs in a tile: enough that its calls are cheap, after which
the interpreter is out of the caches near by; and few enough for the caches."""

_BLOCK = 8

SMALL_NUMBERS = 2**14
"""Numbers of pairs up to which an evaluation as a whole is recorded, see `plans`."""

_FEWEST_AGAIN = 4
"""Tiles of one height for which a tape is worth while."""

_TILES_ON_DEVICES = 8
"""The tiles of NumPy that make one of other libraries, whose calls take longer to begin."""


class OutOfRange(Exception):
    """Gibbs weights without a shift that have left the range of the type."""


class Run:
    """One evaluation: what is kept so far, whole, by instruction."""

    def __init__(self, program: Program, inputs: Inputs, rules: "Rules"):
        self.program, self.inputs, self.rules = program, inputs, rules
        self.schedule, self.uses = schedule(program), uses(program)
        like = unwrapped(next(iter(inputs.measures.values()))[0])
        self.xp, self.dtype = namespace(like), like.dtype
        self.device = array_api_compat.device(like)
        self.functions = array_functions(self.xp)
        self.shapes = inputs.shapes(program)
        self.values: dict[int, Any] = {}
        self.workspace = Workspace(self.xp, self.dtype)
        self.is_small = self.workspace.is_there and all(map(self._is_small, self.schedule.steps))
        if self.is_small:
            self.workspace = Workspace(self.xp, None)
        self.log_weights: dict[str, tuple[Any, Any]] = {}
        self.bases: dict[tuple[str, str], Any] = {}
        self.kept: dict[Any, Any] = {}
        self.lift = lift(self.xp.finfo(self.dtype).max)
        self.is_bold = True

    def number(self, value: Any) -> Any:
        return self.xp.asarray(value, dtype=self.dtype, device=self.device)

    def make(self, step: Step) -> None:
        """All members of a step, tile by tile."""
        if step.axis is None or not step.pairs:
            self.values |= self.members(step, 0, None)
            return
        pieces: dict[int, list] = {index: [] for index in step.members}
        for members in self._tiles(step):
            for index, value in members.items():
                pieces[index].append(value)
        for index, parts in pieces.items():
            axes = self.program.instructions[index].axes
            along = len(self.shapes[index]) + axes.index(step.axis)
            self.values[index] = parts[0] if len(parts) == 1 else self.xp.concat(parts, axis=along)

    def _is_small(self, step: Step) -> bool:
        """Whether a step takes longer to arrange than to compute."""
        if step.axis is None or not step.pairs:
            return True
        rows = self.inputs.count(step.axis)
        pairs = max(self.width(index, row) for index, row in step.pairs)
        return rows <= self.height(step) and rows * pairs <= SMALL_NUMBERS

    def _tiles(self, step: Step) -> Iterator[dict[int, Any]]:
        """The members of a step, tile by tile; full ones after the first by a tape of one."""
        spans, again, tries = list(pairwise(self.bounds(step))), None, 0
        for number, (start, stop) in enumerate(spans):
            members = again and again(start, stop)
            if members is None and self.workspace.is_there and number and tries < 2:
                left = [span for span in spans[number:] if span[1] - span[0] == stop - start]
                if len(left) >= _FEWEST_AGAIN:
                    tries += 1
                    members, again = self._recorded(step, start, stop)
            yield members or self._outlasting(self.members(step, start, stop))

    def _outlasting(self, members: dict[int, Any]) -> dict[int, Any]:
        return {index: self.workspace.outlasting(value) for index, value in members.items()}

    def _recorded(self, step: Step, start: int, stop: int) -> tuple[Any, Any]:
        """The members of a tile and a function for other tiles of its height; or None for both."""
        tape, height = Tape(), stop - start
        tile = Tile(self, start, stop, tape)
        try:
            values = [tile.value(index, step.axis) for index in step.members]
            replay = tape.replay(values)
            values = [unwrapped(value) for value in values]
        except (OutOfRange, Untraceable, TypeError, AttributeError):
            return None, None  # what is to be said is said without a tape

        def again(start: int, stop: int) -> dict[int, Any] | None:
            if stop - start != height:
                return None
            found = replay(*(self.cut(index, row, start, stop) for index, row in tile.cuts))
            return None if found is None else members(found)

        def members(found: Sequence[Any]) -> dict[int, Any]:
            return {
                index: value.copy() if shares else value
                for index, value, shares in zip(step.members, found, shared, strict=True)
            }

        shared = [self.workspace.shares(value) for value in values]
        return members(values), again

    def cut(self, index: int, row: Axis | None, start: int, stop: int | None) -> Any:
        """What is kept of an instruction, for some rows."""
        array = self.values[index]
        if row is None or stop is None:
            return array
        place = len(self.shapes[index]) + self.program.instructions[index].axes.index(row)
        return array[(*(slice(None),) * place, slice(start, stop))]

    def bounds(self, step: Step) -> list[int]:
        """Where the tiles begin and end; the first is low where it may have to be made again."""
        assert step.axis is not None
        rows, height = self.inputs.count(step.axis), self.height(step)
        operations = {self.program.instructions[index].op for index in step.members}
        operations |= {self.program.instructions[index].op for index, _ in step.pairs}
        trial, first = max(1, height // 8), height
        if self.is_bold and rows > 2 * trial and operations & {"cumulant", "log_partition"}:
            first = trial
        return [0, *range(first, rows, height), rows]

    def members(self, step: Step, start: int, stop: int | None) -> dict[int, Any]:
        """The values of a step in a tile; where bold laws are out of range, all are shifted."""
        try:
            tile = Tile(self, start, stop)
            return {index: tile.value(index, step.axis) for index in step.members}
        except OutOfRange:
            self.is_bold = False
            tile = Tile(self, start, stop)
            return {index: tile.value(index, step.axis) for index in step.members}

    def height(self, step: Step) -> int:
        """The rows of a tile, so that its pairs have a bounded size."""
        dying = self.uses.dying  # in the memory of their users
        widths = [self.width(index, row) for index, row in step.pairs if index not in dying]
        widths += [self.width(index, step.axis) for index in step.members]
        numbers = TILE_NUMBERS * 64 // self.xp.finfo(self.dtype).bits
        numbers *= 1 if self.workspace.is_there else _TILES_ON_DEVICES
        # Of many pairs, a third is in use at a time.
        rows = max(1, numbers // max(*widths, sum(widths) // 3))
        # Matrix products are the faster for whole blocks of rows: 47 take longer than 48.
        return rows if rows < _BLOCK else (rows + _BLOCK // 2) // _BLOCK * _BLOCK

    def width(self, index: int, row: Axis | None) -> int:
        """The numbers that an instruction takes for one row."""
        instruction = self.program.instructions[index]
        others = math.prod(self.inputs.count(axis) for axis in instruction.axes if axis != row)
        numbers = others * (1 if index in self.uses.streamed else math.prod(self.shapes[index]))
        if instruction.op == "cumulant" and len(instruction.operands) > 2:
            # A covariance of vectors holds the centred ones of every atom.
            assert instruction.over is not None
            rows = max(self.shapes[index], default=1)
            numbers = max(numbers, others * rows * self.inputs.count(instruction.over))
        return numbers

    def weights(self, owner: str) -> Any:
        return self.inputs.measures[owner][1]

    def base(self, owner: str, name: str) -> Any:
        """What each atom of a measure counts: "ones", "weights", or "lifted".

        Lifted weights are in units of the largest, times the lift.
        """
        if (owner, name) not in self.bases:
            weights = self.weights(owner)
            if name == "ones":
                weights = self.xp.ones_like(weights)
            elif name == "lifted":
                weights = weights / self.xp.max(weights) * self.lift
            self.bases[owner, name] = weights
        return self.bases[owner, name]

    def has_base(self, owner: str, name: str) -> bool:
        """Whether no atom counts so little that its products with values may vanish."""
        key = owner, name, "is there"
        if key not in self.kept:
            least = 1.0 if name == "lifted" else 1 / self.lift
            self.kept[key] = bool(self.xp.all(self.base(owner, name) >= least))
        return self.kept[key]

    def weights_in_exponent(self, owner: str) -> tuple[Any, Any]:
        """The logarithms of the weights in units of the largest, and that of the largest."""
        if owner not in self.log_weights:
            weights = self.weights(owner)
            largest = self.xp.max(weights)
            self.log_weights[owner] = self.xp.log(weights / largest), self.xp.log(largest)
        return self.log_weights[owner]


def lift(largest: float) -> float:
    """The power of two with a quarter of the exponent of the largest number of a type."""
    return 2.0 ** round(math.log2(float(largest)) / 4)


class Tile:
    """The rows start..stop-1 of a step, and what has been made for them; stop None is all rows."""

    def __init__(self, run: Run, start: int, stop: int | None, tape: Tape | None = None):
        self.run, self.start, self.stop, self.tape = run, start, stop, tape
        self.cuts: list[tuple[int, Axis | None]] = []
        self.made: dict[Any, Any] = {}
        self.homes: dict[tuple, tuple] = {}

    def value(self, index: int, row: Axis | None) -> Any:
        """The array of an instruction, its axis `row` cut to the rows of the tile."""
        key = index, row
        value = self.made.get(key)
        if value is None:
            make = self._cut if self.is_whole(index) else self._make
            value = self.made[key] = make(index, row)
        return value

    def is_whole(self, index: int) -> bool:
        return index in self.run.values

    def _cut(self, index: int, row: Axis | None) -> Any:
        array = self.run.cut(index, row, self.start, self.stop)
        if self.tape is None or row is None or self.stop is None:
            return array
        self.cuts.append((index, row))
        return self.tape.input(array)

    def _make(self, index: int, row: Axis | None) -> Any:
        work = Work(self, index, row)
        part = self.run.rules[work.instruction.op](work, work.instruction)
        return work.full(part, work.instruction.axes)


class Work:
    """One instruction in one tile: its operands as parts, in the instruction's names of axes."""

    def __init__(self, tile: Tile, index: int, row: Axis | None):
        self.tile, self.index, self.row = tile, index, row
        self.instruction = tile.run.program.instructions[index]
        self.run, self.xp = tile.run, tile.run.xp

    def energy_key(self, use: Use, other: tuple) -> tuple:
        """The name of the memory for the exponentials of an energy: its own, or another."""
        own = use.index in self.run.schedule.exponents and not self.tile.is_whole(use.index)
        place = use.index, operand_row(self.run.program, use, self.row)
        return self.tile.homes.get(place, place) if own else other

    @property
    def key(self) -> tuple | None:
        """The name of the memory of a pair; values that are kept have none."""
        if self.row is None or self.index in self.run.schedule.rows:
            return None
        place = self.index, self.row
        return self.tile.homes.get(place, place)

    def take_over(self, arrays: list) -> None:
        """Make the memory of an operand that nothing else uses that of the value.

        Of the first two operands only: they are read before anything is written.
        """
        run, homes = self.run, self.tile.homes
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        for use, array in zip(self.instruction.operands[:2], arrays, strict=False):
            if use.index not in run.uses.dying or array.shape != shape or not self.key:
                continue
            place = use.index, operand_row(run.program, use, self.row)
            if run.workspace.holds(homes.get(place, place), array):
                homes[self.index, self.row] = homes.get(place, place)
                return

    def part(self, use: Use) -> Part:
        row = operand_row(self.run.program, use, self.row)
        return Part(self.tile.value(use.index, row), use.axes)

    def parts(self) -> list[Part]:
        return [self.part(use) for use in self.instruction.operands]

    def count(self, axis: Axis) -> int:
        if axis == self.row and self.tile.stop is not None:
            return self.tile.stop - self.tile.start
        return self.run.inputs.count(axis)

    def common(self, *parts: Part, rows_first: bool = False) -> tuple[list, tuple[Axis, ...]]:
        """The arrays with the axes of all, ready to be combined by components."""
        axes = tuple(dict.fromkeys(axis for part in parts for axis in part.axes))
        if rows_first and self.row is not None and self.row in axes:
            axes = (self.row, *(axis for axis in axes if axis != self.row))
        return [aligned(self.xp, part, axes) for part in parts], axes

    def full(self, part: Part, axes: tuple[Axis, ...]) -> Any:
        """The array with each of the axes at its full length."""
        if part.axes == axes and 1 not in part.array.shape[part.rank :]:
            return part.array
        array = aligned(self.xp, part, axes)
        counts = tuple(self.count(axis) for axis in axes)
        if tuple(array.shape[part.rank :]) == counts:
            return array
        return self.xp.broadcast_to(array, (*part.components, *counts))

    def sum(self, *parts: Part) -> Part:
        arrays, axes = self.common(*parts)
        return Part(reduce(lambda a, b: a + b, arrays), axes)

    def product(self, *parts: Part) -> Part:
        arrays, axes = self.common(*parts)
        return Part(reduce(lambda a, b: a * b, arrays), axes)

    def image(self, matrix: Part, vector: Part) -> Part:
        """A matrix times a vector, one matrix product where the matrix does not vary."""
        if matrix.axes:
            (a, b), axes = self.common(matrix, vector)
            return Part(self.xp.sum(a * b[None, ...], axis=1), axes)
        flat = self.xp.reshape(vector.array, (vector.array.shape[0], -1))
        array = self.xp.matmul(matrix.array, flat)
        shape = (matrix.array.shape[0], *vector.array.shape[1:])
        return Part(self.xp.reshape(array, shape), vector.axes)

    def stacked(self, parts: list[Part], rank: int) -> Part:
        """Parts one below the other; those of lower rank are one component."""
        axes = tuple(dict.fromkeys(axis for part in parts for axis in part.axes))
        arrays = [self.full(part, axes) for part in parts]
        rows = [
            array[None, ...] if part.rank < rank else array
            for array, part in zip(arrays, parts, strict=True)
        ]
        return Part(self.xp.concat(rows, axis=0), axes)


Rules = Mapping[str, Callable[[Work, Instruction], Part]]
