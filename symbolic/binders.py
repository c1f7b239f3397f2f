"""Binders: integrals against a measure, Gibbs laws, push-forwards.

A binder names its variable by its height (one more than the greatest height of a binder inside), so
equal up to renaming is equal, in every process. `args` holds that `BoundPoint`; the body is read by
`.at(point)`. Rebuilding is safe: a level that is free in the body is skipped, and a substitution
that would bring the variable of a binder in opens that binder at a fresh point first.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from sympy import Add, Expr, Mul, S, Tuple, exp

from .matrices import (
    MatMul,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Outer,
    Transpose,
    ZeroMatrix,
    column_like,
    row_like,
)
from .products import exponential, product
from .substitution import Substitution
from .terms import (
    BoundPoint,
    FreshPoint,
    MatrixTerm,
    Measure,
    MeasureTerm,
    Point,
    ScalarTerm,
    Term,
    VectorTerm,
    free_symbols,
    height,
    in_order,
    kind,
    make,
    scalar,
    vector,
)
from .vectors import Scaled, VectorSum, Zero

RANK = {"scalar": 0, "vector": 1, "matrix": 2}


def rank(term: Any) -> int:
    """0 for a scalar, 1 for a vector, 2 for a matrix."""
    return RANK[kind(term)]


class Binder(Term):
    """A head that binds a point in some of its args, its `parts`."""

    _variable_at = 0  # places in args
    _measure_at = 1

    @property
    def variable(self) -> BoundPoint:
        """The point that is bound; nobody outside can spell it."""
        return self.args[self._variable_at]

    @property
    def measure(self) -> MeasureTerm:
        """The measure, outside of the scope of the variable."""
        return self.args[self._measure_at]

    @property
    def parts(self) -> tuple[Any, ...]:
        """What lies in the scope of the variable."""
        return self.args[2:]

    @cached_property
    def free(self) -> frozenset:
        inside = frozenset().union(*(free_symbols(p) for p in self.parts))
        return (inside - {self.variable}) | free_symbols(self.measure)

    @cached_property
    def height(self) -> int:
        return 1 + max(height(p) for p in self.parts)

    def rebuilt(self, parts: tuple, variable: VectorTerm, measure: MeasureTerm) -> Any:
        """The same head with other parts."""
        raise NotImplementedError

    def opened(self, avoid: frozenset = frozenset()) -> tuple[Any, tuple]:
        """The variable and the parts as they stand, to read or to close again.

        What is put into the parts before they are closed may not speak of the variable; with the
        free symbols of what is put in to `avoid`, the variable is a fresh one where it must be.
        """
        if self.variable not in avoid:
            return self.variable, self.parts
        y = FreshPoint()
        return y, self.parts_at(y)

    def parts_at(self, point: VectorTerm) -> tuple:
        """The parts with the variable replaced by a vector term."""
        go = Substitution({self.variable: vector(point)})
        return tuple(go(p) for p in self.parts)

    def at(self, point: VectorTerm) -> Any:
        """The body with the variable replaced by a vector term."""
        return self.parts_at(point)[0]

    def substituted(self, go: Substitution) -> Any:
        measure = go(self.measure)
        if go.untouched(Tuple(*self.parts)):
            variable, parts = self.variable, self.parts
        else:
            variable, opened = self.opened(go.incoming)
            parts = tuple(_scoped(go, self.variable)(p) for p in opened)
        if measure is self.measure and all(a is b for a, b in zip(parts, self.parts, strict=True)):
            return self
        return self.rebuilt(parts, variable, measure)


def _scoped(go: Substitution, variable: BoundPoint) -> Substitution:
    """The substitution inside the scope of a variable that it would replace outside."""
    if variable not in go.rule:
        return go
    return Substitution({k: v for k, v in go.rule.items() if k is not variable})


def named(parts: tuple, variable: VectorTerm) -> tuple[tuple, BoundPoint]:
    """The parts with the variable named by their height, skipping levels that are free in them."""
    taken = frozenset().union(*(free_symbols(p) for p in parts)) - {variable}
    level = 1 + max(height(p) for p in parts)
    while BoundPoint(level) in taken:
        level += 1
    name = BoundPoint(level)
    if variable is name:
        return parts, name
    go = Substitution({variable: name})
    return tuple(go(p) for p in parts), name


def in_scope(variable: Any, measure: Any) -> MeasureTerm:
    """The measure, when both are what they should be."""
    if not isinstance(variable, (Point, BoundPoint, FreshPoint)):
        raise TypeError(f"a binder needs a Point as its variable, got {variable!r}")
    if not isinstance(measure, MeasureTerm):
        raise TypeError(f"expected a measure, got {measure!r}")
    return measure


# ---- constants leave a slot by linearity


def pulled(slot: Any, variable: VectorTerm) -> tuple[str, Any, Any] | None:
    """A constant that can leave a slot: (how, constant, what stays), or None.

    How is "scale" c, "add" c, "left" M, "right" M, "outer" u (u v^T) or "outer'" v.
    """
    free = lambda t: variable not in free_symbols(t)  # noqa: E731
    if isinstance(slot, (Scaled, MatrixScaled)):
        c, core = slot.args
        constant, rest = _factored(c, free)
        if constant is not S.One:
            return "scale", constant, slot.func(rest, core)
        found = None if isinstance(core, (VectorSum, MatrixSum)) else pulled(core, variable)
        return None if found is None else (found[0], found[1], c * found[2])
    if isinstance(slot, Mul):
        constant, rest = _factored(slot, free)
        return None if constant is S.One else ("scale", constant, rest)
    if isinstance(slot, (Add, VectorSum, MatrixSum)):
        constant = [a for a in slot.args if free(a)]
        rest = [a for a in slot.args if not free(a)]
        total: Any = slot.func
        return ("add", total(*constant), total(*rest)) if constant else None
    if isinstance(slot, MatVec) and free(slot.args[0]):
        return "left", *slot.args
    if isinstance(slot, MatMul):
        if free(slot.args[0]):
            return "left", slot.args[0], MatMul(*slot.args[1:])
        if free(slot.args[-1]):
            return "right", slot.args[-1], MatMul(*slot.args[:-1])
    if isinstance(slot, Outer):
        u, v = slot.args
        if free(u):
            return "outer", u, v
        if free(v):
            return "outer'", v, u
    return None


def _factored(c: Any, free: Callable) -> tuple[Expr, Expr]:
    factors = Mul.make_args(c)
    constant = product(*(f for f in factors if free(f)))
    return constant, product(*(f for f in factors if not free(f)))


def _restored(how: str, constant: Any, value: Any, axis: int = 0) -> Any:
    """Put a pulled constant back outside; `axis` is the tensor axis of the slot in the value."""
    if how == "scale":
        return constant * value if rank(value) else product(constant, value)
    if how == "left":
        return constant @ value if axis == 0 else value @ Transpose(constant)
    if how == "right":
        return value @ constant
    return Outer(constant, value) if how == "outer" else Outer(value, constant)


def zero_like(*slots: Any) -> Any:
    """The zero tensor of the slots together."""
    shapes: list[VectorTerm] = []
    for slot in slots:
        if isinstance(slot, VectorTerm):
            shapes.append(slot)
        elif isinstance(slot, MatrixTerm):
            shapes.extend((row_like(slot), column_like(slot)))
    heads: tuple[Any, ...] = (None, Zero, ZeroMatrix)
    return heads[len(shapes)](*shapes) if shapes else S.Zero


# ---- integrals


class Integral(Binder):
    """The integral of a scalar, vector or matrix term against a measure; args (body, y, mu)."""

    _variable_at, _measure_at = 1, 2

    def __new__(cls, body: Any, variable: VectorTerm, measure: MeasureTerm) -> Any:
        measure = in_scope(variable, measure)
        if not isinstance(body, (VectorTerm, MatrixTerm)):
            body = scalar(body)
        if isinstance(body, (Zero, ZeroMatrix)):
            return body.func(*(Integral(like, variable, measure) for like in body.args))
        if variable not in free_symbols(body):
            return body if body is S.Zero else mass(measure) * body
        (body,), variable = named((body,), variable)  # first: signs may turn with the names
        found = pulled(body, variable)
        if found is not None:
            how, constant, rest = found
            value = Integral(rest, variable, measure)
            if how == "add":
                return mass(measure) * constant + value
            return _restored(how, constant, value)
        law = gibbs_weight(body, variable, measure)
        if law is not None:
            constant, rest, energy = law
            return constant * Cumulant((rest,), variable, measure, energy)
        return make(_INTEGRALS[kind(body)], body, variable, measure)

    @property
    def parts(self) -> tuple[Any, ...]:
        return self.args[:1]

    def rebuilt(self, parts: tuple, variable: VectorTerm, measure: MeasureTerm) -> Any:
        return Integral(parts[0], variable, measure)


def gibbs_weight(body: Any, variable: VectorTerm, measure: MeasureTerm) -> tuple | None:
    """A factor `exp(s(y) - log Z)` of a body, with the law's own Z: (constant, what stays, s)."""
    c, core = body.args if isinstance(body, (Scaled, MatrixScaled)) else (body, None)
    factors = Mul.make_args(c) if isinstance(c, Expr) else ()
    for weight in (f for f in factors if isinstance(f, exp)):
        exponent: Any = weight.args[0]
        for log_z in (-a for a in Add.make_args(exponent)):
            if isinstance(log_z, LogPartition) and log_z.measure == measure:
                energy = log_z.at(variable)
                shift = Add(*Add.make_args(exponent), log_z, -energy)
                if variable not in free_symbols(shift):
                    rest = product(*(f for f in factors if f is not weight))
                    return (
                        exponential(shift),
                        rest if core is None else body.func(rest, core),
                        energy,
                    )
    return None


class ScalarIntegral(Integral, ScalarTerm):
    """An integral with a scalar value; of the sign of its body, not zero for a probability."""

    def _eval_is_extended_nonnegative(self) -> bool | None:
        return True if self.args[0].is_nonnegative else None

    def _eval_is_extended_positive(self) -> bool | None:
        return True if self.measure.probability and self.args[0].is_positive else None


class VectorIntegral(Integral, VectorTerm):
    """An integral with a vector value."""


class MatrixIntegral(Integral, MatrixTerm):
    """An integral with a matrix value."""

    def transposed(self) -> MatrixTerm:
        y, (body,) = self.opened()
        return Integral(Transpose(body), y, self.measure)


_INTEGRALS = {"scalar": ScalarIntegral, "vector": VectorIntegral, "matrix": MatrixIntegral}


def mass(measure: MeasureTerm) -> Expr:
    """The mass of a measure; one where the measure is declared a probability.

    >>> mass(Measure("mu")), mass(Measure("nu", probability=True))
    (|mu|, 1)
    """
    if measure.probability:
        return S.One
    return make(ScalarIntegral, S.One, BoundPoint(1), measure.base)


# ---- Gibbs laws p(dy) = exp(s(y)) mu(dy) / Z


class LogPartition(Binder, ScalarTerm):
    """`log Z`, the logarithm of the integral of `exp(s(y))` against mu; args (y, mu, s)."""

    def __new__(cls, variable: VectorTerm, measure: MeasureTerm, energy: Any) -> Any:
        measure = in_scope(variable, measure)
        constant, energy = _energy(scalar(energy), variable)
        if measure.probability and energy is S.Zero:
            return constant
        (energy,), variable = named((energy,), variable)
        return constant + make(cls, variable, measure, energy)

    def rebuilt(self, parts: tuple, variable: VectorTerm, measure: MeasureTerm) -> Any:
        return LogPartition(variable, measure, parts[0])


def _energy(energy: Expr, variable: VectorTerm) -> tuple[Expr, Expr]:
    """The energy as a constant, which cancels in a Gibbs law, and the rest."""
    summands = Add.make_args(energy)
    constant = Add(*(a for a in summands if variable not in free_symbols(a)))
    return constant, Add(*(a for a in summands if variable in free_symbols(a)))


class Cumulant(Binder):
    """The joint cumulant of the slots under a Gibbs law; args ((h1, ..., hk), y, mu, s).

    `p(dy) = exp(s(y)) mu(dy) / Z`. Order one is the expectation, order two the covariance, order
    three the third central moment, as a tensor over the vector and matrix slots in their order. The
    ranks of the slots sum to at most two. Scalar slots come last, in the order of their structure.
    """

    _variable_at, _measure_at = 1, 2

    def __new__(cls, slots: Any, variable: VectorTerm, measure: MeasureTerm, energy: Any) -> Any:
        measure = in_scope(variable, measure)
        energy = _energy(scalar(energy), variable)[1]
        slots = [h if isinstance(h, (VectorTerm, MatrixTerm)) else scalar(h) for h in slots]
        slots.sort(key=lambda h: rank(h) == 0)
        if not slots:
            raise ValueError("a cumulant needs at least one slot, got none")
        if sum(map(rank, slots)) > 2:
            raise ValueError("the slots of a cumulant have ranks that sum to at most two")
        if len(slots) == 1 and variable not in free_symbols(slots[0]):
            return slots[0]
        if any(variable not in free_symbols(h) or isinstance(h, (Zero, ZeroMatrix)) for h in slots):
            return zero_like(*(Integral(h, variable, measure) for h in slots))
        (*slots, energy), variable = named((*slots, energy), variable)
        for i, slot in enumerate(slots):
            found = pulled(slot, variable)
            if found is not None:
                return _cumulant_pulled(slots, i, found, (variable, measure, energy))
        tensors = [h for h in slots if rank(h)]
        scalars = in_order(h for h in slots if not rank(h))
        result = _CUMULANTS[sum(map(rank, tensors))]
        return make(result, Tuple(*tensors, *scalars), variable, measure, energy)

    @property
    def slots(self) -> tuple[Any, ...]:
        """h1, ..., hk, in the scope of the variable."""
        return self.args[0].args

    @property
    def energy(self) -> Expr:
        """s, in the scope of the variable."""
        return self.args[3]

    @property
    def parts(self) -> tuple[Any, ...]:
        return (*self.slots, self.energy)

    def at(self, point: VectorTerm) -> tuple[tuple, Expr]:
        """The slots and the energy with the variable replaced by a vector term."""
        *slots, energy = self.parts_at(point)
        return tuple(slots), energy

    def rebuilt(self, parts: tuple, variable: VectorTerm, measure: MeasureTerm) -> Any:
        return Cumulant(parts[:-1], variable, measure, parts[-1])


def _cumulant_pulled(slots: list, i: int, found: tuple, law: tuple) -> Any:
    how, constant, rest = found
    value = Cumulant([*slots[:i], rest, *slots[i + 1 :]], *law)
    if how == "add":
        return constant + value if len(slots) == 1 else value
    return _restored(how, constant, value, axis=sum(map(rank, slots[:i])))


class ScalarCumulant(Cumulant, ScalarTerm):
    """A cumulant of scalar slots; a mean has the sign of its slot, a variance is not negative."""

    def _eval_is_extended_nonnegative(self) -> bool | None:
        if len(self.slots) == 1:
            return True if self.slots[0].is_nonnegative else None
        return True if len(self.slots) == 2 and self.slots[0] == self.slots[1] else None

    def _eval_is_extended_positive(self) -> bool | None:
        return True if len(self.slots) == 1 and self.slots[0].is_positive else None


class VectorCumulant(Cumulant, VectorTerm):
    """A cumulant with one vector slot."""


class MatrixCumulant(Cumulant, MatrixTerm):
    """A cumulant with two vector slots, rows and columns, or with one matrix slot."""

    @property
    def semidefinite(self) -> bool:
        """Whether it is a covariance matrix `Cov(h)`."""
        return len(self.slots) == 2 and self.slots[0] == self.slots[1]

    def transposed(self) -> MatrixTerm:
        y, (*slots, energy) = self.opened()
        tensors = [h for h in slots if rank(h)]
        swapped = tensors[::-1] if len(tensors) == 2 else [Transpose(tensors[0])]
        return Cumulant([*swapped, *slots[len(tensors) :]], y, self.measure, energy)


_CUMULANTS = (ScalarCumulant, VectorCumulant, MatrixCumulant)


# ---- push-forwards


class Pushforward(Binder, MeasureTerm):
    """The image `T#mu` of a measure under a map `y -> T(y)`; args (mu, y, T(y))."""

    _variable_at, _measure_at = 1, 0

    def __new__(cls, measure: MeasureTerm, variable: VectorTerm, image: VectorTerm) -> Any:
        measure = in_scope(variable, measure)
        if vector(image) is variable:
            return measure
        (image,), variable = named((image,), variable)
        return make(cls, measure, variable, image)

    @property
    def probability(self) -> bool:
        return self.measure.probability

    @property
    def base(self) -> Measure:
        return self.measure.base

    def rebuilt(self, parts: tuple, variable: VectorTerm, measure: MeasureTerm) -> Any:
        return Pushforward(measure, variable, parts[0])

    def image_of(self, point: VectorTerm) -> VectorTerm:
        """Where a point of the base measure goes, through all push-forwards."""
        inner = self.measure
        return self.at(inner.image_of(point) if isinstance(inner, Pushforward) else point)


# ---- what users call


def integral(h: Any, y: VectorTerm, mu: MeasureTerm) -> Any:
    """The integral of `h(y)` against mu: a scalar, a vector or a matrix like `h`.

    >>> from .terms import Matrix
    >>> y, mu = Point("y"), Measure("mu")
    >>> integral(Matrix("V") @ y, y, mu)
    V int y mu(dy)
    """
    return Integral(h, y, mu)


def gibbs(h: Any, y: VectorTerm, mu: MeasureTerm, *, energy: Any) -> Any:
    """The Gibbs expectation `E_p[h]` with `p(dy) = exp(energy(y)) mu(dy) / Z`.

    >>> from .constructors import dot
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> gibbs(x + 2 * y, y, mu, energy=dot(x, y))
    x + 2 E_p[y]  where p(dy) = exp(<x, y>) mu(dy) / Z_p
    """
    return Cumulant((h,), y, mu, energy)


def expectation(h: Any, y: VectorTerm, mu: MeasureTerm, *, energy: Any = 0) -> Any:
    """The mean of `h(y)` under mu divided by its mass, or under a Gibbs law of mu.

    >>> y, mu = Point("y"), Measure("mu")
    >>> expectation(y, y, mu)
    E_p[y]  where p(dy) = mu(dy) / Z_p
    """
    return Cumulant((h,), y, mu, energy)


def covariance(g: Any, h: Any, y: VectorTerm, mu: MeasureTerm, *, energy: Any = 0) -> Any:
    """The covariance of `g(y)` and `h(y)` under mu divided by its mass, or under a Gibbs law.

    Two vectors give the matrix `E[(g - E g)(h - E h)^T]`, a vector and a scalar a vector.

    >>> y, mu = Point("y"), Measure("mu")
    >>> covariance(y, y, y, mu)
    Cov_p(y)  where p(dy) = mu(dy) / Z_p
    """
    return Cumulant((g, h), y, mu, energy)
