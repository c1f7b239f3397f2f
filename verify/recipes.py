"""Recipes of random measures: small data that Hypothesis draws and shrinks, arrays built from it.

A recipe is a number of atoms, a seed, a law of positions, a law of weights and a short list of
edits. Arrays are made from it by NumPy, so that a draw costs microseconds and shrinking works on
what a person would simplify: fewer atoms, coarser positions, fewer edits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from ..numeric import AbstractDomain
from .subject import Atoms, Stack

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
        (points,), (weights,) = self.stack(domain, 1, equal=equal)
        return points, weights

    def stack(self, domain: AbstractDomain, count: int, *, equal: bool = False) -> Stack:
        """So many measures of this recipe: points (count, n, d) and weights (count, n)."""
        rng = np.random.default_rng([self.seed, self.atoms, LAWS.index(self.law)])
        points = _positions(self.law, domain, rng, (count, self.atoms))
        weights = _weights("uniform" if equal else self.weights, rng, (count, self.atoms))
        for edit in self.edits:
            points, weights = _edit(edit, points, weights, domain, rng, equal)
        return inside(domain, points), weights / weights.sum(axis=1, keepdims=True)


def draw(rng: np.random.Generator, sizes: tuple[int, ...]) -> Recipe:
    """An independent random recipe: the stated distribution of the `tested` verdict."""
    count = (0, 0, 0, 1, 1, 2)[rng.integers(6)]
    edits = rng.choice(len(EDITS), size=count, replace=False) if count else ()
    return Recipe(
        atoms=sizes[rng.integers(len(sizes))],
        seed=int(rng.integers(2**31)),
        law=LAWS[rng.integers(len(LAWS))],
        weights=WEIGHTS[rng.integers(len(WEIGHTS))],
        edits=tuple(EDITS[k] for k in edits),
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


def inside(domain: AbstractDomain, points: np.ndarray) -> np.ndarray:
    """The nearest points of the domain, of an array (..., d)."""
    return domain.project(points.reshape(-1, domain.dim)).reshape(points.shape)


@lru_cache(maxsize=64)
def _anchors(domain: AbstractDomain) -> np.ndarray:
    return domain.anchors()


def _positions(
    law: str, domain: AbstractDomain, rng: np.random.Generator, shape: tuple[int, int]
) -> np.ndarray:
    if law == "anchors":
        anchors = _anchors(domain)
        return anchors[rng.integers(len(anchors), size=shape)]
    place = domain.boundary if law == "boundary" else domain.sample
    points = place(rng, shape[0] * shape[1]).reshape(*shape, domain.dim)
    if law == "lattice":
        cell = 2.0 ** np.floor(np.log2(max(domain.diameter, 1e-300) / 4))
        return np.round(points / cell) * cell
    if law == "cluster":
        spread = 10.0 ** rng.uniform(-4, -1, size=(shape[0], 1, 1)) * domain.diameter
        return points[:, :1] + spread * rng.normal(size=points.shape)
    return points


def _weights(law: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    if law == "dyadic":
        return rng.integers(1, 9, size=shape).astype(float)
    if law == "generic":
        return rng.uniform(0.5, 1.5, size=shape)
    if law == "heavy":
        weights = rng.uniform(0.5, 1.5, size=shape) * 10.0 ** -rng.integers(
            1, 7, size=(shape[0], 1)
        )
        weights[:, 0] = 1.0
        return weights
    return np.ones(shape)


def _edit(
    edit: str,
    points: np.ndarray,
    weights: np.ndarray,
    domain: AbstractDomain,
    rng: np.random.Generator,
    equal: bool,
) -> Stack:
    count, n, d = points.shape
    each = np.arange(count)
    one = rng.integers(n, size=count)
    if edit in ("coincide", "near") and n > 1:
        other = (one + rng.integers(1, n, size=count)) % n
        points[each, other] = points[each, one]
        if edit == "near":
            points[each, other] += 1e-6 * domain.diameter * rng.normal(size=(count, d))
    elif edit == "zero" and n > 1 and not equal:
        weights[each, one] = 0.0
    elif edit == "collinear" and n > 2:
        t = rng.uniform(size=(count, n, 1))
        points = points[:, :1] + t * (points[:, 1:2] - points[:, :1])
    elif edit == "symmetric":
        points = np.concatenate([points, 2 * _anchors(domain)[0] - points], axis=1)
        weights = np.concatenate([weights, weights], axis=1)
    elif edit == "centre":
        points[each, one] = _anchors(domain)[0]
    elif edit == "replicate":
        points = np.concatenate([points, points], axis=1)
        weights = np.concatenate([weights, weights], axis=1)
    return points, weights
