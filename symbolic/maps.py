"""In-context maps `G(mu, x)` and velocity fields `V(mu, x)`."""

from dataclasses import dataclass, field
from typing import Any

from .binders import Pushforward
from .derived import AbstractFormula, check_closed, parameters_of
from .in_context import AbstractInContext
from .substitution import substitute
from .terms import Measure, MeasureTerm, Point, Scalar, VectorTerm


@dataclass(frozen=True, slots=True)
class SymbolicMap(AbstractInContext):
    """An in-context map `G(mu, x)`; it moves the measure mu to `f(mu) = G(mu)#mu`.

    Args:
        term: a vector term in the point x, the measure mu and parameters.
        x: the query point.
        mu: the measure that the map moves.
        others: further measures that the term may read; a call takes each by its name, as a pair
            of points and weights.

    Raises:
        ValueError: the term has a free point, another measure, or a plain SymPy symbol.

    >>> from .binders import Integral
    >>> from .constructors import dot
    >>> from .terms import Matrix
    >>> from .binders import gibbs
    >>> x, y, mu, A, V = Point("x"), Point("y"), Measure("mu"), Matrix("A"), Matrix("V")
    >>> print(SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu))
    x + V E_p[y]  where p(dy) = exp(<x, A y>) mu(dy) / Z_p
    >>> nu = Measure("nu")
    >>> gap = SymbolicMap(Integral(y, y, mu) - Integral(y, y, nu), x, mu, others=(nu,)).bind()
    >>> gap([[3.0]], None, [[0.0]], nu=([[1.0]], None)).tolist()
    [[2.0]]
    """

    term: VectorTerm
    x: Point
    mu: Measure
    others: tuple[Measure, ...] = field(default=(), kw_only=True)
    kind: str = field(default="map", init=False, repr=False)
    points: tuple[Point, ...] = field(default=(), init=False, repr=False)
    time: Scalar | None = field(default=None, init=False, repr=False)
    parameters: tuple[Any, ...] = field(init=False)
    layers: tuple["SymbolicMap", ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check_map(self)
        object.__setattr__(self, "parameters", parameters_of(self.term))
        object.__setattr__(self, "layers", (self,))

    __str__ = AbstractFormula.__str__

    def __matmul__(self, inner: "SymbolicMap") -> "SymbolicMap":
        """The composition `(H @ G)(mu, x) = H(G(mu)#mu, G(mu, x))`.

        Equal parameter names are one parameter. The term is linear in the number of layers, and
        the same for `(H @ G) @ F` and `H @ (G @ F)`.

        >>> from .binders import Integral
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> mean, double = SymbolicMap(Integral(y, y, mu), x, mu), SymbolicMap(2 * x, x, mu)
        >>> print(mean @ double)
        int y mu_1(dy)  where mu_1 = (y -> 2 y)#mu
        """
        if not isinstance(inner, SymbolicMap):
            return NotImplemented
        layers = inner.layers + self.layers
        measure: MeasureTerm = inner.mu
        term: VectorTerm = inner.x
        for layer in layers:
            moved = substitute(layer.term, {layer.mu: measure})
            term = substitute(moved, {layer.x: term})
            measure = Pushforward(measure, layer.x, moved)
        measures = {m for layer in layers for m in layer.others if m != inner.mu}
        others = tuple(sorted(measures, key=lambda m: m.name))
        result = SymbolicMap(term, inner.x, inner.mu, others=others)
        object.__setattr__(result, "layers", layers)
        return result

    def push(self, measure: MeasureTerm) -> MeasureTerm:
        """The image of a measure term under the map, as a term to integrate against."""
        for layer in self.layers:
            moved = substitute(layer.term, {layer.mu: measure})
            measure = Pushforward(measure, layer.x, moved)
        return measure


@dataclass(frozen=True, slots=True)
class VelocityField(AbstractInContext):
    """A velocity field `V(mu, x)`, or `V(t, mu, x)`: particles move by `x' = V(mu, x)`.

    Args:
        term: a vector term in the point x, the measure mu and parameters.
        x: the point.
        mu: the measure.
        time: the `Scalar` that is the time, if the field depends on it.

    >>> from .binders import Integral
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> print(VelocityField(Integral(y - x, y, mu), x, mu))
    int y mu(dy) - |mu| x
    """

    term: VectorTerm
    x: Point
    mu: Measure
    time: Scalar | None = None
    kind: str = field(default="field", init=False, repr=False)
    points: tuple[Point, ...] = field(default=(), init=False, repr=False)
    parameters: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.time is not None and not isinstance(self.time, Scalar):
            raise TypeError(f"the time is a Scalar, got {self.time!r}")
        _check_map(self)
        object.__setattr__(self, "parameters", parameters_of(self.term, but=self.time))

    __str__ = AbstractFormula.__str__

    def vlasov(self) -> Any:
        """The Vlasov equation of the field, its characteristics, weak form and linearisation."""
        from .vlasov import Vlasov

        return Vlasov(self)


def _check_map(candidate: Any) -> None:
    if not isinstance(candidate.x, Point) or not isinstance(candidate.mu, Measure):
        raise TypeError(f"expected a Point and a Measure, got {candidate.x!r}, {candidate.mu!r}")
    if not isinstance(candidate.term, VectorTerm):
        raise TypeError(f"a map has a vector term, got {candidate.term!r}; stack() scalars")
    if not all(isinstance(nu, Measure) for nu in candidate.others):
        raise TypeError(f"others holds Measures, got {candidate.others!r}")
    measures = (candidate.mu, *candidate.others)
    if len({m.name for m in measures}) < len(measures):
        raise ValueError("the measures of a map have names of their own")
    check_closed(candidate.term, (candidate.x,), measures)
