"""`vlasov`: a candidate flow solves `d_t mu + div(V(mu) mu) = 0` for the field it names.

Its error against a solver of ours is followed as the number of steps doubles. Two things refute:

- it converges to something else: the error stays while images at successive numbers of steps come
  together (or are equal, for a flow that ignores the steps, which then may be off by 5 %), at its
  horizon or at an earlier time; or it is right for powers of two, but not for odd numbers of steps;
- its order stays below the claim, over five numbers of steps with a steady slope, where a method of
  our own of that order shows its order with the same steps. So neither stiffness, nor a field with
  kinks, nor rounding is held against a flow.

The identities of a solution (see `identities`) are reported with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import solve_ivp

from ..numeric import Sphere, integrate
from .candidates import Flow
from .identities import Solution, identities
from .noise import Noise
from .recipes import Recipe, generic_weights
from .subject import Atoms, Clock, Subject, Undefined
from .trials import Outcome, Violation

STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LARGEST_CONTROL = 128
ODD = (75, 151, 301)
HORIZONS = (1.0, 0.55, 1.0, 0.3, 1.0, 0.8)
TRIALS = 24
SLACK = 0.35
STEADY = 0.3
ACCURATE = 1e-3
CARELESS = 0.05


class _Spent(Exception):
    """Our own solver has used up the time of a trial."""


class _Tired(Exception):
    """Our own solver does not reach a tolerance."""


@dataclass(frozen=True, slots=True)
class Run:
    """One initial measure: errors by number of steps, and how far successive images lie apart.

    `displacement` is that of the solution, `floor` what rounding, the sensitivity of the equation
    and our own solver leave of an error.
    """

    steps: np.ndarray
    errors: np.ndarray
    changes: np.ndarray
    displacement: float
    floor: float

    @property
    def final(self) -> float:
        return float(self.errors[-1])

    @property
    def relative(self) -> float:
        """The error at the finest step over the displacement, where that is not itself noise."""
        return self.final / max(self.displacement, 1e3 * self.floor)

    @property
    def ignores_steps(self) -> bool:
        return not self.changes.any()

    @property
    def converges_elsewhere(self) -> bool:
        """The error stays over three doublings while the images come together."""
        stays = self.errors[-1] > 0.9 * self.errors[-4]
        return bool(stays and 10 * self.changes[-1] < self.errors[-1])

    @property
    def slopes(self) -> np.ndarray:
        """The observed order at each doubling, while errors are above the floor."""
        above = self.errors > self.floor
        count = len(above) if above.all() else int(np.argmin(above))
        return -np.diff(np.log2(self.errors[:count]))

    def window(self, length: int = 3) -> tuple[int, int] | None:
        """The finest run of at least so many doublings with a steady slope, as a range."""
        slopes = self.slopes
        for end in range(len(slopes), length - 1, -1):
            if np.ptp(slopes[end - length : end]) < STEADY:
                first = end - length
                while first and np.ptp(slopes[first - 1 : end]) < STEADY:
                    first -= 1
                return first, end
        return None

    def order(self) -> float | None:
        """The slope of log error in log step over the finest steady range, or None."""
        window = self.window()
        if window is None or self.ignores_steps:
            return None
        first, last = window
        logs = np.log(self.errors[first : last + 1])
        return float(-np.polyfit(np.log(self.steps[first : last + 1]), logs, 1)[0])

    def lacks(self, claimed: float) -> bool:
        """A steady order below the claim that does not rise towards it.

        Over four doublings; three are enough where an order or more is lacking.
        """
        for length, slack in ((4, SLACK), (3, 1.0)):
            window = self.window(length)
            if window is None:
                continue
            last = self.slopes[window[0] : window[1]][-2:]
            ahead = last[1] + 2 * max(0.0, last[1] - last[0])
            if STEADY < np.mean(last) and ahead < claimed - slack:
                return True
        return False


# ---- the condition


def check_vlasov(subject: Subject, noise: Noise, seed: int, clock: Clock) -> Outcome:
    """Judge a `Flow`: does its error against the equation vanish, and at the order it claims?"""
    flow = subject.candidate
    assert isinstance(flow, Flow)
    outcome = Outcome()
    rng = np.random.default_rng([seed, 14])
    runs: list[Run] = []
    for trial in range(TRIALS):
        if clock.left <= 0 and trial > 1:
            break
        atoms = _measure(subject, rng, trial)
        # One to the horizon and one to an earlier time, even where little time is left for them.
        left = Clock(max(2.0, clock.left)) if trial < 2 else clock
        time = flow.time * HORIZONS[trial % len(HORIZONS)]
        found = judge(subject, noise, atoms, left, time)
        if found is None:
            continue
        run, violation = found
        runs.append(run)
        outcome.drawn += 1
        outcome.worst = max(outcome.worst, run.relative)
        if violation is not None:
            outcome.violation = violation
            break
        if outcome.drawn == 1:
            outcome.evidence |= identities(_solution(subject), atoms, noise, clock.share(0.5))
    orders = [order for order in (run.order() for run in runs) if order is not None]
    outcome.evidence |= {
        "observed order": float(np.median(orders)) if orders else None,
        "claimed order": flow.claimed_order,
        "relative error at the finest step": outcome.worst,
        "errors by steps": _table(runs),
    }
    return _judged(outcome, orders)


def _measure(subject: Subject, rng: np.random.Generator, trial: int) -> Atoms:
    size = (3, 2, 5, 4, 8, 1)[trial % 6]
    law = ("uniform", "uniform", "boundary", "lattice")[trial // 6 % 4]
    recipe = Recipe(size, int(rng.integers(2**31)), law)
    points = recipe.build(subject.domain, equal=True)[0]
    weights = np.full(size, 1 / size) if trial % 2 else generic_weights(rng, size)
    return points, weights


def _table(runs: list[Run]) -> list[list[float]]:
    """Steps and errors of the worst run, for a curve."""
    if not runs:
        return []
    worst = max(runs, key=lambda run: run.relative)
    return [[float(n), float(e)] for n, e in zip(worst.steps, worst.errors, strict=True)]


def _judged(outcome: Outcome, orders: list[float]) -> Outcome:
    if outcome.violation is not None:
        outcome.reason = outcome.violation.sentence
    elif not outcome.drawn:
        outcome.undecided = True
        outcome.reason = "no initial measure could be followed within the budget"
    elif outcome.worst > CARELESS and not orders:
        outcome.undecided = True
        outcome.reason = (
            f"the error against the equation ({outcome.worst:.2g} of the displacement) neither "
            "vanishes nor stays with the steps that the budget allows"
        )
    else:
        order = f"observed order {np.median(orders):.2f}" if orders else "no order to be seen"
        outcome.reason = (
            f"the flow solves its equation on {outcome.drawn} initial measures, {order}, "
            f"relative error {outcome.worst:.1e} at the finest step"
        )
    return outcome


def judge(
    subject: Subject, noise: Noise, atoms: Atoms, clock: Clock, time: float | None = None
) -> tuple[Run, Violation | None] | None:
    """The errors from one initial measure at a time, the horizon by default, and what they refute;
    None if it cannot be followed."""
    flow = subject.candidate
    assert isinstance(flow, Flow)
    try:
        exact = _Exact.of(subject, noise, atoms, time or flow.time, clock)
    except (_Spent, ValueError):
        return None
    if exact is None:
        return None
    run = _run(subject, exact, atoms, STEPS, clock)
    violation = _violation(subject, run, exact, atoms)
    if violation is None:
        return run, _odd_violation(subject, run, exact, atoms, clock)
    # What a finer step would take back is not held against the flow.
    run = _extended(subject, run, exact, atoms, clock)
    violation = _violation(subject, run, exact, atoms)
    if violation is None or not _control_agrees(subject, run, violation, exact, atoms):
        return run, None
    return run, violation


def _violation(subject: Subject, run: Run, exact: _Exact, atoms: Atoms) -> Violation | None:
    flow = subject.candidate
    assert isinstance(flow, Flow)
    numbers = {
        "error": run.final,
        "displacement": run.displacement,
        "steps": float(run.steps[-1]),
        "time": exact.time,
    }
    limit = _limit(subject, run)
    if run.final > limit and run.converges_elsewhere:
        return Violation(
            "residual",
            (atoms,),
            numbers | {"defect": run.final, "threshold": limit},
            f"it does not solve its equation: at time {exact.time:g} it is off by {run.final:.3g} "
            f"(displacement {run.displacement:.3g}) and more steps do not help, up to "
            f"{run.steps[-1]}",
        )
    claimed, order = flow.claimed_order, run.order()
    if claimed is None or order is None or not run.lacks(claimed):
        return None
    return Violation(
        "order",
        (atoms,),
        numbers | {"defect": claimed - order, "threshold": SLACK, "observed order": order},
        f"the observed order in the step is {order:.2f}, below the claimed {claimed:g}",
    )


def _limit(subject: Subject, run: Run) -> float:
    """Errors above count against a flow that no longer gets better."""
    still = max(run.displacement, 1e-9 * subject.domain.diameter)
    return max((CARELESS if run.ignores_steps else ACCURATE) * still, 1e3 * run.floor)


def _odd_violation(
    subject: Subject, run: Run, exact: _Exact, atoms: Atoms, clock: Clock
) -> Violation | None:
    """Errors at odd numbers of steps that are ten times those at the powers of two below, and stay.

    Each must exceed ten times both errors at the two powers of two before it, and a hundred times
    what a method of ours leaves.
    """
    limit, worst = _limit(subject, run), 0.0
    for count in ODD:
        before = run.errors[(run.steps < count) & (run.steps > count / 5)]
        if clock.left <= 0 or len(before) < 2:
            return None
        image = _image(subject, atoms, exact.time, count)
        error = _gap(image, exact.nearest(image))
        if error <= max(limit, 10 * before.max(), 0.5 * worst):
            return None
        worst = error
    violation = Violation(
        "residual",
        (atoms,),
        {
            "error": worst,
            "displacement": run.displacement,
            "steps": float(ODD[-1]),
            "time": exact.time,
            "defect": worst,
            "threshold": limit,
        },
        f"it does not solve its equation for odd numbers of steps: at time {exact.time:g} it is "
        f"off by {worst:.3g} (displacement {run.displacement:.3g}) with {ODD[-1]} steps, and by "
        f"{run.final:.3g} with {run.steps[-1]}",
    )
    odd = replace(run, steps=np.array(ODD), errors=np.full(len(ODD), worst))
    return violation if _control_agrees(subject, odd, violation, exact, atoms) else None


# ---- errors


@dataclass(frozen=True, slots=True)
class _Exact:
    """Where the solution is at a time: in the open space, and on the sphere if it lives on one and
    the field is not tangent; and how well that is known."""

    time: float
    ends: tuple[np.ndarray, ...]
    floor: float
    own_floor: float

    @classmethod
    def of(
        cls, subject: Subject, noise: Noise, atoms: Atoms, time: float, clock: Clock
    ) -> _Exact | None:
        ends, doubts = [], []
        for domain in _spaces(subject, atoms):
            found = _reference(subject, atoms, domain, time, clock)
            if found is not None:
                ends.append(found[0])
                doubts.append(found[1])
        if not ends:
            return None
        scale = max(float(np.abs(ends[0]).max()), subject.domain.scale)
        own = max(3e-10 * scale, 3 * max(doubts))
        return cls(time, tuple(ends), max(30 * noise.value, own), own)

    def nearest(self, image: np.ndarray) -> np.ndarray:
        return min(self.ends, key=lambda end: _gap(image, end))


def _spaces(subject: Subject, atoms: Atoms) -> tuple:
    points, weights = atoms
    if not isinstance(subject.domain, Sphere):
        return (None,)
    normal = np.abs(np.sum(subject.velocity(points, weights, points) * points, axis=1)).max()
    # A flow from points of the sphere may be meant on it or in the space around it.
    return (subject.domain,) if normal < 1e-12 else (subject.domain, None)


def _reference(
    subject: Subject, atoms: Atoms, domain: Sphere | None, time: float, clock: Clock
) -> tuple[np.ndarray, float] | None:
    """The solution by the method of order eight in SciPy and its doubt, or None.

    The doubt is what a looser tolerance and a change in the last bits of the start do to it.
    """
    points, _ = atoms
    for rtol, calls in ((1e-11, 6000), (1e-8, 6000), (1e-5, 20000)):
        try:
            end = _solved(subject, atoms, points, domain, time, rtol, calls, clock)
            near = points * (1 + 1e-15)
            other = _solved(subject, atoms, near, domain, time, 30 * rtol, calls, clock)
        except _Tired:  # a field in single precision allows no finer step
            continue
        return end, _gap(end, other)
    return None


def _solved(
    subject: Subject,
    atoms: Atoms,
    start: np.ndarray,
    domain: Sphere | None,
    time: float,
    rtol: float,
    calls: int,
    clock: Clock,
) -> np.ndarray:
    count = 0

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        if clock.left <= 0:
            raise _Spent
        if count > calls:
            raise _Tired
        at = state.reshape(start.shape)
        if domain is None:
            return subject.velocity(at, atoms[1], at).ravel()
        at = at / np.linalg.norm(at, axis=1, keepdims=True)
        speed = subject.velocity(at, atoms[1], at)
        return (speed - np.sum(speed * at, axis=1, keepdims=True) * at).ravel()

    with np.errstate(all="ignore"):
        run = solve_ivp(
            rate, (0.0, time), start.ravel(), "DOP853", rtol=rtol, atol=rtol / 100
        )  # fmt: skip
    end = run.y[:, -1].reshape(start.shape)
    if not run.success or not np.isfinite(end).all():
        raise _Tired
    return end


def _run(
    subject: Subject, exact: _Exact, atoms: Atoms, counts: tuple[int, ...], clock: Clock
) -> Run:
    images: list[np.ndarray] = []
    for count in counts:
        if clock.left <= 0 and len(images) >= 7:
            break
        images.append(_image(subject, atoms, exact.time, count))
    return _of_images(counts[: len(images)], images, exact, atoms)


def _extended(subject: Subject, run: Run, exact: _Exact, atoms: Atoms, clock: Clock) -> Run:
    """The run with more steps, as far as the time goes."""
    counts, images = [int(run.steps[-1])], []
    while len(counts) < 4:
        before = subject.seconds
        images.append(_image(subject, atoms, exact.time, counts[-1]))
        if 3 * (subject.seconds - before) > clock.left:
            break
        counts.append(2 * counts[-1])
    if len(images) < 2:
        return run
    rest = _of_images(tuple(counts[: len(images)]), images, exact, atoms)
    return replace(
        run,
        steps=np.append(run.steps, rest.steps[1:]),
        errors=np.append(run.errors, rest.errors[1:]),
        changes=np.append(run.changes, rest.changes),
    )


def _of_images(
    counts: tuple[int, ...], images: list[np.ndarray], exact: _Exact, atoms: Atoms
) -> Run:
    end = exact.nearest(images[-1])
    errors = np.array([_gap(image, end) for image in images])
    changes = np.array([_gap(a, b) for a, b in zip(images, images[1:], strict=False)])
    return Run(
        np.array(counts), np.maximum(errors, 1e-300), changes, _gap(end, atoms[0]), exact.floor
    )


def _image(subject: Subject, atoms: Atoms, time: float, count: int) -> np.ndarray:
    points, weights = atoms
    image = subject.flow(points, weights, time, count)
    if image.shape != points.shape:
        raise Undefined(
            f"the flow returned shape {image.shape} where {points.shape} was expected", atoms
        )
    return image


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b, axis=1).max())


# ---- the control


def _control_agrees(
    subject: Subject, run: Run, violation: Violation, exact: _Exact, atoms: Atoms
) -> bool:
    """Whether a method of ours does with the same steps what the flow fails to do."""
    flow = subject.candidate
    assert isinstance(flow, Flow)
    method, order = ("euler", 1) if (flow.claimed_order or 4) <= 1 else ("rk4", 4)
    domain = subject.domain if isinstance(subject.domain, Sphere) else None
    if domain is not None:
        image = _image(subject, atoms, exact.time, 64)
        domain = domain if exact.nearest(image) is exact.ends[0] else None
    counts = tuple(int(n) for n in run.steps if n <= LARGEST_CONTROL)
    try:
        images = [
            integrate(subject.velocity, *atoms, exact.time, count, method, domain=domain)
            for count in counts
        ]
    except ValueError:
        return False
    control = replace(_of_images(counts, images, exact, atoms), floor=exact.own_floor)
    if violation.operation == "residual":
        return 100 * control.final < run.final or control.final <= control.floor
    steady = control.slopes
    return bool(len(steady) >= 3 and np.max(steady[-3:]) >= order - SLACK) or bool(
        control.final <= control.floor and len(steady) and steady[-1] >= order - SLACK
    )


def _solution(subject: Subject) -> Solution:
    flow = subject.candidate
    assert isinstance(flow, Flow)
    return Solution(subject.flow, subject.velocity, flow.field, subject.domain, flow.time)


def own_accuracy(subject: Subject, seed: int) -> float:
    """How far a flow that ignores the steps is from a semigroup, which is how accurate it is.

    An adaptive method takes other steps when an atom of no weight is added, so its images of one
    measure differ by its tolerance; 0 for a flow that heeds the steps.
    """
    flow, worst = subject.candidate, 0.0
    if not isinstance(flow, Flow):
        return 0.0
    rng = np.random.default_rng([seed, 18])
    for size in (2, 4, 6):
        points, weights = Recipe(size, int(rng.integers(2**31))).build(subject.domain, equal=True)
        whole = subject.flow(points, weights, flow.time, 8)
        if not np.array_equal(whole, subject.flow(points, weights, flow.time, 32)):
            return 0.0
        if whole.shape != points.shape:
            return 0.0
        half = subject.flow(points, weights, flow.time / 2, 8)
        twice = subject.flow(half, weights, flow.time / 2, 8)
        worst = max(worst, _gap(whole, twice))
    return worst
