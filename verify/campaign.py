"""Many maps and many seeds, here or on the workers of a Dask cluster, into one growing file.

Each verification is one line of the file (NDJSON, schema `pushforward/campaign/1`), written when it
is done: an interruption loses nothing, and the same call goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from ..numeric import AbstractDomain, DiscreteMeasure
from .candidates import Candidate, on_domain, title
from .findings import Counterexample, Report
from .store import save
from .targets import anchored, candidate as named
from .union import simplest
from .verify import BUDGETS, check_options, origin, verify, versions
from .workers import Unfinished, check_client, fetch, submit

SCHEMA = "pushforward/campaign/1"
_AHEAD = 2  # tasks that wait for each thread of the cluster

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a campaign found so far.

    `records` holds one JSON-ready record a finished pair of map and seed, in the order in which
    they ended; `worst` the simplest counterexample of each map and condition that was refuted;
    `pairs` is how many there are to do, and `interrupted` tells whether some are left.

    >>> import tempfile
    >>> import pushforward as pf
    >>> maps = {"stay": pf.InContextMap(lambda p, w, x: x, pf.Box([-1.0], [1.0]))}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = pf.campaign(maps, range(2), out=f"{folder}/runs.ndjson", budget=0.3)
    >>> found.ok, len(found.records), found.interrupted
    (True, 2, False)
    """

    path: Path
    records: tuple[dict[str, Any], ...]
    worst: Mapping[tuple[str, str], Counterexample]
    pairs: int
    interrupted: bool

    @property
    def ok(self) -> bool:
        """Nothing was refuted, and every verification came to an end."""
        return not self.worst and not any("error" in record for record in self.records)

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """How often each verdict was reached, for each map and condition."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for record in self.records:
            verdicts = {"": "error"}
            if "report" in record:
                conditions = record["report"]["conditions"]
                verdicts = {name: finding["verdict"] for name, finding in conditions.items()}
            for condition, verdict in verdicts.items():
                found.setdefault((record["map"], condition), Counter())[verdict] += 1
        return found

    def __str__(self) -> str:
        state = f", interrupted at {len(self.records)} of {self.pairs}" * self.interrupted
        lines = [f"{len(self.records)} verifications in {self.path}{state}"]
        for (name, condition), verdicts in sorted(self.counts().items()):
            counted = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
            found = self.worst.get((name, condition))
            again = f"  pushforward replay {found.id}" if found else ""
            lines.append(f"  {name}  {condition}  {counted}{again}")
        return "\n".join(lines)


def campaign(
    maps: Mapping[str, Any] | Iterable[Any],
    seeds: Iterable[int] = range(10),
    *,
    out: str | Path = "campaign.ndjson",
    conditions: Iterable[str] | None = None,
    budget: str | float = "quick",
    domain: AbstractDomain | None = None,
    client: Any = None,
    progress: Progress | None = None,
) -> Campaign:
    """Verify every map with every seed, each as a line of a file, and shrink the worst cases once.

    A pair of map and seed that the file holds already, with this budget and these conditions, is
    not run again; one that ended in an error is. An interruption (Ctrl-C) ends the campaign and
    keeps what is found.

    Args:
        maps: candidates by name, or candidates and targets (`file.py:name`, `package.module:name`,
            names in the catalogue), which have names of their own.
        seeds: whole numbers >= 0.
        out: the file that is written or continued.
        conditions, budget, domain: as in `verify`.
        client: a `dask.distributed` client; its workers run the verifications, two waiting for
            each thread. A lost worker's pair is run again on another.
        progress: called after each pair with the name of its map, how many are done, and of how
            many.

    Returns:
        The `Campaign` of these pairs, those of earlier calls among them.

    Raises:
        ValueError: a wrong argument, two maps of one name, or a file of another kind.
        TypeError: no candidate among the maps.

    >>> import tempfile
    >>> import pushforward as pf
    >>> line = pf.Box([-1.0], [1.0])
    >>> maps = [pf.TokenMap(lambda p: p + p.argsort(0), line, name="ranks")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = pf.campaign(maps, range(2), out=f"{folder}/runs.ndjson", budget=1.0)
    >>> [len(each.measures) for each in found.worst.values()]
    [2]
    """
    candidates = _named(maps, domain)
    seeds = list(dict.fromkeys(seeds))
    if not seeds:
        raise ValueError("campaign(seeds) expects at least one seed.")
    if isinstance(conditions, str):
        conditions = [conditions]
    names = None if conditions is None else list(conditions)
    checked = [
        check_options(each, names, budget, s) for each, _ in candidates.values() for s in seeds
    ]
    if client is not None:
        check_client(client)
    seconds, budget = checked[0], budget if budget in BUDGETS else checked[0]
    run = _Run(candidates, names, budget, Path(out), progress or (lambda name, done, of: None))
    run.pairs = [(name, int(seed)) for seed in seeds for name in candidates]
    run.done = run.read()
    with run.interruption.listened_to():
        try:
            if client is None:
                run.here()
            else:
                run.on_cluster(client, seconds)
        except KeyboardInterrupt:
            run.interruption.seen = True
    records = tuple(run.done[pair] for pair in run.done if pair in set(run.pairs))
    worst = run.worst(shrink=not run.interruption.seen)
    return Campaign(run.path, records, worst, len(run.pairs), len(records) < len(run.pairs))


class _Run:
    """A campaign under way."""

    def __init__(
        self,
        candidates: dict[str, tuple[Candidate, str | None]],
        conditions: list[str] | None,
        budget: str | float,
        path: Path,
        progress: Progress,
    ):
        self.candidates, self.conditions, self.budget = candidates, conditions, budget
        self.path, self.progress = path, progress
        self.pairs: list[tuple[str, int]] = []
        self.done: dict[tuple[str, int], dict[str, Any]] = {}
        self.found: dict[tuple[str, str], list[Counterexample]] = {}
        self.interruption = _Interruption()

    def left(self) -> list[tuple[str, int]]:
        """The pairs that are not done, or ended in an error."""
        return [pair for pair in self.pairs if "report" not in self.done.get(pair, {})]

    def task(self, pair: tuple[str, int]) -> Callable[[], Report]:
        each, target = self.candidates[pair[0]]
        options = {"conditions": self.conditions, "budget": self.budget, "seed": pair[1]}
        if target is not None:  # its module may have a name that only this process knows
            return partial(_verify_target, target, each.domain, options)
        return partial(verify, each, **options)

    def here(self) -> None:
        for pair in self.left():
            if self.interruption.seen:
                return
            try:
                report = self.task(pair)()
            except (ValueError, TypeError) as error:
                self.write(pair, str(error))
                continue
            if self.interruption.seen:  # `verify` ends early and says so; the pair is not done
                return
            self.write(pair, report)

    def on_cluster(self, client: Any, seconds: float) -> None:
        from distributed import as_completed  # pyright: ignore[reportMissingImports]

        waiting, running = iter(self.left()), {}
        room = max(1, _AHEAD * sum(client.nthreads().values()))
        queue = as_completed()

        def send() -> None:
            pair = next(waiting, None)
            if pair is not None:
                future = submit(client, self.task(pair), seconds)
                running[future] = pair
                queue.add(future)

        try:
            for _ in range(room):
                send()
            for future in queue:
                self.take(future, running.pop(future))
                if self.interruption.seen:
                    return
                send()
        finally:
            client.cancel(list(running))

    def take(self, future: Any, pair: tuple[str, int]) -> None:
        """Write what a worker sent."""
        each, target = self.candidates[pair[0]]
        try:
            self.write(pair, fetch(future, origin(each, target)))
        except (ValueError, TypeError, Unfinished) as error:
            self.write(pair, str(error))

    # -- the file ------------------------------------------------------------------------------
    def identity(self, pair: tuple[str, int]) -> dict[str, Any]:
        """What says that two records are of the same run."""
        return {
            "schema": SCHEMA,
            "map": pair[0],
            "domain": self.candidates[pair[0]][0].domain.spec(),
            "seed": pair[1],
            "budget": self.budget,
            "conditions": self.conditions,
        }

    def write(self, pair: tuple[str, int], result: Report | str) -> None:
        """Append one line, whole and on the disk before the next run begins."""
        record = self.identity(pair)
        if isinstance(result, Report):
            record["report"] = result.to_dict()
            self.note(pair[0], record)
        else:
            record["error"] = result
        with self.interruption.put_off():
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.done[pair] = record
        self.progress(pair[0], len(self.done), len(self.pairs))

    def read(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The records of these pairs in the file; a last line that was cut off is taken away."""
        if not self.path.exists():
            self.path.touch()
            return {}
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            os.truncate(self.path, len(whole.encode()))
        wanted = {json.dumps(self.identity(pair)): pair for pair in self.pairs}
        done: dict[tuple[str, int], dict[str, Any]] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            record = self.record(number, line)
            key = {name: record.get(name) for name in self.identity(self.pairs[0])}
            pair = wanted.get(json.dumps(key))
            if pair is not None:
                done[pair] = record
                self.note(pair[0], record)
        return done

    def record(self, number: int, line: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise ValueError(
                f"{self.path}: line {number} is no record of a campaign; "
                "give another file, or take the line out."
            )
        return record

    # -- the worst cases -----------------------------------------------------------------------
    def note(self, name: str, record: dict[str, Any]) -> None:
        for condition, finding in record.get("report", {}).get("conditions", {}).items():
            if finding["counterexample"] is not None:
                found = _counterexample(finding["counterexample"])
                self.found.setdefault((name, condition), []).append(found)

    def worst(self, shrink: bool) -> dict[tuple[str, str], Counterexample]:
        """The simplest case of each map and condition."""
        chosen: dict[tuple[str, str], Counterexample] = {}
        for (name, condition), cases in self.found.items():
            each, target = self.candidates[name]
            found = chosen[name, condition] = simplest(each, cases, shrink)
            try:
                save(found, {**origin(each, target), "seed": None, "versions": versions()})
            except OSError:
                pass  # the file of the campaign holds it too
        return chosen


def _verify_target(target: str, domain: AbstractDomain, options: dict[str, Any]) -> Report:
    return verify(named(target, domain), target=target, **options)


def _counterexample(data: Mapping[str, Any]) -> Counterexample:
    measures = tuple(DiscreteMeasure(m["points"], m["weights"]) for m in data["measures"])
    numbers = {key: float(value) for key, value in data["numbers"].items()}
    return Counterexample(
        data["condition"], data["operation"], measures, numbers, data["id"], data["snippet"]
    )


def _named(
    maps: Mapping[str, Any] | Iterable[Any], domain: AbstractDomain | None
) -> dict[str, tuple[Candidate, str | None]]:
    """Candidates and their targets, by name."""
    if isinstance(maps, str):
        maps = [maps]
    pairs = maps.items() if isinstance(maps, Mapping) else ((None, each) for each in maps)
    found: dict[str, tuple[Candidate, str | None]] = {}
    for name, each in pairs:
        target = anchored(each) if isinstance(each, str) else None
        made = named(each, domain) if isinstance(each, str) else on_domain(each, domain)
        name = name or (each if isinstance(each, str) else title(made))
        if name in found:
            raise ValueError(
                f"campaign(maps) expects one map of each name. Got two named {name!r}; "
                "give a dict of names."
            )
        found[name] = (made, target)
    if not found:
        raise ValueError("campaign(maps) expects at least one map.")
    return found


class _Interruption:
    """Ctrl-C: raised as ever, but for the time in which a line is written; and remembered.

    `verify` takes the exception for the end of its own run, so a campaign must know of it.
    """

    def __init__(self) -> None:
        self.seen = self.held = False

    def note(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        if not self.held:
            raise KeyboardInterrupt

    @contextmanager
    def listened_to(self) -> Iterator[None]:
        """Signals reach the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGINT, self.note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        self.held = True
        try:
            yield
        finally:
            self.held = False
