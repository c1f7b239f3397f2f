"""Campaigns: one line a run, nothing lost, nothing run twice, the worst cases made one."""

import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import pushforward as pf
from pushforward.verify import store

LINE = pf.Box([-1.0], [1.0])
GOOD = pf.InContextMap(lambda p, w, x: x + 0.5 * (w @ p), LINE, name="good")
RANKS = pf.TokenMap(lambda p: p + p.argsort(0), LINE, name="ranks")
SPLIT = pf.MeasureMap(
    lambda p, w: (np.concatenate([p - 0.25, p + 0.25]), np.concatenate([w, w]) / 2),
    LINE,
    name="split",
)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs.ndjson"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_run_is_one_line(out):
    found = pf.campaign([GOOD, RANKS], range(2), out=out, conditions=["well-defined"], budget=0.3)
    assert [(r["map"], r["seed"]) for r in lines(out)] == [
        ("good", 0), ("ranks", 0), ("good", 1), ("ranks", 1),
    ]  # fmt: skip
    assert lines(out) == list(found.records)
    assert {r["schema"] for r in found.records} == {"pushforward/campaign/1"}
    assert found.records[0]["report"]["schema"] == "pushforward/report/1"
    assert not found.ok and not found.interrupted and found.pairs == 4
    assert found.counts()["ranks", "well-defined"] == {"refuted": 2}
    assert found.counts()["good", "well-defined"] == {"tested": 2}
    assert list(found.worst) == [("ranks", "well-defined")]
    assert "pushforward replay" in str(found) and "2 refuted" in str(found)


def test_what_is_done_is_not_run_again(out):
    calls = []

    def counted(p, w, x):
        calls.append(len(p))
        return x

    options = {"out": out, "conditions": ["well-defined"], "budget": 0.3}
    maps = {"counted": pf.InContextMap(counted, LINE)}
    first = pf.campaign(maps, range(2), **options)
    done, calls[:] = len(calls), []
    again = pf.campaign(maps, range(2), **options)
    assert done and not calls and again.records == first.records
    more = pf.campaign(maps, range(3), **options)
    assert calls and len(more.records) == 3 and len(lines(out)) == 3
    pf.campaign(maps, range(2), out=out, conditions=["well-defined"], budget=0.2)
    assert len(lines(out)) == 5  # another budget is another campaign in the same file


def test_a_line_that_was_cut_off_is_run_again(out):
    options = {"out": out, "conditions": ["well-defined"], "budget": 0.2}
    pf.campaign([GOOD], range(2), **options)
    whole = out.read_bytes()
    out.write_bytes(whole[:-40])
    again = pf.campaign([GOOD], range(2), **options)
    assert len(again.records) == len(lines(out)) == 2
    assert [r["seed"] for r in lines(out)] == [0, 1]


def test_a_run_that_failed_is_said_and_tried_again(out):
    state = {"broken": True}

    def sometimes(p, w):
        if state["broken"]:
            raise RuntimeError("no connection")
        return p, w

    maps = {"sometimes": pf.MeasureMap(sometimes, LINE)}
    options = {"out": out, "conditions": ["well-defined"], "budget": 0.5}
    found = pf.campaign(maps, [0], **options)
    assert "no connection" in found.records[0]["error"] and not found.ok
    assert found.counts() == {("sometimes", ""): {"error": 1}}
    state["broken"] = False
    again = pf.campaign(maps, [0], **options)
    assert again.ok and "report" in again.records[0] and len(lines(out)) == 2


def test_the_worst_cases_become_one_simple_case(out):
    found = pf.campaign([RANKS, SPLIT], range(2), out=out, budget=1.0)
    assert set(found.worst) >= {("ranks", "well-defined"), ("split", "B1")}
    case = found.worst["split", "B1"]
    assert len(case.measures[0]) == 1 and case.replay() == "STILL FAILS"
    assert store.load(case.id)[0].measures[0].points.tolist() == case.measures[0].points.tolist()


def test_a_case_is_shrunk_beyond_what_its_run_did():
    from pushforward.verify import Counterexample
    from pushforward.verify.union import simplest

    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (7, 1))
    measures = pf.DiscreteMeasure(points), pf.DiscreteMeasure(points[::-1])
    numbers = {"defect": 0.5, "threshold": 1e-6}
    case = Counterexample("well-defined", "permute", measures, numbers, "made-up", "# why\n")
    found = simplest(RANKS, [case, case])
    assert [len(measure) for measure in found.measures] == [3, 3] and found.id != "made-up"
    assert found.replay() == "STILL FAILS" and "# why" in found.snippet
    kept = simplest(RANKS, [case], shrink=False)
    assert kept.measures == case.measures and kept.replay() == "STILL FAILS"


def test_targets_are_named_by_their_text(out):
    found = pf.campaign(
        ["softmax-attention"], [0], out=out, conditions=["well-defined"], budget=0.5
    )
    record = found.records[0]
    assert record["map"] == "softmax-attention" and record["report"]["candidate"]["target"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"maps": []}, "at least one map"),
        ({"maps": [GOOD, GOOD]}, "two named 'good'"),
        ({"maps": [3]}, "expects an InContextMap"),
        ({"maps": "no-such-map"}, "no map 'no-such-map'"),
        ({"seeds": []}, "at least one seed"),
        ({"seeds": [-1]}, "seed"),
        ({"budget": "long"}, "budget"),
        ({"conditions": ["B3"]}, "B3"),
        ({"client": 3}, "dask.distributed.Client"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_runs(out, change, message):
    options = {"maps": [GOOD], "seeds": [0], "out": out, "budget": 0.2} | change
    with pytest.raises((TypeError, ValueError), match=message):
        pf.campaign(options.pop("maps"), options.pop("seeds"), **options)
    assert not out.exists() or not out.read_text()


def test_a_file_of_another_kind_is_left_alone(out):
    out.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="line 1 is no record"):
        pf.campaign([GOOD], [0], out=out)
    assert out.read_text() == '{"a": 1}\n'


SCRIPT = """
import pushforward as pf
def slow(p, w, x):
    import time
    time.sleep(0.005)
    return x
found = pf.campaign({"slow": pf.InContextMap(slow, pf.Box([-1.0], [1.0]))}, range(100),
                    out=OUT, conditions=["well-defined"], budget=0.3)
print(found)
assert found.interrupted
"""


def test_an_interruption_keeps_what_was_found(out):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT).replace("OUT", repr(str(out)))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        deadline = time.monotonic() + 60
        while not (out.exists() and out.read_text().count("\n") >= 2):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        text, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    kept = lines(out)
    assert 2 <= len(kept) < 100 and f"interrupted at {len(kept)} of 100" in text
    verdicts = [r["report"]["conditions"]["well-defined"] for r in kept]
    assert not [v for v in verdicts if "interrupted" in v["reason"]]


# -- on the command line -----------------------------------------------------------------------
MAPS = """
import pushforward as pf
LINE = pf.Box([-1.0], [1.0])
good = pf.InContextMap(lambda p, w, x: x, LINE)
ranks = pf.TokenMap(lambda p: p + p.argsort(0), LINE)
broken = pf.TokenMap(lambda p: 1 / 0, LINE)
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    from pushforward import _cli

    (tmp_path / "maps.py").write_text(MAPS)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pushforward", "campaign", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            _cli.main()
        return left.value.code, *capsys.readouterr()

    return call


QUICK = ("--budget", "0.3", "--conditions", "well-defined", "--out", "runs.ndjson")


def test_the_command_writes_the_file_and_says_the_verdict(command, tmp_path):
    code, text, _ = command("maps.py:good", "maps.py:ranks", "--seeds", "2", *QUICK)
    assert code == 1 and "maps.py:ranks  well-defined  2 refuted" in text
    assert [r["seed"] for r in lines(tmp_path / "runs.ndjson")] == [0, 0, 1, 1]
    code, text, _ = command("maps.py:good", "--seeds", "1:3", *QUICK)
    assert code == 0 and [r["seed"] for r in lines(tmp_path / "runs.ndjson")][-1] == 2
    assert len(lines(tmp_path / "runs.ndjson")) == 5
    assert command("maps.py:broken", "--seeds", "1", *QUICK)[0] == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("maps.py:good", "--seeds", "0"), "--seeds"),
        (("maps.py:good", "--seeds", "3:1"), "--seeds"),
        (("maps.py:good", "--seeds", "few"), "--seeds"),
        (("maps.py:good", "--workers", "-1"), "--workers"),
        (("maps.py:good", "--workers", "1", "--scheduler", "tcp://x:1"), "--workers"),
        (("maps.py:other",), "other"),
        (("maps.py:good", "maps.py:good"), "two named"),
        ((), "TARGET"),
    ],
)
def test_a_wrong_command_is_one_line(command, arguments, message):
    code, text, errors = command(*arguments, *QUICK)
    assert code == 2 and not text
    assert errors.startswith("error: ") and errors.count("\n") == 1 and message in errors


@pytest.mark.slow
def test_the_command_runs_on_processes(command):
    pytest.importorskip("distributed")
    code, text, _ = command("maps.py:ranks", "--seeds", "2", "--workers", "1", *QUICK)
    assert code == 1 and "2 refuted" in text


# -- on a cluster ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    from distributed import Client

    with Client(cluster) as client:
        # this module imports it, and a worker must not do so while another thread looks at it
        client.run(importlib.import_module, "pytest")
        yield client


@pytest.mark.slow
def test_a_cluster_finds_what_one_process_finds(client, out):
    maps = [GOOD, RANKS, SPLIT]
    found = pf.campaign(maps, range(2), out=out, budget=2.0, client=client)
    assert {(r["map"], r["seed"]) for r in lines(out)} == {
        (each.name, seed) for each in maps for seed in range(2)
    }
    assert {name for name, _ in found.worst} == {"ranks", "split"}
    assert all(case.replay() == "STILL FAILS" for case in found.worst.values())
    again = pf.campaign(maps, range(2), out=out, budget=2.0, client=client)
    assert again.records == found.records and len(lines(out)) == 6


@pytest.mark.slow
def test_the_work_of_a_lost_worker_is_done_by_another(client, out, tmp_path):
    """The first call of the map kills its worker in the middle of the campaign."""
    marker = tmp_path / "died"

    def deadly(p, w, x):
        if not os.path.exists(marker):
            open(marker, "w").close()
            os._exit(1)
        return x

    maps = {"deadly": pf.InContextMap(deadly, LINE), "good": GOOD}
    found = pf.campaign(
        maps, range(3), out=out, conditions=["well-defined"], budget=0.5, client=client
    )
    assert marker.exists()
    assert found.ok and len(found.records) == len(lines(out)) == 6


@pytest.mark.slow
def test_verify_on_a_worker_is_as_here(client):
    report = pf.verify(RANKS, budget=2.0, client=client)
    case = report["well-defined"].counterexample
    assert case.replay() == "STILL FAILS"
    assert store.load(case.id)[0].id == case.id
    with pytest.raises(ValueError, match="first 8 inputs"):
        pf.verify(pf.TokenMap(lambda p: 1 / 0, LINE), budget=1.0, client=client)


@pytest.mark.slow
def test_a_map_that_kills_every_worker_is_undecided(client):
    report = pf.verify(pf.TokenMap(lambda p: os._exit(1), LINE), budget=0.5, client=client)
    assert {finding.verdict for finding in report.conditions.values()} == {"undecided"}
    assert "lost" in report["B1"].reason


def test_a_call_without_end_is_left_behind():
    from pushforward.verify.workers import Unfinished, patiently

    answer = patiently(lambda: time.sleep(5), 0.05)
    assert isinstance(answer, Unfinished) and "outlived" in str(answer)
    assert patiently(lambda: 3, 60.0) == 3
    failed = patiently(lambda: 1 / 0, 60.0)
    assert isinstance(failed, Unfinished) and "ZeroDivisionError" in str(failed)
    assert isinstance(patiently(lambda: int("x"), 60.0), ValueError)


def test_an_interruption_while_a_line_is_written_waits_for_its_end(out, monkeypatch):
    """The signal comes at the last moment before the record is taken over."""
    fsync, handler = os.fsync, signal.getsignal(signal.SIGINT)

    def interrupted(number):
        fsync(number)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(os, "fsync", interrupted)
    options = {"out": out, "conditions": ["well-defined"], "budget": 0.2}
    found = pf.campaign([GOOD], range(5), **options)
    assert found.interrupted and len(found.records) == len(lines(out)) == 1
    assert signal.getsignal(signal.SIGINT) is handler
