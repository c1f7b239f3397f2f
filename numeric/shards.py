"""Work in pieces: on threads, on the devices of a machine, or on many machines by Dask.

What is finished is kept: after an interruption or an error the same job does the rest.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from typing import Any, Protocol
from uuid import uuid4

Task = Callable[[Any, Any], Any]
Progress = Callable[[float], object]

_SECONDS_FOR_WORKERS = 60
_ROUNDS_WITHOUT_RESULT = 3


class Place(Protocol):
    """Where tasks run: it puts results into `kept` and calls `tell` after each."""

    def run(
        self,
        task: Task,
        common: Any,
        pieces: Mapping[int, Any],
        kept: dict[int, Any],
        tell: Callable[[], object],
    ) -> None: ...


class Job:
    """Results of `task(common, piece)` for many pieces, kept as they are finished.

    >>> job = Job(lambda common, piece: common + piece, 10, [1, 2, 3], Threads(2))
    >>> job.run(), job.finished, job.total
    ([11, 12, 13], 3, 3)
    """

    def __init__(self, task: Task, common: Any, pieces: Sequence[Any], place: Place):
        self._task, self._common, self._pieces, self._place = task, common, list(pieces), place
        self._kept: dict[int, Any] = {}

    @property
    def total(self) -> int:
        """How many pieces there are."""
        return len(self._pieces)

    @property
    def finished(self) -> int:
        """How many of them are done."""
        return len(self._kept)

    def run(self, progress: Progress | None = None) -> list[Any]:
        """Do what is left.

        Args:
            progress: called after each piece with the share that is done, from 0 to 1.

        Returns:
            The results in the order of the pieces. An exception, `KeyboardInterrupt` too, leaves
            what is finished where it is, and a further call goes on from there.
        """

        def tell() -> None:
            if progress is not None:
                progress(self.finished / self.total)

        left = {k: piece for k, piece in enumerate(self._pieces) if k not in self._kept}
        if left:
            self._place.run(self._task, self._common, left, self._kept, tell)
        return [self._kept[k] for k in range(self.total)]


class Threads:
    """Threads of this process; NumPy, compiled kernels and devices leave them the processors."""

    def __init__(self, workers: int):
        self.workers = workers

    def run(self, task, common, pieces, kept, tell) -> None:
        calls = {k: (common, piece) for k, piece in pieces.items()}
        _on_threads(self.workers, task, calls, kept, tell)


class Devices:
    """The devices of one machine, one thread each; pieces are dealt out in turn.

    Args:
        devices: what the array library of the pieces calls devices.
        moved: `moved(value, device)` is the value with its arrays there.
        home: where results go.
    """

    def __init__(self, devices: Sequence[Any], moved: Callable[[Any, Any], Any], home: Any):
        self.devices, self.moved, self.home = list(devices), moved, home

    def run(self, task, common, pieces, kept, tell) -> None:
        there = [self.moved(common, device) for device in self.devices]

        def at(place: int, piece: Any) -> Any:
            device = self.devices[place]
            # Kernels of CuPy run on the current device, which belongs to the thread.
            with device if hasattr(device, "__enter__") else contextlib.nullcontext():
                result = task(there[place], self.moved(piece, device))
            return self.moved(result, self.home)

        calls = {k: (k % len(self.devices), piece) for k, piece in pieces.items()}
        _on_threads(len(self.devices), at, calls, kept, tell)


def _on_threads(workers, task, calls, kept, tell) -> None:
    with ThreadPoolExecutor(workers, thread_name_prefix="pushforward-shard") as pool:
        futures = {pool.submit(task, *arguments): k for k, arguments in calls.items()}
        try:
            for future in as_completed(futures):
                kept[futures[future]] = future.result()
                tell()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            done = [f for f in futures if not f.cancelled() and f.exception() is None]
            kept |= {futures[future]: future.result() for future in done}
            raise


class Cluster:
    """The workers of a `dask.distributed` client; what a lost worker had is done by others.

    Dask runs a task again when its worker dies. What it cannot make again is what was sent to the
    workers, if all that had it are gone: then it is sent once more, with the tasks that are left.
    """

    def __init__(self, client: Any):
        if not all(callable(getattr(client, name, None)) for name in ("submit", "scatter")):
            raise TypeError(f"expected a dask.distributed client, got {type(client).__name__}")
        if getattr(client, "asynchronous", False):
            raise ValueError("expected a client that is not asynchronous; pass Client(address)")
        self.client = client

    def run(self, task, common, pieces, kept, tell) -> None:
        fruitless = 0
        while left := {k: piece for k, piece in pieces.items() if k not in kept}:
            before = len(kept)
            try:
                self._round(task, common, left, kept, tell)
            except _lost_errors():
                fruitless = 0 if len(kept) > before else fruitless + 1
                if fruitless == _ROUNDS_WITHOUT_RESULT:
                    raise

    def _round(self, task, common, left, kept, tell) -> None:
        """Every piece once; raises at the end if one was lost with its workers."""
        from distributed import as_completed  # pyright: ignore[reportMissingImports]

        self.client.wait_for_workers(1, timeout=_SECONDS_FOR_WORKERS)
        shared = self.client.scatter(common, broadcast=True, hash=False)
        name, lost = f"shard-{uuid4().hex}", None
        futures = {
            self.client.submit(task, shared, piece, key=f"{name}-{k}"): k
            for k, piece in left.items()
        }
        try:
            for future in as_completed(list(futures)):
                try:
                    kept[futures[future]] = future.result()
                except _lost_errors() as error:
                    lost = error
                    continue
                del futures[future]
                future.release()
                tell()
        finally:
            self.client.cancel(list(futures))
        if lost is not None:
            raise lost


def _lost_errors() -> tuple[type[BaseException], ...]:
    from distributed import KilledWorker  # pyright: ignore[reportMissingImports]
    from distributed.client import FutureCancelledError  # pyright: ignore[reportMissingImports]

    return KilledWorker, FutureCancelledError, CancelledError, OSError
