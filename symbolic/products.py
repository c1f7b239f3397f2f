"""Products and exponentials of scalar terms that do not search inside our heads.

`sympy.exp` of a product looks for logarithms in the whole tree below it (`logcombine`), and `Mul`
calls `exp` anew for each factor that is one. Terms of many layers are small as graphs and huge as
trees, so both are done here with our heads held apart. The results are those of SymPy.
"""

from collections.abc import Callable, Iterator
from functools import cmp_to_key, lru_cache
from typing import Any

from sympy import Add, Basic, Dummy, Expr, Mul, S, Symbol, exp


@lru_cache(maxsize=1 << 16)
def speaks_of_terms(e: Basic) -> bool:
    """Whether one of our heads occurs in an expression."""
    return getattr(e, "is_term", False) or any(map(speaks_of_terms, e.args))


def leaves(e: Basic) -> Iterator[Any]:
    """Our own heads and the symbols in an expression, from the outside."""
    if getattr(e, "is_term", False) or isinstance(e, Symbol):
        yield e
    else:
        for a in e.args:
            yield from leaves(a)


def swapped(e: Any, table: dict) -> Any:
    """The expression with leaves replaced, without descending into our own heads."""
    if e in table:
        return table[e]
    if getattr(e, "is_term", False) or not e.args:
        return e
    args = [swapped(a, table) for a in e.args]
    same = all(a is b for a, b in zip(args, e.args, strict=True))
    return e if same else remade(e, args)


def stand_in(leaf: Expr) -> Dummy:
    """A real symbol that knows of the leaf's sign."""
    if leaf.is_positive:
        return Dummy(positive=True)
    return Dummy(nonnegative=True) if leaf.is_nonnegative else Dummy(real=True)


def exponential(argument: Expr) -> Expr:
    """`exp(argument)`.

    >>> from sympy import log, Symbol
    >>> exponential(2 * log(Symbol("a", positive=True)))
    a**2
    """
    if not speaks_of_terms(argument):
        return exp(argument)
    table = {leaf: stand_in(leaf) for leaf in leaves(argument) if getattr(leaf, "is_term", False)}
    plain = swapped(argument, table)
    result = exp(plain)
    if isinstance(result, exp) and result.args[0] == plain:
        return exp(argument, evaluate=False)
    return swapped(result, {dummy: leaf for leaf, dummy in table.items()})


def product(*factors: Any) -> Expr:
    """The product of scalars; equal exponentials are joined as SymPy joins them.

    >>> from sympy import Symbol
    >>> t = Symbol("t")
    >>> product(2, exp(t), exp(2 * t))
    2*exp(3*t)
    """
    flat = [a for f in factors for a in Mul.make_args(f)]
    held = [f for f in flat if isinstance(f, exp) and speaks_of_terms(f)]
    rest = Mul(*(f for f in flat if f not in held))
    if not held or rest.is_zero or rest is S.NaN:
        return rest
    alike: dict[Expr, list] = {}
    for f in held:
        exponent: Any = f.args[0]
        alike.setdefault(exponent.as_coeff_Mul()[1], []).append(f)
    joined = [fs[0] if len(fs) == 1 else exponential(Add(*(f.args[0] for f in fs)))
              for fs in alike.values()]  # fmt: skip
    if any(not isinstance(f, exp) for f in joined):
        return Mul(rest, *joined)
    number, others = rest.as_coeff_Mul()
    parts = sorted([*(() if others is S.One else Mul.make_args(others)), *joined], key=_order)
    if number is not S.One:
        parts.insert(0, number)
    return parts[0] if len(parts) == 1 else Mul(*parts, evaluate=False)


_order: Callable = cmp_to_key(Basic.compare)


def remade(e: Basic, args: Any) -> Any:
    """The head with other args, by the functions above."""
    if isinstance(e, exp):
        return exponential(*args)
    return product(*args) if isinstance(e, Mul) else e.func(*args)
