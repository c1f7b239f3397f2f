"""Trajectories of flows: states at times, in one NPZ file or in a Zarr store."""

import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import to_numpy
from .checkpoints import replace_file
from .measures import DiscreteMeasure

SCHEMA = "pushforward/trajectory/1"


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """The states of a flow at times; weights do not change along it.

    Args:
        times: (k,) in the order of the states.
        points: (k, n, d) the particles.
        weights: (n,) their weights.
        x: (k, m, d) passive points, or None.

    >>> from pushforward.symbolic.library import consensus
    >>> path = Trajectory.of(consensus().bind(), [[-1.0], [1.0]], None, 1.0, steps=4)
    >>> path.times.tolist(), path.points.shape
    ([0.0, 0.25, 0.5, 0.75, 1.0], (5, 2, 1))
    >>> path.measure(-1).points.round(3).ravel().tolist()
    [-0.368, 0.368]
    """

    times: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    x: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("times", "points", "weights", "x"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, to_numpy(value))
        states = self.points.shape
        if len(states) != 3 or self.times.shape != states[:1] or self.weights.shape != states[1:2]:
            raise ValueError(
                "expected times (k,), points (k, n, d) and weights (n,), got "
                f"{self.times.shape}, {states} and {self.weights.shape}"
            )
        if self.x is not None and (self.x.ndim != 3 or self.x.shape[::2] != states[::2]):
            raise ValueError(
                f"expected x of shape ({states[0]}, m, {states[2]}), got {self.x.shape}"
            )

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def of(
        cls, field: Any, points: Any, weights: Any, time: float, *, times: Any = None,
        steps: int = 100, x: Any = None, **options: Any,
    ) -> "Trajectory":  # fmt: skip
        """The trajectory of a bound velocity field.

        Args:
            field: a `BoundField`.
            points, weights: (n, d), (n,) the particles; None weighs each 1/n.
            time: how long to go.
            times: when states are kept, (k,) between 0 and `time`; the `steps + 1` equal times by
                default.
            steps, x, options: as for `BoundField.flow`. With `checkpoint=` an interrupted call
                goes on where it was, and gives the same bits.

        Returns:
            A `Trajectory` of NumPy arrays, of the floating type of the points.
        """
        equal = times is None
        how = {"trajectory": True} if equal else {"times": times}
        found = field.flow(points, weights, time, steps=steps, x=x, **how, **options)
        states, carried = (found, None) if x is None else found
        given = DiscreteMeasure(points, weights).weights
        kept = [*(time * k / steps for k in range(steps)), time] if equal else list(times)
        return cls(np.array(kept, dtype=float), states, given, carried)

    def measure(self, index: int) -> DiscreteMeasure:
        """The measure at one of the times, by its index."""
        return DiscreteMeasure(self.points[index], self.weights)

    def save(self, path: str | Path) -> Path:
        """Write the trajectory, in one move: `.npz`, or a `.zarr` folder with a chunk a state.

        What was there is replaced. Arrays keep their type and all bits.

        Raises:
            ValueError: another suffix, or Zarr is not installed.
        """
        path = Path(path)
        arrays = {"times": self.times, "points": self.points, "weights": self.weights}
        if self.x is not None:
            arrays["x"] = self.x
        if _suffix(path) == ".npz":
            replace_file(path, lambda file: np.savez(file, schema=SCHEMA, **arrays))  # type: ignore
        else:
            _write_zarr(path, arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Trajectory":
        """Read what `save` wrote.

        Raises:
            ValueError: the file is missing or holds no trajectory, or Zarr is not installed.
        """
        path = Path(path)
        reading = _read_npz if _suffix(path) == ".npz" else _read_zarr
        if not path.exists():
            raise ValueError(f"expected a trajectory in {path}, and there is nothing")
        try:
            arrays, schema = reading(path)
            if schema != SCHEMA:
                raise KeyError("schema")
            return cls(arrays["times"], arrays["points"], arrays["weights"], arrays.get("x"))
        except (OSError, KeyError, EOFError, zipfile.BadZipFile, ValueError) as error:
            raise ValueError(f"expected a trajectory in {path}, got another file") from error


def _suffix(path: Path) -> str:
    if path.suffix not in (".npz", ".zarr"):
        raise ValueError(f"expected a path that ends in .npz or .zarr, got {path}")
    if path.suffix == ".zarr":
        _zarr()
    return path.suffix


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], str]:
    with np.load(path, allow_pickle=False) as data:
        found = dict(data)
    return found, str(found["schema"])


# ---- Zarr, an optional library


def _zarr() -> Any:
    try:
        return import_module("zarr")
    except ImportError:
        raise ValueError("a .zarr path needs Zarr: pip install 'pushforward[zarr]'") from None


def _write_zarr(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        group = _zarr().open_group(str(beside), mode="w")
        group.attrs["schema"] = SCHEMA
        for name, array in arrays.items():
            chunks = (1, *array.shape[1:]) if array.ndim == 3 else array.shape
            made = group.create_array(
                name, shape=array.shape, dtype=array.dtype, chunks=tuple(max(1, n) for n in chunks)
            )
            made[...] = array
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _read_zarr(path: Path) -> tuple[dict[str, np.ndarray], str]:
    group = _zarr().open_group(str(path), mode="r")
    names = ("times", "points", "weights", "x")
    return {name: np.asarray(group[name][...]) for name in names if name in group}, str(
        group.attrs["schema"]
    )
