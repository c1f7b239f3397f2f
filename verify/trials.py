"""Running trials: independent draws first, then a search that Hypothesis drives and shrinks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, seed as seeded, settings

from .recipes import Recipe, draw, recipes
from .subject import Atoms, Clock, OutOfTime, Stack, Subject, Undefined, Unsupported


@dataclass(frozen=True, slots=True)
class Violation:
    """A confirmed or suspected counterexample, before it is named and stored."""

    operation: str
    measures: tuple[Atoms, ...]
    numbers: dict[str, float]
    sentence: str


@dataclass(slots=True)
class Outcome:
    """What a check found: the worst case so far and, if there is one, a confirmed violation.

    Where the map moves in steps everywhere, steps of up to `harmless` leave the verdict as it is.
    """

    violation: Violation | None = None
    harmless: float = 0.0
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


Trial = Callable[[Stack, int], Violation | None]
"""The first violation on any of several measures of equally many atoms; a seed comes with them."""

DRAWS = 512
BATCH = 16
SMALL = 16
MOST_ATOMS = 2**14
SIZES = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def affordable_sizes(
    subject: Subject, clock: Clock, seed: int
) -> tuple[tuple[int, ...], Undefined | None]:
    """Numbers of atoms whose call costs at most 1/100 of the time left, at least up to 8.

    Images of more than `MOST_ATOMS` atoms, as of pairs of atoms, would take longer to compare. Also
    what went wrong where the map is not defined on the measure that was tried.
    """
    rng = np.random.default_rng([seed, 2])
    kept: list[int] = []
    failed: Undefined | None = None
    limit = max(0.0, clock.left) / 100
    for size in SIZES:
        before = subject.seconds
        atoms = Recipe(size, int(rng.integers(2**31))).build(subject.domain, equal=True)
        try:
            _, masses = subject.push(*atoms)
            if len(masses) > MOST_ATOMS:
                break
        except Undefined as undefined:
            failed = failed or undefined
        except Unsupported:
            pass
        kept.append(size)
        if subject.seconds - before > limit:
            break
    return SIZES[: max(len(kept), SIZES.index(8) + 1)], failed


def run_trials(
    trial: Trial,
    subject: Subject,
    sizes: tuple[int, ...],
    seed: int,
    clock: Clock,
    outcome: Outcome,
    *,
    equal: bool,
    batch: int = BATCH,
    whole: bool = False,
) -> Violation | None:
    """First independent draws, then Hypothesis for the rest of the clock.

    The sequence of trials is a function of `seed` alone; the clock only cuts it short. What
    Hypothesis finds it shrinks on its recipe; the caller simplifies the measure after that. An
    example costs Hypothesis about a millisecond, so each one stands for a `batch` of measures; a
    trial that watches the clock itself is given the `whole` of it.
    """
    half = clock.share(0.6)
    recipe = _drawn(np.random.default_rng([seed, 3]), sizes, 8 if subject.together == 1 else 64)
    # whatever the machine is busy with: a first batch of a cheap map, one trial of a slow one
    least = BATCH if subject.seconds < 1e-3 * subject.calls else 1
    while (half.left > 0 or outcome.drawn < least) and outcome.drawn < DRAWS:
        # few at first: a slow machine should not spend a small budget on drawing
        many = min(max(BATCH, subject.together), max(BATCH, outcome.drawn))
        group = [next(recipe) for _ in range(many)]
        for stack, of in _stacked(group, subject, equal):
            if half.left <= 0 and outcome.drawn >= least:
                break
            found = trial(stack, of)
            outcome.drawn += len(stack[1])
            if found is not None:
                return found
    small = tuple(size for size in sizes if size <= SMALL)
    step = batch if whole else subject.together
    return _searched(trial, subject, small, seed, clock, outcome, equal, batch, step)


def _drawn(rng: np.random.Generator, sizes: tuple[int, ...], period: int) -> Iterator[Recipe]:
    """Recipes of few atoms, and one of many in each period: every large size once, in order."""
    small = tuple(size for size in sizes if size <= SMALL)
    large = iter(size for size in sizes if size > SMALL)
    medium = tuple(size for size in sizes if size <= 4 * SMALL)
    for k in count():
        turn = k % period == period - 1
        size = next(large, None) if turn else None
        yield draw(rng, (size,) if size else medium if turn else small)


def _stacked(recipes: list[Recipe], subject: Subject, equal: bool) -> Iterator[tuple[Stack, int]]:
    """The measures of the recipes, one after the other as a map takes them.

    Of a map that takes many at once those of equally many atoms in one stack, small ones first.
    """
    measures = [recipe.build(subject.domain, equal=equal) for recipe in recipes]
    if subject.together == 1:
        for recipe, (points, weights) in zip(recipes, measures, strict=True):
            yield (points[None], weights[None]), recipe.seed
        return
    built: dict[int, list[Atoms]] = defaultdict(list)
    for atoms in measures:
        built[len(atoms[1])].append(atoms)
    for _, alike in sorted(built.items()):
        points, weights = zip(*alike, strict=True)
        yield (np.array(points), np.array(weights)), recipes[0].seed


def _searched(
    trial: Trial,
    subject: Subject,
    sizes: tuple[int, ...],
    seed: int,
    clock: Clock,
    outcome: Outcome,
    equal: bool,
    batch: int,
    step: int,
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
        # measures of one atom are all alike to most maps
        many = max(subject.together, batch if recipe.atoms > 1 else min(batch, BATCH))
        points, weights = recipe.stack(subject.domain, many, equal=equal)
        for k in range(0, many, step):
            clock.check()
            some = points[k : k + step], weights[k : k + step]
            outcome.searched += len(some[1])
            found = trial(some, recipe.seed)
            if found is not None:
                best[:] = [found]
                raise _Falsified

    try:
        search()
    except (_Falsified, OutOfTime) as stop:
        if isinstance(stop, OutOfTime) and stop.atoms is not None:
            raise
    return best[0] if best else None
