"""Layout of formulas: a few boxes, and their renderers as text, LaTeX and MathML."""

from dataclasses import dataclass
from functools import singledispatch
from html import escape


@dataclass(frozen=True, slots=True)
class Sign:
    """One symbol: as text, as LaTeX, and as MathML with its tag (mi, mn, mo or mtext)."""

    plain: str
    tex: str
    glyph: str
    tag: str = "mi"


@dataclass(frozen=True, slots=True)
class Row:
    """Boxes side by side."""

    items: tuple["Box", ...]


@dataclass(frozen=True, slots=True)
class Fence:
    """A box in brackets."""

    left: Sign
    body: "Box"
    right: Sign


@dataclass(frozen=True, slots=True)
class Script:
    """A box with a subscript, a superscript, or both."""

    base: "Box"
    sub: "Box | None" = None
    sup: "Box | None" = None


@dataclass(frozen=True, slots=True)
class Index:
    """A box with an index: `x[0]` as text, a subscript in print."""

    base: "Box"
    index: "Box"


@dataclass(frozen=True, slots=True)
class Fraction:
    """A quotient; both parts come bracketed for the text."""

    over: "Box"
    under: "Box"
    plain: "Box"


@dataclass(frozen=True, slots=True)
class Root:
    """A square root."""

    body: "Box"


@dataclass(frozen=True, slots=True)
class Column:
    """Boxes one below the other; as text between brackets."""

    rows: tuple["Box", ...]
    left: Sign
    right: Sign


Box = Sign | Row | Fence | Script | Index | Fraction | Root | Column


def sign(plain: str, tex: str | None = None, glyph: str | None = None, tag: str = "mo") -> Sign:
    return Sign(plain, plain if tex is None else tex, plain if glyph is None else glyph, tag)


SPACE = sign(" ", r"\,", "\u2062")
COMMA = sign(", ", ", ", ",")
PLUS, MINUS = sign(" + "), sign(" - ", " - ", "\u2212")
ROUND = sign("(", r"\left("), sign(")", r"\right)")
SQUARE = sign("[", r"\left["), sign("]", r"\right]")
ANGLE = (
    sign("<", r"\left\langle ", "\u27e8"),
    sign(">", r"\right\rangle", "\u27e9"),
)
BARS = sign("|", r"\left|"), sign("|", r"\right|")
BRACE = sign("{", r"\left\{"), sign("}", r"\right.", "")


def between(brackets: tuple[Sign, Sign], *items: Box) -> Fence:
    return Fence(brackets[0], Row(items), brackets[1])


def joined(separator: Box, items: "list[Box] | tuple[Box, ...]") -> Row:
    row: list[Box] = []
    for item in items:
        row.extend((separator, item) if row else (item,))
    return Row(tuple(row))


# ---- text


@singledispatch
def plain(box: Box) -> str:
    """The box as one line of text."""
    raise TypeError(f"no text for {box!r}")


@plain.register
def _(box: Sign) -> str:
    return box.plain


@plain.register
def _(box: Row) -> str:
    return "".join(map(plain, box.items))


@plain.register
def _(box: Fence) -> str:
    return plain(box.left) + plain(box.body) + plain(box.right)


@plain.register
def _(box: Script) -> str:
    sub = "" if box.sub is None else "_" + plain(box.sub)
    if box.sup is None:
        return plain(box.base) + sub
    sup = plain(box.sup)
    return f"{plain(box.base)}{sub}^{sup if sup.isalnum() else f'({sup})'}"


@plain.register
def _(box: Index) -> str:
    return f"{plain(box.base)}[{plain(box.index)}]"


@plain.register
def _(box: Fraction) -> str:
    return plain(box.plain)


@plain.register
def _(box: Root) -> str:
    return f"sqrt({plain(box.body)})"


@plain.register
def _(box: Column) -> str:
    return plain(box.left) + "; ".join(map(plain, box.rows)) + plain(box.right)


# ---- LaTeX


@singledispatch
def tex(box: Box) -> str:
    """The box in LaTeX."""
    raise TypeError(f"no LaTeX for {box!r}")


@tex.register
def _(box: Sign) -> str:
    return box.tex


@tex.register
def _(box: Row) -> str:
    return "".join(f"{s} " if _runs_on(s) else s for s in map(tex, box.items)).strip()


def _runs_on(text: str) -> bool:
    """Whether a command at the end would swallow the letter after it."""
    tail = text.rsplit("\\", 1)
    return len(tail) == 2 and tail[1].isalpha()


@tex.register
def _(box: Fence) -> str:
    body = tex(box.body)
    if not any(tall in body for tall in (r"\frac", r"\left", r"\sqrt", r"\int")):
        return f"{_light(box.left)}{body}{_light(box.right)}"
    return f"{tex(box.left)}{body}{tex(box.right)}"


def _light(bracket: Sign) -> str:
    """A bracket of the size of the line."""
    return bracket.tex.removeprefix(r"\left").removeprefix(r"\right")


@tex.register
def _(box: Script) -> str:
    base = tex(box.base)
    base = base if isinstance(box.base, (Sign, Fence)) else f"{{{base}}}"
    sub = "" if box.sub is None else f"_{{{tex(box.sub)}}}"
    return base + sub + ("" if box.sup is None else f"^{{{tex(box.sup)}}}")


@tex.register
def _(box: Index) -> str:
    return tex(Script(box.base, box.index))


@tex.register
def _(box: Fraction) -> str:
    return f"\\frac{{{tex(box.over)}}}{{{tex(box.under)}}}"


@tex.register
def _(box: Root) -> str:
    return f"\\sqrt{{{tex(box.body)}}}"


@tex.register
def _(box: Column) -> str:
    rows = r" \\ ".join(map(tex, box.rows))
    return f"{tex(box.left)}\\begin{{array}}{{l}}{rows}\\end{{array}}{tex(box.right)}"


# ---- MathML


@singledispatch
def markup(box: Box) -> str:
    """The box in presentation MathML."""
    raise TypeError(f"no MathML for {box!r}")


@markup.register
def _(box: Sign) -> str:
    return f"<{box.tag}>{escape(box.glyph.strip())}</{box.tag}>"


@markup.register
def _(box: Row) -> str:
    return f"<mrow>{''.join(map(markup, box.items))}</mrow>"


@markup.register
def _(box: Fence) -> str:
    return f"<mrow>{markup(box.left)}{markup(box.body)}{markup(box.right)}</mrow>"


@markup.register
def _(box: Script) -> str:
    tag = {(True, False): "msub", (False, True): "msup", (True, True): "msubsup"}[
        (box.sub is not None, box.sup is not None)
    ]
    parts = "".join(markup(p) for p in (box.base, box.sub, box.sup) if p is not None)
    return f"<{tag}>{parts}</{tag}>"


@markup.register
def _(box: Index) -> str:
    return markup(Script(box.base, box.index))


@markup.register
def _(box: Fraction) -> str:
    return f"<mfrac>{markup(box.over)}{markup(box.under)}</mfrac>"


@markup.register
def _(box: Root) -> str:
    return f"<msqrt>{markup(box.body)}</msqrt>"


@markup.register
def _(box: Column) -> str:
    rows = "".join(f"<mtr><mtd>{markup(r)}</mtd></mtr>" for r in box.rows)
    return f"<mrow>{markup(box.left)}<mtable>{rows}</mtable>{markup(box.right)}</mrow>"
