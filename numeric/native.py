"""The `native` engine: generated C, compiled once for a program, its dimensions and its type."""

import ctypes
import math
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .compiler import compiled
from .native_blocks import render_native
from .native_driver import LOGS, Signature, driver
from .native_operations import Unsupported as Unsupported
from .native_prelude import PRELUDE
from .native_source import Kernel
from .parts import Part, aligned
from .program import Axis, Program
from .reference import Inputs
from .registered import c_functions
from .schedule import Step, schedule
from .shapes import Shape

PAIRS_FOR_THREADS = 2**20


def evaluate_native(program: Program, inputs: Inputs, order: tuple[str, ...]) -> np.ndarray:
    """The value of a program by compiled C, on all processors that the process may use.

    Args:
        program: the program.
        inputs: NumPy arrays of one floating type, float32 or float64.
        order: the names of the point arguments in the order of the dimensions of the result.

    Raises:
        Unsupported: the program has no kernel; the message says why.
        CompilerMissing: there is no C compiler.
    """
    shapes = inputs.shapes(program)
    dtype = next(iter(inputs.measures.values()))[0].dtype
    kernel = loaded(program, shapes, dtype.name, Signature.of(inputs, order))
    run = _Run(program, inputs, shapes, dtype, kernel)
    for step, function in zip(schedule(program).steps, kernel.functions, strict=True):
        run.make(step, function)
    return run.result(order)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A kernel with its compiled functions: one a step, and `items` for many measures.

    Rows are made `block` at a time.
    """

    kernel: Kernel
    functions: tuple[Callable[..., None], ...]
    logs: Callable[..., None]
    items: Callable[..., int]
    block: int


@lru_cache(maxsize=256)
def loaded(program: Program, shapes: tuple[Shape, ...], dtype: str, signature: Signature) -> Loaded:
    """The compiled kernel of a program, its dimensions and its type."""
    kernel = render_native(program, shapes)
    bits = 8 * np.dtype(dtype).itemsize
    below = f"{PRELUDE}\n{c_functions(program)}\n{LOGS}"
    above = driver(program, shapes, kernel, signature)
    library = compiled(f"#define REAL_BITS {bits}\n{below}\n{kernel.text}\n{above}")
    steps = len(schedule(program).steps)
    functions = [_function(library, f"step_{k}", "ppll") for k in range(steps)]
    logs = _function(library, "log_weights", "plpp")
    items = _function(library, "evaluate_items", "pppplp", ctypes.c_int)
    block = _function(library, "block", "", ctypes.c_long)()
    return Loaded(kernel, tuple(functions), logs, items, block)


def _function(library: ctypes.CDLL, name: str, arguments: str, result: Any = None) -> Any:
    """A C function of pointers (p) and whole numbers (l)."""
    function = library[name]
    function.argtypes = [ctypes.c_void_p if a == "p" else ctypes.c_long for a in arguments]
    function.restype = result
    return function


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(processors(), thread_name_prefix="pushforward")


def _shared_out(call: Callable[[int, int], None], chunks: Iterable[tuple[int, int]]) -> None:
    """Every chunk called once, by this thread and by those that are free by then."""
    left = deque(chunks)

    def work() -> None:
        with suppress(IndexError):
            while True:
                call(*left.popleft())

    others = [_threads().submit(work) for _ in range(min(processors(), len(left)) - 1)]
    work()
    for other in others:
        other.result()


def processors() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Run:
    """The buffers of one evaluation."""

    def __init__(self, program: Program, inputs: Inputs, shapes, dtype, loaded: Loaded):
        self.program, self.inputs, self.shapes, self.dtype = program, inputs, shapes, dtype
        self.loaded = loaded
        slots = loaded.kernel.slots
        self.buffers = {slot: self.buffer(*slot) for slot in slots}
        addresses = [self.buffers[slot].ctypes.data for slot in slots]
        self.addresses = np.array(addresses or [0], dtype=np.uintp)
        counts = [inputs.count(axis) for axis in loaded.kernel.counts]
        self.counts = np.array(counts or [0], dtype=np.dtype(ctypes.c_long))

    def padded(self, axis: Axis) -> int:
        block = self.loaded.block
        return -(-self.inputs.count(axis) // block) * block

    def buffer(self, kind: str, name: Any) -> np.ndarray:
        if kind in ("weights", "logs", "unit"):
            return self.weights(kind, name)
        instruction, n = self.program.instructions[name], math.prod(self.shapes[name])
        given = self.given(name)
        if kind == "global":
            return np.empty(n, self.dtype) if given is None else np.ascontiguousarray(given)
        if kind == "atom":
            count = self.inputs.count(instruction.axes[0])
            rows = np.empty((count, n), self.dtype) if given is None else given
            return np.ascontiguousarray(rows)
        row = schedule(self.program).rows[name]
        assert row is not None
        others = math.prod(self.inputs.count(axis) for axis in instruction.axes if axis != row)
        rows = np.empty((n * others, self.padded(row)), self.dtype)
        if given is not None:
            rows[:, : given.shape[0]] = given.T
            rows[:, given.shape[0] :] = 0
        return rows

    def given(self, index: int) -> np.ndarray | None:
        """The value of a leaf, with the indices of its axis first."""
        instruction = self.program.instructions[index]
        if instruction.op == "point":
            return self.inputs.points[str(instruction.attributes[0])]
        if instruction.op == "atoms":
            return self.inputs.measures[str(instruction.attributes[0])][0]
        if instruction.op == "parameter":
            return self.inputs.parameters[str(instruction.attributes[0])]
        return None

    def weights(self, kind: str, owner: str) -> np.ndarray:
        weights = self.inputs.measures[owner][1]
        if kind == "weights":
            return np.ascontiguousarray(weights)
        weights, logs = np.ascontiguousarray(weights), np.empty_like(weights)
        unit = np.empty(1, self.dtype)
        addresses = (array.ctypes.data for array in (logs, unit))
        self.loaded.logs(weights.ctypes.data, len(weights), *addresses)
        return logs if kind == "logs" else unit

    def make(self, step: Step, function: Callable[..., None]) -> None:
        rows = 1 if step.axis is None else self.inputs.count(step.axis)
        call = lambda start, stop: function(  # noqa: E731
            self.addresses.ctypes.data, self.counts.ctypes.data, start, stop
        )
        _shared_out(call, self.chunks(step, rows))
        for index in step.members:
            slot = "atom", index
            if slot in self.buffers and self.given(index) is None:
                rows_first = self.buffers["row", index]
                self.buffers[slot][...] = rows_first[:, : len(self.buffers[slot])].T

    def chunks(self, step: Step, rows: int) -> list[tuple[int, int]]:
        """The rows shared among threads: every row is made alike whatever the shares."""
        block, workers = self.loaded.block, processors()
        atoms = max((len(a) for a, _ in self.inputs.measures.values()), default=1)
        if workers == 1 or not step.pairs or rows * atoms < PAIRS_FOR_THREADS:
            return [(0, rows)]
        blocks = -(-rows // block)
        share = -(-blocks // (16 * workers)) * block
        return [(start, min(start + share, rows)) for start in range(0, rows, share)]

    def result(self, order: tuple[str, ...]) -> np.ndarray:
        use = self.program.result
        shape, axes = self.shapes[use.index], tuple(Axis(name) for name in order)
        part = Part(self.whole(use.index).astype(self.dtype, copy=False), use.axes)
        counts = tuple(self.inputs.count(axis) for axis in axes)
        array = np.broadcast_to(aligned(np, part, axes), (*shape, *counts))
        rank = len(shape)
        return np.array(np.moveaxis(array, range(rank), range(-rank, 0)), order="C")

    def whole(self, index: int) -> np.ndarray:
        """The result with its components first and its axes in the order of its instruction."""
        instruction, shape = self.program.instructions[index], self.shapes[index]
        given = self.given(index)
        if given is not None:
            return given.T if instruction.axes else given
        if not instruction.axes:
            return self.buffers["global", index].reshape(shape)
        row = schedule(self.program).rows[index]
        assert row is not None
        others = [axis for axis in instruction.axes if axis != row]
        counts = [self.inputs.count(axis) for axis in others]
        rows = self.buffers["row", index][:, : self.inputs.count(row)]
        array = rows.reshape((*shape, *counts, rows.shape[1]))
        return aligned(np, Part(array, (*others, row)), instruction.axes)
