"""A million particles: velocities by random batches and in full, flows in shards, bounds of W1.

    python benchmarks/ensembles.py [--particles 1000000] [--batch 1024] [--batches 16]

Times are of the wall and of all processors together; on a busy machine the second is the one to
read. The error of an estimate is compared with full evaluations at a few hundred particles.
"""

import argparse
import time

import numpy as np

from pushforward.numeric import DiscreteMeasure, Ensemble, wasserstein_bounds
from pushforward.symbolic import library as lib

FIELDS = {
    "consensus, 1 / (1 + r^2)": lib.consensus(lambda r2: 1 / (1 + r2)).bind(),
    "softmax attention": lib.softmax_attention().bind(A=np.eye(3) / 4, V=np.eye(3)),
}


def timed(call):
    wall, processors = time.perf_counter(), time.process_time()
    value = call()
    return value, time.perf_counter() - wall, time.process_time() - processors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--particles", type=int, default=10**6)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--batches", type=int, default=16)
    options = parser.parse_args()
    rng, n = np.random.default_rng(0), options.particles
    points = rng.normal(size=(n, 3)).astype(np.float32)
    some = np.arange(0, n, max(1, n // 200))
    how = {"batch": options.batch, "batches": options.batches}
    print(f"{n} particles in three dimensions, float32, {options.batches} x {options.batch} atoms")
    print("field | estimate: wall, cpu s | true rms error, stated | in full: Gpair/s of cpu time")
    for name, field in FIELDS.items():
        swarm = Ensemble(field)
        swarm.estimate(points[:1000], None, points[:1000], **how)  # compiles
        found, wall, cpu = timed(lambda s=swarm: s.estimate(points, None, points, **how))
        exact, _, full = timed(lambda s=swarm: s(points, None, points[some]))
        true = np.sqrt(np.mean((found.value[some] - exact) ** 2))
        stated = np.sqrt(np.mean(found.error[some] ** 2))
        rate = len(some) * n / full / 1e9
        print(f"{name} | {wall:.2f}, {cpu:.2f} | {true:.2e}, {stated:.2e} | {rate:.2f}")
    shift = np.array([0.5, 0.0, 0.0], dtype=np.float32)
    there = DiscreteMeasure(points), DiscreteMeasure(points[::-1] + shift)
    bounds, wall, cpu = timed(lambda: wasserstein_bounds(*there))
    print(f"{bounds}, exactly 0.5 | {wall:.2f}, {cpu:.2f}")


if __name__ == "__main__":
    main()
