"""Hypothesis strategies for tests of your own code: measures, pairs, sequences, functions, maps.

    from hypothesis import given
    from pushforward.verify import strategies as some

    @given(some.measures(pf.Ball(2)))
    def test_my_layer_keeps_the_mean(mu): ...

Every measure lies in its domain and has mass one. Examples shrink to few atoms, to places on a
coarse lattice about the centre of the domain, and to weights that are simple dyadics. All-zero
weights and weights that overflow cannot arise; coincident atoms can, and atoms of weight zero where
they are asked for.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ..numeric import AbstractDomain, DiscreteMeasure
from .lattices import BITS, check_domain, place, places as places, some
from .plateaus import (
    Plateau as Plateau,
    Wave as Wave,
    functions as functions,
    plateaus as plateaus,
)
from .random_maps import (
    AttentionBlock as AttentionBlock,
    Perceptron as Perceptron,
    attention_blocks as attention_blocks,
    in_context_maps as in_context_maps,
    mlps as mlps,
    symbolic_maps as symbolic_maps,
)

WEIGHTS = ("uniform", "dyadic", "rational")
_PARTS = (2.0**-1, 2.0**-2, 2.0**-4, 2.0**-20)
_HALVINGS = 60


def measures(
    domain: AbstractDomain,
    *,
    min_atoms: int = 1,
    max_atoms: int = 6,
    weights: str = "any",
    zeros: bool = False,
) -> SearchStrategy[DiscreteMeasure]:
    """Probability measures with a few atoms in a domain.

    Args:
        domain: where the atoms lie.
        min_atoms: >= 1.
        max_atoms: the most atoms; coincident ones count apart.
        weights: "uniform" (1/n), "dyadic" (multiples of powers of two, of sum exactly one),
            "rational" (k_i / sum k with whole k_i <= 12) or "any" of these.
        zeros: whether atoms of weight zero may stand among the others.

    >>> import pushforward as pf
    >>> from hypothesis import find
    >>> find(measures(pf.Box([-1.0], [1.0])), lambda mu: mu.points.max() > mu.points.min())
    DiscreteMeasure(2 atoms in R^1, mass 1: 0.5 at (0), 0.5 at (0.5))
    """
    check_domain(domain)
    if not 1 <= min_atoms <= max_atoms:
        raise ValueError(
            "measures(min_atoms=, max_atoms=) expects 1 <= min_atoms <= max_atoms. "
            f"Got {min_atoms} and {max_atoms}."
        )
    if weights not in (*WEIGHTS, "any"):
        raise ValueError(
            f"measures(weights=) expects {', '.join(WEIGHTS)} or any. Got {weights!r}."
        )
    laws = WEIGHTS if weights == "any" else (weights,)
    return _measures(domain, min_atoms, max_atoms, laws, zeros)


@st.composite
def _measures(
    draw: DrawFn,
    domain: AbstractDomain,
    min_atoms: int,
    max_atoms: int,
    laws: tuple[str, ...],
    zeros: bool,
) -> DiscreteMeasure:
    points = draw(_cloud(domain, draw(some(BITS)), min_atoms, max_atoms))
    weights = draw(_weights(draw(some(laws)), len(points)))
    if zeros:
        weights = draw(_with_zeros(weights))
    return DiscreteMeasure(np.array(points), weights)


@cache
def _cloud(
    domain: AbstractDomain, bits: int, min_atoms: int, max_atoms: int
) -> SearchStrategy[list[np.ndarray]]:
    return st.lists(place(domain, bits), min_size=min_atoms, max_size=max_atoms)


@cache
def _weights(law: str, atoms: int) -> SearchStrategy[np.ndarray]:
    if law == "uniform":
        return st.just(np.full(atoms, 1 / atoms))
    if law == "dyadic":
        return _dyadic(atoms)
    counts = st.lists(st.integers(1, 12), min_size=atoms, max_size=atoms)
    return counts.map(lambda k: np.array(k) / sum(k))


@st.composite
def _dyadic(draw: DrawFn, atoms: int) -> np.ndarray:
    """One mass, cut again and again: every weight is a sum of powers of two, none is zero."""
    weights = [1.0]
    while len(weights) < atoms:
        heavy = [i for i, weight in enumerate(weights) if weight > 2.0**-40]
        index = heavy[draw(st.integers(0, len(heavy) - 1))]
        # few uneven cuts, so that all digits of a weight fit in a float
        parts = {1: _PARTS, 2: _PARTS[:3], 3: _PARTS[:3], 4: _PARTS[:3]}
        part = draw(some(parts.get(len(weights), _PARTS[:1]))) * weights[index]
        weights[index] -= part
        weights.append(part)
    return np.array(weights)


@st.composite
def _with_zeros(draw: DrawFn, weights: np.ndarray) -> np.ndarray:
    kept = int(draw(st.integers(0, len(weights) - 1)))
    empty = np.array(draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights))))
    empty[kept] = False
    return np.where(empty, 0.0, weights) / weights[~empty].sum()


# -- pairs and sequences -----------------------------------------------------------------------
def pairs(
    domain: AbstractDomain, delta: float, *, max_atoms: int = 6, weights: str = "any"
) -> SearchStrategy[tuple[DiscreteMeasure, DiscreteMeasure]]:
    """Two measures at distance `W1(mu, nu) <= delta`, for tests of continuity.

    The second is the first after a transport of cost at most delta: atoms move, split, meet, or
    send a vanishing part of their mass far away. Pairs shrink to two equal measures.

    >>> import pushforward as pf
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(pairs(pf.Ball(2), 0.125))
    ... def test_the_mean_is_lipschitz(pair):
    ...     mu, nu = pair
    ...     assert abs(mu.weights @ mu.points - nu.weights @ nu.points).max() <= 0.125
    >>> test_the_mean_is_lipschitz()
    """
    first = measures(domain, max_atoms=max_atoms, weights=weights)
    if not 0 < delta < math.inf:
        raise ValueError(f"pairs(domain, delta) expects a distance delta > 0. Got {delta!r}.")
    return first.flatmap(lambda mu: _near(domain, mu, delta).map(lambda nu: (mu, nu)))


@st.composite
def _near(
    draw: DrawFn, domain: AbstractDomain, mu: DiscreteMeasure, delta: float
) -> DiscreteMeasure:
    targeted, shares = place(domain, draw(some(BITS))), some((0.0, 1.0, *_PARTS))
    moved = np.array([draw(shares) for _ in range(len(mu))])
    targets = np.array([draw(targeted) if moved[i] else mu.points[i] for i in range(len(mu))])
    limit = delta * (1 - 1e-9)
    if draw(st.booleans()):  # near by moving less far
        ends = zip(mu.points, targets, strict=True)
        targets = np.array([_towards(domain, x, target, limit) for x, target in ends])
    cost = moved * mu.weights @ np.linalg.norm(targets - mu.points, axis=1)
    if cost > limit:  # near by moving less mass
        moved = moved * (limit / cost)
    parts = np.concatenate([(1 - moved) * mu.weights, moved * mu.weights])
    everywhere = np.concatenate([mu.points, targets])
    return DiscreteMeasure(everywhere[parts > 0], parts[parts > 0] / parts.sum())


def _towards(domain: AbstractDomain, x: np.ndarray, target: np.ndarray, reach: float) -> np.ndarray:
    """A point of the domain on the way from x to the target, at most `reach` from x."""
    step = (target - x) * min(1.0, reach / max(float(np.linalg.norm(target - x)), 1e-300))
    for _ in range(_HALVINGS):
        there = domain.project([x + step])[0]
        if np.linalg.norm(there - x) <= reach:
            return there
        step = step / 2
    return x


def refining(
    domain: AbstractDomain, *, levels: int = 4, max_atoms: int = 3, weights: str = "any"
) -> SearchStrategy[tuple[DiscreteMeasure, ...]]:
    """Sequences `mu_0, ..., mu_levels` that tend to a measure without atoms.

    Each measure has the atoms of the last one, cut in two halves that move apart by at most
    `2^-k diameter / 8`: so `W1(mu_k, mu_{k+1}) <= 2^-k diameter / 16`, and what a continuous map
    makes of them converges. In a finite set they do not move.

    >>> import pushforward as pf
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(refining(pf.Ball(2), levels=3, max_atoms=1))
    ... def test_atoms_double(sequence):
    ...     assert [len(mu) for mu in sequence] == [1, 2, 4, 8]
    >>> test_atoms_double()
    """
    first = measures(domain, max_atoms=max_atoms, weights=weights)
    if levels < 1:
        raise ValueError(f"refining(levels=) expects at least one. Got {levels}.")
    axes = st.lists(st.integers(0, domain.dim - 1), min_size=levels, max_size=levels)
    return st.builds(lambda mu, along: _refined(domain, mu, along), first, axes)


def _refined(
    domain: AbstractDomain, mu: DiscreteMeasure, axes: list[int]
) -> tuple[DiscreteMeasure, ...]:
    sequence = [mu]
    for k, axis in enumerate(axes):
        reach = domain.diameter * 2.0**-k / 16
        step = reach * np.eye(domain.dim)[axis]
        sides = [
            np.array([_towards(domain, x, x + side, reach) for x in sequence[-1].points])
            for side in (step, -step)
        ]
        halves = np.tile(sequence[-1].weights / 2, 2)
        sequence.append(DiscreteMeasure(np.concatenate(sides), halves))
    return tuple(sequence)
