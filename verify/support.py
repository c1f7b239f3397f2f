"""`B1`: support-preserving, `f(sum a_i delta_{x_i}) = sum a_i delta_{y_i}`, merging allowed."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

import numpy as np

from .candidates import TokenMap
from .distance import spread
from .noise import Noise
from .simplify import simplify
from .subject import Atoms, Clock, Stack, Subject, Undefined, Unsupported
from .tagging import binary_weights, decode, margin, support_defect
from .trials import Outcome, Violation, run_trials

_UNEQUAL = "the output masses are near sums of input weights but differ from them"
_BATCH = 64  # each measure costs one call
_ATOMS = (1, 2, 3, 4, 5, 6, 8, 10)


def check_support(
    subject: Subject,
    noise: Noise,
    sizes: tuple[int, ...],
    seed: int,
    clock: Clock,
    spare: Clock,
) -> Outcome:
    """Binary tagging: give the atoms weights with distinct subset sums and read the output masses.

    Where row `i` of the output is the image of atom `i` by construction, the outputs carry the
    input weights, and only the reading of coincident atoms is left to test; `well-defined` did.
    """
    outcome = Outcome()
    by_rows = subject.rows and not isinstance(subject.candidate, TokenMap)
    if by_rows:
        outcome.reason = (
            "row i of the output is the image of atom i and carries its weight; "
            "coincident atoms have one image"
        )

    def trial(stack: Stack, _: int) -> Violation | None:
        points = stack[0][:, : _ATOMS[-1]]
        if by_rows:
            return _carried_by_rows(subject, points)
        for k, atoms in enumerate(_distinct(points)):
            if k:
                time.check()
            found = _violation_at(subject, noise, atoms, outcome)
            if found is not None:
                return found
        return None

    atoms = tuple(size for size in sizes if size in _ATOMS)
    # nothing is left to find where rows carry the weights by construction
    time = clock.share(0.1 if by_rows else 0.8)
    found = run_trials(
        trial, subject, atoms, seed, time, outcome, equal=True, batch=_BATCH, whole=not by_rows
    )
    if found is not None:
        outcome.violation = _simplified(subject, noise, found, spare.share(0.5))
        outcome.reason = outcome.violation.sentence
    return outcome


def _carried_by_rows(subject: Subject, points: np.ndarray) -> None:
    """Images of tagged measures that carry the weights of their rows, merged or not.

    Only whether there are images is seen here; where there are none, `well-defined` says so.
    """
    with suppress(Undefined):
        weights, _ = _tags(points.shape[1], lists=False)
        subject.push_rows(points, weights[None].repeat(len(points), axis=0))


@lru_cache(maxsize=32)
def _tags(atoms: int, lists: bool) -> tuple[np.ndarray, float]:
    """Rising weights whose subset sums differ, and how far a mass may be from such a sum."""
    weights = _list_weights(atoms) if lists else binary_weights(atoms)
    weights.setflags(write=False)
    return weights, min(0.25 * margin(weights), 0.25)


def _list_weights(atoms: int) -> np.ndarray:
    """1, 2, 4, ... repetitions of a token: a list carries these up to 10 tokens."""
    return 2.0 ** np.arange(atoms) / (2.0**atoms - 1)


def _distinct(points: np.ndarray) -> list[np.ndarray]:
    """Of each of several sets (b, n, d) the different rows, in lexicographic order."""
    order = np.lexsort(points.transpose(2, 0, 1)[::-1], axis=1)
    rows = points[np.arange(len(points))[:, None], order]
    fresh = np.ones(rows.shape[:2], dtype=bool)
    fresh[:, 1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=2)
    whole = np.logical_and.reduce(fresh, axis=1).tolist()
    return [
        atoms if own else atoms[new] for atoms, new, own in zip(rows, fresh, whole, strict=True)
    ]


def _each_carried(weights: np.ndarray, masses: np.ndarray, tolerance: float) -> bool:
    """Whether every atom of the image carries one of the rising weights, each of them once.

    Then atoms of the image that merge carry their sums, each as near to it as the tolerance.
    """
    if len(masses) != len(weights):
        return False
    return len(weights) * float(np.abs(np.sort(masses) - weights).max()) <= tolerance


def _violation_at(
    subject: Subject, noise: Noise, points: np.ndarray, outcome: Outcome
) -> Violation | None:
    weights, tolerance = _tags(len(points), subject.lists)
    try:
        image = subject.push(points, weights)
    except (Undefined, Unsupported):
        return None
    if _each_carried(weights, image[1], min(tolerance, noise.of_weights)):
        return None
    decoded = decode(weights, image, tolerance, near=1e2 * noise.value)
    if decoded.images is not None and decoded.mismatch <= noise.of_weights:
        return None
    small = max(noise.threshold, 1e-6 * spread(image))
    defect = support_defect(weights, image, small)
    outcome.worst = max(outcome.worst, defect)
    if defect <= small:
        return None
    numbers = {"defect": defect, "threshold": noise.threshold, "mismatch": decoded.mismatch}
    return Violation(
        "tagging",
        ((points, weights),),
        numbers,
        f"{decoded.reason or _UNEQUAL}: the image is at distance {defect:.3g} from every "
        "measure that carries the input weights",
    )


def _simplified(subject: Subject, noise: Noise, found: Violation, clock: Clock) -> Violation:
    last = [found]

    def fails(points: np.ndarray, weights: np.ndarray) -> bool:
        again = _violation_at(subject, noise, _distinct(points[None])[0], Outcome())
        if again is None or again.numbers["defect"] < 0.1 * found.numbers["defect"]:
            return False
        last[:] = [again]
        return True

    points, weights = found.measures[0]
    simplify((points, weights), fails, subject.domain, clock)
    return last[0]


def support_violation(subject: Subject, noise: Noise, atoms: Atoms) -> Violation | None:
    """The violation of (B1) at one measure, with its own weights."""
    return _violation_at(subject, noise, atoms[0], Outcome())
