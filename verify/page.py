"""The HTML page of a report: verdicts, reasons, evidence as rows, counterexamples as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

import jinja2

from .findings import Counterexample, Finding, Report
from .pictures import curve_picture, measures_picture
from .report import atom_tables, atoms, label, number, summary, title, vector

MEANING = {
    "well-defined": "a function of the measure, not of the list of atoms",
    "continuous": "close measures have close images",
    "B1": "support-preserving: atoms move and merge, none splits",
    "B2": "the regular part of the derivative is uniformly continuous",
    "vlasov": "the flow solves the Vlasov equation of its field",
}
_ROWS_SHOWN = 24
_LONG = 40


def render(report: Report, page: bool) -> str:
    """The whole page, or its content alone."""
    page_file = files(__package__ or "pushforward.verify") / "report.html"
    source = page_file.read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["label"] = label
    about = report.to_dict()["candidate"]
    return environment.from_string(source).render(
        page=page,
        title=title(report),
        report=report,
        summary=summary(report),
        meaning=MEANING,
        findings=_finding_views(report),
        about=[(key, block(value)) for key, value in about.items() if value is not None],
    )


def _finding_views(report: Report) -> list[dict[str, object]]:
    """What the page shows of each finding; what two of them share is shown once and then named."""
    views, before = [], []
    for name, finding in report.conditions.items():
        views.append(_finding_view(name, finding, before))
        before.append((name, finding))
    return views


def _finding_view(
    name: str, finding: Finding, before: Sequence[tuple[str, Finding]]
) -> dict[str, object]:
    found, evidence = finding.counterexample, finding.to_dict()["evidence"]
    found_at = next((n for n, f in before if found and f.counterexample == found), None)
    evidence_at = next((n for n, f in before if f.to_dict()["evidence"] == evidence), None)
    found = None if found_at else found
    return {
        "name": name,
        "found_at": found_at,
        "evidence_at": evidence_at if evidence else None,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "evidence": block(evidence) if evidence and not evidence_at else None,
        "counterexample": found,
        "picture": found and measures_picture(found.measures, found.id),
        "tables": _atom_tables(found) if found else [],
        "numbers": [(key, number(value)) for key, value in found.numbers.items()] if found else [],
    }


def _atom_tables(found: Counterexample) -> list[dict[str, object]]:
    tables = atom_tables(found.measures, _ROWS_SHOWN)
    return [
        {"rows": rows, "more": len(measure) - len(rows)}
        for measure, rows in zip(found.measures, tables, strict=True)
    ]


def block(value: object) -> dict[str, object]:
    """What the page shows for evidence, as in JSON: text, rows, a table, a proof or a curve."""
    if _is_step(value):
        return _step(value)
    if isinstance(value, Mapping):
        rows = [(label(key), block(item)) for key, item in value.items()]
        return {"shape": "rows", "rows": rows}
    if isinstance(value, list):
        return _sequence(value)
    text = "none" if value is None else number(value)
    return {"shape": "lines" if "\n" in text else "text", "text": text}


def _is_step(value: object) -> bool:
    return isinstance(value, Mapping) and {"rule", "conclusion"} <= set(value)


def _step(value) -> dict[str, object]:
    step = {key: value.get(key) for key in ("rule", "conclusion", "source")}
    premises = [block(item) for item in value.get("premises", ())]
    return {"shape": "step", **step, "premises": premises}


def _sequence(items: Sequence) -> dict[str, object]:
    if _is_curve(items):
        rows = [vector(pair) for pair in items]
        return {"shape": "curve", "picture": curve_picture(items), "rows": rows}
    if items and all(isinstance(item, Mapping) and not _is_step(item) for item in items):
        return _records(items)
    if any(len(str(item)) > _LONG for item in items):
        return {"shape": "list", "items": [block(item) for item in items[:_ROWS_SHOWN]]}
    if all(not isinstance(item, (Mapping, list, tuple)) for item in items):
        shown = [number(item) for item in items[:_ROWS_SHOWN]]
        more = [f"and {len(items) - len(shown)} more"] if len(items) > len(shown) else []
        return {"shape": "text", "text": ", ".join(shown + more) or "none"}
    return {"shape": "list", "items": [block(item) for item in items[:_ROWS_SHOWN]]}


def _is_curve(items: Sequence) -> bool:
    pairs = all(isinstance(item, (list, tuple)) and len(item) == 2 for item in items)
    return len(items) >= 3 and pairs and all(isinstance(x, (int, float)) for p in items for x in p)


def _records(items: Sequence[Mapping]) -> dict[str, object]:
    items = [_with_clouds(item) for item in items]
    columns = list(dict.fromkeys(key for item in items for key in item))
    rows = [
        [_cell(item[key]) if key in item else None for key in columns]
        for item in items[:_ROWS_SHOWN]
    ]
    return {"shape": "table", "columns": [label(key) for key in columns], "rows": rows}


def _with_clouds(item: Mapping) -> dict[str, object]:
    """The record with `NAME points` and `NAME weights` as one entry, the measure NAME."""
    whole: dict[str, object] = {}
    for key, value in item.items():
        name, _, what = str(key).rpartition(" ")
        if what in ("points", "weights") and {f"{name} points", f"{name} weights"} <= set(item):
            whole[name] = _Cloud(item[f"{name} points"], item[f"{name} weights"])
        else:
            whole[key] = value
    return whole


class _Cloud(NamedTuple):
    points: Sequence
    weights: Sequence


def _cell(value: object) -> dict[str, object]:
    if not isinstance(value, _Cloud):
        return block(value)
    rows = [f"{number(w)} at {vector(p)}" for p, w in zip(*value, strict=True)]
    return {"shape": "cloud", "size": atoms(len(rows)), "rows": rows}
