"""Swarms by transformers: the distance of the measures as the layers grow in number.

    python studies/swarms.py [--out FOLDER] [--layers 256] [--bodies 24]

A layer is an Euler step of fixed heads and a perceptron. Theory says that the distance in W1 to the
swarm is at most `(T M / 2L + eta / Lambda) (e^{Lambda T} - 1)`, where eta is how far the heads are
from the field of the swarm: first order in 1/L, down to a floor in proportion to eta.

- Motsch-Tadmor alignment with a Gaussian kernel is one softmax head (`|q - r|^2` splits into
  `2 <q, r> - |r|^2` and what does not depend on r), so there is no floor.
- The kernel of Cucker & Smale is a mixture of Gaussians (Schoenberg), and `sum_h c_h e^{-s_h r^2}`
  fitted to it by non-negative least squares is a layer of few unnormalised heads, times a gate:
  heads of value w and of value 1, the second multiplied by v as a gated perceptron does.
- One softmax head for the whole field of Cucker & Smale, its matrices fitted to the accelerations
  of the bodies at time zero, is off from the start, and more with time: fixed heads are a floor.
"""

import numpy as np
import sympy
from _study import finish, guide, options, panels, slope, table
from scipy.optimize import least_squares, nnls

import pushforward as pf
from pushforward.symbolic import (
    Matrix,
    Scalar,
    VelocityField,
    block,
    dot,
    gibbs,
    integral,
    library,
    norm2,
    stack,
)

TIME, BETA = 2.0, 0.5
TIGHT = {"method": "dopri5", "rtol": 1e-11, "atol": 1e-12, "engine": "numpy"}
X, Y, MU = library.X, library.Y, library.MU
(Q, V), (R, W) = ((block(z, 0, 2), block(z, 2, 4)) for z in (X, Y))


def swarm(kernel):
    """`(v, int psi(|q - r|^2) (w - v) mu)`."""
    pull = integral(kernel(norm2(Q - R)) * (W - V), Y, MU)
    return VelocityField(stack(V, pull), X, MU)


def mixture(heads, reach):
    """Gaussians for the kernel on [0, reach]: speeds, factors >= 0, the largest error.

    The speeds are in geometric progression between two ends, the best of a grid of ends.
    """
    r2 = np.linspace(0, reach, 400) ** 2
    wanted, best = (1 + r2) ** -BETA, None
    for low in np.geomspace(0.02, 5, 16) / reach**2:
        for high in np.geomspace(0.1, 3, 12) if heads > 1 else (low,):
            speeds = np.geomspace(low, high, heads)
            columns = np.column_stack([np.exp(-np.outer(r2, speeds)), np.ones_like(r2)])
            factors, _ = nnls(columns, wanted)
            off = float(np.abs(columns @ factors - wanted).max())
            best = min(best or (off, speeds, factors), (off, speeds, factors), key=lambda f: f[0])
    off, speeds, factors = best
    return speeds, factors, off


def heads_for(count, reach):
    """The field of a layer of Gaussian heads and one that sees all alike; how far its kernel is."""
    speeds, factors, off = mixture(count, reach)
    pairs = list(zip(speeds, factors[:-1], strict=True))

    def kernel(r2):
        found = sympy.Float(factors[-1])
        return found + sum(sympy.Float(c) * sympy.exp(-sympy.Float(s) * r2) for s, c in pairs)

    return swarm(kernel).bind(), off


def one_head(exact, points, weights):
    """`(v, E_p[B y] - c v)` with scores `<q, A r>`, fitted to the velocities of the bodies now."""
    A, B, c = Matrix("A"), Matrix("B"), Scalar("c")
    found = VelocityField(stack(V, gibbs(B @ Y, Y, MU, energy=dot(Q, A @ R)) - c * V), X, MU)
    wanted = exact(points, weights, points)[:, 2:]

    def values(theta):
        return {"A": theta[:4].reshape(2, 2), "B": theta[4:12].reshape(2, 4), "c": theta[12]}

    def off(theta):
        a, b, rate = values(theta).values()
        scores = points[:, :2] @ a @ points[:, :2].T + np.log(weights)
        law = np.exp(scores - scores.max(axis=1, keepdims=True))
        law /= law.sum(axis=1, keepdims=True)
        return (law @ points @ b.T - rate * points[:, 2:] - wanted).ravel()

    start = np.concatenate([0.1 * np.eye(2).ravel(), np.eye(2, 4, 2).ravel(), [0.5]])
    best = least_squares(off, start)
    return found.bind(**values(best.x)), float(np.abs(best.fun).max())


def gaussian_motsch_tadmor():
    """The swarm, and the same field as a softmax head on tokens (q, v)."""
    swarm_field = VelocityField(
        stack(V, gibbs(W - V, Y, MU, energy=-norm2(Q - R) / 2)), X, MU
    ).bind()
    head = VelocityField(
        stack(V, gibbs(W, Y, MU, energy=dot(Q, R) - norm2(R) / 2) - V), X, MU
    ).bind()
    return swarm_field, head


def distances(field, exact_end, points, weights, depths):
    target = pf.DiscreteMeasure(exact_end, weights)
    found = []
    for depth in depths:
        end = field.flow(points, weights, TIME, steps=int(depth), method="euler", engine="numpy")
        found.append(float(pf.wasserstein(pf.DiscreteMeasure(end, weights), target)))
    return np.array(found)


def main():
    chosen = options(__doc__, layers=256, bodies=24)
    rng = np.random.default_rng(3)
    points = np.concatenate(
        [pf.Ball(2, 1.5).sample(rng, chosen.bodies), pf.Ball(2).sample(rng, chosen.bodies)], axis=1
    )
    weights = rng.dirichlet(4 * np.ones(chosen.bodies))
    depths = 2 ** np.arange(int(np.log2(chosen.layers)) + 1)
    exact = swarm(lambda r2: (1 + r2) ** -sympy.Rational(BETA)).bind()
    end = exact.flow(points, weights, TIME, **TIGHT)
    # bodies keep within their first hull of velocities
    reach = 2 * (1.5 + TIME)
    aligned, head = gaussian_motsch_tadmor()
    curves, floors, defects = {}, {}, {}

    def follow(name, field, target, defect):
        curves[name] = distances(field, target, points, weights, depths)
        last = pf.DiscreteMeasure(field.flow(points, weights, TIME, **TIGHT), weights)
        floors[name] = float(pf.wasserstein(last, pf.DiscreteMeasure(target, weights)))
        defects[name] = defect

    follow("Motsch-Tadmor, one softmax head", head, aligned.flow(points, weights, TIME, **TIGHT), 0)
    for count in (1, 2, 4, 8):
        field, off = heads_for(count, reach)
        follow(f"Cucker-Smale, {count} heads", field, end, off)
    fitted, residual = one_head(exact, points, weights)
    follow("Cucker-Smale, one softmax head", fitted, end, None)
    fine = {name: np.maximum(curve - floors[name], 0) for name, curve in curves.items()}
    early = {
        name: slope(depths[2:6], curve[2:6])
        for name, curve in curves.items() if floors[name] < 0.02 * curve[2]
    }  # fmt: skip
    table(
        [[name, defects[name], curve[0], curve[4], curve[-1], floors[name], early.get(name)]
         for name, curve in curves.items()],
        ["layers of", "kernel off by", "W1, L = 1", "L = 16", f"L = {depths[-1]}",
         "as L -> infinity", "slope, L = 4 to 32"],
    )  # fmt: skip
    times = np.linspace(0, TIME, 9)[1:]
    growth = {}
    for name, field in (("4 heads", heads_for(4, reach)[0]), ("one softmax head", fitted)):
        paths = (one.flow(points, weights, TIME, times=times, **TIGHT) for one in (field, exact))
        growth[name] = [
            float(pf.wasserstein(pf.DiscreteMeasure(a, weights), pf.DiscreteMeasure(b, weights)))
            for a, b in zip(*paths, strict=True)
        ]
    print(f"the fitted head is off by {residual:.2g} at time zero")
    print("W1 of the infinitely deep ones over time:")
    table([[f"{t:.2f}", *(growth[n][i] for n in growth)] for i, t in enumerate(times)],
          ["time", *growth])  # fmt: skip
    figure, (axis, right) = panels(2, 5.0, 3.8)
    for name, curve in curves.items():
        (line,) = axis.loglog(depths, curve, marker="o", markersize=3, label=name)
        if floors[name] > 1e-8:
            axis.axhline(floors[name], color=line.get_color(), linewidth=0.7, linestyle=":")
    guide(axis, depths, curves["Motsch-Tadmor, one softmax head"], -1)
    axis.set(xlabel="layers L", ylabel="W1 to the swarm")
    axis.legend()
    for name, values in growth.items():
        right.semilogy(times, values, marker="o", markersize=3, label=name)
    right.set(xlabel="time", ylabel="W1 to the swarm, infinitely many layers")
    right.legend()
    finish("swarms", chosen, {
        "layers": depths, "distance": curves, "floors": floors, "kernel off by": defects,
        "slopes": early, "above the floor": fine, "times": times, "over time": growth,
        "the fitted head is off at time zero by": residual,
        "time": TIME, "beta": BETA, "bodies": chosen.bodies,
    }, figure)  # fmt: skip


if __name__ == "__main__":
    main()
