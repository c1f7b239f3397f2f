"""Finitely many particles and their limit: the BBGKY hierarchy by Monte Carlo.

    python studies/hierarchy.py [--out FOLDER] [--particles 128] [--pairs 300000]

Oscillators with phases drawn from a Poisson kernel: their limit f_t is known exactly. Measured are
the first equation of the hierarchy; how far two particles are from independent, and one particle
from the limit (rate 1 / N for smooth functions); the distance of the empirical measure (N^{-1/2}).
Then the map from the initial law mu of one particle to its law after a time, for finite N: it
splits atoms, so no in-context map represents it; its defect falls like N^{-1/2} and `verify`
refutes B1.
The Liouville map of all N particles and the map on measures of measures pass.
"""

import numpy as np
from _study import finish, guide, options, panels, slope, table
from scipy.stats import binom

import pushforward as pf
from pushforward.verify.catalogue import CATALOGUE

COUPLING, ORDER, TIME, STEPS = 1.0, 0.3, 1.5, 24


def draw(rng, samples, n):
    """Phases of the Poisson kernel with order parameter ORDER."""
    u = np.pi * (rng.random((samples, n)) - 0.5)
    return 2 * np.arctan((1 - ORDER) / (1 + ORDER) * np.tan(u))


def rate(phases):
    mean = np.exp(1j * phases).mean(axis=1, keepdims=True)
    return COUPLING * np.imag(mean * np.exp(-1j * phases))


def flow(phases, time, steps):
    h = time / steps
    for _ in range(steps):
        k1 = rate(phases)
        k2 = rate(phases + h / 2 * k1)
        k3 = rate(phases + h / 2 * k2)
        k4 = rate(phases + h * k3)
        phases = phases + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return phases


def limit_order(time):
    odds = ORDER**2 / (1 - ORDER**2) * np.exp(COUPLING * time)
    return np.sqrt(odds / (1 + odds))


def first_equation(phases):
    """Both sides of d/dt E cos x_1 = -E sin(x_1) ((1/N) K(x_1, x_1) + (1 - 1/N) K(x_1, x_2)).

    The left side by a difference in time over the same samples, the right side over pairs of
    particles; with the standard error of their difference.
    """
    h, n = 1e-3, phases.shape[1]
    there, back = flow(phases, h, 1), flow(phases, -h, 1)
    left = (np.cos(there) - np.cos(back))[:, 0] / (2 * h)
    partner = COUPLING * np.sin(phases[:, 1] - phases[:, 0])
    right = -np.sin(phases[:, 0]) * (1 - 1 / n) * partner
    gap = left - right
    return float(gap.mean()), float(gap.std() / np.sqrt(len(gap))), float(left.mean())


def chaos(phases):
    """The covariance of cos of two particles, and the mean of cos less its limit."""
    values = np.cos(phases)
    n, total = phases.shape[1], np.cos(phases).sum(axis=1)
    pairs = (total**2 - (values**2).sum(axis=1)) / (n * (n - 1))
    mean = total.mean() / n
    return float(pairs.mean() - mean**2), float(mean - limit_order(TIME))


def distance(phases):
    """The mean of W1 on the line from each empirical measure to the limit, by quantiles."""
    r = limit_order(TIME)
    fine = 4096
    u = np.pi * ((np.arange(fine) + 0.5) / fine - 0.5)
    quantiles = 2 * np.arctan((1 - r) / (1 + r) * np.tan(u))
    n = phases.shape[1]
    rows = np.sort(phases[:200], axis=1)[:, np.minimum(np.arange(fine) * n // fine, n - 1)]
    return float(np.abs(rows - quantiles).mean())


def marginal_defect(n, time=1.0):
    """How far the law of one of n consensus particles is from carrying the weights of its start.

    From mu half at -1, half at 1: `x_1 = m + (s - m) e^{-t}`, s = -1 or 1 and m the mean of all.
    The nearest measure with two halves has its atoms at the medians of the halves.
    """
    fade = np.exp(-time)
    k = np.arange(n)
    mass = binom.pmf(k, n - 1, 0.5)
    total = 0.0
    for own in (-1, 1):
        mean = (own + 2 * k - (n - 1)) / n
        at = mean + (own - mean) * fade
        median = at[np.searchsorted(np.cumsum(mass), 0.5)]
        total += 0.5 * float(mass @ np.abs(at - median))
    return total


def main():
    chosen = options(__doc__, particles=128, pairs=300_000, budget=4.0)
    rng = np.random.default_rng(0)
    sizes = 2 ** np.arange(2, int(np.log2(chosen.particles)) + 1)
    columns = {"covariance of two": [], "mean of one": [], "W1": [], "splitting": []}
    equation = []
    for n in sizes:
        samples = max(chosen.pairs // int(n), 2000)
        phases = flow(draw(rng, samples, int(n)), TIME, STEPS)
        two, one = chaos(phases)
        columns["covariance of two"].append(abs(two))
        columns["mean of one"].append(abs(one))
        columns["W1"].append(distance(phases))
        columns["splitting"].append(marginal_defect(int(n)))
        equation.append(first_equation(phases))
    theory = (1 - np.exp(-1.0)) * np.sqrt(2 / (np.pi * sizes))
    table(
        [[int(n), *(values[i] for values in columns.values()), float(theory[i]), *equation[i]]
         for i, n in enumerate(sizes)],
        ["N", *columns, "its asymptote", "equation: defect", "std. error", "of size"],
    )  # fmt: skip
    slopes = {name: slope(sizes, np.array(values)) for name, values in columns.items()}
    print("slopes:", ", ".join(f"{name} {value:.2f}" for name, value in slopes.items()))
    verdicts = {}
    for name in ("bbgky-marginal", "liouville", "statistical-vlasov"):
        report = pf.verify(CATALOGUE[name].build(), conditions=["B1"], budget=chosen.budget)["B1"]
        verdicts[name] = {"B1": report.verdict, "reason": report.reason}
        print(f"{name}: B1 {report.verdict}, {report.reason}")
    figure, axes = panels(2)
    for axis, names, power in (
        (axes[0], ("covariance of two", "mean of one"), -1), (axes[1], ("W1", "splitting"), -0.5),
    ):  # fmt: skip
        for name in names:
            axis.loglog(sizes, columns[name], marker="o", markersize=3,
                        label=f"{name} ({slopes[name]:.2f})")  # fmt: skip
        guide(axis, sizes, columns[names[0]], power)
        axis.set(xlabel="particles N", ylabel="defect")
        axis.legend()
    finish("hierarchy", chosen, {
        "particles": sizes, "defects": columns, "slopes": slopes, "splitting, asymptote": theory,
        "first equation (defect, standard error, size)": equation, "verdicts": verdicts,
    }, figure)  # fmt: skip


if __name__ == "__main__":
    main()
