"""Arrays with named axes, and the memory that tiles use again."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

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
_MOST_SPARE = 2**26


class Workspace:
    """Memory for the pairs of a tile, used again by the next tile.

    Fresh arrays of a megabyte cost more in page faults than in arithmetic: the memory is kept for
    the next evaluation, too. Libraries other than NumPy have allocators of their own and get no
    workspace.
    """

    _SPARE: ClassVar[list[dict[Any, np.ndarray]]] = []

    def __init__(self, xp: Any, dtype: Any):
        self.dtype = dtype if array_api_compat.is_numpy_namespace(xp) else None
        self.buffers: dict[Any, np.ndarray] = {}
        if self.dtype is not None:
            with suppress(IndexError):  # the first, or one of several threads
                self.buffers = self._SPARE.pop()

    def give_back(self) -> None:
        """Keep the memory for another evaluation, unless there is some or it is much."""
        total = sum(buffer.nbytes for buffer in self.buffers.values())
        if self.buffers and not self._SPARE and total <= _MOST_SPARE:
            self._SPARE.append(self.buffers)
        self.buffers = {}

    @property
    def is_there(self) -> bool:
        return self.dtype is not None

    def holds(self, key: Any, array: Any) -> bool:
        """Whether an array lies in the memory of a key."""
        buffer = self.buffers.get(key)
        return buffer is not None and np.may_share_memory(buffer, array)

    def room(self, key: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        """An array of the shape, the same memory for the same key; None without a workspace."""
        if self.dtype is None or key is None:
            return None
        # Rows that begin at the same place of a page push each other out of the first-level cache.
        width = shape[-1] + _PAD * (shape[-1] % _PAD == 0)
        size = math.prod(shape[:-1]) * width * self.dtype.itemsize
        if key not in self.buffers or self.buffers[key].size < size:
            self.buffers[key] = np.empty(size, dtype=np.uint8)
        numbers = self.buffers[key][:size].view(self.dtype)
        return numbers.reshape(*shape[:-1], width)[..., : shape[-1]]

    def outlasting(self, array: Any) -> Any:
        """The array, copied if it lies in memory that the next tile takes."""
        return array.copy() if self.shares(array) else array

    def shares(self, array: Any) -> bool:
        """Whether an array lies in memory that is used again."""
        return any(np.may_share_memory(array, buffer) for buffer in self.buffers.values())

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
