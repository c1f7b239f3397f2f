"""Arrays with named axes, and the memory that tiles use again."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import array_api_compat
import numpy as np

from .program import Axis


@dataclass(frozen=True, slots=True)
class Part:
    """An array with its components first, and the names of the axes that follow them."""

    array: Any
    axes: tuple[Axis, ...]

    @property
    def rank(self) -> int:
        return self.array.ndim - len(self.axes)

    @property
    def components(self) -> tuple[int, ...]:
        return tuple(self.array.shape[: self.rank])


def aligned(xp: Any, part: Part, axes: tuple[Axis, ...]) -> Any:
    """The array with one dimension for each of the axes, of length one where it does not vary."""
    if part.axes == axes:
        return part.array
    rank, places = part.rank, [axes.index(axis) for axis in part.axes]
    order = sorted(range(len(places)), key=places.__getitem__)
    array = part.array
    if order != list(range(len(places))):
        array = xp.permute_dims(array, (*range(rank), *(rank + k for k in order)))
    extents = iter(array.shape[rank:])
    full = tuple(next(extents) if k in places else 1 for k in range(len(axes)))
    return xp.reshape(array, (*array.shape[:rank], *full))


_PAD = 16


class Workspace:
    """Memory for the pairs of a tile, used again by the next tile.

    Fresh arrays of a megabyte cost more in page faults than in arithmetic. Libraries other than
    NumPy have allocators of their own and get no workspace.
    """

    def __init__(self, xp: Any, dtype: Any):
        self.dtype = dtype if array_api_compat.is_numpy_namespace(xp) else None
        self.buffers: dict[Any, np.ndarray] = {}

    def room(self, key: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        """An array of the shape, the same memory for the same key; None without a workspace."""
        if self.dtype is None or key is None:
            return None
        # Rows that begin at the same place of a page push each other out of the first-level cache.
        width = shape[-1] + _PAD * (shape[-1] % _PAD == 0)
        size = math.prod(shape[:-1]) * width
        if key not in self.buffers or self.buffers[key].size < size:
            self.buffers[key] = np.empty(size, dtype=self.dtype)
        return self.buffers[key][:size].reshape(*shape[:-1], width)[..., : shape[-1]]

    def outlasting(self, array: Any) -> Any:
        """The array, copied if it lies in memory that the next tile takes."""
        buffers = self.buffers.values()
        shared = any(np.may_share_memory(array, buffer) for buffer in buffers)
        return array.copy() if shared else array

    def apply(self, key: Any, function: Callable[..., Any], *arrays: Any) -> Any:
        """A function of one or more arrays that broadcast, combined from the left."""
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        room = self.room(key, shape) if isinstance(function, np.ufunc) else None
        more: dict[str, Any] = {} if room is None else {"out": room}
        if len(arrays) == 1:
            return function(*arrays, **more)
        return reduce(lambda a, b: function(a, b, **more), arrays)

    def product(self, key: Any, xp: Any, left: Any, right: Any) -> Any:
        """A product of two matrices."""
        room = self.room(key, (left.shape[0], right.shape[1]))
        return xp.matmul(left, right) if room is None else np.matmul(left, right, out=room)
