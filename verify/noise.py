"""The rounding noise of a black box, measured before anything is held against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..numeric import AbstractDomain
from .distance import gap, spread
from .recipes import Recipe
from .subject import Atoms, Clock, Subject, Undefined, Unsupported

R = TypeVar("R")
_EPS = {"float64": 2.3e-16, "float32": 1.2e-7, "float16": 9.8e-4, "bfloat16": 7.9e-3}


@dataclass(frozen=True, slots=True)
class Noise:
    """The rounding noise of one evaluation, and the scales that a defect is judged on.

    `value` is a distance of images; `scale` is the largest norm of an image, `diameter` the spread
    of images over generic inputs; `precision` names the arithmetic that was recognised.
    """

    value: float
    scale: float
    diameter: float
    precision: str

    @property
    def threshold(self) -> float:
        """What a defect must exceed: 1000 times the noise and 1e-6 of the outputs' diameter."""
        return max(1e3 * self.value, 1e-6 * self.diameter)


def measure_noise(subject: Subject, seed: int, clock: Clock) -> Noise:
    """Estimate the noise on generic measures.

    Three things are looked at: the type of the numbers that come back, whether they all lie on the
    grid of a shorter type, and what remains of a second difference `f(x+h) - 2 f(x) + f(x-h)` (for
    images in any order: of a first difference) at steps so small that a smooth map leaves none.
    """
    rng = np.random.default_rng([seed, 1])
    images: list[Atoms] = []
    residues: list[float] = []
    for k in range(6):
        atoms = Recipe(3 + k, seed=int(rng.integers(2**31))).build(subject.domain, equal=True)
        try:
            image = subject.push(*atoms)
            images.append(image)
            residues.append(_residue(subject, atoms, image, rng))
        except (Undefined, Unsupported):
            continue
        if clock.left <= 0:
            break
    if not images:
        return Noise(0.0, subject.domain.diameter, subject.domain.diameter, "float64")
    # the second largest: one step may have crossed a jump
    measured = sorted([0.0, 0.0, *residues])[-2]
    precision = _precision(images, subject.dtypes)
    scale = max(float(np.linalg.norm(points, axis=1).max()) for points, _ in images)
    floor = 8 * _EPS[precision] * max(scale, _EPS["float64"] * subject.domain.scale)
    everything = np.concatenate([points for points, _ in images])
    return Noise(
        max(measured, floor), scale, spread((everything, np.ones(len(everything)))), precision
    )


def _residue(subject: Subject, atoms: Atoms, image: Atoms, rng: np.random.Generator) -> float:
    points, weights = atoms
    if gap(subject.push(points, weights), image) > 1e-6 * max(spread(image), 1e-300):
        return 0.0  # random, not noisy: `well-defined` says so
    step = 1e-9 * subject.domain.diameter * rng.normal(size=points.shape)
    if not subject.rows:
        return gap(subject.push(subject.domain.project(points + 1e-4 * step), weights), image)
    forth = subject.push(subject.domain.project(points + step), weights)
    back = subject.push(subject.domain.project(points - step), weights)
    return float(np.linalg.norm(forth[0] - 2 * image[0] + back[0], axis=1).max())


def _precision(images: list[Atoms], dtypes: set[str]) -> str:
    for name in ("float16", "float32"):
        on_grid = all(np.array_equal(p, p.astype(name).astype(float)) for p, _ in images)
        generic = any(p.any() for p, _ in images)
        if name in dtypes or (on_grid and generic and not _coarse(images)):
            return name
    return "float64"


def _coarse(images: list[Atoms]) -> bool:
    """Whether the images are few simple numbers, which lie on every grid."""
    return all(np.array_equal(p * 2**8, np.round(p * 2**8)) for p, _ in images)


def jitter(
    read: Callable[[np.ndarray, np.ndarray], R | None],
    distance: Callable[[R, R], float],
    atoms: Atoms,
    domain: AbstractDomain,
    trials: int = 4,
) -> float:
    """How far a reading of the map moves when positions and weights change in their last bits.

    At a jump, and where a map amplifies rounding, this is as large as any defect seen there: a
    defect counts only well away from such measures.
    """
    points, weights = atoms
    rng = np.random.default_rng(5)
    here = read(points, weights)
    worst = 0.0
    # a sum of n weights is rounded by as much as n last bits of one of them
    size = 2.3e-16 * len(weights)
    for _ in range(trials):
        moved = points * (1 + 4.5e-16 * rng.choice([-1.0, 0.0, 1.0], size=points.shape))
        moved = domain.project(moved)  # a map need not be defined outside
        shaken = weights * (1 + size * rng.choice([-1.0, 0.0, 1.0], size=weights.shape))
        there = read(moved, shaken)
        if here is None or there is None:
            return float("inf")
        worst = max(worst, distance(here, there))
    return worst
