"""Writing a measure in other ways: permuted, split, replicated, with an atom of weight zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from ..numeric import AbstractDomain
from .recipes import inside
from .subject import Stack

Operation = Callable[[np.ndarray, np.ndarray, int], Stack]
"""A measure, or every measure of a stack, written in another way; a seed comes with it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Which atom comes where, `index` (m,), and with which share of its weight, `shares` (m,)."""

    index: np.ndarray
    shares: np.ndarray


def _repeat(n: int, seed: int) -> Table:
    return Table(np.arange(n), np.ones(n))


def _permute(n: int, seed: int) -> Table:
    order = np.arange(n)[::-1] if n < 4 else np.random.default_rng([seed, 4]).permutation(n)
    return Table(order, np.ones(n))


def _split(n: int, seed: int) -> Table:
    shares = np.ones(n + 1)
    shares[0], shares[n] = 3 / 4, 1 / 4
    return Table(np.append(np.arange(n), 0), shares)


def _replicate(n: int, seed: int) -> Table:
    return Table(np.tile(np.arange(n), 2), np.full(2 * n, 1 / 2))


def _add_zero_weight(n: int, seed: int) -> Table:
    """Put first; it goes to a place where no atom is."""
    return Table(np.append(0, np.arange(n)), np.append(0.0, np.ones(n)))


_TABLES = {
    "repeat": _repeat,
    "permute": _permute,
    "split": _split,
    "replicate": _replicate,
    "zero-weight": _add_zero_weight,
}
_OF_LISTS = ("repeat", "permute", "replicate")
_table = lru_cache(maxsize=256)(lambda name, n, seed: _TABLES[name](n, seed))


def _rewritten(name: str, points: np.ndarray, weights: np.ndarray, seed: int) -> Stack:
    table = _table(name, weights.shape[-1], seed if name == "permute" else 0)
    places = points[..., table.index, :]
    if name == "zero-weight":
        places[..., 0, :] = _elsewhere(points)
    return places, weights[..., table.index] * table.shares


def _elsewhere(points: np.ndarray) -> np.ndarray:
    first, last = points[..., 0, :], points[..., -1, :]
    return 2 * first - last if points.shape[-2] > 1 else 0.5 - first


OPERATIONS: dict[str, Operation] = {
    name: partial(_rewritten, name) for name in _TABLES if name != "repeat"
}


@dataclass(frozen=True, slots=True)
class Ways:
    """All ways to write measures of n atoms, one behind the other in one table."""

    names: tuple[str, ...]
    table: Table
    starts: np.ndarray
    pieces: tuple[slice, ...]

    def written(self, stack: Stack, domain: AbstractDomain) -> Stack:
        """The measures in all ways; the place where no atom is lies in the domain."""
        points, weights = stack
        places = points.take(self.table.index, axis=-2)
        if self.names[-1] == "zero-weight":
            places[..., self.starts[-1], :] = inside(domain, _elsewhere(points))
        return places, weights.take(self.table.index, axis=-1) * self.table.shares

    def parts(self, joined: Stack) -> list[Stack]:
        """The measures in each of the ways."""
        points, weights = joined
        return [(points[..., piece, :], weights[..., piece]) for piece in self.pieces]


@lru_cache(maxsize=64)
def ways(n: int, seed: int, lists: bool) -> Ways:
    """The same measure again, and written in other ways; lists cannot carry all of them."""
    plain = _plain_ways(n, _OF_LISTS if lists else tuple(_TABLES))
    index = plain.table.index.copy()
    index[plain.pieces[plain.names.index("permute")]] = _table("permute", n, seed).index
    return Ways(plain.names, Table(index, plain.table.shares), plain.starts, plain.pieces)


@lru_cache(maxsize=32)
def _plain_ways(n: int, names: tuple[str, ...]) -> Ways:
    """The ways for one seed: another one changes nothing but the order of the atoms permuted."""
    tables = [_table(name, n, 0) for name in names]
    ends = np.cumsum([len(table.index) for table in tables])
    starts = np.append(0, ends[:-1])
    joined = Table(
        np.concatenate([table.index for table in tables]),
        np.concatenate([table.shares for table in tables]),
    )
    return Ways(names, joined, starts, tuple(map(slice, starts.tolist(), ends.tolist())))
