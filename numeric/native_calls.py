"""Calls of a compiled kernel with little around them: one small measure, or many in one call."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .compiler import CompilerMissing, compiler
from .engines import run, run_gathered, run_together
from .native import PAIRS_FOR_THREADS, Unsupported, loaded, processors
from .native_driver import REFUSED, Signature, parameters
from .program import Program
from .shapes import component_shapes

_LONG = np.dtype(ctypes.c_long)
Measured = tuple[np.ndarray, np.ndarray]


class Caller:
    """A compiled kernel with its parameters laid out, for points of given dimensions and type."""

    def __init__(
        self, program: Program, values: Mapping[str, Any], dtype: np.dtype, signature: Signature
    ):
        shapes = {name: tuple(np.shape(value)) for name, value in values.items()}
        dims = dict((*signature.points, *signature.measures))
        components = component_shapes(program, dims, shapes)
        self.function = loaded(program, components, dtype.name, signature).items
        self.shape, self.dtype = components[program.result.index], dtype
        self.arguments = len(signature.points)
        self.kept = [np.ascontiguousarray(values[n], dtype) for n in parameters(program)]
        self.parameters = _addresses(self.kept)

    def __call__(
        self,
        points: Sequence[np.ndarray],
        measures: Sequence[Measured],
        offsets: Sequence[np.ndarray],
    ) -> np.ndarray | None:
        """The values of all items one behind the other; None where a number is refused.

        Args:
            points: for each point argument the rows of all items, contiguous and of the type.
            measures: for each measure the atoms and weights of all items.
            offsets: for each of them where its items begin, and the end, as C longs.
        """
        counts = [np.diff(o) if len(o) > 2 else o[1:] for o in offsets[: self.arguments]]
        total = int(sum(_product(counts)))
        out = np.empty((total, *self.shape), self.dtype)
        status = self.function(
            _addresses([*points, *(atoms for atoms, _ in measures)]),
            _addresses([weights for _, weights in measures]),
            self.parameters,
            _addresses(offsets),
            len(offsets[0]) - 1,
            out.ctypes.data,
        )
        if status not in (0, REFUSED):
            raise MemoryError("no memory for the buffers of a kernel")
        return None if status else out


def _product(counts: list[np.ndarray]) -> np.ndarray:
    total = counts[0]
    for count in counts[1:]:
        total = total * count
    return total


def _addresses(arrays: Sequence[np.ndarray]) -> Any:
    found = [array.__array_interface__["data"][0] for array in arrays]
    return (ctypes.c_void_p * len(found))(*found)


_CALLERS: "WeakKeyDictionary[Any, dict[tuple, Caller | None]]" = WeakKeyDictionary()


def caller(bound: Any, dtype: np.dtype, dims: tuple[int, ...]) -> Caller | None:
    """The kernel of a bound term for points and measures of the dimensions, None where none is."""
    callers = _CALLERS.setdefault(bound, {})
    key = dtype.char, dims
    if key not in callers:
        callers[key] = _made(bound, dtype, dims)
    return callers[key]


def _made(bound: Any, dtype: np.dtype, dims: tuple[int, ...]) -> Caller | None:
    names = bound.point_names
    measures = (bound.map.mu.name, *(nu.name for nu in bound.map.others))
    points = tuple(zip(names, dims[: len(names)], strict=True))
    signature = Signature(points, tuple(zip(measures, dims[len(names) :], strict=True)))
    plain = all(type(bound.parameters.get(n)) is np.ndarray for n in parameters(bound.program))
    if bound.map.time is not None or not plain or not compiler():
        return None
    try:
        return Caller(bound.program, bound.parameters, dtype, signature)
    except (Unsupported, CompilerMissing):
        return None


def quick(
    bound: Any, points: Any, weights: Any, x: Any, more: Mapping[str, Any], fewest: int
) -> np.ndarray | None:
    """The value of a plain call by the kernel; None where the call needs a closer look.

    Plain are contiguous NumPy arrays of one floating type, finite, with positive weights, for a
    term of one measure, with at least `fewest` pairs and not so many that threads pay.
    """
    names = bound.point_names[1:]
    if len(more) != len(names) or bound.map.others:
        return None
    rows = [x]
    for name in names:
        if name not in more:
            return None
        rows.append(more[name])
    if type(points) is not np.ndarray or points.ndim != 2 or points.dtype.char not in "fd":
        return None
    n, dtype = len(points), points.dtype
    if weights is None:
        weights = np.full(n, 1.0 / max(n, 1), dtype)
    for array in (points, *rows, weights):
        if type(array) is not np.ndarray or array.dtype != dtype or not array.flags.c_contiguous:
            return None
    pairs = n * max(len(row) for row in rows)
    if pairs >= PAIRS_FOR_THREADS and processors() > 1:
        return None
    if n == 0 or weights.shape != (n,) or pairs < fewest:
        return None
    if any(row.ndim != 2 or not row.shape[1] for row in (points, *rows)):
        return None
    kernel = caller(bound, dtype, (*(row.shape[1] for row in rows), points.shape[1]))
    if kernel is None:
        return None
    return _one(kernel, rows, points, weights)


def _one(kernel: Caller, rows: list, points: np.ndarray, weights: np.ndarray) -> Any:
    counts = [len(row) for row in rows]
    ends = [np.array((0, count), _LONG) for count in (*counts, len(points))]
    value = kernel(rows, [(points, weights)], ends)
    if value is None and (weights >= 0).all() and weights.any():
        kept = np.flatnonzero(weights)
        ends[-1][1] = len(kept)
        value = kernel(rows, [(points[kept], weights[kept])], ends)
    return None if value is None else value.reshape((*counts, *kernel.shape))


def ragged(
    bound: Any, points: Any, weights: Any, x: Any, atoms: Any, queries: Any
) -> np.ndarray | None:
    """The values of many items that lie one behind the other; see `Bound.ragged`."""
    if len(bound.point_names) > 1 or bound.map.others:
        return None
    kernel = caller(bound, points.dtype, (x.shape[1], points.shape[1]))
    if kernel is None:
        return None
    ends = [np.ascontiguousarray(o, _LONG) for o in (queries, atoms)]
    _check_ragged(points, weights, x, ends)
    return kernel([x], [(points, weights)], ends)


def _check_ragged(points: Any, weights: Any, x: Any, ends: list[np.ndarray]) -> None:
    """The C code reads what the offsets say."""
    for array in (points, weights, x):
        if array.dtype != points.dtype or not array.flags.c_contiguous:
            raise ValueError("expected contiguous arrays of one floating type in a ragged call")
    if len(weights) != len(points) or len(ends[0]) != len(ends[1]):
        raise ValueError("expected a weight for each atom, and as many offsets of both kinds")
    for offsets, rows, least in ((ends[0], x, 0), (ends[1], points, 1)):
        if offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets) < least).any():
            raise ValueError(f"expected offsets that rise from 0 to {len(rows)}, atoms strictly")


def batch(bound: Any, items: Sequence[tuple[Any, Any, Any]], engine: str) -> list[np.ndarray]:
    """The values of many items; see `Bound.batch`."""
    value = _together(bound, items) if engine in ("auto", "native") else None
    if value is not None:
        return value
    if engine.startswith("cuda"):
        return _on_device(bound, items, engine)
    one, values = bound if engine != "auto" else bound.prepared(), []
    for number, (points, weights, x) in enumerate(items):
        try:
            values.append(one(points, weights, x, engine=engine))
        except ValueError as reason:
            raise ValueError(f"item {number}: {reason}") from None
    return values


def _on_device(bound: Any, items: Sequence[tuple[Any, Any, Any]], engine: str) -> list:
    """One launch a step; items of several floating types one after the other."""
    found = _gathered(items) if len(bound.point_names) == 1 and not bound.map.others else None
    if found is not None and bound.map.time is None:
        values = run_gathered(engine, bound, *found)
        if values is not None:
            return values
    requests = []
    for number, (points, weights, x) in enumerate(items):
        try:
            requests.append(bound.request(points, weights, x, None, {}))
        except ValueError as reason:
            raise ValueError(f"item {number}: {reason}") from None
    values = run_together(engine, requests)
    return [run(engine, request) for request in requests] if values is None else values


def _together(bound: Any, items: Sequence[tuple[Any, Any, Any]]) -> list[np.ndarray] | None:
    """All items in one call; None where one of them needs a closer look."""
    found = _gathered(items)
    if found is None:
        return None
    atoms, mass, rows, counts, queries = found
    ends = _ends(queries)
    value = ragged(bound, atoms, mass, rows, _ends(counts), ends)
    return None if value is None else np.split(value, ends[1:-1])


def _gathered(items: Sequence[tuple[Any, Any, Any]]) -> tuple | None:
    """Atoms, weights and queries of all items one behind the other, and how many each has; None
    where one of them needs a closer look."""
    if not items or any(type(part) is not np.ndarray for p, _, x in items for part in (p, x)):
        return None
    points, weights, queries = zip(*items, strict=True)
    dtype, dims = points[0].dtype, (queries[0].shape[-1], points[0].shape[-1])
    if dtype.char not in "fd" or any(
        p.ndim != 2 or q.ndim != 2 or not len(p) or (q.shape[1], p.shape[1]) != dims
        or p.dtype != dtype or q.dtype != dtype
        for p, q in zip(points, queries, strict=True)
    ):  # fmt: skip
        return None
    shares = [
        np.full(len(p), 1.0 / len(p), dtype) if w is None else np.asarray(w, dtype)
        for p, w in zip(points, weights, strict=True)
    ]
    if any(w.shape != (len(p),) for p, w in zip(points, shares, strict=True)):
        return None
    atoms, rows, mass = (np.concatenate(parts) for parts in (points, queries, shares))
    counts = [len(p) for p in points]
    if not (mass > 0).all():
        kept = mass > 0
        if (mass < 0).any() or np.isnan(mass).any():
            return None
        given = np.concatenate(
            [s if w is None else w for s, w in zip(shares, weights, strict=True)]
        )
        if (kept != (given > 0)).any():
            return None  # weights below the numbers of the type: their atoms count for a supremum
        counts = np.add.reduceat(kept, _ends(counts)[:-1])
        if not counts.all():
            return None
        atoms, mass = atoms[kept], mass[kept]
    return atoms, mass, rows, counts, [len(q) for q in queries]


def _ends(counts: Any) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])
