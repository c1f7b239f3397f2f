"""The command line: exit codes, what goes to which stream, and one-line errors."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from pushforward import _cli

MAPS = """
import numpy as np
import pushforward as pf
from pushforward.symbolic import Matrix, Measure, Point, SymbolicMap, VelocityField, dot, gibbs
from pushforward.symbolic import supremum

print("the file speaks at import")
LINE = pf.Box([-1.0], [1.0])

def pull(points, weights, x):
    print("the map speaks")
    return x + 0.5 * (weights @ points) / weights.sum()

good = pf.InContextMap(pull, LINE)
split = pf.MeasureMap(lambda p, w: (np.concatenate([p - 0.25, p + 0.25]),
                                    np.concatenate([w, w]) / 2), LINE)
listed = pf.TokenMap(lambda p: p + np.arange(len(p))[:, None], LINE)

def wrong_everywhere(points, weights, x):
    raise RuntimeError("no weights loaded")
wrong = pf.InContextMap(wrong_everywhere, LINE)

x, y, mu = Point("x"), Point("y"), Measure("mu")
A = Matrix("A")
G = SymbolicMap(x + gibbs(y, y, mu, energy=dot(x, A @ y)), x, mu)
bound = G.bind(A=np.eye(2))
attention = pf.Symbolic(bound, pf.Ball(2))
slope = G.jacobian()
field = VelocityField(gibbs(y, y, mu, energy=dot(x, A @ y)), x, mu)
tokens = field.bind(A=np.eye(2))
P = SymbolicMap(x + supremum(y, y, mu), x, mu)
pooling = pf.Symbolic(P.bind(), LINE)
"""
WRONG_FILES = {
    "broken.py": "def f(:\n",
    "raises.py": "import numpy as np\n\nvalue = 1 / 0\n",
    "leaves.py": "import sys\nsys.exit(0)\n",
    "needs.py": "import a_package_that_is_not_there\n",
    "null.py": "x = '\0'\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "maps.py").write_text(MAPS)
    for name, text in WRONG_FILES.items():
        (tmp_path / name).write_text(text)
    np.savez(tmp_path / "cloud.npz", points=np.eye(3, 2), weights=np.array([0.5, 0.25, 0.25]))
    np.save(tmp_path / "cloud.npy", np.eye(3, 2))
    np.savez(tmp_path / "nan.npz", points=np.array([[np.nan, 0.0]]))
    np.savez(tmp_path / "other.npz", x=np.eye(2))
    (tmp_path / "text.npz").write_text("no archive")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUSHFORWARD_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pushforward", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            _cli.main()
        streams = capsys.readouterr()
        return left.value.code, streams.out, streams.err

    return call


def sentence(code, out, err):
    """The one line of an error; asserts that it is one and that nothing else was said."""
    assert code == 2 and out == ""
    line = err.splitlines()[-1]
    assert line.startswith("error: ") and len(line) < 400 and "Traceback" not in err
    return line


QUICK = ("--budget", "2")


@pytest.mark.parametrize(
    "target, code", [("maps.py:good", 0), ("maps.py:split", 1), ("maps.py:listed", 1)]
)
def test_exit_code_says_the_verdict(run, target, code):
    got, out, err = run("verify", target, *QUICK)
    assert got == code
    assert "well-defined" in out and "speaks" not in out and "speaks" in err


def test_a_map_without_derivatives_has_verdicts(run):
    code, out, _ = run("verify", "maps.py:pooling", *QUICK)
    assert code == 1 and "continuous    refuted" in out
    for said in (out, sentence(*run("derive", "maps.py:P"))):
        assert "no function is the derivative of Supremum" in said


def test_json_is_alone_on_stdout(run):
    code, out, err = run("verify", "maps.py:good", *QUICK, "--json", "-")
    document = json.loads(out)
    assert code == 0 and document["schema"] == "pushforward/report/1"
    assert document["candidate"]["name"] == "good"


def test_three_files_of_one_run_agree(run, folder):
    outputs = ("--json", "r.json", "--html", "r.html", "--junit", "r.xml")
    code, out, _ = run("verify", "maps.py:split", *QUICK, *outputs)
    assert code == 1 and "B1 is refuted" in out
    document = json.loads((folder / "r.json").read_text())
    identifier = document["conditions"]["B1"]["counterexample"]["id"]
    assert identifier in (folder / "r.html").read_text()
    failure = ElementTree.parse(folder / "r.xml").find(".//testcase[@name='B1']/failure")
    assert identifier in failure.text
    assert sorted(path.suffix for path in folder.glob("r.*")) == [".html", ".json", ".xml"]


def test_replay_tells_whether_it_is_mended(run, folder, monkeypatch):
    run("verify", "maps.py:split", *QUICK, "--json", "r.json")
    document = json.loads((folder / "r.json").read_text())
    identifier = document["conditions"]["B1"]["counterexample"]["id"]
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    code, out, _ = run("replay", identifier)
    assert code == 1 and out.startswith("STILL FAILS: B1")
    mended = MAPS.replace("np.concatenate([p - 0.25, p + 0.25])", "p + 0.25")
    mended = mended.replace("np.concatenate([w, w]) / 2", "w")
    (folder / "maps.py").write_text(mended)
    os.utime(folder / "maps.py", (0, 0))  # the cache of compiled files goes by seconds
    code, out, _ = run("replay", identifier)
    assert code == 0 and out.startswith("FIXED: B1")
    (folder / "maps.py").write_text(MAPS.replace("split", "other"))
    os.utime(folder / "maps.py", (1, 1))
    assert "defines no 'split'" in sentence(*run("replay", identifier))


def test_conditions_asked_for_alone(run):
    code, out, _ = run("verify", "maps.py:good", *QUICK, "--conditions", "B1", "--json", "-")
    assert code == 0 and "B1" in json.loads(out)["conditions"]


def test_a_domain_given_is_the_one_used(run):
    arguments = ("verify", "maps.py:good", *QUICK, "--domain", "box:0,1:2", "--json", "-")
    code, out, _ = run(*arguments)
    assert code == 0 and json.loads(out)["domain"] == "box:0.0,1.0:2"


def test_a_symbolic_map_is_derived_and_then_judged(run):
    code, out, _ = run("verify", "maps.py:attention", *QUICK)
    assert code == 0
    assert out.index("D_x G(mu, x)") < out.index("well-defined") and out.count("proved") >= 4


def test_a_bound_map_needs_a_domain(run):
    assert "--domain" in sentence(*run("verify", "maps.py:bound", *QUICK))
    assert run("verify", "maps.py:bound", *QUICK, "--domain", "ball:2:1.0")[0] == 0


def test_an_unbound_map_is_derived_but_not_verified(run):
    line = sentence(*run("verify", "maps.py:G"))
    assert "bind" in line
    code, out, _ = run("derive", "maps.py:G")
    assert code == 0 and "D_x G(mu, x)" in out and "dG/dm(mu, x)(z)" in out


@pytest.mark.parametrize("target", ["G", "bound", "attention", "field", "tokens", "slope"])
def test_derive_takes_terms_bound_or_not(run, target):
    code, out, _ = run("derive", f"maps.py:{target}")
    assert code == 0 and out.strip()
    code, latex, _ = run("derive", f"maps.py:{target}", "--latex")
    assert code == 0 and "\\" in latex and latex != out


def test_derive_needs_a_formula(run):
    assert "no symbolic map" in sentence(*run("derive", "maps.py:good"))


FLOW = ("flow", "maps.py:tokens", "--points")


@pytest.mark.parametrize("points", ["cloud.npz", "cloud.npy"])
def test_flow_carries_points_and_keeps_weights(run, folder, points):
    code, out, _ = run(*FLOW, points, "--time", 0.5, "--steps", 20, "--out", "moved.npz")
    assert code == 0 and "moved.npz" in out
    moved = np.load(folder / "moved.npz")
    weights = np.array([0.5, 0.25, 0.25]) if points.endswith("z") else np.full(3, 1 / 3)
    assert moved["points"].shape == (3, 2) and moved["time"] == 0.5
    assert np.array_equal(moved["weights"], weights)
    one_step = np.eye(3, 2) * 0
    kernel = weights * np.exp(np.eye(3, 2) @ np.eye(3, 2).T)
    one_step = (kernel / kernel.sum(1, keepdims=True)) @ np.eye(3, 2)
    run(*FLOW, points, "--time", 1e-6, "--steps", 1, "--method", "euler", "--out", "small.npz")
    speed = (np.load(folder / "small.npz")["points"] - np.eye(3, 2)) / 1e-6
    assert np.allclose(speed, one_step, atol=1e-8)


def test_flow_writes_a_trajectory(run, folder):
    arguments = (*FLOW, "cloud.npz", "--steps", 4, "--out", "all.npz", "--trajectory")
    assert run(*arguments)[0] == 0
    assert np.load(folder / "all.npz")["trajectory"].shape == (5, 3, 2)


def test_flow_draws_pictures(run, folder):
    arguments = (*FLOW, "cloud.npz", "--steps", 10)
    assert run(*arguments, "--out", "flow.png", "--checkpoint", "kept.npz")[0] == 0
    assert (folder / "flow.png").read_bytes().startswith(b"\x89PNG")
    assert np.load(folder / "kept.npz")["count"] == 60
    assert "dimension" in sentence(*run(*arguments, "--out", "o.npz", "--domain", "sphere:3"))


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("verify", "maps.py:gold"), "defines no 'gold'; did you mean 'good'"),
        (("verify", "maps.py:nothing_near"), "defines no 'nothing_near'"),
        (("verify", "maps.py"), "maps.py:attention"),
        (("verify", "maps.py:"), "file.py:name"),
        (("verify", "nowhere.py:good"), "nowhere.py does not exist"),
        (("verify", "nowhere.maps:good"), "no module named 'nowhere'"),
        (("verify", "softmax-atention"), "did you mean 'softmax-attention'"),
        (("verify", "maps.py:pull"), "pf.InContextMap"),
        (("verify", "maps.py:tokens"), "maps.py:tokens is a bound field, no map of measures"),
        (("verify", "maps.py:LINE"), "is no candidate map but a Box"),
        (("verify", "broken.py:f"), "broken.py does not parse: invalid syntax (line 1)"),
        (("verify", "raises.py:f"), "raises.py raised ZeroDivisionError at import (line 3)"),
        (("verify", "leaves.py:f"), "leaves.py raised SystemExit at import"),
        (("verify", "needs.py:f"), "a_package_that_is_not_there"),
        (("verify", "null.py:f"), "null"),
        (("verify", "maps.py:wrong", *QUICK), "no weights loaded"),
        (("verify", "maps.py:good", "--domain", "torus:2"), "torus"),
        (("verify", "maps.py:good", "--domain", "ball:x"), "ball:x"),
        (("verify", "maps.py:good", "--conditions", "B3"), "Got 'B3'"),
        (("verify", "maps.py:good", "--conditions", ""), "--conditions"),
        (("verify", "maps.py:good", "--conditions", "vlasov"), "vlasov"),
        (("verify", "maps.py:good", "--budget", "long"), "Got 'long'"),
        (("verify", "maps.py:good", "--budget", "-1"), "--budget"),
        (("verify", "maps.py:good", "--budget", "nan"), "--budget"),
        (("verify", "maps.py:good", "--seed", "-1"), "--seed"),
        (("verify", "maps.py:good", "--seed", "one"), "seed"),
        (("verify", "maps.py:good", "--json", "no/where.json"), "no does not exist"),
        (("verify", "maps.py:good", "--html", "."), "--html expects the path of a file"),
        (("verify", "maps.py:good", "--html", "-"), "--html expects the path of a file"),
        (("verify", "maps.py:good", "--junit", "maps.py"), "is an input of this call too"),
        (("verify", "maps.py:good", "--json", "r", "--html", "r"), "is the file of --json"),
        (("verify", "maps.py:good", "--colour"), "--colour"),
        (("verify",), "TARGET"),
        (("prove", "maps.py:good"), "prove"),
        (("derive", "maps.py:LINE"), "no symbolic map"),
        (("replay", "unknown"), "no finding 'unknown'"),
        (("replay", "../maps"), "expected the id"),
        ((*FLOW, "nan.npz", "--out", "o.npz"), "nan.npz holds no measure"),
        ((*FLOW, "text.npz", "--out", "o.npz"), "text.npz holds no measure"),
        ((*FLOW, "other.npz", "--out", "o.npz"), "expected points and weights, got x"),
        ((*FLOW, "none.npz", "--out", "o.npz"), "none.npz does not exist"),
        ((*FLOW, "cloud.npz", "--out", "cloud.npz"), "is an input"),
        ((*FLOW, "cloud.npz", "--out", "o.txt"), "ends in .npz"),
        ((*FLOW, "cloud.npz", "--out", "o.npz", "--steps", 0), "--steps"),
        ((*FLOW, "cloud.npz", "--out", "o.npz", "--time", "inf"), "--time"),
        ((*FLOW, "cloud.npz", "--out", "o.npz", "--method", "rk5"), "--method"),
        ((*FLOW, "cloud.npz", "--out", "o.npz", "--engine", "abacus"), "abacus"),
        (("flow", "maps.py:good", "--points", "cloud.npz", "--out", "o.npz"), "velocity field"),
    ],
)  # fmt: skip
def test_a_wrong_call_gets_one_sentence(run, folder, arguments, says):
    before = sorted(folder.iterdir())
    assert says in sentence(*run(*arguments))
    assert [p for p in sorted(folder.iterdir()) if p.name != "__pycache__"] == before


def test_arguments_are_checked_before_the_file_is_imported(run):
    _, _, err = run("verify", "maps.py:good", "--html", "no/where.html")
    assert "the file speaks" not in err


IN_A_SESSION = """
import numpy as np
import pushforward as pf

def twice(points, weights):
    return np.concatenate([points, -points]), np.tile(weights / 2, 2)

if __name__ == "__main__":
    print(pf.verify(pf.MeasureMap(twice, pf.Box([-1.0], [1.0])), budget=2))
"""


def test_a_finding_of_a_script_is_replayed_by_its_function(run, folder):
    (folder / "script.py").write_text(IN_A_SESSION)
    script = [sys.executable, "script.py"]
    ran = subprocess.run(script, capture_output=True, text=True, check=True)
    identifier = ran.stdout.split("pushforward replay ")[1].split()[0]
    code, out, _ = run("replay", identifier)
    assert code == 1 and out.startswith("STILL FAILS: B1") and "script.py:twice" in out
    (folder / "script.py").write_text(IN_A_SESSION.replace("-points", "points"))
    os.utime(folder / "script.py", (0, 0))
    assert run("replay", identifier)[:2] == (0, out.replace("STILL FAILS", "FIXED"))


def test_a_finding_without_a_file_cannot_be_replayed(run):
    import pushforward as pf
    from pushforward.verify import store

    measure = pf.DiscreteMeasure([[0.0]])
    found = pf.Counterexample("B1", "split", (measure,), {}, "lost", "f(points)")
    store.save(found, {"target": None, "kind": "MeasureMap", "domain": "ball:2:1.0"})
    assert "no file names" in sentence(*run("replay", "lost"))


def test_catalogue_lists_every_map(run):
    from pushforward.verify.catalogue import CATALOGUE

    code, out, _ = run("catalogue")
    assert code == 0 and len(out.splitlines()) == len(CATALOGUE) + 1
    assert all(any(line.startswith(name) for line in out.splitlines()) for name in CATALOGUE)


def test_doctor_names_engines_and_what_is_missing(run):
    code, out, _ = run("doctor")
    assert code == 0
    for word in ("pushforward", "numpy", "sympy", "reference", "cupy"):
        assert word in out


def test_version_and_help(run):
    assert run("--version")[1].startswith("pushforward ")
    code, out, _ = run()
    assert code == 0 and all(name in out for name in ("verify", "derive", "flow", "replay"))


def test_our_own_failure_is_never_a_verdict(run, monkeypatch):
    from pushforward.verify import targets

    def fail(*_):
        raise AssertionError("a fault of ours\nin two lines")

    monkeypatch.setattr(targets, "candidate", fail)
    assert "internal error, AssertionError: a fault of ours in two" in sentence(
        *run("verify", "maps.py:good")
    )


def test_the_words_are_those_of_the_api():
    """The command line repeats them, to check arguments before it imports anything."""
    from pushforward.verify.findings import CONDITIONS, VERDICTS
    from pushforward.verify.verify import BUDGETS

    assert _cli.CONDITIONS == CONDITIONS and _cli.BUDGETS == BUDGETS
    assert set(_cli.COLOURS) == set(VERDICTS)


def test_help_is_fast_and_light():
    code = (
        "import sys; sys.argv = ['pushforward', '--help']\n"
        "from pushforward import _cli\n"
        "try: _cli.main()\n"
        "except SystemExit: print([m for m in ('numpy', 'sympy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_progress_only_on_a_terminal():
    command = [sys.executable, "-m", "pushforward", "verify", "identity", "--budget", "2"]
    in_terminal = [sys.executable, "-c", f"import pty; pty.spawn({command!r})"]
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 60}
    assert "verifying identity" in subprocess.run(in_terminal, **options).stdout
    plain = subprocess.run(command, **options)
    assert plain.returncode == 0 and plain.stderr == "" and "\x1b" not in plain.stdout
