"""What a verification returns: counterexamples, findings and the report.

A report holds one finding a condition; a refuted finding holds one counterexample; a counterexample
holds the measures and numbers that show the violation and is re-evaluated by `replay`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..numeric import DiscreteMeasure

CONDITIONS = ("well-defined", "continuous", "B1", "B2", "vlasov")
VERDICTS = ("proved", "certified", "tested", "refuted", "undecided", "not-applicable")
SCHEMA = "pushforward/report/1"


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Measures on which a candidate breaks a condition, and the numbers that show it.

    `operation` names what was done (`permute`, `split`, `jump`, `tagging`, ...); `measures` are the
    inputs, one or several; `numbers` hold the defect, the threshold it had to pass, and the scale.

    >>> import pushforward as pf
    >>> cut = pf.MeasureMap(lambda p, w: (p[:1], w[:1]), pf.Box([-1.0], [1.0]))
    >>> found = pf.verify(cut, budget=1.0)["well-defined"].counterexample
    >>> found.condition, len(found.measures) > 0, found.replay()
    ('well-defined', True, 'STILL FAILS')
    """

    condition: str
    operation: str
    measures: tuple[DiscreteMeasure, ...]
    numbers: dict[str, float]
    id: str
    snippet: str
    again: Callable[[], bool] | None = field(default=None, compare=False, repr=False)

    def replay(self) -> str:
        """Evaluate the stored measures again: `"STILL FAILS"` or `"FIXED"`.

        The search is not repeated: only this counterexample is.
        """
        if self.again is None:
            raise ValueError(
                f"counterexample {self.id} has lost its candidate; load it with a target, "
                "as in `pushforward replay`."
            )
        return "STILL FAILS" if self.again() else "FIXED"

    def to_dict(self) -> dict[str, Any]:
        """The counterexample as JSON-ready data; floats are exact in both directions."""
        return {
            "id": self.id,
            "condition": self.condition,
            "operation": self.operation,
            "measures": [
                {"points": np.asarray(m.points).tolist(), "weights": np.asarray(m.weights).tolist()}
                for m in self.measures
            ],
            "numbers": {name: _plain(value) for name, value in self.numbers.items()},
            "snippet": self.snippet,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one condition, its reason in one sentence, and the evidence.

    >>> Finding("B1", "tested", "No counterexample in 100 trials.", {"trials": 100}).verdict
    'tested'
    """

    condition: str
    verdict: str
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    counterexample: Counterexample | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}. Got {self.verdict!r}.")
        if (self.verdict == "refuted") != (self.counterexample is not None):
            raise ValueError("a finding is refuted exactly when it holds a counterexample.")

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "evidence": _plain(self.evidence),
            "counterexample": self.counterexample and self.counterexample.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of one `verify` call, with all that is needed to repeat it.

    >>> import pushforward as pf
    >>> stay = pf.InContextMap(lambda p, w, x: x, pf.Box([-1.0], [1.0]))
    >>> report = pf.verify(stay, conditions=["B1"], budget=1.0)
    >>> report.ok, list(report.conditions), report["B1"].verdict
    (True, ['well-defined', 'B1'], 'tested')
    """

    candidate: dict[str, Any]
    domain: str
    seed: int
    budget: str | float
    versions: dict[str, str]
    conditions: Mapping[str, Finding]

    def __getitem__(self, condition: str) -> Finding:
        if condition in self.conditions:
            return self.conditions[condition]
        known = condition in CONDITIONS
        raise KeyError(
            f"{condition!r} was not checked in this report; it holds {', '.join(self.conditions)}."
            if known
            else f"{condition!r} is no condition; expected one of {', '.join(CONDITIONS)}."
        )

    @property
    def ok(self) -> bool:
        """True when no condition is refuted."""
        return all(finding.verdict != "refuted" for finding in self.conditions.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "candidate": _plain(self.candidate),
            "domain": self.domain,
            "seed": self.seed,
            "budget": self.budget,
            "versions": self.versions,
            "conditions": {name: f.to_dict() for name, f in self.conditions.items()},
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text (schema `pushforward/report/1`), written to `path` if given."""
        text = json.dumps(self.to_dict(), indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML page with its pictures."""
        from .report import render_html

        Path(path).write_text(render_html(self), encoding="utf-8")

    def _repr_html_(self) -> str:
        from .report import render_html

        return render_html(self, page=False)

    def __str__(self) -> str:
        from .report import render_text

        return render_text(self)


def _plain(value: Any) -> Any:
    """JSON-ready data: records to objects, arrays to lists, infinities and NaN to their names."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
