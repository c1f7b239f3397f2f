"""Velocities of very many particles estimated from random batches of them.

A batch of p atoms drawn with the probabilities `w_i / M`, each of weight `M / p`, is a random
measure whose mean is the measure. What is linear in the measure is then estimated without bias, at
the cost of p atoms instead of n.

Source: Jin, Li & Liu (2020), Random batch methods (RBM) for interacting particle systems, J.
Comput. Phys. 400, 108877, arXiv 1812.10575. There a batch is a set of the particles that interact
in one step; here it stands for the whole measure, so that targets may be any points.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import array_api_compat
import numpy as np

from .arrays import namespace, to_numpy
from .engines import Request, run
from .program import LIKE, Instruction, Program
from .reference import Inputs

GROUP = 2**16
"""Targets that share their batches, where the caller does not say."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated values; they are not exact, and no array is made of them silently.

    Args:
        value: the estimate.
        error: its standard error, of the shape of the value, from the scatter between the batches.
            For a ratio it holds once a batch has many of the atoms that carry the mean: a law that
            a few atoms of the whole measure decide, as at a low temperature, asks for larger ones.
        bias: how far the mean of the estimate is from exact, estimated too: about
            `c / (batch * batches)` where the field is a ratio of sums, as under a Gibbs law, or
            another function of sums. None for a plain sum over the atoms: it has no bias.
        batch, batches, seed: the atoms of a batch, the batches of a target, the seed.
    """

    value: Any
    error: Any
    bias: Any
    batch: int
    batches: int
    seed: int

    @property
    def is_biased(self) -> bool:
        """Whether the field is no plain sum over the atoms, so that the estimate has a bias."""
        return self.bias is not None

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("an Estimate is no array: take its value, and see its error")

    def __str__(self) -> str:
        kind = "a ratio or another function of sums" if self.is_biased else "a plain sum"
        worst = float(np.max(to_numpy(self.error), initial=0.0))
        return (
            f"estimate of {kind} from {self.batches} batches of {self.batch} atoms, "
            f"standard errors up to {worst:.3g}"
        )


@dataclass(frozen=True, slots=True)
class Batches:
    """How atoms are drawn: the measure of the name `owner`, the numbers, the engine."""

    owner: str
    batch: int
    batches: int
    seed: int
    engine: str
    cumulative: np.ndarray

    def drawn(self, group: int) -> np.ndarray:
        """The indices of the atoms, (batches, batch), of a group of targets."""
        rng = np.random.default_rng([self.seed, group])
        levels = rng.random((self.batches, self.batch)) * self.cumulative[-1]
        found = np.searchsorted(self.cumulative, levels, side="right")
        return np.minimum(found, len(self.cumulative) - 1)


def estimate_group(common: tuple[Request, Batches], piece: tuple[int, Any]) -> tuple[Any, Any, Any]:
    """Value, standard error and bias at the targets of one group."""
    (request, how), (group, x) = common, piece
    request, drawn = request.at(x), how.drawn(group)
    xp = namespace(x)
    values = [run(how.engine, _of_atoms(request, how.owner, atoms)) for atoms in drawn]
    mean = reduce(add, values) / how.batches
    squares = reduce(add, [(value - mean) ** 2 for value in values])
    error = xp.sqrt(squares / (how.batches * (how.batches - 1)))
    if is_plain_sum(request.program, how.owner):
        return mean, error, None
    # All atoms of the group together: a bias c / batch of one becomes c / (batch * batches).
    pooled = run(how.engine, _of_atoms(request, how.owner, drawn.reshape(-1)))
    apart = mean - pooled
    # Batches too small for the scatter to be that of a linear function move their mean away.
    return pooled, xp.sqrt(error**2 + apart**2), apart / (how.batches - 1)


def _of_atoms(request: Request, owner: str, atoms: np.ndarray) -> Request:
    """The request with these atoms, of equal weights and together of the mass of all."""
    points, weights = request.inputs.measures[owner]
    xp, device = namespace(points), array_api_compat.device(points)
    share = xp.sum(weights) / len(atoms)
    taken = xp.take(points, xp.asarray(atoms, device=device), axis=0)
    measure = taken, xp.ones_like(taken[:, 0]) * share
    inputs = request.inputs
    measures = {**inputs.measures, owner: measure}
    return replace(request, inputs=Inputs(inputs.points, measures, inputs.parameters))


# ---- what is linear in the measure

_LINEAR = "add stack row_stack component block rows transpose trace diagonal".split()
_PRODUCTS = "mul dot matvec matmul outer".split()


def is_plain_sum(program: Program, owner: str) -> bool:
    """Whether the value is affine in a measure: sums over its atoms, and sums of these.

    >>> from .program import Axis, Builder
    >>> builder, axis = Builder(), Axis("mu", 0)
    >>> x, y = builder.point("x"), builder.atoms("mu", axis)
    >>> plain = builder.emit("integral", y, over=axis)
    >>> ratio = builder.emit("cumulant", builder.emit("dot", x, y), y, over=axis)
    >>> [is_plain_sum(builder.program(value), "mu") for value in (plain, ratio)]
    [True, False]
    """
    degrees: dict[int, int] = {}
    for index, instruction in enumerate(program.instructions):
        degrees[index] = _degree(instruction, degrees, owner)
    return degrees[program.result.index] <= 1


def _degree(instruction: Instruction, degrees: Mapping[int, int], owner: str) -> int:
    """0 for what the measure does not enter, 1 for what is affine in it, 2 for the rest."""
    parts = [degrees[use.index] for use in instruction.operands]
    if not parts or instruction.op in LIKE:
        return 0
    if instruction.op == "integral":
        return min(2, parts[0] + _is_over(instruction, owner))
    if instruction.op in _LINEAR:
        return max(parts)
    if instruction.op in _PRODUCTS:
        return min(2, sum(parts))
    reduces = instruction.over is not None and _is_over(instruction, owner)
    return 2 if any(parts) or reduces else 0


def refuse_extrema(program: Program) -> None:
    """ValueError for a supremum: no batch tells how far its largest value is from that of all."""
    if any(program.instructions[index].op == "supremum" for index in program.needed()):
        raise ValueError(
            "expected sums over the atoms in an estimate from random batches, got a supremum, "
            "which a single atom decides; evaluate it with all atoms"
        )


def _is_over(instruction: Instruction, owner: str) -> bool:
    return instruction.over is not None and instruction.over.owner == owner
