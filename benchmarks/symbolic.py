"""Time of the symbolic derivatives: a full transformer block, compositions, growth with depth.

    python benchmarks/symbolic.py            prints a table
    python benchmarks/symbolic.py --write    also writes docs/benchmarks_symbolic.md

Each figure is the CPU time of one fresh process, caches empty.
"""

import argparse
import platform
import subprocess
import sys
import time
from pathlib import Path

from pushforward import symbolic as s
from pushforward.symbolic import Point, library

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks_symbolic.md"
z, w = Point("z"), Point("w")
DERIVATIVES = {
    "Jacobian": lambda G: G.jacobian(),
    "divergence": lambda G: G.divergence(),
    "flat": lambda G: G.flat_derivative(z),
    "Lions": lambda G: G.lions_derivative(z),
    "second flat": lambda G: G.second_flat_derivative(z, w),
    "Hessian in x": lambda G: G.hessian(),
    "D_x D_mu": lambda G: G.mixed_lions_derivative(z),
    "D_mu D_mu": lambda G: G.second_lions_derivative(z, w),
    "regular + irregular": lambda G: G.derivative(lambda v: s.norm2(v)),
}


def block() -> s.SymbolicMap:
    """Eight heads with residual and layer norm, then an MLP with residual and layer norm."""
    return library.transformer_block(8, norm="layer")


def timed(task) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start


def all_of_the_block() -> str:
    G = block()
    times = {name: timed(lambda d=d: d(G)) for name, d in DERIVATIVES.items()}
    return "\n".join(f"| {name} | {t:.3f} |" for name, t in times.items()) + (
        f"\n| **all together** | **{sum(times.values()):.3f}** |"
    )


def depth(layers: int) -> str:
    made = timed(lambda: library.transformer(layers))
    G = library.transformer(layers)
    flat = timed(lambda: G.flat_derivative(z))
    second = timed(lambda: G.second_flat_derivative(z, w))
    jacobian = timed(lambda: G.jacobian())
    lions = timed(lambda: G.lions_derivative(z))
    times = f"{made:.3f} | {jacobian:.3f} | {flat:.3f} | {lions:.3f} | {second:.3f}"
    return f"| {layers} | {times} | {lines(G.jacobian())} | {lines(G.flat_derivative(z))} |"


def lines(derived) -> int:
    """The number of distinct subterms."""
    return s.canonical(derived.term).count("\n")


def two_layers() -> str:
    """The second flat derivative of two residual softmax layers with weights of their own."""
    first, second = (library.softmax_attention(residual=True, label=k) for k in "12")
    return f"{timed(lambda: (second @ first).second_flat_derivative(z, w)):.3f}"


def fresh(task: str) -> str:
    """The answer of a task in a process of its own."""
    command = [sys.executable, __file__, "--task", task]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n")


def page() -> str:
    rows = "\n".join(fresh(f"depth {n}") for n in (1, 2, 3, 4, 5, 6, 12))
    return f"""# Speed of the symbolic derivatives

Written by `python benchmarks/symbolic.py --write`, on {platform.machine()} with two CPU cores,
Python {platform.python_version()}. Seconds of CPU time, each in a fresh process.

All derivatives of one block of eight heads with residual, layer norm and MLP:

| derivative | seconds |
|---|---|
{fresh("block")}

The second flat derivative of two softmax layers composed: {fresh("two")} s.

Growth with the number of blocks (one head, MLP, weights of their own; each row in one process, in
the order flat, second flat, Jacobian, Lions). The last two columns count the distinct subterms of
the Jacobian, linear in the depth, and of the flat derivative: quadratic, as the variable of an
integral is named by the number of integrals below it.

| blocks | composing | Jacobian | flat | Lions | second flat | in Jacobian | in flat |
|---|---|---|---|---|---|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.task:
        name, *rest = options.task.split()
        print({"block": all_of_the_block, "two": two_layers, "depth": depth}[name](*map(int, rest)))
        return
    text = page()
    print(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
