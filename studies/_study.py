"""What the studies share: the command line, a table, a JSON file and a figure."""

import argparse
import json
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

plt.rcParams |= {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 150,
}
RESULTS = Path(__file__).parent / "results"


def options(text, **sizes):
    """The command line: --out FOLDER and an option for each size, with its default value."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the figure and JSON")
    for name, value in sizes.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value, help=f"default {value}")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    chosen.began = time.perf_counter()
    return chosen


def panels(count, width=4.2, height=3.4):
    """A figure with so many axes in a row."""
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), layout="constrained")
    return figure, np.atleast_1d(axes)


def slope(x, y):
    """The slope of log y in log x by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def guide(axes, x, y, power, **look):
    """A grey line of the given power through the last point."""
    x = np.asarray(x, dtype=float)
    line = y[-1] * (x / x[-1]) ** power
    axes.loglog(x, line, color="#9aa3ad", linewidth=1, linestyle=":", **look)


def table(rows, head):
    """Print rows under a head, in columns."""
    cells = [head, *([_shown(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        pairs = zip(row, widths, strict=True)
        print("  ".join(cell.rjust(width) if i else cell.ljust(width)
                        for i, (cell, width) in enumerate(pairs)).rstrip())  # fmt: skip


def _shown(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if 0.095 < abs(value) < 100 else f"{value:.2e}"
    return str(value)


def finish(name, chosen, result, figure):
    """Write the figure and the JSON, and say where."""
    result = {"study": name, "seconds": round(time.perf_counter() - chosen.began, 1)} | result
    path = chosen.out / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, default=_plain) + "\n", encoding="utf-8")
    figure.savefig(path.with_suffix(".png"))
    print(f"{path} and {path.with_suffix('.png').name}, {result['seconds']} s")


def _plain(value):
    return value.tolist() if hasattr(value, "tolist") else str(value)
