"""Oscillation of G as the mass of a tag falls, swept over 300 decades at special measures."""

from __future__ import annotations

import numpy as np

from .curves import exponents, oscillation, persists
from .labels import label_violation, labels_of
from .noise import Noise
from .subject import Atoms, Clock, Stack, Subject
from .trials import Violation


def sweep(
    subject: Subject,
    noise: Noise,
    base: Atoms,
    x: np.ndarray,
    rng: np.random.Generator,
    clock: Clock,
) -> Violation | None:
    """Follow the image of a tag at `x` on the measure `base` as its mass falls to 1e-300."""
    points, weights = base
    if (np.linalg.norm(points - x, axis=1) < 1e-6 * subject.domain.diameter).any():
        return None
    n = len(points)
    spots = np.concatenate([points, x[None]])

    def measures(masses: np.ndarray) -> Stack:
        shares = np.column_stack([weights * (1 - masses[:, None]), masses])
        return np.broadcast_to(spots, (len(masses), *spots.shape)), shares

    def measure(mass: float) -> Atoms:
        (places,), (shares,) = measures(np.array([mass]))
        return places, shares

    def values(exps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        masses = 10.0**exps
        seen = labels_of(subject, noise, measures(masses), np.array([[n]]))
        read = [
            (mass, value[0]) for mass, value in zip(masses, seen, strict=True) if value is not None
        ]
        return np.array([mass for mass, _ in read]), np.array([image for _, image in read])

    def reach(exps: np.ndarray) -> Violation | None:
        masses, images = values(exps)
        if len(masses) < 40 or clock.left <= 0:
            return None
        ends, sizes = oscillation(masses, images)
        if not persists(ends, sizes, noise.threshold):
            return None
        if not _seen_above_rounding(masses, images, sizes[-1]):
            return None
        fine = masses <= ends[-4]
        first, second = _farthest(images[fine])
        pair = (measure(masses[fine][first]), measure(masses[fine][second]))
        distance = float(masses[fine].max()) * subject.domain.diameter
        defect = float(np.linalg.norm(images[fine][first] - images[fine][second]))
        return label_violation(
            "tag-oscillation",
            pair,
            n,
            defect,
            distance,
            noise,
            f"the image of a point of vanishing mass oscillates by {defect:.3g} however small the "
            f"mass (down to {masses.min():.0e}): it has no limit",
        )

    # a few probes first: a limit that is there is seen at once
    _, probe = values(np.array([-1.3, -2.7, -4.6, -6.1, -8.2, -9.9, -11.5, -13.3]))
    if len(probe) > 3 and np.linalg.norm(np.ptp(probe[3:], axis=0)) <= noise.threshold:
        return None
    return reach(exponents(-300.0, rng, 4.0))


def _seen_above_rounding(masses: np.ndarray, images: np.ndarray, size: float) -> bool:
    """The oscillation is there, as large, at masses that rounding of positions cannot touch."""
    coarse = images[(masses >= 1e-10) & (masses <= 1e-2)]
    return len(coarse) >= 8 and float(np.linalg.norm(np.ptp(coarse, axis=0))) >= 0.5 * size


def _farthest(values: np.ndarray) -> tuple[int, int]:
    axis = int(np.argmax(np.ptp(values, axis=0)))
    return int(np.argmin(values[:, axis])), int(np.argmax(values[:, axis]))
