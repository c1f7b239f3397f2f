"""Verify a map inside a pytest run: `assert_verified`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import _pushforward_pytest


class NotVerified(AssertionError):
    """A condition is refuted or undecided; the message is what a report says of it."""


def assert_verified(
    candidate: Any,
    conditions: Sequence[str] | None = None,
    budget: str | float = "quick",
    **options: Any,
) -> Any:
    """Verify a candidate and fail with the counterexample if a condition does not hold.

    `pytest --pushforward-budget=thorough` overrides `budget` in all tests of the run.

    Args:
        candidate: what `pushforward.verify` takes.
        conditions: those that must hold, as in `["B1"]`; None for all that apply. A condition that
            is refuted, undecided or not applicable fails the test.
        budget: "quick", "standard", "thorough" or a number of seconds.
        options: `domain`, `seed`, `client` of `pushforward.verify`.

    Returns:
        The report.

    Raises:
        NotVerified: an AssertionError whose message is the counterexample, as NumPy code.

    >>> import pushforward as pf
    >>> pull = pf.InContextMap(lambda p, w, x: x + w @ p / 2, pf.Box([-1.0], [1.0]))
    >>> assert_verified(pull, conditions=["well-defined"], budget=2).ok
    True
    """
    __tracebackhide__ = True
    import pushforward

    given = _pushforward_pytest.budget()
    report = pushforward.verify(
        candidate, conditions=conditions, budget=_read(given) if given else budget, **options
    )
    failing = [
        finding
        for name, finding in report.conditions.items()
        if finding.verdict in ("refuted", "undecided", "not-applicable")
        and (conditions is None or name in conditions or finding.verdict == "refuted")
    ]
    if failing:
        raise NotVerified(_explain(report, failing))
    return report


def _read(budget: str) -> str | float:
    return float(budget) if budget.replace(".", "", 1).isdigit() else budget


def _explain(report: Any, failing: Sequence[Any]) -> str:
    from pushforward.verify.report import describe, title

    lines = [f"{title(report)} on {report.domain}"]
    for finding in failing:
        lines.append(f"{finding.condition} is {finding.verdict}: {finding.reason}")
        if finding.counterexample is not None:
            lines.append(describe(finding.counterexample))
    return "\n".join(lines)
