"""The studies run at small sizes, and find the rates that theory asks for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parents[1] / "studies"
pytestmark = pytest.mark.slow


def run(name, folder, *options):
    command = [sys.executable, STUDIES / f"{name}.py", "--out", folder, *options]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (folder / f"{name}.png").stat().st_size > 5000
    return json.loads((folder / f"{name}.json").read_text())


def test_depth(tmp_path):
    found = run("depth", tmp_path, "--layers", "64")
    for name, slope in found["slopes"].items():
        assert slope == pytest.approx(-1, abs=0.05), name
    for name in ("a priori", "along the trajectory"):
        pairs = zip(found["errors"]["joint"], found["bounds"][name], strict=True)
        assert all(error < bound for error, bound in pairs)


def test_tokens(tmp_path):
    found = run("tokens", tmp_path, "--repeats", "6", "--most", "128")
    assert found["slopes"]["queries, d=1"] == pytest.approx(-0.5, abs=0.25)
    assert found["slopes"]["W1 of quantiles, d=1"] < -0.8


def test_hierarchy(tmp_path):
    found = run("hierarchy", tmp_path, "--particles", "32", "--pairs", "60000", "--budget", "1")
    assert found["slopes"]["covariance of two"] == pytest.approx(-1, abs=0.25)
    assert found["slopes"]["splitting"] == pytest.approx(-0.5, abs=0.06)
    for defect, error, _ in found["first equation (defect, standard error, size)"]:
        assert abs(defect) < 5 * error
    verdicts = [verdict["B1"] for verdict in found["verdicts"].values()]
    assert verdicts == ["refuted", "tested", "tested"]


def test_orders(tmp_path):
    found = run("orders", tmp_path, "--steps", "128")["solutions"]
    assert len(found) >= 15
    for name, one in found.items():
        assert one["euler"]["order"] == pytest.approx(1, abs=0.25), name
        if one["rk4"]["order"] is not None:
            assert one["rk4"]["order"] > 3.7, name
        assert 0.5 < one["dopri5"]["slope"] < 1.5, name


def test_unrepresentable(tmp_path):
    pytest.importorskip("torch")
    found = run("unrepresentable", tmp_path, "--steps", "20")
    assert all(
        e > least for e, least in zip(found["error"], found["least error allowed"], strict=True)
    )


def test_translation(tmp_path):
    found = run("translation", tmp_path, "--layers", "16", "--tokens", "3")
    for name in ("a turn of the mean", "a perceptron of the mean"):
        assert found["slopes"][name] == pytest.approx(-1, abs=0.15)
        assert found["recovered"][name] == pytest.approx(found["distance"][name], rel=1e-4)
    assert max(found["recovered"]["constant"]) < 1e-12
    assert found["distance"]["a turn of the mean"] == pytest.approx(
        found["closed form of the first"], rel=1e-6
    )


def test_swarms(tmp_path):
    found = run("swarms", tmp_path, "--layers", "32", "--bodies", "8")
    heads = [found["floors"][f"Cucker-Smale, {count} heads"] for count in (1, 2, 4, 8)]
    assert heads == sorted(heads, reverse=True) and heads[-1] < 1e-2 * heads[0]
    assert found["floors"]["Motsch-Tadmor, one softmax head"] < 1e-8
    for slope in found["slopes"].values():
        assert slope == pytest.approx(-1, abs=0.15)


def test_regular(tmp_path):
    found = run("regular", tmp_path, "--trials", "2", "--words", "4")
    for name, one in found["errors"].items():
        if "torch" not in name and "MiniLM" not in name:
            assert min(one["plateau"]) < 1e-6 and min(one["tag"]) < 1e-10, name
            assert one["plain"][3] > 1e-3, name
