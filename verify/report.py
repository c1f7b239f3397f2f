"""How a report is shown: as text, as one HTML page, and as JUnit XML.

The text is for a terminal and for `str(report)`. The page holds everything that the report knows,
with a picture of each counterexample, and loads nothing from elsewhere. The XML is for a CI server.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..numeric import DiscreteMeasure
from .findings import Counterexample, Finding, Report

_WIDTH = 100
_INDENT = 34
_ATOMS_SHOWN = 8


def render_text(report: Report) -> str:
    """The report as plain text of at most 100 columns: one row a condition, then what refutes."""
    lines = textwrap.wrap(_heading(report), _WIDTH, break_on_hyphens=False) + [""]
    for name, finding in report.conditions.items():
        lines += _condition_lines(name, finding)
    for conditions, found in _counterexamples(report):
        lines += ["", *_counterexample_lines(found, conditions)]
    return "\n".join([*lines, "", summary(report)])


def summary(report: Report) -> str:
    """How many conditions got which verdict, in one line, the worst first."""
    counts = Counter(finding.verdict for finding in report.conditions.values())
    order = ("refuted", "undecided", "proved", "certified", "tested", "not-applicable")
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if counts[verdict])


def render_html(report: Report, page: bool = True) -> str:
    """The report as one self-contained HTML page, or as a fragment for a notebook."""
    from .page import render  # drawing takes longer to import than all else here

    return render(report, page)


def describe(counterexample: Counterexample) -> str:
    """The counterexample alone as text: its measures, its numbers, its snippet, its replay line."""
    return "\n".join(_counterexample_lines(counterexample))


def _heading(report: Report) -> str:
    return (
        f"{title(report)} on {report.domain}, budget {report.budget}, seed {report.seed}, "
        f"pushforward {report.versions.get('pushforward', 'unknown')}"
    )


def title(report: Report) -> str:
    name, kind = report.candidate.get("name"), report.candidate.get("kind")
    return f"{name} ({kind})" if name and kind else str(name or kind or "candidate")


def _condition_lines(name: str, finding: Finding) -> list[str]:
    reason = textwrap.wrap(finding.reason, _WIDTH - _INDENT, break_on_hyphens=False) or [""]
    first = f"  {name:<14}{finding.verdict:<{_INDENT - 16}}{reason[0]}"
    return [first, *(" " * _INDENT + line for line in reason[1:])]


def _counterexamples(report: Report) -> list[tuple[str, Counterexample]]:
    """Each counterexample once, with the conditions that it refutes."""
    found: dict[str, tuple[list[str], Counterexample]] = {}
    for name, finding in report.conditions.items():
        if finding.counterexample is not None:
            one = finding.counterexample
            found.setdefault(one.id, ([], one))[0].append(name)
    return [(" and ".join(names), one) for names, one in found.values()]


def _counterexample_lines(found: Counterexample, refuted: str = "") -> list[str]:
    names = refuted or found.condition
    lines = [f"{names} {'are' if ' and ' in names else 'is'} refuted ({found.operation}) by:"]
    tables = atom_tables(found.measures, _ATOMS_SHOWN)
    for i, (measure, rows) in enumerate(zip(found.measures, tables, strict=True)):
        lines.append(f"  measure {i + 1} of {len(found.measures)}: {atoms(len(measure))}")
        lines += [f"    {weight} at {point}" for weight, point in rows]
        if len(measure) > len(rows):
            lines.append(f"    and {len(measure) - len(rows)} more")
    if found.numbers:
        listed = ", ".join(f"{label(key)} {number(value)}" for key, value in found.numbers.items())
        lines += textwrap.wrap(
            listed, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    code = textwrap.indent(found.snippet.strip("\n"), "    ")
    lines += ["  in NumPy:", *code.splitlines()]
    return [*lines, f"  again: pushforward replay {found.id}"]


def atom_tables(measures: Sequence[DiscreteMeasure], most: int) -> list[list[tuple[str, str]]]:
    """For each measure the weights and points of its first atoms, as text.

    Six digits are shown, or all of them where two measures would look the same.
    """

    def tables(show: Callable[[Any], str]) -> list[list[tuple[str, str]]]:
        return [
            [
                (show(weight), vector(point, show))
                for point, weight in zip(m.points[:most], m.weights[:most], strict=True)
            ]
            for m in measures
        ]

    short = tables(number)
    alike = any(one == other for one, other in combinations(short, 2))
    return tables(lambda value: repr(float(value))) if alike else short


def atoms(n: int) -> str:
    return "1 atom" if n == 1 else f"{n} atoms"


def vector(point: Sequence[float], show: Callable[[Any], str] | None = None) -> str:
    shown = [(show or number)(value) for value in point[:6]]
    return "(" + ", ".join([*shown, "..."] if len(point) > 6 else shown) + ")"


def number(value: object) -> str:
    """A number to read: integers as they are, floats by their shortest text or 6 digits."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        if abs(value) < 1e6 and value == int(value):
            return str(int(value))
        shortest = repr(float(value))
        return shortest if len(shortest) <= 9 else f"{float(value):.6g}"
    return str(value)


def label(key: object) -> str:
    return str(key).replace("_", " ")


def junit(report: Report) -> str:
    """The report as JUnit XML, a case a condition: `refuted` fails, undecided ones are skipped."""
    candidate, tally = _clean(title(report)), Counter()
    suite = ElementTree.Element("testsuite", name=f"pushforward {candidate}")
    for name, finding in report.conditions.items():
        case = ElementTree.SubElement(suite, "testcase", classname=candidate, name=name)
        reason = _clean(finding.reason)
        if finding.counterexample is not None:
            tally["failures"] += 1
            failure = ElementTree.SubElement(case, "failure", type="refuted", message=reason)
            failure.text = _clean(describe(finding.counterexample))
        elif finding.verdict in ("undecided", "not-applicable"):
            tally["skipped"] += 1
            ElementTree.SubElement(case, "skipped", message=f"{finding.verdict}: {reason}")
        else:
            ElementTree.SubElement(case, "system-out").text = f"{finding.verdict}: {reason}"
    counts = {"tests": len(report.conditions), "failures": 0, "errors": 0, "skipped": 0, **tally}
    suite.attrib.update({key: str(count) for key, count in counts.items()})
    root = ElementTree.Element("testsuites", suite.attrib)
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _clean(text: str) -> str:
    # XML 1.0 has no place for control characters, not even escaped.
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
