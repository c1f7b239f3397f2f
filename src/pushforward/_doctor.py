"""What is installed and what could be: the tables that `pushforward doctor` prints."""

from __future__ import annotations

import math
import platform
import re
from importlib import metadata
from typing import Any


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


ENGINES = ("reference", "numpy", "native", "cuda", "mpmath")


def engines() -> list[tuple[str, str]]:
    """Each engine, tried on a map with a known value: whether it works here, or why it does not."""
    from pushforward.symbolic import Measure, Point, SymbolicMap, dot, gibbs

    x, y, mu = Point("x"), Point("y"), Measure("mu")
    attention = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
    return [(name, _state(attention, name)) for name in ENGINES]


def _state(attention: Any, engine: str) -> str:
    try:
        value = attention([[-1.0], [1.0]], [0.5, 0.5], [[1.0]], engine=engine)
    except ValueError as error:
        return f"not here; {error}"
    works = abs(float(value[0, 0]) - math.tanh(1.0)) < 1e-12
    return "works" if works else f"wrong: it gives {float(value[0, 0])!r} for tanh(1)"


def _version(name: str, extra: str | None) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        how = f"pip install 'pushforward[{extra}]'" if extra else f"pip install {name}"
        return f"missing; {how}"
