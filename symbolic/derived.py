"""Formulas with names for their points, their measure and their parameters.

In-context maps, velocity fields and the terms derived from them can be read (`str`, `latex`,
`mathml`), written as a program (`code`) and evaluated (`bind`). Whoever evaluates one needs these
attributes alone:

    term         a scalar, vector or matrix term
    kind         "map", "field", "jacobian", "flat_derivative", ...
    x            the query point, a `Point`: the axis m of the values
    mu           the `Measure` whose atoms are given
    points       further points in the order of their axes (k, l, ...), given by their names
    parameters   the atoms that `bind` takes, in the order of names, also those that dropped out
    time         None, or the `Scalar` that a field takes as the time
    others       further measures that the formula may read, given by their names

Values are indexed (m, k, l, ..., then the axes of the term). Derivatives in the measure are those
on positive measures: the direction is a unit mass `delta_z`, without centring; `normalised=True`
gives those on probability measures, centred.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .terms import (
    Measure,
    MeasureTerm,
    Parameter,
    Point,
    Scalar,
    VectorTerm,
    free_symbols,
)

Direction = tuple[Any, Any]
"""A parameter that the bound call fills with units, and the atom that has its shape."""


class AbstractFormula:
    """A term with the names of its points, its measure and its parameters."""

    __slots__ = ()
    term: Any
    kind: str
    x: Point
    mu: Measure
    points: tuple[Point, ...]
    parameters: tuple[Any, ...]
    time: Scalar | None
    directions: tuple[Direction, ...] = ()
    others: tuple[Measure, ...] = ()

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What a program takes beside the points: the parameters, then the directions."""
        return (*self.parameters, *(atom for atom, _ in self.directions))

    def __str__(self) -> str:
        from .printing import text

        return text(self.term)

    def latex(self) -> str:
        """The formula in LaTeX, with the Gibbs laws that it uses."""
        from .printing import latex

        return latex(self.term)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def mathml(self) -> str:
        """The formula in presentation MathML."""
        from .printing import mathml

        return mathml(self.term)

    def code(self, language: str) -> str:
        """A program for the formula that stands alone, in "numpy", "c" or "cuda"."""
        from .code import code

        return code(self, language)

    def bind(self, /, **values: Any) -> Any:
        """The formula with numbers for its parameters, ready to evaluate.

        Raises:
            ValueError: a parameter has no value, or a name is no parameter.
        """
        from .binding import bind

        return bind(self, values)


def _atoms(*terms: Any) -> set:
    return set().union(*(free_symbols(t) for t in terms))


def parameters_of(*terms: Any, but: Any = None) -> tuple:
    """The parameters that are free in the terms, in the order of their names."""
    found: set[Any] = {a for a in _atoms(*terms) if isinstance(a, Parameter) and a != but}
    named: dict[str, Any] = {}
    for atom in sorted(found, key=lambda a: (a.name, type(a).__name__)):
        if atom.name in named:
            first, second = _described(named[atom.name]), _described(atom)
            raise ValueError(
                f"two different parameters are called {atom.name}: a {first} and a {second}; "
                "rename one"
            )
        named[atom.name] = atom
    return tuple(named.values())


def _described(atom: Any) -> str:
    if not isinstance(atom, Scalar):
        return type(atom).__name__
    more = {
        k: v for k, v in atom.assumptions0.items() if k in ("positive", "integer", "nonnegative")
    }
    return f"Scalar{more or ''}"


def check_closed(term: Any, points: Iterable[Point], measures: tuple[Measure, ...]) -> None:
    """Everything free in a term is one of its points or measures, or a parameter."""
    for atom in sorted(_atoms(term), key=str):
        if isinstance(atom, Parameter) or atom in measures or atom in points:
            continue
        if isinstance(atom, MeasureTerm):
            known = ", ".join(map(str, measures))
            raise ValueError(f"the term uses the measure {atom}, the map is one of {known}")
        if isinstance(atom, VectorTerm):
            raise ValueError(
                f"the point {atom} is free in the term; integrate over it, or make it a Vector"
            )
        raise ValueError(f"{atom} is a plain SymPy symbol; write Scalar({str(atom)!r}) instead")


@dataclass(frozen=True, slots=True)
class DerivedTerm(AbstractFormula):
    """A term derived from a map or a field. `print` it, `bind` it, or take its `code`.

    `jumps` are the places, as pairs of equal sides, where pieces of the map's term are not seen to
    agree: the derived term holds away from them, and prints so.
    """

    kind: str
    term: Any
    x: Point
    mu: Measure
    points: tuple[Point, ...]
    parameters: tuple[Any, ...]
    time: Scalar | None = None
    directions: tuple[Direction, ...] = ()
    others: tuple[Measure, ...] = ()
    jumps: tuple[Any, ...] = ()

    def __str__(self) -> str:
        from .printing import text

        where = ", ".join(f"{text(a)} = {text(b)}" for a, b in self.jumps)
        return AbstractFormula.__str__(self) + (f"  away from the jump at {where}" * bool(where))

    def latex(self) -> str:
        """The formula in LaTeX, with the Gibbs laws that it uses and where it does not hold."""
        from .printing import latex

        where = ",\\ ".join(f"{latex(a)} = {latex(b)}" for a, b in self.jumps)
        note = rf" \qquad \text{{away from the jump at }} {where}" * bool(where)
        return AbstractFormula.latex(self) + note

    def simplified(self) -> "DerivedTerm":
        """The same derived term in a simpler form, see `simplify`.

        >>> from sympy import exp
        >>> from .binders import Integral
        >>> from .maps import SymbolicMap
        >>> from .scalars import Dot
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> k = exp(Dot(x, y))
        >>> G = SymbolicMap(Integral(k * y, y, mu) / Integral(k, y, mu), x, mu)
        >>> print(G.jacobian().simplified())
        Cov_p(y)  where p(dy) = exp(<x, y>) mu(dy) / Z_p
        """
        from .simplification import simplify

        return replace(self, term=simplify(self.term))
