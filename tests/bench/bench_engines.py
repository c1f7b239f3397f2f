"""Pairs of rows and atoms a second, by engine. Run by name:

    python -m pytest tests/bench/bench_engines.py --benchmark-enable --benchmark-json=FILE

A row is (formula, engine, type, n, d). `plain` is a few lines of NumPy, the baseline for attention.
`extra_info` in the file holds millions of pairs a second and the processors used.
"""

import numpy as np
import pytest

from pushforward.numeric import engine_status
from pushforward.numeric.native import processors
from pushforward.symbolic import library

ATTENTION = library.softmax_attention(residual=True)
FORMULAS = {
    "attention": ATTENTION,
    "its Jacobian": ATTENTION.jacobian(),
    "Cucker-Smale": library.cucker_smale(2),
}
ENGINES = ["plain", "numpy", "reference", *("native",) * (not engine_status()["native"])]


def plain(points, weights, x, a, v):
    scores = x @ a @ points.T
    kernel = weights * np.exp(scores - scores.max(axis=1, keepdims=True))
    return x + (kernel @ points) @ v.T / kernel.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n, d", [(512, 4), (2048, 4), (2048, 16)])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FORMULAS)
def test_pairs_a_second(benchmark, name, engine, n, d, dtype):
    formula, rng = FORMULAS[name], np.random.default_rng(0)
    if (engine == "plain" and name != "attention") or (name == "Cucker-Smale" and d != 4):
        pytest.skip("no such row")
    if engine == "reference" and n * n * d * (d if "Jacobian" in name else 1) > 2**25:
        pytest.skip("the reference holds all pairs at once")
    points, weights = rng.normal(size=(n, d)).astype(dtype), rng.dirichlet(np.ones(n))
    shapes = {"A": (d, d), "V": (d, d)}
    values = {
        p.name: rng.normal(size=shapes[p.name]) / d if p.name in shapes else 0.3
        for p in formula.parameters
    }
    if engine == "plain":
        a, v = (values[key].astype(dtype) for key in "AV")
        call = lambda: plain(points, weights.astype(dtype), points, a, v)  # noqa: E731
    else:
        bound = formula.bind(**values)
        call = lambda: bound(points, weights, points, engine=engine)  # noqa: E731
    call()
    benchmark.pedantic(call, rounds=5, iterations=1)
    if benchmark.stats:  # absent where benchmarks are disabled
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["Mpairs/s"] = round(n * n / seconds / 1e6)
        benchmark.extra_info["processors"] = processors()
