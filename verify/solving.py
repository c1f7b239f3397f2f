"""`vlasov`: a candidate flow solves `d_t mu + div(V(mu) mu) = 0` for the field it names.

Two independent looks: the weak residual of the candidate's own trajectory against test
functions, and the error against a solver of ours. The order in the step is
the slope of log error against log step, over at least four steps in the asymptotic range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .candidates import Flow
from .noise import Noise
from .recipes import Recipe, generic_weights
from .subject import Atoms, Clock, Subject, Undefined
from .trials import Outcome, Violation

STEPS = (4, 8, 16, 32, 64, 128, 256)
SLACK = 0.35
ACCURATE = 1e-3


@dataclass(frozen=True, slots=True)
class Run:
    """The errors of one initial measure over the numbers of steps, and the exact displacement."""

    steps: np.ndarray
    errors: np.ndarray
    residuals: np.ndarray
    displacement: float
    floor: float

    @property
    def final(self) -> float:
        return float(self.errors[-1])

    @property
    def ignores_steps(self) -> bool:
        return bool(np.ptp(self.errors) <= 1e-12 * max(self.displacement, 1e-300))

    def order(self) -> float | None:
        """The observed order over the longest run of steps with a steady slope, or None.

        The asymptotic range is where successive slopes differ by less than 0.3, and where errors
        are above the floor that rounding and our own solver set.
        """
        above = self.errors > self.floor
        count = len(above) if above.all() else int(np.argmin(above))
        if count < 4:
            return None
        h, e = np.log(self.steps[:count]), np.log(self.errors[:count])
        slopes = -np.diff(e) / np.diff(h)
        for first in range(len(slopes) - 2):
            tail = slopes[first:]
            if np.ptp(tail) < 0.3:
                return float(-np.polyfit(h[first:count], e[first:count], 1)[0])
        tail = slopes[-3:]
        return float(np.median(tail)) if np.ptp(tail) < 1.0 else None


def check_vlasov(subject: Subject, noise: Noise, seed: int, clock: Clock) -> Outcome:
    """Judge a `Flow`: does its error against the equation vanish, and at the order it claims?"""
    flow = subject.candidate
    assert isinstance(flow, Flow)
    outcome = Outcome()
    rng = np.random.default_rng([seed, 14])
    orders: list[float] = []
    accuracy = 0.0
    for trial in range(12):
        if clock.left <= 0 and trial > 0:
            break
        size = (3, 2, 5, 4, 8, 1)[trial % 6]
        points = Recipe(size, int(rng.integers(2**31))).build(subject.domain, equal=True)[0]
        weights = np.full(size, 1 / size) if trial % 2 else generic_weights(rng, size)
        found = judge(subject, noise, (points, weights), clock)
        if found is None:
            continue
        run, violation = found
        outcome.drawn += 1
        scale = max(run.displacement, 1e-300)
        outcome.worst = max(outcome.worst, run.final / scale)
        accuracy = max(accuracy, float(run.residuals[-1]))
        order = run.order()
        if order is not None:
            orders.append(order)
        if violation is not None:
            outcome.violation = violation
            break
    outcome.evidence |= {
        "observed order": float(np.median(orders)) if orders else None,
        "claimed order": flow.claimed_order,
        "relative error at the finest step": outcome.worst,
        "weak residual at the finest step": accuracy,
    }
    return _judged(outcome, orders)


def _judged(outcome: Outcome, orders: list[float]) -> Outcome:
    if outcome.violation is not None:
        outcome.reason = outcome.violation.sentence
    elif not outcome.drawn:
        outcome.undecided = True
        outcome.reason = "no initial measure could be followed within the budget"
    elif outcome.worst > ACCURATE and not orders:
        outcome.undecided = True
        outcome.reason = (
            f"the error against the equation ({outcome.worst:.2g} of the displacement) neither "
            "vanishes nor stays"
        )
    else:
        order = f"observed order {np.median(orders):.2f}" if orders else "at its own accuracy"
        outcome.reason = (
            f"the flow solves its equation on {outcome.drawn} initial measures, {order}, "
            f"relative error {outcome.worst:.1e} at the finest step"
        )
    return outcome


def judge(
    subject: Subject, noise: Noise, atoms: Atoms, clock: Clock
) -> tuple[Run, Violation | None] | None:
    """The errors from one initial measure, and what they refute."""
    run = _run(subject, noise, atoms, clock)
    if run is None:
        return None
    return run, _violation(subject, run, atoms)


def _run(subject: Subject, noise: Noise, atoms: Atoms, clock: Clock) -> Run | None:
    flow = subject.candidate
    assert isinstance(flow, Flow)
    points, weights = atoms
    exact = _reference(subject, points, weights, flow.time)
    if exact is None:
        return None
    displacement = float(np.linalg.norm(exact - points, axis=1).max())
    scale = max(float(np.abs(exact).max()), subject.domain.scale)
    steps, errors, residuals = [], [], []
    for count in STEPS:
        if clock.left <= 0 and len(steps) >= 5:
            break
        image = subject.flow(points, weights, flow.time, count)
        if image.shape != exact.shape:
            raise Undefined(
                f"the flow returned shape {image.shape} where {exact.shape} was expected", atoms
            )
        steps.append(count)
        errors.append(float(np.linalg.norm(image - exact, axis=1).max()))
    residuals = _weak_residuals(subject, flow, atoms, steps[-1])
    floor = max(30 * noise.value, 3e-10 * scale)
    return Run(
        np.array(steps), np.maximum(errors, 1e-300), np.array(residuals), displacement, floor
    )


def _reference(
    subject: Subject, points: np.ndarray, weights: np.ndarray, horizon: float
) -> np.ndarray | None:
    """The solution by an adaptive method of our own, or None where the field breaks down."""
    from ..numeric import integrate

    solved = integrate(
        subject.velocity, points, weights, horizon, 32, "dopri5", rtol=1e-11, atol=1e-13
    )
    return solved if np.isfinite(solved).all() else None


def _violation(subject: Subject, run: Run, atoms: Atoms) -> Violation | None:
    flow = subject.candidate
    assert isinstance(flow, Flow)
    still = max(run.displacement, 1e-9 * subject.domain.diameter)
    stays = run.errors[-1] > 0.5 * run.errors[len(run.errors) // 2]
    numbers = {
        "error": run.final,
        "displacement": run.displacement,
        "steps": float(run.steps[-1]),
        "weak residual": float(run.residuals[-1]),
    }
    limit = 0.05 if run.ignores_steps else ACCURATE
    if run.errors[-1] > max(limit * still, 1e3 * run.floor) and stays:
        return Violation(
            "residual",
            (atoms,),
            numbers | {"defect": run.final, "threshold": limit * still},
            f"it does not solve its equation: at time {flow.time:g} it is off by {run.final:.3g} "
            f"(displacement {run.displacement:.3g}) and more steps do not help, up to "
            f"{run.steps[-1]}",
        )
    order = run.order()
    claimed = flow.claimed_order
    if claimed is None or order is None or order >= claimed - SLACK:
        return None
    return Violation(
        "order",
        (atoms,),
        numbers | {"defect": claimed - order, "threshold": SLACK, "observed order": order},
        f"the observed order in the step is {order:.2f}, below the claimed {claimed:g}",
    )


# -- weak form ---------------------------------------------------------------------------------
def _weak_residuals(subject: Subject, flow: Flow, atoms: Atoms, steps: int) -> list[float]:
    """`|<phi, mu_T> - <phi, mu_0> - int_0^T <grad phi . V(mu_t), mu_t> dt|`, the largest over phi.

    The test functions are `sin(<k, x> + c)` for a few fixed k; the time integral is Gauss-Legendre
    with 10 nodes on the candidate's own trajectory.
    """
    points, weights = atoms
    nodes, factors = np.polynomial.legendre.leggauss(10)
    times = 0.5 * flow.time * (nodes + 1)
    rng = np.random.default_rng(15)
    waves = rng.normal(size=(6, points.shape[1])) / max(subject.domain.scale, 1e-300)
    phases = rng.uniform(0, 2 * np.pi, size=6)

    def mean(at: np.ndarray) -> np.ndarray:
        return weights @ np.sin(at @ waves.T + phases)

    integral = np.zeros(6)
    for time, factor in zip(times, factors, strict=True):
        at = subject.flow(points, weights, float(time), max(1, round(steps * time / flow.time)))
        speed = subject.velocity(at, weights, at)
        integral += 0.5 * flow.time * factor * (
            weights @ (np.cos(at @ waves.T + phases) * (speed @ waves.T))
        )
    end = subject.flow(points, weights, flow.time, steps)
    return [float(np.abs(mean(end) - mean(points) - integral).max())]
