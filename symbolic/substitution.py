"""Substitution that respects the scopes of binders, over shared subterms once.

SymPy's `subs` and `xreplace` on our heads end here. A rule maps terms to terms of the same kind. A
binder whose variable is free in the image of the rule is opened at a fresh point first, so nothing
is captured.
"""

from collections.abc import Mapping
from typing import Any

from sympy import Basic, Symbol, sympify

from .products import remade
from .terms import SLOT, Term, free_symbols, kind


def substitute(term: Any, rule: Mapping[Any, Any]) -> Any:
    """The term with every occurrence of a key of the rule replaced, all at once.

    >>> from .terms import Point
    >>> x, y = Point("x"), Point("y")
    >>> substitute(x + 2 * y, {x: y, y: x})
    y + 2 x
    """
    rule = {old: sympify(new) for old, new in rule.items()}
    for old, new in rule.items():
        if isinstance(old, Term) and kind(old) != kind(new):
            raise TypeError(f"cannot put the {kind(new)} {new} in place of the {kind(old)} {old}")
    return Substitution(rule)(term)


class Substitution:
    """One substitution, with the memory of what it has done."""

    def __init__(self, rule: Mapping[Any, Any]):
        self.rule = dict(rule)
        self.incoming = frozenset().union(*(free_symbols(new) for new in self.rule.values()))
        atomic = all(k in free_symbols(k) for k in self.rule)
        self.keys = frozenset(self.rule) if atomic else None
        self.memory: dict[Basic, Basic] = {}

    def untouched(self, term: Basic) -> bool:
        return self.keys is not None and self.keys.isdisjoint(free_symbols(term))

    def __call__(self, term: Any) -> Any:
        if term in self.rule:
            return self.rule[term]
        if not term.args or self.untouched(term):
            return term
        if term not in self.memory:
            rebuild = getattr(term, "substituted", None)
            self.memory[term] = rebuild(self) if rebuild else self.rebuilt(term)
        return self.memory[term]

    def rebuilt(self, term: Basic) -> Basic:
        args = [self(a) for a in term.args]
        same = all(a is b for a, b in zip(args, term.args, strict=True))
        return term if same else remade(term, args)


def at_slot(expression: Any, value: Any) -> Any:
    """The expression of an elementwise function at a scalar."""
    if isinstance(expression, Symbol):
        return value if expression is SLOT else expression
    if not expression.args or isinstance(expression, Term):
        return expression
    return remade(expression, [at_slot(a, value) for a in expression.args])
