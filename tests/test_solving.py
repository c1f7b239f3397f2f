"""The condition `vlasov` on flows outside the catalogue: right ones pass, wrong ones fail."""

import numpy as np
import pytest

import pushforward as pf
from pushforward.numeric import integrate
from pushforward.symbolic import VelocityField, library
from pushforward.verify.identities import identities
from pushforward.verify.noise import Noise, measure_noise
from pushforward.verify.solving import HORIZONS, Run, _measure, _solution, judge, own_accuracy
from pushforward.verify.subject import Clock, Subject

SCORE = np.array([[1.0, 0.5], [-0.5, 1.0]])
VALUE = np.array([[-0.4, 0.8], [-0.8, -0.4]])
DISC, SPHERE, PHASE = pf.Ball(2), pf.Sphere(3), pf.Product(pf.Ball(2), pf.Ball(2))


def softmax(p, w, x, beta=1.0, score=SCORE, value=VALUE):
    s = beta * x @ score @ p.T
    k = w * np.exp(s - s.max(1, keepdims=True))
    return k @ p @ value.T / k.sum(1, keepdims=True)


def steep(p, w, x):
    return softmax(p, w, x, 50.0)


def kinked(p, w, x):
    return np.maximum(x @ np.array([[1.0, 2.0], [-1.0, 1.0]]) + 0.1, 0) - x + 0.5 * (w @ p)


def hard_radius(p, w, x):
    near = np.linalg.norm(x[:, None] - p, axis=2) < 0.7
    return np.einsum("j,ij,ijk->ik", w, near, p - x[:, None])


def ambient(p, w, x):
    return softmax(p, w, x, 3.0, np.eye(3), np.array([[0.5, 1, 0], [-1, 0.5, 0], [0, 0.3, 1]]))


def tangent(p, w, x):
    v = ambient(p, w, x)
    return v - np.sum(v * x, axis=1, keepdims=True) * x


def swarm(p, w, z):
    square = np.sum((z[:, None, :2] - p[:, :2]) ** 2, axis=2)
    pull = np.einsum("j,ij,ijk->ik", w, 1 / (1 + square), p[:, 2:] - z[:, None, 2:])
    return np.concatenate([z[:, 2:], pull], axis=1)


def consensus(p, w, x):
    return w @ p - x


def rk4(field):
    def flow(p, w, time, steps):
        h = time / steps
        for _ in range(steps):
            k1 = field(p, w, p)
            q = p + h / 2 * k1
            k2 = field(q, w, q)
            q = p + h / 2 * k2
            k3 = field(q, w, q)
            q = p + h * k3
            p = p + h / 6 * (k1 + 2 * k2 + 2 * k3 + field(q, w, q))
        return p

    return flow


def euler(field):
    def flow(p, w, time, steps):
        for _ in range(steps):
            p = p + time / steps * field(p, w, p)
        return p

    return flow


def heun(field):
    def flow(p, w, time, steps):
        h = time / steps
        for _ in range(steps):
            k = field(p, w, p)
            q = p + h * k
            p = p + h / 2 * (k + field(q, w, q))
        return p

    return flow


def single(flow):
    return lambda p, w, time, steps: flow(
        p.astype("f"), w.astype("f"), np.float32(time), steps
    ).astype("f")


def normalised(flow):
    def on_sphere(p, w, time, steps):
        for _ in range(steps):
            p = flow(p, w, time / steps, 1)
            p = p / np.linalg.norm(p, axis=1, keepdims=True)
        return p

    return on_sphere


def loose(field, rtol):
    return lambda p, w, time, steps: integrate(
        field, p, w, time, 8, "dopri5", rtol=rtol, atol=rtol / 100
    )


def exactly(p, w, time, steps):
    return w @ p + (p - w @ p) * np.exp(-time)


def frozen(p, w, time, steps):
    """Runge-Kutta with the attention matrix computed once a step."""
    for _ in range(steps):
        k = w * np.exp(p @ SCORE @ p.T)
        k /= k.sum(1, keepdims=True)
        p = rk4(lambda q, w, x, k=k: k @ q @ VALUE.T)(p, w, time / steps, 1)
    return p


def uncoupled(p, w, time, steps):
    start = p
    return rk4(lambda q, w, x: softmax(start, w, x))(p, w, time, steps)


def lopsided(p, w, time, steps):
    """Runge-Kutta with two wrong weights: of order two only."""
    h = time / steps
    for _ in range(steps):
        k1 = softmax(p, w, p)
        q = p + h / 2 * k1
        k2 = softmax(q, w, q)
        q = p + h / 2 * k2
        k3 = softmax(q, w, q)
        q = p + h * k3
        p = p + h / 6 * (k1 + 3 * k2 + k3 + softmax(q, w, q))
    return p


RIGHT = {
    "Heun": pf.Flow(heun(softmax), DISC, softmax, claimed_order=2),
    "Heun, steep": pf.Flow(heun(steep), DISC, steep, claimed_order=2),
    "Runge-Kutta, steep": pf.Flow(rk4(steep), DISC, steep, claimed_order=4),
    "Runge-Kutta, steep and long": pf.Flow(rk4(steep), DISC, steep, claimed_order=4, time=5.0),
    "Euler, steep": pf.Flow(euler(steep), DISC, steep, claimed_order=1),
    "float32": pf.Flow(single(rk4(softmax)), DISC, softmax, claimed_order=4),
    "float32, steep": pf.Flow(single(rk4(steep)), DISC, steep, claimed_order=4),
    "float32 Euler": pf.Flow(single(euler(softmax)), DISC, softmax, claimed_order=1),
    "a field with kinks": pf.Flow(rk4(kinked), DISC, kinked, claimed_order=4),
    "a field with jumps": pf.Flow(rk4(hard_radius), DISC, hard_radius, claimed_order=4),
    "adaptive": pf.Flow(loose(softmax, 1e-3), DISC, softmax),
    "adaptive and careless": pf.Flow(loose(softmax, 1e-2), DISC, softmax),
    "tangent": pf.Flow(rk4(tangent), SPHERE, tangent, claimed_order=4),
    "normalised": pf.Flow(normalised(rk4(tangent)), SPHERE, tangent, claimed_order=4),
    "projected": pf.Flow(normalised(euler(ambient)), SPHERE, ambient, claimed_order=1),
    "leaving the sphere": pf.Flow(rk4(ambient), SPHERE, ambient, claimed_order=4),
    "a swarm": pf.Flow(rk4(swarm), PHASE, swarm, claimed_order=4),
    "exact": pf.Flow(exactly, DISC, consensus, claimed_order=4),
    "at rest": pf.Flow(lambda p, w, t, n: p, DISC, lambda p, w, x: 0 * x, claimed_order=4),
}

WRONG = {
    "frozen, claiming 4": (pf.Flow(frozen, DISC, softmax, claimed_order=4), "order"),
    "frozen, claiming 2": (pf.Flow(frozen, DISC, softmax, claimed_order=2), "order"),
    "frozen in float32": (pf.Flow(single(frozen), DISC, softmax, claimed_order=4), "order"),
    "two wrong weights": (pf.Flow(lopsided, DISC, softmax, claimed_order=4), "order"),
    "Heun claiming 3": (pf.Flow(heun(softmax), DISC, softmax, claimed_order=3), "order"),
    "Euler claiming 2": (pf.Flow(euler(swarm), PHASE, swarm, claimed_order=2), "order"),
    "a step too far": (
        pf.Flow(
            lambda p, w, t, n: rk4(softmax)(p, w, t * (n + 1) / n, n), DISC, softmax,
            claimed_order=4,
        ),
        "order",
    ),  # fmt: skip
    "uncoupled": (pf.Flow(uncoupled, DISC, softmax), "residual"),
    "another temperature": (
        pf.Flow(rk4(lambda p, w, x: softmax(p, w, x, 1.05)), DISC, softmax), "residual"
    ),
    "half the time": (
        pf.Flow(lambda p, w, t, n: rk4(softmax)(p, w, t / 2, n), DISC, softmax), "residual"
    ),
    "adaptive, off by a tenth": (
        pf.Flow(loose(lambda p, w, x: 1.2 * softmax(p, w, x), 1e-6), DISC, softmax), "residual"
    ),
    "off on the sphere": (
        pf.Flow(normalised(rk4(ambient)), SPHERE, lambda p, w, x: 1.05 * tangent(p, w, x)),
        "residual",
    ),
    "equal weights": (
        pf.Flow(rk4(lambda p, w, x: softmax(p, np.full(len(p), 1 / len(p)), x)), DISC, softmax),
        "residual",
    ),
}  # fmt: skip


def judged(flow, trials):
    subject = Subject(flow)
    noise = measure_noise(subject, 0, Clock(20.0))
    accuracy = own_accuracy(subject, 0) / 100
    noise = Noise(max(noise.value, accuracy), noise.scale, noise.diameter, noise.precision)
    rng = np.random.default_rng([0, 14])
    for trial in range(trials):
        time = flow.time * HORIZONS[trial]
        found = judge(subject, noise, _measure(subject, rng, trial), Clock(20.0), time)
        if found is not None:
            yield found


@pytest.mark.parametrize("trials", [1, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", RIGHT)
def test_right_flows_are_not_refuted(name, trials):
    found = list(judged(RIGHT[name], trials))
    assert found
    for run, violation in found:
        assert violation is None, (name, violation.sentence, run.errors)


COMMON = ("frozen, claiming 4", "frozen in float32", "uncoupled", "another temperature")


@pytest.mark.parametrize(
    "name",
    [n if n in COMMON else pytest.param(n, marks=pytest.mark.slow) for n in WRONG],
)
def test_wrong_flows_are_refuted(name):
    flow, operation = WRONG[name]
    found = [violation for _, violation in judged(flow, 1) if violation is not None]
    assert found and found[0].operation == operation


def test_orders_are_observed():
    for flow, order in ((heun, 2), (rk4, 4), (euler, 1)):
        (run,) = (run for run, _ in judged(pf.Flow(flow(softmax), DISC, softmax), 1))
        assert run.order() == pytest.approx(order, abs=0.1)
    adaptive = [run for run, _ in judged(RIGHT["adaptive"], 1)]
    assert all(run.order() is None and run.ignores_steps for run in adaptive)


def run_of(errors, floor=1e-12):
    errors = np.array(errors)
    steps = 4 * 2 ** np.arange(len(errors))
    return Run(steps, errors, np.abs(np.diff(errors)), 1.0, floor)


def test_slopes_that_still_rise_are_no_lack():
    rising = 2.0 ** -np.cumsum([0, 1.0, 1.9, 2.6, 3.1, 3.4, 3.6])
    assert not run_of(rising).lacks(4)
    assert run_of(2.0 ** -np.arange(7.0)).lacks(2)
    assert not run_of(2.0 ** -np.arange(7.0)).lacks(1)
    # Stagnation on the rounding of the map is no order at all.
    flat = run_of([1e-4, 6e-6, 4e-7, 1e-7, 1e-7, 1e-7, 1e-7])
    assert not flat.lacks(4)


@pytest.mark.slow
def test_the_report_of_a_flow():
    field = VelocityField(library.softmax_attention().term, library.X, library.MU)
    bound = field.bind(A=SCORE, V=VALUE)
    subject = Subject(pf.Flow(rk4(softmax), DISC, bound, claimed_order=4))
    rng = np.random.default_rng(0)
    atoms = DISC.sample(rng, 4), rng.dirichlet(np.ones(4))
    noise = Noise(1e-15, 1.0, 2.0, "float64")
    found = identities(_solution(subject), atoms, noise, Clock(60.0))
    for name in ("weak residual", "semigroup", "equivariance", "volume", "reversal"):
        assert found[name] < 1e-7, name
    assert found["weak residual, rate"] == pytest.approx(4, abs=0.2)
    assert found["linearised equation"] < 1e-4
    assert found["symmetries"] == ["reflection in the origin", "rotations"]
    measured, slopes = "growth of distances, measured", "slopes along the trajectory, measured"
    assert found[measured] <= found[slopes] + 1e-3
    assert found[slopes] <= found["growth of distances, proved"]


def test_identities_tell_wrong_flows():
    rng = np.random.default_rng(0)
    atoms = DISC.sample(rng, 4), rng.dirichlet(np.ones(4))
    noise = Noise(1e-15, 1.0, 2.0, "float64")
    found = identities(
        _solution(Subject(pf.Flow(uncoupled, DISC, softmax))), atoms, noise, Clock(60.0)
    )
    assert found["weak residual"] > 1e-3 and abs(found["weak residual, rate"]) < 0.1
    assert found["semigroup"] > 1e-2


@pytest.mark.slow
def test_energies_and_conserved_means():
    bound = library.consensus().bind()
    rng = np.random.default_rng(0)
    atoms = DISC.sample(rng, 4), rng.dirichlet(np.ones(4))
    noise = Noise(1e-15, 1.0, 2.0, "float64")

    def evidence(flow):
        return identities(_solution(Subject(pf.Flow(flow, DISC, bound))), atoms, noise, Clock(60.0))

    right, wrong = evidence(rk4(consensus)), evidence(rk4(lambda p, w, x: 0.9 * w @ p - 0.8 * x))
    assert right["energy identity"] < 1e-6 < 1e-2 < wrong["energy identity"]
    kept = "conserved quantities, drift"
    assert right[kept]["mean"] < 1e-14 and wrong[kept]["mean"] > 1e-3
    assert "translations" in right["symmetries"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uncoupled", "frozen, claiming 4"])
def test_refutations_replay(name):
    flow, _ = WRONG[name]
    found = pf.verify(flow, conditions=["vlasov"], budget=30.0)["vlasov"]
    assert found.verdict == "refuted" and found.counterexample is not None
    assert found.counterexample.replay() == "STILL FAILS"
