"""`well-defined`: the candidate is a function of the measure, not of how it is written down."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..numeric import AbstractDomain
from .distance import gap, in_order, lengths, moved
from .noise import Noise, jitter
from .recipes import inside
from .rewritings import OPERATIONS, ways
from .simplify import simplify
from .steps import only_rounding, scatters
from .subject import Atoms, Clock, Stack, Subject, Undefined, Unsupported
from .trials import Outcome, Violation, run_trials

ROUNDED = 2.0**-10  # relative spacing of float16: coarser steps may be meant

SENTENCES = {
    "repeat": "the same call gave another measure the second time",
    "permute": "listing the atoms in another order changes the image",
    "split": "writing one atom as two coincident ones changes the image",
    "replicate": "writing every atom twice with half its weight changes the image",
    "zero-weight": "adding an atom of weight zero changes the image",
    "queries": "the image of a query depends on the other queries of the call",
    "mass": "the image has another total mass than the measure",
}


def check_well_defined(
    subject: Subject,
    noise: Noise,
    sizes: tuple[int, ...],
    seed: int,
    clock: Clock,
    spare: Clock,
) -> Outcome:
    """Look for a measure whose image depends on the way it is written."""
    outcome = Outcome(harmless=2 * ROUNDED * noise.scale)

    def trial(stack: Stack, of: int) -> Violation | None:
        try:
            return _first_violation(subject, noise, stack, of, outcome)
        except Unsupported:
            return None

    time, equal = clock.share(0.8), subject.lists
    found = run_trials(trial, subject, sizes, seed, time, outcome, equal=equal)
    if found is not None:
        outcome.violation = _simplified(subject, noise, found, spare.share(0.6))
        outcome.reason = outcome.violation.sentence
    return outcome


def _first_violation(
    subject: Subject, noise: Noise, stack: Stack, seed: int, outcome: Outcome
) -> Violation | None:
    try:
        image = subject.push_stack(*stack)
        excess = np.abs(image[1].sum(axis=1) - stack[1].sum(axis=1))
        if not subject.lists and excess.max() > _mass_tolerance(noise):
            k = int(np.argmax(excess))
            return _violation("mass", (_at(stack, k),), float(excess[k]), noise)
        found = _rewritten_violation(subject, noise, stack, image, seed, outcome)
        if found is not None:
            return found
        if not subject.in_context:
            return None
        return _query_violation(subject, noise, stack, seed)
    except Undefined as undefined:
        return _undefined(undefined)


def _at(stack: Stack, k: Any) -> Atoms:
    return stack[0][k], stack[1][k]


def _written(subject: Subject, name: str, stack: Stack, seed: int) -> Stack:
    """The same measure or measures written in another way, their points in the domain."""
    if name == "repeat":
        return stack
    points, weights = OPERATIONS[name](*stack, seed)
    if name == "zero-weight":
        points[..., :1, :] = inside(subject.domain, points[..., :1, :])
    return points, weights


def _rewritten_violation(
    subject: Subject, noise: Noise, stack: Stack, image: Stack, seed: int, outcome: Outcome
) -> Violation | None:
    """The first confirmed change of an image, of measures called again and written otherwise."""
    every = ways(stack[1].shape[1], seed, subject.lists)
    joined = every.written(stack, subject.domain)
    others = every.parts(joined)
    again = _asked_at_once(subject, others) if subject.in_context else []
    rest, stopped = subject.push_until(others[len(again) :])
    again += rest  # the ways before what stopped count first
    if stopped is None and subject.rows and not subject.lists:
        # where rows must follow the operation, their moves bound the distance from above
        images = np.concatenate([points for points, _ in again], axis=1)
        moves = joined[1] * lengths(image[0][:, every.table.index] - images)
        defects = np.add.reduceat(moves, every.starts, axis=1).T
    else:
        defects = _distances(image, again, noise.threshold)
    if stopped is None and (worst := float(defects.max())) <= noise.threshold:
        outcome.worst = max(outcome.worst, worst)
        return None
    for name, other, images, bounds in zip(every.names, others, again, defects, strict=False):
        stacks = stack, other, image, images
        found = _changed(subject, noise, name, seed, stacks, bounds, outcome)
        if found is not None:
            return found
    if stopped is not None:
        raise stopped
    return None


def _asked_at_once(subject: Subject, others: list[Stack]) -> list[Stack]:
    """Images of one measure written in several ways; none where one of them has no image."""
    if subject.together > 1:
        return []
    try:
        images = subject.query_each(
            [(points[0], weights[0], points[0]) for points, weights in others]
        )
    except Undefined:
        return []
    return [(image[None], weights) for image, (_, weights) in zip(images, others, strict=True)]


def _distances(image: Stack, again: list[Stack], small: float) -> np.ndarray:
    """W1 of the images (ways, b), where it is not clearly at most `small`."""
    count = len(image[1])
    first = [_at(image, k) for _ in again for k in range(count)]
    second = [_at(images, k) for images in again for k in range(count)]
    found = in_order(first, second) if again else np.zeros(0)
    for k in np.flatnonzero(found > small):
        found[k] = gap(first[k], second[k], small)
    return found.reshape(len(again), count)


def _changed(
    subject: Subject,
    noise: Noise,
    name: str,
    seed: int,
    stacks: tuple[Stack, Stack, Stack, Stack],
    defects: np.ndarray,
    outcome: Outcome,
) -> Violation | None:
    """The first confirmed change of an image, of measures written in two ways and their images."""
    one, other, image, again = stacks
    for k in np.flatnonzero(defects > noise.threshold):
        defects[k] = gap(_at(image, k), _at(again, k), small=noise.threshold)
        if defects[k] <= noise.threshold:
            continue
        outcome.worst = max(outcome.worst, float(defects[k]))
        measures = _at(one, k), _at(other, k)
        if _confirmed(subject, name, *measures, defects[k], seed):
            measures = measures[:1] if name == "repeat" else measures
            return _violation(name, measures, float(defects[k]), noise)
    outcome.worst = max(outcome.worst, float(defects.max()))
    return None


def _query_violation(subject: Subject, noise: Noise, stack: Stack, seed: int) -> Violation | None:
    points, weights = stack
    x = _queries(subject.domain, seed, len(weights))
    asked = (x, x[:, :1], x[:, 1:2], x[:, 2:])
    if subject.together == 1:
        answers = subject.query_each([(points[0], weights[0], queries[0]) for queries in asked])
        together, *alone = [answer[None] for answer in answers]
    else:
        together, *alone = [subject.query_stack(points, weights, queries) for queries in asked]
    defects = lengths(together - np.concatenate(alone, axis=1)).max(axis=1)
    if defects.max() <= noise.threshold:
        return None
    for k in np.flatnonzero(defects > noise.threshold):
        atoms, defect = _at(stack, k), float(defects[k])
        again = np.linalg.norm(together[k] - subject.query(*atoms, x[k]), axis=1).max()
        if again <= 1e-3 * defect and _shaken(subject, atoms) <= 1e-3 * defect:
            return _violation("queries", (atoms, (x[k], np.full(3, 1 / 3))), defect, noise)
    return None


@lru_cache(maxsize=8)
def _queries(domain: AbstractDomain, seed: int, count: int) -> np.ndarray:
    """Three queries for each of so many measures; measures of one recipe share them."""
    x = domain.sample(np.random.default_rng([seed, 4]), 3 * count)
    return x.reshape(count, 3, domain.dim)


def _confirmed(
    subject: Subject, name: str, first: Atoms, second: Atoms, defect: float, seed: int
) -> bool:
    """The defect stands far above rounding, and measures nearby have it too.

    At a jump of the map the last bits of a sum decide, so another order of the atoms may change the
    image although the map is a function of the measure. There a change in the last bits changes the
    image as much, and at measures a little away from the jump the order does not matter: then the
    defect is not held against the map.
    """
    if name == "repeat":
        return True
    if max(_shaken(subject, atoms) for atoms in (first, second)) > 1e-3 * defect:
        return False
    nearby = [_near(subject, first, np.random.default_rng([seed, 18, k])) for k in range(3)]
    defects = []
    for atoms in nearby:
        again = _written(subject, name, atoms, seed)
        defects.append(gap(subject.push(*atoms), subject.push(*again)))
    if float(np.median(defects)) <= 0.1 * defect:
        return False
    aligned = subject.rows and not subject.lists
    if aligned and _scattered(subject, name, first, seed):
        return False
    fast = moved if aligned else gap
    return not only_rounding(subject, subject.push, fast, first, defect, len(first[1]))


def _scattered(subject: Subject, name: str, atoms: Atoms, seed: int) -> bool:
    """What the operation changes at neighbouring measures is small and has no direction.

    Also further away and with mass moved: where one atom has nearly all of it, a rounded share
    of one is off by the same last bit all around.
    """
    for by, stirred in ((3e-3, 0.0), (3e-2, 0.5)):
        rngs = [np.random.default_rng([seed, 19, k]) for k in range(24)]
        nearby = [_near(subject, atoms, rng, by, stirred) for rng in rngs]
        images = [subject.push(*other) for other in nearby]
        again = [subject.push(*_written(subject, name, other, seed))[0] for other in nearby]
        wanted = [OPERATIONS[name](*image, seed)[0] for image in images]
        if scatters([new - old for new, old in zip(again, wanted, strict=True)], wanted):
            return True
    return False


def _near(
    subject: Subject,
    atoms: Atoms,
    rng: np.random.Generator,
    by: float = 1e-7,
    stirred: float = 0.0,
) -> Atoms:
    """A generic measure nearby; atoms that coincide go on to, and atoms of weight zero stay.

    A share `stirred` of the mass is spread over the atoms at random.
    """
    points, weights = atoms
    places, index = np.unique(points, axis=0, return_inverse=True)
    shifted = places + by * subject.domain.diameter * rng.normal(size=places.shape)
    if not subject.lists:
        weights = weights * (1 + by * rng.normal(size=weights.shape))
        spread = rng.exponential(size=weights.shape) * (weights > 0)
        weights = (1 - stirred) * weights / weights.sum() + stirred * spread / spread.sum()
    return subject.domain.project(shifted[index.ravel()]), weights / weights.sum()


def _shaken(subject: Subject, atoms: Atoms) -> float:
    return jitter(subject.push, gap, atoms, subject.domain)


def _mass_tolerance(noise: Noise) -> float:
    return max(1e-6, 1e3 * noise.value / max(noise.scale, 1e-300))


def _undefined(undefined: Undefined) -> Violation:
    return Violation("undefined", (undefined.atoms,), {}, undefined.reason)


def _violation(name: str, measures: tuple[Atoms, ...], defect: float, noise: Noise) -> Violation:
    numbers = {"defect": defect, "threshold": noise.threshold}
    return Violation(name, measures, numbers, f"{SENTENCES[name]} (by {defect:.3g})")


def _simplified(subject: Subject, noise: Noise, found: Violation, clock: Clock) -> Violation:
    """The same violation on the simplest measure that still shows it."""
    last: list[Violation] = [found]

    def fails(points: np.ndarray, weights: np.ndarray) -> bool:
        try:
            stack = points[None], weights[None]
            again = _first_violation(subject, noise, stack, 0, Outcome())
        except Unsupported:
            return False
        if again is None or again.operation != found.operation:
            return False
        if again.numbers.get("defect", 1.0) < 0.1 * found.numbers.get("defect", 1.0):
            return False
        last[:] = [again]
        return True

    keep_weights = subject.lists
    points, weights = found.measures[0]
    if keep_weights:
        weights = np.full(len(points), 1 / len(points))
    simplify((points, weights), fails, subject.domain, clock)
    return last[0]
