"""Every wrong call is answered by ValueError or TypeError with one short sentence that says why."""

import json
import sys
import time
import traceback

import numpy as np
import pytest

import pushforward as pf
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    Scalar,
    SymbolicMap,
    VelocityField,
    dot,
    gibbs,
    integral,
)
from pushforward.verify.subject import Clock, Subject
from pushforward.verify.trials import affordable_sizes

POINTS = np.array([[0.0, 0.5], [0.25, -0.5]])
WEIGHTS = np.array([0.25, 0.75])
LINE = pf.Box([-1.0], [1.0])
MU = pf.DiscreteMeasure(POINTS, WEIGHTS)
x, y, z, mu = Point("x"), Point("y"), Point("z"), Measure("mu")
A, V = Matrix("A"), Matrix("V")
G = SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
FIELD = VelocityField(gibbs(y, y, mu, energy=dot(x, A @ y)), x, mu)
BOUND = G.bind(A=np.eye(2), V=np.eye(2))
GOOD = pf.InContextMap(lambda p, w, x: x, LINE)


def flow(**options):
    return FIELD.bind(A=np.eye(2)).flow(POINTS, WEIGHTS, 1.0, **({"steps": 2} | options))


# what is called, the exception, what its message must say
CALLS = {
    # measures
    "points that are no numbers": (lambda: pf.DiscreteMeasure([["a"]]), TypeError, "real numbers"),
    "complex points": (lambda: pf.DiscreteMeasure(POINTS * 1j), TypeError, "complex"),
    "ragged points": (lambda: pf.DiscreteMeasure([[1.0], [1.0, 2.0]]), ValueError, "rectangular"),
    "one row of points": (lambda: pf.DiscreteMeasure([1.0, 2.0]), ValueError, "points[:, None]"),
    "no atoms": (lambda: pf.DiscreteMeasure(np.zeros((0, 2))), ValueError, "at least one atom"),
    "no coordinates": (lambda: pf.DiscreteMeasure(np.zeros((2, 0))), ValueError, "coordinate"),
    "infinite point": (lambda: pf.DiscreteMeasure([[np.inf]]), ValueError, "infinity"),
    "negative weight": (lambda: pf.DiscreteMeasure(POINTS, [1, -1]), ValueError, "weights >= 0"),
    "no mass": (lambda: pf.DiscreteMeasure(POINTS, [0.0, 0.0]), ValueError, "positive"),
    "one weight too many": (lambda: pf.DiscreteMeasure(POINTS, [1, 1, 1]), ValueError, "(3,)"),
    "weights in a column": (lambda: pf.DiscreteMeasure(POINTS, [[1], [1]]), ValueError, "(2, 1)"),
    "weight that is NaN": (lambda: pf.DiscreteMeasure(POINTS, [1, np.nan]), ValueError, "NaN"),
    # domains
    "ball of no dimension": (lambda: pf.Ball(0), ValueError, "Ball(dim)"),
    "ball of half a dimension": (lambda: pf.Ball(2.5), (ValueError, TypeError), "Ball(dim)"),
    "ball of negative radius": (lambda: pf.Ball(2, -1.0), ValueError, "Ball(radius)"),
    "ball off centre": (lambda: pf.Ball(2, 1.0, [0.0]), ValueError, "Ball(center)"),
    "box upside down": (lambda: pf.Box([1.0], [0.0]), ValueError, "lower <= upper"),
    "box of two lengths": (lambda: pf.Box([0.0], [1.0, 1.0]), ValueError, "equal length"),
    "infinite box": (lambda: pf.Box([0.0], [np.inf]), ValueError, "finite"),
    "empty set": (lambda: pf.FiniteSet(np.zeros((0, 2))), ValueError, "FiniteSet"),
    "empty product": (lambda: pf.Product(), ValueError, "at least one domain"),
    "product of numbers": (lambda: pf.Product(1, 2), (ValueError, TypeError), "Product of domains"),
    # distances
    "distance of arrays": (lambda: pf.wasserstein(POINTS, MU), TypeError, "DiscreteMeasure"),
    "distance below p = 1": (lambda: pf.wasserstein(MU, MU, p=0.5), ValueError, "p"),
    "distance of order text": (lambda: pf.wasserstein(MU, MU, p="1"), TypeError, "exponent"),
    "distance across dimensions": (
        lambda: pf.wasserstein(MU, pf.DiscreteMeasure([[0.0]])), ValueError, "dimension"),
    "distance across masses": (
        lambda: pf.wasserstein(MU, pf.DiscreteMeasure(POINTS, [1.0, 1.0])), ValueError, "mass"),
    # candidates
    "a candidate without function": (lambda: pf.InContextMap(1, LINE), TypeError, "function"),
    "a candidate without domain": (lambda: pf.TokenMap(abs, 2), TypeError, "domain"),
    "a flow without field": (lambda: pf.Flow(abs, LINE, None), TypeError, "velocity field"),
    "a flow backwards": (lambda: pf.Flow(abs, LINE, abs, time=-1.0), ValueError, "time"),
    "a flow of order 0": (
        lambda: pf.Flow(abs, LINE, abs, claimed_order=0), ValueError, "claimed_order"),
    # verify
    "verify a function": (lambda: pf.verify(abs), TypeError, "InContextMap"),
    "verify an unbound map": (lambda: pf.verify(G), TypeError, "bind"),
    "verify without domain": (lambda: pf.verify(BOUND), ValueError, "domain"),
    "verify on a number": (lambda: pf.verify(BOUND, domain=2), (TypeError, ValueError), "domain"),
    "an unknown condition": (
        lambda: pf.verify(GOOD, conditions=["B3"]), ValueError, "B3"),
    "no condition": (lambda: pf.verify(GOOD, conditions=[]), ValueError, "condition"),
    "vlasov of no flow": (
        lambda: pf.verify(GOOD, conditions=["vlasov"]), ValueError, "vlasov"),
    "an unknown budget": (lambda: pf.verify(GOOD, budget="long"), ValueError, "budget"),
    "a budget of nothing": (lambda: pf.verify(GOOD, budget=0), ValueError, "budget"),
    "a budget without end": (lambda: pf.verify(GOOD, budget=np.inf), ValueError, "budget"),
    "a negative seed": (lambda: pf.verify(GOOD, seed=-1), ValueError, "seed"),
    "a seed that is text": (lambda: pf.verify(GOOD, seed="one"), (ValueError, TypeError), "seed"),
    "a function that always raises": (
        lambda: pf.verify(pf.InContextMap(lambda p, w, x: 1 / 0, LINE), budget=2),
        ValueError, "ZeroDivisionError"),
    "a function of other arguments": (
        lambda: pf.verify(pf.InContextMap(lambda p: p, LINE), budget=2), ValueError, "argument"),
    "a function of another shape": (
        lambda: pf.verify(pf.TokenMap(lambda p: p[:0], LINE), budget=2), ValueError, "shape"),
    "a function without columns": (
        lambda: pf.verify(pf.TokenMap(lambda p: p[:, :0], LINE), budget=2), ValueError, "(1, 0)"),
    "a function of complex numbers": (
        lambda: pf.verify(pf.TokenMap(lambda p: p + 0j, LINE), budget=2), ValueError, "complex128"),
    "a function that exits": (
        lambda: pf.verify(pf.TokenMap(lambda p: sys.exit(0), LINE), budget=2),
        ValueError, "SystemExit"),
    "a condition that is a number": (
        lambda: pf.verify(GOOD, conditions=3), TypeError, "conditions"),
    "a condition in two lists": (
        lambda: pf.verify(GOOD, conditions=[["B1"]]), ValueError, "conditions"),
    # formulas
    "a map of two measures": (
        lambda: SymbolicMap(integral(y, y, Measure("nu")), x, mu), ValueError, "nu"),
    "a map with a free point": (lambda: SymbolicMap(x + z, x, mu), ValueError, "z"),
    "a map that is a scalar": (lambda: SymbolicMap(dot(x, x), x, mu), TypeError, "vector"),
    "a name twice": (
        lambda: SymbolicMap(A @ x + Scalar("A") * x, x, mu), ValueError, "rename"),
    "a parameter too few": (lambda: G.bind(A=np.eye(2)), ValueError, "V"),
    "a parameter too many": (
        lambda: G.bind(A=np.eye(2), V=np.eye(2), B=np.eye(2)), ValueError, "B"),
    "a parameter of another shape": (
        lambda: G.bind(A=np.ones(3), V=np.eye(2)), (ValueError, TypeError), "A"),
    "a parameter that is NaN": (
        lambda: G.bind(A=np.full((2, 2), np.nan), V=np.eye(2)), ValueError, "A"),
    "shapes that do not fit": (
        lambda: G.bind(A=np.eye(2), V=np.eye(3))(POINTS, WEIGHTS, POINTS), ValueError, "3"),
    "code in another language": (lambda: G.code("fortran"), ValueError, "fortran"),
    "a derivative at a used point": (lambda: G.flat_derivative(x), ValueError, "already in use"),
    # evaluation
    "points of another dimension": (
        lambda: BOUND(np.ones((2, 3)), WEIGHTS, np.ones((1, 3))), ValueError, "3"),
    "queries of another dimension": (
        lambda: BOUND(POINTS, WEIGHTS, np.ones((1, 3))), ValueError, "3"),
    "weights of another length": (lambda: BOUND(POINTS, np.ones(3), POINTS), ValueError, "3"),
    "negative weights": (lambda: BOUND(POINTS, -WEIGHTS, POINTS), ValueError, "weights"),
    "NaN in points": (lambda: BOUND(POINTS * np.nan, WEIGHTS, POINTS), ValueError, "points"),
    "an unknown engine": (
        lambda: BOUND(POINTS, WEIGHTS, POINTS, engine="abacus"), ValueError, "abacus"),
    "an engine that is not here": (
        lambda: BOUND(POINTS, WEIGHTS, POINTS, engine="cuda"), ValueError, "cuda"),
    "an unknown type": (
        lambda: BOUND(POINTS, WEIGHTS, POINTS, dtype="float7"), (ValueError, TypeError), "float7"),
    "a point that is missing": (
        lambda: G.flat_derivative(z).bind(A=np.eye(2), V=np.eye(2))(POINTS, WEIGHTS, POINTS),
        ValueError, "z"),
    "a point that is not asked for": (
        lambda: BOUND(POINTS, WEIGHTS, POINTS, z=POINTS), (ValueError, TypeError), "z"),
    # flows
    "no steps": (lambda: flow(steps=0), ValueError, "steps"),
    "half a step": (lambda: flow(steps=1.5), (ValueError, TypeError), "steps"),
    "an unknown method": (lambda: flow(method="rk5"), ValueError, "rk5"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_says_what_is_wrong(name):
    call, exception, says = CALLS[name]
    with pytest.raises(exception) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert 10 < len(message) < 400 and "\n" not in message


def test_a_condition_not_run_is_said():
    report = pf.verify(GOOD, conditions=["well-defined"], budget=1)
    for name, says in (("vlasov", "was not checked"), ("B3", "no condition")):
        with pytest.raises(KeyError, match=says):
            report[name]


def test_a_budget_may_be_a_number_of_any_library():
    report = pf.verify(GOOD, budget=np.float32(0.5))
    assert json.loads(report.to_json())["budget"] == 0.5


def test_what_was_never_tried_is_undecided():
    report = pf.verify(GOOD, budget=1e-9)
    verdicts = {name: finding.verdict for name, finding in report.conditions.items()}
    assert verdicts["continuous"] == verdicts["B2"] == "undecided"
    assert report["well-defined"].evidence["independent draws"] >= 1  # come what may


def test_images_of_two_dimensions_are_no_map():
    torn = pf.InContextMap(lambda p, w, x: np.tile(x, (1, 1 + len(p) % 2)), LINE)
    report = pf.verify(torn, budget=1)
    assert report["well-defined"].verdict == "refuted"
    assert "dimension" in report["well-defined"].reason
    assert report["well-defined"].counterexample.replay() == "STILL FAILS"


def test_a_call_without_end_is_undecided_with_its_input():
    def fn(points, weights, x):
        while len(points) > 5:
            try:
                time.sleep(0.01)
            except BaseException:  # even where the function swallows what stops it
                if time.monotonic() - started < 3:
                    continue
                raise
        return x

    started = time.monotonic()
    report = pf.verify(pf.InContextMap(fn, LINE), budget=1)
    assert time.monotonic() - started < 6
    assert report["B2"].verdict == "undecided" and "outlived" in report["B2"].reason
    assert len(report["B2"].evidence["input"]) > 5


def test_an_interrupt_keeps_what_was_found():
    def fn(points, weights):
        if any("simplify" in frame.filename for frame in traceback.extract_stack()):
            raise KeyboardInterrupt
        return points[:1], weights[:1] / weights[:1].sum()

    report = pf.verify(pf.MeasureMap(fn, LINE), budget=2)
    assert report["well-defined"].verdict == "refuted"
    assert report["B2"].verdict == "not-applicable"


def _slow(fn, seconds=0.02):
    def waits(points):
        time.sleep(seconds)
        return fn(points)

    return pf.TokenMap(waits, pf.Box([-1.0], [1.0]))


def test_a_slow_map_is_tried_once_however_small_the_budget():
    report = pf.verify(_slow(lambda p: p - p.mean(0)), budget=0.05)
    assert report["well-defined"].evidence["independent draws"] >= 1
    assert report["well-defined"].verdict == "tested"
    assert "a call takes 0.0" in report["continuous"].reason


def test_a_slow_map_that_sums_is_refuted_by_its_first_trial():
    wrong = pf.verify(_slow(lambda p: p - p.sum(0)), conditions=["well-defined"], budget=0.05)
    assert wrong["well-defined"].verdict == "refuted"


def test_a_failure_met_while_the_time_of_calls_is_measured_counts():
    def fails_on_three(points, weights, x):
        if len(points) == 3:
            raise RuntimeError("three")
        return x

    subject = Subject(pf.InContextMap(fails_on_three, pf.Ball(2)))
    sizes, failed = affordable_sizes(subject, Clock(600.0), 0)
    assert failed is not None and "three" in failed.reason and 3 in sizes


def test_masked_entries_are_no_numbers():
    masked = pf.InContextMap(lambda p, w, x: np.ma.masked_greater(x, 0.9), LINE)
    finding = pf.verify(masked, conditions=["well-defined"], budget=10.0)["well-defined"]
    assert finding.verdict == "refuted" and "masked" in finding.reason
    nothing = pf.InContextMap(lambda p, w, x: np.ma.masked_array(x, mask=False), LINE)
    assert pf.verify(nothing, conditions=["well-defined"], budget=0.3).ok
