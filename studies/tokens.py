"""How far n random tokens are from the limit of infinitely many, under softmax attention.

    python studies/tokens.py [--out FOLDER] [--repeats 10] [--most 1024]

The limit is a Gaussian, which the flow moves by a known affine map. Errors are those of the images
of fixed query points, against that map, in dimensions 1 to 3; of the measure in W1: on the line
exactly, against the Gaussian; in dimensions 2 and 3 between two independent samples by exact
transport, which is between once and twice the distance to the limit in the mean.
"""

import numpy as np
from _study import finish, guide, options, panels, slope, table
from scipy.stats import norm

import pushforward as pf
from pushforward.verify.exact_solutions import softmax_gaussian

TIME = 1.0
FLOW = {"method": "rk4", "steps": 12}


def limit(dim):
    """The flow of the Gaussian N(0.2, 0.3 I) with A = 0.4 I and V = 0.5 I, at its nodes."""
    eye = np.eye(dim)
    return softmax_gaussian(0.4 * eye, 0.5 * eye, 0.2 * np.ones(dim), 0.3 * eye, nodes=4, time=TIME)


def affine(dim):
    """The mean and the factor of the affine map: x -> m + f (x - 0.2)."""
    nodes = softmax_gaussian([[0.4]], [[0.5]], [0.2], [[0.3]], nodes=2, time=TIME)
    low, high = np.asarray(nodes.initial.points)[:, 0]
    a, b = nodes.exact(TIME)[:, 0]
    factor = (b - a) / (high - low)
    return a - factor * (low - 0.2), factor


def line_distance(points, mean, deviation):
    """W1 of n equal atoms on a line to a Gaussian, exactly: the integral of |Q - x_(i)|."""
    x = np.sort((points - mean) / deviation)
    n = len(x)
    edges = norm.ppf(np.arange(n + 1) / n)
    low, high = edges[:-1], edges[1:]
    cut = np.clip(x, low, high)

    def part(a, b):  # the integral of Q over the probabilities between two quantiles
        return norm.pdf(a) - norm.pdf(b)

    below = x * (norm.cdf(cut) - norm.cdf(low)) - part(low, cut)
    above = part(cut, high) - x * (norm.cdf(high) - norm.cdf(cut))
    return deviation * float(np.sum(below + above))


def main():
    chosen = options(__doc__, repeats=10, most=1024)
    sizes = 2 ** np.arange(4, int(np.log2(chosen.most)) + 1)
    mean, factor = affine(1)
    rng = np.random.default_rng(0)
    queries_error = {d: [] for d in (1, 2, 3)}
    distances = {d: [] for d in (1, 2, 3)}
    for dim in (1, 2, 3):
        field = limit(dim).field
        queries = 0.2 + np.linspace(-1, 1, 8)[:, None] * np.ones(dim) / np.sqrt(dim)
        want = mean + factor * (queries - 0.2)
        for n in sizes:
            off, apart = [], []
            for _ in range(chosen.repeats):
                clouds = []
                for _ in range(1 if dim == 1 else 2):
                    start = 0.2 + np.sqrt(0.3) * rng.normal(size=(int(n), dim))
                    end, carried = field.flow(start, None, TIME, x=queries, **FLOW)
                    off.append(np.linalg.norm(carried - want, axis=1).max())
                    clouds.append(end)
                if dim == 1:
                    apart.append(line_distance(clouds[0][:, 0], mean, factor * np.sqrt(0.3)))
                elif n <= 512:
                    apart.append(float(pf.wasserstein(*map(pf.DiscreteMeasure, clouds))))
            queries_error[dim].append(float(np.mean(off)))
            distances[dim].append(float(np.mean(apart)) if apart else None)
    quantiles = [
        line_distance(
            limit(1).field.flow(
                0.2 + np.sqrt(0.3) * norm.ppf((np.arange(n) + 0.5) / n)[:, None], None, TIME, **FLOW
            )[:, 0],
            mean, factor * np.sqrt(0.3),
        )
        for n in sizes
    ]  # fmt: skip
    columns = {
        **{f"queries, d={d}": queries_error[d] for d in queries_error},
        "W1 to the limit, d=1": distances[1],
        "W1 of two samples, d=2": distances[2],
        "W1 of two samples, d=3": distances[3],
        "W1 of quantiles, d=1": quantiles,
    }
    table(
        [[int(n), *(values[i] for values in columns.values())] for i, n in enumerate(sizes)],
        ["tokens", *columns],
    )
    slopes = {}
    for name, values in columns.items():
        kept = [i for i, value in enumerate(values) if value is not None]
        slopes[name] = slope(sizes[kept], np.array([values[i] for i in kept]))
    print("slopes:", ", ".join(f"{name} {value:.2f}" for name, value in slopes.items()))
    figure, axes = panels(2)
    for name, values in columns.items():
        axis = axes[0] if name.startswith("queries") else axes[1]
        kept = [i for i, value in enumerate(values) if value is not None]
        shown = [values[i] for i in kept]
        axis.loglog(sizes[kept], shown, marker="o", markersize=3,
                    label=f"{name} ({slopes[name]:.2f})")  # fmt: skip
    guide(axes[0], sizes, queries_error[1], -0.5)
    guide(axes[1], sizes, distances[1], -0.5)
    for axis, what in zip(axes, ("images of fixed queries", "measures"), strict=True):
        axis.set(xlabel="tokens n", ylabel="mean error", title=what)
        axis.legend()
    finish("tokens", chosen, {
        "tokens": sizes, "errors": columns, "slopes": slopes, "repeats": chosen.repeats,
    }, figure)  # fmt: skip


if __name__ == "__main__":
    main()
