"""What is installed and what could be: the tables that `pushforward doctor` prints."""

from __future__ import annotations

import platform
import re
from importlib import metadata


def packages() -> list[tuple[str, str]]:
    """Each package that ours can use with its version, or how to install it."""
    rows = [("pushforward", metadata.version("pushforward")), ("python", platform.python_version())]
    for requirement in metadata.requires("pushforward") or ():
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", requirement)
        if name is None or (extra and extra.group(1) in ("test", "dev")):
            continue
        rows.append((name.group(), _version(name.group(), extra.group(1) if extra else None)))
    return rows


def _version(name: str, extra: str | None) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        how = f"pip install 'pushforward[{extra}]'" if extra else f"pip install {name}"
        return f"missing; {how}"
