"""The worst cases of many runs, made into one simple one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..numeric import DiscreteMeasure
from .candidates import Candidate, title
from .distance import gap
from .findings import Counterexample
from .noise import measure_noise
from .reevaluate import atoms_of, reevaluate, violated
from .rewritings import OPERATIONS
from .simplify import simplify
from .snippet import snippet
from .store import path_of
from .subject import Atoms, Clock, Subject, Undefined, Unsupported
from .trials import Violation

SECONDS = 5.0
_ONE_MEASURE = ("undefined", "repeat", "mass", "tagging")


def simplest(
    candidate: Candidate, cases: Sequence[Counterexample], shrink: bool = True
) -> Counterexample:
    """The simplest of several counterexamples of one condition, shrunk once more.

    Fewest atoms come first, then the fewest digits, then the largest defect. A case that one
    measure shows, or a measure and the same measure written otherwise, is shrunk further; of two
    measures at a small distance it is taken as it is.
    """
    case = min(cases, key=_size)
    again = partial(reevaluate, candidate, case)
    if shrink and case.operation in (*_ONE_MEASURE, *OPERATIONS):
        return _shrunk(candidate, case)
    return replace(case, again=again)


def _size(case: Counterexample) -> tuple[int, int, float]:
    digits = len(json.dumps([np.asarray(m.points).tolist() for m in case.measures]))
    atoms = sum(len(measure) for measure in case.measures)
    return atoms, digits, -case.numbers.get("defect", 0.0)


def _shrunk(candidate: Candidate, case: Counterexample) -> Counterexample:
    subject, clock = Subject(candidate), Clock(SECONDS)
    best = tuple(atoms_of(measure) for measure in case.measures)
    try:
        noise = measure_noise(subject, 0, clock.share(0.2))
    except (Undefined, Unsupported):
        return replace(case, again=partial(reevaluate, candidate, case))

    def fails(points: np.ndarray, weights: np.ndarray) -> bool:
        nonlocal best
        measures = _written(subject, case.operation, (points, weights))
        try:
            again = violated(subject, noise, case.operation, measures, case.numbers)
        except Undefined:
            again = case.operation == "undefined"
        except Unsupported:
            again = False
        best = measures if again else best
        return again

    simplify(best[0], fails, candidate.domain, clock)
    return _rewritten(candidate, subject, case, best)


def _written(subject: Subject, operation: str, atoms: Atoms) -> tuple[Atoms, ...]:
    """The measure, and how the operation writes it."""
    if operation not in OPERATIONS:
        return (atoms,)
    points, weights = OPERATIONS[operation](*atoms, 0)
    return atoms, (subject.domain.project(points), weights)


def _rewritten(
    candidate: Candidate, subject: Subject, case: Counterexample, best: tuple[Atoms, ...]
) -> Counterexample:
    """The case on other measures, under a name of its own."""
    measures = tuple(DiscreteMeasure(*atoms) for atoms in best)
    numbers = dict(case.numbers)
    if len(best) == 2 and "defect" in numbers:
        numbers["defect"] = gap(subject.push(*best[0]), subject.push(*best[1]))
    key = [title(candidate), case.condition, case.operation]
    text = json.dumps([*key, [[m.points.tolist(), m.weights.tolist()] for m in measures]])
    name = f"{case.condition.lower()}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    if name == case.id:
        return replace(case, again=partial(reevaluate, candidate, case))
    sentence = case.snippet.partition("# ")[2].partition("\n")[0]
    violation = Violation(case.operation, best, numbers, sentence)
    lines = snippet(candidate, violation, path_of(name))
    made = Counterexample(case.condition, case.operation, measures, numbers, name, lines)
    return replace(made, again=partial(reevaluate, candidate, made))
