"""Pictures of flows: an animation as GIF, or frames side by side as PNG.

A flow of the line is drawn as curves in time, one of the plane as moving discs with their traces,
one of the space in perspective, with the unit sphere where the particles lie on it. In higher
dimensions the first two coordinates are shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_INK = "#3a4149"
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ad",
    "xtick.color": _INK,
    "ytick.color": _INK,
}
FRAMES = 60
PANELS = 6
TRACE = 12
MOST = 500


def draw_flow(
    trajectory: Any, weights: Any, out: str | Path, *, time: float = 1.0, seconds: float = 4.0
) -> Path:
    """Write a GIF of a flow, or a PNG of a few of its frames.

    Args:
        trajectory: (k, n, d) states at k >= 2 equal times, as `flow(..., trajectory=True)` returns.
            Of many particles 500 are drawn.
        weights: (n,) the areas of the particles; None draws all alike.
        out: a path that ends in .gif or .png.
        time: of the last state, for the captions.
        seconds: that the animation lasts.

    Returns:
        The path.

    Raises:
        ValueError: another suffix, or no trajectory.

    >>> import tempfile
    >>> angles = np.linspace(0, 1, 5)
    >>> path = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None, :]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_flow(path, None, Path(folder) / "turn.png").stat().st_size > 1000
    True
    """
    out, path = Path(out), np.asarray(trajectory, dtype=float)
    if out.suffix not in (".gif", ".png"):
        raise ValueError(f"expected a file that ends in .gif or .png, got {out.name!r}")
    if path.ndim != 3 or len(path) < 2 or 0 in path.shape:
        raise ValueError(f"expected a trajectory of shape (k, n, d), k >= 2, got {path.shape}")
    masses = np.ones(path.shape[1]) if weights is None else np.asarray(weights, dtype=float)
    drawn = np.unique(np.linspace(0, path.shape[1] - 1, MOST).astype(int))
    scene = _Scene(path[:, drawn], masses[drawn], time)
    with rc_context(_STYLE):
        (_write_gif if out.suffix == ".gif" else _write_png)(scene, out, seconds)
    return out


class _Scene:
    """What all frames share: the view, the colours and the sizes."""

    def __init__(self, path: np.ndarray, weights: np.ndarray, time: float):
        self.path, self.time = path, time
        self.dim = path.shape[2]
        self.space = self.dim == 3
        norms = np.linalg.norm(path, axis=2)
        self.on_sphere = self.space and bool(np.abs(norms - 1).max() < 0.02)
        self.areas = 12 + 90 * weights / max(float(weights.max()), 1e-300)
        order = np.argsort(np.argsort(path[0, :, 0]))
        self.colours = colormaps["viridis"](0.05 + 0.9 * order / max(len(order) - 1, 1))
        shown = path[:, :, : 3 if self.space else min(self.dim, 2)]
        self.low, self.high = shown.min(axis=(0, 1)), shown.max(axis=(0, 1))
        margin = 0.05 * max(float((self.high - self.low).max()), 1e-9)
        self.low, self.high = self.low - margin, self.high + margin

    def chosen(self, count: int) -> np.ndarray:
        """Indices of so many states, from the first to the last."""
        return np.unique(np.round(np.linspace(0, len(self.path) - 1, count)).astype(int))

    def axes(self, figure: Figure, rows: int, columns: int, place: int) -> Any:
        if not self.space:
            return figure.add_subplot(rows, columns, place)
        axes: Any = figure.add_subplot(rows, columns, place, projection="3d")
        axes.set_box_aspect((1, 1, 1), zoom=1.25)
        axes.view_init(elev=22, azim=35)
        axes.set_axis_off()
        return axes

    def draw(self, axes: Any, k: int) -> None:
        """One frame."""
        axes.set_title(f"t = {self.time * k / (len(self.path) - 1):.2f}", color=_INK)
        if self.dim == 1:
            self._draw_line(axes, k)
        elif self.space:
            self._draw_space(axes, k)
        else:
            self._draw_plane(axes, k)

    def _draw_line(self, axes: Any, k: int) -> None:
        times = np.linspace(0, self.time, len(self.path))
        for i, colour in enumerate(self.colours):
            axes.plot(times[: k + 1], self.path[: k + 1, i, 0], color=colour, linewidth=1)
        last = np.full(len(self.colours), times[k])
        axes.scatter(last, self.path[k, :, 0], s=self.areas, c=self.colours, zorder=3)
        axes.set_xlim(*sorted((0.0, self.time * 1.02)))
        axes.set_ylim(self.low[0], self.high[0])

    def _draw_plane(self, axes: Any, k: int) -> None:
        trace = self.path[max(0, k - TRACE) : k + 1]
        for i, colour in enumerate(self.colours):
            axes.plot(trace[:, i, 0], trace[:, i, 1], color=colour, linewidth=1, alpha=0.5)
        axes.scatter(*self.path[k, :, :2].T, s=self.areas, c=self.colours, zorder=3)
        axes.set_xlim(self.low[0], self.high[0])
        axes.set_ylim(self.low[1], self.high[1])
        axes.set_aspect("equal")

    def _draw_space(self, axes: Any, k: int) -> None:
        if self.on_sphere:
            u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
            sphere = np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)
            axes.plot_wireframe(*sphere, color="#c9ced4", linewidth=0.4)
        trace = self.path[max(0, k - TRACE) : k + 1]
        for i, colour in enumerate(self.colours):
            axes.plot(*trace[:, i].T, color=colour, linewidth=1, alpha=0.5)
        axes.scatter(*self.path[k].T, s=self.areas, c=self.colours, depthshade=True)
        for name, low, high in zip("xyz", self.low, self.high, strict=True):
            getattr(axes, f"set_{name}lim")(low, high)


def _write_png(scene: _Scene, out: Path, _: float) -> None:
    # On a line the last frame shows all times.
    chosen = scene.chosen(2)[1:] if scene.dim == 1 else scene.chosen(PANELS)
    columns = min(len(chosen), 3)
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, k in enumerate(chosen, 1):
        scene.draw(scene.axes(figure, rows, columns, place), int(k))
    figure.savefig(out, dpi=120)


def _write_gif(scene: _Scene, out: Path, seconds: float) -> None:
    from PIL import Image

    chosen = scene.chosen(FRAMES)
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    images = []
    for k in chosen:
        figure.clear()
        scene.draw(scene.axes(figure, 1, 1, 1), int(k))
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
        images.append(Image.fromarray(pixels).quantize(128))
    each = max(20, round(1000 * seconds / len(images)))
    images[0].save(out, save_all=True, append_images=images[1:], duration=each, loop=0)
