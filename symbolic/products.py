"""Products and exponentials of scalar terms that do not search inside our heads.

`sympy.exp` of a product looks for logarithms in the whole tree below it (`logcombine`), and `Mul`
calls `exp` anew for each factor that is one. Terms of many layers are small as graphs and huge as
trees, so both are done here with our heads held apart. The results are those of SymPy.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cmp_to_key, lru_cache
from typing import Any

from sympy import Add, Basic, Dummy, Expr, Mul, Number, S, Symbol, exp


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
    return Dummy(**{_sign(leaf): True})


def _sign(leaf: Expr) -> str:
    if leaf.is_positive:
        return "positive"
    return "nonnegative" if leaf.is_nonnegative else "real"


_POOL: dict[tuple[str, int], Dummy] = {}


def pattern(e: Any, found: Iterable[Any]) -> tuple[Any, dict]:
    """An expression with leaves replaced by stand-ins, and the table of these.

    The stand-ins are the same ones in every pattern, by sign and order of occurrence: expressions
    of one form have one pattern, so what SymPy finds out about it is found out once.
    """
    counts: dict[str, int] = {}
    table: dict[Any, Dummy] = {}
    for leaf in found:
        if leaf not in table:
            sign = _sign(leaf)
            number = counts[sign] = counts.get(sign, 0) + 1
            if (sign, number) not in _POOL:
                _POOL[sign, number] = Dummy(f"{sign}{number}", **{sign: True})
            table[leaf] = _POOL[sign, number]
    return swapped(e, table), table


def exponential(argument: Expr) -> Expr:
    """`exp(argument)`.

    >>> from sympy import log, Symbol
    >>> exponential(2 * log(Symbol("a", positive=True)))
    a**2
    """
    if not speaks_of_terms(argument):
        return exp(argument)
    ours = (leaf for leaf in leaves(argument) if getattr(leaf, "is_term", False))
    plain, table = pattern(argument, ours)
    result = _exp(plain)
    if isinstance(result, exp) and result.args[0] == plain:
        return exp(argument, evaluate=False)
    return swapped(result, {dummy: leaf for leaf, dummy in table.items()})


@lru_cache(maxsize=1 << 14)
def _exp(plain: Expr) -> Any:
    return exp(plain)


@lru_cache(maxsize=1 << 16, typed=True)
def product(*factors: Any) -> Expr:
    """The product of scalars; equal exponentials are joined as SymPy joins them.

    >>> from sympy import Symbol
    >>> t = Symbol("t")
    >>> product(2, exp(t), exp(2 * t))
    2*exp(3*t)
    """
    flat = [a for f in factors for a in Mul.make_args(f)]
    if len(flat) == 2 and not all(map(speaks_of_terms, flat)):
        number, total = flat if isinstance(flat[0], Number) else flat[::-1]
        if isinstance(total, Add) and isinstance(number, Number) and number.is_finite:
            return added(*(product(number, a) for a in total.args))
    held = [f for f in flat if isinstance(f, exp) and speaks_of_terms(f)]
    rest = Mul(*(f for f in flat if f not in held))
    if not held or rest is S.Zero or rest is S.NaN:
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


def added(*summands: Any) -> Expr:
    """The sum of scalars; a multiple of an exponential of ours is put together by hand.

    >>> from sympy import Symbol
    >>> t = Symbol("t")
    >>> added(1, exp(t), -3 * exp(t))
    1 - 2*exp(t)
    """
    held: dict[Expr, list] = {}
    rest = []
    for a in (a for s in summands for a in Add.make_args(s)):
        c, core = a.as_coeff_Mul()
        if isinstance(core, exp) and speaks_of_terms(core):
            held.setdefault(core, []).append(c)
        else:
            rest.append(a)
    plain: Any = Add(*rest)
    found = [(c, core) for core, cs in held.items() if (c := Add(*cs)) is not S.Zero]
    if not found or (plain.is_Number and not plain.is_finite):
        return plain
    number, others = plain.as_coeff_Add()
    parts = [core if c is S.One else Mul(c, core, evaluate=False) for c, core in found]
    parts = sorted([*(() if others is S.Zero else Add.make_args(others)), *parts], key=_order)
    if number is not S.Zero:
        parts.insert(0, number)
    return parts[0] if len(parts) == 1 else Add(*parts, evaluate=False)


def remade(e: Basic, args: Any) -> Any:
    """The head with other args, by the functions above."""
    return _made(e.func, *args)


@lru_cache(maxsize=1 << 16, typed=True)
def _made(head: Any, *args: Any) -> Any:
    if head is exp:
        return exponential(*args)
    if head is Add:
        return added(*args)
    return product(*args) if head is Mul else head(*args)
