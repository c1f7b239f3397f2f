"""Long flows on disk: where they are, so that a restart goes on with the same bits.

A checkpoint is one NPZ file, replaced atomically. It holds the position of the method, the outputs
so far and a digest of the call, so that it is never taken for the checkpoint of another flow.
"""

import hashlib
import os
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np

from .arrays import namespace, to_numpy
from .integrators import Position


@dataclass(slots=True)
class Checkpoint:
    """The file of a flow; `due` says when it is old enough to be written again."""

    path: Path
    digest: str
    seconds: float
    _written: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        return time.monotonic() - self._written >= self.seconds

    def save(self, at: Position, outputs: list[Any]) -> None:
        """Write the position and the outputs; the old file stays until the new one is whole."""
        data: dict[str, Any] = {
            "digest": np.array(self.digest),
            "count": np.array(at.count),
            "t": np.array(at.t),
            "state": to_numpy(at.state),
            "outputs": np.array([to_numpy(output) for output in outputs]),
        }
        if at.slope is not None:
            data["slope"] = to_numpy(at.slope)
        if at.h is not None:
            data["h"] = np.array(at.h)
        replace_file(self.path, lambda file: np.savez(file, **data))
        self._written = time.monotonic()

    def load(self, like: Any) -> tuple[Position, list[Any]] | None:
        """The position and the outputs so far, as arrays like the given one; None if no file.

        Raises:
            ValueError: the file is no checkpoint, or one of another call.
        """
        if not self.path.exists():
            return None
        xp, device = namespace(like), array_api_compat.device(like)

        def given(array: np.ndarray) -> Any:
            return xp.asarray(array, device=device)

        try:
            with np.load(self.path, allow_pickle=False) as data:
                found = dict(data)
            digest = str(found["digest"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise ValueError(f"expected a checkpoint in {self.path}, got another file") from None
        if digest != self.digest:
            raise ValueError(
                f"{self.path} is the checkpoint of another flow (points, field, time or steps "
                "differ); name another file or delete it"
            )
        slope = given(found["slope"]) if "slope" in found else None
        h = float(found["h"]) if "h" in found else None
        at = Position(int(found["count"]), float(found["t"]), given(found["state"]), slope, h)
        return at, [given(output) for output in found["outputs"]]


def digest_of(*parts: Any) -> str:
    """A digest of arrays and other values, the same in every process."""
    total = hashlib.sha256()
    for part in parts:
        if hasattr(part, "shape"):
            part = np.ascontiguousarray(to_numpy(part))
            total.update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
        else:
            total.update(repr(part).encode())
        total.update(b"|")
    return total.hexdigest()[:32]


def replace_file(path: Path, write: Any) -> None:
    """Call `write` on a file beside `path`, then put it in the place of `path` in one move."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            write(file)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
