"""Formulas to read: a term as text, LaTeX or MathML.

Gibbs laws, push-forwards and large subterms that occur again are named and defined after the
formula: `I + V Cov_p(y) A^T  where p(dy) = exp(<x, A y>) mu(dy) / Z_p`.
"""

from collections import Counter
from functools import singledispatch
from typing import Any

from sympy import Add, Basic, Expr, Float, Mul, Piecewise, Pow, Rational, S, Symbol, exp, oo
from sympy.core.relational import Relational
from sympy.printing.latex import latex as sympy_latex
from sympy.printing.pretty.pretty_symbology import pretty_symbol

from . import boxes
from .binders import Cumulant, Integral, LogPartition, Pushforward, rank
from .boxes import (
    ANGLE,
    BARS,
    BRACE,
    COMMA,
    MINUS,
    PLUS,
    ROUND,
    SPACE,
    SQUARE,
    Box,
    Column,
    Fence,
    Fraction,
    Index,
    Root,
    Row,
    Script,
    Sign,
    between,
    joined,
    plain,
    sign,
)
from .extrema import ScalarSupremum, Supremum, VectorSupremum
from .matrices import (
    Columns,
    Diagonal,
    Identity,
    MatMul,
    MatrixScaled,
    MatrixSum,
    MatVec,
    Outer,
    Rows,
    RowStack,
    Trace,
    Transpose,
    ZeroMatrix,
)
from .scalars import Component, Dimension, Dot
from .terms import SLOT, BoundPoint, FreshPoint, MatrixTerm, Measure, VectorTerm, free_symbols, make
from .vectors import Basis, Block, Elementwise, Ones, Scaled, Stack, VectorSum, Zero, has_slot

SUM, PRODUCT, ATOM = 0, 1, 2  # how tightly a box holds together
MANY = 120  # a formula with more nodes than this names the subterms that it repeats
HUGE = 1000  # a part of a SymPy expression with more nodes than this is only named
LARGE = 9  # ... if they have at least this many nodes


def text(term: Any, *, inline: bool = False) -> str:
    """A term as one line of text.

    >>> from .terms import Matrix, Point
    >>> text(Matrix("A") @ (Point("x") - 2 * Point("y")))
    'A (x - 2 y)'
    """
    formula, where = Page(term, inline).formula()
    if not where:
        return boxes.plain(formula)
    return f"{boxes.plain(formula)}  where {', '.join(map(boxes.plain, where))}"


def latex(term: Any, *, inline: bool = False) -> str:
    """A term in LaTeX, for a mathematical environment.

    >>> from .constructors import dot
    >>> from .terms import Point
    >>> from .binders import gibbs
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> print(latex(gibbs(y, y, mu, energy=dot(x, y))))
    \\mathbb{E}_{p}[y] \\quad\\text{where } p(\\mathrm{d}y) = ...
    """
    formula, where = Page(term, inline).formula()
    if not where:
        return boxes.tex(formula)
    return boxes.tex(formula) + r" \quad\text{where } " + r",\; ".join(map(boxes.tex, where))


def mathml(term: Any) -> str:
    """A term in presentation MathML.

    >>> from .terms import Point
    >>> mathml(2 * Point("x"))
    '<math xmlns="http://www.w3.org/1998/Math/MathML"><mrow><mn>2</mn>...<mi>x</mi></mrow></math>'
    """
    formula, where = Page(term).formula()
    body = boxes.markup(formula)
    if where:
        rows = "<mo>,</mo>".join(map(boxes.markup, where))
        body = f"<mrow>{body}<mtext>&#xa0;where&#xa0;</mtext>{rows}</mrow>"
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{body}</math>'


class Page:
    """One formula with the names that it gives."""

    def __init__(self, term: Any, inline: bool = False):
        self.term, self.inline = term, inline
        self.taken = {a.name for a in free_symbols(term) if hasattr(a, "name")}
        self.sizes: dict[Basic, int] = {}
        self.repeated = set() if inline or self.size(term) <= MANY else self._repeated()
        self.single_law = True
        self.laws: dict[tuple, Box] = {}
        self.names: dict[Basic, Box] = {}
        self.drawn: dict[Basic, tuple[Box, int]] = {}
        self.counts: Counter = Counter()
        self.definitions: list[Box] = []

    def formula(self) -> tuple[Box, list[Box]]:
        if self.inline and self.size(self.term) > HUGE:
            name = f"{type(self.term).__name__} of {self.size(self.term)} nodes"
            return between(ANGLE, word(name)), []
        body = draw(self.term, self)[0]
        if len(self.laws) > 1:  # once more, with numbers for the laws
            again = Page(self.term, self.inline)
            again.single_law = False
            return draw(again.term, again)[0], again.definitions
        return body, self.definitions

    def size(self, term: Basic) -> int:
        """The number of nodes of a term written out."""
        if term not in self.sizes:
            self.sizes[term] = 1 + sum(self.size(a) for a in term.args)
        return self.sizes[term]

    def _repeated(self) -> set:
        uses: Counter = Counter()
        seen, pending = {self.term}, [self.term]
        while pending:
            for a in pending.pop().args:
                uses[a] += 1
                if a not in seen:
                    seen.add(a)
                    pending.append(a)
        kinds = (VectorTerm, MatrixTerm, Expr)
        named = {a for a, n in uses.items() if n > 1 and isinstance(a, kinds) and not has_slot(a)}
        return {a for a in named if self.size(a) >= LARGE}

    def name(self, term: Basic, letter: str, number: bool = True) -> Box:
        """A new name that no atom of the formula has."""
        while True:
            self.counts[letter] += 1
            full = f"{letter}_{self.counts[letter]}" if number else letter
            if full not in self.taken:
                self.taken.add(full)
                return symbol(full)
            number = True

    def bound(self, point: BoundPoint) -> Box:
        if point not in self.names:
            level = int(point.args[0]) - 1
            pool = [n for n in ("y", "w", "v", "u") if n not in self._free()]
            name = pool[level] if level < len(pool) else f"y_{level}"
            self.names[point] = symbol(name)
        return self.names[point]

    def _free(self) -> set:
        return {a.name for a in free_symbols(self.term) if hasattr(a, "name")}

    def at_least(self, term: Any, level: int) -> Box:
        """The term, in brackets if it holds together less tightly than asked."""
        box, own = draw(term, self)
        return box if own >= level else between(ROUND, box)

    def law(self, binder: Any) -> Box:
        """The name of the Gibbs law of a binder."""
        energy = binder.parts[-1]
        key = (binder.measure, energy, binder.variable)
        if key not in self.laws:
            weight = _weight(energy, binder, self)
            name = self.laws[key] = self.name(energy, "p", not self.single_law)
            of = Row((name, between(ROUND, differential(), self.bound(binder.variable))))
            self.definitions.append(Row((of, EQUALS, _over_z(weight, name))))
        return self.laws[key]

    def named(self, term: Any, letter: str) -> Box:
        """The name of a subterm that is defined apart."""
        if term not in self.names:
            box = _drawn(term, self)[0]
            self.names[term] = self.name(term, letter)
            self.definitions.append(Row((self.names[term], EQUALS, box)))
        return self.names[term]


EQUALS = sign(" = ")
INT = sign("int ", r"\int ", "\u222b")


def symbol(name: str) -> Sign:
    """A name as a symbol, Greek letters and indices as usual."""
    return Sign(name, sympy_latex(Symbol(name)), pretty_symbol(name) or name)


def word(name: str) -> Sign:
    return Sign(name, rf"\mathrm{{{name}}}", name, "mi")


def differential() -> Sign:
    return Sign("d", r"\mathrm{d}", "d", "mtext")


def _weight(energy: Expr, binder: Any, page: Page) -> Box:
    of_y = Row((draw(binder.measure, page)[0],
                between(ROUND, differential(), page.bound(binder.variable))))  # fmt: skip
    return of_y if energy is S.Zero else Row((draw(exp(energy), page)[0], SPACE, of_y))


def _over_z(weight: Box, name: Box) -> Box:
    z = Script(symbol("Z"), name)
    return Fraction(weight, z, Row((weight, sign(" / "), z)))


def draw(term: Any, page: Page) -> tuple[Box, int]:
    """The box of a term, and how tightly it holds together."""
    if term not in page.drawn:
        if term in page.repeated:
            letters = {0: "c", 1: "a", 2: "M"}
            page.drawn[term] = page.named(term, letters[rank(term)]), ATOM
        else:
            page.drawn[term] = _drawn(term, page)
    return page.drawn[term]


@singledispatch
def _drawn(term: Any, page: Page) -> tuple[Box, int]:
    if hasattr(term, "name"):
        return symbol(term.name), ATOM
    items = [draw(a, page)[0] for a in term.args]
    return Row((word(type(term).__name__), between(ROUND, joined(COMMA, items)))), ATOM


@_drawn.register
def _(term: BoundPoint, page: Page) -> tuple[Box, int]:
    return page.bound(term), ATOM


@_drawn.register
def _(term: FreshPoint, page: Page) -> tuple[Box, int]:
    return symbol(f"y_{term.args[0]}"), ATOM


# ---- sums and products


def _sum(terms: list, page: Page) -> tuple[Box, int]:
    signed = [(*_signed(t), page.size(t)) for t in terms]
    signed.sort(key=lambda s: (s[0], s[2]))
    items: list[Box] = []
    for minus, term, _ in signed:
        box = page.at_least(term, PRODUCT)
        if items:
            items.extend((MINUS if minus else PLUS, box))
        else:
            items.extend((sign("-", "-", "\u2212"), box) if minus else (box,))
    return Row(tuple(items)), SUM


def _signed(term: Any) -> tuple[bool, Any]:
    """Whether a summand is written with a minus, and what follows the sign."""
    lowest = _with_infimum(term)
    if lowest is not None:
        return False, lowest
    if isinstance(term, (Scaled, MatrixScaled)):
        minus, c = _signed(term.args[0])
        return minus, c * term.args[1]
    if isinstance(term, Expr) and not isinstance(term, Add) and term.as_coeff_Mul()[0].is_negative:
        return True, -term
    return False, term


for head in (VectorSum, MatrixSum, Add):
    _drawn.register(head, lambda term, page: _sum(list(term.args), page))


def _product(factors: list, page: Page) -> tuple[Box, int]:
    """Factors side by side; an integral reaches to its measure and may only stand last."""
    last = len(factors) - 1
    drawn = []
    for i, f in enumerate(factors):
        box = page.at_least(f, PRODUCT)
        drawn.append(between(ROUND, box) if isinstance(f, Integral) and i < last
                     and f.parts[0] is not S.One else box)  # fmt: skip
    return joined(SPACE, drawn), PRODUCT


def _negative(term: Any, page: Page) -> tuple[Box, int] | None:
    minus, rest = _signed(term)
    if not minus:
        return None if rest == term else draw(rest, page)
    return Row((sign("-", "-", "\u2212"), page.at_least(rest, PRODUCT))), SUM


@_drawn.register(Scaled)
@_drawn.register(MatrixScaled)
def _(term: Any, page: Page) -> tuple[Box, int]:
    c, core = term.args
    negative = _negative(term, page)
    if negative is not None:
        return negative
    over, under = _quotient(c, page)
    if not under:
        return _product([*over, core], page)
    return _fraction(_product([*over, core], page)[0], Mul(*under), page)


def _fraction(top: Box, under: Expr, page: Page) -> tuple[Box, int]:
    below = draw(under, page)
    bracketed = below[0] if below[1] == ATOM else between(ROUND, below[0])
    return Fraction(top, below[0], Row((top, sign("/"), bracketed))), PRODUCT


@_drawn.register
def _(term: Mul, page: Page) -> tuple[Box, int]:
    negative = _negative(term, page)
    if negative is not None:
        return negative
    over, under = _quotient(term, page, inside=True)
    if not under:
        return _product(over, page)
    top = _product(over, page)[0] if over else sign("1", tag="mn")
    return _fraction(top, Mul(*under), page)


def _quotient(c: Expr, page: Page, inside: bool = False) -> tuple[list, list]:
    """The factors above and below the line; from outside a product with a name stays whole."""
    over, under = [], []
    if c in page.repeated and not inside:
        return [c], []
    for f in sorted(Mul.make_args(c), key=lambda a: (not a.is_Number, page.size(a))):
        base, power = f.as_base_exp() if isinstance(f, Pow) else (f, S.One)
        if power.is_number and power.is_negative:
            under.append(base ** (-power))
        elif isinstance(f, Rational) and f.q != 1:
            over.extend([] if f.p == 1 else [S(f.p)])
            under.append(S(f.q))
        elif f is not S.One:
            over.append(f)
    return over, under


@_drawn.register
def _(term: Pow, page: Page) -> tuple[Box, int]:
    base, power = term.args
    if power.is_number and power.is_negative:
        return _fraction(sign("1", tag="mn"), base**-power, page)
    square = isinstance(base, Dot) and base.args[0] == base.args[1] and not page.inline
    if square and base not in page.repeated:  # |v|^2 to the power q is |v|^(2 q)
        size = draw(base, page)[0].base  # type: ignore[union-attr]
        return (size if 2 * power == 1 else Script(size, sup=draw(2 * power, page)[0])), ATOM
    if power == S.Half:
        return Root(draw(base, page)[0]), ATOM
    return Script(page.at_least(base, ATOM), sup=draw(power, page)[0]), ATOM


@_drawn.register(MatVec)
@_drawn.register(MatMul)
def _(term: Any, page: Page) -> tuple[Box, int]:
    return _product(list(term.args), page)


@_drawn.register
def _(term: Outer, page: Page) -> tuple[Box, int]:
    u, v = (page.at_least(a, PRODUCT) for a in term.args)
    bracketed = v if draw(term.args[1], page)[1] == ATOM else between(ROUND, v)
    return Row((u, SPACE, Script(bracketed, sup=TRANSPOSED))), PRODUCT


TRANSPOSED = Sign("T", r"\top", "\u22a4", "mo")


@_drawn.register
def _(term: Transpose, page: Page) -> tuple[Box, int]:
    return Script(page.at_least(term.args[0], ATOM), sup=TRANSPOSED), ATOM


# ---- numbers and functions


@_drawn.register
def _(term: Rational, page: Page) -> tuple[Box, int]:
    if term.is_negative:
        return Row((sign("-", "-", "\u2212"), draw(-term, page)[0])), SUM
    if term.q == 1:
        return sign(str(term.p), tag="mn"), ATOM
    p, q = sign(str(term.p), tag="mn"), sign(str(term.q), tag="mn")
    return Fraction(p, q, Row((p, sign("/"), q))), PRODUCT


@_drawn.register
def _(term: Float, page: Page) -> tuple[Box, int]:
    return sign(repr(float(term)), tag="mn"), SUM if term.is_negative else ATOM


@_drawn.register
def _(term: Symbol, page: Page) -> tuple[Box, int]:
    return symbol(term.name), ATOM


@_drawn.register
def _(term: exp, page: Page) -> tuple[Box, int]:
    inside = draw(term.args[0], page)[0]
    return Row((sign("exp", r"\exp", tag="mi"), between(ROUND, inside))), ATOM


@_drawn.register
def _(term: Piecewise, page: Page) -> tuple[Box, int]:
    rows = []
    pairs: tuple[Any, ...] = term.args
    for value, condition in pairs:
        told = sign(" otherwise", r"\text{ otherwise}", " otherwise", "mtext")
        if condition != S.true:
            told = Row((sign(" if ", r"\text{ if } ", " if ", "mtext"), draw(condition, page)[0]))
        rows.append(Row((draw(value, page)[0], told)))
    return Column(tuple(rows), *(BRACE[0], sign("}", r"\right.", ""))), ATOM


_RELATIONS = {"<": "<", "<=": r"\leq ", ">": ">", ">=": r"\geq ", "==": "=", "!=": r"\neq "}


@_drawn.register
def _(term: Relational, page: Page) -> tuple[Box, int]:
    left, right = (draw(a, page)[0] for a in term.args)
    op = term.rel_op  # type: ignore[attr-defined]
    return Row((left, sign(f" {op} ", _RELATIONS[op], op), right)), SUM


@_drawn.register
def _(term: Expr, page: Page) -> tuple[Box, int]:
    """Any other head of SymPy: a constant by its own name, a function with its arguments."""
    if not term.args:
        return Sign(str(term), sympy_latex(term), str(term)), ATOM
    items = [draw(a, page)[0] for a in term.args]
    name = type(term).__name__
    if name == "Abs":
        return between(BARS, *items), ATOM
    known = {"log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "Max", "Min"}
    head = sign(name, rf"\{name.lower()}", tag="mi") if name in known else word(name)
    return Row((head, between(ROUND, joined(COMMA, items)))), ATOM


# ---- vectors, matrices and their scalars


@_drawn.register(Zero)
@_drawn.register(ZeroMatrix)
def _(term: Any, page: Page) -> tuple[Box, int]:
    return sign("0", tag="mn"), ATOM


@_drawn.register
def _(term: Ones, page: Page) -> tuple[Box, int]:
    return Sign("ones", r"\mathbf{1}", "\U0001d7cf", "mn"), ATOM


@_drawn.register
def _(term: Basis, page: Page) -> tuple[Box, int]:
    return Script(symbol("e"), sign(str(term.args[0]), tag="mn")), ATOM


@_drawn.register
def _(term: Identity, page: Page) -> tuple[Box, int]:
    return symbol("I"), ATOM


@_drawn.register(Block)
@_drawn.register(Rows)
def _(term: Any, page: Page) -> tuple[Box, int]:
    v, i, j = term.args
    index = sign(f"{i}:{'' if j is oo else j}", tag="mn")
    return Index(page.at_least(v, ATOM), index), ATOM


@_drawn.register
def _(term: Component, page: Page) -> tuple[Box, int]:
    return Index(page.at_least(term.args[0], ATOM), sign(str(term.args[1]), tag="mn")), ATOM


@_drawn.register(Stack)
@_drawn.register(RowStack)
def _(term: Any, page: Page) -> tuple[Box, int]:
    return Column(tuple(draw(a, page)[0] for a in term.args), *ROUND), ATOM


@_drawn.register
def _(term: Elementwise, page: Page) -> tuple[Box, int]:
    expression, v = term.args
    inside = between(ROUND, draw(v, page)[0])
    if expression.args == (SLOT,):
        plainly = draw(expression, page)[0]
        head = plainly.items[0] if isinstance(plainly, Row) else plainly
        return Row((head, sign(".", "", ""), inside)), ATOM
    arrow = sign(" -> ", r" \mapsto ", "\u21a6")
    function = between(ROUND, draw(SLOT, page)[0], arrow, draw(expression, page)[0])
    return Row((function, sign(".", "", ""), inside)), ATOM


@_drawn.register
def _(term: Dot, page: Page) -> tuple[Box, int]:
    u, v = sorted(term.args, key=lambda a: (page.size(a), plain(draw(a, page)[0])))
    if u == v:
        if isinstance(u, VectorSum):  # |x - y| rather than |y - x|
            u = min(u, -u, key=lambda a: plain(draw(a, page)[0]))
        if page.inline:
            return between(ANGLE, draw(u, page)[0], COMMA, draw(u, page)[0]), ATOM
        return Script(between(BARS, draw(u, page)[0]), sup=sign("2", tag="mn")), ATOM
    return between(ANGLE, draw(u, page)[0], COMMA, draw(v, page)[0]), ATOM


@_drawn.register(Trace)
@_drawn.register(Diagonal)
@_drawn.register(Dimension)
@_drawn.register(Columns)
def _(term: Any, page: Page) -> tuple[Box, int]:
    name = {"Trace": "tr", "Diagonal": "diag", "Dimension": "dim"}.get(type(term).__name__, "row")
    return Row((word(name), between(ROUND, draw(term.args[0], page)[0]))), ATOM


# ---- measures


@_drawn.register
def _(term: Measure, page: Page) -> tuple[Box, int]:
    return symbol(term.name), ATOM


@_drawn.register
def _(term: Pushforward, page: Page) -> tuple[Box, int]:
    if page.inline:
        return _image(term, page), PRODUCT
    if term not in page.names:
        image = _image(term, page)
        page.names[term] = page.name(term, term.base.name)
        page.definitions.append(Row((page.names[term], EQUALS, image)))
    return page.names[term], ATOM


def _image(term: Pushforward, page: Page) -> Box:
    arrow = sign(" -> ", r" \mapsto ", "\u21a6")
    moved = between(ROUND, page.bound(term.variable), arrow, draw(term.parts[0], page)[0])
    return Row((moved, sign("#", r"_{\#}"), page.at_least(term.measure, ATOM)))


@_drawn.register
def _(term: Integral, page: Page) -> tuple[Box, int]:
    measure = draw(term.measure, page)[0]
    if term.parts[0] is S.One:
        return between(BARS, measure), ATOM
    dy = between(ROUND, differential(), page.bound(term.variable))
    return Row((INT, page.at_least(term.parts[0], PRODUCT), SPACE, measure, dy)), PRODUCT


@_drawn.register
def _(term: LogPartition, page: Page) -> tuple[Box, int]:
    if page.inline:
        weight = _weight(term.parts[0], term, page)
        return Row((LOG, SPACE, INT, weight)), PRODUCT
    return Row((LOG, SPACE, Script(symbol("Z"), page.law(term)))), PRODUCT


LOG = sign("log", r"\log", tag="mi")


class _ScalarInfimum(ScalarSupremum):
    """`-sup(-h)` as it is read, on a page only."""


class _VectorInfimum(VectorSupremum):
    """The same of a vector."""


def _with_infimum(term: Any) -> Any:
    """A product `-c sup(-h)` as `c inf(h)`, None where it is no such product."""
    c, core = term.args if isinstance(term, Scaled) else (term, None)
    if not isinstance(c, Expr) or not c.as_coeff_Mul()[0].is_negative:
        return None
    factors = Mul.make_args(c)
    for f in (core, *factors):
        if isinstance(f, Supremum) and _is_negative(f.parts[0]):
            body, *scope = f.args
            if f is core:
                return Scaled(-c, make(_VectorInfimum, -body, *scope))
            rest = Mul(*(g for g in factors if g is not f))
            lowest = -rest * make(_ScalarInfimum, -body, *scope)
            return lowest if core is None else Scaled(lowest, core)
    return None


def _is_negative(body: Any) -> bool:
    summands = body.args if isinstance(body, (Add, VectorSum)) else (body,)
    coefficients = (a.args[0] if isinstance(a, Scaled) else a for a in summands)
    return all(isinstance(c, Expr) and c.as_coeff_Mul()[0].is_negative for c in coefficients)


@_drawn.register
def _(term: Supremum, page: Page) -> tuple[Box, int]:
    support = Row((word("supp"), SPACE, draw(term.measure, page)[0]))
    where = Fence(PLAIN_BRACES[0], Row((page.bound(term.variable), IN, support)), PLAIN_BRACES[1])
    name = "inf" if isinstance(term, (_ScalarInfimum, _VectorInfimum)) else "sup"
    head = Script(sign(name, rf"\{name}", tag="mi"), where)
    return Row((head, between(ROUND, draw(term.parts[0], page)[0]))), ATOM


IN = sign(" in ", r" \in ", "\u2208")
PLAIN_BRACES = sign("{", "", ""), sign("}", "", "")


@_drawn.register
def _(term: Cumulant, page: Page) -> tuple[Box, int]:
    slots = term.slots
    items = [draw(h, page)[0] for h in slots]
    if len(slots) == 1:
        name, brackets = Sign("E", r"\mathbb{E}", "\U0001d53c"), SQUARE
    else:
        name = word("Cov") if len(slots) == 2 else Sign("kappa", r"\kappa", "\u03ba")
        brackets = ROUND
    if len(slots) == 2 and slots[0] == slots[1]:
        name, items = (name if rank(slots[0]) else word("Var")), items[:1]
    if page.inline:
        weight = _weight(term.energy, term, page)
        return Row((name, between(brackets, joined(COMMA, items), sign("; "), weight))), ATOM
    return Row((Script(name, page.law(term)), between(brackets, joined(COMMA, items)))), ATOM
