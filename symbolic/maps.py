"""In-context maps, velocity fields and the terms derived from them.

All three are formulas that can be read (`str`, `latex`, `mathml`), written as a program (`code`)
and evaluated (`bind`). Whoever evaluates one needs these attributes alone:

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

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sympy import Expr

from .binders import Integral, Pushforward
from .gateaux import Along, MassAt, gateaux
from .higher import Direction, HigherDerivatives, direction_like
from .jumps import jumps, speaks_of_places
from .linear import jacobian_in
from .matrices import Trace
from .scalars import Dot
from .substitution import substitute
from .terms import (
    FreshPoint,
    Matrix,
    MatrixTerm,
    Measure,
    MeasureTerm,
    Parameter,
    Point,
    Scalar,
    VectorTerm,
    free_symbols,
    scalar,
)

TestFunction = Callable[[VectorTerm], Expr]


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


def _check_closed(term: Any, points: Iterable[Point], measures: tuple[Measure, ...]) -> None:
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


class AbstractInContext(HigherDerivatives, AbstractFormula):
    """A vector `G(mu, x)`, and what can be derived from it."""

    __slots__ = ()

    def _derived(
        self,
        kind: str,
        term: Any,
        points: tuple = (),
        extra: tuple = (),
        directions: tuple[Direction, ...] = (),
    ) -> "DerivedTerm":
        units = [atom for atom, _ in directions]
        known = parameters_of(self.term, term, *self.parameters, *extra, but=self.time)
        known = tuple(atom for atom in known if atom not in units)
        return DerivedTerm(
            kind, term, self.x, self.mu, points, known, self.time, directions, self.others,
            self._jumps(kind),
        )  # fmt: skip

    def _jumps(self, kind: str) -> tuple:
        """Where a derivative of this kind leaves out what a jump of the term contributes."""
        if "flat" in kind and not self.term.has(Pushforward):
            return ()
        found = jumps(self.term)
        return found if "parameter" in kind else tuple(filter(speaks_of_places, found))

    def _check_measure(self, measure: Measure | None) -> Measure:
        if measure is None or measure in (self.mu, *self.others):
            return measure or self.mu
        raise ValueError(f"{measure} is no measure of the {self.kind}")

    def _check_points(self, *points: Any) -> None:
        for i, z in enumerate(points):
            if not isinstance(z, Point):
                raise TypeError(f"expected a Point, got {z!r}")
            if z in (self.x, *points[:i]):
                raise ValueError(f"the point {z} is already in use; take another name")

    def jacobian(self) -> "DerivedTerm":
        """The Jacobian `D_x G(mu, x)` at a fixed measure: [i, j] is dG_i/dx_j.

        >>> from .constructors import dot
        >>> from .terms import Matrix
        >>> from .binders import gibbs
        >>> x, y, mu, A, V = Point("x"), Point("y"), Measure("mu"), Matrix("A"), Matrix("V")
        >>> print(SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu).jacobian())
        I + V Cov_p(y) A^T  where p(dy) = exp(<x, A y>) mu(dy) / Z_p
        """
        return self._derived("jacobian", self._jacobian())

    def _jacobian(self) -> MatrixTerm:
        u = FreshPoint()
        found = jacobian_in(gateaux(self.term, Along(self.x, u)), u)
        return substitute(found, {u: self.x})

    def divergence(self) -> "DerivedTerm":
        """The divergence of `G(mu, .)` in x, the trace of the Jacobian.

        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(3 * x, x, mu).divergence())
        3 dim(x)
        """
        return self._derived("divergence", Trace(self._jacobian()))

    def sphere_divergence(self) -> "DerivedTerm":
        """The divergence on the unit sphere, for a field that is tangent to it at unit x.

        `div_S v = tr((I - x x^T) D_x v)`, whatever the extension of v off the sphere.

        >>> from .terms import Vector
        >>> x, mu, w = Point("x"), Measure("mu"), Vector("w")
        >>> print(SymbolicMap(w - Dot(x, w) * x, x, mu).sphere_divergence())
        2 |x|^2 <w, x> - <w, x> - dim(x) <w, x>
        """
        normal = Dot(self.x, gateaux(self.term, Along(self.x, self.x)))
        return self._derived("sphere_divergence", Trace(self._jacobian()) - normal)

    def directional_derivative(self, u: Point) -> "DerivedTerm":
        """`D_x G(mu, x) u`, with the direction u as a further point.

        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(Dot(x, x) * x, x, mu).directional_derivative(Point("u")))
        |x|^2 u + 2 <u, x> x
        """
        self._check_points(u)
        return self._derived("directional_derivative", gateaux(self.term, Along(self.x, u)), (u,))

    def second_derivative(self, u: Point, v: Point) -> "DerivedTerm":
        """`D_x^2 G(mu, x)[u, v]`, with the directions as further points.

        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(Dot(x, x) * x, x, mu).second_derivative(Point("u"), Point("v")))
        2 <u, v> x + 2 <u, x> v + 2 <v, x> u
        """
        self._check_points(u, v)
        once = gateaux(self.term, Along(self.x, u))
        return self._derived("second_derivative", gateaux(once, Along(self.x, v)), (u, v))

    def parameter_derivative(self, parameter: Any, along: Any = None) -> "DerivedTerm":
        """The derivative in a parameter, along an increment of its kind.

        Args:
            parameter: a parameter of the map.
            along: a parameter of the same kind, to be bound too; None for the whole derivative.

        Returns:
            Along an increment a vector. The whole derivative is a vector for a `Scalar`, a matrix
            for a `Vector`, and for a `Matrix` a term that binds to (m, d', rows, columns); it
            prints contracted with a matrix E.

        >>> from .terms import Matrix
        >>> x, mu, A = Point("x"), Measure("mu"), Matrix("A")
        >>> print(SymbolicMap(A @ x, x, mu).parameter_derivative(A, Matrix("E")))
        E x
        >>> SymbolicMap(A @ x, x, mu).parameter_derivative(A).bind(A=[[1.0, 1.0]])(
        ...     [[0.0, 0.0]], None, [[3.0, 4.0]]
        ... ).tolist()
        [[[[3.0, 4.0]]]]
        """
        if parameter not in self.parameters:
            raise ValueError(f"{parameter} is no parameter of the map")
        kind = "parameter_derivative"
        if along is not None:
            return self._derived(kind, gateaux(self.term, Along(parameter, along)), (), (along,))
        if isinstance(parameter, Scalar):
            return self._derived(kind, gateaux(self.term, Along(parameter, scalar(1))))
        unit = direction_like(
            parameter, self.term, letters="E F" if isinstance(parameter, Matrix) else "u v"
        )
        term = gateaux(self.term, Along(parameter, unit))
        if isinstance(parameter, Matrix):
            return self._derived(kind, term, (), (), ((unit, parameter),))
        return self._derived(kind, substitute(jacobian_in(term, unit), {unit: parameter}))

    def flat_derivative(
        self, z: Point, *, normalised: bool = False, measure: Measure | None = None
    ) -> "DerivedTerm":
        """The flat derivative `dG/dm (mu, x)(z)`: the rate of G as mass is added at z.

        Args:
            z: where the mass is added.
            normalised: on probability measures: minus its mean under the measure.
            measure: one of the `others`, to derive in it rather than in mu.

        >>> from .constructors import dot
        >>> from .terms import Matrix
        >>> from .binders import gibbs
        >>> x, y, mu, A, V = Point("x"), Point("y"), Measure("mu"), Matrix("A"), Matrix("V")
        >>> G = SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
        >>> print(G.flat_derivative(Point("z")))
        exp(<x, A z> - log Z_p) V (z - E_p[y])  where p(dy) = exp(<x, A y>) mu(dy) / Z_p
        """
        self._check_points(z)
        found = self._flat(z, normalised, self._check_measure(measure))
        return self._derived("flat_derivative", found, (z,))

    def _flat(self, z: VectorTerm, normalised: bool = False, measure: Measure | None = None) -> Any:
        mu = measure or self.mu
        found = gateaux(self.term, MassAt(mu, z))
        return centred(found, z, mu) if normalised else found

    def lions_derivative(
        self, z: Point, *, normalised: bool = False, measure: Measure | None = None
    ) -> "DerivedTerm":
        """The Lions derivative `D_mu G(mu, x)(z)`: [i, j] is the derivative of flat_i in z_j.

        It is the same on probability measures: centring changes the flat derivative by a constant.

        Args:
            z: the point that the derivative speaks of.
            normalised: asks for the one on probability measures.
            measure: one of the `others`, to derive in it rather than in mu.

        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> print(SymbolicMap(Integral(Dot(x, y) * y, y, mu), x, mu).lions_derivative(Point("z")))
        z x^T + <x, z> I
        """
        self._check_points(z)
        flat = self._flat(z, measure=self._check_measure(measure))
        u = FreshPoint()
        found = jacobian_in(gateaux(flat, Along(z, u)), u)
        return self._derived("lions_derivative", substitute(found, {u: z}), (z,))

    def second_flat_derivative(
        self, z: Point, w: Point, *, normalised: bool = False
    ) -> "DerivedTerm":
        """The second flat derivative `d^2 G/dm^2 (mu, x)(z, w)`, centred after each step if asked.

        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> G = SymbolicMap(Integral(y, y, mu) * Integral(Dot(x, y), y, mu), x, mu)
        >>> print(G.second_flat_derivative(Point("z"), Point("w")))
        <w, x> z + <x, z> w
        """
        self._check_points(z, w)
        twice = gateaux(self._flat(z, normalised), MassAt(self.mu, w))
        if normalised:
            twice = centred(twice, w, self.mu)
        return self._derived("second_flat_derivative", twice, (z, w))

    def regular_derivative(self, psi: TestFunction, *, normalised: bool = False) -> "DerivedTerm":
        """The regular part `psi(G(mu, x))` of the derivative of `mu -> <psi, f(mu)>` along delta_x.

        Here `f(mu) = G(mu)#mu`. It is the part that does not differentiate psi, and it is the same
        on probability measures: there the quotient is `<psi, f(mu_e) - (1 - e) f(mu)> / e` with
        `mu_e = (1 - e) mu + e delta_x`, which takes `<psi, f(mu)>` away beforehand.

        Args:
            psi: a Python function from a vector term to a scalar term.
            normalised: asks for the one on probability measures.

        >>> from sympy import sin
        >>> from .constructors import component
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(2 * x, x, mu).regular_derivative(lambda y: sin(component(y, 0))))
        sin(2 x[0])
        """
        return self._tested("regular_derivative", psi, self._regular(psi))

    def irregular_derivative(self, psi: TestFunction, *, normalised: bool = False) -> "DerivedTerm":
        """The irregular part of the derivative of `mu -> <psi, f(mu)>` along delta_x.

        `int <grad psi(G(mu, z)), dG/dm (mu, z)(x)> mu(dz)`: the mass at x moves all other images.

        Args:
            psi: a Python function from a vector term to a scalar term.
            normalised: on probability measures: minus its mean under mu.

        >>> from .constructors import component
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> G = SymbolicMap(Integral(y, y, mu), x, mu)
        >>> print(G.irregular_derivative(lambda y: component(y, 0)))
        x[0] |mu|
        """
        return self._tested("irregular_derivative", psi, self._irregular(psi, normalised))

    def derivative(self, psi: TestFunction, *, normalised: bool = False) -> "DerivedTerm":
        """The derivative of `mu -> <psi, f(mu)>` along delta_x: regular plus irregular part.

        Args:
            psi: a Python function from a vector term to a scalar term.
            normalised: on probability measures: the limit of the quotient that
                `regular_derivative` names. The rate of `<psi, f(mu_e)>` itself is this minus
                `<psi, f(mu)>`; `functional_derivative` gives it, centred.

        >>> from .constructors import component
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(2 * x, x, mu).derivative(lambda y: component(y, 0)))
        2 x[0]
        """
        term = self._regular(psi) + self._irregular(psi, normalised)
        return self._tested("derivative", psi, term)

    def _tested(self, kind: str, psi: TestFunction, term: Any) -> "DerivedTerm":
        return self._derived(kind, term, (), parameters_of(_test(psi, self.x)))

    def _regular(self, psi: TestFunction) -> Expr:
        return _test(psi, self.term)

    def _irregular(self, psi: TestFunction, normalised: bool) -> Expr:
        z, image = FreshPoint(), FreshPoint()
        change = substitute(self._flat(FreshPoint(0)), {self.x: z, FreshPoint(0): self.x})
        slope = gateaux(_test(psi, image), Along(image, change))
        at_image = substitute(slope, {image: substitute(self.term, {self.x: z})})
        whole = Integral(at_image, z, self.mu)
        return centred(whole, self.x, self.mu) if normalised else whole


def _test(psi: TestFunction, v: VectorTerm) -> Expr:
    try:
        return scalar(psi(v))
    except TypeError as error:
        raise TypeError(f"psi maps a vector term to a scalar term: {error}") from error


def centred(term: Any, z: VectorTerm, mu: Measure) -> Any:
    """The term minus its integral in z against mu: a derivative on probability measures.

    >>> z, mu = Point("z"), Measure("mu")
    >>> centred(z, z, mu)
    z - int y mu(dy)
    """
    return term - Integral(term, z, mu)


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
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> k = exp(Dot(x, y))
        >>> G = SymbolicMap(Integral(k * y, y, mu) / Integral(k, y, mu), x, mu)
        >>> print(G.jacobian().simplified())
        Cov_p(y)  where p(dy) = exp(<x, y>) mu(dy) / Z_p
        """
        from .simplification import simplify

        return replace(self, term=simplify(self.term))


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
    _check_closed(candidate.term, (candidate.x,), measures)
