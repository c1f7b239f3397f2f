"""The Gateaux derivative of a term in a direction: one pass, one rule a head.

A direction is a change of a point or of a parameter (`Along`) or a unit mass added to a measure
(`MassAt`). Every rule is exact. A head without a rule raises `NotDerivable`, which names it;
`rule.register` adds one.

The rule of a Gibbs law closes the family of cumulants under differentiation (docs/mathematics.md):

    d k(h1, ..., hn)   = sum_i k(.., dh_i, ..) + k(h1, ..., hn, ds)              of slots and energy
    d k(h1, ..., hn)   = rho sum over partitions of {1..n} of the product of c_B     of delta_z
    d log Z            = E_p[ds]  and  rho,           rho = exp(s(z) - log Z),
    c_{i} = h_i(z) - E_p[h_i],   c_B = -k(h_B) for blocks B of two and more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, singledispatch
from math import factorial
from typing import Any

from sympy import Add, Basic, Derivative, DiracDelta, Dummy, Expr, Mul, S, Subs, Symbol, exp

from .binders import Cumulant, Integral, LogPartition, Pushforward, rank, zero_like
from .extrema import Supremum
from .matrices import (
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
    column_like,
    is_zero,
    row_like,
)
from .products import added, exponential, leaves, pattern, product, swapped
from .scalars import Component, Dimension, Dot
from .substitution import Substitution, at_slot
from .terms import (
    SLOT,
    BoundPoint,
    FreshPoint,
    MatrixTerm,
    Measure,
    MeasureTerm,
    Parameter,
    Point,
    Term,
    VectorTerm,
    free_symbols,
    kind,
)
from .vectors import Basis, Block, Elementwise, Ones, Scaled, Stack, VectorSum, Zero


class NotDerivable(ValueError):
    """No rule derives a head, or its derivative is no function; the message names the head."""


@dataclass(frozen=True, slots=True)
class Along:
    """A point or a parameter moves along an increment of its kind."""

    variable: Any
    increment: Any

    def __post_init__(self) -> None:
        if kind(self.variable) != kind(self.increment):
            raise TypeError(
                f"the {kind(self.variable)} {self.variable} moves along a {kind(self.variable)}, "
                f"got the {kind(self.increment)} {self.increment}"
            )


@dataclass(frozen=True, slots=True)
class MassAt:
    """A unit mass is added to a measure: the direction `delta_z` on positive measures."""

    variable: Measure
    point: VectorTerm


Direction = Along | MassAt


def gateaux(term: Any, direction: Direction) -> Any:
    """The derivative of a term in a direction, a term of the same kind.

    Args:
        term: a scalar, vector or matrix term.
        direction: `Along(x, u)`, the change of x by u, or `MassAt(mu, z)`, a unit mass added at z.

    Returns:
        The derivative, exact. It holds almost everywhere where `Max`, `Abs` or a continuous
        `Piecewise` occur. Where pieces jump (`jumps.jumps` says where) it is the part off the jump.

    Raises:
        NotDerivable: a head has no rule.

    >>> from .constructors import dot
    >>> from .terms import Matrix
    >>> x, u, A = Point("x"), Point("u"), Matrix("A")
    >>> gateaux(dot(x, A @ x), Along(x, u))
    <x, A u> + <u, A x>
    """
    return Gateaux(direction)(term)


class Gateaux:
    """One derivative, with the memory of the terms already seen."""

    def __init__(self, direction: Direction):
        self.direction = direction
        moved = direction.increment if isinstance(direction, Along) else direction.point
        self.incoming = free_symbols(moved)
        self.memory: dict[Basic, Any] = {}
        self.ways: dict[tuple[MeasureTerm, VectorTerm], Transport] = {}
        self.atoms: list[FreshPoint] = []

    def __call__(self, term: Any) -> Any:
        if self.direction.variable not in free_symbols(term):
            return zero_of(term)
        if term not in self.memory:
            self.memory[term] = rule(term, self)
        return self.memory[term]

    def changes(self, term: Any) -> bool:
        """Whether the direction's variable is free in a term."""
        return self.direction.variable in free_symbols(term)

    def atom_beside(self, term: Any) -> FreshPoint:
        """A point that is not free in a term, one of few: what is derived at it is shared."""
        taken = free_symbols(term)
        for y in self.atoms:
            if y not in taken:
                return y
        self.atoms.append(FreshPoint())
        return self.atoms[-1]

    def transport(self, binder: Any) -> "Transport":
        """How the measure of a binder changes."""
        y = self.atom_beside(binder)
        key = (binder.measure, y)
        if key not in self.ways:
            self.ways[key] = transport(binder.measure, y, self)
        return self.ways[key]


def zero_of(term: Any) -> Any:
    """The zero of the same kind and shape."""
    if isinstance(term, VectorTerm):
        return Zero(term)
    if isinstance(term, MatrixTerm):
        return ZeroMatrix(row_like(term), column_like(term))
    return S.Zero


@singledispatch
def rule(term: Any, go: Gateaux) -> Any:
    """The derivative of one head; `go` differentiates what is inside."""
    raise NotDerivable(
        f"no rule for the derivative of {type(term).__name__} in {term}; "
        f"add one with gateaux.rule.register({type(term).__name__})"
    )


# ---- scalars: SymPy's own heads by the one chain rule


@rule.register
def _(term: Expr, go: Gateaux) -> Expr:
    """f(l_1, ..., l_k) with leaves l_i of ours: the sum of the partial derivatives times dl_i."""
    plain, table = pattern(term, leaves(term))
    back = {dummy: leaf for leaf, dummy in table.items()}
    changing = {leaf: dummy for leaf, dummy in table.items() if go.changes(leaf)}
    return added(
        *(
            product(swapped(_partial(plain, d, term), back), go(leaf))
            for leaf, d in changing.items()
        )
    )


@rule.register
def _(term: Add, go: Gateaux) -> Expr:
    return added(*(go(a) for a in term.args))


@rule.register
def _(term: Mul, go: Gateaux) -> Expr:
    factors = term.args
    changed = [i for i, f in enumerate(factors) if go.changes(f)]
    parts = ((*factors[:i], go(factors[i]), *factors[i + 1 :]) for i in changed)
    return added(*(product(*p) for p in parts))


@rule.register
def _(term: exp, go: Gateaux) -> Expr:
    return product(term, go(term.args[0]))


@rule.register
def _(term: Symbol, go: Gateaux) -> Any:
    return go.direction.increment  # type: ignore[union-attr]


def _partial(plain: Expr, symbol: Dummy, term: Expr) -> Expr:
    result = _differentiated(plain, symbol)
    if result is None:
        head = _culprit(plain, symbol)
        raise NotDerivable(f"no function is the derivative of {head} in {term}")
    return result


@lru_cache(maxsize=1 << 14)
def _differentiated(plain: Expr, symbol: Dummy) -> Any:
    """The partial derivative of a pattern, or None where it is no function."""
    result = plain.diff(symbol)
    return None if result.has(Derivative, Subs, DiracDelta) else result


def _culprit(plain: Expr, symbol: Dummy) -> str:
    for part in sorted(plain.atoms(Expr) | set(_inner(plain)), key=lambda e: e.count_ops()):
        if part.has(symbol) and part.diff(symbol).has(Derivative, Subs, DiracDelta):
            return type(part).__name__
    return type(plain).__name__


def _inner(term: Expr) -> Iterator[Expr]:
    if isinstance(term, Expr):
        yield term
    for a in term.args:
        yield from _inner(a)  # type: ignore[arg-type]


@rule.register
def _(term: Dot, go: Gateaux) -> Expr:
    u, v = term.args
    return added(Dot(go(u), v), Dot(u, go(v)))


@rule.register
def _(term: Component, go: Gateaux) -> Expr:
    return Component(go(term.args[0]), term.args[1])


@rule.register
def _(term: Trace, go: Gateaux) -> Expr:
    return Trace(go(term.args[0]))


# ---- vectors and matrices


@rule.register(Point)
@rule.register(BoundPoint)
@rule.register(FreshPoint)
@rule.register(Parameter)
def _(term: Any, go: Gateaux) -> Any:
    return go.direction.increment  # type: ignore[union-attr]


@rule.register(Zero)
@rule.register(Ones)
@rule.register(Basis)
@rule.register(Identity)
@rule.register(ZeroMatrix)
@rule.register(Dimension)
def _(term: Any, go: Gateaux) -> Any:
    return zero_of(term)


@rule.register(VectorSum)
@rule.register(MatrixSum)
@rule.register(RowStack)
@rule.register(Stack)
@rule.register(Transpose)
@rule.register(Diagonal)
def _(term: Any, go: Gateaux) -> Any:
    return term.func(*(go(a) for a in term.args))


@rule.register(Scaled)
@rule.register(MatrixScaled)
@rule.register(MatVec)
def _(term: Any, go: Gateaux) -> Any:
    a, b = term.args
    return term.func(go(a), b) + term.func(a, go(b))


@rule.register
def _(term: Outer, go: Gateaux) -> Any:
    u, v = term.args
    return Outer(go(u), v) + Outer(u, go(v))


@rule.register
def _(term: MatMul, go: Gateaux) -> Any:
    factors = term.args
    changed = [i for i, f in enumerate(factors) if go.changes(f)]
    return MatrixSum(*(MatMul(*factors[:i], go(factors[i]), *factors[i + 1 :]) for i in changed))


@rule.register(Block)
@rule.register(Rows)
def _(term: Any, go: Gateaux) -> Any:
    return term.func(go(term.args[0]), *term.args[1:])


@rule.register
def _(term: Elementwise, go: Gateaux) -> Any:
    expression, v = term.args
    result: Any = Zero(v)
    if go.changes(v):
        result += Diagonal(Elementwise(_slope(expression), v)) @ go(v)
    if go.changes(expression):
        result += Elementwise(go(expression), v)
    return result


def _slope(expression: Expr) -> Expr:
    """The derivative in the slot; heads of ours inside are constants, with slots of their own."""
    plain, table = pattern(expression, (a for a in leaves(expression) if isinstance(a, Term)))
    back = {dummy: leaf for leaf, dummy in table.items()}
    return swapped(_partial(at_slot(plain, _SLOPE), _SLOPE, expression), {**back, _SLOPE: SLOT})


_SLOPE = Dummy("t", real=True)


# ---- measures


def _of_image(binder: Any, way: "Transport") -> list:
    """`D part(image) moved` for the parts of a binder, with the atoms moved as the measure is."""
    avoid = free_symbols(way.image) | free_symbols(way.moved)
    point, parts = binder.opened(avoid)
    go, place = Gateaux(Along(point, way.moved)), Substitution({point: way.image})
    return [place(go(part)) for part in parts]


@dataclass(frozen=True, slots=True)
class Transport:
    """How a measure term changes: where its atoms lie, how they move, where a mass arrives.

    The measure is the image of `base` under `y -> image`; `moved` is the derivative of the image at
    fixed y; `arrival` is where a unit mass added to the base lands, or None.
    """

    base: Measure
    y: FreshPoint
    image: VectorTerm
    moved: VectorTerm
    arrival: VectorTerm | None


def transport(measure: MeasureTerm, y: FreshPoint, go: Gateaux) -> Transport:
    pushed = isinstance(measure, Pushforward)
    image = measure.image_of(y) if pushed else y
    direction, arrival = go.direction, None
    if isinstance(direction, MassAt) and direction.variable == measure.base:
        arrival = measure.image_of(direction.point) if pushed else direction.point
    return Transport(measure.base, y, image, go(image), arrival)


@rule.register
def _(term: Integral, go: Gateaux) -> Any:
    (y, (body,)), mu = term.opened(go.incoming), term.measure
    result = Integral(go(body), y, mu)
    if not go.changes(mu):
        return result
    way = go.transport(term)
    if not is_zero(way.moved):
        (inner,) = _of_image(term, way)
        result += Integral(inner, way.y, way.base)
    if way.arrival is not None:
        result += term.at(way.arrival)
    return result


@rule.register
def _(term: LogPartition, go: Gateaux) -> Expr:
    (y, (energy,)), mu = term.opened(go.incoming), term.measure
    result = Cumulant((go(energy),), y, mu, energy)
    if not go.changes(mu):
        return result
    way = go.transport(term)
    if not is_zero(way.moved):
        (inner,) = _of_image(term, way)
        result += Cumulant((inner,), way.y, way.base, term.at(way.image))
    if way.arrival is not None:
        result += exponential(term.at(way.arrival) - term)
    return result


@rule.register
def _(term: Supremum, go: Gateaux) -> Any:
    raise NotDerivable(
        f"no function is the derivative of Supremum in {term}: several atoms may attain it, and "
        "one of vanishing weight enters it whole; take log int exp(beta h) dmu / beta in its place"
    )


@rule.register
def _(term: Cumulant, go: Gateaux) -> Any:
    (y, (*slots, energy)), mu = term.opened(go.incoming), term.measure
    result = _varied(slots, [go(h) for h in slots], energy, go(energy), y, mu)
    if not go.changes(mu):
        return result
    way = go.transport(term)
    if not is_zero(way.moved):
        *changes, change = _of_image(term, way)
        there, energy_there = term.at(way.image)
        result += _varied(there, changes, energy_there, change, way.y, way.base)
    if way.arrival is not None:
        result += _influence(term, way.arrival)
    return result


def _varied(slots: Any, changes: Any, energy: Any, change: Any, y: Any, mu: Any) -> Any:
    """The sum over slots of k(.., dh_i, ..), and k(.., ds): a change of slots and energy."""
    result = zero_like(*slots) if change is S.Zero else Cumulant((*slots, change), y, mu, energy)
    result = _closed_zero(result, slots, y, mu)
    for i, dh in enumerate(changes):
        if not is_zero(dh):
            result += Cumulant((*slots[:i], dh, *slots[i + 1 :]), y, mu, energy)
    return result


def _closed_zero(result: Any, slots: Any, y: VectorTerm, mu: MeasureTerm) -> Any:
    """A zero whose shape does not speak of the bound point."""
    if is_zero(result) and y in free_symbols(result):
        return zero_like(*(Integral(h, y, mu) for h in slots))
    return result


def _influence(term: Cumulant, z: VectorTerm) -> Any:
    """The influence function of a cumulant: the derivative in the direction `delta_z`."""
    slots, energy = term.at(z)
    rho = exponential(energy - LogPartition(term.variable, term.measure, term.energy))
    blocks = [_product(slots, p, term) for p in partitions(tuple(range(len(slots))))]
    total = blocks[0]
    for b in blocks[1:]:
        total += b
    return rho * total if rank(total) else product(rho, total)


def _product(at_z: tuple, partition: tuple, term: Cumulant) -> Any:
    scalars: Any = S.One
    found: list[tuple[int, Any]] = []
    for indices in partition:
        factor = _block_factor(at_z, indices, term)
        if rank(factor):
            found.append((indices[0], factor))
        else:
            scalars = product(scalars, factor)
    tensors = [factor for _, factor in sorted(found, key=lambda t: t[0])]
    if not tensors:
        return scalars
    return scalars * (Outer(*tensors) if len(tensors) == 2 else tensors[0])


def _block_factor(at_z: tuple[Any, ...], indices: tuple[int, ...], term: Cumulant) -> Any:
    chosen = tuple(term.slots[i] for i in indices)
    inner: Any = Cumulant(chosen, term.variable, term.measure, term.energy)
    first, *others = indices
    return -inner if others else at_z[first] - inner


def partitions(items: tuple) -> Iterator[tuple[tuple, ...]]:
    """All partitions of a tuple into blocks, each in the order of the tuple.

    >>> list(partitions((0, 1)))
    [((0,), (1,)), ((0, 1),)]
    """
    if not items:
        yield ()
        return
    first, rest = items[0], items[1:]
    for smaller in partitions(rest):
        yield ((first,), *smaller)
        for i, block in enumerate(smaller):
            yield ((first, *block), *smaller[:i], *smaller[i + 1 :])


def central_moments(order: int) -> list[tuple[int, tuple]]:
    """A joint cumulant by moments of centred slots: pairs (factor, blocks of slots).

    The sum over partitions without singletons of (-1)^(b-1) (b-1)! times the moments of the blocks.

    >>> central_moments(2)
    [(1, ((0, 1),))]
    """
    found = []
    for blocks in partitions(tuple(range(order))):
        if all(len(block) > 1 for block in blocks):
            b = len(blocks)
            found.append(((-1) ** (b - 1) * factorial(b - 1), blocks))
    return found
