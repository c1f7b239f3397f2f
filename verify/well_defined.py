"""`well-defined`: the candidate is a function of the measure, not of how it is written down."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .distance import gap, moved
from .noise import Noise, jitter
from .recipes import Recipe
from .simplify import simplify
from .subject import Atoms, Clock, Subject, Undefined, Unsupported
from .trials import Outcome, Violation, run_trials

Operation = Callable[[np.ndarray, np.ndarray, int], Atoms]


def _permute(points: np.ndarray, weights: np.ndarray, seed: int) -> Atoms:
    order = _order(len(points), seed)
    return points[order], weights[order]


@lru_cache(maxsize=64)
def _order(n: int, seed: int) -> np.ndarray:
    return np.arange(n)[::-1] if n < 4 else np.random.default_rng([seed, 4]).permutation(n)


def _split(points: np.ndarray, weights: np.ndarray, seed: int) -> Atoms:
    part = weights[0] / 4
    return (
        np.concatenate([points, points[:1]]),
        np.concatenate([[weights[0] - part], weights[1:], [part]]),
    )


def _replicate(points: np.ndarray, weights: np.ndarray, seed: int) -> Atoms:
    return np.concatenate([points, points]), np.concatenate([weights, weights]) / 2


def _add_zero_weight(points: np.ndarray, weights: np.ndarray, seed: int) -> Atoms:
    """A zero-weight atom at a place where no atom is, put first."""
    place = 2 * points[:1] - points[-1:] if len(points) > 1 else -points[:1] + 0.5
    return np.concatenate([place, points]), np.concatenate([[0.0], weights])


OPERATIONS: dict[str, Operation] = {
    "permute": _permute,
    "split": _split,
    "replicate": _replicate,
    "zero-weight": _add_zero_weight,
}
LIST_OPERATIONS = ("permute", "replicate")

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
    outcome = Outcome()

    def trial(recipe: Recipe) -> Violation | None:
        atoms = recipe.build(subject.domain, equal=subject.lists)
        try:
            return _first_violation(subject, noise, atoms, recipe.seed, outcome)
        except Unsupported:
            return None

    found = run_trials(trial, sizes, seed, clock.share(0.8), outcome, draws=400)
    if found is not None:
        outcome.violation = _simplified(subject, noise, found, spare.share(0.6))
        outcome.reason = outcome.violation.sentence
    return outcome


def _first_violation(
    subject: Subject, noise: Noise, atoms: Atoms, seed: int, outcome: Outcome
) -> Violation | None:
    points, weights = atoms
    names = ("repeat", *(LIST_OPERATIONS if subject.lists else OPERATIONS))
    others = [_written(subject, name, points, weights, seed) for name in names]
    image, *images = subject.push_many([atoms, *others])
    if isinstance(image, Undefined):
        return _undefined(image)
    if not subject.lists and abs(image[1].sum() - weights.sum()) > _mass_tolerance(noise):
        return _violation("mass", (atoms,), abs(image[1].sum() - weights.sum()), noise)
    for name, other, again in zip(names, others, images, strict=True):
        if isinstance(again, Undefined):
            return _undefined(again)
        defect = _row_defect(subject, name, image, again, seed)
        if defect > noise.threshold:
            defect = gap(image, again, small=noise.threshold)
        outcome.worst = max(outcome.worst, defect)
        if defect > noise.threshold and _confirmed(subject, name, atoms, other, defect, seed):
            measures = (atoms,) if name == "repeat" else (atoms, other)
            return _violation(name, measures, defect, noise)
    if not subject.in_context:
        return None
    return _query_violation(subject, noise, atoms, np.random.default_rng([seed, 4]))


def _written(
    subject: Subject, name: str, points: np.ndarray, weights: np.ndarray, seed: int
) -> Atoms:
    """The same measure written in another way, its points in the domain."""
    if name == "repeat":
        return points, weights
    points, weights = _rewritten(name, points, weights, seed)
    return (subject.domain.project(points) if name == "zero-weight" else points), weights


def _rewritten(name: str, points: np.ndarray, weights: np.ndarray, seed: int) -> Atoms:
    return OPERATIONS[name](points, weights, seed)


def _row_defect(subject: Subject, name: str, image: Atoms, again: Atoms, seed: int) -> float:
    """The largest move of a row, where rows must follow the operation; an upper bound of W1."""
    if not subject.rows or subject.lists or name == "repeat":
        return np.inf
    wanted = _rewritten(name, *image, seed)
    return moved(wanted, again) if wanted[0].shape == again[0].shape else np.inf


def _query_violation(
    subject: Subject, noise: Noise, atoms: Atoms, rng: np.random.Generator
) -> Violation | None:
    points, weights = atoms
    x = subject.domain.sample(rng, 3)
    asked = (x, x[2:], x[1:2], x[:1])
    seen = subject.query_many([(points, weights, queries) for queries in asked])
    for value in seen:
        if isinstance(value, Undefined):
            return _undefined(value)
    together, *singles = [value for value in seen if not isinstance(value, Undefined)]
    alone = np.concatenate(singles)
    if together.shape != alone.shape:
        return None
    defect = float(np.linalg.norm(together - alone[::-1], axis=1).max())
    if defect <= noise.threshold:
        return None
    again = float(np.linalg.norm(together - subject.query(points, weights, x), axis=1).max())
    if again > 1e-3 * defect or _shaken(subject, atoms) > 1e-3 * defect:
        return None
    return _violation("queries", (atoms, (x, np.full(3, 1 / 3))), defect, noise)


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
        again = _written(subject, name, *atoms, seed)
        defects.append(gap(subject.push(*atoms), subject.push(*again)))
    return float(np.median(defects)) > 0.1 * defect


def _near(subject: Subject, atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A generic measure nearby; atoms that coincide go on to, and atoms of weight zero stay."""
    points, weights = atoms
    places, index = np.unique(points, axis=0, return_inverse=True)
    moved = places + 1e-7 * subject.domain.diameter * rng.normal(size=places.shape)
    if not subject.lists:
        weights = weights * (1 + 1e-7 * rng.normal(size=weights.shape))
    return subject.domain.project(moved[index.ravel()]), weights / weights.sum()


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
            again = _first_violation(subject, noise, (points, weights), 0, Outcome())
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
