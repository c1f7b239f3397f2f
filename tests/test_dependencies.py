"""Who imports what: data flows symbolic -> numeric -> verify and symbolic -> proofs_checks."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "symbolic": ROOT / "symbolic",
    "numeric": ROOT / "numeric",
    "verify": ROOT / "verify",
    "proofs_checks": ROOT / "proofs_checks",
    "root": ROOT / "src" / "pushforward",
    "plugin": ROOT / "src" / "_pushforward_pytest",
}
# The one import against the flow of data, inside a function: binding a term makes a number map.
DEFERRED = {("symbolic", "binding.py", "numeric")}
MAY_IMPORT = {
    "symbolic": set(),
    "numeric": {"symbolic"},
    "verify": {"symbolic", "numeric", "proofs_checks"},
    "proofs_checks": {"symbolic", "numeric"},
    "root": {"symbolic", "numeric", "verify", "proofs_checks", "plugin"},
    "plugin": set(),
}
# library -> the modules that may import it, as "part/module.py" or "part/"
HOMES = {
    "sympy": {"symbolic/", "numeric/lowering.py", "proofs_checks/"},
    "hypothesis": {"verify/"},
    "flint": {"proofs_checks/"},
    "typer": {"root/_cli.py"},
    "rich": {"root/_cli.py"},
    "jinja2": {"verify/page.py"},
    "matplotlib": {"verify/pictures.py", "verify/animation.py"},
    "pytest": {"plugin/"},
    "torch": {"verify/"},
    "jax": set(),
}


def modules():
    return [
        (part, path) for part, folder in FOLDERS.items() for path in sorted(folder.rglob("*.py"))
    ]


def imported(part, path):
    """Pairs (top-level library or part of ours, is it inside a function) of one module."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    depth = len(path.relative_to(FOLDERS[part]).parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
            if node.module == "pushforward":
                names = [f"pushforward.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level > depth:
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            names = [f"pushforward.{name}" for name in modules]
        else:
            continue
        for name in names:
            yield _owner(name), id(node) in inside


def _owner(name):
    first, *rest = name.split(".")
    if first == "_pushforward_pytest":
        return "plugin"
    if first == "pushforward":
        return rest[0] if rest and rest[0] in FOLDERS else "root"
    return first


def violations(part, path):
    name = path.relative_to(FOLDERS[part]).as_posix()
    for owner, deferred in imported(part, path):
        if owner in FOLDERS and owner not in MAY_IMPORT[part] | {part}:
            if not (deferred and (part, name, owner) in DEFERRED):
                yield f"{part}/{name} imports {owner}"
        homes = HOMES.get(owner)
        if homes is not None and not homes & {f"{part}/", f"{part}/{name}"}:
            yield f"{part}/{name} imports {owner}, which belongs in {sorted(homes)}"


@pytest.mark.parametrize("part", FOLDERS)
def test_imports_follow_the_data(part):
    files = [path for owner, path in modules() if owner == part]
    assert not [text for path in files for text in violations(part, path)]


def test_numeric_reads_terms_in_one_module():
    readers = {
        path.name
        for part, path in modules()
        if part == "numeric" and any(owner == "symbolic" for owner, _ in imported(part, path))
    }
    assert readers <= {"lowering.py"}


def test_cupy_in_one_module():
    users = {
        path.name for part, path in modules() if any(o == "cupy" for o, _ in imported(part, path))
    }
    assert len(users) <= 1


def test_a_forbidden_import_is_seen(tmp_path, monkeypatch):
    """The reader of imports sees every form of import, at the top and inside functions."""
    monkeypatch.setitem(FOLDERS, "symbolic", tmp_path)
    module = tmp_path / "terms.py"
    module.write_text(
        "import numpy, hypothesis.strategies\n"
        "from ..numeric import Ball\n"
        "from .. import verify\n"
        "def f():\n    from pushforward.proofs_checks import prove\n"
        "    import pushforward.numeric\n"
    )
    found = " ".join(violations("symbolic", module))
    for name in ("hypothesis", "numeric", "verify", "proofs_checks"):
        assert f"terms.py imports {name}" in found
    assert "numpy" not in found


@pytest.mark.parametrize("module", ["pushforward", "_pushforward_pytest", "pushforward._cli"])
def test_import_is_light(module):
    heavy = ("sympy", "cupy", "torch", "hypothesis", "numpy", "matplotlib", "jax", "scipy", "flint")
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_verifying_a_function_needs_no_torch():
    code = "import sys, pushforward; pushforward.verify; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
