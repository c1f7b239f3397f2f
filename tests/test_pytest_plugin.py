"""The pytest plugin: a failure shows the counterexample, the option sets the budget."""

import subprocess
import sys

import pytest

TESTS = """
import numpy as np
import pytest
import pushforward as pf
from pushforward.pytest import assert_verified

LINE = pf.Box([-1.0], [1.0])
good = pf.InContextMap(lambda p, w, x: x + 0.5 * (w @ p), LINE)
split = pf.MeasureMap(lambda p, w: (np.concatenate([p - 0.25, p + 0.25]),
                                    np.concatenate([w, w]) / 2), LINE)

def test_good():
    report = assert_verified(good, budget=2)
    assert report.budget == BUDGET

@pytest.mark.pushforward
def test_split():
    assert_verified(split, budget=2)

def test_split_is_well_defined():
    assert_verified(split, conditions=["well-defined"], budget=2)
"""


@pytest.fixture
def run(tmp_path):
    def call(*arguments, budget=2):
        (tmp_path / "test_maps.py").write_text(TESTS.replace("BUDGET", repr(budget)))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    return call


def test_a_failure_shows_the_counterexample_and_not_our_stack(run):
    ran = run("--strict-markers")
    assert "1 failed, 2 passed" in ran.stdout
    for shown in ("B1 is refuted", "pushforward replay", "import numpy", "NotVerified"):
        assert shown in ran.stdout
    assert "src/pushforward" not in ran.stdout and "__init__.py" not in ran.stdout


def test_the_marker_selects(run):
    ran = run("-m", "not pushforward")
    assert ran.returncode == 0 and "2 passed, 1 deselected" in ran.stdout


@pytest.mark.parametrize("given, meant", [("quick", "quick"), ("1.5", 1.5)])
def test_the_option_sets_every_budget(run, given, meant):
    ran = run(f"--pushforward-budget={given}", "-k", "good", budget=meant)
    assert ran.returncode == 0, ran.stdout


def test_a_wrong_budget_is_said(run):
    ran = run("--pushforward-budget=long", "-k", "good")
    assert ran.returncode == 1 and "budget" in ran.stdout and "long" in ran.stdout


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
