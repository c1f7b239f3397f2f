"""Evaluating a counterexample again: the one place that says when a violation still holds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..numeric import DiscreteMeasure
from .candidates import Candidate
from .distance import gap
from .findings import Counterexample
from .labels import label_distance, labels
from .noise import Noise, measure_noise
from .solving import judge
from .subject import Atoms, Clock, Subject, Undefined, Unsupported
from .support import support_violation

PATIENCE = 60.0


def reevaluate(candidate: Candidate, counterexample: Counterexample) -> bool:
    """Whether the candidate still fails on the stored measures.

    Args:
        candidate: the map, perhaps mended since.
        counterexample: what `verify` found.

    Returns:
        True where it still fails: it raises or is not finite, or its defect is above the stored
        threshold and above a tenth of the stored defect.
    """
    subject, clock = Subject(candidate), Clock(PATIENCE)
    measures = tuple(atoms_of(measure) for measure in counterexample.measures)
    try:
        noise = measure_noise(subject, 0, clock)
        return violated(subject, noise, counterexample.operation, measures, counterexample.numbers)
    except Undefined:
        return True
    except Unsupported:
        return False


def atoms_of(measure: DiscreteMeasure) -> Atoms:
    """A stored measure as arrays."""
    return np.array(measure.points, dtype=float), np.array(measure.weights, dtype=float)


def violated(
    subject: Subject,
    noise: Noise,
    operation: str,
    measures: tuple[Atoms, ...],
    numbers: Mapping[str, float],
) -> bool:
    """Whether these measures still show the violation."""
    limit = max(numbers.get("threshold", 0.0), 0.1 * numbers.get("defect", 0.0))
    first = measures[0]
    if operation == "undefined":
        for _ in range(3):
            subject.push(*first)
        return False
    if operation == "repeat":
        image = subject.push(*first)
        return any(gap(image, subject.push(*first)) > limit for _ in range(20))
    if operation == "mass":
        return abs(float(subject.push(*first)[1].sum() - first[1].sum())) > limit
    if operation == "tagging":
        return support_violation(subject, noise, first) is not None
    if operation == "queries":
        x = measures[1][0]
        together = subject.query(*first, x)
        alone = np.concatenate([subject.query(*first, x[i : i + 1]) for i in range(len(x))])
        return float(np.linalg.norm(together - alone, axis=1).max()) > limit
    if operation in ("residual", "order"):
        found = judge(subject, noise, first, Clock(PATIENCE), numbers.get("time"))
        return found is not None and found[1] is not None
    if operation.startswith("tag") or operation == "approach":
        tag = (int(numbers["tag"]),)
        images = [labels(subject, noise, measure, tag) for measure in measures]
        if any(image is None for image in images):
            return False
        return label_distance(images[0], images[1]) > limit  # type: ignore[arg-type]
    return gap(subject.push(*first), subject.push(*measures[1])) > limit
