"""The images of chosen atoms, read off `f` alone: values of the in-context map of `f`.

A tag is an atom of tiny mass. Where the other weights have distinct subset sums, the image measure
tells where each atom and each tag went, so these values are facts about `f` and not about the way
the candidate is written (Furuya, de Hoop, Lassas 2025: the regular part of the derivative; the
order of limits and the exactness of tagging are on docs/mathematics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .candidates import TokenMap
from .gauges import joined
from .noise import Noise, jitter
from .steps import only_rounding
from .subject import Atoms, Stack, Subject
from .tagging import LARGEST_DECODED, carriers, decode, margin
from .trials import Violation

READABLE = 1e-9
TINY = 1e-6
NEAR = 1e-6  # how far the mass of a tag may be off, of itself


def masses_of_tags(noise: Noise) -> tuple[float, float]:
    """Masses of two tags, far below everything that a segment resolves.

    The mass goes to zero before the measure moves; a map that computes in a shorter type would
    round 1e-200 to zero, and an atom of weight zero is no part of the measure.
    """
    return (1e-200, 2.3e-200) if noise.precision == "float64" else (1e-30, 2.3e-30)


def labels(
    subject: Subject, noise: Noise, atoms: Atoms, follow: tuple[int, ...]
) -> np.ndarray | None:
    """Images (k, d') of the atoms `follow`, or None where `f` does not determine them."""
    points, weights = atoms
    return labels_of(subject, noise, (points[None], weights[None]), np.array([follow]))[0]


def labels_of(
    subject: Subject, noise: Noise, stack: Stack, follow: np.ndarray
) -> list[np.ndarray | None]:
    """Images (k, d') of the atoms `follow` (b, k) of b measures, None where not determined.

    Rows of a token map are not trusted to keep the order of the tokens: as a measure map it may
    return them in any order, so its images are read off the masses like those of a `MeasureMap`.
    """
    points, weights = stack
    if len(follow) < len(weights):
        follow = follow.repeat(len(weights), axis=0)
    heavy = weights > TINY * weights.max(axis=1, keepdims=True)
    asked = np.logical_or.reduce(_followed(heavy, follow), axis=1)
    read = np.logical_not(asked)
    if np.count_nonzero(asked):
        read[asked] = _readable(points[asked], weights[asked], heavy[asked])
    kept = np.flatnonzero(read)
    found: list[np.ndarray | None] = [None] * len(weights)
    if len(kept) == 0:
        return found
    if len(kept) < len(weights):
        points, weights, heavy, follow = (a[kept] for a in (points, weights, heavy, follow))
    values: Any
    if subject.in_context and len(found) > 1:
        # a search asks for a few images only; one measure, as where a finding is confirmed, for all
        values = subject.query_stack(points, weights, _followed(points, follow))
    elif subject.rows and not isinstance(subject.candidate, TokenMap):
        values = _followed(subject.push_rows(points, weights), follow)
    else:
        values = _off_masses(subject, noise, (points, weights), heavy, follow)
    for k, value in zip(kept.tolist(), values, strict=True):
        found[k] = value
    return found


def _followed(values: np.ndarray, follow: np.ndarray) -> np.ndarray:
    """Of values (b, n, ...) those at the places `follow` (b, k)."""
    return values[np.arange(len(values))[:, None], follow]


def _readable(points: np.ndarray, weights: np.ndarray, heavy: np.ndarray) -> np.ndarray:
    """Whether the heavy atoms lie apart and all sums of their weights differ."""
    n = weights.shape[1]
    if n > LARGEST_DECODED:
        return np.zeros(len(weights), dtype=bool)
    same = (points[:, :, None] == points[:, None]).all(axis=3)
    same &= heavy[:, :, None] & heavy[:, None] & ~np.eye(n, dtype=bool)
    # powers of two beyond the sum of all stand for the others: they leave the differences alone
    shares = weights / (weights * heavy).sum(axis=1, keepdims=True)
    shares = np.where(heavy, shares, 4 * 2.0 ** np.arange(n))
    sums = np.zeros((len(weights), 1))
    for k in range(n):
        sums = np.concatenate([sums, sums + shares[:, k : k + 1]], axis=1)
    margins = np.diff(np.sort(sums, axis=1), axis=1).min(axis=1)
    return ~same.any(axis=(1, 2)) & (margins > READABLE)


def _off_masses(
    subject: Subject, noise: Noise, stack: Stack, heavy: np.ndarray, follow: np.ndarray
) -> Sequence[np.ndarray | None]:
    points, weights = stack
    images = subject.push_each(zip(points, weights, strict=True))
    whole = [image for image in images if image and len(image[1]) == weights.shape[1]]
    if len(whole) == len(images):
        places, masses = (joined(part) for part in zip(*whole, strict=True))
        at, off = carriers(weights, masses)
        total = (weights * heavy).sum(axis=1, keepdims=True)
        told = np.where(heavy, READABLE / (4 * weights.shape[1]) * total, NEAR * weights)
        if np.count_nonzero(off <= told) == off.size:
            return list(_followed(places, _followed(at, follow)))
    return [
        None if image is None else _from_masses(noise, own, large, asked, image)
        for own, large, asked, image in zip(weights, heavy, follow.tolist(), images, strict=True)
    ]


def _from_masses(
    noise: Noise, weights: np.ndarray, heavy: np.ndarray, follow: list[int], image: Atoms
) -> np.ndarray | None:
    found: dict[int, np.ndarray] = {}
    wanted = [i for i in follow if heavy[i]]
    if wanted:
        gap = margin(weights[heavy])
        decoded = decode(weights[heavy], _without_tiny(image, weights), gap / 4, 1e2 * noise.value)
        if decoded.images is None:
            return None
        place = np.cumsum(heavy) - 1
        found |= {i: decoded.images[place[i]] for i in wanted}
    for i in follow:
        if not heavy[i]:
            at = np.flatnonzero(np.abs(image[1] - weights[i]) <= NEAR * weights[i])
            if len(at) != 1:
                return None
            found[i] = image[0][at[0]]
    return np.array([found[i] for i in follow])


def _without_tiny(image: Atoms, weights: np.ndarray) -> Atoms:
    keep = image[1] > TINY * weights.max()
    return image[0][keep], image[1][keep]


def label_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance between the images of one followed atom."""
    return float(np.linalg.norm(first - second, axis=1).max())


def shaken(subject: Subject, noise: Noise, atoms: Atoms, tags: tuple[int, ...]) -> float:
    """How far the labels move when the measure changes in its last bits."""

    def read(points: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        return labels(subject, noise, (points, weights), tags)

    return jitter(read, label_distance, atoms, subject.domain)


def rounded(
    subject: Subject, noise: Noise, atoms: Atoms, tags: tuple[int, ...], defect: float
) -> bool:
    """Whether a change of the labels is no larger than the steps of rounding all around."""

    def read(points: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        return labels(subject, noise, (points, weights), tags)

    return only_rounding(subject, read, label_distance, atoms, defect)


def label_violation(
    operation: str,
    measures: tuple[Atoms, Atoms],
    tag: int,
    defect: float,
    distance: float,
    noise: Noise,
    sentence: str,
) -> Violation:
    """Two measures near each other on which the image of atom `tag` is `defect` apart."""
    numbers = {
        "defect": defect,
        "threshold": noise.threshold,
        "distance": distance,
        "tag": float(tag),
    }
    return Violation(operation, measures, numbers, sentence)
