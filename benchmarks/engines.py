"""Speed of the engines on one core, against torch, JAX, PyKeOps, numba and plain NumPy.

    python benchmarks/engines.py                 all cases, prints a table
    python benchmarks/engines.py --quick         fewer points and rounds
    python benchmarks/engines.py --json PATH     writes every time that was taken
    python benchmarks/engines.py --figure PATH   writes a figure

All contenders of a case run in one process on one core, one after the other in every round, and
their CPU time is taken. Rates are pairs (x_i, y_j) a second; a ratio is taken within a round, and
its median over the rounds is printed with its range. Each round also runs a yardstick compiled in
C, which measures the exponentials and the multiply-adds of the core, so that

    bound on the time of a pair = (2d + 3) / multiply-adds a second + 1 / exponentials a second.

Contenders that are not installed are left out. The others work on projected queries, keys and
values; `native` and `numpy` are timed from the call with points and parameters to the answer.
"""

# ruff: noqa: E402
import os

for _name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "NUMBA"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import argparse
import ctypes
import importlib.util
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from _ratios import ratio
from sympy import Rational

from pushforward import symbolic as s
from pushforward.numeric.compiler import compiled
from pushforward.numeric.native_prelude import PRELUDE
from pushforward.symbolic import Matrix, Measure, Point, SymbolicMap, Vector, library

Call = Callable[[], Any]
x, y, mu = Point("x"), Point("y"), Measure("mu")
A, V, u = Matrix("A"), Matrix("V"), Vector("u")
ATTENTION = SymbolicMap(s.gibbs(V @ y, y, mu, energy=s.dot(x, A @ y)), x, mu)
OTHERS = ("torch", "jax")


@dataclass
class Case:
    """One row of the table: the contenders, and the seconds of each in every round."""

    name: str
    pairs: int
    flops: int
    dtype: str
    contenders: dict[str, Call]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    bounds: list[float] = field(default_factory=list)

    def run(self, rounds: int) -> None:
        for _ in range(rounds):
            multiply_adds, exponentials = yardstick(self.dtype)
            self.bounds.append(self.pairs * (self.flops / multiply_adds + 1 / exponentials))
            for name, call in self.contenders.items():
                self.seconds.setdefault(name, []).append(timed(call))

    def ratio(self, name: str, other: str = "native") -> tuple[float, float, float]:
        """Median, least and largest of the times of one contender in those of another."""
        return ratio(self.seconds[name], self.seconds[other])

    def fraction(self, name: str) -> float:
        """The part of the bound that a contender reaches, a median."""
        return statistics.median(
            b / t for b, t in zip(self.bounds, self.seconds[name], strict=True)
        )


def timed(call: Call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


# ---- the yardstick

_YARDSTICK = r"""
enum { WIDE = 12, NUMBERS = 256 };
double multiply_adds(long times) {
  V sums[WIDE]; T out = 0;
  for (int k = 0; k < WIDE; ++k) sums[k] = SPLAT((T)k / WIDE);
  V a = SPLAT(0.999f), b = SPLAT(0.001f);
  for (long t = 0; t < times; ++t) {
    __asm__ volatile("" : "+x"(a), "+x"(b));
    #pragma GCC unroll 12
    for (int k = 0; k < WIDE; ++k) sums[k] = sums[k] * a + b;
  }
  for (int k = 0; k < WIDE; ++k) for (int l = 0; l < LANES; ++l) out += sums[k][l];
  return out;
}
double exponentials(long times) {
  static V numbers[NUMBERS], results[NUMBERS];
  for (int k = 0; k < NUMBERS; ++k) numbers[k] = SPLAT(-(T)k / 16);
  for (long t = 0; t < times; ++t) {
    __asm__ volatile("" ::: "memory");
    #pragma GCC unroll 4
    for (int k = 0; k < NUMBERS; ++k) results[k] = vexp2_nonpositive(numbers[k]);
  }
  return results[7][0];
}
long lanes(void) { return LANES; }
"""


@cache
def yardstick_library(dtype: str) -> ctypes.CDLL:
    bits = 8 * np.dtype(dtype).itemsize
    loaded = compiled(f"#define REAL_BITS {bits}\n{PRELUDE}\n{_YARDSTICK}")
    for name in ("multiply_adds", "exponentials"):
        loaded[name].argtypes, loaded[name].restype = [ctypes.c_long], ctypes.c_double
    return loaded


def yardstick(dtype: str) -> tuple[float, float]:
    """Multiply-adds and exponentials a second, one a lane."""
    loaded = yardstick_library(dtype)
    lanes, most = loaded.lanes(), []
    for function, each, times in (
        (loaded.multiply_adds, 12, 2_000_000),
        (loaded.exponentials, 256, 40_000),
    ):
        best = min(timed(lambda f=function, t=times: f(t)) for _ in range(2))
        most.append(times * each * lanes / best)
    return most[0], most[1]


# ---- the cases


def attention_case(n: int, d: int, dtype: str, keops_seconds: float, others: bool = True) -> Case:
    rng = np.random.default_rng(d)
    points, weights = rng.normal(size=(n, d)) / d**0.25, rng.dirichlet(np.ones(n))
    a, v = rng.normal(size=(d, d)) / d**0.75, rng.normal(size=(d, d)) / d**0.5
    points, weights = points.astype(dtype), weights.astype(dtype)
    a, v = a.astype(dtype), v.astype(dtype)
    bound = ATTENTION.bind(A=a, V=v)
    q, values = points @ a, points @ v.T
    contenders: dict[str, Call] = {
        "native": lambda: bound(points, weights, points, engine="native"),
        "numpy": lambda: bound(points, weights, points, engine="numpy"),
        "plain": lambda: plain_attention(q, points, values, weights),
    }
    want = contenders["numpy"]()
    for make in (torch_attention, jax_attention) if others else ():
        contenders |= make(q, points, values, weights)
    if keops_seconds:
        contenders |= keops_attention(q, points, values, weights, keops_seconds)
    check(contenders, want, dtype)
    return Case(f"softmax attention d={d}", n * n, 2 * d + 3, dtype, contenders)


def plain_attention(q, k, v, weights, rows: int = 64) -> np.ndarray:
    """Blocks of rows, one product for the scores and one for the means."""
    logs, out = np.log(weights), np.empty((len(q), v.shape[1]), q.dtype)
    for i in range(0, len(q), rows):
        scores = q[i : i + rows] @ k.T
        scores += logs
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        out[i : i + rows] = scores @ v / scores.sum(axis=1, keepdims=True)
    return out


def torch_attention(q, k, v, weights) -> dict[str, Call]:
    """SDPA with log weights as a mask of stride 0; one more component of the keys is slower."""
    if not importlib.util.find_spec("torch"):
        return {}
    import torch

    torch.set_num_threads(1)
    attend = torch.nn.functional.scaled_dot_product_attention
    tq, tk, tv = (torch.tensor(part)[None, None] for part in (q, k, v))
    logs = torch.log(torch.tensor(weights))
    mask = logs.expand(1, 1, len(q), len(k))
    return {"torch": lambda: attend(tq, tk, tv, attn_mask=mask, scale=1.0)[0, 0].numpy()}


def jax_attention(q, k, v, weights) -> dict[str, Call]:
    """Blocks of rows under `lax.map`, small enough for the cache and larger."""
    if not importlib.util.find_spec("jax"):
        return {}
    import jax
    import jax.numpy as jnp

    jq, jk, jv, logs = (jnp.asarray(part) for part in (q, k, v, np.log(weights)))

    def attend(rows: int) -> Call:
        def block(queries):
            return jax.nn.softmax(queries @ jk.T + logs, axis=-1) @ jv

        def whole(queries):
            return jax.lax.map(block, queries.reshape(-1, rows, q.shape[1])).reshape(-1, v.shape[1])

        compiled_whole = jax.jit(whole)
        return lambda: np.asarray(compiled_whole(jq).block_until_ready())

    return {f"jax {rows}": attend(rows) for rows in (32, 256)}


def keops_attention(q, k, v, weights, budget: float) -> dict[str, Call]:
    if not importlib.util.find_spec("pykeops"):
        return {}
    from pykeops.numpy import LazyTensor  # pyright: ignore

    d = q.shape[1]
    qi, kj = LazyTensor(q[:, None, :]), LazyTensor(k[None, :, :])
    vj = LazyTensor(v[None, :, :])
    lj = LazyTensor(np.log(weights)[None, :, None])
    return within(budget, lambda: ((qi | kj) + lj).sumsoftmaxweight(vj, axis=1).reshape(-1, d))


def keops_cucker_smale(points, weights, d: int, budget: float) -> dict[str, Call]:
    if not importlib.util.find_spec("pykeops"):
        return {}
    from pykeops.numpy import LazyTensor  # pyright: ignore

    q, v = (np.ascontiguousarray(part) for part in (points[:, :d], points[:, d:]))
    qi, vi = LazyTensor(q[:, None, :]), LazyTensor(v[:, None, :])
    qj, vj = LazyTensor(q[None, :, :]), LazyTensor(v[None, :, :])
    wj = LazyTensor(weights[None, :, None])

    def force() -> np.ndarray:
        rate = (1 + ((qj - qi) ** 2).sum(-1)).rsqrt()
        return np.hstack([v, (wj * rate * (vj - vi)).sum(axis=1)])

    return within(budget, force)


def within(budget: float, call: Call) -> dict[str, Call]:
    """PyKeOps; left out where one compilation outlives the budget."""
    start = time.perf_counter()
    call()
    took = time.perf_counter() - start
    if took > budget:
        print(f"PyKeOps left out: its first call took {took:.0f} s", file=sys.stderr)
        return {}
    return {"keops": call}


def cucker_smale_case(n: int, d: int, dtype: str, keops_seconds: float = 0) -> Case:
    rng = np.random.default_rng(d)
    points = rng.normal(size=(n, 2 * d)).astype(dtype)
    weights = rng.dirichlet(np.ones(n)).astype(dtype)
    (q, v), (r, w) = library._phase(x, d), library._phase(y, d)
    rate = (1 + s.norm2(q - r)) ** -Rational(1, 2)
    field_ = s.VelocityField(s.stack(v, s.integral(rate * (w - v), y, mu)), x, mu).bind()
    contenders: dict[str, Call] = {
        "native": lambda: field_(points, weights, points, engine="native"),
        "numpy": lambda: field_(points, weights, points, engine="numpy"),
    }
    want = contenders["numpy"]()
    contenders["plain"] = lambda: plain_cucker_smale(points, weights, d)
    contenders["plain, expanded"] = lambda: plain_cucker_smale(points, weights, d, expanded=True)
    contenders |= numba_cucker_smale(points, weights, d)
    if keops_seconds:
        contenders |= keops_cucker_smale(points, weights, d, keops_seconds)
    check(contenders, want, dtype)
    # differences, squares, a reciprocal root counted as eight, a difference and a sum of each
    return Case(f"Cucker-Smale d={d}", n * n, 4 * d + 8, dtype, contenders)


def plain_cucker_smale(points, weights, d: int, rows: int = 64, expanded: bool = False):
    """Blocks of rows; squares of distances from differences, or from a product, which cancels."""
    q, v, out = points[:, :d], points[:, d:], np.empty_like(points)
    columns, squares = np.ascontiguousarray(q.T), (q * q).sum(axis=1)
    for i in range(0, len(q), rows):
        here = q[i : i + rows]
        if expanded:
            rates = here @ columns
            rates *= -2
            rates += squares
            rates += 1 + squares[i : i + rows, None]
        else:
            rates = np.ones((len(here), len(q)), points.dtype)
            for k in range(d):
                difference = columns[k] - here[:, k, None]
                difference *= difference
                rates += difference
        np.sqrt(rates, out=rates)
        np.divide(weights, rates, out=rates)
        own = v[i : i + rows]
        out[i : i + rows, :d] = own
        out[i : i + rows, d:] = rates @ v - rates.sum(axis=1, keepdims=True) * own
    return out


def numba_cucker_smale(points, weights, d: int) -> dict[str, Call]:
    """Two plain loops with fast arithmetic, its dimension a constant."""
    if not importlib.util.find_spec("numba"):
        return {}
    import numba  # pyright: ignore

    @numba.njit(fastmath=True, error_model="numpy")
    def force(q, v, weights, out):
        zero, one = weights.dtype.type(0), weights.dtype.type(1)
        for i in range(q.shape[1]):
            for c in range(d):
                out[c, i] = zero
            if d == 2:
                f0, f1 = zero, zero
                for j in range(q.shape[1]):
                    r0, r1 = q[0, j] - q[0, i], q[1, j] - q[1, i]
                    p = weights[j] / np.sqrt(one + r0 * r0 + r1 * r1)
                    f0 += p * (v[0, j] - v[0, i])
                    f1 += p * (v[1, j] - v[1, i])
                out[0, i], out[1, i] = f0, f1
            elif d == 3:
                f0, f1, f2 = zero, zero, zero
                for j in range(q.shape[1]):
                    r0, r1, r2 = q[0, j] - q[0, i], q[1, j] - q[1, i], q[2, j] - q[2, i]
                    p = weights[j] / np.sqrt(one + r0 * r0 + r1 * r1 + r2 * r2)
                    f0 += p * (v[0, j] - v[0, i])
                    f1 += p * (v[1, j] - v[1, i])
                    f2 += p * (v[2, j] - v[2, i])
                out[0, i], out[1, i], out[2, i] = f0, f1, f2

    q, v = np.ascontiguousarray(points[:, :d].T), np.ascontiguousarray(points[:, d:].T)
    out = np.empty_like(v)

    def call():
        force(q, v, weights, out)
        return np.concatenate([points[:, d:], out.T], axis=1)

    return {"numba": call}


def derivative_case(n: int, d: int, dtype: str, what: str) -> Case:
    """Derivatives against the value alone: one pass with several results, and the Jacobian."""
    rng = np.random.default_rng(d)
    points, weights = rng.normal(size=(n, d)) / d**0.25, rng.dirichlet(np.ones(n))
    points, weights = points.astype(dtype), weights.astype(dtype)
    values = {"A": rng.normal(size=(d, d)) / d**0.75, "V": rng.normal(size=(d, d)) / d**0.5}
    values = {name: value.astype(dtype) for name, value in values.items()}
    value = ATTENTION.bind(**values)
    contenders: dict[str, Call] = {"value": lambda: value(points, weights, points, engine="native")}
    if what == "Jacobian":
        jacobian = ATTENTION.jacobian().bind(**values)
        contenders["native"] = lambda: jacobian(points, weights, points, engine="native")
    else:
        term, more = all_together()
        together = SymbolicMap(term, x, mu).bind(
            **values, **{name: rng.normal(size=shape(d)).astype(dtype) for name, shape in more}
        )
        contenders["native"] = lambda: together(points, weights, points, engine="native")
    contenders["native"]()
    return Case(f"{what} d={d}", n * n, 2 * d + 3, dtype, contenders)


def all_together():
    """The value, its divergence, its derivative along u, and along a flow of the measure.

    The measure moves with the velocity `W y` and its weights grow at the rate `<g, y>`.
    """
    along = s.gateaux(ATTENTION.term, s.Along(x, u))
    divergence = ATTENTION.divergence().term
    W, g = Matrix("W"), Vector("g")
    energy = s.dot(x, A @ y)
    rate = s.dot(g, y) + s.dot(x, A @ (W @ y))
    displaced = s.gibbs(V @ (W @ y), y, mu, energy=energy) + s.covariance(
        V @ y, rate, y, mu, energy=energy
    )
    term = s.stack(ATTENTION.term, divergence, along, displaced)
    return term, (("u", lambda d: (d,)), ("W", lambda d: (d, d)), ("g", lambda d: (d,)))


def check(contenders: dict[str, Call], want: np.ndarray, dtype: str) -> None:
    """Every contender computes the same thing."""
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    for name, call in contenders.items():
        error = np.abs(np.asarray(call()) - want).max() / np.abs(want).max()
        if error > tolerance:
            raise SystemExit(f"{name} differs by {error:.1e}")


def cases(options: argparse.Namespace) -> Iterator[Case]:
    n = 2048 if options.quick else 8192
    dimensions = (3, 16) if options.quick else (2, 3, 8, 16, 64)
    budget = options.keops if options.keops is not None else (0 if options.quick else 30)
    others = not options.among or any(name in options.among for name in OTHERS)
    makers: dict[str, Callable[[], Case]] = {}
    for dtype in ("float32", "float64"):
        for d in dimensions:
            name = f"softmax attention d={d} {dtype}"
            makers[name] = lambda d=d, t=dtype: attention_case(n, d, t, budget, others)
        for d in (2, 3):
            name = f"Cucker-Smale d={d} {dtype}"
            makers[name] = lambda d=d, t=dtype: cucker_smale_case(n, d, t, budget)
    for what, dims in (("all derivatives", (3, 8, 16, 64)), ("Jacobian", (2, 3, 8))):
        for d in (3,) if options.quick else dims:
            name = f"{what} d={d} float32"
            makers[name] = lambda d=d, w=what: derivative_case(n // 2, d, "float32", w)
    for name, make in makers.items():
        if options.only in name:
            case = make()
            kept = options.among.split("|") if options.among else list(case.contenders)
            case.contenders = {name: case.contenders[name] for name in kept}
            yield case


# ---- what is printed


def report(case: Case) -> None:
    print(f"\n{case.name} {case.dtype}, {case.pairs / 1e6:.0f} million pairs")
    first = next(iter(case.seconds))
    for name, seconds in case.seconds.items():
        rate = case.pairs / statistics.median(seconds) / 1e6
        line = f"  {name:12} {rate:8.0f} Mpair/s"
        if name != first:
            middle, least, most = case.ratio(name, first)
            line += f"   takes {middle:6.2f} of {first} ({least:.2f} to {most:.2f})"
        elif "attention" in case.name:
            line += f"   {case.fraction(name):6.2f} of the bound"
        print(line, flush=True)


def summary(done: list[Case]) -> None:
    """The figures that matter, as a table in Markdown."""
    print("\n| case | type | native Mpair/s | of the bound | over torch, jax | numpy over plain |")
    print("|---|---|---|---|---|---|")
    for case in done:
        others = [n for n in case.seconds if n.startswith(OTHERS)]
        best = min(others, key=lambda n: case.ratio(n)[0], default=None)
        rate = case.pairs / statistics.median(case.seconds["native"]) / 1e6
        cells = [case.name, case.dtype, f"{rate:.0f}"]
        cells.append(f"{case.fraction('native'):.2f}" if "attention" in case.name else "")
        cells.append("{:.2f} ({:.2f} to {:.2f})".format(*case.ratio(best)) if best else "")
        cells.append("{:.2f}".format(case.ratio("plain", "numpy")[0]) if best else "")
        print("| " + " | ".join(cells) + " |")
    for case in done:
        for other, words in (
            ("numba", "over numba"),
            ("keops", "over PyKeOps"),
            ("value", "of the time of the value"),
        ):
            if other in case.seconds:
                pair = ("native", other) if other == "value" else (other, "native")
                middle, least, most = case.ratio(*pair)
                print(f"{case.name} {case.dtype}: {middle:.2f} {words} ({least:.2f} to {most:.2f})")


def machine() -> dict[str, str]:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line for line in text.splitlines() if line.startswith("model name")), ":")
    return {
        "processor": model.partition(":")[2].strip() or platform.processor(),
        "python": platform.python_version(),
        "load": " ".join(f"{part:.1f}" for part in os.getloadavg()),
    }


def figure(done: list[Case], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=False)
    for axis, dtype in zip(axes, ("float32", "float64"), strict=True):
        chosen = [c for c in done if c.dtype == dtype and "attention" in c.name]
        names = dict.fromkeys(name for case in chosen for name in case.seconds)
        for name in names:
            here = [c for c in chosen if name in c.seconds]
            dims = [int(c.name.rpartition("=")[2]) for c in here]
            rates = [c.pairs / statistics.median(c.seconds[name]) / 1e9 for c in here]
            axis.plot(dims, rates, marker="o", label=name)
        dims = [int(c.name.rpartition("=")[2]) for c in chosen]
        bounds = [c.pairs / statistics.median(c.bounds) / 1e9 for c in chosen]
        axis.plot(dims, bounds, "k--", label="bound")
        axis.set(xscale="log", yscale="log", xlabel="d", ylabel="Gpair/s", title=dtype)
    axes[0].legend(fontsize=7)
    panels.tight_layout()
    panels.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer points and rounds")
    parser.add_argument("--json", type=Path, help="write all times here")
    parser.add_argument("--figure", type=Path, help="write a figure here")
    parser.add_argument("--keops", type=float, help="seconds that PyKeOps may compile, 0 leaves it")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--among", default="", help="only these contenders, with | between them")
    parser.add_argument("--rounds", type=int, help="rounds of each case")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(" | ".join(f"{key}: {value}" for key, value in machine().items()))
    done = []
    for case in cases(options):
        case.run(options.rounds or (3 if options.quick else 5))
        report(case)
        done.append(case)
    if not options.among:
        summary(done)
    print(" | ".join(f"{key}: {value}" for key, value in machine().items()))
    if options.json:
        rows = [
            {"case": c.name, "type": c.dtype, "pairs": c.pairs, "bound": c.bounds, "s": c.seconds}
            for c in done
        ]
        options.json.write_text(json.dumps({"machine": machine(), "cases": rows}, indent=1))
    if options.figure:
        figure(done, options.figure)


if __name__ == "__main__":
    main()
