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
_STEPS = (1e-9, 1e-8)
_FEW = 60  # calls: where the budget affords no more, noise is measured on one measure


@dataclass(frozen=True, slots=True)
class Noise:
    """The rounding noise of one evaluation, and the scales that a defect is judged on.

    `value` is a distance of images; `scale` is the largest norm of an image, `diameter` the spread
    of images over generic inputs; `precision` names the arithmetic that was recognised;
    `resolution` is the smallest change of positions, relative to the diameter of the domain, that
    the arithmetic can see: below it a steep response moves by steps that look like jumps.
    """

    value: float
    scale: float
    diameter: float
    precision: str
    resolution: float = 2e-15

    @property
    def threshold(self) -> float:
        """What a defect must exceed: 1000 times the noise and 1e-6 of the outputs' diameter."""
        return max(1e3 * self.value, 1e-6 * self.diameter)

    @property
    def of_weights(self) -> float:
        """How far an output mass may be from a sum of input weights by rounding alone."""
        return max(1e-6, 1e3 * _EPS[self.precision])


def measure_noise(subject: Subject, seed: int, clock: Clock) -> Noise:
    """Estimate the noise on generic measures.

    Three things are looked at: the type of the numbers that come back, whether they all lie on the
    grid of a shorter type, and what remains of a second difference at steps so small that a smooth
    map leaves none. What is left tells a shorter type inside of the map too.
    """
    rng = np.random.default_rng([seed, 1])
    images: list[Atoms] = []
    residues: list[float] = []
    for k in range(6):
        atoms = Recipe(3 + k, seed=int(rng.integers(2**31))).build(subject.domain, equal=True)
        try:
            image = subject.push(*atoms)
            images.append(image)
            slow = _FEW * subject.seconds / subject.calls > clock.whole.left
            residues.append(_residue(subject, atoms, image, rng, _STEPS[slow:]))
        except (Undefined, Unsupported):
            continue
        if slow or (clock.left <= 0 and k >= 3):
            break  # one or two measures say too little, if there is time for more
    if not images:
        return Noise(0.0, subject.domain.diameter, subject.domain.diameter, "float64")
    # the second largest, if there are several: one step may have crossed a jump
    measured = sorted(residues or [0.0])[-2 if len(residues) > 3 else -1]
    scale = max(float(np.linalg.norm(points, axis=1).max()) for points, _ in images)
    precision = _precision(images, subject.dtypes)
    if precision == "float64" and measured > 5e-9 * scale:
        precision = "float32"
    everything = np.concatenate([points for points, _ in images])
    diameter = float(spread((everything, np.ones(len(everything)))))
    # far from the origin the last bits of the inputs are large beside the domain
    of_inputs = 8 * _EPS[precision] * max(1.0, subject.domain.scale / subject.domain.diameter)
    value = max(measured, 8 * _EPS[precision] * scale, of_inputs * diameter)
    return Noise(value, scale, diameter, precision, max(of_inputs, value / max(scale, 1e-300)))


def _residue(
    subject: Subject,
    atoms: Atoms,
    image: Atoms,
    rng: np.random.Generator,
    steps: tuple[float, ...],
) -> float:
    points, weights = atoms
    if gap(subject.push(points, weights), image) > 1e-6 * max(spread(image), 1e-300):
        return 0.0  # random, not noisy: `well-defined` says so
    step = subject.domain.diameter * rng.normal(size=points.shape)
    return max(_second_difference(subject, atoms, image, h * step) for h in steps)


def _second_difference(subject: Subject, atoms: Atoms, image: Atoms, step: np.ndarray) -> float:
    """`|f(x + h) - 2 f(x) + f(x - h)|`; as distances of measures `|d(2h) - 2 d(h)|`.

    A smooth map leaves nothing at these steps; one that computes in a shorter type leaves the
    steps of its last bits.
    """
    points, weights = atoms
    forth = subject.push(subject.domain.project(points + step), weights)
    if not subject.rows:
        further = subject.push(subject.domain.project(points + 2 * step), weights)
        return abs(gap(further, image) - 2 * gap(forth, image))
    back = subject.push(subject.domain.project(points - step), weights)
    return float(np.linalg.norm(forth[0] - 2 * image[0] + back[0], axis=1).max())


def _precision(images: list[Atoms], dtypes: set[str]) -> str:
    if "bfloat16" in dtypes:  # handed over as float32, which NumPy has
        return "bfloat16"
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
