"""The engines by name: what each needs, and which one `auto` takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import array_api_compat
import numpy as np

from .arrays import namespace, to_numpy
from .blocked import evaluate
from .compiler import CompilerMissing, compiler
from .cuda import CudaMissing, evaluate_batch, evaluate_cuda, evaluate_ragged, missing
from .cuda_layout import Ragged
from .native import Unsupported, evaluate_native
from .program import Program
from .reference import Inputs, interpret
from .registered import without_code
from .schedule import schedule
from .slices import choices, evaluate_slices, fixed, slices_pay

DIGITS = 50
"""Decimal digits of the engine "mpmath"."""

PAIRS_FOR_NATIVE = 2**15
"""From so many pairs of rows and atoms on, `auto` compiles a kernel; the sizes alone decide."""


@dataclass(frozen=True, slots=True)
class Request:
    """A program with checked inputs and the floating type to answer in."""

    program: Program
    inputs: Inputs
    order: tuple[str, ...]
    dtype: np.dtype

    @property
    def like(self) -> Any:
        """An array of the library and on the device of the inputs."""
        return self.inputs.points[self.order[0]]

    def on_numpy(self, dtype: Any = np.float64) -> Inputs:
        """The inputs as NumPy arrays, in double precision as they are."""
        cast = lambda array: to_numpy(array).astype(dtype, copy=False)  # noqa: E731
        return _mapped(self.inputs, cast)

    def in_dtype(self) -> Inputs:
        """The inputs in the library and on the device of the points, in the floating type."""
        return _mapped(self.inputs, self._cast)

    def on_device(self, device: Any) -> "Request":
        """The request with its arrays on a device of their library."""
        move = lambda array: array_api_compat.to_device(array, device)  # noqa: E731
        return replace(self, inputs=_mapped(self.in_dtype(), move))

    def at(self, rows: Any) -> "Request":
        """The request with other rows of its first point argument."""
        points = {**self.inputs.points, self.order[0]: rows}
        inputs = Inputs(points, self.inputs.measures, self.inputs.parameters)
        return replace(self, inputs=inputs)

    def _cast(self, array: Any) -> Any:
        if type(array) is np.ndarray and type(self.like) is np.ndarray:
            return array.astype(self.dtype, copy=False)
        xp = namespace(self.like)
        device, dtype = array_api_compat.device(self.like), getattr(xp, self.dtype.name)
        if namespace(array) is xp:
            return array_api_compat.to_device(xp.astype(array, dtype, copy=False), device)
        return xp.asarray(to_numpy(array), dtype=dtype, device=device)

    def answer(self, value: np.ndarray) -> Any:
        """The value in the library and on the device of the inputs, in the floating type."""
        with np.errstate(over="ignore"):  # what the type does not hold is infinite, its bound too
            value = np.array(value, dtype=self.dtype, order="C")
        if array_api_compat.is_numpy_array(self.like):
            return value
        return namespace(self.like).asarray(value, device=array_api_compat.device(self.like))

    @property
    def pairs(self) -> int:
        """The most pairs of rows and atoms that a step of the program, or of a slice, runs over."""
        atoms = max(len(atoms) for atoms, _ in self.inputs.measures.values())
        sets = choices(self.program)
        program = fixed(self.program, sets[0]) if sets else self.program
        steps = [step for step in schedule(program).steps if step.pairs]
        return max((self.inputs.count(step.axis) * atoms for step in steps if step.axis), default=0)


def _mapped(inputs: Inputs, cast: Any) -> Inputs:
    return Inputs(
        {name: cast(rows) for name, rows in inputs.points.items()},
        {name: (cast(atoms), cast(weights)) for name, (atoms, weights) in inputs.measures.items()},
        {name: cast(value) for name, value in inputs.parameters.items()},
    )


def run(engine: str, request: Request, eager: bool = False) -> Any:
    """The value of a request by the engine of a name; `eager` lets `auto` compile for few pairs.

    Raises:
        ValueError: there is no such engine here; the message says what is missing.
    """
    if engine not in _ENGINES:
        raise ValueError(f"expected an engine of {', '.join(_ENGINES)}, got {engine!r}")
    return _auto(request, eager) if engine == "auto" else _ENGINES[engine](request)


def engine_status() -> dict[str, str]:
    """Every engine and what it lacks here; an empty text for an engine that is ready.

    >>> engine_status()["numpy"]
    ''
    """
    native = "" if compiler() else "no C compiler is found; install cc, or pip install 'ziglang'"
    return {"reference": "", "numpy": "", "native": native, "cuda": missing(), "mpmath": ""}


def _reference(request: Request) -> Any:
    return request.answer(interpret(request.program, request.on_numpy(), request.order))


def _numpy(request: Request) -> Any:
    return evaluate(request.program, request.in_dtype(), request.order)


def _native(request: Request) -> Any:
    try:
        value = _compiled(request)
    except Unsupported as reason:
        raise ValueError(
            f"engine='native' has no kernel for {reason}; use engine='numpy'"
        ) from None
    except CompilerMissing as reason:
        raise ValueError(f"engine='native' is not there: {reason}") from None
    return request.answer(value)


def _compiled(request: Request) -> Any:
    inputs = request.on_numpy(request.dtype)
    return evaluate_slices(_one_by_one, request.program, inputs, request.order)


def _one_by_one(program: Program, batch: Sequence[Inputs], order: tuple[str, ...]) -> list:
    return [evaluate_native(program, inputs, order) for inputs in batch]


def run_together(engine: str, requests: Sequence[Request]) -> list | None:
    """The values of requests of one program in one launch a step; None for other engines."""
    if engine not in _CUDA or len({request.dtype for request in requests}) != 1:
        return None
    return _cuda(requests, _CUDA[engine])


def run_gathered(
    engine: str, bound: Any, atoms: Any, weights: Any, rows: Any, counts: Any, queries: Any
) -> list | None:
    """The values for NumPy measures that lie one behind the other, by one launch a step.

    None for other engines, and where a number, a size or the device needs a closer look.
    """
    if engine not in _CUDA or missing() or choices(bound.program):
        return None
    if not (np.isfinite(atoms).all() and np.isfinite(rows).all() and np.isfinite(weights).all()):
        return None
    parameters = {n: to_numpy(v).astype(atoms.dtype) for n, v in bound.parameters.items()}
    points = {bound.point_names[0]: (rows, np.asarray(queries))}
    given = Ragged(points, {bound.map.mu.name: (atoms, weights, np.asarray(counts))}, parameters)
    try:
        return evaluate_ragged(bound.program, given, bound.point_names, _CUDA[engine])
    except (ValueError, Unsupported):
        return None


def _cuda(requests: Sequence[Request], accumulate: str) -> list:
    first = requests[0]
    on_device = array_api_compat.is_cupy_array(first.like)
    inputs = [r.in_dtype() if on_device else r.on_numpy(r.dtype) for r in requests]
    try:
        values = evaluate_batch(first.program, inputs, first.order, accumulate)
    except Unsupported as reason:
        raise ValueError(f"engine='cuda' has no kernel for {reason}; use engine='numpy'") from None
    except CudaMissing as reason:
        raise ValueError(f"engine='cuda' is not there: {reason}") from None
    if on_device:
        return values
    return [r.answer(value) for r, value in zip(requests, values, strict=True)]


def _cuda_one(request: Request, accumulate: str) -> Any:
    return _cuda([request], accumulate)[0]


_CUDA = {"cuda": "tiles", "cuda:compensated": "compensated", "cuda:float64": "float64"}
"""The engine with the ways to keep long sums."""


def _mpmath(request: Request) -> Any:
    from .multiprecision import interpret_precisely

    value = interpret_precisely(request.program, request.on_numpy(), request.order, DIGITS)
    return request.answer(value.astype(np.float64))


_REFUSED: set[tuple] = set()
"""Engines with programs, by digest and shapes, that have no kernel there: `auto` tries once."""


def _auto(request: Request, eager: bool = False) -> Any:
    fewest = 0 if eager else PAIRS_FOR_NATIVE
    wanted = type(request.like) is np.ndarray and request.pairs >= fewest
    tried = request.program.digest, request.inputs.shapes(request.program)
    if wanted and choices(request.program):
        wanted = slices_pay(request.program, request.inputs)
    if wanted and compiler() and ("native", *tried) not in _REFUSED:
        try:
            return _compiled(request)
        except (Unsupported, CompilerMissing):
            _REFUSED.add(("native", *tried))
    if array_api_compat.is_cupy_array(request.like) and ("cuda", *tried) not in _REFUSED:
        try:
            return evaluate_cuda(request.program, request.in_dtype(), request.order)
        except (Unsupported, CudaMissing):
            _REFUSED.add(("cuda", *tried))
    return _reference(request) if without_code(request.program) else _numpy(request)


_ENGINES: Mapping[str, Any] = {
    "auto": _auto,
    "reference": _reference,
    "numpy": _numpy,
    "native": _native,
    **{name: partial(_cuda_one, accumulate=way) for name, way in _CUDA.items()},
    "mpmath": _mpmath,
}
