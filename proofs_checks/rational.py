"""Terms with rational numbers for floating ones, and back.

SymPy adds and multiplies floating numbers with rounding. A proof reads each as the rational number
that it is, before it rearranges anything.
"""

from collections.abc import Mapping
from typing import Any

import sympy

from ..symbolic import substitute
from ..symbolic.terms import Term

_LONG = 10**6  # a dyadic denominator above this was a floating number


def exact(term: Any) -> Any:
    """The term with every floating number replaced by the rational number that it is.

    >>> exact(sympy.Float(0.1) * sympy.Symbol("t")).subs("t", 10) == 1
    False
    """
    floats = [number for number in _numbers(term) if isinstance(number, sympy.Float)]
    return substitute(term, {number: _rational(number) for number in floats}) if floats else term


def readable(term: Any) -> Any:
    """The term with floating numbers for the long fractions that `exact` makes."""
    long = [n for n in _numbers(term) if isinstance(n, sympy.Rational) and n.q > _LONG]
    return substitute(term, {n: sympy.Float(n) for n in long}) if long else term


def expanded(term: Any, known: Mapping[Any, Any] | None = None) -> Any:
    """A scalar term as a sum of products, with our heads left as they are, or as known.

    SymPy's `expand` would go into them, once for each time that a shared part occurs.
    """
    symbols: dict[Any, Any] = dict(known or {})
    plain = sympy.expand(_plain(term, symbols))
    return plain.xreplace({s: head for head, s in symbols.items() if isinstance(s, sympy.Dummy)})


def _plain(term: Any, symbols: dict) -> Any:
    if isinstance(term, Term):
        return symbols.setdefault(term, sympy.Dummy(real=True))
    return term.func(*(_plain(a, symbols) for a in term.args)) if term.args else term


def dyadic(mantissa: Any, exponent: Any) -> Any:
    """`mantissa * 2**exponent`, for two integers."""
    m, e = int(mantissa), int(exponent)
    return sympy.Rational(m << e) if e >= 0 else sympy.Rational(m, 1 << -e)


def _rational(number: sympy.Float) -> Any:
    sign, mantissa, exponent, _ = number._mpf_
    return dyadic(-mantissa if sign else mantissa, exponent)


def _numbers(term: Any) -> set:
    found, seen, waiting = set(), set(), [term]
    while waiting:
        part = waiting.pop()
        if part not in seen:
            seen.add(part)
            waiting.extend(part.args)
            if isinstance(part, sympy.Number):
                found.add(part)
    return found
