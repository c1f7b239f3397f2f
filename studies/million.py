"""A million particles in three dimensions on one processor, by random batches, against the limit.

    python studies/million.py [--out FOLDER] [--particles 1000000] [--batch 128] [--steps 16]

Softmax attention on a Gaussian, which the flow moves by a known affine map. The tool's estimate of
its own error is printed next to the true one, for falling batches.
"""

import time

import numpy as np
from _study import finish, options, panels, slope, table

from pushforward.numeric import estimate_flow
from pushforward.verify.exact_solutions import softmax_gaussian

DIM, HORIZON = 3, 1.0


def main():
    chosen = options(__doc__, particles=1_000_000, batch=128, steps=16)
    eye = np.eye(DIM)
    law = softmax_gaussian(
        0.4 * eye, 0.5 * eye, 0.2 * np.ones(DIM), 0.3 * eye, nodes=2, time=HORIZON
    )
    # The affine map x -> m + f (x - 0.2), read off the nodes.
    nodes, moved = np.asarray(law.initial.points), law.exact(HORIZON)
    factor = (moved[0] - moved[-1])[0] / (nodes[0] - nodes[-1])[0]
    mean = moved[0] - factor * (nodes[0] - 0.2)
    start = 0.2 + np.sqrt(0.3) * np.random.default_rng(0).normal(size=(chosen.particles, DIM))
    rows = []
    for batch in (chosen.batch // 4, chosen.batch // 2, chosen.batch):
        began = time.perf_counter()
        found = estimate_flow(
            law.field, start, None, HORIZON, steps=chosen.steps, batch=batch, dtype=np.float32
        )
        seconds = time.perf_counter() - began
        off = found.points - mean - factor * (start - 0.2)
        true = float(np.sqrt(np.mean(np.sum(off**2, axis=1))))
        bias = float(np.linalg.norm(off.mean(axis=0)))
        rate = chosen.particles * chosen.steps * found.runs / seconds
        rows.append([batch, found.typical, true, bias, seconds, rate])
    head = ["batch", "estimated error", "true error", "mean is off by", "seconds", "moves / s"]
    table(rows, head)
    batches, estimated, true, *_ = map(np.array, zip(*rows, strict=True))
    print(f"slopes: estimated {slope(batches, estimated):.2f}, true {slope(batches, true):.2f}")
    figure, (axis,) = panels(1)
    axis.loglog(batches, estimated, "o-", label="estimated")
    axis.loglog(batches, true, "s--", label="true")
    axis.set(xlabel="batch", ylabel="error, root mean square")
    axis.legend()
    finish("million", chosen, {
        "particles": chosen.particles, "steps": chosen.steps, "columns": head, "rows": rows,
    }, figure)  # fmt: skip


if __name__ == "__main__":
    main()
