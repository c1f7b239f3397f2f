"""Verify a map inside a pytest run: `assert_verified`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import _pushforward_pytest


class NotVerified(AssertionError):
    """A condition is refuted or undecided; the message is what a report says of it."""


def assert_verified(
    candidate: Any,
    conditions: Iterable[str] | None = None,
    budget: str | float = "quick",
    **options: Any,
) -> Any:
    """Verify a candidate and fail with the counterexample if a condition does not hold.

    `@pytest.mark.pushforward(budget="standard", seed=1)` on a test, a class or a module holds for
    the calls in it, whatever they say themselves, and `pytest --pushforward-budget=thorough` for
    all tests of the run.

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
        ValueError, TypeError: a wrong call, or a function that fails on every input.

    >>> import pushforward as pf
    >>> pull = pf.InContextMap(lambda p, w, x: x + w @ p / 2, pf.Box([-1.0], [1.0]))
    >>> assert_verified(pull, conditions=["well-defined"], budget=2).ok
    True
    """
    __tracebackhide__ = True
    import pushforward

    asked = {"conditions": conditions, "budget": budget, **options, **_pushforward_pytest.options()}
    names = asked["conditions"]
    if names is not None:
        asked["conditions"] = names = [names] if isinstance(names, str) else list(names)
    try:
        report = pushforward.verify(candidate, **asked)
    except (ValueError, TypeError) as error:
        raise type(error)(str(error)) from None  # a wrong call: the test shows where, not verify
    failing = [
        finding
        for name, finding in report.conditions.items()
        if finding.verdict in ("refuted", "undecided", "not-applicable")
        and (names is None or name in names or finding.verdict == "refuted")
    ]
    if failing:
        raise NotVerified(_explain(report, failing))
    return report


def _explain(report: Any, failing: Sequence[Any]) -> str:
    from pushforward.verify.report import describe, title

    lines = [f"{title(report)} on {report.domain}"]
    if any(finding.verdict == "refuted" for finding in failing):
        failing = [finding for finding in failing if finding.verdict != "not-applicable"]
    shown: set[str] = set()
    for finding in failing:
        lines.append(f"{finding.condition} is {finding.verdict}: {finding.reason}")
        found = finding.counterexample
        if found is not None and found.id not in shown:  # one may refute several conditions
            shown.add(found.id)
            lines.append(describe(found))
    return "\n".join(lines)
