"""Recipes of random measures: small data that Hypothesis draws and shrinks, arrays built from it.

A recipe is a number of atoms, a seed, a law of positions, a law of weights and a short list of
edits. Arrays are made from it by NumPy, so that a draw costs microseconds and shrinking works on
what a person would simplify: fewer atoms, coarser positions, fewer edits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from ..numeric import AbstractDomain
from .subject import Atoms

LAWS = ("lattice", "uniform", "anchors", "boundary", "cluster")
WEIGHTS = ("uniform", "dyadic", "generic", "heavy")
EDITS = ("coincide", "near", "zero", "collinear", "symmetric", "centre", "replicate")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one random measure on a domain."""

    atoms: int
    seed: int = 0
    law: str = "uniform"
    weights: str = "uniform"
    edits: tuple[str, ...] = ()

    def build(self, domain: AbstractDomain, *, equal: bool = False) -> Atoms:
        """Points (n, d) in the domain and weights (n,) of sum one.

        `equal=True` keeps all weights 1/n, for lists of tokens.
        """
        rng = np.random.default_rng([self.seed, self.atoms, LAWS.index(self.law)])
        points = _positions(self.law, domain, rng, self.atoms)
        weights = _weights("uniform" if equal else self.weights, rng, self.atoms)
        for edit in self.edits:
            points, weights = _edit(edit, points, weights, domain, rng, equal)
        return domain.project(points), weights / weights.sum()


def draw(rng: np.random.Generator, sizes: tuple[int, ...]) -> Recipe:
    """An independent random recipe: the stated distribution of the `tested` verdict."""
    edits = tuple(rng.choice(EDITS, size=rng.choice([0, 0, 0, 1, 1, 2]), replace=False))
    return Recipe(
        atoms=int(rng.choice(sizes)),
        seed=int(rng.integers(2**31)),
        law=str(rng.choice(LAWS)),
        weights=str(rng.choice(WEIGHTS)),
        edits=tuple(str(edit) for edit in edits),
    )


def recipes(sizes: tuple[int, ...]) -> st.SearchStrategy[Recipe]:
    """Hypothesis strategy for recipes with one of the given numbers of atoms."""
    return st.builds(
        Recipe,
        atoms=st.sampled_from(sorted(sizes)),
        seed=st.integers(0, 2**16),
        law=st.sampled_from(LAWS),
        weights=st.sampled_from(WEIGHTS),
        edits=st.lists(st.sampled_from(EDITS), max_size=3, unique=True).map(tuple),
    )


def generic_weights(rng: np.random.Generator, atoms: int) -> np.ndarray:
    """Weights in [1/(2n), 3/(2n)] up to scaling: almost surely with distinct subset sums."""
    weights = rng.uniform(0.5, 1.5, size=atoms)
    return weights / weights.sum()


def _positions(
    law: str, domain: AbstractDomain, rng: np.random.Generator, atoms: int
) -> np.ndarray:
    if law == "boundary":
        return domain.boundary(rng, atoms)
    if law == "anchors":
        anchors = domain.anchors()
        return anchors[rng.integers(len(anchors), size=atoms)]
    points = domain.sample(rng, atoms)
    if law == "lattice":
        cell = 2.0 ** np.floor(np.log2(max(domain.diameter, 1e-300) / 4))
        return domain.project(np.round(points / cell) * cell)
    if law == "cluster":
        spread = 10.0 ** rng.uniform(-4, -1) * domain.diameter
        return domain.project(points[:1] + spread * rng.normal(size=points.shape))
    return points


def _weights(law: str, rng: np.random.Generator, atoms: int) -> np.ndarray:
    if law == "dyadic":
        return rng.integers(1, 9, size=atoms).astype(float)
    if law == "generic":
        return generic_weights(rng, atoms)
    if law == "heavy":
        weights = rng.uniform(0.5, 1.5, size=atoms) * 10.0 ** -rng.integers(1, 7)
        weights[0] = 1.0
        return weights
    return np.ones(atoms)


def _edit(
    edit: str,
    points: np.ndarray,
    weights: np.ndarray,
    domain: AbstractDomain,
    rng: np.random.Generator,
    equal: bool,
) -> Atoms:
    n = len(points)
    if edit in ("coincide", "near") and n > 1:
        i, j = rng.choice(n, size=2, replace=False)
        points = points.copy()
        points[j] = points[i]
        if edit == "near":
            points[j] += 1e-6 * domain.diameter * rng.normal(size=points.shape[1])
    elif edit == "zero" and n > 1 and not equal:
        weights = weights.copy()
        weights[rng.integers(n)] = 0.0
    elif edit == "collinear" and n > 2:
        t = rng.uniform(size=(n, 1))
        points = points[:1] + t * (points[1:2] - points[:1])
    elif edit == "symmetric":
        centre = domain.anchors()[:1]
        points = np.concatenate([points, 2 * centre - points])
        weights = np.concatenate([weights, weights])
    elif edit == "centre":
        points = points.copy()
        points[rng.integers(n)] = domain.anchors()[0]
    elif edit == "replicate":
        points, weights = np.concatenate([points, points]), np.concatenate([weights, weights])
    return points, weights
