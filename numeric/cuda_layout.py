"""The buffers and launches of CUDA kernels, in the arrays of whatever library holds the memory.

A batch is one measure or many: along each axis its measures lie one behind the other, each padded
to whole blocks of rows, so one launch makes a step for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .arrays import namespace
from .cuda_source import THREADS, CudaKernel, CudaTables, Layout
from .parts import Part, aligned
from .program import Axis, Program
from .reference import Inputs
from .schedule import schedule
from .shapes import Shape, component_shapes
from .slices import ROW

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
class Ragged:
    """The rows of many measures one behind the other: `points[name]` are the rows of a point
    argument and how many each measure has, `measures[name]` atoms, weights and how many.

    Parameters are those of all measures; those in `own` have one value a measure, the first index.
    Arrays are of NumPy or of the library of the device.
    """

    points: Mapping[str, tuple[Any, np.ndarray]]
    measures: Mapping[str, tuple[Any, Any, np.ndarray]]
    parameters: Mapping[str, Any]
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, batch: Sequence[Inputs], xp: Any, own: frozenset[str] = frozenset()) -> "Ragged":
        """Inputs, one a measure; parameters that are not each measure's own are those of all."""
        one = batch[0]
        joined = lambda arrays: arrays[0] if len(arrays) == 1 else xp.concat(arrays, axis=0)  # noqa: E731
        points, measures = {}, {}
        for name in one.points:
            rows = [inputs.points[name] for inputs in batch]
            points[name] = joined(rows), np.array([r.shape[0] for r in rows])
        for name in one.measures:
            pairs = [inputs.measures[name] for inputs in batch]
            counts = np.array([atoms.shape[0] for atoms, _ in pairs])
            measures[name] = joined([a for a, _ in pairs]), joined([w for _, w in pairs]), counts
        given = dict(one.parameters)
        given |= {name: xp.stack([inputs.parameters[name] for inputs in batch]) for name in own}
        return cls(points, measures, given, own)

    def counts(self, axis: Axis) -> np.ndarray:
        """The number of indices of an axis for each measure."""
        found = self.measures[axis.owner] if axis.is_atoms else self.points[axis.owner]
        return found[-1]

    @property
    def items(self) -> int:
        return len(next(iter(self.measures.values()))[-1])

    @property
    def dtype(self) -> Any:
        return next(iter(self.measures.values()))[0].dtype

    def shapes(self, program: Program) -> tuple[Shape, ...]:
        """The component shape of every instruction."""
        dims = {name: rows.shape[1] for name, (rows, _) in self.points.items()}
        dims |= {name: atoms.shape[1] for name, (atoms, _, _) in self.measures.items()}
        shapes = {n: tuple(v.shape)[n in self.own :] for n, v in self.parameters.items()}
        return component_shapes(program, dims, shapes)


@dataclass(frozen=True, slots=True, eq=False)
class _Extent:
    """Where the measures of a batch lie along an axis: each is padded to whole blocks of rows."""

    counts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, rows: int) -> "_Extent":
        return cls(counts, np.cumsum(-(-counts // rows) * rows))

    @property
    def total(self) -> int:
        return int(self.ends[-1])

    @property
    def most(self) -> int:
        return int(self.counts.max())

    @property
    def starts(self) -> np.ndarray:
        return np.concatenate([[0], self.ends[:-1]])

    def numbers(self) -> np.ndarray:
        places = np.stack([self.starts, self.counts], axis=1)
        return np.concatenate([[self.total, self.most], places.ravel()])

    def places(self) -> np.ndarray | slice:
        """Where each of the rows goes that lie one behind the other without padding."""
        if len(self.counts) == 1:
            return slice(0, self.most)
        shift = self.starts - (np.cumsum(self.counts) - self.counts)
        return np.repeat(shift, self.counts) + np.arange(self.counts.sum())


class Batch:
    """One evaluation of a kernel: its buffers, its launches, its results.

    What the caller gives is laid out where it lies, by NumPy or on the device, and goes there in
    one piece a buffer; results come back in one piece.
    """

    def __init__(
        self,
        program: Program,
        given: Ragged,
        kernel: CudaKernel,
        xp: Any,
        address: Callable[[Any], int],
    ):
        self.program, self.given, self.kernel, self.xp = program, given, kernel, xp
        self.dtype = np.dtype(str(given.dtype).rpartition(".")[2])
        self.shapes = given.shapes(program)
        self.near = namespace(next(iter(given.measures.values()))[0])
        self.tables = CudaTables(program, self.shapes, 8 * self.dtype.itemsize)
        self.extents: dict[Axis, _Extent] = {}
        self.heaviest: dict[str, Any] = {}
        self.buffers = {slot: self.buffer(*slot) for slot in kernel.slots}
        addresses = [address(self.buffers[slot]) for slot in kernel.slots]
        self.addresses = xp.asarray(np.array(addresses or [0], dtype=np.uint64))
        numbers = [self.extent(axis).numbers() for axis in kernel.counts] or [np.zeros(1)]
        self.stride = len(numbers[0])
        self.counts = xp.asarray(np.stack(numbers).astype(np.int64))

    def extent(self, axis: Axis) -> _Extent:
        key = Axis(axis.owner, 0 if axis.is_atoms else -1)
        if key not in self.extents:
            self.extents[key] = _Extent.of(self.given.counts(key), self.kernel.layout.rows)
        return self.extents[key]

    # ---- buffers

    def buffer(self, kind: str, name: Any) -> Any:
        if kind in ("weights", "logs", "unit"):
            return self.weights(kind, name)
        instruction, n = self.program.instructions[name], prod(self.shapes[name])
        given = self.leaf(name)
        if kind == "global":
            if given is not None:
                array = self.near.zeros(given.shape, dtype=given.dtype)
                array[...] = given  # rows first, however the caller's lie
                return self.xp.asarray(array)
            return self.zeros(self.given.items, n)
        if kind == "atom":
            axis, stride = instruction.axes[0], self.tables.stride(kind, name)
            if given is None:
                return self.zeros(self.extent(axis).total, stride)
            return self.placed(given, axis, stride)
        row = schedule(self.program).rows[name]
        assert row is not None
        if given is None:
            others = prod(self.extent(axis).most for axis in instruction.axes if axis != row)
            return self.zeros(n * others, self.extent(row).total)
        return self.placed(given, row, n, rows_last=True)

    def zeros(self, *shape: int) -> Any:
        return self.xp.zeros(shape, dtype=getattr(self.xp, self.dtype.name))

    def placed(self, rows: Any, axis: Axis, stride: int, rows_last: bool = False) -> Any:
        """The rows of every measure where they belong, on the device; what is between is zero."""
        extent = self.extent(axis)
        shape = (stride, extent.total) if rows_last else (extent.total, stride)
        array = self.near.zeros(shape, dtype=rows.dtype)
        places = extent.places()
        if not isinstance(places, slice):
            places = self.near.asarray(places)
        (array.T if rows_last else array)[places, : rows.shape[1]] = rows
        return self.xp.asarray(array)

    def leaf(self, index: int) -> Any:
        """The value of a leaf for all measures, with the indices of its axis first."""
        instruction = self.program.instructions[index]
        name = str(instruction.attributes[0]) if instruction.attributes else ""
        if instruction.op == "point":
            return self.given.points[name][0]
        if instruction.op == "atoms":
            return self.given.measures[name][0]
        return self.given.parameters[name] if instruction.op == "parameter" else None

    def weights(self, kind: str, owner: str) -> Any:
        _, weights, counts = self.given.measures[owner]
        if kind != "weights":
            largest = self.largest(owner)
            if kind == "unit":
                return self.xp.asarray(self.near.log(largest))
            measures = self.near.asarray(np.repeat(np.arange(len(counts)), counts))
            weights = self.near.log(weights / largest[measures])
        array = self.placed(weights[:, None], Axis(owner, 0), 1)
        return self.xp.reshape(array, (-1,))

    def largest(self, owner: str) -> Any:
        """The largest weight of every measure."""
        if owner not in self.heaviest:
            _, weights, counts = self.given.measures[owner]
            starts = np.cumsum(counts) - counts
            if isinstance(weights, np.ndarray):
                self.heaviest[owner] = np.maximum.reduceat(weights, starts)
            else:
                parts = [weights[s : s + n] for s, n in zip(starts, counts, strict=True)]
                self.heaviest[owner] = self.near.stack([self.near.max(part) for part in parts])
        return self.heaviest[owner]

    # ---- steps

    def run(self, launch: Launch, home: Callable[[Any], Any], order: tuple[str, ...]) -> list:
        """All steps; the values of each measure, a dimension for each point argument first.

        `home` takes an array to where the values are wanted.
        """
        for number, step in enumerate(schedule(self.program).steps):
            owner = self.owners(step.axis)
            if len(owner) and number in self.kernel.steps:
                blocks = self.xp.asarray(owner)
                launch(number, len(owner), self.addresses, self.counts, blocks, self.stride)
            for index in step.members:
                if ("atom", index) in self.buffers and self.leaf(index) is None:
                    self.turn(index)
        return self.values(home, order)

    def owners(self, axis: Axis | None) -> np.ndarray:
        """The measure of each block of a launch."""
        measures = np.arange(self.given.items)
        if axis is None:
            return measures
        blocks = np.diff(self.extent(axis).ends, prepend=0) // self.kernel.layout.rows
        return np.repeat(measures, blocks)

    def turn(self, index: int) -> None:
        """A value made for rows, for those who read it atom by atom."""
        rows = self.buffers["row", index]
        self.buffers["atom", index][:, : rows.shape[0]] = self.xp.permute_dims(rows, (1, 0))

    # ---- results

    def values(self, home: Callable[[Any], Any], order: tuple[str, ...]) -> list:
        """The results of all measures, cut from one array."""
        index, cut = self.program.result.index, self.kept
        if self.leaf(index) is not None:
            array, cut = self.leaf(index), self.given_value
        elif self.program.instructions[index].axes:
            array = self.buffers["row", index]
        else:
            array, cut = self.buffers["global", index], self.number
        array = home(array)
        xp, axes = namespace(array), tuple(Axis(name) for name in order)
        shape = self.shapes[index]
        if cut == self.kept and self.program.result.axes == axes and len(axes) == 1:
            rows = xp.permute_dims(array, (1, 0))[self.extent(axes[0]).places(), ...]
            rows = xp.reshape(xp.asarray(rows, copy=True), (-1, *shape))
            ends = np.cumsum(self.given.counts(axes[0]))
            return [rows[a:b, ...] for a, b in zip((0, *ends[:-1]), ends, strict=True)]
        values = [cut(xp, array, b) for b in range(self.given.items)]
        counts = [self.given.counts(axis) for axis in axes]
        return [
            laid_out(xp, self.program, shape, axes, tuple(int(c[b]) for c in counts), value)
            for b, value in enumerate(values)
        ]

    def given_value(self, xp: Any, array: Any, b: int) -> Any:
        """The result where it is what the caller gave."""
        instruction = self.program.instructions[self.program.result.index]
        if not instruction.axes:
            return array[b, ...] if ROW in instruction.attributes[1:] else array
        counts = self.given.counts(instruction.axes[0])
        start = int(counts[:b].sum())
        return xp.permute_dims(array[start : start + int(counts[b]), ...], (1, 0))

    def number(self, xp: Any, array: Any, b: int) -> Any:
        return xp.reshape(array[b, ...], self.shapes[self.program.result.index])

    def kept(self, xp: Any, array: Any, b: int) -> Any:
        """The result for a measure, its components first, its axes as in its instruction."""
        index = self.program.result.index
        instruction, shape = self.program.instructions[index], self.shapes[index]
        row = schedule(self.program).rows[index]
        assert row is not None
        others = [axis for axis in instruction.axes if axis != row]
        start, count = int(self.extent(row).starts[b]), int(self.extent(row).counts[b])
        array = array[:, start : start + count]
        array = xp.reshape(array, (*shape, *(self.extent(a).most for a in others), count))
        for k, axis in enumerate(others):
            place = (slice(None),) * (len(shape) + k)
            array = array[(*place, slice(0, int(self.extent(axis).counts[b])))]
        return aligned(xp, Part(array, (*others, row)), instruction.axes)


def arranged(xp: Any, program: Program, inputs: Inputs, order: tuple[str, ...], value: Any) -> Any:
    """One dimension for each point argument, in this order, then the components."""
    axes = tuple(Axis(name) for name in order)
    counts = tuple(inputs.count(axis) for axis in axes)
    shape = inputs.shapes(program)[program.result.index]
    return laid_out(xp, program, shape, axes, counts, value)


def laid_out(
    xp: Any,
    program: Program,
    shape: Shape,
    axes: tuple[Axis, ...],
    counts: tuple[int, ...],
    value: Any,
) -> Any:
    """A value with its components first as one with a dimension for each of the axes first."""
    array = aligned(xp, Part(value, program.result.axes), axes)
    array = xp.broadcast_to(array, (*shape, *counts))
    rank = len(shape)
    dimensions = (*range(rank, rank + len(axes)), *range(rank))
    return xp.asarray(xp.permute_dims(array, dimensions), copy=True)
