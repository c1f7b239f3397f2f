"""Observed orders of the flow methods on all exact solutions.

    python studies/orders.py [--out FOLDER] [--steps 256]

Euler should show 1, the classical Runge-Kutta method 4 (or rounding, where it is exact), and the
adaptive method an error in proportion to its tolerance.
"""

import numpy as np
from _study import finish, guide, options, panels, slope, table

from pushforward.verify.exact_solutions import SOLUTIONS
from pushforward.verify.solving import Run

FLOOR = 2e-13


def order(solution, method, most):
    """Errors at doubling numbers of steps, and their order in the asymptotic range."""
    steps = 2 ** np.arange(1, int(np.log2(most)) + 1)
    errors = np.array([
        max(solution.error(solution.flow(method=method, steps=int(k), engine="numpy"),
                           solution.time), 1e-300)
        for k in steps
    ])  # fmt: skip
    run = Run(steps, errors, np.abs(np.diff(errors)), 1.0, FLOOR)
    return steps, errors, run.order()


def tolerance(solution):
    """Errors of the adaptive method at falling tolerances."""
    tolerances = 10.0 ** -np.arange(3, 11)
    errors = [
        solution.error(
            solution.flow(method="dopri5", steps=1, rtol=r, atol=r, engine="numpy"), solution.time
        )
        for r in tolerances
    ]
    return tolerances, np.maximum(errors, 1e-16)


def main():
    chosen = options(__doc__, steps=256)
    figure, axes = panels(3)
    rows, result = [], {}
    for name, build in SOLUTIONS.items():
        solution = build()
        found = {}
        for axis, method in zip(axes, ("euler", "rk4"), strict=False):
            most = chosen.steps // 2 if method == "euler" else chosen.steps
            steps, errors, seen = order(solution, method, most)
            axis.loglog(steps, errors, linewidth=1, marker=".", markersize=4)
            found[method] = {"steps": steps, "errors": errors, "order": seen}
        tolerances, errors = tolerance(solution)
        axes[2].loglog(tolerances, errors, linewidth=1, marker=".", markersize=4)
        found["dopri5"] = {
            "tolerances": tolerances, "errors": errors, "slope": slope(tolerances, errors)
        }  # fmt: skip
        result[name] = found
        rows.append([
            name, found["euler"]["order"], found["rk4"]["order"],
            float(found["rk4"]["errors"][-1]), found["dopri5"]["slope"],
            float(np.max(errors / tolerances)),
        ])  # fmt: skip
    finest = f"RK4 error, {chosen.steps} steps"
    table(rows, ["solution", "Euler", "RK4", finest, "dopri5: slope", "largest error / tolerance"])
    for axis, title, power in zip(
        axes, ("Euler", "RK4", "Dormand-Prince"), (-1, -4, 1), strict=True
    ):
        axis.set_title(title)
        x = 10.0 ** -np.arange(3, 11) if power == 1 else 2.0 ** np.arange(2, 9)
        guide(axis, x, [{-1: 1e-2, -4: 1e-10, 1: 1e-10}[power]], power)
        axis.set_xlabel("tolerance" if power == 1 else "steps")
    axes[0].set_ylabel("largest error at the horizon")
    finish("orders", chosen, {"solutions": result}, figure)


if __name__ == "__main__":
    main()
