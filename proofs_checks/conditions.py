"""Conditions of piecewise terms: whether they hold, and where one piece meets another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import And, Eq, Expr, Ge, Gt, Le, Lt, Ne, Not, Or, S
from sympy.core.relational import Relational
from sympy.logic.boolalg import to_nnf

from ..symbolic import Scalar
from ..symbolic.terms import SLOT, Term
from .interval import Interval, Unbounded
from .rational import dyadic
from .scope import Scope, Stopped, enclose, short


def truth(condition: Any, scope: Scope) -> bool | None:
    """Whether a condition holds everywhere in the scope, nowhere, or neither is known."""
    if condition is S.true or condition is S.false:
        return condition is S.true
    if isinstance(condition, (And, Or)):
        decisive = isinstance(condition, Or)
        found = [truth(a, scope) for a in condition.args]
        return decisive if decisive in found else None if None in found else not decisive
    if isinstance(condition, Not):
        inner = truth(condition.args[0], scope)
        return None if inner is None else not inner
    if isinstance(condition, Relational) and isinstance(condition.lhs, Expr):
        try:
            return _compared(condition, enclose(_gap(condition), scope))
        except (Stopped, Unbounded):
            return None
    name = type(condition).__name__
    raise Stopped(name, f"no rule is known for the condition {name}")


def _compared(relation: Any, gap: Interval) -> bool | None:
    above, below = bool(gap.lower > 0), bool(gap.upper < 0)
    at_least, at_most = bool(gap.lower >= 0), bool(gap.upper <= 0)
    yes, no = {
        Gt: (above, at_most),
        Ge: (at_least, below),
        Lt: (below, at_least),
        Le: (at_most, above),
        Eq: (at_least and at_most, above or below),
        Ne: (above or below, at_least and at_most),
    }[type(relation)]
    return True if yes else False if no else None


def _gap(relation: Any) -> Expr:
    return relation.lhs - relation.rhs


@dataclass(frozen=True, slots=True)
class Branch:
    """A piece that some points may take, with the scope in which it is taken.

    `written` is its condition as given, `condition` the same without what is known; `closure` holds
    on the closure of the set of points that take it.
    """

    piece: Expr
    written: Any
    condition: Any
    closure: Any
    scope: Scope


def branches(term: Any, scope: Scope) -> tuple[Branch, ...]:
    """The pieces of a piecewise term that are not excluded.

    Raises:
        Stopped: some points may take no piece.
    """
    found, before = [], []
    for piece, written in term.args:
        known = truth(written, scope)
        if known is False:
            continue
        condition = settled(written, scope)
        closure = And(*(weak(Not(c)) for c in before), weak(condition))
        here = scope.assuming(_bounds(closure, scope))
        found.append(Branch(piece, written, condition, closure, here))
        before.append(condition)
        if known:
            return tuple(found)
    if not found or Or(*before) is not S.true:
        raise Stopped("Piecewise", f"{short(term)} may have no value at some points")
    return tuple(found)


def settled(condition: Any, scope: Scope) -> Any:
    """A condition with true or false for the comparisons that are known."""
    known = {relation: truth(relation, scope) for relation in relations(condition)}
    return condition.xreplace({r: sympy.sympify(v) for r, v in known.items() if v is not None})


def weak(condition: Any) -> Any:
    """A condition on the closure of the set where another holds."""
    if isinstance(condition, Not):
        condition = to_nnf(condition, simplify=False)
    if isinstance(condition, (And, Or)):
        return condition.func(*map(weak, condition.args))
    if isinstance(condition, Ne) or isinstance(condition, Not):
        return S.true
    closed = {Gt: Ge, Lt: Le}.get(type(condition))
    return condition if closed is None else closed(condition.lhs, condition.rhs)


def relations(condition: Any) -> Iterator[Any]:
    """The comparisons that a condition is made of."""
    if isinstance(condition, Relational):
        yield condition
    elif isinstance(condition, (And, Or, Not)):
        for part in condition.args:
            yield from relations(part)


def _bounds(closure: Any, scope: Scope) -> dict:
    """Bounds of terms where a conjunction of comparisons holds."""
    found: dict = {}
    for relation in closure.args if isinstance(closure, And) else (closure,):
        if isinstance(relation, (Ge, Le, Eq)):
            for term, lower, upper in _solved(relation, scope):
                low, high = found.get(term, (None, None))
                found[term] = (
                    low if lower is None else lower if low is None else max(low, lower),
                    high if upper is None else upper if high is None else min(high, upper),
                )
    return found


def _solved(relation: Any, scope: Scope) -> Iterator[tuple]:
    """(term, lower, upper) of what a weak comparison says of the head that varies in it."""
    gap = _gap(relation)
    varying = [a for a in sympy.Add.make_args(gap) if _varies(a, scope)]
    if len(varying) != 1:
        return
    c, core = varying[0].as_coeff_Mul()
    limit = enclose((varying[0] - gap) / c, scope)
    upward = isinstance(relation, Ge) == bool(c > 0)
    lower = limit.lower if upward or isinstance(relation, Eq) else None
    upper = limit.upper if not upward or isinstance(relation, Eq) else None
    yield core, lower, upper
    if isinstance(core, sympy.Abs) and upper is not None:
        yield core.args[0], -upper, upper
    if isinstance(core, sympy.Pow) and core.exp is S.Half:
        square = None if lower is None or lower < 0 else (lower * lower).lower()
        yield core.base, square, None if upper is None else (upper * upper).upper()


def _varies(term: Any, scope: Scope) -> bool:
    return not scope.symbols(term) <= scope.fixed


# ---- where two pieces meet


def agree(one: Expr, other: Expr, boundary: Any, closure: Any, scope: Scope) -> bool:
    """Whether two pieces are proved equal where a comparison holds with equality.

    Args:
        boundary: the comparison; where it flips, both of its sides are equal.
        closure: a condition that holds at the points in question, or S.true.
    """
    read = _Reader(scope)
    pairs = read.solutions(read(_gap(boundary)))
    if pairs is None:
        return False
    gap, condition = read(one) - read(other), read(closure)
    return all(
        condition.xreplace(rule) is S.false or _vanishes(gap.xreplace(rule)) for rule in pairs
    )


def _vanishes(gap: Expr) -> bool:
    gap = sympy.expand(gap)
    return gap is S.Zero or sympy.cancel(gap) is S.Zero


class _Reader:
    """Puts exact numbers for scalar parameters, and symbols for heads that SymPy does not know."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.symbols: dict[Any, sympy.Symbol] = {}

    def __call__(self, term: Any) -> Any:
        if isinstance(term, Scalar):
            return dyadic(*self.scope.parameters[term].range.lower.man_exp())
        if isinstance(term, Term) or term is SLOT:
            return self.symbols.setdefault(term, sympy.Dummy(real=True))
        return term.func(*map(self, term.args)) if term.args else term

    def solutions(self, gap: Expr) -> list[dict] | None:
        """Substitutions that cover all real solutions of `gap = 0`, None where none are found."""
        gap = sympy.expand(gap)
        parts = [a for a in sympy.Add.make_args(gap) if a.free_symbols]
        for part in parts:
            c, core = part.as_coeff_Mul()
            value = sympy.expand((part - gap) / c)
            if c.is_Rational and core.free_symbols.isdisjoint(value.free_symbols):
                found = self._solved(core, value)
                if found is not None:
                    return found
        return None

    def _solved(self, core: Expr, value: Expr) -> list[dict] | None:
        if core.is_Symbol:
            return [{core: value}]
        if value.is_negative and isinstance(core, (sympy.Abs, sympy.Pow)):
            even = isinstance(core, sympy.Abs) or core.exp in (S.Half, 2)
            return [] if even else None
        if isinstance(core, sympy.Abs):
            return self._either(core.args[0], value)
        if isinstance(core, sympy.Pow) and core.exp is S.Half:
            return self.solutions(core.base - value**2)
        if isinstance(core, sympy.Pow) and core.exp == 2:
            return self._either(core.base, sympy.sqrt(value))
        return None

    def _either(self, core: Expr, value: Expr) -> list[dict] | None:
        both = [self.solutions(core - value), self.solutions(core + value)]
        return None if None in both else [*both[0], *both[1]]  # type: ignore[list-item, misc]
