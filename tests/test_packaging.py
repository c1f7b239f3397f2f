"""What is in the tree is in the wheel: packages, modules, data files, entry points."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PARTS = {
    "pushforward": "src/pushforward",
    "_pushforward_pytest": "src/_pushforward_pytest",
    "pushforward.symbolic": "symbolic",
    "pushforward.numeric": "numeric",
    "pushforward.verify": "verify",
    "pushforward.proofs_checks": "proofs_checks",
}


def folders_with_code():
    """Every folder that holds Python modules of the product, as a package name."""
    for package, folder in PARTS.items():
        for path in (ROOT / folder).rglob("*.py"):
            inner = path.parent.relative_to(ROOT / folder).parts
            yield ".".join([package, *inner])


def files_of_product():
    """Every file that belongs in the wheel, as its path there."""
    for package, folder in PARTS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield "/".join([*package.split("."), *path.relative_to(ROOT / folder).parts])


def test_every_package_is_listed():
    assert set(SETUP["packages"]) == set(folders_with_code())


def test_every_package_has_its_folder():
    assert SETUP["package-dir"] == PARTS


def test_every_data_file_is_listed():
    data = {path for path in files_of_product() if not path.endswith(".py")}
    listed = set()
    for package, patterns in SETUP["package-data"].items():
        folder = ROOT / PARTS.get(package, "no such folder")
        for pattern in patterns:
            listed |= {f"{package.replace('.', '/')}/{p.name}" for p in folder.glob(pattern)}
    assert data == listed


@pytest.mark.slow
def test_wheel_holds_every_file(tmp_path):
    """Built from a clean export, because a stale build/ brings deleted modules back."""
    source = tmp_path / "source"
    source.mkdir()
    archive = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x"], cwd=source, input=archive.stdout, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("pushforward-*.whl")
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", *PARTS.values()], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    places = sorted(PARTS.items(), key=lambda item: -len(item[1]))
    expected = set()
    for name in tracked:
        package, folder = next(item for item in places if name.startswith(item[1] + "/"))
        expected.add(package.replace(".", "/") + name.removeprefix(folder))
    assert in_wheel == expected


def test_entry_points_resolve():
    from importlib.metadata import entry_points

    assert entry_points(group="console_scripts")["pushforward"].load()
    assert entry_points(group="pytest11")["pushforward"].load().__name__ == "_pushforward_pytest"


def test_license_is_shipped():
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
