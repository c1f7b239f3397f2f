"""Calling a user's candidate: fresh arrays in, checked arrays out, within a time budget."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from ..numeric.arrays import to_numpy
from ..numeric.native import PAIRS_FOR_THREADS
from .candidates import Candidate, Flow, InContextMap, MeasureMap, Symbolic, TokenMap

Atoms = tuple[np.ndarray, np.ndarray]
"""Points (n, d) and weights (n,) of a discrete measure, float64."""

Stack = tuple[np.ndarray, np.ndarray]
"""Points (b, n, d) and weights (b, n) of b measures with n atoms each."""

LARGEST = 4096
TOGETHER = 128
FLOW_STEPS = 16
SIDE_BY_SIDE = 0.05  # of the time left may pass until searches side by side have ended
_FLOAT64 = np.dtype(np.float64)
_NOT_FINITE = "the function returned a number that is not finite"


class Undefined(Exception):
    """The candidate raised, or returned something that is no image of a measure."""

    def __init__(self, reason: str, atoms: Atoms):
        super().__init__(reason)
        self.reason, self.atoms = reason, atoms


class Unsupported(Exception):
    """The candidate cannot be asked this (an unweighted list cannot carry these weights)."""


class OutOfTime(BaseException):
    """The time of a check is used up; raised inside a call that outlives the whole budget."""

    def __init__(self, atoms: Atoms | None = None):
        super().__init__()
        self.atoms = atoms


class Clock:
    """A deadline. `check` raises `OutOfTime` past it; `until` gives a nearer one."""

    def __init__(self, seconds: float, whole: Clock | None = None):
        self.seconds = seconds
        self.start = time.monotonic()
        self.end = self.start + seconds
        self.whole = whole or self
        self.interrupted = False

    @property
    def left(self) -> float:
        return min(self.end, self.whole.end) - time.monotonic()

    def interrupt(self) -> None:
        """End this clock and all that share its time, at the user's wish."""
        self.whole.interrupted = True
        self.whole.end = self.whole.start

    def check(self) -> None:
        if self.left <= 0:
            raise OutOfTime

    def share(self, fraction: float) -> Clock:
        """A clock that ends after `fraction` of the time left."""
        return Clock(max(0.0, self.left) * fraction, self.whole)


class Subject:
    """A candidate under test, behind one interface.

    `push` gives the image measure `f(mu)`; `rows` tells whether its row `i` is the image of atom
    `i`; `query` gives values of an in-context map at points that need not be atoms.
    """

    def __init__(self, candidate: Candidate):
        self.candidate = candidate
        self.fn: Any = candidate.fn
        if isinstance(candidate, Symbolic):
            self.fn = candidate.bound.prepared()
        self.domain = candidate.domain
        self.rows = not isinstance(candidate, MeasureMap)
        self.in_context = isinstance(candidate, (InContextMap, Symbolic))
        self.lists = isinstance(candidate, TokenMap) and not candidate.weighted
        # how many measures to hand over at once: compiled C takes many in one call
        self.together = TOGETHER if isinstance(candidate, Symbolic) else 1
        self.calls = 0
        self.seconds = 0.0
        self.dtypes: set[str] = set()
        self.largest = LARGEST
        self.steps = 0.0  # the largest steps of rounding inside that a defect was put down to
        self.dim = 0  # of the images; the first call sets it
        self._since: float | None = None
        self._atoms: Atoms | None = None

    def abreast(self, calls: int, clock: Clock, most: int) -> int:
        """How many searches of so many calls each to run side by side, up to `most`.

        A map that takes many measures at once runs all of them. Of others few are run, so that
        little is lost where time ends before they do, and one after the other where calls are dear.
        """
        if self.together > 1:
            return most
        one = self.seconds / max(1, self.calls)
        room = SIDE_BY_SIDE * max(0.0, clock.left)
        return max(1, min(most, int(room / max(calls * one, 1e-9))))

    # -- the three questions -------------------------------------------------------------------
    def push(self, points: np.ndarray, weights: np.ndarray) -> Atoms:
        """The image measure `f(mu)`: points (k, d') and weights (k,).

        Raises `Undefined` where the function raises or returns a wrong shape or a non-finite
        number, and `Unsupported` where a list cannot carry the weights.
        """
        with np.errstate(all="ignore"):
            return self._image(points, weights)

    def push_each(self, measures: Iterable[Atoms]) -> list[Atoms | None]:
        """The image measures of several, None where a list cannot carry the weights."""
        images: list[Atoms | None] = []
        with np.errstate(all="ignore"):
            for points, weights in measures:
                try:
                    images.append(self._image(points, weights))
                except Unsupported:
                    images.append(None)
        return images

    def query(self, points: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Images (m, d') of the queries `x` of an in-context map."""
        atoms = (points, weights)
        return self._rows(self._call(self.fn, atoms, points, weights, x), len(x), atoms)

    def push_stack(self, points: np.ndarray, weights: np.ndarray) -> Stack:
        """The images of measures (b, n, d), (b, n) with n atoms each, in one call where it can be.

        A map whose rows do not correspond to atoms takes one measure at a time: b = 1.
        """
        with np.errstate(all="ignore"):
            return self._image_of_stack(points, weights)

    def push_until(
        self, stacks: Iterable[Stack]
    ) -> tuple[list[Stack], Undefined | Unsupported | None]:
        """The images of stacks up to the first without one, and what was wrong there."""
        images: list[Stack] = []
        try:
            with np.errstate(all="ignore"):
                for points, weights in stacks:
                    images.append(self._image_of_stack(points, weights))
        except (Undefined, Unsupported) as stop:
            return images, stop
        return images, None

    def push_rows(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The images (b, n, d') of the atoms of b measures, where row `i` is that of atom `i`."""
        if self.in_context:
            return self.query_stack(points, weights, points)
        with np.errstate(all="ignore"):
            return np.array([self._image(*atoms)[0] for atoms in zip(points, weights, strict=True)])

    def query_stack(self, points: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Images (b, m, d') of the queries x (b, m, d), each m on its measure of n atoms."""
        if isinstance(self.candidate, Symbolic) and len(x) > 1:
            values = self._compiled(points, weights, x)
            if values is not None:
                return values
        _, values = self._queried(list(zip(points, weights, x, strict=True)))
        return values.reshape(len(x), x.shape[1], values.shape[1])

    def query_each(self, asked: Sequence[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
        """Images (m, d') of queries for each (points, weights, queries) of an in-context map.

        What is usual is looked at for all of them at once.
        """
        return self._queried(asked)[0]

    def _queried(
        self, asked: Sequence[tuple[np.ndarray, ...]]
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The images, and all of them in one array (sum of m, d')."""
        images: list[np.ndarray] = []
        with np.errstate(all="ignore"):
            for points, weights, x in asked:
                out = self._answer(self.fn, (points, weights), (points, weights, x))
                usual = self._is_usual(out, len(x))
                if usual:
                    self.dtypes.add("float64")
                images.append(out.copy() if usual else self._rows(out, len(x), (points, weights)))
        values = np.concatenate(images)
        if np.count_nonzero(np.isfinite(values)) < values.size:
            first = int(np.argmin([np.isfinite(image).all() for image in images]))
            raise Undefined(_NOT_FINITE, (asked[first][0], asked[first][1]))
        return images, values

    def _compiled(self, points: np.ndarray, weights: np.ndarray, x: np.ndarray) -> Any:
        """The values in one call of compiled C; None where there is no such form."""
        (count, n, d), m = points.shape, x.shape[1]
        if n * m >= PAIRS_FOR_THREADS:
            return None  # one measure keeps all processors busy
        started = time.perf_counter()
        present = weights > 0
        if present.all():
            atoms, masses, ends = (
                points.reshape(-1, d),
                weights.reshape(-1),
                n * np.arange(count + 1),
            )
        else:
            atoms, masses = points[present], weights[present]
            ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        atoms, masses, rows = (
            np.ascontiguousarray(array) for array in (atoms, masses, x.reshape(-1, x.shape[2]))
        )
        value = self.fn.ragged(atoms, masses, rows, ends, m * np.arange(count + 1))
        self.seconds += time.perf_counter() - started
        if value is None or value.ndim != 2:
            return None
        self.calls += count
        self.dim = self.dim or value.shape[1]
        value = value.reshape(count, m, -1)
        if not np.isfinite(value).all():
            first = int(np.argmin(np.isfinite(value).all(axis=(1, 2))))
            raise Undefined(_NOT_FINITE, (points[first], weights[first]))
        return value

    def flow(
        self, points: np.ndarray, weights: np.ndarray, horizon: float, steps: int
    ) -> np.ndarray:
        """Points of a `Flow` candidate at `horizon`, in `steps` steps."""
        atoms = (points, weights)
        out = self._call(self.fn, atoms, points, weights, float(horizon), int(steps))
        return self._rows(out, len(points), atoms)

    def velocity(self, points: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values (m, d) of the velocity field of a `Flow` candidate at `x`."""
        assert isinstance(self.candidate, Flow)
        atoms = (points, weights)
        out = self._call(self.candidate.field, atoms, points, weights, x, what="field")
        value = self._array(out, atoms, "field")
        if value.shape != x.shape:
            raise Undefined(
                f"the field returned shape {value.shape} where {x.shape} was expected", atoms
            )
        return value

    def _image(self, points: np.ndarray, weights: np.ndarray) -> Atoms:
        candidate, atoms = self.candidate, (points, weights)
        if isinstance(candidate, MeasureMap):
            return self._pair(self._answer(self.fn, atoms, atoms), atoms)
        if isinstance(candidate, Flow):
            return self.flow(points, weights, candidate.time, FLOW_STEPS), weights
        if isinstance(candidate, TokenMap) and not candidate.weighted:
            return self._image_of_list(points, weights)
        arguments = atoms if isinstance(candidate, TokenMap) else (points, weights, points)
        return self._rows(self._answer(self.fn, atoms, arguments), len(points), atoms), weights

    def _image_of_list(self, points: np.ndarray, weights: np.ndarray) -> Atoms:
        counts = as_counts(weights, self.largest)
        tokens = np.repeat(points, counts, axis=0)
        out = self._answer(self.fn, (points, weights), (tokens,))
        image = self._rows(out, len(tokens), (points, weights))
        return image, np.full(len(tokens), 1 / len(tokens))

    def _image_of_stack(self, points: np.ndarray, weights: np.ndarray) -> Stack:
        if self.rows and not self.lists:
            return self.push_rows(points, weights), weights
        (points,), (weights,) = points, weights
        image, masses = self._image(points, weights)
        return image[None], masses[None]

    # -- one guarded call ----------------------------------------------------------------------
    def _call(
        self, fn: Callable[..., Any], atoms: Atoms, *arguments: Any, what: str = "function"
    ) -> Any:
        with np.errstate(all="ignore"):
            return self._answer(fn, atoms, arguments, what)

    def _answer(
        self,
        fn: Callable[..., Any],
        atoms: Atoms,
        arguments: tuple[Any, ...],
        what: str = "function",
    ) -> Any:
        fresh = [np.array(a, dtype=float) if isinstance(a, np.ndarray) else a for a in arguments]
        self.calls += 1
        self._atoms = atoms
        started = self._since = time.perf_counter()
        try:
            return fn(*fresh)
        except (KeyboardInterrupt, OutOfTime):
            raise
        except BaseException as error:  # the user's function: whatever it raises is a finding
            text = " ".join(str(error).split())[:120]
            raise Undefined(
                f"the {what} raised {type(error).__name__}{': ' * bool(text)}{text}", atoms
            ) from error
        finally:
            self._since = None
            self.seconds += time.perf_counter() - started

    def _array(self, out: Any, atoms: Atoms, what: str = "function") -> np.ndarray:
        plain: Any = out
        if type(plain) is np.ndarray and plain.dtype is _FLOAT64:
            self.dtypes.add("float64")
            return plain.copy()  # the common case; the function may keep its array and change it
        if np.ma.is_masked(plain):
            raise Undefined(f"the {what} returned masked entries, which are no numbers", atoms)
        if "bfloat16" in str(getattr(out, "dtype", "")):  # NumPy has no such type
            self.dtypes.add("bfloat16")
            out = out.float() if hasattr(out, "detach") else out.astype("float32")
        try:
            array = to_numpy(out)
            self.dtypes.add(str(array.dtype))
            real = array.astype(float) if array.dtype.kind in "fiub" else None
        except (TypeError, ValueError):
            real = None
        if real is None:
            raise Undefined(f"the {what} returned no array of numbers ({_kind(out)})", atoms)
        return real

    def _is_usual(self, out: Any, count: int) -> bool:
        """Whether these are rows as most maps give them: nothing but their values is to be seen."""
        expected = (count, self.dim or -1)
        return type(out) is np.ndarray and out.dtype is _FLOAT64 and out.shape == expected

    def _rows(self, out: Any, count: int, atoms: Atoms) -> np.ndarray:
        if self._is_usual(out, count):
            if np.count_nonzero(np.isfinite(out)) == out.size:
                self.dtypes.add("float64")
                return out.copy()  # the common case, without a search
        array = self._array(out, atoms)
        if array.ndim != 2 or len(array) != count or not array.shape[1]:
            raise Undefined(
                f"the function returned shape {array.shape} where ({count}, d') was expected", atoms
            )
        self.dim = self.dim or array.shape[1]
        if array.shape[1] != self.dim:
            raise Undefined(
                f"the function returned points of dimension {array.shape[1]}, and of dimension "
                f"{self.dim} before",
                atoms,
            )
        if not np.isfinite(array).all():
            raise Undefined(_NOT_FINITE, atoms)
        return array

    def _pair(self, out: Any, atoms: Atoms) -> Atoms:
        if not (isinstance(out, (tuple, list)) and len(out) == 2):
            raise Undefined(
                f"the function returned {_kind(out)} where (points, weights) was expected", atoms
            )
        weights = self._array(out[1], atoms)
        if weights.ndim != 1:
            raise Undefined(
                f"the function returned weights of shape {weights.shape} where (k,) was expected",
                atoms,
            )
        points = self._rows(out[0], len(weights), atoms)
        positive, count = weights > 0.0, len(weights)
        if np.count_nonzero(np.isfinite(weights)) < count:
            raise Undefined("the function returned a weight that is not finite", atoms)
        if count and np.count_nonzero(positive) == count:
            return points, weights
        least = weights.min(initial=0.0)
        if least < 0:
            raise Undefined(f"the function returned a negative weight ({least:.3g})", atoms)
        if not weights.sum() > 0:
            raise Undefined("the function returned a measure of mass zero", atoms)
        return points[positive], weights[positive]

    # -- calls that outlive the budget ---------------------------------------------------------
    @contextmanager
    def interrupted_after(self, clock: Clock) -> Iterator[None]:
        """Raise `OutOfTime` inside a user's call that runs on well past the deadline.

        Python delivers signals in the main thread only, and Windows has none of this kind; there
        the deadline is seen between calls.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or not hasattr(signal, "SIGALRM"):
            yield
            return
        patience = max(1.0, 0.3 * clock.left)

        def expire(_: int, frame: FrameType | None) -> None:
            since = self._since
            # Python drops what a collector's callback raises; the alarm rings again soon.
            collecting = frame is not None and frame.f_code.co_name == "gc_callback"
            if since is not None and -clock.left > patience and not collecting:
                if time.perf_counter() - since > patience:
                    raise OutOfTime(self._atoms)

        previous = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, max(0.0, clock.left) + patience, 0.1)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def as_counts(weights: np.ndarray, largest: int) -> np.ndarray:
    """Whole numbers proportional to `weights` with the smallest possible sum <= `largest`.

    Raises `Unsupported` where there are none: a list of tokens carries rational weights only.
    """
    share = weights / weights.sum()
    positive = share[share > 0]
    for total in _list_lengths(len(positive), largest):
        counts = share * total
        if np.abs(counts - np.rint(counts)).max() < 1e-9 * total:
            return np.rint(counts).astype(int)
    raise Unsupported("a list of tokens cannot carry these weights")


def _list_lengths(atoms: int, largest: int) -> Iterator[int]:
    yield from range(atoms, min(256, largest) + 1)
    total = 512
    while total <= largest:
        yield total
        total *= 2


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        of = getattr(value, "dtype", "unknown")
        return f"{type(value).__name__} of shape {tuple(shape)} and type {of}"
    return "None" if value is None else f"a {type(value).__name__}"
