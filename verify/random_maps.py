"""Random in-context maps, numeric and symbolic, as Hypothesis draws them; all are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ..numeric import AbstractDomain
from .candidates import InContextMap, Symbolic
from .lattices import check_domain, whole


@dataclass(frozen=True)
class AttentionBlock:
    """`G(mu, x) = x + sum_heads V E_p[y]` with `p` proportional to `e^{<x, A y>} mu`.

    >>> import numpy as np
    >>> block = AttentionBlock((((1.0,),),), (((0.5,),),))
    >>> block(np.array([[1.0]]), np.ones(1), np.array([[0.0]])).tolist()
    [[0.5]]
    """

    scores: tuple[Any, ...]
    values: tuple[Any, ...]

    def __call__(self, points: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        live, mass = points[weights > 0], weights[weights > 0]
        for a, v in zip(self.scores, self.values, strict=True):
            energy = x @ np.array(a) @ live.T
            kernel = mass * np.exp(energy - energy.max(axis=1, keepdims=True))
            x = x + kernel @ live / kernel.sum(axis=1, keepdims=True) @ np.array(v).T
        return x


@dataclass(frozen=True)
class Perceptron:
    """`G(mu, x) = x + W tanh(U x + b)`: each token for itself.

    >>> import numpy as np
    >>> layer = Perceptron(((1.0,),), ((0.0,),), (0.0,))
    >>> layer(np.array([[1.0]]), np.ones(1), np.array([[0.5]])).tolist()
    [[0.5]]
    """

    w: Any
    u: Any
    b: Any

    def __call__(self, points: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        return x + np.tanh(x @ np.array(self.u).T + np.array(self.b)) @ np.array(self.w).T


def attention_blocks(domain: AbstractDomain, *, max_heads: int = 3) -> SearchStrategy[InContextMap]:
    """Multi-head softmax attention with a residual, as candidates on a domain.

    Each is a continuous in-context map: a checker that refutes one is wrong.

    >>> import pushforward as pf
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(attention_blocks(pf.Ball(1)))
    ... def test_something(block):
    ...     assert len(block.fn.scores) <= 3
    >>> test_something()
    """
    check_domain(domain)
    matrices = st.lists(_matrix(domain.dim), min_size=1, max_size=max_heads).map(tuple)

    def block(scores: tuple[Any, ...]) -> SearchStrategy[InContextMap]:
        values = st.tuples(*(_matrix(domain.dim) for _ in scores))
        return values.map(lambda v: InContextMap(AttentionBlock(scores, v), domain))

    return matrices.flatmap(block)


def mlps(domain: AbstractDomain, *, max_width: int = 4) -> SearchStrategy[InContextMap]:
    """Perceptrons with one hidden layer and a residual, as candidates on a domain.

    >>> import pushforward as pf
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(mlps(pf.Ball(1)))
    ... def test_something(layer):
    ...     assert len(layer.fn.b) <= 4
    >>> test_something()
    """
    check_domain(domain)

    def layer(width: int) -> SearchStrategy[InContextMap]:
        w, u = _matrix(domain.dim, width), _matrix(width, domain.dim)
        made = st.builds(Perceptron, w, u, _row(width))
        return made.map(lambda fn: InContextMap(fn, domain))

    return st.integers(1, max_width).flatmap(layer)


def in_context_maps(domain: AbstractDomain) -> SearchStrategy[InContextMap]:
    """Attention blocks and perceptrons on a domain.

    >>> import pushforward as pf
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(in_context_maps(pf.Ball(1)))
    ... def test_something(G):
    ...     assert G.domain == pf.Ball(1)
    >>> test_something()
    """
    return attention_blocks(domain) | mlps(domain)


def symbolic_maps(domain: AbstractDomain, *, max_depth: int = 2) -> SearchStrategy[Symbolic]:
    """Random terms, bound to arrays: layers of attention, interaction and perceptrons, composed.

    >>> import pushforward as pf
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=2)
    ... @given(symbolic_maps(pf.Ball(1)))
    ... def test_something(G):
    ...     assert G.bound.map.jacobian() is not None
    >>> test_something()
    """
    check_domain(domain)
    layers = st.lists(st.sampled_from(range(len(_LAYERS))), min_size=1, max_size=max_depth)
    return layers.flatmap(lambda kinds: _bound(domain, kinds))


def _bound(domain: AbstractDomain, kinds: list[int]) -> SearchStrategy[Symbolic]:
    layers = [_LAYERS[kind](str(place)) for place, kind in enumerate(kinds)]
    whole = layers[0]
    for layer in layers[1:]:
        whole = layer @ whole
    names = [parameter.name for parameter in whole.parameters]
    arrays = {
        name: _row(domain.dim) if name.startswith("b") else _matrix(domain.dim) for name in names
    }
    return st.fixed_dictionaries(arrays).map(
        lambda values: Symbolic(whole.bind(**{k: np.array(v) for k, v in values.items()}), domain)
    )


def _averaging(label: str) -> Any:
    from ..symbolic import Matrix, Measure, Point, SymbolicMap, gibbs

    x, y, mu = Point("x"), Point("y"), Measure("mu")
    return SymbolicMap(x + gibbs(Matrix(f"V{label}") @ y, y, mu, energy=0), x, mu)


def _attending(label: str) -> Any:
    from ..symbolic import library

    return library.softmax_attention(residual=True, label=label)


def _near_attending(label: str) -> Any:
    from ..symbolic import library

    return library.l2_attention(residual=True, label=label)


def _interacting(label: str) -> Any:
    from ..symbolic import Matrix, Measure, Point, SymbolicMap, integral, norm2

    x, y, mu = Point("x"), Point("y"), Measure("mu")
    pull = Matrix(f"K{label}") @ (y - x)
    return SymbolicMap(x + integral(pull / (1 + norm2(x - y)), y, mu), x, mu)


def _perceiving(label: str) -> Any:
    from ..symbolic import library

    return library.mlp(residual=True, label=label)


_LAYERS = (_averaging, _perceiving, _interacting, _attending, _near_attending)


def _matrix(rows: int, columns: int | None = None) -> SearchStrategy[tuple[Any, ...]]:
    columns = rows if columns is None else columns
    return st.lists(_row(columns), min_size=rows, max_size=rows).map(tuple)


def _row(size: int) -> SearchStrategy[tuple[float, ...]]:
    """Multiples of a quarter between -2 and 2."""
    quarters = st.lists(whole(8), min_size=size, max_size=size)
    return quarters.map(lambda k: tuple(each / 4 for each in k))
