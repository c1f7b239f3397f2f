"""Places of a domain as Hypothesis draws them: on lattices of falling width about the centre."""

from __future__ import annotations

import math
from functools import cache, singledispatch
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ..numeric import AbstractDomain, FiniteSet, Product, Simplex, Sphere

BITS = (1, 2, 4, 8, 20)


def places(domain: AbstractDomain) -> SearchStrategy[np.ndarray]:
    """Points (d,) of a domain, on lattices of falling width about its centre.

    They shrink to the centre; on a sphere or a simplex to the first corner, in a finite set to its
    first point.

    >>> import pushforward as pf
    >>> from hypothesis import find
    >>> find(places(pf.Ball(2)), lambda x: x[0] > 0.25).tolist()
    [0.5, 0.0]
    """
    check_domain(domain)
    return st.sampled_from(BITS).flatmap(lambda bits: place(domain, bits))


@cache  # making a strategy costs more than drawing from it
def place(domain: AbstractDomain, bits: int) -> SearchStrategy[np.ndarray]:
    """Points (d,) of the lattice whose cells are `2^-bits` of half the domain wide."""
    return _lattice(domain, bits)


@singledispatch
def _lattice(domain: AbstractDomain, bits: int) -> SearchStrategy[np.ndarray]:
    centre, unit = domain.anchors()[0], 2.0 ** math.ceil(math.log2(domain.diameter / 2 or 1.0))
    steps = st.lists(whole(2**bits), min_size=domain.dim, max_size=domain.dim)
    return steps.map(lambda k: domain.project([centre + unit * 2.0**-bits * np.array(k)])[0])


@_lattice.register
def _(domain: Sphere, bits: int) -> SearchStrategy[np.ndarray]:
    steps = st.lists(whole(2**bits), min_size=domain.dim, max_size=domain.dim)
    return steps.map(lambda k: domain.project([np.array(k, dtype=float)])[0])


@_lattice.register
def _(domain: Simplex, bits: int) -> SearchStrategy[np.ndarray]:
    shares = st.lists(st.integers(0, 2**bits), min_size=domain.dim, max_size=domain.dim)
    first = np.eye(domain.dim)[0]
    return shares.map(lambda k: np.array(k) / sum(k) if any(k) else first)


@_lattice.register
def _(domain: FiniteSet, bits: int) -> SearchStrategy[np.ndarray]:
    return st.sampled_from(domain.points).map(np.array)


@_lattice.register
def _(domain: Product, bits: int) -> SearchStrategy[np.ndarray]:
    return st.tuples(*(place(factor, bits) for factor in domain.factors)).map(np.concatenate)


def whole(most: int) -> SearchStrategy[int]:
    """Whole numbers of modulus at most `most`; they shrink to zero."""
    return st.integers(-most, most)


@cache
def some(values: tuple[Any, ...]) -> SearchStrategy[Any]:
    """One of the values; they shrink to the first."""
    return st.sampled_from(values)


def check_domain(domain: Any) -> None:
    """Refuse what is no domain."""
    if not isinstance(domain, AbstractDomain):
        raise TypeError(
            f"expected a domain first, such as Box or Ball. Got {type(domain).__name__}."
        )
