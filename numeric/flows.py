"""Flows of velocity fields: particles that move each other, and points that are only carried.

The atoms `x_i` of `mu_t = sum_i w_i delta_{x_i(t)}` move by `x_i' = V(mu_t, x_i)`, which makes mu_t
a weak solution of the Vlasov equation; passive points move by the same field and act on nothing.
The methods are explicit and know nothing of constraints: on a sphere a tangent field keeps its
particles there only up to the error of the method.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

from .arrays import namespace, real_array
from .measures import DiscreteMeasure

METHODS = ("rk4", "euler", "dopri5")

Field = Callable[..., Any]
Rate = Callable[[float, Any], Any]

_MOST_REJECTED = 60


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
    rtol: float = 1e-9,
    atol: float = 1e-11,
    with_time: bool = False,
) -> Any:
    """Where the particles of a measure are after a time, and where points go that they carry.

    Args:
        field: `field(points (n, d), weights (n,), x (m, d)) -> (m, d)`, the velocity at x.
        points: (n, d) the particles at time zero.
        weights: (n,) their weights, which stay; None gives each 1/n.
        time: how long to go; negative goes backwards.
        steps: the number of equal steps, >= 1; for "dopri5" it sets the first step only.
        method: "euler" of order one, "rk4" of order four, "dopri5" with an adaptive step of order
            five by Dormand and Prince.
        x: (m, d) passive points, (d,) for one.
        trajectory: return the states at the `steps + 1` equal times instead of the last one.
        rtol, atol: of "dopri5": each step keeps its error estimate, in every component, below
            `atol + rtol * |state|`.
        with_time: the field takes the time as a fourth argument.

    Returns:
        The particles (n, d), or (steps + 1, n, d) with `trajectory`; with `x` a pair of these and
        the same for the passive points.

    Raises:
        ValueError: bad shapes or numbers, an unknown method, a field of the wrong shape, or a flow
            that leaves the range of numbers.

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

    def rate(t: float, state: Any) -> Any:
        time_argument = (t,) if with_time else ()
        # Arrays of its own for the field, which may write on them.
        velocity = field(state[:n, ...] + 0.0, mu.weights + 0.0, state + 0.0, *time_argument)
        return _checked_velocity(velocity, state)

    if method == "dopri5":
        path = _dopri5(rate, state, float(time), steps, trajectory, rtol, atol)
    else:
        path = _equal_steps(rate, state, float(time), steps, _euler if method == "euler" else _rk4)
    states = [state + 0.0]
    for t, state in path:
        _check_range(state, t)
        states = [*states, state] if trajectory else [state]
    result = xp.stack(states, axis=0) if trajectory else states[-1]
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


def _checked_velocity(velocity: Any, state: Any) -> Any:
    if tuple(velocity.shape) != tuple(state.shape):
        raise ValueError(
            f"expected velocities of shape {tuple(state.shape)} from the field, "
            f"got {tuple(velocity.shape)}"
        )
    return velocity


def _check_range(state: Any, t: float) -> None:
    xp = namespace(state)
    if not bool(xp.all(xp.isfinite(state))):
        raise ValueError(f"the flow leaves the range of numbers before time {t:.6g}; go less far")


# ---- equal steps


def _equal_steps(
    rate: Rate, state: Any, time: float, steps: int, step: Callable[..., Any]
) -> Iterator[tuple[float, Any]]:
    h = time / steps
    for k in range(steps):
        state = step(rate, k * h, state, h)
        yield (k + 1) * h, state


def _euler(rate: Rate, t: float, state: Any, h: float) -> Any:
    return state + h * rate(t, state)


def _rk4(rate: Rate, t: float, state: Any, h: float) -> Any:
    k1 = rate(t, state)
    k2 = rate(t + h / 2, state + h / 2 * k1)
    k3 = rate(t + h / 2, state + h / 2 * k2)
    k4 = rate(t + h, state + h * k3)
    return state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


# ---- adaptive steps: Dormand & Prince (1980), the pair of orders 5 and 4

_NODES = (0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1)
_STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def _dopri5(
    rate: Rate, state: Any, time: float, steps: int, at_equal_times: bool, rtol: float, atol: float
) -> Iterator[tuple[float, Any]]:
    """The states after accepted steps, or at the equal times alone."""
    ends = [time * (k + 1) / steps for k in range(steps)] if at_equal_times else [time]
    t, h, slope = 0.0, time / steps, None
    for end in ends:
        while t != end:
            t, state, slope, h = _accepted(rate, t, state, slope, h, end, rtol, atol)
            _check_range(state, t)
        yield t, state


def _accepted(rate, t, state, slope, h, end, rtol, atol) -> tuple[float, Any, Any, float]:
    """One step that keeps the tolerance: its time and state, the slope there, the next step."""
    slope = rate(t, state) if slope is None else slope
    for _ in range(_MOST_REJECTED):
        last = abs(h) >= abs(end - t) * (1 - 1e-12)
        step = end - t if last else h
        after, after_slope, ratio = _pair(rate, t, state, slope, step, rtol, atol)
        # The error of a step is of order five; 0.9 keeps the next one from being refused.
        factor = 5.0 if ratio == 0 else min(5.0, max(0.2, 0.9 * ratio ** (-1 / 5)))
        if ratio <= 1:
            following = h if last and abs(step) < abs(h) and factor >= 1 else step * factor
            return (end if last else t + step), after, after_slope, following
        h = step * (factor if math.isfinite(ratio) else 0.2)
        if t + h == t:
            break
    raise ValueError(
        f"the flow needs steps below {abs(h):.3g} at time {t:.6g}: it is stiff or leaves the range "
        "of numbers; go less far or allow a larger rtol"
    )


def _pair(rate, t, state, slope, h, rtol, atol) -> tuple[Any, Any, float]:
    """The state of order five, the slope there, and the error of order four over the tolerance."""
    xp = namespace(state)
    slopes = [slope]
    after = state
    for node, row in zip(_NODES[1:], _STAGES[1:], strict=True):
        after = state + h * _combined(row, slopes)
        slopes.append(rate(t + node * h, after))
    error = h * _combined(_ERROR, slopes)
    tolerance = atol + rtol * xp.maximum(xp.abs(state), xp.abs(after))
    ratio = float(xp.max(xp.abs(error) / tolerance))
    return after, slopes[-1], ratio if math.isfinite(ratio) else math.inf


def _combined(row: tuple[float, ...], slopes: list[Any]) -> Any:
    terms = [c * slope for c, slope in zip(row, slopes, strict=True) if c]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
