"""The benchmark of the device runs to its end whatever is missing or fails on the way."""

import json

import numpy as np
import pytest
from test_cuda_compile import benchmark

from pushforward.numeric import engine_status


@pytest.mark.skipif(not engine_status()["cuda"], reason="there is a device")
def test_without_a_device(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    assert benchmark().main() == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("Nothing is measured: CuPy")
    assert said.err.count("\n") == 1


class Device:
    """What stands in for a device: this processor, whose third case breaks."""

    cupy = np

    def __init__(self):
        self.cases = 0

    def timed(self, call):
        call()
        return 1e-3

    def rates(self, dtype):
        self.cases += 1
        if self.cases == 3:
            raise RuntimeError("the device is lost\nat line 1")
        return 1e12, 1e11

    def facts(self):
        return {"device": "none"}


@pytest.fixture
def gpu(monkeypatch):
    module = benchmark()
    monkeypatch.setattr(module, "Device", Device)
    monkeypatch.setattr(module.cuda, "missing", lambda: "")
    monkeypatch.setattr(module, "planned", lambda quick, seconds: JOBS)
    monkeypatch.setattr("sys.argv", ["gpu.py", "--rounds", "1"])
    return module


JOBS = [
    ("attention", 40, 3, "float32"),
    ("attention", 40, 8, "float64"),
    ("Cucker-Smale 1/2", 30, 2, "float64"),
    ("Cucker-Smale 3/10", 30, 2, "float32"),
]


def test_to_the_end_without_rivals(gpu, monkeypatch, tmp_path, capsys):
    absent = lambda name: (_ for _ in ()).throw(ImportError(f"No module named {name!r}"))  # noqa: E731
    monkeypatch.setattr(gpu, "import_module", absent)
    monkeypatch.setattr(gpu, "OURS", "numpy")
    engines = {"float32": ("numpy", "cuda"), "float64": ("numpy",)}
    monkeypatch.setattr(gpu, "ENGINES", engines)
    path = tmp_path / "times.json"
    monkeypatch.setattr("sys.argv", ["gpu.py", "--rounds", "1", "--json", str(path)])
    assert gpu.main() == 0
    cases = json.loads(path.read_text())["cases"]
    assert [(c["name"], c["n"], c["d"], c["dtype"]) for c in cases] == JOBS
    assert cases[2]["failed"] == "the device is lost"
    for made in (cases[0], cases[1], cases[3]):
        assert list(made["seconds"]) == ["numpy"] and made["errors"]["numpy"] < 1e-5
        assert "torch" in made["left_out"]["torch and KeOps"]
    assert "cuda" in cases[0]["left_out"] and "cuda" not in cases[1]["left_out"]
    said = capsys.readouterr().out
    assert said.count("without torch and KeOps: No module named") == 3 and "failed: the dev" in said


def test_to_the_end_without_ourselves(gpu, monkeypatch):
    """A rival's times are kept where our engine cannot run the case."""
    rival = {"rival": lambda: np.ones((40, 3)), "broken": lambda: 1 / 0}
    monkeypatch.setattr(gpu, "others", lambda name, points, matrices, dtype: dict(rival))
    made = gpu.measured(Device(), JOBS[0], 2)
    assert made["seconds"] == {"rival": [1e-3, 1e-3]} and made["ratios"] == {"rival": None}
    assert set(made["left_out"]) == {"cuda", "cuda:compensated", "broken"}
    assert made["left_out"]["broken"] == "division by zero"


def test_the_longest_cases_are_left_out_but_one(monkeypatch):
    gpu = benchmark()
    planned = gpu.planned(False, 4.0)
    assert {job[0] for job in planned if job[1:] == gpu.TARGET} == set(gpu.MAPS)
    assert ("attention", 1_000_000, 128, "float64") not in planned
    assert len(set(planned)) == len(planned) > len(gpu.planned(True, 4.0)) > 10


@pytest.mark.slow
def test_the_figure_shows_what_there_is(monkeypatch, tmp_path):
    gpu, path = benchmark(), tmp_path / "rates.png"
    case = {"name": "attention", "n": 10, "d": 3, "dtype": "float32"}
    gpu.figure([{**case, "seconds": {"cuda": [1.0, 2.0]}}, {**case, "failed": "lost"}], str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
