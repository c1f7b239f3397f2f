"""The pytest plugin of pushforward: an option and a marker.

pytest loads this module in every run, so it lies beside the package and does not import it: loading
`pushforward` here would cost time in runs that do not use it and hide it from coverage.
"""

from __future__ import annotations

from typing import Any

_chosen: dict[str, str] = {}


def budget() -> str | None:
    """The budget given on the command line of this pytest run, or None."""
    return _chosen.get("budget")


def pytest_addoption(parser: Any) -> None:
    parser.getgroup("pushforward").addoption(
        "--pushforward-budget",
        metavar="BUDGET",
        help="the budget of every assert_verified: quick, standard, thorough or a number of "
        "seconds, in place of the one written in the test",
    )


def pytest_configure(config: Any) -> None:
    config.addinivalue_line(
        "markers", "pushforward: verifies a map between measures; select with -m pushforward"
    )
    if chosen := config.getoption("--pushforward-budget"):
        _chosen["budget"] = chosen


def pytest_unconfigure(config: Any) -> None:
    _chosen.clear()
