"""Measures checked per second by each condition, on maps of the catalogue.

Run `python benchmarks/checkers.py`; each row is one map and one condition, with the share of the
time that is spent inside the map.
"""

import sys

from pushforward.verify.catalogue import CATALOGUE
from pushforward.verify.continuity import check_continuous
from pushforward.verify.noise import measure_noise
from pushforward.verify.regular import check_regular
from pushforward.verify.subject import Clock, Subject
from pushforward.verify.support import check_support
from pushforward.verify.trials import affordable_sizes
from pushforward.verify.well_defined import check_well_defined

MAPS = ("translation", "softmax-attention", "half-translated", "transport-to-target")
SECONDS = 4.0


def rows(name):
    for condition in ("well-defined", "continuous", "B1", "B2"):
        subject = Subject(CATALOGUE[name].build())
        noise = measure_noise(subject, 0, Clock(5.0))
        sizes, _ = affordable_sizes(subject, Clock(SECONDS), 0)
        calls, inside = subject.calls, subject.seconds
        clock = Clock(SECONDS)
        if condition == "well-defined":
            check_well_defined(subject, noise, sizes, 0, clock, clock)
        elif condition == "continuous":
            check_continuous(subject, noise, 0, clock, clock)
        elif condition == "B1":
            check_support(subject, noise, sizes, 0, clock, clock)
        else:
            check_regular(subject, noise, 0, clock)
        seconds = SECONDS - clock.left
        yield condition, (subject.calls - calls) / seconds, (subject.seconds - inside) / seconds


def main():
    print(f"{'map':24} {'condition':14} {'measures/s':>10} {'inside':>7}")
    for name in sys.argv[1:] or MAPS:
        for condition, rate, share in rows(name):
            print(f"{name:24} {condition:14} {rate:10.0f} {share:7.0%}")


if __name__ == "__main__":
    main()
