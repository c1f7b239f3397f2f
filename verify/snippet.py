"""Copy-paste Python that shows a counterexample with NumPy alone."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from .candidates import Candidate, Flow, MeasureMap, TokenMap
from .subject import Atoms
from .trials import Violation

_CALLS = {
    MeasureMap: "fn({p}, {w})",
    TokenMap: "fn({p})",
    Flow: "fn({p}, {w}, 1.0, 16)",
}


LARGEST_WRITTEN = 2048


def snippet(candidate: Candidate, violation: Violation, stored: Path) -> str:
    """A few lines that define the measures as arrays and call the user's function `fn` on them.

    Measures too large to read are taken from the file `stored` that holds the finding.
    """
    said = wrap(violation.sentence, 86, initial_indent="# ", subsequent_indent="# ")
    lines = ["import numpy as np", "", *said, _bring(candidate)]
    if any(points.size > LARGEST_WRITTEN for points, _ in violation.measures):
        names = _names(violation)
        lines += ["import json", f"with open({str(stored)!r}) as file:"]
        lines.append('    stored = json.load(file)["counterexample"]["measures"]')
        for k, (points, weights) in enumerate(names):
            lines.append(f'{points} = np.array(stored[{k}]["points"])')
            lines.append(f'{weights} = np.array(stored[{k}]["weights"])')
        return "\n".join([*lines, *_prints(candidate, violation, names)]) + "\n"
    names = _names(violation)
    for atoms, pair in zip(violation.measures, names, strict=True):
        lines += _arrays(candidate, atoms, pair)
    if violation.operation == "queries":
        (p, w), (x, _) = names
        lines.append(f"print(fn({p}, {w}, {x}), fn({p}, {w}, {x}[:1]))")
    else:
        if violation.operation == "repeat":
            names *= 2
        lines += _prints(candidate, violation, names)
    return "\n".join(lines) + "\n"


def _prints(candidate: Candidate, violation: Violation, names: list[tuple[str, str]]) -> list[str]:
    """One line a measure; where one atom is followed, its row alone."""
    by_rows = not isinstance(candidate, (MeasureMap, TokenMap))
    row = f"[{int(violation.numbers['tag'])}]" if by_rows and "tag" in violation.numbers else ""
    return [f"print({_call(candidate, name)}{row})" for name in names]


def _names(violation: Violation) -> list[tuple[str, str]]:
    suffixes = ["", *(f"_{letter}" for letter in "bcdefgh")]
    return [(f"points{s}", f"weights{s}") for s in suffixes[: len(violation.measures)]]


def _bring(candidate: Candidate) -> str:
    if written := getattr(candidate.fn, "written", ""):  # an adapter says what it calls
        return f"# fn = {written}"
    module = getattr(candidate.fn, "__module__", None)
    name = getattr(candidate.fn, "__qualname__", "")
    if module in (None, "__main__", "builtins") or not name.isidentifier():
        return "# fn = ...  your function"
    return f"from {module} import {name} as fn"


def _call(candidate: Candidate, names: tuple[str, str]) -> str:
    points, weights = names
    form = _CALLS.get(type(candidate), "fn({p}, {w}, {p})")
    if isinstance(candidate, TokenMap) and candidate.weighted:
        form = "fn({p}, {w})"
    return form.format(p=points, w=weights)


def _arrays(candidate: Candidate, atoms: Atoms, names: tuple[str, str]) -> list[str]:
    points, weights = atoms
    if isinstance(candidate, TokenMap) and not candidate.weighted:
        from .subject import LARGEST, as_counts

        counts = as_counts(weights, LARGEST)
        lines = [f"{names[0]} = np.array({points.tolist()})"]
        if (counts == 1).all():
            return lines
        return [*lines, f"{names[0]} = np.repeat({names[0]}, {counts.tolist()}, axis=0)"]
    arrays = zip(names, (points, weights), strict=True)
    return [f"{name} = np.array({array.tolist()})" for name, array in arrays]
