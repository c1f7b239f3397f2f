"""What the documents show is true: their Python runs, prints what they say, and links lead on."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "examples/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(document):
    return FENCE.findall((ROOT / document).read_text(encoding="utf-8"))


def sessions(document):
    """The doctest-like blocks of a document, as one text that shares its names."""
    blocks = [text for kind, text in fences(document) if kind == "python"]
    return "\n".join(text for text in blocks if text.startswith(">>>"))


def scripts(document):
    """Pairs (code, what it prints or None); the output is the `text` block that follows."""
    found = [*fences(document), ("", "")]
    for (kind, code), (after, output) in zip(found, found[1:], strict=False):
        if kind == "python" and not code.startswith(">>>"):
            yield code, output if after == "text" else None


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if sessions(d)])
def test_sessions_give_what_they_show(document):
    test = doctest.DocTestParser().get_doctest(sessions(document), {}, document, document, 0)
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    assert runner.tries and not runner.failures, "".join(report)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if list(scripts(d))])
def test_scripts_print_what_they_show(document, tmp_path):
    """The blocks of a document run as one script, each after the one before."""
    blocks = list(scripts(document))
    mark = "-- next block --"
    path = tmp_path / "blocks.py"
    path.write_text(f"\nprint({mark!r})\n".join(code for code, _ in blocks))
    ran = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    for (_, shown), printed in zip(blocks, ran.stdout.split(mark), strict=True):
        if shown is not None:
            assert printed.strip() == shown.strip()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_inside_the_repository_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (ROOT / document).parent.joinpath(target).exists(), target


def test_first_block_is_the_two_commands():
    """CI takes its two commands from here."""
    kind, text = fences("README.md")[0]
    assert kind == "sh"
    first, second = text.splitlines()
    assert first.startswith("pip install . && pushforward verify examples/attention.py:attention")
    assert second == "pip install '.[test]' && python -m pytest"


def test_every_dependency_has_its_reason():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    table = text[text.index("| library | for |") :]
    for requirement in project["dependencies"]:
        assert re.match(r"[a-z0-9-]+", requirement).group() in table
    for extra in set(project["optional-dependencies"]) - {"test", "dev"}:
        assert f"[{extra}]" in table
