"""Speed of the `cuda` engine on a device, against KeOps and torch's attention.

    python benchmarks/gpu.py                     all cases, prints a table
    python benchmarks/gpu.py --quick             fewer points, dimensions and rounds
    python benchmarks/gpu.py --json PATH         writes every time that was taken
    python benchmarks/gpu.py --figure PATH       draws the rate of pairs over the dimension

All contenders of a case run one after the other in every round, with their arrays on the device;
a time goes from the call to the end of the device's work. Ratios are taken within a round; their
median over the rounds is printed with their range. Two yardsticks run in each round, so that

    FMA limit = pairs (2d + 3) / multiply-adds a second
    exp limit = pairs / exponentials a second

and the fractions of the time that each explains are printed. TFLOP/s count the 4d operations of
the products of a pair and nothing else. Every contender's first rows are held against float64.
torch's flash attention takes no float32: it runs in bfloat16 and is marked so. What is not
installed or cannot run a case is a note below its rows; a case that fails leaves the others alone,
and the file is written after each of them. Without a device the script says so and exits with 2.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from _ratios import ratio
from sympy import Rational, sqrt

from pushforward import symbolic as s
from pushforward.numeric import cuda
from pushforward.symbolic import Matrix, Measure, Point, SymbolicMap

x, y, mu, A, V = Point("x"), Point("y"), Measure("mu"), Matrix("A"), Matrix("V")
ATTENTION = SymbolicMap(s.gibbs(V @ y, y, mu, energy=s.dot(x, A @ y)), x, mu)
DISTANCE = 1 + s.norm2(y - x)
ALIGNMENT = SymbolicMap(s.integral((y - x) / sqrt(DISTANCE), y, mu), x, mu)
DIFFUSE = SymbolicMap(s.integral((y - x) / DISTANCE ** Rational(3, 10), y, mu), x, mu)
MAPS = {"attention": ATTENTION, "Cucker-Smale 1/2": ALIGNMENT, "Cucker-Smale 3/10": DIFFUSE}

LENGTHS = (10_000, 100_000, 1_000_000)
DIMENSIONS = (2, 3, 8, 16, 32, 64, 128)
OURS = "cuda"
ENGINES = {"float32": (OURS, "cuda:compensated"), "float64": (OURS,)}
LONGEST_MATRIX = 20_000
"""torch's attention in float64 holds all pairs."""
SLOWEST_RATE = 5e12
"""Operations a second that a contender is expected to reach: longer cases are left out."""

YARDSTICK = r"""
extern "C" __global__ void multiply_adds(T *out, int rounds) {
  T a[8], m = (T)1.0001 + out[0], b = out[1];
  for (int k = 0; k < 8; ++k) a[k] = threadIdx.x + k;
  for (int r = 0; r < rounds; ++r)
    for (int k = 0; k < 8; ++k) a[k] = a[k] * m + b;
  T sum = 0;
  for (int k = 0; k < 8; ++k) sum += a[k];
  if (sum == (T)-1) out[2] = sum;
}
extern "C" __global__ void exponentials(T *out, int rounds) {
  T a[8];
  for (int k = 0; k < 8; ++k) a[k] = out[0] - k;
  for (int r = 0; r < rounds; ++r)
    for (int k = 0; k < 8; ++k) a[k] = EXP(-a[k]);
  T sum = 0;
  for (int k = 0; k < 8; ++k) sum += a[k];
  if (sum == (T)-1) out[2] = sum;
}
"""
EXPONENTIAL = {
    # what the weights of a Gibbs law take
    "float32": "__device__ float E(float x) "
    '{ float r; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x)); return r; }',
    "float64": "__device__ double E(double x) { return exp(x); }",
}


class Device:
    """CuPy, and how to wait for all that the device has been given."""

    def __init__(self):
        self.cupy = import_module("cupy")
        self.yardsticks: dict[str, tuple[Any, Any]] = {}

    def timed(self, call: Callable[[], Any]) -> float:
        wait = self.cupy.cuda.runtime.deviceSynchronize
        wait()
        start = time.perf_counter()
        call()
        wait()
        return time.perf_counter() - start

    def rates(self, dtype: str) -> tuple[float, float]:
        """Multiply-adds and exponentials a second."""
        if dtype not in self.yardsticks:
            real = {"float32": "float", "float64": "double"}[dtype]
            text = f"{EXPONENTIAL[dtype]}\n#define EXP E\ntypedef {real} T;\n{YARDSTICK}"
            module = self.cupy.RawModule(code=text, options=("--std=c++17",), backend="nvrtc")
            names = "multiply_adds", "exponentials"
            self.yardsticks[dtype] = tuple(map(module.get_function, names))  # type: ignore
        found = []
        processors = self.cupy.cuda.Device().attributes["MultiProcessorCount"]
        blocks, threads, rounds = 16 * processors, 256, 2048
        out = self.cupy.zeros(4, dtype)
        for function in self.yardsticks[dtype]:
            call = lambda f=function: f((blocks,), (threads,), (out, np.int32(rounds)))  # noqa: E731
            call()
            found.append(8 * blocks * threads * rounds / self.timed(call))
        return found[0], found[1]

    def facts(self) -> dict[str, Any]:
        runtime = self.cupy.cuda.runtime
        properties = runtime.getDeviceProperties(self.cupy.cuda.Device().id)
        return {
            "device": properties["name"].decode(),
            "processors": properties["multiProcessorCount"],
            "driver": runtime.driverGetVersion(),
            "cupy": self.cupy.__version__,
            "python": platform.python_version(),
        }


@dataclass
class Case:
    """One row of the table: the contenders, and the seconds of each in every round."""

    name: str
    n: int
    d: int
    dtype: str
    contenders: dict[str, Callable[[], Any]]
    left_out: dict[str, str]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    rates: list[tuple[float, float]] = field(default_factory=list)

    def run(self, device: Device, rounds: int, exact: np.ndarray) -> None:
        for name, call in list(self.contenders.items()):
            with self.leaving_out(name):
                self.errors[name] = error(host(call()[: len(exact)]), exact)
        for _ in range(rounds):
            self.rates.append(device.rates(self.dtype))
            for name, call in list(self.contenders.items()):
                with self.leaving_out(name):
                    self.seconds.setdefault(name, []).append(device.timed(call))

    @contextmanager
    def leaving_out(self, name: str) -> Iterator[None]:
        """A contender that cannot run the case, or no longer, is a note."""
        try:
            yield
        except Exception as reason:  # whatever a rival or a driver raises
            self.left_out[name] = note(reason)
            del self.contenders[name]
            self.seconds.pop(name, None)

    def ratio(self, name: str) -> tuple[float, float, float] | None:
        """Median, least and largest of the times of a contender in those of ours."""
        if OURS not in self.seconds:
            return None
        return ratio(self.seconds[name], self.seconds[OURS])

    def fractions(self, name: str) -> tuple[float, float]:
        """The shares of the time that the multiply-adds and the exponentials alone would take."""
        pairs, seconds = self.n**2, statistics.median(self.seconds[name])
        multiply_adds = statistics.median(rate for rate, _ in self.rates)
        exponentials = statistics.median(rate for _, rate in self.rates)
        needed = pairs * (2 * self.d + 3) / multiply_adds, pairs / exponentials
        return needed[0] / seconds, needed[1] / seconds

    def row(self, name: str) -> str:
        seconds = statistics.median(self.seconds[name])
        fma, exp = self.fractions(name)
        ratio = self.ratio(name)
        compared = f"{ratio[0]:7.2f} ({ratio[1]:.2f}-{ratio[2]:.2f})" if ratio else f"{'-':>7}"
        return (
            f"{self.name:18} {self.n:8} {self.d:4} {self.dtype:8} {name:22} {1e3 * seconds:10.3f} "
            f"{4 * self.d * self.n**2 / seconds / 1e12:8.2f} {fma:6.2f} {exp:6.2f} "
            f"{compared} {self.errors[name]:.1e}"
        )

    def notes(self) -> list[str]:
        """Who is not among the rows, and why."""
        return [f"  without {name}: {reason}" for name, reason in self.left_out.items()]

    def to_json(self) -> dict[str, Any]:
        names = "name n d dtype left_out seconds errors rates".split()
        made = {name: getattr(self, name) for name in names}
        limits = {name: self.fractions(name) for name in self.seconds}
        return {**made, "fractions": limits, "ratios": {n: self.ratio(n) for n in self.seconds}}


def note(reason: BaseException) -> str:
    """What a failure says, in one line."""
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:160]


def host(value: Any) -> np.ndarray:
    if hasattr(value, "get"):
        return value.get()
    return value.float().cpu().numpy() if hasattr(value, "cpu") else np.asarray(value)


def error(got: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(got - exact) / np.linalg.norm(exact))


def case(device: Device, name: str, n: int, d: int, dtype: str) -> tuple[Case, np.ndarray]:
    """The contenders of a case, and the first rows in float64."""
    rng = np.random.default_rng(n + d)
    points, values = rng.normal(size=(n, d)) / d**0.25, rng.normal(size=(d, d)) / d**0.5
    matrices = {"A": np.eye(d) / d**0.25, "V": values} if name == "attention" else {}
    bound = MAPS[name].bind(**matrices)
    exact = bound(points, None, points[:16], engine="numpy", dtype="float64")
    on_device = device.cupy.asarray(points, dtype=dtype)
    contenders: dict[str, Callable[[], Any]] = {
        engine: lambda e=engine: bound(on_device, None, on_device, engine=e, dtype=dtype)
        for engine in ENGINES[dtype]
    }
    left_out: dict[str, str] = {}
    try:
        contenders |= others(name, points, matrices, dtype)
    except Exception as reason:  # torch is not there, or has no device
        left_out["torch and KeOps"] = note(reason)
    return Case(name, n, d, dtype, contenders, left_out), exact


def others(
    name: str, points: np.ndarray, matrices: dict[str, np.ndarray], dtype: str
) -> dict[str, Callable[[], Any]]:
    """torch's attention on projected vectors, and KeOps."""
    torch = import_module("torch")
    cast = lambda array: torch.tensor(array, dtype=getattr(torch, dtype), device="cuda")  # noqa: E731
    tokens = cast(points)
    found: dict[str, Callable[[], Any]] = {}
    if name == "attention":
        keys, values = cast(points @ matrices["A"].T), cast(points @ matrices["V"].T)
        found |= torch_attention(torch, tokens, keys, values)
        if dtype == "float64" and len(points) > LONGEST_MATRIX:
            del found["torch math"]
        found["KeOps"] = lambda: keops_attention(tokens, keys, values)
    else:
        power = 0.5 if name == "Cucker-Smale 1/2" else 0.3
        found["KeOps"] = lambda: keops_alignment(tokens, power)
    return found


def torch_attention(torch: Any, q: Any, k: Any, v: Any) -> dict[str, Callable[[], Any]]:
    backends = torch.nn.attention.SDPBackend
    attend = torch.nn.functional.scaled_dot_product_attention

    def call(backend: Any, q: Any, k: Any, v: Any) -> Any:
        with ExitStack() as stack:
            stack.enter_context(torch.nn.attention.sdpa_kernel(backend))
            stack.enter_context(torch.inference_mode())
            return attend(q[None, None], k[None, None], v[None, None], scale=1.0)[0, 0]

    # What these kernels ask of the number of components; zeros change no value.
    d = q.shape[1]
    wide = [torch.nn.functional.pad(array, (0, -d % 8)) for array in (q, k, v)]
    if str(q.dtype) == "torch.float64":
        return {"torch math": lambda: call(backends.MATH, q, k, v)}
    half = [array.bfloat16() for array in wide]
    return {
        "torch efficient": lambda: call(backends.EFFICIENT_ATTENTION, *wide)[:, :d],
        "torch flash bfloat16": lambda: call(backends.FLASH_ATTENTION, *half)[:, :d],
    }


def keops_attention(q: Any, k: Any, v: Any) -> Any:
    lazy = import_module("pykeops.torch").LazyTensor
    scores = (lazy(q[:, None, :]) * lazy(k[None, :, :])).sum(-1)
    return scores.sumsoftmaxweight(lazy(v[None, :, :]), dim=1)


def keops_alignment(points: Any, power: float) -> Any:
    lazy = import_module("pykeops.torch").LazyTensor
    difference = lazy(points[None, :, :]) - lazy(points[:, None, :])
    squared = 1 + (difference**2).sum(-1)
    factor = squared.rsqrt() if power == 0.5 else (-power * squared.log()).exp()
    return (factor * difference).sum(dim=1) / len(points)


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of the cuda engine on a device.")
    parser.add_argument("--quick", action="store_true", help="fewer points, dimensions and rounds")
    parser.add_argument("--json", metavar="PATH", help="write every time that was taken")
    parser.add_argument("--figure", metavar="PATH", help="draw the rates")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="the longest call to expect")
    options = parser.parse_args()
    for path in filter(None, (options.json, options.figure)):
        if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            parser.error(f"the folder of {path} does not exist")
    if cuda.missing():
        print(f"Nothing is measured: {cuda.missing()}.", file=sys.stderr)
        return 2
    device, done = Device(), []
    print(f"{json.dumps(device.facts())}\n{HEADER}")
    for job in planned(options.quick, options.seconds):
        done.append(measured(device, job, 3 if options.quick else options.rounds))
        if options.json:
            text = json.dumps({**device.facts(), "cases": done}, indent=1)
            with open(f"{options.json}.part", "w") as file:
                file.write(text)
            os.replace(f"{options.json}.part", options.json)
    if options.figure:
        figure(done, options.figure)
    return 0


def measured(device: Device, job: tuple[str, int, int, str], rounds: int) -> dict[str, Any]:
    """The times of a case, printed; or why there are none."""
    try:
        made, exact = case(device, *job)
        made.run(device, rounds, exact)
    except Exception as reason:  # one case lost is not all
        print(f"{job[0]:18} {job[1]:8} {job[2]:4} {job[3]:8} failed: {note(reason)}", flush=True)
        return {**dict(zip(("name", "n", "d", "dtype"), job, strict=True)), "failed": note(reason)}
    print("\n".join([*map(made.row, made.seconds), *made.notes()]), flush=True)
    return made.to_json()


def figure(done: list[dict[str, Any]], path: str) -> None:
    """Pairs a second over the dimension, at the largest number of points of each map."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(12, 7), layout="constrained")
    panels = picture.subplots(2, len(MAPS), squeeze=False)
    for row, dtype in zip(panels, ("float32", "float64"), strict=True):
        for axes, name in zip(row, MAPS, strict=True):
            mine = [
                c for c in done if (c["name"], c["dtype"]) == (name, dtype) and c.get("seconds")
            ]
            largest = {c["d"]: c for c in sorted(mine, key=lambda c: c["n"])}
            for contender in dict.fromkeys(k for c in mine for k in c["seconds"]):
                here = [c for _, c in sorted(largest.items()) if contender in c["seconds"]]
                rates = [c["n"] ** 2 / statistics.median(c["seconds"][contender]) for c in here]
                axes.plot([c["d"] for c in here], rates, marker="o", label=contender)
            axes.set(xlabel="d", ylabel="pairs a second", title=f"{name}, {dtype}")
            if mine:
                axes.set(xscale="log", yscale="log")
                axes.legend(fontsize=7)
    picture.savefig(path, dpi=120)


HEADER = (
    f"{'map':18} {'n':>8} {'d':>4} {'type':8} {'contender':22} {'ms':>10} {'TFLOP/s':>8} "
    f"{'FMA':>6} {'exp':>6} {'time/ours':>9} (range) error"
)


def planned(quick: bool, seconds: float) -> list[tuple[str, int, int, str]]:
    """The cases that a slow contender is expected to end in so many seconds."""
    lengths, dimensions = (LENGTHS[:2], (3, 16, 64)) if quick else (LENGTHS, DIMENSIONS)
    found = [
        (name, n, d, dtype)
        for dtype in ("float32", "float64")
        for name in MAPS
        for n in lengths
        for d in (dimensions if name == "attention" else [k for k in dimensions if k <= 8])
    ]
    cost = lambda n, d, dtype: n**2 * (4 * d + 20) * (2 if dtype == "float64" else 1)  # noqa: E731
    return [job for job in found if cost(*job[1:]) <= seconds * SLOWEST_RATE or job[1:] == TARGET]


TARGET = 1_000_000, 3, "float32"
"""Always run: the number of points that a velocity evaluation has to bear."""


if __name__ == "__main__":
    sys.exit(main())
