"""The buffers and launches of CUDA kernels, in the arrays of whatever library holds the memory.

A batch is one measure or many: along each axis its measures lie one behind the other, each padded
to whole blocks of rows, so one launch makes a step for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .cuda_source import THREADS, CudaKernel, CudaTables, Layout
from .parts import Part, aligned
from .program import Axis, Program
from .reference import Inputs
from .schedule import schedule
from .shapes import Shape

Launch = Callable[[int, int, Any, Any, Any, int], None]
"""`launch(step, blocks, addresses, counts, owner, stride)` runs a kernel, in the order of calls."""

_BLOCKS = 264
"""Blocks that keep a device busy: two on each of the 132 processors of an H100."""


def layout_for(shapes: Sequence[Shape], counts: Sequence[int], bits: int) -> Layout:
    """More rows a thread where they are many and short; fewer threads along few rows.

    Args:
        shapes: the component shapes of the program.
        counts: the rows of each measure of the batch.
        bits: 32 or 64.

    >>> layout_for([(3,)], [10**6], 32), layout_for([(3,)], [1000], 32)
    (Layout(lanes=4, row_threads=128, chunk=4), Layout(lanes=1, row_threads=8, chunk=4))
    """
    numbers, total, largest = max(map(prod, shapes)), sum(counts), max(counts, default=0)
    numbers *= bits // 32
    lanes = 4 if numbers <= 4 else 2 if numbers <= 9 else 1
    threads = THREADS
    while lanes > 1 and (total < _BLOCKS * lanes * threads or largest < lanes * threads):
        lanes //= 2
    while threads > 8 and (total < _BLOCKS * threads or largest < threads):
        threads //= 2
    return Layout(lanes, threads, 4)


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where the measures of a batch lie along an axis."""

    starts: tuple[int, ...]
    counts: tuple[int, ...]
    total: int

    def numbers(self) -> list[int]:
        places = [n for pair in zip(self.starts, self.counts, strict=True) for n in pair]
        return [self.total, max(self.counts), *places]


class Batch:
    """One evaluation of a kernel: its buffers, its launches, its results."""

    def __init__(
        self,
        program: Program,
        batch: Sequence[Inputs],
        kernel: CudaKernel,
        xp: Any,
        address: Callable[[Any], int],
    ):
        self.program, self.batch, self.kernel, self.xp = program, batch, kernel, xp
        like = next(iter(batch[0].measures.values()))[0]
        self.dtype = like.dtype
        self.shapes = batch[0].shapes(program)
        self.tables = CudaTables(program, self.shapes, 8 * np.dtype(str(self.dtype)).itemsize)
        self.extents: dict[Axis, _Extent] = {}
        self.buffers = {slot: self.buffer(*slot) for slot in kernel.slots}
        addresses = [address(self.buffers[slot]) for slot in kernel.slots]
        self.addresses = xp.asarray(np.array(addresses or [0], dtype=np.uint64))
        numbers = [self.extent(axis).numbers() for axis in kernel.counts] or [[0]]
        self.stride = len(numbers[0])
        self.counts = xp.asarray(np.array(numbers, dtype=np.int64))

    def extent(self, axis: Axis) -> _Extent:
        key = Axis(axis.owner, 0 if axis.is_atoms else -1)
        if key not in self.extents:
            counts = [inputs.count(key) for inputs in self.batch]
            rows = self.kernel.layout.rows
            padded = [-(-count // rows) * rows for count in counts]
            starts = np.concatenate([[0], np.cumsum(padded)]).tolist()
            self.extents[key] = _Extent(tuple(starts[:-1]), tuple(counts), starts[-1])
        return self.extents[key]

    # ---- buffers

    def buffer(self, kind: str, name: Any) -> Any:
        if kind in ("weights", "logs", "unit"):
            return self.weights(kind, name)
        instruction, n = self.program.instructions[name], prod(self.shapes[name])
        given = self.given(name)
        if kind == "global":
            if given is not None:
                array = self.zeros(*given[0].shape)
                array[...] = given[0]  # rows first, however the caller's lie
                return array
            return self.zeros(len(self.batch), n)
        if kind == "atom":
            array = self.zeros(
                self.extent(instruction.axes[0]).total, self.tables.stride(kind, name)
            )
            return self.filled(array, instruction.axes[0], given)
        row = schedule(self.program).rows[name]
        assert row is not None
        others = prod(max(self.extent(axis).counts) for axis in instruction.axes if axis != row)
        array = self.zeros(n * others, self.extent(row).total)
        if given is not None:
            self.filled(self.xp.permute_dims(array, (1, 0)), row, given)
        return array

    def zeros(self, *shape: int) -> Any:
        return self.xp.zeros(shape, dtype=self.dtype)

    def filled(self, array: Any, axis: Axis, given: list | None) -> Any:
        """The rows of every measure written into an array with the indices of the axis first."""
        for start, rows in zip(self.extent(axis).starts, given or (), strict=False):
            array[start : start + rows.shape[0], : rows.shape[1]] = rows
        return array

    def given(self, index: int) -> list | None:
        """The values of a leaf, one a measure, with the indices of its axis first."""
        instruction = self.program.instructions[index]
        if instruction.op not in ("point", "atoms", "parameter"):
            return None
        name = str(instruction.attributes[0])
        if instruction.op == "point":
            return [inputs.points[name] for inputs in self.batch]
        if instruction.op == "atoms":
            return [inputs.measures[name][0] for inputs in self.batch]
        return [inputs.parameters[name] for inputs in self.batch]

    def weights(self, kind: str, owner: str) -> Any:
        weights = [inputs.measures[owner][1] for inputs in self.batch]
        if kind == "unit":
            return self.xp.log(self.xp.stack([self.xp.max(w) for w in weights]))
        if kind == "logs":
            weights = [self.xp.log(w / self.xp.max(w)) for w in weights]
        axis = Axis(owner, 0)
        array = self.zeros(self.extent(axis).total)
        self.filled(array[:, None], axis, [w[:, None] for w in weights])
        return array

    # ---- steps

    def run(self, launch: Launch) -> list:
        """All steps; the values of each measure with its components first."""
        for number, step in enumerate(schedule(self.program).steps):
            owner = self.owners(step.axis)
            if len(owner) and number in self.kernel.steps:
                blocks = self.xp.asarray(owner)
                launch(number, len(owner), self.addresses, self.counts, blocks, self.stride)
            for index in step.members:
                if ("atom", index) in self.buffers and self.given(index) is None:
                    self.turn(index)
        return [self.value(b) for b in range(len(self.batch))]

    def owners(self, axis: Axis | None) -> np.ndarray:
        """The measure of each block of a launch."""
        measures = np.arange(len(self.batch))
        if axis is None:
            return measures
        ends = (*self.extent(axis).starts[1:], self.extent(axis).total)
        blocks = np.subtract(ends, self.extent(axis).starts) // self.kernel.layout.rows
        return np.repeat(measures, blocks)

    def turn(self, index: int) -> None:
        """A value made for rows, for those who read it atom by atom."""
        rows = self.buffers["row", index]
        self.buffers["atom", index][:, : rows.shape[0]] = self.xp.permute_dims(rows, (1, 0))

    def value(self, b: int) -> Any:
        """The result for a measure, its axes in the order of its instruction."""
        index = self.program.result.index
        instruction, shape = self.program.instructions[index], self.shapes[index]
        given = self.given(index)
        if given is not None:
            rank = given[b].ndim
            return (
                self.xp.permute_dims(given[b], tuple(reversed(range(rank))))
                if instruction.axes
                else given[b]
            )
        if not instruction.axes:
            return self.xp.reshape(self.buffers["global", index][b], shape)
        row = schedule(self.program).rows[index]
        assert row is not None
        others = [axis for axis in instruction.axes if axis != row]
        most = [max(self.extent(axis).counts) for axis in others]
        start, count = self.extent(row).starts[b], self.extent(row).counts[b]
        array = self.buffers["row", index][:, start : start + count]
        array = self.xp.reshape(array, (*shape, *most, count))
        for k, axis in enumerate(others):
            place = (slice(None),) * (len(shape) + k)
            array = array[(*place, slice(0, self.extent(axis).counts[b]))]
        return aligned(self.xp, Part(array, (*others, row)), instruction.axes)


def arranged(xp: Any, program: Program, inputs: Inputs, order: tuple[str, ...], value: Any) -> Any:
    """One dimension for each point argument, in this order, then the components."""
    shape, axes = inputs.shapes(program)[program.result.index], tuple(Axis(name) for name in order)
    array = aligned(xp, Part(value, program.result.axes), axes)
    counts = tuple(inputs.count(axis) for axis in axes)
    array = xp.broadcast_to(array, (*shape, *counts))
    rank = len(shape)
    dimensions = (*range(rank, rank + len(axes)), *range(rank))
    return xp.asarray(xp.permute_dims(array, dimensions), copy=True)
