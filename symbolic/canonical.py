"""Terms as canonical text: the only form to store and to compare across processes.

`str` is for people and `srepr` spells what SymPy may respell. The canonical text has one line for
each distinct subterm, in an order that depends on the structure alone; later lines refer to earlier
ones by number. Equal terms have equal texts in every process, and a text reads back to an
equal term.

    pushforward/term/1
    str "x"
    Point 0
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import sympy
from sympy import Basic, Float, Integer, Mul, Rational, Symbol, exp
from sympy.core.symbol import Str
from sympy.functions.elementary.piecewise import ExprCondPair

from . import binders, extrema, matrices, scalars, terms, vectors
from .products import exponential, product
from .terms import SLOT, Scalar, Term

HEADER = "pushforward/term/1"


def canonical(term: Basic) -> str:
    """The canonical text of a term.

    Raises:
        ValueError: the term has a head that is neither ours nor a known function of SymPy.

    >>> print(canonical(terms.Point("x") * 2))
    pushforward/term/1
    int 2
    str "x"
    Point 1
    Scaled 0 2
    """
    lines: list[str] = []
    numbers: dict[Basic, int] = {}
    pending = [(term, False)]
    while pending:  # a loop, not a recursion: terms of many layers are deep
        node, ready = pending.pop()
        if node in numbers:
            continue
        if ready or not _children(node):
            numbers[node] = len(lines)
            lines.append(_line(node, numbers))
        else:
            pending.append((node, True))
            pending.extend((a, False) for a in reversed(_children(node)))
    return "\n".join([HEADER, *lines]) + "\n"


def digest(term: Basic) -> str:
    """The SHA-256 of the canonical text, in hexadecimal.

    >>> digest(terms.Point("x"))[:16]
    '...'
    """
    return hashlib.sha256(canonical(term).encode()).hexdigest()


def read(text: str) -> Any:
    """The term of a canonical text.

    Raises:
        ValueError: the text is not one that `canonical` writes.

    >>> read(canonical(terms.Point("x") * 2))
    2 x
    """
    header, *lines = text.splitlines() or [""]
    if header != HEADER or not lines:
        raise ValueError(f"a canonical text begins with {HEADER}, got {header!r}")
    nodes: list[Any] = []
    for number, line in enumerate(lines):
        try:
            nodes.append(_node(line, nodes))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"line {number + 2} of the text is no term: {line!r}") from error
    return nodes[-1]


def _children(node: Basic) -> tuple:
    return () if isinstance(node, (Rational, Float)) else node.args


def _line(node: Any, numbers: dict[Basic, int]) -> str:
    if isinstance(node, Str):
        return f"str {json.dumps(node.name)}"
    if isinstance(node, Integer):
        return f"int {node.p}"
    if isinstance(node, Rational):
        return f"rational {node.p} {node.q}"
    if isinstance(node, Float):
        return "float " + " ".join(str(int(part)) for part in (*node._mpf_, node._prec))
    if node is SLOT:
        return "slot"
    if isinstance(node, Symbol):
        return _scalar_line(node)
    name = type(node).__name__
    if name not in (OURS if isinstance(node, Term) else THEIRS):
        raise ValueError(f"{name} has no canonical text, in {node}")
    return " ".join([name, *(str(numbers[a]) for a in node.args)])


def _scalar_line(node: Symbol) -> str:
    if not isinstance(node, Scalar):
        raise ValueError(f"{node} is a plain SymPy symbol; write Scalar({node.name!r}) instead")
    declared = {k: v for k, v in sorted(node._assumptions_orig.items())}
    return f"scalar {json.dumps(node.name)} {json.dumps(declared)}"


def _node(line: str, nodes: list) -> Any:
    head, _, rest = line.partition(" ")
    if head in READERS:
        return READERS[head](rest)
    cls = OURS.get(head) or THEIRS[head]
    args = [nodes[_reference(r, nodes)] for r in rest.split()]
    if cls in (Mul, exp):
        return product(*args) if cls is Mul else exponential(*args)
    return cls if isinstance(cls, Basic) else cls(*args)


def _reference(text: str, nodes: list) -> int:
    number = int(text)
    if not 0 <= number < len(nodes):
        raise IndexError(number)
    return number


def _float(rest: str) -> Any:
    s, m, e, bits, precision = map(int, rest.split())
    return Float._new((s, m, e, bits), precision)


def _scalar(rest: str) -> Scalar:
    decoder = json.JSONDecoder()
    name, end = decoder.raw_decode(rest)
    return Scalar(name, **json.loads(rest[end:]))


READERS: dict[str, Callable[[str], Any]] = {
    "str": lambda rest: Str(json.loads(rest)),
    "int": lambda rest: Integer(int(rest)),
    "rational": lambda rest: Rational(*map(int, rest.split())),
    "float": _float,
    "scalar": _scalar,
    "slot": lambda rest: SLOT,
}

OURS: dict[str, Any] = {
    name: cls
    for module in (terms, vectors, scalars, matrices, binders, extrema)
    for name, cls in vars(module).items()
    if isinstance(cls, type) and issubclass(cls, Basic) and issubclass(cls, Term)
}

_FUNCTIONS = """
    Add Mul Pow exp log Abs sign Max Min Heaviside floor ceiling
    sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh erf erfc gamma loggamma
    Piecewise Tuple And Or Not
"""
THEIRS: dict[str, Any] = {name: getattr(sympy, name) for name in _FUNCTIONS.split()}
THEIRS |= {"ExprCondPair": ExprCondPair}
for relation in ("Eq", "Ne", "Lt", "Le", "Gt", "Ge"):
    THEIRS[getattr(sympy, relation).__name__] = getattr(sympy, relation)
for constant in (sympy.pi, sympy.E, sympy.oo, -sympy.oo, sympy.nan, sympy.true, sympy.false,
                 sympy.EulerGamma, sympy.GoldenRatio):  # fmt: skip
    THEIRS[type(constant).__name__] = constant
