"""Verifications on the workers of a `dask.distributed` client.

A worker runs a verification in one of its threads, where no alarm can end a call; so each runs in a
thread of its own that is left behind when it outlives its budget by far. Give workers one thread
each (`LocalCluster(threads_per_worker=1)`): the budget is a time, and threads share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .findings import Report
from .store import save

PATIENCE = 30.0


class Unfinished(Exception):
    """A verification did not come back from a worker; the message says why."""


def check_client(client: Any) -> None:
    """Refuse what is no client."""
    if not callable(getattr(client, "submit", None)):
        raise TypeError(
            "client expects a dask.distributed.Client (install pushforward[distributed]). "
            f"Got {type(client).__name__}."
        )


def submit(client: Any, task: Callable[[], Report], seconds: float) -> Any:
    """The future of a verification of about `seconds`; a worker that is lost is replaced.

    The scheduler of Dask gives the task to another worker, by default three times.
    """
    check_client(client)
    return client.submit(patiently, task, 2 * seconds + PATIENCE, pure=False)


def fetch(future: Any, origin: dict[str, Any]) -> Report:
    """The report of a future; its findings are stored on this machine too, with their origin.

    An interruption here cancels the task.

    Raises:
        Unfinished: a call does not end, or kills every worker that it runs on.
        ValueError, TypeError: what `verify` says of a wrong call.
    """
    from distributed.client import FutureCancelledError  # pyright: ignore[reportMissingImports]
    from distributed.scheduler import KilledWorker  # pyright: ignore[reportMissingImports]

    try:
        answer = future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise
    except KilledWorker as killed:
        raise Unfinished("every worker that ran it was lost") from killed
    except FutureCancelledError as cancelled:
        raise Unfinished("the task was cancelled") from cancelled
    if isinstance(answer, BaseException):
        raise answer
    keep(answer, origin)
    return answer


def patiently(task: Callable[[], Report], seconds: float) -> Report | BaseException:
    """Run a task in a thread of its own: its report, the wrong call, or `Unfinished`."""
    answer: list[Report | BaseException] = []

    def run() -> None:
        try:
            answer.append(task())
        except (ValueError, TypeError) as error:  # a wrong call, for the caller to see
            answer.append(error)
        except BaseException as error:  # a failure of our own is no verdict
            answer.append(Unfinished(f"it stopped with {type(error).__name__}: {error}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else Unfinished("a call outlived the budget on the worker")


def keep(report: Report, origin: dict[str, Any]) -> None:
    """Store the findings of a report that was made elsewhere, for `pushforward replay` here."""
    found = {
        finding.counterexample.id: finding.counterexample
        for finding in report.conditions.values()
        if finding.counterexample is not None
    }
    for counterexample in found.values():
        try:
            save(counterexample, {**origin, "seed": report.seed, "versions": report.versions})
        except OSError:
            return  # the report holds them all the same
