"""Confirming counterexamples of symbolic maps in arithmetic far beyond double precision.

A formula can be evaluated between two neighbouring floating point numbers. A jump seen there in
double arithmetic is bisected on, 400 more times with 200 digits; a steep but continuous map gives
itself away.
"""

from __future__ import annotations

import mpmath
import numpy as np

from .candidates import Symbolic
from .distance import gap
from .trials import Violation

DIGITS = 200
HALVINGS = 400
MASSES = np.linspace(310.0, 3000.0, 24)

Precise = tuple[np.ndarray, np.ndarray]


def doubt(candidate: Symbolic, violation: Violation) -> str | None:
    """Why the violation does not hold in higher precision, or None where it does."""
    measures = [_precise(points, weights) for points, weights in violation.measures]
    operation = violation.operation
    if operation == "undefined":
        values = _rows(candidate, measures[0])
        finite = np.isfinite(values.astype(float)).all()
        return "the formula is finite there in higher precision" if finite else None
    if operation in ("jump", "tag-jump"):
        return _bisected(candidate, violation, measures)
    if operation == "tag-oscillation":
        return _swept(candidate, violation, measures[0])
    if operation == "approach":
        return _again(candidate, violation, measures)
    first, last = (_image(candidate, measures[k]) for k in (0, -1))
    if gap(first, last) > violation.numbers["threshold"]:
        return None
    return "the defect is rounding: it is gone in higher precision"


def _precise(points: np.ndarray, weights: np.ndarray) -> Precise:
    with mpmath.workdps(DIGITS):
        exact = np.frompyfunc(lambda value: mpmath.mpf(float(value)), 1, 1)
        return exact(points), exact(weights)


def _rows(candidate: Symbolic, measure: Precise, digits: int = DIGITS) -> np.ndarray:
    points, weights = measure
    present = np.array([weight > 0 for weight in weights])
    return candidate.bound.of_numbers(points[present], weights[present], points, digits=digits)


def _image(candidate: Symbolic, measure: Precise) -> tuple[np.ndarray, np.ndarray]:
    return _rows(candidate, measure).astype(float), measure[1].astype(float)


def _apart(candidate: Symbolic, violation: Violation, first: Precise, second: Precise) -> float:
    if violation.operation == "jump":
        return gap(_image(candidate, first), _image(candidate, second))
    tag = int(violation.numbers["tag"])
    difference = _rows(candidate, first)[tag] - _rows(candidate, second)[tag]
    return float(np.linalg.norm(difference.astype(float)))


def _bisected(candidate: Symbolic, violation: Violation, measures: list[Precise]) -> str | None:
    left, right = measures
    if left[0].shape != right[0].shape:
        return None
    left, right = _widened(left, right)
    start = now = _apart(candidate, violation, left, right)
    if start <= violation.numbers["threshold"]:
        return f"in higher precision the two images are {start:.2g} apart"
    with mpmath.workdps(DIGITS):
        for step in range(HALVINGS):
            middle = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
            near = _apart(candidate, violation, left, middle)
            far = _apart(candidate, violation, middle, right)
            left, right = (left, middle) if near >= far else (middle, right)
            now = max(near, far)
            if now < 0.5 * start:
                return (
                    f"steep, but continuous: {step + 1} bisections below double precision the "
                    f"jump falls from {start:.3g} to {now:.3g}"
                )
    if now < 0.9 * start:
        return f"in higher precision the jump falls from {start:.3g} to {now:.3g}"
    return None


def _widened(left: Precise, right: Precise) -> tuple[Precise, Precise]:
    """The same segment, extended: rounding may have moved the jump past either end."""
    with mpmath.workdps(DIGITS):
        step = [(after - before) * 2**12 for before, after in zip(left, right, strict=True)]
        before = (left[0] - step[0], left[1] - step[1])
        after = (right[0] + step[0], right[1] + step[1])
    if any(weight <= 0 for weight in before[1]):
        before = left
    if any(weight <= 0 for weight in after[1]):
        after = right
    return before, after


def _swept(candidate: Symbolic, violation: Violation, measure: Precise) -> str | None:
    points, weights = measure
    tag = int(violation.numbers["tag"])
    images = []
    for exponent in MASSES:
        digits = int(exponent) + 50
        with mpmath.workdps(digits):
            mass = mpmath.mpf(10) ** -mpmath.mpf(float(exponent))
            rest = sum(weight for i, weight in enumerate(weights) if i != tag)
            moved = np.array([w * (1 - mass) / rest for w in weights], dtype=object)
            moved[tag] = mass
        images.append(_rows(candidate, (points, moved), digits)[tag].astype(float))
    size = float(np.linalg.norm(np.ptp(np.array(images), axis=0)))
    if size < 0.5 * violation.numbers["defect"]:
        return f"below masses of 1e-310 it varies by {size:.3g} only"
    return None


def _again(candidate: Symbolic, violation: Violation, measures: list[Precise]) -> str | None:
    tag = int(violation.numbers["tag"])
    first, second = (_rows(candidate, measure, 50)[tag] for measure in measures)
    change = float(np.linalg.norm((first - second).astype(float)))
    if change < 0.9 * violation.numbers["defect"]:
        return f"in higher precision the change is {change:.3g}"
    return None
