"""The checkers decide maps that lie just on either side of a line, and never refute a good one."""

import pytest
from borderline import BAD, GOOD, SLOW

import pushforward as pf


def kinds(report):
    passing = {"proved": "pass", "tested": "pass"}
    return {name: passing.get(f.verdict, f.verdict) for name, f in report.conditions.items()}


def some_slow(cases):
    slow = pytest.mark.slow
    return [pytest.param(case, id=case.name, marks=[slow] * (case.name in SLOW)) for case in cases]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", some_slow(GOOD))
def test_good_maps_are_not_refuted(case, seed):
    report = pf.verify(case.candidate, budget=1.5, seed=seed)
    assert report.ok, str(report)


@pytest.mark.parametrize("case", some_slow(BAD))
def test_violations_are_found_and_replay(case):
    report = pf.verify(case.candidate, budget="standard", seed=0)
    assert kinds(report) == case.expected, str(report)
    for finding in report.conditions.values():
        if finding.counterexample is not None:
            assert finding.counterexample.replay() == "STILL FAILS"


def test_a_mended_map_is_fixed():
    from pushforward.verify.reevaluate import reevaluate

    torn = pf.InContextMap(lambda p, w, x: x + (w @ p > 0.2), pf.Box([-1.0], [1.0]))
    mended = pf.InContextMap(lambda p, w, x: x + (w @ p - 0.2), pf.Box([-1.0], [1.0]))
    found = pf.verify(torn, conditions="continuous", budget="quick")["continuous"].counterexample
    assert reevaluate(torn, found) and not reevaluate(mended, found)


def test_counterexamples_are_simple():
    shifted = pf.TokenMap(lambda p: p + [[i / 10] for i in range(len(p))], pf.Box([-1.0], [1.0]))
    found = pf.verify(shifted, budget="quick")["well-defined"].counterexample
    assert len(found.measures[0]) <= 2
    assert all(float(8 * p).is_integer() for p in found.measures[0].points[:, 0])
