"""Scalars out of vectors: inner products, components, dimensions."""

from typing import Any

from sympy import Integer, S

from .products import product
from .substitution import at_slot
from .terms import ScalarTerm, VectorTerm, in_order, make, order, vector
from .vectors import (
    Basis,
    Block,
    Elementwise,
    Ones,
    Scaled,
    Stack,
    VectorSum,
    Zero,
    coefficient,
    index,
    shape,
    size,
)


def _upright(v: VectorTerm) -> VectorTerm:
    """A sum or its negative, whichever has the plus at its first summand: for `<v, v>`."""
    if not isinstance(v, VectorSum):
        return v
    first = min(v.args, key=lambda a: order(coefficient(a, Scaled)[1]))
    return -v if coefficient(first, Scaled)[0].could_extract_minus_sign() else v


class Dot(ScalarTerm):
    """The inner product of two vectors."""

    def __new__(cls, u: VectorTerm, v: VectorTerm) -> Any:
        (a, u), (b, v) = coefficient(vector(u), Scaled), coefficient(vector(v), Scaled)
        if isinstance(u, Zero) or isinstance(v, Zero):
            return S.Zero
        for p, q in ((u, v), (v, u)):
            if isinstance(p, Basis):
                return product(a, b, Component(q, p.args[0]))
        if isinstance(u, Ones) and isinstance(v, Ones):
            return a * b * Dimension(u)
        if u == v:
            u = v = _upright(u)
        return product(a, b, make(cls, *in_order((u, v))))

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return True if self.args[0] == self.args[1] else None


class Component(ScalarTerm):
    """The component `v_i`, counted from zero."""

    def __new__(cls, v: VectorTerm, i: Any) -> Any:
        i = index(i)
        if isinstance(vector(v), Zero):
            return S.Zero
        if isinstance(v, Ones):
            return S.One
        if isinstance(v, Basis):
            return S.One if v.args[0] == i else S.Zero
        if isinstance(v, Scaled):
            return product(v.args[0], Component(v.args[1], i))
        if isinstance(v, Block):
            return Component(v.args[0], v.args[1] + i)
        if isinstance(v, Elementwise):
            return at_slot(v.args[0], Component(v.args[1], i))
        if isinstance(v, Stack):
            return _component_of_stack(v, int(i))
        return make(cls, v, i)


def _component_of_stack(v: Stack, i: int) -> Any:
    start = 0
    for part in v.args:
        n = size(part)
        if n is None:
            break
        if i < start + n:
            return Component(part, i - start) if isinstance(part, VectorTerm) else part
        start += n
    else:
        raise ValueError(f"component {i} of a stack with {start} components")
    if part is v.args[-1]:
        return Component(part, i - start)
    return make(Component, v, Integer(i))


class Dimension(ScalarTerm):
    """The number of components of a vector."""

    is_integer = True
    is_positive = True

    def __new__(cls, v: VectorTerm) -> Any:
        n = size(vector(v))
        return make(cls, shape(v)) if n is None else Integer(n)
