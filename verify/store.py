"""Where findings are kept: one JSON file a counterexample, so that `replay` finds it again.

The folder is `$PUSHFORWARD_HOME/findings`, by default in the user's cache folder. A file holds the
counterexample and its origin: the target that defines the candidate, its kind and its domain.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ..numeric import DiscreteMeasure
from .findings import Counterexample

SCHEMA = "pushforward/finding/1"


def folder() -> Path:
    """The folder of findings; it need not exist yet."""
    if home := os.environ.get("PUSHFORWARD_HOME"):
        return Path(home).expanduser() / "findings"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "pushforward" / "findings"


def save(counterexample: Counterexample, origin: dict[str, Any]) -> Path:
    """Write a counterexample and where its candidate comes from; a second call replaces the first.

    Args:
        counterexample: the finding; its `id` names the file.
        origin: `{"target": "file.py:name" or None, "kind": ..., "domain": ...}`, JSON-ready.

    Returns:
        The path of the file. Readers see the old file or the new one, never a part.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path = path_of(counterexample.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"schema": SCHEMA, "origin": origin, "counterexample": counterexample.to_dict()}
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False
    ) as part:
        json.dump(document, part, indent=1)
    os.replace(part.name, path)
    return path


def load(identifier: str) -> tuple[Counterexample, dict[str, Any]]:
    """Read a stored counterexample, without its candidate, and its origin.

    Raises:
        ValueError: no finding of this name is stored, or its file is damaged.
    """
    path = path_of(identifier)
    if not path.is_file():
        raise ValueError(f"no finding {identifier!r} in {path.parent}; run verify to make one.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}, not {SCHEMA!r}")
        return _counterexample(document["counterexample"]), dict(document["origin"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{error!r} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"the finding in {path} is damaged ({why}); run verify again.") from error


def path_of(identifier: str) -> Path:
    """The file of a finding, whether it is there or not; ValueError if this is no id."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", identifier):
        raise ValueError(
            f"expected the id of a finding (letters, digits, - and _), got {identifier[:60]!r}."
        )
    return folder() / f"{identifier}.json"


def _counterexample(data: dict[str, Any]) -> Counterexample:
    return Counterexample(
        condition=data["condition"],
        operation=data["operation"],
        measures=tuple(DiscreteMeasure(m["points"], m["weights"]) for m in data["measures"]),
        # Infinities and NaN are stored by name, which `float` reads.
        numbers={key: float(value) for key, value in data["numbers"].items()},
        id=data["id"],
        snippet=data["snippet"],
    )
