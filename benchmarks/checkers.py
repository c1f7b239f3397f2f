"""Measures checked per second by each condition, and the share of the time spent inside the map.

Run `python benchmarks/checkers.py` for a compiled map and for two functions that are busy for a
millisecond, or name some of these or maps of the catalogue. Seconds are those of the processor, so
that other programs on the machine change little.
"""

import argparse
import difflib
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


def busy(fn):
    """The function, taking a millisecond of the processor."""

    def slow(*arguments):
        end = time.process_time() + BUSY
        image = fn(*arguments)
        while time.process_time() < end:
            pass
        return image

    return slow


def in_context():
    @busy
    def fn(points, weights, x):
        return x + np.tanh(weights @ points)

    return pf.InContextMap(fn, pf.Ball(3))


def measure_map():
    @busy
    def fn(points, weights):
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


def named(names, parser):
    """The maps of these names; the names of the benchmark's own come before the catalogue's."""
    known = {name: row.build for name, row in CATALOGUE.items()} | MAPS
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "`pushforward catalogue` lists them."
            parser.error(f"no map is named {name!r}; {hint}")
    return {name: known[name] for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names",
        nargs="*",
        default=list(MAPS),
        metavar="NAME",
        help=f"maps of the catalogue, or {', '.join(map(repr, MAPS))}: these three by default",
    )
    builders = named(parser.parse_args().names, parser)
    print(f"{'map':20} {'condition':14} {'measures':>9} {'a second':>9} {'inside':>7}")
    for name, build in builders.items():
        for condition, calls, seconds, share in rows(build):
            if build in (in_context, measure_map):
                share = calls * BUSY / seconds
            print(f"{name:20} {condition:14} {calls:9} {calls / seconds:9.0f} {share:7.0%}")


if __name__ == "__main__":
    main()
