"""Pictures for reports: measures as atoms whose area is their weight, and curves, as inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..numeric import DiscreteMeasure

_COLOURS = ("#1f5fa8", "#c8501e", "#2e7d4f", "#7b4fa3")
_INK = "#3a4149"
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": "#9aa3ad",
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_LARGEST_AREA = 260.0
_SMALLEST_AREA = 10.0


def measures_picture(measures: Sequence[DiscreteMeasure], key: str) -> str:
    """An SVG of the measures, overlaid: sticks on a line, discs in the first two coordinates else.

    The height of a stick and the area of a disc are proportional to the weight. Atoms too light
    to be seen so are drawn as crosses. The same measures and key give the same text.
    """
    line = all(np.asarray(measure.points).shape[1] == 1 for measure in measures)
    with _style(key):
        figure = Figure(figsize=(5.4, 2.6) if line else (4.4, 4.4), layout="constrained")
        axes = figure.add_subplot()
        (_draw_sticks if line else _draw_discs)(axes, measures)
        if len(measures) > 1:
            place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2}
            axes.legend(frameon=False, fontsize=8, borderaxespad=0.2, **place)
        return _svg(figure)


def curve_picture(pairs: Sequence[Sequence[float]]) -> str:
    """An SVG of a curve through the pairs; an axis is logarithmic where it spans decades."""
    values = np.array(pairs, dtype=float)
    x, y = values[np.isfinite(values).all(axis=1)].T
    order = np.argsort(x)
    with _style("curve"):
        figure = Figure(figsize=(4.6, 2.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(x[order], y[order], marker="o", markersize=3.5, linewidth=1.2, color=_COLOURS[0])
        if _spans_decades(x):
            axes.set_xscale("log")
        if _spans_decades(y):
            axes.set_yscale("log")
        elif len(y) and y.min() >= 0:
            axes.set_ylim(0, 1.08 * y.max() or None)  # a plateau is to look like one
        return _svg(figure)


def _style(key: str) -> AbstractContextManager[None]:
    """The look of all pictures; the key makes the names inside an SVG its own."""
    settings: dict[Any, Any] = {**_STYLE, "svg.hashsalt": key}
    return rc_context(settings)


def _spans_decades(values: np.ndarray) -> bool:
    return bool(len(values) and np.all(values > 0) and np.max(values) >= 50 * np.min(values))


def _name(i: int, measure: DiscreteMeasure) -> str:
    n = len(np.asarray(measure.weights))
    return f"measure {i + 1} ({n} atom{'s' if n > 1 else ''})"


def _draw_sticks(axes: Axes, measures: Sequence[DiscreteMeasure]) -> None:
    # The second measure hangs down, so that a pair is compared like an image and its mirror.
    for i, measure in enumerate(measures):
        points, weights = np.asarray(measure.points)[:, 0], np.asarray(measure.weights)
        sign, colour = (-1 if i % 2 else 1), _COLOURS[i % len(_COLOURS)]
        axes.vlines(points, 0, sign * weights, color=colour, linewidth=1.6, alpha=0.85)
        name = _name(i, measure)
        axes.plot(points, sign * weights, "o", color=colour, markersize=4.5, label=name)
    axes.axhline(0, color="#9aa3ad", linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_ylabel("weight")
    axes.set_xlabel("x")
    axes.margins(y=0.15)
    low, high = _window(np.concatenate([np.asarray(measure.points) for measure in measures]))
    axes.set_xlim(low[0], high[0])
    axes.ticklabel_format(axis="x", useOffset=False)


def _draw_discs(axes: Axes, measures: Sequence[DiscreteMeasure]) -> None:
    heaviest = max(float(np.max(np.asarray(measure.weights))) for measure in measures)
    for i, measure in enumerate(measures):
        points, weights = np.asarray(measure.points)[:, :2], np.asarray(measure.weights)
        colour, areas = _COLOURS[i % len(_COLOURS)], _LARGEST_AREA * weights / heaviest
        light = areas < _SMALLEST_AREA
        # Later measures are rings about earlier discs: coinciding atoms stay visible.
        look = {"facecolors": colour, "alpha": 0.75} if i == 0 else {"facecolors": "none"}
        axes.scatter(
            *points[~light].T, s=areas[~light] * (1 + 0.5 * i), edgecolors=colour,
            linewidths=1.3, label=_name(i, measure), **look,
        )  # fmt: skip
        axes.scatter(*points[light].T, s=22, marker="x", color=colour, linewidths=1.0)
    low, high = _window(np.concatenate([np.asarray(m.points)[:, :2] for m in measures]))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.ticklabel_format(useOffset=False)
    dim = np.asarray(measures[0].points).shape[1]
    axes.set_xlabel("x₀" if dim == 2 else f"x₀ (the first two of {dim} coordinates)")
    axes.set_ylabel("x₁")


def _window(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two corners of a cube about the points, not much smaller than their coordinates.

    So atoms that nearly coincide are drawn as the one place that they are to the eye.
    """
    size = np.max(np.abs(points))
    least = size / 2 if size > 1e-9 else 1.0
    centre = (points.max(axis=0) + points.min(axis=0)) / 2
    half = 0.62 * max(np.ptp(points, axis=0).max(), least)
    return centre - half, centre + half


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :].rstrip(), flags=re.S)
    # Several pictures share one page: drop the ids of groups, which nothing refers to.
    return re.sub(r'<g id="[^"]*"', "<g", svg)
