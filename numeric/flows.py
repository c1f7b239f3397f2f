"""Flows of velocity fields: particles that move each other, and points that are only carried.

The atoms `x_i` of `mu_t = sum_i w_i delta_{x_i(t)}` move by `x_i' = V(mu_t, x_i)`, which makes mu_t
a weak solution of the Vlasov equation; passive points move by the same field and act on nothing.
On a domain with spheres every stage and every step stays on them (see `charts`); elsewhere the
methods know nothing of constraints.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import integrators
from .arrays import namespace, real_array
from .charts import space_of
from .checkpoints import Checkpoint, digest_of
from .domains import AbstractDomain
from .integrators import OutOfRange, Position, Rate
from .measures import DiscreteMeasure

METHODS = ("rk4", "euler", "dopri5")

Field = Callable[..., Any]
Progress = Callable[[float], object]


def integrate(
    field: Field,
    points: Any,
    weights: Any,
    time: float,
    steps: int = 100,
    method: str = "rk4",
    x: Any = None,
    *,
    trajectory: bool = False,
    times: Sequence[float] | None = None,
    domain: AbstractDomain | None = None,
    rtol: float = 1e-9,
    atol: float = 1e-11,
    with_time: bool = False,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    label: str = "",
) -> Any:
    """Where the particles of a measure are after a time, and where points go that they carry.

    Args:
        field: `field(points (n, d), weights (n,), x (m, d)) -> (m, d)`, the velocity at x.
        points: (n, d) the particles at time zero.
        weights: (n,) their weights, which stay; None gives each 1/n.
        time: how long to go; negative goes backwards.
        steps: the number of equal steps, >= 1; for "dopri5" it sets the first step only.
        method: "euler" of order one, "rk4" of order four, "dopri5" with an adaptive step of order
            five by Dormand and Prince, and states between its steps of order four.
        x: (m, d) passive points, (d,) for one.
        trajectory: return the states at the `steps + 1` equal times instead of the last one.
        times: return the states at these times instead, (k,) between 0 and `time`, in order. The
            methods of equal steps then take the fewest steps of at most `time / steps` from each
            to the next.
        domain: a `Sphere`, or a `Product` with spheres: all stages and steps stay on them, and the
            part of the velocity that is tangent counts. Other domains hold nothing back.
        rtol, atol: of "dopri5": each step keeps its error estimate, in every component, below
            `atol + rtol * |state|`.
        with_time: the field takes the time as a fourth argument.
        progress: called after each step with the share of the time done, from 0 to 1.
        checkpoint: an NPZ file that is written every `checkpoint_seconds`, when the flow is
            interrupted, and at the end. A call that finds it goes on from there, and gives the
            same bits as one that was never interrupted.
        label: a name of the field that tells its checkpoints from those of other fields.

    Returns:
        The particles (n, d), or (steps + 1, n, d) with `trajectory`, or (k, n, d) with `times`;
        with `x` a pair of these and the same for the passive points.

    Raises:
        ValueError: bad shapes or numbers, an unknown method, a field of the wrong shape, a flow
            that leaves the range of numbers, or a checkpoint of another flow.

    Two particles that attract each other by their distance meet like `exp(-t)`:

    >>> import numpy as np
    >>> consensus = lambda points, weights, x: weights @ points - x
    >>> integrate(consensus, [[-1.0], [1.0]], [0.5, 0.5], 1.0).round(6).ravel().tolist()
    [-0.367879, 0.367879]
    """
    mu = DiscreteMeasure(points, weights)
    xp, n = namespace(mu.points), len(mu)
    passive = None if x is None else _passive(x, mu)
    state = mu.points if passive is None else xp.concat([mu.points, passive], axis=0)
    _check(time, steps, method, rtol, atol)
    space = space_of(domain, mu.dim)
    wanted = _wanted(float(time), steps, trajectory, times)

    def rate(t: float, state: Any) -> Any:
        _check_range(state, t)
        time_argument = (t,) if with_time else ()
        # Arrays of its own for the field, which may write on them.
        velocity = field(state[:n, ...] + 0.0, mu.weights + 0.0, state + 0.0, *time_argument)
        return _checked_velocity(velocity, state)

    plan = _Plan(rate, space, method, float(time), steps, tuple(wanted), rtol, atol, times is None)
    saved = None
    if checkpoint is not None:
        call = (state, mu.weights, time, steps, method, wanted, rtol, atol, str(domain), label)
        saved = Checkpoint(Path(checkpoint), digest_of(n, *call), checkpoint_seconds)
    states = _run(plan, space.nearest(state + 0.0), saved, progress)
    several = trajectory or times is not None
    result = xp.stack(states, axis=0) if several else states[-1]
    if passive is None:
        return result
    return result[..., :n, :], result[..., n:, :]


def _passive(x: Any, mu: DiscreteMeasure) -> Any:
    x = real_array(x, "x", like=mu.points)
    namespace(mu.points, x)
    x = x[None, :] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[1] != mu.dim:
        raise ValueError(f"expected x of shape (m, {mu.dim}), got {tuple(x.shape)}")
    return x


def _check(time: Any, steps: Any, method: Any, rtol: float, atol: float) -> None:
    if method not in METHODS:
        raise ValueError(f"expected a method of {', '.join(METHODS)}, got {method!r}")
    if not math.isfinite(time):
        raise ValueError(f"expected a finite time, got {time}")
    if not hasattr(steps, "__index__") or steps < 1:
        raise ValueError(f"expected steps, an integer >= 1, got {steps!r}")
    if not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ValueError(f"expected tolerances >= 0, one of them > 0, got {rtol} and {atol}")


def _wanted(
    time: float, steps: int, trajectory: bool, times: Sequence[float] | None
) -> list[float]:
    """The times at which states are asked for."""
    if times is None:
        if not trajectory:
            return [time]
        return [*(time * k / steps for k in range(steps)), time]
    if trajectory:
        raise ValueError("expected trajectory=True or times, got both")
    wanted = [float(t) for t in times]
    way = [t if time >= 0 else -t for t in wanted]
    if not wanted or sorted(way) != way or way[0] < 0 or way[-1] > abs(time):
        raise ValueError(
            f"expected times in order between 0 and {time:g}, got "
            + (f"{wanted[0]:g} to {wanted[-1]:g}" if wanted else "none")
        )
    return wanted


def _checked_velocity(velocity: Any, state: Any) -> Any:
    if tuple(velocity.shape) != tuple(state.shape):
        raise ValueError(
            f"expected velocities of shape {tuple(state.shape)} from the field, "
            f"got {tuple(velocity.shape)}"
        )
    return velocity


# ---- running


@dataclass(frozen=True, slots=True)
class _Plan:
    """A flow to run: what to integrate, how, and when states are asked for."""

    rate: Rate
    space: Any
    method: str
    time: float
    steps: int
    wanted: tuple[float, ...]
    rtol: float
    atol: float
    equal: bool

    def start(self, state: Any) -> Position:
        return Position(0, 0.0, state, None, self.time / self.steps)

    def reached(self, t: float) -> int:
        """How many of the times asked for are not after t."""
        return bisect_right(self.wanted, abs(t), key=abs)

    def grid(self) -> list[tuple[float, float]]:
        """The beginnings and ends of equal steps, which meet all times asked for."""
        stops = sorted({abs(t) for t in self.wanted} | {0.0, abs(self.time)})
        sign, h = (1 if self.time >= 0 else -1), abs(self.time) / self.steps
        if self.equal:
            stops, count = [0.0, abs(self.time)], [self.steps]
        else:
            gaps = zip(stops, stops[1:], strict=False)
            count = [max(1, math.ceil((b - a) / h * (1 - 1e-12))) for a, b in gaps]
        ends = [0.0]
        for a, b, k in zip(stops, stops[1:], count, strict=False):
            ends += [a + (b - a) * (j + 1) / k for j in range(k - 1)] + [b]
        return [(sign * a, sign * b) for a, b in zip(ends, ends[1:], strict=False)]


Advance = Callable[[Position], tuple[Position, Callable[[float], Any]]]


def _run(plan: _Plan, state: Any, saved: Checkpoint | None, progress: Progress | None) -> list[Any]:
    """The states at the times asked for."""
    at, states = (saved and saved.load(state)) or (plan.start(state), [])
    if plan.time == 0:
        return [state for _ in plan.wanted]
    if not states and plan.wanted[0] == 0:
        states = [state]
    advance = _adaptive(plan) if plan.method == "dopri5" else _equal(plan)
    try:
        while at.t != plan.time:
            new, between = advance(at)
            _check_range(new.state, new.t)
            states += [
                new.state if t == new.t else between(t)
                for t in plan.wanted[len(states) : plan.reached(new.t)]
            ]
            at = new
            if progress is not None:
                progress(at.t / plan.time)
            if saved is not None and saved.due:
                saved.save(at, states)
    finally:
        if saved is not None:
            # An interruption may have come between the outputs and the position.
            saved.save(at, states[: plan.reached(at.t)])
    return states


def _equal(plan: _Plan) -> Advance:
    grid = plan.grid()
    step = integrators.euler if plan.method == "euler" else integrators.rk4

    def advance(at: Position) -> tuple[Position, Callable[[float], Any]]:
        start, end = grid[at.count]
        state = step(plan.rate, plan.space, start, at.state, end - start)
        return Position(at.count + 1, end, state), lambda t: state

    return advance


def _adaptive(plan: _Plan) -> Advance:
    def advance(at: Position) -> tuple[Position, Callable[[float], Any]]:
        return integrators.dopri5(plan.rate, plan.space, at, plan.time, plan.rtol, plan.atol)

    return advance


def _check_range(state: Any, t: float) -> None:
    xp = namespace(state)
    if not bool(xp.all(xp.isfinite(state))):
        raise OutOfRange(f"the flow leaves the range of numbers before time {t:.6g}; go less far")
