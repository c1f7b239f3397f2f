"""The modulus of continuity that a report shows is a lower bound of the true one."""

import numpy as np
import pytest

import pushforward as pf
from pushforward.verify.modulus import Modulus


def seen(shift, condition):
    line = pf.Box([-1.0], [1.0])
    candidate = pf.InContextMap(lambda p, w, x: x + shift(w @ p / w.sum()), line)
    return pf.verify(candidate, budget=3, conditions=condition)[condition].evidence


@pytest.mark.parametrize(
    ("condition", "constant"), [("continuous", 4.0), ("B2", 3.0)], ids=["continuous", "B2"]
)
def test_lipschitz_constants_are_reached_from_below(condition, constant):
    # f moves x by the shift too: its constant in W1 is 1 + 3; that of G in the measure is 3
    evidence = seen(lambda m: 3 * m, condition)
    lower = evidence["Lipschitz constant, seen at least"]
    assert 0.5 * constant < lower <= constant * (1 + 1e-6)
    curve = evidence["modulus of continuity (distance, largest change seen)"]
    assert all(change <= constant * distance * (1 + 1e-6) for distance, change in curve)
    assert [change for _, change in curve] == sorted(change for _, change in curve)


def test_worst_pairs_show_their_change():
    evidence = seen(lambda m: np.abs(m) ** 0.5, "continuous")
    for pair in evidence["worst pairs"]:
        images = []
        for name in ("first", "second"):
            points, weights = np.array(pair[f"{name} points"]), np.array(pair[f"{name} weights"])
            mean = weights @ points / weights.sum()
            images.append(pf.DiscreteMeasure(points + np.abs(mean) ** 0.5, weights))
        assert float(pf.wasserstein(*images)) <= pair["change"] * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_exponents_of_powers(power):
    modulus = Modulus(1e-9)
    for distance in np.geomspace(1e-6, 1, 40):
        modulus.add(distance, distance**power, lambda: ((None, [1]), (None, [1])))
    assert modulus.exponent() == pytest.approx(power, abs=0.02)


def test_nothing_is_said_of_changes_below_rounding():
    modulus = Modulus(1e-6)
    modulus.add(0.1, 1e-9, lambda: None)
    assert modulus.evidence() == {} and modulus.exponent() is None
