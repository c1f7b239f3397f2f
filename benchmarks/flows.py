"""Steps per second of flows, against torch, PyKeOps and Sisyphe, on one core.

    python benchmarks/flows.py                 all cases, prints a table
    python benchmarks/flows.py --quick         fewer particles and rounds
    python benchmarks/flows.py --json PATH     also writes every time that was taken
    python benchmarks/flows.py --table PATH    also writes the table as a Markdown page

Each round runs all contenders of a case one after the other, in one process on one core and in one
floating type, and takes their processor time. A ratio is taken within a round; its median over the
rounds is printed with its range. All contenders of a case step in the same way, with the same
points about which the sphere is parametrised, and the run stops where their end positions differ by
more than rounding. Only Sisyphe has a scheme of its own (it moves before it turns); there the
difference must be of first order in the step. What is not installed is left out.
"""

# ruff: noqa: E402
import os

for _name in ("OPENBLAS", "OMP", "MKL", "NUMEXPR"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

import argparse
import importlib.util
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from _ratios import ratio

from pushforward.numeric import Sphere
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    VelocityField,
    block,
    dot,
    gibbs,
    integral,
    library,
    norm2,
    stack,
)

TORCH = importlib.util.find_spec("torch") is not None
if TORCH:
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)

x, y, mu = Point("x"), Point("y"), Measure("mu")
STEP = 0.02
ROWS = 1024
SECONDS = 0.1
Call = Callable[[int], Any]


@dataclass
class Case:
    """One row: `contenders[name](steps)` gives end positions; seconds per step in every round."""

    system: str
    n: int
    d: int
    method: str
    dtype: str
    contenders: dict[str, Call]
    tolerance: dict[str, float]
    steps: int = 1
    apart: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def check(self) -> None:
        """Compile all, and compare where the particles are after a few steps."""
        few = 4 if self.n < 5000 else 1
        ours = np.asarray(self.contenders["pushforward"](few))
        size = np.abs(ours).max()
        for name, call in self.contenders.items():
            self.apart[name] = float(np.abs(np.asarray(call(few)) - ours).max() / size)
            if not self.apart[name] <= self.tolerance[name]:
                raise SystemExit(f"{self}: {name} ends {self.apart[name]:.1e} away")

    def run(self, rounds: int) -> None:
        self.check()
        self.steps = max(1, math.ceil(SECONDS / timed(self.contenders["pushforward"], 2)))
        for _ in range(rounds):
            for name, call in self.contenders.items():
                self.seconds.setdefault(name, []).append(timed(call, self.steps))

    def rate(self, name: str) -> float:
        return 1 / statistics.median(self.seconds[name])

    def ratio(self, other: str) -> tuple[float, float, float]:
        """Median, least and largest of the times of another in ours."""
        return ratio(self.seconds[other], self.seconds["pushforward"])

    def __str__(self) -> str:
        return f"{self.system}, d={self.d}, N={self.n}, {self.method}, {self.dtype}"


def timed(call: Call, steps: int) -> float:
    """Processor seconds of a step."""
    start = time.process_time()
    call(steps)
    return (time.process_time() - start) / steps


# ---- steps in torch, as `pushforward` takes them


def flat_steps(rate, state, method: str, steps: int):
    """Euler or the classical Runge-Kutta method."""
    h = STEP
    for _ in range(steps):
        k1 = rate(state)
        if method == "euler":
            state = state + h * k1
            continue
        k2 = rate(state + h / 2 * k1)
        k3 = rate(state + h / 2 * k2)
        k4 = rate(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


def round_steps(rate, state, method: str, steps: int):
    """The same in stereographic coordinates about each point of the sphere."""
    dot_ = lambda a, b: (a * b).sum(-1, keepdim=True)  # noqa: E731

    def move(at, u):
        square = dot_(u, u) / 4
        there = ((1 - square) * at + u) / (1 + square)
        return there / dot_(there, there).sqrt()

    def pull(at, there, speed):
        speed = speed - dot_(there, speed) * there
        height, rise = dot_(at, there), dot_(at, speed)
        side = (speed - rise * at) - (there - height * at) * (rise / (1 + height))
        return 2 * side / (1 + height)

    for _ in range(steps):
        at = state

        def slope(u, at=at):
            there = move(at, u)
            return pull(at, there, rate(there))

        start = torch.zeros_like(at)
        state = move(at, flat_steps(slope, start, method, 1))
    return state


# ---- fields in torch and PyKeOps


def torch_attention(a, v, weights):
    """`scaled_dot_product_attention`, with log weights as a mask of stride 0."""
    logs, attend = torch.log(weights), torch.nn.functional.scaled_dot_product_attention
    mask = logs.expand(1, 1, len(weights), len(weights))

    def rate(state):
        queries, values = state @ a, state @ v.T
        each = (part[None, None] for part in (queries, state, values))
        return attend(*each, attn_mask=mask, scale=1.0)[0, 0]

    return rate


def torch_swarm(weights, d: int):
    """Blocks of rows: squared distances by one product, the sum over the others by another."""

    def rate(state):
        q, v = state[:, :d].contiguous(), state[:, d:].contiguous()
        square = (q * q).sum(1)
        weighted = weights[:, None] * torch.cat([v, torch.ones_like(v[:, :1])], 1)
        out = torch.empty_like(v)
        for i in range(0, len(q), ROWS):
            rows = slice(i, i + ROWS)
            gaps = torch.addmm(square, q[rows], q.T, alpha=-2)
            pull = gaps.add_(square[rows, None] + 1).clamp_(min=1).rsqrt_() @ weighted
            out[rows] = pull[:, :d] - pull[:, d:] * v[rows]
        return torch.cat([v, out], 1)

    return rate


def keops_attention(a, v, weights):
    from pykeops.torch import LazyTensor  # pyright: ignore

    logs = LazyTensor(torch.log(weights)[None, :, None])

    def rate(state):
        queries, values = (state @ a).contiguous(), (state @ v.T).contiguous()
        score = (LazyTensor(queries[:, None]) * LazyTensor(state[None])).sum(-1) + logs
        return score.sumsoftmaxweight(LazyTensor(values[None]), axis=1)

    return rate


def keops_swarm(weights, d: int):
    from pykeops.torch import LazyTensor  # pyright: ignore

    share = LazyTensor(weights[None, :, None])

    def rate(state):
        q, v = state[:, :d].contiguous(), state[:, d:].contiguous()
        gap = LazyTensor(q[:, None]) - LazyTensor(q[None])
        turn = LazyTensor(v[None]) - LazyTensor(v[:, None])
        pull = share * (1 + (gap * gap).sum(-1)).rsqrt() * turn
        return torch.cat([v, pull.sum(1)], 1)

    return rate


# ---- the cases


def attention_case(n: int, d: int, method: str, dtype: str, keops: bool, sphere: bool) -> Case:
    rng = np.random.default_rng(d)
    points, weights = rng.normal(size=(n, d)) / d**0.25, rng.dirichlet(np.ones(n))
    a, v = rng.normal(size=(d, d)) / d**0.75, rng.normal(size=(d, d)) / d**0.5
    A, V = Matrix("A"), Matrix("V")
    found = library.sphere_attention() if sphere else None
    found = found or VelocityField(gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
    if sphere:
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    points, weights, a, v = (part.astype(dtype) for part in (points, weights, a, v))
    system = "attention on the sphere" if sphere else "softmax attention"
    domain = Sphere(d) if sphere else None
    steps = round_steps if sphere else flat_steps
    bound = found.bind(A=a, V=v)
    contenders = {"pushforward": ours(bound, points, weights, method, domain)}
    if TORCH:
        numbers = [torch.tensor(part) for part in (a, v, weights)]
        makers = {"torch": torch_attention} | ({"PyKeOps": keops_attention} if keops else {})
        contenders |= theirs(makers, numbers, points, method, steps)
    return case(system, n, d, method, dtype, contenders)


def swarm_case(n: int, d: int, method: str, dtype: str, keops: bool) -> Case:
    rng = np.random.default_rng(d)
    points = rng.normal(size=(n, 2 * d)).astype(dtype)
    weights = rng.dirichlet(np.ones(n)).astype(dtype)
    (q, v), (r, w) = (tuple(block(z, i * d, i * d + d) for i in (0, 1)) for z in (x, y))
    pull = integral((1 + norm2(q - r)) ** -0.5 * (w - v), y, mu)
    bound = VelocityField(stack(v, pull), x, mu).bind()
    contenders = {"pushforward": ours(bound, points, weights, method, None)}
    if TORCH:
        makers = {"torch": torch_swarm} | ({"PyKeOps": keops_swarm} if keops else {})
        numbers = [torch.tensor(weights), d]
        contenders |= theirs(makers, numbers, points, method, flat_steps)
    return case("Cucker-Smale", n, d, method, dtype, contenders)


def sisyphe_case(n: int, d: int, dtype: str) -> Case:
    """The model of Sisyphe: all within a radius count alike; its box is large, it has no noise."""
    from sisyphe.models import CuckerSmale  # pyright: ignore
    from sympy import Piecewise

    if not hasattr(np, "math"):
        # Sisyphe 1.2.1 asks for a name that NumPy 2 dropped, with a whole number as a float.
        np.math = SimpleNamespace(  # pyright: ignore
            factorial=lambda k: math.factorial(int(k)), pi=math.pi, sqrt=math.sqrt
        )
    rng = np.random.default_rng(d)
    size, radius = 100.0, 1.0
    points = rng.normal(size=(n, 2 * d)).astype(dtype)
    points[:, :d] += size / 2
    unit = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    strength = unit * radius**d / size**d  # undoes its scaling with the density of the box
    (q, v), (r, w) = (tuple(block(z, i * d, i * d + d) for i in (0, 1)) for z in (x, y))
    near = Piecewise((1, norm2(q - r) <= radius**2), (0, True))
    bound = VelocityField(stack(v, integral(near * (w - v), y, mu)), x, mu).bind()
    weights = np.full(n, 1 / n, dtype)

    def sisyphe(steps: int):
        start = torch.tensor(points)
        model = CuckerSmale(
            start[:, :d].clone(), start[:, d:].clone(), 0.0, strength, radius, size, 0.0, 0.0,
            boundary_conditions="open", dt=STEP,
        )  # fmt: skip
        for _ in range(steps):
            model.update()
        return torch.cat([model.pos, model.vel], 1).numpy()

    contenders = {"pushforward": ours(bound, points, weights, "euler", None), "Sisyphe": sisyphe}
    made = case("Cucker-Smale, radius", n, d, "euler", dtype, contenders)
    made.tolerance["Sisyphe"] = STEP
    return made


def ours(bound, points, weights, method: str, domain) -> Call:
    def run(steps: int):
        return bound.flow(
            points, weights, STEP * steps, steps=steps, method=method, domain=domain, engine="auto"
        )

    return run


def theirs(makers, numbers, points, method: str, steps_of) -> dict[str, Call]:
    def contender(rate) -> Call:
        return lambda steps: steps_of(rate, torch.tensor(points), method, steps).numpy()

    return {name: contender(make(*numbers)) for name, make in makers.items()}


def case(system: str, n: int, d: int, method: str, dtype: str, contenders) -> Case:
    rounding = 1e-10 if dtype == "float64" else 3e-4
    return Case(system, n, d, method, dtype, contenders, dict.fromkeys(contenders, rounding))


def cases(options):
    sizes = (256, 2048) if options.quick else (256, 2048, 8192)
    installed = TORCH and importlib.util.find_spec("pykeops") is not None
    for dtype in options.dtypes.split(","):
        for n in sizes:
            keops = installed and n <= options.keops
            for method in ("euler", "rk4"):
                yield attention_case(n, 3, method, dtype, keops, sphere=False)
                yield attention_case(n, 32, method, dtype, keops, sphere=False)
                yield attention_case(n, 3, method, dtype, keops, sphere=True)
                yield swarm_case(n, 3, method, dtype, keops)
            if keops and importlib.util.find_spec("sisyphe") is not None:
                yield sisyphe_case(n, 3, dtype)


# ---- what is written

HEAD = ("system", "d", "N", "method", "type", "pushforward", "torch", "PyKeOps", "Sisyphe")


def row(done: Case) -> list[str]:
    cells = [done.system, str(done.d), str(done.n), done.method, done.dtype]
    cells.append(f"{done.rate('pushforward'):.3g}")
    for other in HEAD[6:]:
        if other not in done.seconds:
            cells.append("")
            continue
        middle, least, most = done.ratio(other)
        cells.append(f"{done.rate(other):.3g}: {middle:.2f} ({least:.2f} to {most:.2f})")
    return cells


def environment() -> dict[str, Any]:
    packages = {}
    for name in ("pushforward", "numpy", "torch", "pykeops", "sisyphe"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    load = [round(value, 2) for value in os.getloadavg()]
    return {"python": platform.python_version(), "load average": load} | packages


def processor() -> str:
    """What /proc says of the processor, or the name of the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"an {names[0]}" if names else platform.machine()


def page(rows: list[list[str]], notes: dict[str, Any], command: str, most: int) -> str:
    lines = [" | ".join(cells) for cells in (HEAD, ["---"] * len(HEAD), *rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    versions = ", ".join(f"{name} {value}" for name, value in notes.items())
    return (
        f"# Steps per second of flows\n\nWritten by `{command}`\n({versions}).\nOn one core of "
        f"{processor()}, in processor time, all contenders of a row in one\nprocess, one after the "
        "other in every round. A cell holds steps a second, and for the others the time of\na "
        "step in that of `pushforward`: the median of the ratios within a round, and their range. "
        "Above 1,\n`pushforward` is faster. End positions agree to rounding, for Sisyphe to first "
        "order in the step. PyKeOps\nand Sisyphe, which sums through it, are made for GPUs; they "
        f"are timed here for up to {most}\nparticles.\n\n{table}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 2048 particles, three rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtypes", default="float32,float64", help="default %(default)s")
    parser.add_argument(
        "--keops", type=int, default=2048, help="most particles for PyKeOps and Sisyphe"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    rows, record, notes = [], [], environment()
    print(" | ".join(HEAD))
    for done in cases(options):
        done.run(3 if options.quick else options.rounds)
        rows.append(row(done))
        print(" | ".join(rows[-1]), flush=True)
        record.append({
            "system": done.system, "d": done.d, "n": done.n, "method": done.method,
            "dtype": done.dtype, "step": STEP, "steps": done.steps,
            "relative distance of end positions": done.apart, "seconds per step": done.seconds,
        })  # fmt: skip
    if options.json:
        text = json.dumps({"environment": notes, "cases": record}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.table:
        quick = " --quick" if options.quick else ""
        command = f"python benchmarks/flows.py{quick} --rounds {options.rounds}"
        options.table.write_text(page(rows, notes, command, options.keops), encoding="utf-8")


if __name__ == "__main__":
    main()
