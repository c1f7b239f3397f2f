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
from dataclasses import dataclass
from functools import cache, singledispatch
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ..numeric import AbstractDomain, DiscreteMeasure, FiniteSet, Product, Simplex, Sphere
from .candidates import InContextMap, Symbolic

WEIGHTS = ("uniform", "dyadic", "rational")
_BITS = (1, 2, 4, 8, 20)
_PARTS = (2.0**-1, 2.0**-2, 2.0**-4, 2.0**-20)
_HALVINGS = 60


# -- places ------------------------------------------------------------------------------------
def places(domain: AbstractDomain) -> SearchStrategy[np.ndarray]:
    """Points (d,) of a domain, on lattices of falling width about its centre.

    They shrink to the centre; on a sphere or a simplex to the first corner, in a finite set to its
    first point.

    >>> import pushforward as pf
    >>> from hypothesis import find
    >>> find(places(pf.Ball(2)), lambda x: x[0] > 0.25).tolist()
    [0.5, 0.0]
    """
    _check(domain)
    return st.sampled_from(_BITS).flatmap(lambda bits: _place(domain, bits))


@cache  # making a strategy costs more than drawing from it
def _place(domain: AbstractDomain, bits: int) -> SearchStrategy[np.ndarray]:
    return _lattice(domain, bits)


@singledispatch
def _lattice(domain: AbstractDomain, bits: int) -> SearchStrategy[np.ndarray]:
    centre, unit = domain.anchors()[0], 2.0 ** math.ceil(math.log2(domain.diameter / 2 or 1.0))
    steps = st.lists(_whole(2**bits), min_size=domain.dim, max_size=domain.dim)
    return steps.map(lambda k: domain.project([centre + unit * 2.0**-bits * np.array(k)])[0])


@_lattice.register
def _(domain: Sphere, bits: int) -> SearchStrategy[np.ndarray]:
    steps = st.lists(_whole(2**bits), min_size=domain.dim, max_size=domain.dim)
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
    return st.tuples(*(_place(factor, bits) for factor in domain.factors)).map(np.concatenate)


def _whole(most: int) -> SearchStrategy[int]:
    return st.integers(-most, most)


# -- measures ----------------------------------------------------------------------------------
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
    _check(domain)
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
    points = draw(_cloud(domain, draw(_some(_BITS)), min_atoms, max_atoms))
    weights = draw(_weights(draw(_some(laws)), len(points)))
    if zeros:
        weights = draw(_with_zeros(weights))
    return DiscreteMeasure(np.array(points), weights)


@cache
def _cloud(
    domain: AbstractDomain, bits: int, min_atoms: int, max_atoms: int
) -> SearchStrategy[list[np.ndarray]]:
    return st.lists(_place(domain, bits), min_size=min_atoms, max_size=max_atoms)


@cache
def _some(values: tuple[Any, ...]) -> SearchStrategy[Any]:
    return st.sampled_from(values)


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
        part = draw(_some(parts.get(len(weights), _PARTS[:1]))) * weights[index]
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
    place, shares = _place(domain, draw(_some(_BITS))), _some((0.0, 1.0, *_PARTS))
    moved = np.array([draw(shares) for _ in range(len(mu))])
    targets = np.array([draw(place) if moved[i] else mu.points[i] for i in range(len(mu))])
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


# -- test functions ----------------------------------------------------------------------------
@dataclass(frozen=True)
class Wave:
    """`psi(y) = sin(<k, y> + phase) / max(1, |k|)`: at most one, with slope at most one.

    >>> import numpy as np
    >>> Wave((1.0, 0.0), 0.0)(np.zeros((3, 2))).tolist()
    [0.0, 0.0, 0.0]
    """

    k: tuple[float, ...]
    phase: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values (m,) at points (m, d)."""
        return np.sin(np.asarray(points) @ self.k + self.phase) / max(1.0, math.hypot(*self.k))


@dataclass(frozen=True, eq=False)
class Plateau:
    """A test function made constant near given places: a wave with plateaux.

    `psi_r(y) = psi(y) + sum_l chi(|y - y_l| / r) (psi(y_l) - psi(y))` with `chi(t) = clip(2 - t, 0,
    1)`, for `r <= min |y_l - y_m| / 4`: it is `psi(y_l)` on the ball of radius r about `y_l` and
    psi beyond 2r; its slope is at most three times that of psi.

    >>> import numpy as np
    >>> psi = Plateau(Wave((1.0,), 0.0), np.array([[0.5]]), 0.125)
    >>> bool(psi(np.array([[0.6]]))[0] == psi(np.array([[0.4]]))[0])
    True
    """

    wave: Wave
    places: np.ndarray
    radius: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values (m,) at points (m, d)."""
        values = self.wave(points)
        distances = np.linalg.norm(np.asarray(points)[:, None] - self.places, axis=2)
        chi = np.clip(2 - distances / self.radius, 0.0, 1.0)
        # the sum has one term at most: the supports of chi do not meet
        nearest = distances.argmin(axis=1)
        height = chi[np.arange(len(values)), nearest]
        return (1 - height) * values + height * self.wave(self.places)[nearest]


def functions(dim: int) -> SearchStrategy[Wave]:
    """Test functions `psi` on R^dim, bounded by one and with slope at most one.

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(functions(2))
    ... def test_bounded(psi):
    ...     assert np.abs(psi(np.eye(2))).max() <= 1
    >>> test_bounded()
    """
    frequency = st.lists(_whole(8), min_size=dim, max_size=dim).map(lambda k: tuple(map(float, k)))
    return st.builds(Wave, frequency, st.integers(0, 12).map(lambda k: k / 2))


def plateaus(places: Any) -> SearchStrategy[Plateau]:
    """Test functions that are constant near the given places (k, d), such as the atoms of an image.

    They take the regular part of a derivative from the whole of it (docs/mathematics.md).

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(plateaus(np.array([[0.0], [1.0]])))
    ... def test_constant_near_zero(psi):
    ...     near, zero = psi(np.array([[psi.radius / 2], [0.0]]))
    ...     assert near == zero
    >>> test_constant_near_zero()
    """
    rows = np.unique(np.asarray(places, dtype=float), axis=0)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"plateaus(places) expects places (k, d). Got shape {rows.shape}.")
    apart = np.linalg.norm(rows[:, None] - rows, axis=2)
    least = float(apart[apart > 0].min()) if len(rows) > 1 else 1.0
    radii = st.sampled_from((4.0, 8.0, 64.0, 1024.0)).map(lambda part: least / part)
    return st.builds(
        lambda wave, radius: Plateau(wave, rows, radius), functions(rows.shape[1]), radii
    )


# -- maps --------------------------------------------------------------------------------------
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
    _check(domain)
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
    _check(domain)

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
    _check(domain)
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
    quarters = st.lists(_whole(8), min_size=size, max_size=size)
    return quarters.map(lambda k: tuple(each / 4 for each in k))


def _check(domain: Any) -> None:
    if not isinstance(domain, AbstractDomain):
        raise TypeError(
            f"expected a domain first, such as Box or Ball. Got {type(domain).__name__}."
        )
