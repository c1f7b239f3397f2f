"""Steps of explicit methods in local coordinates: Euler, Runge-Kutta, Dormand-Prince.

A `Position` is all that a method needs to go on: it can be kept, written down and taken up again
with the same bits. A step gives the next position and, for the adaptive method, the states between.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .arrays import namespace

Rate = Callable[[float, Any], Any]

_MOST_REJECTED = 60


class OutOfRange(ValueError):
    """A state is not finite; an adaptive method tries a smaller step."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where an integration is: steps taken, time, state; of "dopri5" also the velocity there and
    the next step, None at the start."""

    count: int
    t: float
    state: Any
    slope: Any = None
    h: float | None = None


def euler(rate: Rate, space: Any, t: float, x: Any, h: float) -> Any:
    """One Euler step of order one."""
    return space.move(x, h * space.pull(x, x, rate(t, x)))


def rk4(rate: Rate, space: Any, t: float, x: Any, h: float) -> Any:
    """One classical Runge-Kutta step of order four."""

    def slope(t: float, u: Any) -> Any:
        y = space.move(x, u)
        return space.pull(x, y, rate(t, y))

    k1 = space.pull(x, x, rate(t, x))
    k2 = slope(t + h / 2, h / 2 * k1)
    k3 = slope(t + h / 2, h / 2 * k2)
    k4 = slope(t + h, h * k3)
    return space.move(x, h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))


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
# The continuous extension of order four; Hairer, Norsett & Wanner (1993), II.6, and their code.
_DENSE = (
    -12715105075 / 11282082432,
    0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


@dataclass(frozen=True, slots=True)
class Between:
    """The states within an accepted step, to order four."""

    space: Any
    start: float
    h: float
    x: Any
    terms: tuple[Any, Any, Any, Any]

    def __call__(self, t: float) -> Any:
        s = (t - self.start) / self.h
        r2, r3, r4, r5 = self.terms
        return self.space.move(self.x, s * (r2 + (1 - s) * (r3 + s * (r4 + (1 - s) * r5))))


def dopri5(
    rate: Rate, space: Any, at: Position, end: float, rtol: float, atol: float
) -> tuple[Position, Between]:
    """One accepted step towards `end`: the position after it, and the states within it.

    Raises:
        ValueError: no step keeps the tolerance.
    """
    t, x, h = at.t, at.state, at.h
    assert h is not None
    slope = rate(t, x) if at.slope is None else at.slope
    for _ in range(_MOST_REJECTED):
        last = abs(h) >= abs(end - t) * (1 - 1e-12)
        step = end - t if last else h
        try:
            u, slopes, after, velocity = _stages(rate, space, t, x, slope, step)
        except OutOfRange:
            h = step * 0.2
            continue
        ratio = _ratio(step * _combined(_ERROR, slopes), x, after, rtol, atol)
        # The error of a step is of order five; 0.9 keeps the next one from being refused.
        factor = 5.0 if ratio == 0 else min(5.0, max(0.2, 0.9 * ratio ** (-1 / 5)))
        if ratio <= 1:
            following = h if last and abs(step) < abs(h) and factor >= 1 else step * factor
            new = Position(at.count + 1, end if last else t + step, after, velocity, following)
            return new, Between(space, t, step, x, _dense(step, u, slopes))
        h = step * (factor if math.isfinite(ratio) else 0.2)
        if t + h == t:
            break
    raise ValueError(
        f"the flow needs steps below {abs(h):.3g} at time {t:.6g}: it is stiff or leaves the range "
        "of numbers; go less far or allow a larger rtol"
    )


def _stages(rate: Rate, space: Any, t: float, x: Any, velocity: Any, h: float) -> tuple:
    """The coordinates after the step, the seven slopes, the state there and its velocity."""
    slopes = [space.pull(x, x, velocity)]
    u = after = x
    for node, row in zip(_NODES[1:], _STAGES[1:], strict=True):
        u = h * _combined(row, slopes)
        after = space.move(x, u)
        velocity = rate(t + node * h, after)
        slopes.append(space.pull(x, after, velocity))
    return u, slopes, after, velocity


def _ratio(error: Any, x: Any, after: Any, rtol: float, atol: float) -> float:
    """The error estimate over the tolerance, in the worst component; infinite if undefined."""
    xp = namespace(x)
    tolerance = atol + rtol * xp.maximum(xp.abs(x), xp.abs(after))
    ratio = float(xp.max(xp.abs(error) / tolerance))
    return ratio if math.isfinite(ratio) else math.inf


def _dense(h: float, u: Any, slopes: list[Any]) -> tuple[Any, Any, Any, Any]:
    bend = h * slopes[0] - u
    return u, bend, u - h * slopes[-1] - bend, h * _combined(_DENSE, slopes)


def _combined(row: tuple[float, ...], slopes: list[Any]) -> Any:
    terms = [c * slope for c, slope in zip(row, slopes, strict=True) if c]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
