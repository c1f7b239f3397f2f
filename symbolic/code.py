"""Programs for formulas, as text that stands alone: NumPy, C, CUDA.

They are made to be read and pasted; the numeric part has faster ones. The program of a map over
several layers computes the moved atoms of each layer once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce, singledispatch
from typing import Any

from sympy import Add, Expr, Float, Mul, Piecewise, Pow, Rational, S, Symbol
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean

from .heads import RegisteredHead
from .terms import Term


def code(formula: Any, language: str) -> str:
    """A program for a formula.

    Args:
        formula: a `SymbolicMap`, a `VelocityField` or a `DerivedTerm`.
        language: "numpy" (a function of arrays), "c" (a function) or "cuda" (kernels).

    Raises:
        ValueError: the language is another one, or a head has no program.

    >>> from .maps import SymbolicMap
    >>> from .terms import Measure, Point
    >>> x, mu = Point("x"), Measure("mu")
    >>> print(code(SymbolicMap(2 * x, x, mu), "numpy"))
    import numpy as np
    <BLANKLINE>
    <BLANKLINE>
    def G(points, weights, x):
        # G(mu, x) = 2 x
        a1 = 2 * x
        return np.broadcast_to(a1, (len(x),) + a1.shape[-1:])
    <BLANKLINE>
    """
    from .code_c import c_program
    from .code_numpy import numpy_program

    programs: dict[str, Callable[[Any], str]] = {
        "numpy": numpy_program,
        "c": lambda f: c_program(f, device=False),
        "cuda": lambda f: c_program(f, device=True),
    }
    if language not in programs:
        raise ValueError(f'the language is "numpy", "c" or "cuda", got {language!r}')
    if formula.others:
        raise ValueError("there is no program for a map of several measures; bind and call it")
    return programs[language](formula)


NAMES: dict[str, str] = {"map": "G", "field": "V"}


def function_name(formula: Any) -> str:
    """The name of the program's function."""
    kind: str = formula.kind
    return NAMES.get(kind, kind)


@dataclass
class Names:
    """Names for the variables of a program that no argument has and no language reserves."""

    taken: set[str]
    counts: dict[str, int] = field(default_factory=dict)

    def new(self, letter: str) -> str:
        while True:
            self.counts[letter] = self.counts.get(letter, 0) + 1
            name = f"{letter}{self.counts[letter]}"
            if name not in self.taken:
                self.taken.add(name)
                return name

    def of(self, atom: Any) -> str:
        """An identifier for a named atom, the name itself where the languages allow it."""
        plain = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in atom.name)
        plain = plain if plain[0].isalpha() else f"p_{plain}"
        while plain in self.taken or plain in RESERVED:
            plain += "_"
        self.taken.add(plain)
        return plain


RESERVED = frozenset(
    """and as assert async await auto bool break case char class const continue def default del
    do double elif else enum except exp extern finally float for from global goto if
    import in inline int is lambda log long nonlocal not np or pass raise register
    restrict return short signed sizeof static struct switch try typedef union unsigned
    void volatile while with yield math erf fabs pow sqrt sin cos tan tanh fmax fmin
    points weights x n m out main isfinite""".split()
)


@dataclass(frozen=True)
class Syntax:
    """How a language writes scalar expressions."""

    functions: dict[str, str]
    power: str
    choice: str  # of a condition, a value and another
    logic: dict[str, str]
    maximum: str
    minimum: str
    nan: str
    language: str


@dataclass(frozen=True)
class Scalars:
    """Writes scalar expressions in a language.

    `leaf` gives the text of our heads, of symbols, and of functions inside a larger expression:
    these have variables of their own and are shared. With `inline`, functions stay in place.
    """

    syntax: Syntax
    leaf: Callable[[Any], str]
    inline: bool = False

    def __call__(self, e: Any) -> str:
        return _written(e, self)

    def part(self, e: Any) -> str:
        sums = (Add, Mul, Relational, Boolean)
        if isinstance(e, (Term, Symbol)) or (
            e.args and not self.inline and not isinstance(e, sums)
        ):
            return self.leaf(e)
        return _written(e, self)


@singledispatch
def _written(e: Any, write: Scalars) -> str:
    raise ValueError(f"no program for {type(e).__name__} in {e}")


@_written.register
def _(e: Expr, write: Scalars) -> str:
    if isinstance(e, (Term, Symbol)):
        return write.leaf(e)
    if not e.args:
        return repr(float(e))
    if isinstance(e, RegisteredHead):
        return e.meaning.text(write.syntax.language, write.part(e.args[0]))
    name = type(e).__name__
    args = [write.part(a) for a in e.args]
    if name in ("Max", "Min"):
        two = write.syntax.maximum if name == "Max" else write.syntax.minimum
        return reduce(lambda a, b: f"{two}({a}, {b})", args)
    if name not in write.syntax.functions:
        raise ValueError(f"no program for {name} in {e}")
    return f"{write.syntax.functions[name]}({', '.join(args)})"


@_written.register
def _(e: Rational, write: Scalars) -> str:
    return str(e.p) if e.q == 1 else f"({e.p}.0 / {e.q}.0)"


@_written.register
def _(e: Float, write: Scalars) -> str:
    return repr(float(e))


@_written.register
def _(e: Add, write: Scalars) -> str:
    signed = [(a.as_coeff_Mul()[0].is_negative, a) for a in e.args]
    return f"({signed_sum([(minus, write.part(-a if minus else a)) for minus, a in signed])})"


def signed_sum(parts: list[tuple[Any, str]]) -> str:
    """`a - b + c` from signs and texts."""
    text = ""
    for minus, part in parts:
        text += ((" - " if minus else " + ") if text else ("-" if minus else "")) + part
    return text


@_written.register
def _(e: Mul, write: Scalars) -> str:
    if e.args[0] is S.NegativeOne:
        return f"(-{write.part(Mul(*e.args[1:]))})"
    return " * ".join(write.part(a) for a in e.args)


@_written.register
def _(e: Pow, write: Scalars) -> str:
    base = write.part(e.base)
    if e.exp == S.Half:
        return f"{write.syntax.functions['sqrt']}({base})"
    if e.exp == S.NegativeOne:
        return f"(1 / ({base}))"
    if e.exp == 2:
        return f"(({base}) * ({base}))"
    return write.syntax.power.format(base, write.part(e.exp))


@_written.register
def _(e: Piecewise, write: Scalars) -> str:
    text = write.syntax.nan
    pairs: tuple[Any, ...] = e.args
    for value, condition in reversed(pairs):
        written = write.part(value)
        if condition == S.true:
            text = written
        else:
            text = write.syntax.choice.format(write.part(condition), written, text)
    return text


@_written.register
def _(e: Relational, write: Scalars) -> str:
    left, right = map(write.part, e.args)
    return f"({left} {e.rel_op} {right})"  # type: ignore[attr-defined]


@_written.register
def _(e: Boolean, write: Scalars) -> str:
    name = type(e).__name__
    if name not in write.syntax.logic:
        raise ValueError(f"no program for the condition {e}")
    args = [write.part(a) for a in e.args]
    if name == "Not":
        return f"({write.syntax.logic['Not']}{args[0]})"
    return "(" + write.syntax.logic[name].join(args) + ")"
