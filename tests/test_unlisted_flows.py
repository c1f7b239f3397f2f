"""Flows that the checks of `vlasov` were not written for: wrong ones fail, right ones do not."""

import numpy as np
import pytest
from test_solving import (
    DISC,
    PHASE,
    SCORE,
    SPHERE,
    VALUE,
    euler,
    heun,
    judged,
    normalised,
    rk4,
    softmax,
    swarm,
    tangent,
)

import pushforward as pf
from pushforward.numeric import integrate

WITH_LOG_DENSITY = pf.Product(pf.Ball(2), pf.Box([-1.0], [1.0]))
STRETCH = np.diag([0.5, 0.8])


def lagged(p, w, time, steps):
    """Runge-Kutta in which the others stay where they were at the start of the step."""
    for _ in range(steps):
        others = p
        p = rk4(lambda q, w, x, o=others: swarm(o, w, x))(p, w, time / steps, 1)
    return p


def drifting(p, w, time, steps):
    for _ in range(steps):
        p = rk4(softmax)(p, w, time / steps, 1) + 0.01 * time / steps
    return p


def geodesic(x, u):
    size = np.linalg.norm(u, axis=1, keepdims=True)
    moved = np.cos(size) * x + np.sinc(size / np.pi) * u
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def geodesic_euler(p, w, time, steps):
    for _ in range(steps):
        p = geodesic(p, time / steps * tangent(p, w, p))
    return p


def uncorrected(p, w, time, steps):
    """Runge-Kutta along geodesics, velocities only projected to the tangent space at the start."""
    h = time / steps
    for _ in range(steps):

        def slope(u, p=p):
            there = geodesic(p, u)
            v = tangent(there, w, there)
            return v - np.sum(v * p, axis=1, keepdims=True) * p

        k1 = slope(0 * p)
        k2 = slope(h / 2 * k1)
        k3 = slope(h / 2 * k2)
        p = geodesic(p, h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(h * k3)))
    return p


def with_density(sign):
    """Attention, and the logarithm of the density along the characteristics: `-div V`."""

    def attention(p, w, x):
        return softmax(p, w, x, 1.0, SCORE, STRETCH)

    def field(p, w, z):
        p, x, h = p[:, :2], z[:, :2], 1e-5
        sides = ((attention(p, w, x + h * e) - attention(p, w, x - h * e)) for e in np.eye(2))
        divergence = sum(side[:, i] for i, side in enumerate(sides)) / (2 * h)
        return np.column_stack([attention(p, w, x), sign * divergence])

    return field


def without_self(p, w, time, steps):
    def field(p, w, x):
        k = w * np.exp(x @ SCORE @ p.T) * (1 - np.eye(len(p)) if len(p) > 1 else 1.0)
        return k @ p @ VALUE.T / k.sum(1, keepdims=True)

    return rk4(field)(p, w, time, steps)


def shifted(c):
    return lambda p, w, x: softmax(p, w, x) + c * x


def relaxing(rate):
    return lambda p, w, x: rate * (w @ p - x)


def two_scales(p, w, x):
    return np.column_stack([-400 * (x[:, 0] - (w @ p)[1]), -x[:, 1]])


def backward_euler(p, w, time, steps):
    for _ in range(steps):
        mean = w @ p
        p = mean + (p - mean) / (1 + 50 * time / steps)
    return p


def strang(p, w, time, steps):
    h = time / steps
    for _ in range(steps):
        q, v = p[:, :2] + h / 2 * p[:, 2:], p[:, 2:]
        half = np.column_stack([q, v])
        half = np.column_stack([q, v + h / 2 * swarm(half, w, half)[:, 2:]])
        v = v + h * swarm(half, w, half)[:, 2:]
        p = np.column_stack([q + h / 2 * v, v])
    return p


def adams_bashforth(p, w, time, steps):
    h, slopes = time / steps, []
    for k in range(steps):
        slopes.append(softmax(p, w, p))
        if k < 3:
            p = rk4(softmax)(p, w, h, 1)
        else:
            a, b, c, d = slopes[:-5:-1]
            p = p + h / 24 * (55 * a - 59 * b + 37 * c - 9 * d)
    return p


def extrapolated(p, w, time, steps):
    return 2 * euler(softmax)(p, w, time, 2 * steps) - euler(softmax)(p, w, time, steps)


def squares(p, w, x):
    return 3 * (w @ p**2) * x


def gravity(p, w, z):
    gap = p[None, :, :2] - z[:, None, :2]
    pull = (np.sum(gap**2, axis=2) + 1e-3) ** -1.5
    return np.column_stack([z[:, 2:], np.einsum("j,ij,ijk->ik", w, pull, gap)])


def hot(p, w, x):
    return softmax(p, w, x, 10.0)


WRONG = {
    "the time is ignored": pf.Flow(lambda p, w, t, n: rk4(softmax)(p, w, 1.0, n), DISC, softmax),
    "odd numbers of steps": pf.Flow(
        lambda p, w, t, n: rk4(softmax)(p, w, 0.9 * t if n % 2 and n > 1 else t, n), DISC, softmax
    ),
    "another clock": pf.Flow(lambda p, w, t, n: rk4(softmax)(p, w, t**1.5, n), DISC, softmax),
    "the sign of a small term": pf.Flow(rk4(shifted(0.02)), DISC, shifted(-0.02)),
    "one percent of temperature": pf.Flow(
        rk4(lambda p, w, x: softmax(p, w, x, 1.01)), DISC, softmax, claimed_order=4
    ),
    "coupling that lags, claiming 4": pf.Flow(lagged, PHASE, swarm, claimed_order=4),
    "coupling that lags, claiming 2": pf.Flow(lagged, PHASE, swarm, claimed_order=2),
    "a drift in each step": pf.Flow(drifting, DISC, softmax, claimed_order=4),
    "projected Euler claiming 4": pf.Flow(
        normalised(euler(tangent)), SPHERE, tangent, claimed_order=4
    ),
    "geodesics without correction": pf.Flow(uncorrected, SPHERE, tangent, claimed_order=4),
    "the sign of the divergence": pf.Flow(rk4(with_density(1)), WITH_LOG_DENSITY, with_density(-1)),
    "without oneself": pf.Flow(without_self, DISC, softmax, claimed_order=4),
    "backwards": pf.Flow(lambda p, w, t, n: rk4(softmax)(p, w, -t, n), DISC, softmax),
}
RIGHT = {
    "stiff, Runge-Kutta": pf.Flow(rk4(relaxing(100)), DISC, relaxing(100), claimed_order=4),
    "stiff, Heun": pf.Flow(heun(relaxing(60)), DISC, relaxing(60), claimed_order=2),
    "stiff, Euler": pf.Flow(euler(relaxing(150)), DISC, relaxing(150), claimed_order=1),
    "stiff, implicit": pf.Flow(backward_euler, DISC, relaxing(50), claimed_order=1),
    "two scales": pf.Flow(rk4(two_scales), DISC, two_scales, claimed_order=4),
    "splitting": pf.Flow(strang, PHASE, swarm, claimed_order=2),
    "several steps": pf.Flow(adams_bashforth, DISC, softmax, claimed_order=4),
    "extrapolated": pf.Flow(extrapolated, DISC, softmax, claimed_order=2),
    "better than claimed": pf.Flow(rk4(softmax), DISC, softmax, claimed_order=1),
    "near a blow-up": pf.Flow(rk4(squares), pf.Ball(1), squares, claimed_order=4, time=0.15),
    "a small field": pf.Flow(
        rk4(lambda p, w, x: 1e-9 * softmax(p, w, x)), DISC,
        lambda p, w, x: 1e-9 * softmax(p, w, x), claimed_order=4,
    ),
    "few large steps": pf.Flow(
        lambda p, w, t, n: rk4(softmax)(p, w, t, max(1, n // 4)), DISC, softmax, claimed_order=4
    ),
    "on the sphere": pf.Flow(
        lambda p, w, t, n: integrate(tangent, p, w, t, n, domain=SPHERE), SPHERE, tangent,
        claimed_order=4,
    ),
    "geodesic Euler": pf.Flow(geodesic_euler, SPHERE, tangent, claimed_order=1),
    "a density": pf.Flow(rk4(with_density(-1)), WITH_LOG_DENSITY, with_density(-1)),
    "close encounters": pf.Flow(rk4(gravity), PHASE, gravity, claimed_order=4, time=3.0),
    "steep and long": pf.Flow(rk4(hot), DISC, hot, claimed_order=4, time=10.0),
}  # fmt: skip
QUICK = ("the time is ignored", "odd numbers of steps", "stiff, Euler", "few large steps")


def mostly_slow(names):
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.parametrize("name", mostly_slow(WRONG))
def test_wrong_flows_are_refuted(name):
    assert any(violation is not None for _, violation in judged(WRONG[name], 2)), name


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("name", mostly_slow(RIGHT))
def test_right_flows_are_not_refuted(name):
    found = list(judged(RIGHT[name], 2 if name in QUICK else 4))
    assert found
    for run, violation in found:
        assert violation is None, (name, violation.sentence, run.errors)


@pytest.mark.slow
def test_what_is_found_at_an_earlier_time_replays():
    found = pf.verify(WRONG["the time is ignored"], conditions=["vlasov"], budget=30.0)["vlasov"]
    assert found.verdict == "refuted" and found.counterexample.numbers["time"] < 1
    assert found.counterexample.replay() == "STILL FAILS"
