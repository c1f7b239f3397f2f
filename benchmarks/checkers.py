"""Measures checked per second by each condition, and the share of the time spent inside the map.

Run `python benchmarks/checkers.py` for a compiled map and for two functions that are busy for a
millisecond, or name maps of the catalogue. Seconds are those of the processor, so that other
programs on the machine change little.
"""

import sys
import time

import numpy as np

import pushforward as pf
from pushforward.symbolic import library
from pushforward.verify.catalogue import CATALOGUE
from pushforward.verify.continuity import check_continuous
from pushforward.verify.noise import measure_noise
from pushforward.verify.regular import check_regular
from pushforward.verify.subject import Clock, Subject
from pushforward.verify.support import check_support
from pushforward.verify.trials import affordable_sizes
from pushforward.verify.well_defined import check_well_defined

SECONDS = 10.0
BUSY = 1e-3


def compiled():
    attention = library.softmax_attention().bind(A=np.eye(3), V=np.eye(3))
    return pf.Symbolic(attention, pf.Ball(3))


def busy():
    end = time.process_time() + BUSY
    while time.process_time() < end:
        pass


def in_context():
    def fn(points, weights, x):
        busy()
        return x + np.tanh(weights @ points)

    return pf.InContextMap(fn, pf.Ball(3))


def measure_map():
    def fn(points, weights):
        busy()
        return points[::-1] + np.tanh(weights @ points), weights[::-1]

    return pf.MeasureMap(fn, pf.Ball(3))


MAPS = {"compiled attention": compiled, "1 ms in context": in_context, "1 ms measures": measure_map}


def check(condition, subject, noise, sizes, clock):
    if condition == "well-defined":
        return check_well_defined(subject, noise, sizes, 0, clock, clock)
    if condition == "continuous":
        return check_continuous(subject, noise, 0, clock, clock)
    if condition == "B1":
        return check_support(subject, noise, sizes, 0, clock, clock)
    return check_regular(subject, noise, 0, clock)


def rows(build):
    """For each condition: calls a second, and the share of the processor's time inside."""
    for condition in ("well-defined", "continuous", "B1", "B2"):
        subject = Subject(build())
        noise = measure_noise(subject, 0, Clock(5.0))
        sizes, _ = affordable_sizes(subject, Clock(30.0), 0)
        subject.largest = max(sizes)
        calls, inside = subject.calls, subject.seconds
        started, clock = time.process_time(), Clock(SECONDS)
        check(condition, subject, noise, sizes, clock)
        seconds = time.process_time() - started
        share = (subject.seconds - inside) / (SECONDS - clock.left)
        yield condition, subject.calls - calls, seconds, share


def main():
    builders = {name: CATALOGUE[name].build for name in sys.argv[1:]} or MAPS
    print(f"{'map':20} {'condition':14} {'measures':>9} {'a second':>9} {'inside':>7}")
    for name, build in builders.items():
        for condition, calls, seconds, share in rows(build):
            if build in (in_context, measure_map):
                share = calls * BUSY / seconds
            print(f"{name:20} {condition:14} {calls:9} {calls / seconds:9.0f} {share:7.0%}")


if __name__ == "__main__":
    main()
