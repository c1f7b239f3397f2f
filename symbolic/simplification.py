"""Terms as a mathematician writes them: each rule is an identity that holds for every measure.

- Constants leave integrals and means, also out of inner products and sums, and `exp(a + b(y))`
  leaves as `exp(a)`: a double integral of a product that separates becomes a product
  of integrals.
- The orders of nested integrals are one order (Fubini; measures are finite, terms are continuous or
  bounded where they are integrated).
- `int h exp(s) mu / int exp(s) mu` is a Gibbs mean.
- Sums of products of means are covariances and third cumulants where they are ones, and products of
  centred factors are too (Leonov & Shiryaev 1959).

Nothing is multiplied out; `expanded` does that.
"""

from collections.abc import Iterable, Iterator
from functools import singledispatch
from itertools import permutations
from typing import Any

from sympy import Add, Basic, Expr, Mul, Pow, S, exp

from .binders import Binder, Cumulant, Integral, ScalarIntegral, gibbs_weight, rank
from .gateaux import partitions
from .matrices import (
    Diagonal,
    MatMul,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Outer,
    Rows,
    Trace,
    Transpose,
    is_zero,
)
from .products import added, exponential, product, remade
from .scalars import Component, Dot
from .terms import free_symbols, in_order
from .vectors import Block, Scaled, VectorSum

MOST_INTEGRALS = 3  # orders of more nested integrals are not compared
MOST_FACTORS = 5  # products of more factors are not split into slots
LINEAR = (Mul, Scaled, MatrixScaled, MatVec, MatMul, Outer, Dot, Component, Trace, Transpose, Block,
          Rows, Diagonal)  # fmt: skip


def simplify(term: Any) -> Any:
    """The term with constants outside of integrals, one order of them, and cumulants recognised.

    Args:
        term: a scalar, vector, matrix or measure term.

    Returns:
        A term of the same kind that is equal for every measure (finite and not zero where the term
        divides by its mass).

    Source: docs/mathematics.md, section 7.

    >>> from .constructors import dot
    >>> from .terms import Matrix, Measure, Point
    >>> x, y, z, mu, A = Point("x"), Point("y"), Point("z"), Measure("mu"), Matrix("A")
    >>> simplify(Integral(Integral(dot(y, z) * exp(dot(x, y)), y, mu), z, mu))
    <int y mu(dy), int exp(<x, y>) y mu(dy)>
    >>> k = exp(dot(x, A @ y))
    >>> simplify(Integral(k * y, y, mu) / Integral(k, y, mu))
    E_p[y]  where p(dy) = exp(<x, A y>) mu(dy) / Z_p
    """
    return Simplification()(term)


class Simplification:
    """One simplification, with the memory of the terms already seen."""

    def __init__(self):
        self.memory: dict[Basic, Any] = {}

    def __call__(self, term: Any) -> Any:
        if not getattr(term, "args", ()):
            return term
        if term not in self.memory:
            self.memory[term] = simplified(term, self)
        return self.memory[term]

    def inside(self, term: Any) -> Any:
        """The term with its args simplified, and its own rules still to apply."""
        args = [self(a) for a in term.args]
        same = all(a is b for a, b in zip(args, term.args, strict=True))
        return term if same else remade(term, args)


@singledispatch
def simplified(term: Any, go: Simplification) -> Any:
    """The rules of one head; a head without any has its args simplified."""
    return go.inside(term)


@simplified.register(Add)
@simplified.register(VectorSum)
@simplified.register(MatrixSum)
def _(term: Any, go: Simplification) -> Any:
    term = go.inside(term)
    return _gathered(term) if isinstance(term, (Add, VectorSum, MatrixSum)) else term


@simplified.register(Mul)
@simplified.register(Scaled)
@simplified.register(MatrixScaled)
def _(term: Any, go: Simplification) -> Any:
    return _quotient(go.inside(term))


@simplified.register
def _(term: Binder, go: Simplification) -> Any:
    y, parts = term.opened()
    return term.rebuilt(tuple(go(p) for p in parts), y, go(term.measure))


@simplified.register
def _(term: Integral, go: Simplification) -> Any:
    y, (body,) = term.opened()
    return _sum_of(_outside(part, y, go(term.measure), None) for part in _parts(go(body)))


@simplified.register
def _(term: Cumulant, go: Simplification) -> Any:
    y, parts = term.opened()
    *slots, energy = (go(p) for p in parts)
    measure = go(term.measure)
    if len(slots) > 1:
        return Cumulant(slots, y, measure, energy)
    return _sum_of(_outside(part, y, measure, energy) for part in _parts(slots[0]))


def _parts(term: Any) -> tuple:
    return term.args if isinstance(term, (Add, VectorSum, MatrixSum)) else (term,)


def _sum_of(parts: Iterable[Any]) -> Any:
    first, *others = parts
    if not rank(first):
        return added(first, *others)
    for other in others:
        first = first + other
    return first


# ---- constants


def _outside(body: Any, y: Any, measure: Any, energy: Any) -> Any:
    """`int body mu(dy)`, or the Gibbs mean with an energy, with what is constant outside."""

    known = energy is None and gibbs_weight(body, y, measure) is not None
    found = None if known else _constant(_split(body, y), y)
    if found is None:
        if energy is None:
            return _centred(_ordered(Integral(body, y, measure)))
        return _centred(Cumulant((body,), y, measure, energy))
    head, constant, rest = found
    inner = _sum_of(_outside(part, y, measure, energy) for part in _parts(rest))
    return head(constant, inner)


def _split(body: Any, y: Any) -> Any:
    """The body with `exp(a + b(y))` as `exp(a) exp(b(y))`, never joined again by a product."""
    if isinstance(body, (Scaled, MatrixScaled)):
        c = _split(body.args[0], y)
        return body if c is body.args[0] else (c, body)
    factors = Mul.make_args(body) if isinstance(body, Expr) else ()
    for f in factors:
        if isinstance(f, exp) and isinstance(f.args[0], Add):
            free = [a for a in f.args[0].args if y not in free_symbols(a)]
            if free:
                rest = [a for a in f.args[0].args if y in free_symbols(a)]
                others = (g for g in factors if g is not f)
                moving = product(exponential(Add(*rest)), *others)
                return _Factored(exponential(Add(*free)), moving)
    return body


class _Factored(tuple):
    """A constant factor and the rest of a product."""

    def __new__(cls, constant: Any, rest: Any) -> "_Factored":
        return super().__new__(cls, (constant, rest))


def _constant(body: Any, y: Any) -> tuple | None:
    """What can leave: (how it is put back, the constant, what stays), or None."""
    if isinstance(body, _Factored):
        return _times, *body
    if isinstance(body, tuple):  # a vector or a matrix whose coefficient is split
        (constant, rest), whole = body
        return _times, constant, whole.func(rest, whole.args[1])
    if isinstance(body, (Scaled, MatrixScaled)):
        c, core = body.args
        if y not in free_symbols(core):
            return (lambda core, c: c * core), core, c
        found = _constant_factor(c, y)
        return None if found is None else (_times, found[0], body.func(found[1], core))
    if isinstance(body, Mul):
        return _constant_factor(body, y, _times) or _linear_factor(body, y)
    if isinstance(body, Dot):
        return _linear_factor(body, y)
    return None


def _constant_factor(c: Any, y: Any, *how: Any) -> tuple | None:
    factors = Mul.make_args(c)
    free = [f for f in factors if y not in free_symbols(f)]
    if not free or len(free) == len(factors):
        return None
    return *how, product(*free), product(*(f for f in factors if y in free_symbols(f)))


def _linear_factor(body: Any, y: Any) -> tuple | None:
    """`g(y) <c, v(y)>` is `<c, .>` of `g(y) v(y)`."""
    factors = Mul.make_args(body)
    for f in in_order(factors):
        rest = product(*(g for g in factors if g is not f))
        if isinstance(f, Dot):
            for u, v in (f.args, f.args[::-1]):
                if y not in free_symbols(u):
                    return Dot, u, rest * v
    return None


def _times(constant: Any, value: Any) -> Any:
    return constant * value if rank(value) else product(constant, value)


# ---- the order of integrals


def _ordered(term: Any) -> Any:
    """Nested integrals in the first of their orders, where each order is allowed."""
    if not isinstance(term, Integral):
        return term
    y, (body,) = _fresh(term)
    scope = [(y, term.measure)]
    while (inner := _inner_integral(body, scope)) is not None:
        if len(scope) == MOST_INTEGRALS:
            return term
        z, (part,) = _fresh(inner)
        scope.append((z, inner.measure))
        body = _replaced(body, inner, part)
    if len(scope) < 2:
        return term
    return in_order(_nested(body, order) for order in permutations(scope))[0]


def _fresh(binder: Any) -> tuple:
    from .terms import FreshPoint

    y = FreshPoint()
    return y, binder.parts_at(y)


def _inner_integral(body: Any, scope: list) -> Any:
    """An integral in which a body is linear and whose measure does not speak of outer points."""
    outer = frozenset(y for y, _ in scope)
    for t in _linear(body):
        if isinstance(t, Integral) and not is_mass(t) and not outer & free_symbols(t.measure):
            return t
    return None


def is_mass(term: Any) -> bool:
    """Whether an integral is the mass of a measure."""
    return isinstance(term, ScalarIntegral) and term.args[0] is S.One


def _nested(body: Any, order: Iterable[tuple]) -> Any:
    for y, measure in order:
        body = Integral(body, y, measure)
    return body


# ---- quotients of integrals


def _quotient(term: Any) -> Any:
    """`int h exp(s) mu / int exp(s) mu` as a Gibbs mean, as often as it occurs."""
    coefficient = term.args[0] if isinstance(term, (Scaled, MatrixScaled)) else term
    if not isinstance(coefficient, Expr):
        return term
    for f in Mul.make_args(coefficient):
        if isinstance(f, Pow) and isinstance(f.base, ScalarIntegral) and f.exp.is_Integer:
            if f.exp.is_negative:
                for integral in _linear(term):
                    mean = _mean(integral, f.base)
                    if mean is not None:
                        lowered = _times(f.base, _replaced(term, integral, mean))
                        return _quotient(lowered)
    return term


def _mean(integral: Any, normaliser: Any) -> Any:
    """The Gibbs mean that an integral is when divided by a normaliser, or None."""
    if not isinstance(integral, Integral) or integral.measure != normaliser.measure:
        return None
    if integral == normaliser:
        return None
    y, (body,) = _fresh(integral)
    weight = normaliser.at(y)
    if weight is S.One:
        return Cumulant((body,), y, integral.measure, S.Zero)
    if not isinstance(weight, exp):
        return None
    c, core = body.args if isinstance(body, (Scaled, MatrixScaled)) else (body, None)
    factors = list(Mul.make_args(c)) if isinstance(c, Expr) else []
    if weight not in factors:
        return None
    factors.remove(weight)
    rest = product(*factors)
    slot = rest if core is None else rest * core
    return Cumulant((slot,), y, integral.measure, weight.args[0])


def _linear(term: Any) -> Iterator[Any]:
    """The integrals and cumulants in which a product is linear."""
    if isinstance(term, (Integral, Cumulant)):
        yield term
    elif isinstance(term, LINEAR):
        for a in term.args:
            yield from _linear(a)


def _replaced(term: Any, leaf: Any, new: Any) -> Any:
    """The product with the first occurrence of a leaf replaced."""
    if term is leaf or term == leaf:
        return new
    for i, a in enumerate(term.args):
        if any(leaf == b for b in _linear(a)):
            return remade(term, [*term.args[:i], _replaced(a, leaf, new), *term.args[i + 1 :]])
    return term


# ---- cumulants


def _centred(term: Any) -> Any:
    """A mean of two or three centred factors as a cumulant: `E[(g - E g)(h - E h)]` and so on."""
    law = _law(term)
    if law is None:
        return term
    slot, y, measure, energy = law
    c, factors = _factors_of(slot, y)
    if len(factors) not in (2, 3):
        return term
    slots = []
    for f in factors:
        moving = _sum_or_zero(a for a in _parts(f) if y in free_symbols(a))
        if is_zero(moving) or f - moving != -_mean_of(moving, y, measure, energy):
            return term
        slots.append(moving)
    return _times(c, Cumulant(slots, y, measure, energy or S.Zero))


def _law(mean: Any) -> tuple | None:
    """Slot, point, measure and energy of a mean; an integral against a probability is one too."""
    if isinstance(mean, Integral) and mean.measure.probability:
        y, (slot,) = _fresh(mean)
        return slot, y, mean.measure, None
    if not isinstance(mean, Cumulant) or len(mean.slots) > 1:
        return None
    y, (slot, energy) = _fresh(mean)
    return slot, y, mean.measure, energy


def _mean_of(slot: Any, y: Any, measure: Any, energy: Any) -> Any:
    return _sum_of(_outside(part, y, measure, energy) for part in _parts(slot))


def _sum_or_zero(parts: Iterable[Any]) -> Any:
    found = list(parts)
    return _sum_of(found) if found else S.Zero


def _factors_of(slot: Any, y: Any) -> tuple[Any, list]:
    """A slot as a constant and factors: scalars first multiply, then a vector, or two by Outer."""
    c, core = slot.args if isinstance(slot, (Scaled, MatrixScaled)) else (slot, None)
    scalars: list[Any] = []
    if core is None and not isinstance(slot, Expr):
        c, core = S.One, slot
    constant = S.One
    for f in Mul.make_args(c):
        base, power = f.as_base_exp() if isinstance(f, Pow) else (f, S.One)
        if y not in free_symbols(f):
            constant = product(constant, f)
        elif power.is_Integer and 1 < power <= 3:
            scalars += [base] * int(power)
        else:
            scalars.append(f)
    tensors = [] if core is None else list(core.args) if isinstance(core, Outer) else [core]
    return constant, [*tensors, *scalars]


def _gathered(term: Any) -> Any:
    """A sum in which sums of products of means are replaced by cumulants of third and second order.

    `k(a, b, c) = E[abc] - E[ab] E[c] - E[ac] E[b] - E[bc] E[a] + 2 E[a] E[b] E[c]`.
    """
    for order in (3, 2):
        for summand in _parts(term):
            for mean in dict.fromkeys(_linear(summand)):
                found = _gather(term, summand, mean, order)
                if found is not None:
                    return _gathered(found) if len(_parts(found)) > 1 else found
    return term


def _gather(term: Any, summand: Any, mean: Any, order: int) -> Any:
    """The sum with one cumulant of an order in place of the means that it consists of, or None."""
    law = _law(mean)
    if law is None:
        return None
    slot, y, measure, energy = law
    constant, factors = _factors_of(slot, y)
    if constant is not S.One or len(factors) > MOST_FACTORS:
        return None
    for slots in _groups(factors, order):
        if any(y not in free_symbols(h) for h in slots):
            continue
        others = [_replaced(summand, mean, sign * value)
                  for sign, value in _products(slots, y, measure, energy)]  # fmt: skip
        rest = _without(term, [summand, *others])
        if rest is not None:
            value = _replaced(summand, mean, Cumulant(slots, y, measure, energy or S.Zero))
            return _sum_of((value, *rest))
    return None


def _groups(factors: list, order: int) -> Iterator[list]:
    """The ways to multiply factors to as many slots as the order; tensors stand alone or scaled."""
    for blocks in partitions(tuple(range(len(factors)))):
        if len(blocks) == order:
            chosen = [[factors[i] for i in sorted(b)] for b in blocks]
            if all(sum(map(rank, b)) <= 1 for b in chosen):
                ordered = sorted(chosen, key=lambda b: factors.index(b[0]))
                yield [_multiplied(b) for b in ordered]


def _multiplied(factors: list) -> Any:
    """The product of scalars and at most two vectors, these by `outer` in their order."""
    tensors = [f for f in factors if rank(f)]
    scalars = product(*(f for f in factors if not rank(f)))
    if not tensors:
        return scalars
    return scalars * (Outer(*tensors) if len(tensors) == 2 else tensors[0])


def _products(slots: list, y: Any, measure: Any, energy: Any) -> Iterator[tuple[int, Any]]:
    """The moments of a cumulant but for the mean of the product: signs and products of means."""
    n = range(len(slots))
    blocks = (
        [((i,), tuple(j for j in n if j != i)) for i in n] if len(slots) == 3 else [((0,), (1,))]
    )
    for pair in blocks if len(slots) == 3 else blocks[:1]:
        yield -1, _product_of_means(slots, pair, y, measure, energy)
    if len(slots) == 3:
        yield 2, _product_of_means(slots, tuple((i,) for i in n), y, measure, energy)


def _product_of_means(slots: list, blocks: Iterable[tuple], y: Any, measure: Any, e: Any) -> Any:
    found = [(b, _mean_of(_multiplied([slots[i] for i in b]), y, measure, e)) for b in blocks]
    found.sort(key=lambda pair: min((i for i in pair[0] if rank(slots[i])), default=len(slots)))
    return _multiplied([mean for _, mean in found])


def _without(term: Any, wanted: list) -> list | None:
    """The summands that are left when others are taken away, each with its whole coefficient."""
    table = dict(map(_term_of, _parts(term)))
    taken: dict[Any, Any] = {}
    for core, c in map(_term_of, wanted):
        taken[core] = taken.get(core, 0) + c
    if any(c != table.get(core, 0) for core, c in taken.items()):
        return None
    return [_times(c, core) for core, c in table.items() if core not in taken]


def _term_of(summand: Any) -> tuple[Any, Any]:
    """A summand as its core and its rational coefficient."""
    if isinstance(summand, (Scaled, MatrixScaled)):
        c, rest = summand.args[0].as_coeff_Mul()
        return rest * summand.args[1], c
    if isinstance(summand, Expr):
        c, rest = summand.as_coeff_Mul()
        return rest, c
    return summand, S.One
