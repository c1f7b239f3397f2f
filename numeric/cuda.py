"""The `cuda` engine: generated CUDA C++ on a device, compiled by NVRTC and kept on disk by CuPy.

Points up to 32 components go through one kernel a step of the program; longer ones, and programs
too large for registers, through matrix products by blocks.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial
from importlib import import_module
from importlib.util import find_spec
from math import prod
from typing import Any

import array_api_compat
import numpy as np

from .arrays import namespace
from .cuda_blocks import COMPONENTS, GIBBS_THREADS, Gibbs, evaluate_blocks, gibbs_text
from .cuda_layout import Batch, Ragged, layout_for
from .cuda_prelude import PRELUDE
from .cuda_source import THREADS, CudaKernel, Layout, TooLarge, render_cuda
from .program import Axis, Program
from .reference import Inputs
from .schedule import schedule
from .shapes import Shape
from .slices import ROW, choices, evaluate_slices

_MOST_NUMBERS = 2**27
"""Of all values of the slices that go to the device together."""


_INSTALL = "pip install 'pushforward[cuda12]' or 'pushforward[cuda13]'"


class CudaMissing(Exception):
    """There is no CuPy or no device; the message says what is missing."""


@lru_cache(maxsize=1)
def missing() -> str:
    """What the engine lacks here; an empty text where it is ready."""
    if find_spec("cupy") is None:
        return f"CuPy is not installed; {_INSTALL}"
    try:
        cupy = import_module("cupy")
        found = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # an installation that does not fit the driver fails in many ways
        return f"CuPy finds no CUDA device ({str(error).splitlines()[0][:80]})"
    return _no_compiler() if found else "CuPy finds no CUDA device"


def _no_compiler() -> str:
    """Why kernels cannot be compiled: the wheels of CuPy come without NVRTC."""
    try:
        import_module("cupy_backends.cuda.libs.nvrtc").getVersion()
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0][:80]
        return f"CuPy finds no NVRTC ({reason}); {_INSTALL}"
    except ImportError:
        pass  # a release that keeps it elsewhere
    return ""


def _cupy() -> Any:
    if missing():
        raise CudaMissing(missing())
    return import_module("cupy")


def evaluate_cuda(
    program: Program, inputs: Inputs, order: tuple[str, ...], accumulate: str = "tiles"
) -> Any:
    """The value of a program by a device; of CuPy arrays as one, of NumPy arrays as theirs.

    Args:
        program: the program.
        inputs: NumPy or CuPy arrays of one floating type, float32 or float64.
        order: the names of the point arguments in the order of the dimensions of the result.
        accumulate: how long sums are kept in float32: "tiles" (sums of tiles), "compensated" or
            "float64".

    Raises:
        CudaMissing: there is no CuPy or no device.
        Unsupported: the program has no kernel; the message says why.
    """
    return evaluate_batch(program, [inputs], order, accumulate)[0]


def evaluate_batch(
    program: Program,
    batch: Sequence[Inputs],
    order: tuple[str, ...],
    accumulate: str = "tiles",
) -> list:
    """The values for many measures, whatever their sizes, by one launch a step.

    Args:
        program: the program.
        batch: points and measures for each; the parameters of all are those of the first.
        order, accumulate: as for one.

    Raises:
        CudaMissing, Unsupported: as for one.
    """
    cupy = _cupy()
    like = next(iter(batch[0].measures.values()))[0]
    with like.device if isinstance(like, cupy.ndarray) else nullcontext():
        if not choices(program):
            return _evaluated(cupy, program, batch, order, accumulate)
        evaluate = partial(_in_pieces, cupy, accumulate)
        return [evaluate_slices(evaluate, program, inputs, order) for inputs in batch]


def _in_pieces(
    cupy: Any, accumulate: str, program: Program, slices: Sequence[Inputs], order: tuple[str, ...]
) -> list:
    """The values for slices of one evaluation, as many in a launch as fit into memory."""
    one, shapes = slices[0], slices[0].shapes(program)
    numbers = sum(
        prod(shapes[index]) * prod(one.count(axis) for axis in program.instructions[index].axes)
        for index in schedule(program).rows
    )
    size = max(1, _MOST_NUMBERS // max(numbers, 1))
    pieces = [slices[start : start + size] for start in range(0, len(slices), size)]
    found = (_evaluated(cupy, program, piece, order, accumulate) for piece in pieces)
    return [value for piece in found for value in piece]


def _evaluated(
    cupy: Any, program: Program, batch: Sequence[Inputs], order: tuple[str, ...], accumulate: str
) -> list:
    like = next(iter(batch[0].measures.values()))[0]
    own = {
        str(instruction.attributes[0])
        for instruction in program.instructions
        if instruction.op == "parameter" and ROW in instruction.attributes[1:]
    }
    value = evaluate_ragged(
        program, Ragged.of(batch, namespace(like), frozenset(own)), order, accumulate
    )
    if value is not None:
        return value
    home = _home(cupy, namespace(like))
    gibbs = _gibbs(8 * like.dtype.itemsize)
    return [
        home(evaluate_blocks(program, _on_device(cupy, inputs), order, gibbs)) for inputs in batch
    ]


def evaluate_ragged(
    program: Program, given: Ragged, order: tuple[str, ...], accumulate: str = "tiles"
) -> list | None:
    """The values for many measures that lie one behind the other, by one launch a step.

    Returns:
        An array for each measure, of the library of `given`; None where the program goes by blocks.
    """
    cupy = _cupy()
    shapes, bits = given.shapes(program), 8 * np.dtype(str(given.dtype)).itemsize
    kernel = _kernel(program, shapes, bits, _layout(program, shapes, bits, given), accumulate)
    if kernel is None:
        return None
    near = namespace(next(iter(given.measures.values()))[0])
    run = Batch(program, given, kernel, array_api_compat.array_namespace(cupy.empty(0)), _address)
    functions = _functions(kernel)

    def launch(step: int, blocks: int, *arguments: Any) -> None:
        *arrays, stride = arguments
        functions[step]((blocks,), (THREADS,), (*arrays, np.int64(stride)))

    return run.run(launch, _home(cupy, near), order)


def _home(cupy: Any, near: Any) -> Callable[[Any], Any]:
    """What takes an array of the device to the library of the inputs."""
    on_device = array_api_compat.is_cupy_namespace(near)
    return (lambda array: array) if on_device else cupy.asnumpy


def _address(array: Any) -> int:
    return array.data.ptr


def _on_device(cupy: Any, inputs: Inputs) -> Inputs:
    return Inputs(
        {name: cupy.asarray(rows) for name, rows in inputs.points.items()},
        {name: tuple(map(cupy.asarray, pair)) for name, pair in inputs.measures.items()},
        {name: cupy.asarray(value) for name, value in inputs.parameters.items()},
    )


def _layout(program: Program, shapes: tuple[Shape, ...], bits: int, given: Ragged) -> Layout:
    axes = {axis for index in program.needed() for axis in program.instructions[index].axes}
    axes = {Axis(axis.owner, 0 if axis.is_atoms else -1) for axis in axes}
    counts = np.max([given.counts(axis) for axis in axes] or [np.ones(given.items)], axis=0)
    varying = [shapes[i] for i in program.needed() if program.instructions[i].axes]
    return layout_for(varying or [()], counts.tolist(), bits)


@lru_cache(maxsize=256)
def _kernel(
    program: Program, shapes: tuple[Shape, ...], bits: int, layout: Layout, accumulate: str
) -> CudaKernel | None:
    """The kernels of a program; None where blocks of products take their place."""
    ops = ("point", "atoms")
    points = [shapes[i] for i in program.needed() if program.instructions[i].op in ops]
    if max(map(prod, points), default=0) >= COMPONENTS:
        return None
    try:
        return render_cuda(program, shapes, bits, layout, accumulate)
    except TooLarge:
        return None


@lru_cache(maxsize=256)
def _functions(kernel: CudaKernel) -> dict[int, Callable[..., None]]:
    module = _module(kernel.text)
    return {step: module.get_function(f"step_{step}") for step in kernel.steps}


def _module(text: str) -> Any:
    return _cupy().RawModule(code=text, options=("--std=c++17",), backend="nvrtc")


@lru_cache(maxsize=2)
def _gibbs(bits: int) -> Gibbs:
    """The weights of Gibbs laws, row by row."""
    cupy = _cupy()
    function = _module(gibbs_text(bits, PRELUDE)).get_function("gibbs")

    def gibbs(energy: Any, logs: Any) -> tuple[Any, Any, Any]:
        shape = np.broadcast_shapes(energy.shape, logs.shape)
        energy = cupy.ascontiguousarray(cupy.broadcast_to(energy, shape))
        logs = cupy.ascontiguousarray(logs.ravel())
        terms, rows = cupy.empty(shape, energy.dtype), shape[:-1]
        shift, total = cupy.empty(rows, energy.dtype), cupy.empty(rows, energy.dtype)
        arguments = energy, logs, terms, shift, total, np.int64(shape[-1])
        if prod(rows):
            function((prod(rows),), (GIBBS_THREADS,), arguments)
        return terms, shift, total

    return gibbs
