"""The images of chosen atoms, read off `f` alone: values of the in-context map of `f`.

A tag is an atom of tiny mass. Where the other weights have distinct subset sums, the image measure
tells where each atom and each tag went, so these values are facts about `f` and not about the way
the candidate is written (Furuya, de Hoop, Lassas 2025: the regular part of the derivative; the
order of limits and the exactness of tagging are on docs/mathematics.md).
"""

from __future__ import annotations

import numpy as np

from .candidates import TokenMap
from .noise import Noise, jitter
from .subject import Atoms, Subject, Unsupported
from .tagging import LARGEST_DECODED, decode, margin
from .trials import Violation

READABLE = 1e-9
TINY = 1e-6


def masses_of_tags(noise: Noise) -> tuple[float, float]:
    """Masses of two tags, far below everything that a segment resolves.

    The mass goes to zero before the measure moves; a map that computes in a shorter type would
    round 1e-200 to zero, and an atom of weight zero is no part of the measure.
    """
    return (1e-200, 2.3e-200) if noise.precision == "float64" else (1e-30, 2.3e-30)


def labels(
    subject: Subject, noise: Noise, atoms: Atoms, follow: tuple[int, ...]
) -> np.ndarray | None:
    """Images (k, d') of the atoms `follow`, or None where `f` does not determine them.

    Rows of a token map are not trusted to keep the order of the tokens: as a measure map it may
    return them in any order, so its images are read off the masses like those of a `MeasureMap`.
    """
    points, weights = atoms
    heavy = weights > TINY * weights.max()
    if heavy[list(follow)].any() and not _readable(points[heavy], weights[heavy]):
        return None
    try:
        image = subject.push(points, weights)
    except Unsupported:
        return None
    if subject.rows and not isinstance(subject.candidate, TokenMap):
        return image[0][np.asarray(follow)]
    return _from_masses(noise, weights, heavy, image, follow)


def _readable(points: np.ndarray, weights: np.ndarray) -> bool:
    if len(weights) == 1:
        return True
    if len(weights) > LARGEST_DECODED or len(np.unique(points, axis=0)) < len(points):
        return False
    return margin(weights / weights.sum()) > READABLE


def _from_masses(
    noise: Noise, weights: np.ndarray, heavy: np.ndarray, image: Atoms, follow: tuple[int, ...]
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
            at = np.flatnonzero(np.abs(image[1] - weights[i]) <= 1e-6 * weights[i])
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


def label_bend(first: np.ndarray, middle: np.ndarray, last: np.ndarray, share: float) -> float:
    """How far the images are, half way, from the lines between those at the ends."""
    return label_distance(middle, (1 - share) * first + share * last)


def shaken(subject: Subject, noise: Noise, atoms: Atoms, tags: tuple[int, ...]) -> float:
    """How far the labels move when the measure changes in its last bits."""
    def read(points: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        return labels(subject, noise, (points, weights), tags)

    return jitter(read, label_distance, atoms, subject.domain)


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
