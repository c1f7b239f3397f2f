"""A normal form of scalars that are sums of repeated integrals, to decide identities of measures.

A scalar term in mu is written as a sum of `int k(z_1, ..., z_n) mu(dz_1) ... mu(dz_n)`, with a
Gibbs mean as `int h exp(s - log Z) mu`. Such a sum is zero for every measure when each kernel is,
after averaging over the orders of its points (docs/mathematics.md, section 9). Bilinear forms
`<u, A B v>` are written on one side, in one of their two orders. All steps are identities, so a
zero found is a zero; what is not found may still be one.
"""

from collections.abc import Iterable
from functools import lru_cache, singledispatch
from itertools import permutations
from typing import Any

import sympy
from sympy import Add, Expr, Integer, Mul, Pow, S, exp

from .binders import Cumulant, Integral, LogPartition, Pushforward
from .gateaux import partitions
from .linear import applied
from .matrices import MatVec, Transpose, is_zero
from .products import exponential, leaves, product as plain_product, stand_in, swapped
from .scalars import Component, Dot
from .substitution import substitute
from .terms import FreshPoint, MatrixTerm, Measure, ScalarTerm, VectorTerm, in_order
from .vectors import Block, Scaled, Stack, VectorSum, size

LONG = 200  # operations; longer expressions are not brought over a common denominator
MOST_POINTS = 4  # kernels of more points are not averaged over their orders

Scalars = list[tuple[tuple, Any]]  # integrated points, body
Vectors = list[tuple[tuple, Any, Any]]  # integrated points, coefficient, vector without integrals


class Normal:
    """The normal form in one measure, with what is assumed.

    Args:
        mu: the measure.
        symmetric: matrices that are taken as symmetric.
        unit: points taken as of norm one; with any, all points of mu are.

    >>> from .constructors import dot
    >>> from .terms import Matrix, Point
    >>> x, y, mu, A = Point("x"), Point("y"), Measure("mu"), Matrix("A")
    >>> form = Integral(Integral(dot(x, A @ y) - dot(y, A @ x), x, mu), y, mu)
    >>> Normal(mu).vanishes(form), Normal(mu).vanishes(dot(x, A @ y) - dot(y, A @ x))
    (True, False)
    >>> Normal(mu, symmetric=[A]).vanishes(dot(x, A @ y) - dot(y, A @ x))
    True
    """

    def __init__(self, mu: Measure, symmetric: Iterable[Any] = (), unit: Iterable[Any] = ()):
        self.mu = mu
        self.symmetric = {Transpose(m): m for m in symmetric}
        self.unit = set(unit)
        self.sphere = bool(self.unit)

    def vanishes(self, term: Any) -> bool:
        """Whether a scalar term is found to be zero for every measure."""
        return all(zero(k) for k in self.kernels(term).values())

    def kernels(self, term: Any) -> dict[int, Expr]:
        """The averaged kernels by their number of points, which are `point(1)`, `point(2)`, ..."""
        found: dict[int, list] = {}
        for points, body in self.scalar(term):
            names = {p: self.point(i) for i, p in enumerate(points, 1)}
            found.setdefault(len(points), []).append(substitute(body, names))
        if self.mu.probability and found:  # constants integrate to themselves
            found = {max(found): [k for ks in found.values() for k in ks]}
        return {n: self.averaged(Add(*ks), n) for n, ks in found.items()}

    def point(self, i: int) -> FreshPoint:
        """The i-th point of a kernel."""
        point = FreshPoint(-i)
        if self.sphere:
            self.unit.add(point)
        return point

    def averaged(self, kernel: Any, n: int) -> Expr:
        if n > MOST_POINTS or n < 2:
            return self.flat(kernel)
        points = [self.point(i) for i in range(1, n + 1)]
        orders = list(permutations(points))
        turned = (substitute(kernel, dict(zip(points, o, strict=True))) for o in orders)
        return Add(*(self.flat(k) for k in turned)) / len(orders)

    def scalar(self, term: Any) -> Scalars:
        """The summands of a scalar: integrated points and body."""
        pending, done = list(monomials(term, self)), []
        while pending:
            points, body = pending.pop()
            log_z = _positive_power(body)
            if log_z is None:
                done.append((points, body))
            else:
                lower = product(body, exponential(-log_z))
                freed = monomials(Integral(exponential(log_z.at(FreshPoint(0))), FreshPoint(0),
                                           log_z.measure), self)  # fmt: skip
                pending.extend((points + p, product(lower, b)) for p, b in freed)
        return done

    def flat(self, term: Any) -> Expr:
        """The normal form as one term."""
        return Add(*(self.closed(points, body) for points, body in self.scalar(term)))

    def closed(self, points: tuple, body: Any) -> Any:
        for p in points:
            body = Integral(body, p, self.mu)
        return body

    def opened(self, binder: Any) -> tuple[tuple, tuple]:
        """Fresh points of mu for a binder, and its parts there."""
        y, measure = FreshPoint(), binder.measure
        if self.sphere:
            self.unit.add(y)
        image = measure.image_of(y) if isinstance(measure, Pushforward) else y
        return (y,), binder.parts_at(image)

    def matrix(self, m: MatrixTerm) -> MatrixTerm:
        return self.symmetric.get(m, m)

    def inner(self, u: Any, v: Any) -> Any:
        """`<u, v>` of two vectors without sums, in one order."""
        if is_zero(u) or is_zero(v):
            return S.Zero
        for a, b in ((u, v), (v, u)):
            if isinstance(a, Stack) and None not in map(size, a.args[:-1]):
                return self._inner_of_stack(a, b)
        if size(u) == 1 or size(v) == 1:
            return Component(u, 0) * Component(v, 0)
        (a, left), (b, right) = self._word(u), self._word(v)
        if a == b and a in self.unit and not left and not right:
            return S.One
        word = [self.matrix(Transpose(m)) for m in reversed(left)] + right
        back = [self.matrix(Transpose(m)) for m in reversed(word)]
        forms = {Dot(p, _chain(w, q)) for p, w, q in ((a, word, b), (b, back, a))}
        return in_order(forms)[0]

    def _inner_of_stack(self, stack: Stack, v: Any) -> Any:
        total, start = S.Zero, 0
        for part in stack.args:
            n = size(part)
            stop = None if n is None else start + n
            if isinstance(part, VectorTerm):
                total += self.inner(part, Block(v, start, stop))
            else:
                total += part * Component(v, start)  # type: ignore[operator]
            start = stop or start
        return total

    def _word(self, v: Any) -> tuple[Any, list]:
        """`v = M_1 ... M_k a` as (a, [M_1, ..., M_k])."""
        word = []
        while isinstance(v, MatVec):
            m, v = v.args
            word.append(self.matrix(m))  # type: ignore[arg-type]
        return v, word


def _chain(word: list, v: Any) -> Any:
    for m in reversed(word):
        v = MatVec(m, v)
    return v


def _positive_power(body: Any) -> Any:
    """A `log Z` that a factor `exp(log Z + ...)` of the body contains with a positive integer."""
    for factor in Mul.make_args(body):
        exponent: Any = factor.args[0] if isinstance(factor, exp) else S.Zero
        for summand in Add.make_args(exponent):
            c, log_z = summand.as_coeff_Mul()
            if isinstance(log_z, LogPartition) and c.is_Integer and c.is_positive:
                return log_z
    return None


def product(*factors: Any) -> Any:
    """The product with all exponentials joined into one."""
    flat = Mul.make_args(plain_product(*factors))
    held: list[Any] = [f for f in flat if isinstance(f, exp)]
    if len(held) < 2:
        return plain_product(*flat)
    rest = (f for f in flat if not isinstance(f, exp))
    return plain_product(*rest, exponential(Add(*(f.args[0] for f in held))))


def zero(e: Expr) -> bool:
    """Whether an expression without sums inside our heads is found to be zero."""
    table = {leaf: stand_in(leaf) for leaf in leaves(e) if getattr(leaf, "is_term", False)}
    whole = swapped(e, table)
    plain = sympy.expand(whole)
    if plain == 0:
        return True
    if plain.has(sympy.sin, sympy.cos, sympy.tan):
        plain = sympy.expand(sympy.expand_trig(plain))
    if plain == 0:
        return True
    rational = _rational(whole)
    short = (e for e in (rational, plain) if e.count_ops() <= LONG)
    return any(sympy.cancel(sympy.together(e)) == 0 for e in short)


def _rational(e: Any) -> Any:
    """The expression with `a^(n + b)` as `a^n` times a symbol for `a^b`, n an integer."""
    table: dict[Any, Any] = {}
    for p in e.atoms(Pow):
        n, b = p.exp.as_coeff_Add()
        if n.is_Rational and not (p.exp.is_number and not p.exp.is_Rational):
            base, whole = sympy.expand(p.base), sympy.floor(n)
            b += n - whole
            sign, size = (-1, -b) if b.could_extract_minus_sign() else (1, b)
            table[p] = base**whole * (S.One if b == 0 else _power(base, size) ** sign)
    return e.xreplace(table) if table else e


@lru_cache(maxsize=1 << 12)
def _power(base: Expr, exponent: Expr) -> Any:
    return sympy.Dummy(positive=base.is_positive)


# ---- scalars


@singledispatch
def monomials(term: Any, go: Normal) -> Scalars:
    """The summands of a scalar; a head without a rule stands as it is."""
    return [((), term)]


@monomials.register
def _(term: Expr, go: Normal) -> Scalars:
    args: tuple[Any, ...] = term.args
    if not args or not all(isinstance(a, Expr) for a in args):
        return [((), term)]
    return [((), term.func(*(go.flat(a) for a in args)))]


@monomials.register
def _(term: ScalarTerm, go: Normal) -> Scalars:
    return [((), term)]


@monomials.register
def _(term: exp, go: Normal) -> Scalars:
    return [((), exponential(go.flat(term.args[0])))]


@monomials.register
def _(term: Add, go: Normal) -> Scalars:
    return [m for a in term.args for m in monomials(a, go)]


@monomials.register
def _(term: Mul, go: Normal) -> Scalars:
    return _multiplied(term.args, go)


@monomials.register
def _(term: Pow, go: Normal) -> Scalars:
    base, power = term.args
    if isinstance(power, Integer) and 2 <= int(power) <= MOST_POINTS:
        return _multiplied((base,) * int(power), go)
    return [((), go.flat(base) ** go.flat(power))]


def _multiplied(factors: Iterable[Any], go: Normal) -> Scalars:
    result: Scalars = [((), S.One)]
    for f in factors:
        found = monomials(f, go)
        # each factor has points of its own, so equal factors are opened anew
        result = [(p + q, product(a, b)) for p, a in result for q, b in found]
    return result


@monomials.register
def _(term: Dot, go: Normal) -> Scalars:
    left, right = (components(a, go) for a in term.args)
    return [(p + q, product(a, b, go.inner(u, v))) for p, a, u in left for q, b, v in right]


@monomials.register
def _(term: Component, go: Normal) -> Scalars:
    v, i = term.args
    return [(p, product(a, Component(u, i))) for p, a, u in components(v, go)]


@monomials.register
def _(term: Integral, go: Normal) -> Scalars:
    if term.measure.base != go.mu:
        return [((), term)]
    y, (body,) = go.opened(term)
    return [(p + y, b) for p, b in monomials(body, go)]


@monomials.register
def _(term: LogPartition, go: Normal) -> Scalars:
    y, (energy,) = term.opened()
    return [((), LogPartition(y, term.measure, go.flat(energy)))]


@monomials.register
def _(term: Cumulant, go: Normal) -> Scalars:
    if term.measure.base != go.mu:
        return [((), term)]
    found: Scalars = []
    for sign, blocks in _moments(len(term.slots)):
        means = (_mean(term, block) for block in blocks)
        found += [(p, sign * b) for p, b in _multiplied(means, go)]
    return found


def _moments(order: int) -> Iterable[tuple[int, tuple]]:
    """A joint cumulant by moments (Leonov & Shiryaev 1959): signs with partitions of the slots."""
    for blocks in partitions(tuple(range(order))):
        n = len(blocks)
        yield (-1) ** (n - 1) * int(sympy.factorial(n - 1)), blocks


class _Mean(ScalarTerm):
    """`int h exp(s - log Z) mu` before it is opened: the constructors would write the mean anew."""

    def __new__(cls, term: Any, *block: Any) -> Any:
        return Expr.__new__(cls, term, *block)


def _mean(term: Cumulant, block: tuple) -> Any:
    return _Mean(term, *map(Integer, block))


def _weighted(term: Cumulant, block: Iterable[int], go: Normal) -> tuple[tuple, Any, list]:
    """The point of a Gibbs mean, its density there, and its slots."""
    y, (*slots, energy) = go.opened(term)
    log_z = LogPartition(term.variable, term.measure, term.energy)
    density = exponential(go.flat(energy) - go.flat(log_z))
    return y, density, [slots[i] for i in block]


@monomials.register
def _(term: _Mean, go: Normal) -> Scalars:
    y, density, slots = _weighted(term.args[0], map(int, term.args[1:]), go)  # type: ignore[arg-type]
    return [(p + y, product(b, density)) for p, b in _multiplied(slots, go)]


# ---- vectors


@singledispatch
def components(v: Any, go: Normal) -> Vectors:
    """The summands of a vector: integrated points, coefficient and a vector without integrals."""
    return [((), S.One, v)] if not is_zero(v) else []


@components.register
def _(v: VectorSum, go: Normal) -> Vectors:
    return [c for a in v.args for c in components(a, go)]


@components.register
def _(v: Scaled, go: Normal) -> Vectors:
    c, core = v.args
    scales, found = monomials(c, go), components(core, go)
    return [(p + q, product(a, b), u) for p, a in scales for q, b, u in found]


@components.register
def _(v: MatVec, go: Normal) -> Vectors:
    m, core = v.args
    if isinstance(m, (Integral, Cumulant)):
        return components(applied(m, core), go)  # type: ignore[arg-type]
    return [(p, a, go.matrix(m) @ u) for p, a, u in components(core, go)]  # type: ignore[arg-type]


@components.register
def _(v: Block, go: Normal) -> Vectors:
    inside = ((p, a, Block(u, *v.args[1:])) for p, a, u in components(v.args[0], go))
    return [part for part in inside if not is_zero(part[2])]


@components.register
def _(v: Stack, go: Normal) -> Vectors:
    """The parts one at a time, with zeros in the places of the others."""
    zeros = [a * 0 for a in v.args]  # type: ignore[operator]
    found: Vectors = []
    for i, part in enumerate(v.args):
        if isinstance(part, VectorTerm):
            inside = components(part, go)
        else:
            inside = [(p, a, S.One) for p, a in monomials(part, go)]
        for p, a, u in inside:
            found.append((p, a, Stack(*zeros[:i], u, *zeros[i + 1 :])))
    return found


@components.register
def _(v: Integral, go: Normal) -> Vectors:
    if v.measure.base != go.mu:
        return [((), S.One, v)]
    y, (body,) = go.opened(v)
    return [(p + y, a, u) for p, a, u in components(body, go)]


@components.register
def _(v: Cumulant, go: Normal) -> Vectors:
    if v.measure.base != go.mu:
        return [((), S.One, v)]
    found: Vectors = []
    for sign, blocks in _moments(len(v.slots)):  # the slot that is a vector stands first
        with_vector = next(b for b in blocks if 0 in b)
        others = _multiplied((_mean(v, b) for b in blocks if 0 not in b), go)
        y, density, (h, *scalars) = _weighted(v, with_vector, go)
        factors = [(p + q, product(a, b)) for p, a in _multiplied(scalars, go) for q, b in others]
        for q, b, u in components(h, go):
            found += [(p + q + y, sign * product(a, b, density), u) for p, a in factors]
    return found


# ---- signs


def sign_of_kernel(kernel: Expr, n: int) -> int | None:
    """-1 or 1 where the kernel is seen to be nowhere positive or nowhere negative, else None.

    Every summand is read, of a kernel of two points also in the coordinates `z_1, z_2 - z_1`.
    """
    forms = [kernel]
    if n == 2:
        z, r = FreshPoint(-1), FreshPoint(-3)
        forms.append(Normal(Measure("none")).flat(substitute(kernel, {FreshPoint(-2): z + r})))
    return next((s for s in map(_sign, forms) if s is not None), None)


def _sign(kernel: Expr) -> int | None:
    table = {leaf: stand_in(leaf) for leaf in leaves(kernel) if getattr(leaf, "is_term", False)}
    summands = Add.make_args(sympy.powsimp(sympy.expand(swapped(kernel, table), power_exp=False)))
    if all(s.is_nonpositive for s in summands):
        return -1
    return 1 if all(s.is_nonnegative for s in summands) else None
