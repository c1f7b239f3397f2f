"""Copy-paste Python that shows a counterexample with NumPy alone."""

from __future__ import annotations

import numpy as np

from .candidates import Candidate, Flow, MeasureMap, TokenMap
from .subject import Atoms
from .trials import Violation

_CALLS = {
    MeasureMap: "fn({p}, {w})",
    TokenMap: "fn({p})",
    Flow: "fn({p}, {w}, 1.0, 16)",
}


def snippet(candidate: Candidate, violation: Violation) -> str:
    """A few lines that define the measures as arrays and call the user's function `fn` on them."""
    lines = ["import numpy as np", "", f"# {violation.sentence}", _bring(candidate)]
    names = []
    for k, atoms in enumerate(violation.measures):
        suffix = "" if k == 0 else "_" + "abcdefgh"[k]
        names.append((f"points{suffix}", f"weights{suffix}"))
        lines += _arrays(candidate, atoms, names[-1])
    if violation.operation == "queries":
        (p, w), (x, _) = names
        lines.append(f"print(fn({p}, {w}, {x}), fn({p}, {w}, {x}[:1]))")
    else:
        if violation.operation == "repeat":
            names *= 2
        lines += [f"print({_call(candidate, name)})" for name in names]
    return "\n".join(lines) + "\n"


def _bring(candidate: Candidate) -> str:
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
        lines = [f"{names[0]} = {_text(points)}"]
        if (counts == 1).all():
            return lines
        return [*lines, f"{names[0]} = np.repeat({names[0]}, {counts.tolist()}, axis=0)"]
    return [f"{names[0]} = {_text(points)}", f"{names[1]} = {_text(weights)}"]


def _text(array: np.ndarray) -> str:
    if array.size > 4096:
        return f"...  # {array.shape}, see the stored finding"
    return f"np.array({array.tolist()})"
