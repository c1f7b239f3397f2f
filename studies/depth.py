"""Transformers of L layers against the flow that they discretise.

    python studies/depth.py [--out FOLDER] [--layers 256] [--time 1.0]

A layer is an Euler step of attention plus perceptron, or the two one after the other (splitting),
or a step of a field whose attention depends on the depth. The error over tokens and passive points
is compared with the bound of docs/flows.md: with constants that hold on the whole ball (a priori),
and with the constants measured along the trajectory.
"""

import numpy as np
import sympy
from _study import finish, guide, options, panels, slope, table

from pushforward.symbolic import Scalar, VelocityField, library

A = 0.5 * np.array([[0.8, 0.3], [-0.4, 0.6]])
V = 0.6 * np.array([[-0.3, 0.6], [-0.6, -0.3]])
W, U, B = (
    0.15 * np.array([[1.0, -0.5, 0.2], [0.3, 0.8, -0.6]]),
    np.array([[1.0, 0.4], [-0.7, 0.9], [0.2, -1.1]]),
    np.array([0.1, -0.2, 0.3]),
)
RADIUS = 1.0
TIGHT = {"method": "dopri5", "rtol": 1e-12, "atol": 1e-13, "engine": "numpy"}


def fields():
    """Attention, the perceptron, their sum, and the sum with attention that depends on time."""
    attention, perceptron = library.softmax_attention(), library.mlp()
    x, mu, t = attention.x, attention.mu, Scalar("t")
    both = attention.term + perceptron.term
    moving = (1 + sympy.sin(2 * t)) * attention.term + perceptron.term
    return (
        VelocityField(attention.term, x, mu).bind(A=A, V=V),
        VelocityField(perceptron.term, x, mu).bind(W=W, U=U, b=B),
        VelocityField(both, x, mu).bind(A=A, V=V, W=W, U=U, b=B),
        VelocityField(moving, x, mu, time=t).bind(A=A, V=V, W=W, U=U, b=B),
    )


def layers(first, second, points, weights, passive, time, depth):
    """Attention with a residual, then the perceptron with a residual, `depth` times."""
    tau, n = time / depth, len(points)
    state = np.concatenate([points, passive])
    for _ in range(depth):
        state = state + tau * first(state[:n], weights, state, engine="numpy")
        state = state + tau * second(state[:n], weights, state, engine="numpy")
    return state


def a_priori(time):
    """Speed and Lipschitz constants on the ball that the supports stay in."""
    v, a = np.linalg.norm(V, 2), np.linalg.norm(A, 2)
    push = np.linalg.norm(W, 2) * np.sqrt(len(B))
    radius = (RADIUS + push / v) * np.exp(v * time) - push / v
    energy = a * radius**2
    slope_x = v * a * radius**2 + np.linalg.norm(W, 2) * np.linalg.norm(U, 2)
    slope_mu = v * np.exp(2 * energy) * (1 + 2 * energy)
    return v * radius + push, slope_x, slope_mu


def measured(field, points, weights, passive, time):
    """The same along the trajectory, at its tokens and passive points, which is no proof.

    Errors are largest over points, so the mean over mu of |D_mu V(x)(y)| counts, not its maximum.
    """
    gradient, pull = field.map.jacobian(), field.map.lions_derivative(library.Y)
    gradient, pull = (term.bind(**field.parameters) for term in (gradient, pull))
    path = field.flow(points, weights, time, times=np.linspace(0, time, 21), x=passive, **TIGHT)
    speed = slope_x = slope_mu = 0.0
    for at, carried in zip(*path, strict=True):
        seen = np.concatenate([at, carried])
        options = {"engine": "numpy"}
        value = field(at, weights, seen, **options)
        speed = max(speed, np.linalg.norm(value, axis=1).max())
        one = gradient(at, weights, seen, **options)
        slope_x = max(slope_x, np.linalg.norm(one, 2, axis=(1, 2)).max())
        other = pull(at, weights, seen, **options, y=at)
        slope_mu = max(slope_mu, (np.linalg.norm(other, 2, axis=(2, 3)) @ weights).max())
    return float(speed), float(slope_x), float(slope_mu)


def bound(constants, time, depth, extra=0.0):
    """`(T / L) (M / 2 + extra / Lambda) (e^{Lambda T} - 1)`."""
    speed, slope_x, slope_mu = constants
    rate = slope_x + slope_mu
    return time / depth * (speed / 2 + extra / rate) * np.expm1(rate * time)


def main():
    chosen = options(__doc__, layers=256, time=1.0, tokens=12)
    rng = np.random.default_rng(0)
    angles, radii = rng.uniform(0, 2 * np.pi, (2, 40)), np.sqrt(rng.random(40))
    cloud = RADIUS * radii[:, None] * np.stack([np.cos(angles[0]), np.sin(angles[0])], axis=1)
    points, passive = cloud[: chosen.tokens], cloud[chosen.tokens :]
    weights = rng.dirichlet(np.ones(chosen.tokens))
    attention, perceptron, both, moving = fields()
    exact = np.concatenate(both.flow(points, weights, chosen.time, x=passive, **TIGHT))
    exact_moving = np.concatenate(moving.flow(points, weights, chosen.time, x=passive, **TIGHT))
    depths = 2 ** np.arange(int(np.log2(chosen.layers)) + 1)
    curves = {"joint": [], "splitting": [], "depth-dependent": []}

    def far(state, end):
        return float(np.linalg.norm(state - end, axis=1).max())

    for depth in depths:
        k = int(depth)
        euler = {"steps": k, "method": "euler", "x": passive, "engine": "numpy"}
        curves["joint"].append(
            far(np.concatenate(both.flow(points, weights, chosen.time, **euler)), exact)
        )
        curves["splitting"].append(
            far(layers(attention, perceptron, points, weights, passive, chosen.time, k), exact)
        )
        curves["depth-dependent"].append(
            far(np.concatenate(moving.flow(points, weights, chosen.time, **euler)), exact_moving)
        )
    prior, local = a_priori(chosen.time), measured(both, points, weights, passive, chosen.time)
    swap = (
        np.linalg.norm(W, 2) * np.linalg.norm(U, 2) * measured(
            attention, points, weights, passive, chosen.time)[0]
    )  # fmt: skip
    bounds = {
        "a priori": bound(prior, chosen.time, depths),
        "along the trajectory": bound(local, chosen.time, depths),
        "splitting, along the trajectory": bound(local, chosen.time, depths, swap),
    }
    slopes = {name: slope(depths[-5:], errors[-5:]) for name, errors in curves.items()}
    table(
        [[int(k), *(curve[i] for curve in curves.values()),
          *(float(b[i]) for b in bounds.values())] for i, k in enumerate(depths)],
        ["layers", *curves, *(f"bound {name}" for name in bounds)],
    )  # fmt: skip
    print("slopes:", ", ".join(f"{name} {value:.3f}" for name, value in slopes.items()))
    print("M, L_x, L_mu a priori:", *(f"{value:.3g}" for value in prior))
    print("M, L_x, L_mu along the trajectory:", *(f"{value:.3g}" for value in local))
    ratio = float(bounds["along the trajectory"][-1] / curves["joint"][-1])
    print(f"bound along the trajectory over the error: {ratio:.2f}")
    figure, (axis,) = panels(1, 5.4, 4.0)
    for name, errors in curves.items():
        axis.loglog(depths, errors, marker="o", markersize=3, label=f"{name} ({slopes[name]:.2f})")
    for name, values in bounds.items():
        far_off = values[-1] > 1e3 * curves["joint"][0]
        label = f"bound {name}" + (f": {values[-1]:.1g} at L = {depths[-1]}" if far_off else "")
        x, y = ([], []) if far_off else (depths, values)
        axis.loglog(x, y, linestyle="--", linewidth=1, label=label)
    guide(axis, depths, curves["joint"], -1)
    axis.set(xlabel="layers L", ylabel="largest distance to the flow")
    axis.legend()
    finish("depth", chosen, {
        "layers": depths, "errors": curves, "slopes": slopes, "bounds": bounds,
        "constants a priori": prior, "constants along the trajectory": local,
        "bound over error": ratio, "tokens": chosen.tokens, "time": chosen.time,
    }, figure)  # fmt: skip


if __name__ == "__main__":
    main()
