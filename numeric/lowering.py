"""From terms to programs: the one module of this part that reads symbols.

Every head of `pushforward.symbolic` and every scalar SymPy head that has a meaning in numbers has a
rule here; the fall-back names the head that has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce, singledispatchmethod
from typing import Any

import sympy
from sympy.core.numbers import NumberSymbol
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from ..symbolic import (
    Basis,
    Block,
    BoundPoint,
    Component,
    Cumulant,
    Diagonal,
    Dimension,
    Dot,
    Elementwise,
    Identity,
    Integral,
    LogPartition,
    MatMul,
    Matrix,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Measure,
    Ones,
    Outer,
    Point,
    Pushforward,
    Rows,
    RowStack,
    Scaled,
    Stack,
    Supremum,
    Trace,
    Transpose,
    Vector,
    VectorSum,
    Zero,
    ZeroMatrix,
)
from ..symbolic.heads import RegisteredHead
from ..symbolic.matrices import Columns
from ..symbolic.terms import SLOT, FreshPoint, Term, free_symbols
from .program import Axis, Builder, Program, Use
from .registered import FUNCTIONS, RegisteredFunction

_FUNCTIONS: Mapping[type, str] = {
    sympy.exp: "exp",
    sympy.sin: "sin",
    sympy.cos: "cos",
    sympy.tan: "tan",
    sympy.asin: "asin",
    sympy.acos: "acos",
    sympy.atan: "atan",
    sympy.sinh: "sinh",
    sympy.cosh: "cosh",
    sympy.tanh: "tanh",
    sympy.asinh: "asinh",
    sympy.acosh: "acosh",
    sympy.atanh: "atanh",
    sympy.erf: "erf",
    sympy.erfc: "erfc",
    sympy.gamma: "gamma",
    sympy.loggamma: "loggamma",
    sympy.digamma: "digamma",
    sympy.Abs: "abs",
    sympy.sign: "sign",
    sympy.floor: "floor",
    sympy.ceiling: "ceiling",
    sympy.Max: "max",
    sympy.Min: "min",
    sympy.atan2: "atan2",
    sympy.And: "and",
    sympy.Or: "or",
    sympy.Not: "not",
}
_RELATIONS = {"<": "less", "<=": "less_equal", "==": "equal"}
_CONSTANTS = {sympy.pi: "pi", sympy.E: "e", sympy.EulerGamma: "euler", sympy.GoldenRatio: "phi"}


def lower(term: Any) -> Program:
    """The program of a scalar, vector or matrix term.

    A free point is an argument; a parameter is a parameter; an integral against a push-forward is
    one against its base measure. Equal values become one instruction, whatever the names of the
    bound variables in them, so a composition of maps costs the sum of its parts.

    Raises:
        NotImplementedError: a head has no meaning in numbers; the message names it.

    >>> from pushforward.symbolic import Matrix, Measure, Point, dot, gibbs
    >>> x, y, mu, A = Point("x"), Point("y"), Measure("mu"), Matrix("A")
    >>> print(lower(gibbs(y, y, mu, energy=dot(x, A @ y))))
    %0 matrix[] = parameter A
    %1 vector[mu.0] = atoms mu
    %2 vector[mu.0] = matvec %0 %1[mu.0]
    %3 vector[x] = point x
    %4 scalar[mu.0,x] = dot %2[mu.0] %3[x]
    %5 vector[x] = cumulant %4[mu.0,x] %1[mu.0] over mu.0
    return %5[x]
    """
    lowering = _Lowering()
    result = lowering.value(term, _Scope())
    return lowering.builder.program(result)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the bound points stand for, and which atom axes are open."""

    bound: Mapping[Any, Use] = field(default_factory=dict)
    open_axes: int = 0

    def binding(self, variable: Any, value: Use) -> "_Scope":
        return _Scope({**self.bound, variable: value}, self.open_axes)

    def opening(self, owner: str) -> tuple[Axis, "_Scope"]:
        return Axis(owner, self.open_axes), _Scope(self.bound, self.open_axes + 1)


class _Lowering:
    """One term being lowered: the instructions so far and the terms already done."""

    def __init__(self):
        self.builder = Builder()
        self.memory: dict[Any, Use] = {}

    def value(self, term: Any, scope: _Scope) -> Use:
        """The instruction of a term; a term met again under other axes is only renamed."""
        names = free_symbols(term) | (set() if isinstance(term, Term) else {SLOT})
        bound = {name: use for name, use in scope.bound.items() if name in names}
        canonical: dict[Axis, Axis] = {}
        for _, use in sorted(bound.items(), key=lambda item: str(item[0])):
            for axis in use.axes:
                if axis.is_atoms:
                    canonical.setdefault(axis, Axis(axis.owner, len(canonical)))
        inner = {name: _renamed(use, canonical) for name, use in bound.items()}
        key = (term, tuple(sorted(inner.items(), key=lambda item: str(item[0]))))
        if key not in self.memory:
            self.memory[key] = self.rule(term, _Scope(inner, len(canonical)))
        back = {new: old for old, new in canonical.items()}
        return _renamed(self.memory[key], back)

    def values(self, terms: Any, scope: _Scope) -> list[Use]:
        return [self.value(term, scope) for term in terms]

    def constant(self, text: str) -> Use:
        return self.builder.emit("constant", attributes=(text,))

    def measured(self, binder: Any, scope: _Scope) -> tuple[Axis, _Scope]:
        """The axis that a binder reduces over, and the scope of its parts."""
        axis, inside = scope.opening(binder.measure.base.name)
        atom = self.atom(binder.measure, axis, inside)
        return axis, inside.binding(binder.variable, atom)

    def atom(self, measure: Any, axis: Axis, scope: _Scope) -> Use:
        """Where the atoms of a measure lie: those of the base measure, moved."""
        if isinstance(measure, Measure):
            return self.builder.atoms(measure.name, axis)
        assert isinstance(measure, Pushforward)
        before = self.atom(measure.measure, axis, scope)
        variable, (image,) = measure.opened()
        return self.value(image, scope.binding(variable, before))

    def sigmoid(self, u: Any, k: Any, scope: _Scope) -> Use:
        """`1 / (1 + exp(-u))^k`, in range for every u."""
        value = self.builder.emit("sigmoid", self.value(u, scope))
        return value if k == 1 else self.builder.emit("power", value, attributes=(_text(k),))

    def registered(self, term: Any, scope: _Scope) -> Use:
        """A function of the user: the program holds its name, `FUNCTIONS` what it means."""
        m = term.meaning
        FUNCTIONS[m.name] = RegisteredFunction(
            m.name, m.value, m.numpy, m.c, m.steepest, m.rounding
        )
        return self.builder.emit(
            "registered", self.value(term.args[0], scope), attributes=(m.name,)
        )

    def trace_of_covariance(self, matrix: Any, scope: _Scope) -> Use | None:
        """`tr(M Cov_p(h, g) N)` from inner products of atoms alone, without the matrix.

        With h' = M h and g' = N^T g, both centred by their means m and n under the measure itself,
        it is `E_p <h' - m, g' - n> - <E_p h' - m, E_p g' - n>`: one number an atom, and the means.
        """
        factors = matrix.args if isinstance(matrix, MatMul) else (matrix,)
        places = [k for k, factor in enumerate(factors) if isinstance(factor, Cumulant)]
        if len(places) != 1:
            return None
        (place,), law = places, factors[places[0]]
        around = self.values([f for f in factors if f is not law], scope)
        if len(law.slots) != 2 or any(use.axes for use in around):
            return None
        axis, inside = self.measured(law, scope)
        energy, left, right = self.values((law.energy, *law.slots), inside)
        if left.axes != (axis,) or right.axes != (axis,):
            return None
        emit, flat = self.builder.emit, self.constant("0")
        before = around[:place][::-1]
        after = [emit("transpose", use) for use in around[place:]]
        moved = [(left, before), (right, after)]
        centred, means = [], []
        for slot, matrices in moved:
            centre = emit("mul", self.constant("-1"), emit("cumulant", flat, slot, over=axis))
            mean = emit("cumulant", energy, slot, over=axis)
            centred.append(self.images(matrices, emit("add", slot, centre)))
            means.append(self.images(matrices, emit("add", mean, centre)))
        product = emit("mul", self.constant("-1"), emit("dot", *means))
        return emit("add", emit("cumulant", energy, emit("dot", *centred), over=axis), product)

    def images(self, matrices: list[Use], vector: Use) -> Use:
        """A vector under matrices, the first of them first."""
        return reduce(lambda v, m: self.builder.emit("matvec", m, v), matrices, vector)

    @singledispatchmethod
    def rule(self, term: Any, scope: _Scope) -> Use:
        """The instructions of one head."""
        if isinstance(term, RegisteredHead):
            return self.registered(term, scope)
        name = _FUNCTIONS.get(type(term))
        if name is not None:
            return self.builder.emit(name, *self.values(term.args, scope))
        raise NotImplementedError(f"no numerical meaning of {type(term).__name__} in {term}")

    # ---- points and parameters

    @rule.register(Point)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.point(term.name)

    @rule.register(BoundPoint)
    @rule.register(FreshPoint)
    def _(self, term: Any, scope: _Scope) -> Use:
        if term not in scope.bound:
            raise NotImplementedError(f"the bound point {term} is used outside of its binder")
        return scope.bound[term]

    @rule.register(Vector)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.parameter(term.name, 1)

    @rule.register(Matrix)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.parameter(term.name, 2)

    @rule.register(sympy.Symbol)
    def _(self, term: Any, scope: _Scope) -> Use:
        return scope.bound[term] if term is SLOT else self.builder.parameter(term.name, 0)

    # ---- numbers and scalar functions

    @rule.register(sympy.Rational)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.constant(_text(term))

    @rule.register(sympy.Float)
    def _(self, term: Any, scope: _Scope) -> Use:
        # Exactly the binary number that SymPy holds.
        return self.rule(sympy.Rational(term), scope)

    @rule.register(NumberSymbol)
    def _(self, term: Any, scope: _Scope) -> Use:
        if term not in _CONSTANTS:
            raise NotImplementedError(f"no numerical meaning of the constant {term}")
        return self.constant(_CONSTANTS[term])

    @rule.register(type(sympy.oo))
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.constant("inf")

    @rule.register(type(-sympy.oo))
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.constant("-inf")

    @rule.register(BooleanTrue)
    @rule.register(BooleanFalse)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.constant("true" if term else "false")

    @rule.register(sympy.Add)
    @rule.register(VectorSum)
    @rule.register(MatrixSum)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.emit("add", *self.values(term.args, scope))

    @rule.register(sympy.Mul)
    def _(self, term: Any, scope: _Scope) -> Use:
        factors, sigmoids = _sigmoid_factors(term)
        uses = [self.sigmoid(u, k, scope) for u, k in sigmoids] + self.values(factors, scope)
        return self.builder.emit("mul", *uses) if len(uses) > 1 else uses[0]

    @rule.register(Scaled)
    @rule.register(MatrixScaled)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.emit("mul", *self.values(term.args, scope))

    @rule.register(sympy.Pow)
    def _(self, term: Any, scope: _Scope) -> Use:
        base, exponent = term.args[0], _fraction(term.args[1])
        u = _exponent_in(base)
        if u is not None and exponent.is_negative and exponent.is_Rational:
            return self.sigmoid(-u, -exponent, scope)
        if exponent.is_Rational:
            return self.builder.emit(
                "power", self.value(base, scope), attributes=(_text(exponent),)
            )
        return self.builder.emit("pow", *self.values((base, exponent), scope))

    @rule.register(sympy.log)
    def _(self, term: Any, scope: _Scope) -> Use:
        u = _exponent_in(term.args[0])
        if u is not None:
            return self.builder.emit("softplus", self.value(u, scope))
        return self.builder.emit("log", self.value(term.args[0], scope))

    @rule.register(sympy.Heaviside)
    def _(self, term: Any, scope: _Scope) -> Use:
        # At zero SymPy's default is one half; other values have no instruction.
        if term.args[1] != sympy.S.Half:
            raise NotImplementedError(
                f"no numerical meaning of Heaviside with value at 0 in {term}"
            )
        return self.builder.emit("heaviside", self.value(term.args[0], scope))

    @rule.register(sympy.Piecewise)
    def _(self, term: Any, scope: _Scope) -> Use:
        parts = []
        for expression, condition in term.args:
            value = self.value(expression, scope)
            if condition == True:  # noqa: E712
                return self.builder.emit("select", *parts, value)
            parts += [self.value(condition, scope), value]
        return self.builder.emit("select", *parts, self.constant("nan"))

    @rule.register(Relational)
    def _(self, term: Any, scope: _Scope) -> Use:
        if isinstance(term, sympy.Ne):
            return self.builder.emit("not", self.value(sympy.Eq(*term.args), scope))
        term = term.reversed if term.rel_op in (">", ">=") else term
        return self.builder.emit(_RELATIONS[term.rel_op], *self.values(term.args, scope))

    # ---- vectors and matrices

    @rule.register(MatVec)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.emit("matvec", *self.values(term.args, scope))

    @rule.register(MatMul)
    def _(self, term: Any, scope: _Scope) -> Use:
        factors = self.values(term.args, scope)
        return reduce(lambda left, right: self.builder.emit("matmul", left, right), factors)

    @rule.register(Transpose)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.emit("transpose", self.value(term.args[0], scope))

    @rule.register(Dot)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.emit("dot", *self.values(term.args, scope))

    @rule.register(Outer)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.emit("outer", *self.values(term.args, scope))

    @rule.register(Trace)
    def _(self, term: Any, scope: _Scope) -> Use:
        value = self.trace_of_covariance(term.args[0], scope)
        if value is not None:
            return value
        return self.builder.emit("trace", self.value(term.args[0], scope))

    @rule.register(Diagonal)
    def _(self, term: Any, scope: _Scope) -> Use:
        return self.builder.emit("diagonal", self.value(term.args[0], scope))

    @rule.register(Component)
    def _(self, term: Any, scope: _Scope) -> Use:
        index = int(term.args[1])
        return self.builder.emit("component", self.value(term.args[0], scope), attributes=(index,))

    @rule.register(Block)
    @rule.register(Rows)
    def _(self, term: Any, scope: _Scope) -> Use:
        op = {Block: "block", Rows: "rows"}[type(term)]
        inner, start, stop = term.args
        ends = (int(start), "end" if stop is sympy.oo else int(stop))
        return self.builder.emit(op, self.value(inner, scope), attributes=ends)

    @rule.register(Stack)
    @rule.register(RowStack)
    def _(self, term: Any, scope: _Scope) -> Use:
        op = "stack" if isinstance(term, Stack) else "row_stack"
        return self.builder.emit(op, *self.values(term.args, scope))

    @rule.register(Elementwise)
    def _(self, term: Any, scope: _Scope) -> Use:
        expression, inner = term.args
        return self.value(expression, scope.binding(SLOT, self.value(inner, scope)))

    @rule.register(Basis)
    def _(self, term: Any, scope: _Scope) -> Use:
        index, like = term.args
        return self.builder.emit("basis", self.value(like, scope), attributes=(int(index),))

    @rule.register(Zero)
    @rule.register(ZeroMatrix)
    @rule.register(Ones)
    @rule.register(Identity)
    @rule.register(Dimension)
    @rule.register(Columns)
    def _(self, term: Any, scope: _Scope) -> Use:
        names = {Zero: "zeros", ZeroMatrix: "zero_matrix", Columns: "columns"}
        op = names.get(type(term), type(term).__name__.lower())
        return self.builder.emit(op, *self.values(term.args, scope))

    # ---- measures

    @rule.register(Integral)
    def _(self, term: Any, scope: _Scope) -> Use:
        axis, inside = self.measured(term, scope)
        return self.builder.emit("integral", self.value(term.parts[0], inside), over=axis)

    @rule.register(LogPartition)
    def _(self, term: Any, scope: _Scope) -> Use:
        axis, inside = self.measured(term, scope)
        return self.builder.emit("log_partition", self.value(term.parts[0], inside), over=axis)

    @rule.register(Supremum)
    def _(self, term: Any, scope: _Scope) -> Use:
        axis, inside = self.measured(term, scope)
        return self.builder.emit("supremum", self.value(term.parts[0], inside), over=axis)

    @rule.register(Cumulant)
    def _(self, term: Any, scope: _Scope) -> Use:
        axis, inside = self.measured(term, scope)
        operands = self.values((term.energy, *term.slots), inside)
        return self.builder.emit("cumulant", *operands, over=axis)


def _renamed(use: Use, names: Mapping[Axis, Axis]) -> Use:
    return Use(use.index, tuple(names.get(axis, axis) for axis in use.axes))


def _text(number: Any) -> str:
    return f"{number.p}/{number.q}" if number.q != 1 else str(number.p)


def _fraction(exponent: Any) -> Any:
    """A floating multiple of 1/2 as a fraction: a root and products are faster than a power."""
    twice = 2 * float(exponent) if isinstance(exponent, sympy.Float) else 0.5
    return sympy.Rational(int(twice), 2) if twice.is_integer() else exponent


def _exponent_in(base: Any) -> Any:
    """The u of `1 + exp(u)`."""
    if isinstance(base, sympy.Add) and len(base.args) == 2:
        one, other = base.args
        if one is sympy.S.One and isinstance(other, sympy.exp):
            return other.args[0]
    return None


def _sigmoid_factors(term: Any) -> tuple[list, list]:
    """The other factors of a product, and the pairs (v, k) of its factors `sigmoid(v)^k`.

    With s = sigmoid(-u), `exp(nu) / (1 + exp(u))^k` is `(1 - s)^n s^(k-n)`, where the exponential
    alone would overflow; derivatives of sigmoids have this form.
    """
    exponentials: list[Any] = [f for f in term.args if isinstance(f, sympy.exp)]
    exponent = sympy.Add(*(f.args[0] for f in exponentials))
    others = [f for f in term.args if not isinstance(f, sympy.exp)]
    factors, sigmoids = [], []
    for factor in others:
        base, power = factor.as_base_exp()
        u = _exponent_in(base)
        if u is None or not (power.is_Integer and power.is_negative):
            factors.append(factor)
            continue
        n = _multiple(exponent, u, -int(power))
        exponent = exponent - n * u
        sigmoids += [(v, sympy.Integer(k)) for v, k in ((u, n), (-u, -int(power) - n)) if k]
    return factors + ([sympy.exp(exponent)] if exponent != 0 else []), sigmoids


def _multiple(exponent: Any, u: Any, most: int) -> int:
    """The largest n <= most for which n u is a part of the exponent."""
    length = len(sympy.Add.make_args(exponent)) * (exponent != 0)
    part = len(sympy.Add.make_args(u))
    for n in range(most, 0, -1):
        rest = exponent - n * u
        if len(sympy.Add.make_args(rest)) * (rest != 0) == length - part:
            return n
    return 0


def parameter_ranks(formula: Any) -> dict[str, int]:
    """The parameters of a formula by name, with their ranks: 0, 1 or 2."""
    ranks = {Vector: 1, Matrix: 2}
    return {atom.name: ranks.get(type(atom), 0) for atom in formula.parameters}
