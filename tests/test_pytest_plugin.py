"""The pytest plugin: a failure shows the counterexample, marker and option set the budget."""

import subprocess
import sys

import pytest

import pushforward as pf

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True, scope="module")
def loaded():
    """What verify imports on its way is loaded before a run in this process is cut off from it."""
    pf.verify(pf.MeasureMap(lambda p, w: (abs(p), w), pf.Ball(2)), budget=0.2)
    pf.verify(pf.MeasureMap(lambda p, w: (p[:1], w[:1]), pf.Ball(2)), budget=0.2)


MAPS = """
import numpy as np
import pytest
import pushforward as pf
from pushforward.pytest import assert_verified

LINE = pf.Box([-1.0], [1.0])
good = pf.InContextMap(lambda p, w, x: x + 0.5 * (w @ p), LINE)
split = pf.MeasureMap(lambda p, w: (np.concatenate([p - 0.25, p + 0.25]),
                                    np.concatenate([w, w]) / 2), LINE, name="split")
jump = pf.MeasureMap(lambda p, w: (p + np.sign(w @ p), w), LINE)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs the given tests in a run of their own, in this process."""
    for name in ("CI", "BUILD_NUMBER"):  # under which pytest's summary repeats whole messages
        monkeypatch.delenv(name, raising=False)

    def call(tests, *arguments):
        pytester.makepyfile(MAPS + tests)
        return pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", "--strict-markers", *arguments
        )

    return call


FAILING = """
def test_good():
    assert assert_verified(good, ['well-defined'], 0.2).ok

@pytest.mark.pushforward
def test_split():
    assert_verified(split, budget=5)

def test_split_is_well_defined():
    assert_verified(split, conditions=["well-defined"], budget=0.2)
"""


def test_a_failure_shows_the_counterexample_and_not_our_stack(run):
    ran = run(FAILING)
    ran.assert_outcomes(passed=2, failed=1)
    shown = ran.stdout.str()
    for text in (
        "B1 is refuted",
        "pushforward replay",
        "import numpy",
        "NotVerified",
        "split (Mea",
    ):
        assert text in shown
    assert "not-applicable" not in shown  # it follows from what is shown
    for place in ("src/pushforward", "verify.py", "pushforward/pytest.py", "__tracebackhide__"):
        assert place not in shown
    assert "> " in shown and "assert_verified(split, budget=5)" in shown  # the line of the test


def test_the_short_summary_names_the_map(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    ran = run(FAILING, "-k", "test_split", "--tb=no")
    ran.stdout.fnmatch_lines(["FAILED *test_split - *NotVerified: split (MeasureMap) on box*"])


def test_a_counterexample_of_two_conditions_is_shown_once(run):
    tests = "def test_jump():\n    assert_verified(jump, conditions=['B2'], budget=10)\n"
    shown = run(tests).stdout.str()
    assert "continuous is refuted" in shown and "B2 is refuted" in shown
    assert shown.count("pushforward replay") == 1


def test_the_marker_selects(run):
    marked = "@pytest.mark.pushforward\ndef test_marked():\n    assert 0\n"
    tests = marked + "def test_other():\n    pass\n"
    run(tests, "-m", "not pushforward").assert_outcomes(passed=1, deselected=1)


ASKED = """
from types import SimpleNamespace

@pytest.fixture
def asked(monkeypatch):
    calls = []
    def verify(candidate, **options):
        calls.append(options)
        return SimpleNamespace(conditions={})
    monkeypatch.setattr(pf, "verify", verify)
    return calls

def test_plain(asked):
    assert_verified(good, budget=3)
    assert asked == [{"conditions": None, "budget": PLAIN}]

@pytest.mark.pushforward(budget=5, seed=7, conditions="well-defined")
class TestMarked:
    def test_class(self, asked):
        assert_verified(good, ["B1"], seed=2)
        assert asked == [{"conditions": ["well-defined"], "budget": FIRST, "seed": 7}]

    @pytest.mark.pushforward(budget="thorough")
    def test_nearest(self, asked):
        assert_verified(good)
        assert asked == [{"conditions": ["well-defined"], "budget": SECOND, "seed": 7}]
"""


def asked(plain, first, second):
    tests = ASKED.replace("PLAIN", repr(plain)).replace("FIRST", repr(first))
    return tests.replace("SECOND", repr(second))


@pytest.mark.parametrize(
    "given, expected",
    [
        (None, (3, 5, "thorough")),
        ("1e-1", (0.1, 0.1, 0.1)),
        ("standard", ("standard", "standard", "standard")),
    ],
)
def test_marker_and_option_set_the_budget(run, given, expected):
    arguments = [f"--pushforward-budget={given}"] if given else []
    run(asked(*expected), *arguments).assert_outcomes(passed=3)


@pytest.mark.slow
def test_the_option_reaches_the_workers_of_xdist(run):
    pytest.importorskip("xdist")
    run(asked(2.0, 2.0, 2.0), "--pushforward-budget=2", "-n1").assert_outcomes(passed=3)


def test_a_run_inside_a_run_leaves_the_outer_one_its_options(pytester, run):
    before = _options()
    run("def test_nothing():\n    pass\n", "--pushforward-budget=0.2").assert_outcomes(passed=1)
    assert _options() == before


def _options():
    import _pushforward_pytest

    return _pushforward_pytest.options(), list(_pushforward_pytest._runs)


@pytest.mark.parametrize("mark", ["pushforward(0.5)", "pushforward(bugdet=1)"])
def test_a_wrong_marker_is_said(run, mark):
    ran = run(f"@pytest.mark.{mark}\ndef test_good():\n    assert_verified(good)\n")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["*pytest.mark.pushforward takes budget, seed, conditions by name*"])


@pytest.mark.parametrize(
    "call, message",
    [
        ("assert_verified(good, budget='long')", "budget"),
        ("assert_verified(good, ['B3'])", "B3"),
        ("assert_verified(lambda p: p)", "wrap a plain function"),
        ("assert_verified(pf.InContextMap(lambda p, w, x: 1 / 0, LINE))", "first 8 inputs"),
    ],
)
def test_a_wrong_call_is_shown_where_it_is_made(run, call, message):
    ran = run(f"def test_wrong():\n    {call}\n")
    ran.assert_outcomes(failed=1)
    shown = ran.stdout.str()
    assert message in shown and "verify.py" not in shown and "src/pushforward" not in shown


def test_an_undecided_condition_fails(run):
    tests = "def test_slow():\n    assert_verified(slow, budget=0.05)\n"
    slow = "import time\nslow = pf.MeasureMap(lambda p, w: time.sleep(0.1) or (p, w), LINE)\n"
    ran = run(slow + tests)
    ran.assert_outcomes(failed=1)
    assert "is undecided" in ran.stdout.str()


def test_loading_the_plugin_loads_nothing_of_ours(tmp_path):
    (tmp_path / "test_light.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    assert '_pushforward_pytest' in sys.modules\n"
        "    assert 'pushforward' not in sys.modules\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
