"""The pytest plugin of pushforward: an option and a marker.

pytest loads this module in every run, so it lies beside the package and does not import it: loading
`pushforward` here would cost time in runs that do not use it and hide it from coverage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

_runs: list[Any] = []  # the configurations of the pytest runs under way, the inner ones last
_tests: list[Any] = []  # the tests under way

OPTIONS = ("budget", "seed", "conditions")


def options() -> dict[str, Any]:
    """What the marker of the running test says, and over it the command line of this run."""
    marks = _tests[-1].iter_markers("pushforward") if _tests else ()
    found: dict[str, Any] = {}
    for mark in marks:  # the nearest first
        found = {**mark.kwargs, **found}
    if _runs and (budget := _runs[-1].getoption("--pushforward-budget")):
        found["budget"] = _read(budget)
    return found


def _read(budget: str) -> str | float:
    try:
        return float(budget)
    except ValueError:
        return budget


def pytest_addoption(parser: Any) -> None:
    parser.getgroup("pushforward").addoption(
        "--pushforward-budget",
        metavar="BUDGET",
        help="the budget of every assert_verified: quick, standard, thorough or a number of "
        "seconds, in place of the one written in the test",
    )


def pytest_configure(config: Any) -> None:
    config.addinivalue_line(
        "markers",
        "pushforward(budget=, seed=, conditions=): verifies a map between measures; select with "
        "-m pushforward; what is given here holds for every assert_verified of the test",
    )
    _runs.append(config)


def pytest_unconfigure(config: Any) -> None:
    if config in _runs:
        _runs.remove(config)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        for mark in item.iter_markers("pushforward"):
            unknown = [repr(name) for name in mark.kwargs if name not in OPTIONS]
            if mark.args or unknown:
                raise pytest.UsageError(
                    f"{item.nodeid}: pytest.mark.pushforward takes {', '.join(OPTIONS)} by name. "
                    f"Got {', '.join(unknown) or 'a positional argument'}."
                )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[None]:
    _tests.append(item)
    try:
        return (yield)
    finally:
        _tests.remove(item)
