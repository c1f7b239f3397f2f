"""Exact values of terms at finitely many rational atoms, parameters and points.

Scalars are SymPy numbers (rationals, or exponentials and the like of these), vectors and matrices
are SymPy matrices. One rule a head; a head without a rule raises `NotImplementedError` with its
name.
"""

from collections.abc import Mapping
from functools import singledispatch
from itertools import pairwise
from typing import Any

from sympy import (
    Add,
    Expr,
    Integer,
    Matrix as Array,
    Max,
    S,
    exp,
    eye,
    factorial,
    log,
    ones,
    oo,
    zeros,
)

from .binders import Cumulant, Integral, LogPartition, Pushforward
from .extrema import Supremum
from .gateaux import partitions
from .matrices import (
    Columns,
    Diagonal,
    Identity,
    MatMul,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Outer,
    Rows,
    RowStack,
    Trace,
    Transpose,
    ZeroMatrix,
)
from .scalars import Component, Dimension, Dot
from .terms import SLOT, BoundPoint, FreshPoint, Measure, Parameter, Point, Slot
from .vectors import Basis, Block, Elementwise, Ones, Scaled, Stack, VectorSum, Zero

Environment = Mapping[Any, Any]


def exact(term: Any, values: Environment) -> Any:
    """The value of a term.

    Args:
        term: a scalar, vector or matrix term.
        values: points and parameters to SymPy numbers, columns and matrices; measures to pairs of a
            list of columns (the atoms) and a list of weights.

    >>> from .constructors import dot
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> exact(Integral(dot(x, y), y, mu), {x: Array([1, 2]), mu: ([Array([3, 1])], [S.Half])})
    5/2
    """
    return value(term, values)


@singledispatch
def value(term: Any, env: Environment) -> Any:
    """The value of one head."""
    raise NotImplementedError(f"no exact value of {type(term).__name__} in {term}")


@value.register(Point)
@value.register(BoundPoint)
@value.register(FreshPoint)
@value.register(Parameter)
@value.register(Slot)
def _(term: Any, env: Environment) -> Any:
    return env[term]


@value.register
def _(term: Expr, env: Environment) -> Any:
    return term.func(*(value(a, env) for a in term.args)) if term.args else term


@value.register(VectorSum)
@value.register(MatrixSum)
def _(term: Any, env: Environment) -> Any:
    first, *others = (value(a, env) for a in term.args)
    return sum(others, first)


@value.register(Scaled)
@value.register(MatrixScaled)
@value.register(MatVec)
@value.register(MatMul)
def _(term: Any, env: Environment) -> Any:
    first, *others = (value(a, env) for a in term.args)
    for other in others:
        first = first * other
    return first


@value.register
def _(term: Zero, env: Environment) -> Any:
    return value(term.args[0], env) * 0


@value.register
def _(term: Ones, env: Environment) -> Any:
    return ones(len(value(term.args[0], env)), 1)


@value.register
def _(term: Basis, env: Environment) -> Any:
    return eye(len(value(term.args[1], env)))[:, int(term.args[0])]  # type: ignore[call-overload]


@value.register(Block)
@value.register(Rows)
def _(term: Any, env: Environment) -> Any:
    whole, (i, j) = value(term.args[0], env), term.args[1:]
    return whole[int(i) : None if j is oo else int(j), :]


@value.register(Stack)
@value.register(RowStack)
def _(term: Any, env: Environment) -> Any:
    parts = (value(a, env) for a in term.args)
    return Array.vstack(*(p if isinstance(p, Array) else Array([p]) for p in parts))


@value.register
def _(term: Elementwise, env: Environment) -> Any:
    expression, v = term.args
    return value(v, env).applyfunc(lambda t: value(expression, {**env, SLOT: t}))


@value.register
def _(term: Identity, env: Environment) -> Any:
    return eye(len(value(term.args[0], env)))


@value.register
def _(term: ZeroMatrix, env: Environment) -> Any:
    return zeros(*(len(value(a, env)) for a in term.args))


@value.register
def _(term: Columns, env: Environment) -> Any:
    return zeros(value(term.args[0], env).cols, 1)


@value.register
def _(term: Outer, env: Environment) -> Any:
    u, v = (value(a, env) for a in term.args)
    return u * v.T


@value.register
def _(term: Transpose, env: Environment) -> Any:
    return value(term.args[0], env).T


@value.register
def _(term: Diagonal, env: Environment) -> Any:
    return Array.diag(*value(term.args[0], env))


@value.register
def _(term: Dot, env: Environment) -> Any:
    u, v = (value(a, env) for a in term.args)
    return Add(*(a * b for a, b in zip(u, v, strict=True)))


@value.register
def _(term: Component, env: Environment) -> Any:
    return value(term.args[0], env)[int(term.args[1])]  # type: ignore[arg-type]


@value.register
def _(term: Trace, env: Environment) -> Any:
    return value(term.args[0], env).trace()


@value.register
def _(term: Dimension, env: Environment) -> Any:
    return Integer(len(value(term.args[0], env)))


# ---- sums over atoms


def _atoms(measure: Any, env: Environment) -> tuple[list, list]:
    if isinstance(measure, Measure):
        return env[measure]
    assert isinstance(measure, Pushforward)
    points, weights = _atoms(measure.measure, env)
    y, (image,) = measure.opened()
    return [value(image, {**env, y: p}) for p in points], weights


def _samples(term: Any, env: Environment) -> tuple[list[list], list]:
    """The values of the parts of a binder at the atoms, and the weights."""
    points, weights = _atoms(term.measure, env)
    y, parts = term.opened()
    return [[value(h, {**env, y: p}) for p in points] for h in parts], weights


@value.register
def _(term: Integral, env: Environment) -> Any:
    (samples,), weights = _samples(term, env)
    return _weighted(weights, samples)


def _weighted(weights: list, samples: list) -> Any:
    first, *others = (w * h for w, h in zip(weights, samples, strict=True))
    return sum(others, first)


@value.register
def _(term: LogPartition, env: Environment) -> Any:
    (energies,), weights = _samples(term, env)
    return log(_weighted(weights, [exp(s) for s in energies]))


@value.register
def _(term: Supremum, env: Environment) -> Any:
    (samples,), weights = _samples(term, env)
    found = [h for h, w in zip(samples, weights, strict=True) if w != 0]
    if not isinstance(found[0], Array):
        return Max(*found)
    return Array(len(found[0]), 1, lambda i, _: Max(*(h[i] for h in found)))


@value.register
def _(term: Cumulant, env: Environment) -> Any:
    """By moments of centred slots: kappa is their sum over partitions without singletons."""
    (*slots, energies), weights = _samples(term, env)
    kernel = [w * exp(s) for w, s in zip(weights, energies, strict=True)]
    law = [k / Add(*kernel) for k in kernel]
    means = [_weighted(law, h) for h in slots]
    if len(slots) == 1:
        return means[0]
    centred = [[a - m for a in h] for h, m in zip(slots, means, strict=True)]
    total: Any = None
    for blocks in partitions(tuple(range(len(slots)))):
        if all(len(block) > 1 for block in blocks):
            part = _block_product(centred, law, blocks)
            total = part if total is None else total + part
    return total


def _block_product(slots: list, law: list, blocks: tuple) -> Any:
    n = len(blocks)
    factor = (-1) ** (n - 1) * factorial(n - 1)
    found = [_weighted(law, _products([slots[i] for i in block])) for block in sorted(blocks)]
    return factor * _tensor(found)


def _products(slots: list) -> list:
    return [_tensor(list(row)) for row in zip(*slots, strict=True)]


def _tensor(values: list) -> Any:
    """Scalars times at most two vectors, these as `u v^T`."""
    scalars = [v for v in values if not isinstance(v, Array)]
    arrays = [v for v in values if isinstance(v, Array)]
    for u, v in pairwise(arrays):
        arrays = [u * v.T]
    result = S.One
    for c in scalars:
        result = result * c
    return result * arrays[0] if arrays else result
