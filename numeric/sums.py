"""Weighted sums over the atoms in a tile, as matrix products where a factor has no rows.

What an atom counts in a sum is a product of two: an array over the pairs of rows and atoms, and a
base over the atoms alone, such as their weights. The base goes into the other factor of a matrix
product, which has no rows and is made once; so no pass over the pairs is spent on it. One more row
of that factor gives the sum of what the atoms count, out of the same product.
"""

from dataclasses import dataclass
from typing import Any

from .parts import Part, aligned
from .program import Axis, Use
from .streams import component
from .tiles import Work


@dataclass(slots=True)
class Weight:
    """What each atom counts in a sum: `part * base`, or the base alone.

    `base` is its name in `Run.base`; `total` is the sum, once it is known.
    """

    part: Part | None
    base: str
    over: Axis
    total: Part | None = None

    def renamed(self, names: dict[Axis, Axis]) -> "Weight":
        part, total = (
            p and Part(p.array, tuple(names[axis] for axis in p.axes))
            for p in (self.part, self.total)
        )
        return Weight(part, self.base, names[self.over], total)

    def times(self, work: Work, *factors: Part) -> "Weight":
        if not factors:
            return self
        part = work.product(*([self.part] if self.part else []), *factors)
        return Weight(part, self.base, self.over)

    def sum(self, work: Work) -> Part:
        """The sum over the atoms of what they count."""
        if self.total is None:
            self.total = self._sum(work)
        return self.total

    def _sum(self, work: Work) -> Part:
        xp, base = work.xp, work.run.base(self.over.owner, self.base)
        if self.part is None:
            return Part(xp.sum(base), ())
        part = last(work, self.part, self.over)
        if self.base == "ones":
            return Part(xp.sum(part.array, axis=-1), part.axes[:-1])
        sums = xp.matmul(xp.reshape(part.array, (-1, base.shape[0])), base)
        return Part(xp.reshape(sums, part.array.shape[:-1]), part.axes[:-1])

    def against(self, work: Work, use: Use) -> Part:
        """The sum over the atoms of a value times what they count, which has no components."""
        if self.part is None or len(set(self.part.axes) & set(use.axes)) > 1:
            if use.index in work.run.uses.streamed:
                return self._by_components(work, use)
            return self.times(work, last(work, work.part(use), self.over)).sum(work)
        value = last(work, work.part(use), self.over)
        weight, xp = last(work, self.part, self.over), work.xp
        n, shape = weight.array.shape[-1], weight.array.shape[:-1]
        flat, matrix = xp.reshape(weight.array, (-1, n)), self.matrix(work, use)
        sums = xp.matmul(flat, xp.permute_dims(matrix, (1, 0)))  # in float32 the faster order
        sums = xp.permute_dims(sums, (1, 0))
        if self.total is None:
            self.total = Part(xp.reshape(sums[-1, ...], shape), weight.axes[:-1])
            sums = sums[:-1, ...]
        sums = xp.reshape(sums, (*value.array.shape[:-1], *shape))
        return Part(sums, value.axes[:-1] + weight.axes[:-1])

    def _by_components(self, work: Work, use: Use) -> Part:
        """The same for a vector of pairs, of which only a component at a time exists."""
        run, key, sums = work.run, (work.index, work.row, use.index, "weighted"), []
        for k in range(run.shapes[use.index][0]):
            value = last(work, component(work, use, k, {}), self.over)
            if self.part is not None:
                (a, b), axes = work.common(self.part, value, rows_first=True)
                product = run.workspace.apply(key, run.functions["mul"], a, b)
                value = last(work, Part(product, axes), self.over)
            sums.append(Weight(value, self.base, self.over).sum(work))
        return work.stacked(sums, 1)

    def matrix(self, work: Work, use: Use) -> Any:
        """A value times the base, atoms last, and below it the base where no total is known."""
        key = "matrix", use.index, self.base, self.over.owner
        kept = work.run.kept if use.axes == (self.over,) else {}
        if key not in kept:
            value = last(work, work.part(use), self.over).array
            base = work.run.base(self.over.owner, self.base)[None, :]
            flat = work.xp.reshape(value, (-1, base.shape[1]))
            flat = flat if self.base == "ones" else flat * base
            kept[key] = work.xp.concat([flat, base], axis=0)
        return kept[key] if self.total is None else kept[key][:-1, ...]


def last(work: Work, part: Part, over: Axis) -> Part:
    """The part with the reduced axis last."""
    if part.axes[-1] == over:
        return part
    axes = (*(axis for axis in part.axes if axis != over), over)
    return Part(aligned(work.xp, part, axes), axes)
