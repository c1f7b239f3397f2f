"""How far the responses of a map are apart, and from straight: for many of them at a time.

A response is what a search reads of a map at one measure: an image, or the images of chosen atoms;
None where it cannot be read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np

from .distance import gaps, lengths, moved
from .subject import Stack

Triple = tuple[Any, Any, Any]
Split = tuple[float, float, float]
"""What three responses show: the rise from the first to the second and from there to the third, and
how far the second is from straight; infinite where that is not known, NaN where it is None."""


_FROM = np.array([0, 1, 1])


class Gauge(ABC):
    """Distances of responses, pair by pair, none of them None."""

    fades = 1 / 200
    """What is left of a smooth response's bends at scales finer by 25, where they fall as squares
    do."""

    @abstractmethod
    def apart(self, first: Sequence[Any], second: Sequence[Any]) -> np.ndarray:
        """The distances of responses."""

    @abstractmethod
    def _wholly(self, triples: list[Triple], share: np.ndarray) -> list[Split]:
        """What triples show of which all responses can be read."""

    def splits(self, triples: Sequence[Triple], share: Sequence[float]) -> list[Split]:
        """What triples of responses show, the second at a share of the way to the third."""
        whole = [k for k, triple in enumerate(triples) if _is_whole(triple)]
        found: dict[int, Split] = {}
        if len(whole) == len(triples):
            return self._wholly(list(triples), np.array(share))
        if whole:
            shares = np.array([share[k] for k in whole])
            found |= zip(whole, self._wholly([triples[k] for k in whole], shares), strict=True)
        return [found.get(k) or self._partly(*triple) for k, triple in enumerate(triples)]

    def bends(self, triples: Sequence[Triple], share: Sequence[float]) -> list[float]:
        """How far the second of three responses is from straight; -1 where one cannot be read."""
        found = [bent for *_, bent in self.splits(triples, share)]
        return [bent if np.isfinite(bent) else -1.0 for bent in found]

    def _partly(self, left: Any, middle: Any, right: Any) -> Split:
        if middle is None:
            return 0.0, 0.0, np.nan
        sides = [None if side is None else self.apart([side], [middle]) for side in (left, right)]
        rises = [0.0 if side is None else float(side[0]) for side in sides]
        return rises[0], rises[1], np.inf


def _is_whole(triple: Triple) -> bool:
    left, middle, right = triple
    return left is not None and middle is not None and right is not None


class Distances(Gauge):
    """Images in any order, in W1; what is at most `small` need not be exact.

    Nothing tells how far such images are from straight: where that is asked, the distance of the
    outer two of three stands for it.
    """

    fades = 1 / 16

    def __init__(self, small: float):
        self.small = small

    def apart(self, first: Sequence[Any], second: Sequence[Any]) -> np.ndarray:
        return gaps(first, second, self.small)

    def bends(self, triples: Sequence[Triple], share: Sequence[float]) -> list[float]:
        whole = [_is_whole(triple) for triple in triples]
        found = np.full(len(triples), -1.0)
        if any(whole):
            left, _, right = zip(*compress(triples, whole), strict=True)
            found[whole] = gaps(left, right, self.small)
        return found.tolist()

    def _wholly(self, triples: list[Triple], share: np.ndarray) -> list[Split]:
        left, middle, right = zip(*triples, strict=True)
        rises = self.apart(left + middle, middle + right).reshape(2, -1).tolist()
        return [(first, second, np.inf) for first, second in zip(*rises, strict=True)]


class Moves(Gauge):
    """Images (n, d'), (n,) whose rows correspond, in a bound of W1 from above."""

    def apart(self, first: Sequence[Any], second: Sequence[Any]) -> np.ndarray:
        return moved(_stacked(first), _stacked(second))

    def _wholly(self, triples: list[Triple], share: np.ndarray) -> list[Split]:
        points, weights = _stacked([image for triple in triples for image in triple])
        # a weight goes straight as a coordinate does
        first, second = _steps(np.concatenate([points, weights[:, :, None]], axis=2), share)
        rises = moved((first[..., :-1], first[..., -1]), (second[..., :-1], second[..., -1]))
        return [tuple(split) for split in rises.tolist()]


class Labels(Gauge):
    """Images (k, d') of chosen atoms, in the largest distance of one of them."""

    def apart(self, first: Sequence[Any], second: Sequence[Any]) -> np.ndarray:
        return lengths(joined(first) - joined(second)).max(axis=-1)

    def _wholly(self, triples: list[Triple], share: np.ndarray) -> list[Split]:
        x, y = _steps(joined([images for triple in triples for images in triple]), share)
        return [tuple(split) for split in lengths(x - y).max(axis=-1).tolist()]


def _stacked(images: Sequence[Any]) -> Stack:
    points, weights = zip(*images, strict=True)
    return joined(points), joined(weights)


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one shape behind each other, much faster than `np.stack`."""
    return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)


def _steps(values: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of triples one behind the other: from first to second, to third, and from straight."""
    three = values.reshape(-1, 3, *values.shape[1:])
    s = share.reshape(-1, *[1] * (values.ndim - 1))
    straight = (1 - s) * three[:, 0] + s * three[:, 2]
    return three.take(_FROM, axis=1), np.concatenate([three[:, 1:], straight[:, None]], axis=1)
