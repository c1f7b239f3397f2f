"""Running trials: independent draws first, then a search that Hypothesis drives and shrinks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed as seeded, settings

from .recipes import Recipe, draw, recipes
from .subject import Atoms, Clock, OutOfTime, Subject, Undefined, Unsupported


@dataclass(frozen=True, slots=True)
class Violation:
    """A confirmed or suspected counterexample, before it is named and stored."""

    operation: str
    measures: tuple[Atoms, ...]
    numbers: dict[str, float]
    sentence: str


@dataclass(slots=True)
class Outcome:
    """What a check found: the worst case so far and, if there is one, a confirmed violation."""

    violation: Violation | None = None
    drawn: int = 0
    searched: int = 0
    worst: float = 0.0
    reason: str = ""
    undecided: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)

    def failing_share(self) -> float:
        """Rule of three: at 95 % at most this share of the stated distribution fails."""
        return min(1.0, 3 / self.drawn) if self.drawn else 1.0


class _Falsified(Exception):
    pass


Trial = Callable[[Recipe], Violation | None]

BATCH = 16
SIZES = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def affordable_sizes(subject: Subject, clock: Clock, seed: int) -> tuple[int, ...]:
    """Numbers of atoms whose call costs at most 1/100 of the time left, at least up to 8."""
    rng = np.random.default_rng([seed, 2])
    kept: list[int] = []
    limit = max(0.0, clock.left) / 100
    for size in SIZES:
        before = subject.seconds
        try:
            subject.push(*Recipe(size, int(rng.integers(2**31))).build(subject.domain, equal=True))
        except (Undefined, Unsupported):
            pass
        kept.append(size)
        if subject.seconds - before > limit and size >= 8:
            break
    return tuple(kept)


def run_trials(
    trial: Trial, sizes: tuple[int, ...], seed: int, clock: Clock, outcome: Outcome, draws: int
) -> Violation | None:
    """First up to `draws` independent draws, then Hypothesis for the rest of the clock.

    The sequence of trials is a function of `seed` alone; the clock only cuts it short. What
    Hypothesis finds it shrinks on its recipe; the caller simplifies the measure after that.
    """
    rng = np.random.default_rng([seed, 3])
    small = tuple(size for size in sizes if size <= 16)
    half = clock.share(0.6)
    for k in range(draws):
        if half.left <= 0:
            break
        found = trial(draw(rng, sizes if k % 8 == 7 else small))
        outcome.drawn += 1
        if found is not None:
            return found
    return _searched(trial, small, seed, clock, outcome)


def _searched(
    trial: Trial, sizes: tuple[int, ...], seed: int, clock: Clock, outcome: Outcome
) -> Violation | None:
    best: list[Violation] = []

    @seeded(seed)
    @settings(
        database=None,
        deadline=None,
        max_examples=2000,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
            HealthCheck.nested_given,
            HealthCheck.too_slow,
        ),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )
    @given(recipes(sizes))
    def search(recipe: Recipe) -> None:
        # an example costs Hypothesis about a millisecond: each one stands for a batch of seeds
        for k in range(BATCH):
            clock.check()
            outcome.searched += 1
            found = trial(replace(recipe, seed=recipe.seed + 2**16 * k))
            if found is not None:
                best[:] = [found]
                raise _Falsified

    try:
        search()
    except (_Falsified, OutOfTime) as stop:
        if isinstance(stop, OutOfTime) and stop.atoms is not None:
            raise
    return best[0] if best else None
