"""What can be derived from an in-context map or a velocity field.

Derivatives in the measure are those on positive measures: the direction is a unit mass `delta_z`,
without centring; `normalised=True` gives those on probability measures, centred.
"""

from collections.abc import Callable
from typing import Any

from sympy import Expr

from .binders import Integral, Pushforward
from .derived import AbstractFormula, DerivedTerm, Direction, parameters_of
from .gateaux import Along, MassAt, gateaux
from .higher import HigherDerivatives, centred, direction_like
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
    Point,
    Scalar,
    VectorTerm,
    scalar,
)

TestFunction = Callable[[VectorTerm], Expr]


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
    ) -> DerivedTerm:
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

    def jacobian(self) -> DerivedTerm:
        """The Jacobian `D_x G(mu, x)` at a fixed measure: [i, j] is dG_i/dx_j.

        >>> from .maps import SymbolicMap
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

    def divergence(self) -> DerivedTerm:
        """The divergence of `G(mu, .)` in x, the trace of the Jacobian.

        >>> from .maps import SymbolicMap
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(3 * x, x, mu).divergence())
        3 dim(x)
        """
        return self._derived("divergence", Trace(self._jacobian()))

    def sphere_divergence(self) -> DerivedTerm:
        """The divergence on the unit sphere, for a field that is tangent to it at unit x.

        `div_S v = tr((I - x x^T) D_x v)`, whatever the extension of v off the sphere.

        >>> from .maps import SymbolicMap
        >>> from .terms import Vector
        >>> x, mu, w = Point("x"), Measure("mu"), Vector("w")
        >>> print(SymbolicMap(w - Dot(x, w) * x, x, mu).sphere_divergence())
        2 |x|^2 <w, x> - <w, x> - dim(x) <w, x>
        """
        normal = Dot(self.x, gateaux(self.term, Along(self.x, self.x)))
        return self._derived("sphere_divergence", Trace(self._jacobian()) - normal)

    def directional_derivative(self, u: Point) -> DerivedTerm:
        """`D_x G(mu, x) u`, with the direction u as a further point.

        >>> from .maps import SymbolicMap
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(Dot(x, x) * x, x, mu).directional_derivative(Point("u")))
        |x|^2 u + 2 <u, x> x
        """
        self._check_points(u)
        return self._derived("directional_derivative", gateaux(self.term, Along(self.x, u)), (u,))

    def second_derivative(self, u: Point, v: Point) -> DerivedTerm:
        """`D_x^2 G(mu, x)[u, v]`, with the directions as further points.

        >>> from .maps import SymbolicMap
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(Dot(x, x) * x, x, mu).second_derivative(Point("u"), Point("v")))
        2 <u, v> x + 2 <u, x> v + 2 <v, x> u
        """
        self._check_points(u, v)
        once = gateaux(self.term, Along(self.x, u))
        return self._derived("second_derivative", gateaux(once, Along(self.x, v)), (u, v))

    def parameter_derivative(self, parameter: Any, along: Any = None) -> DerivedTerm:
        """The derivative in a parameter, along an increment of its kind.

        Args:
            parameter: a parameter of the map.
            along: a parameter of the same kind, to be bound too; None for the whole derivative.

        Returns:
            Along an increment a vector. The whole derivative is a vector for a `Scalar`, a matrix
            for a `Vector`, and for a `Matrix` a term that binds to (m, d', rows, columns); it
            prints contracted with a matrix E.

        >>> from .maps import SymbolicMap
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
    ) -> DerivedTerm:
        """The flat derivative `dG/dm (mu, x)(z)`: the rate of G as mass is added at z.

        Args:
            z: where the mass is added.
            normalised: on probability measures: minus its mean under the measure.
            measure: one of the `others`, to derive in it rather than in mu.

        >>> from .maps import SymbolicMap
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
    ) -> DerivedTerm:
        """The Lions derivative `D_mu G(mu, x)(z)`: [i, j] is the derivative of flat_i in z_j.

        It is the same on probability measures: centring changes the flat derivative by a constant.

        Args:
            z: the point that the derivative speaks of.
            normalised: asks for the one on probability measures.
            measure: one of the `others`, to derive in it rather than in mu.

        >>> from .maps import SymbolicMap
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
    ) -> DerivedTerm:
        """The second flat derivative `d^2 G/dm^2 (mu, x)(z, w)`, centred after each step if asked.

        >>> from .maps import SymbolicMap
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

    def regular_derivative(self, psi: TestFunction, *, normalised: bool = False) -> DerivedTerm:
        """The regular part `psi(G(mu, x))` of the derivative of `mu -> <psi, f(mu)>` along delta_x.

        Here `f(mu) = G(mu)#mu`. It is the part that does not differentiate psi, and it is the same
        on probability measures: there the quotient is `<psi, f(mu_e) - (1 - e) f(mu)> / e` with
        `mu_e = (1 - e) mu + e delta_x`, which takes `<psi, f(mu)>` away beforehand.

        Args:
            psi: a Python function from a vector term to a scalar term.
            normalised: asks for the one on probability measures.

        >>> from .maps import SymbolicMap
        >>> from sympy import sin
        >>> from .constructors import component
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(2 * x, x, mu).regular_derivative(lambda y: sin(component(y, 0))))
        sin(2 x[0])
        """
        return self._tested("regular_derivative", psi, self._regular(psi))

    def irregular_derivative(self, psi: TestFunction, *, normalised: bool = False) -> DerivedTerm:
        """The irregular part of the derivative of `mu -> <psi, f(mu)>` along delta_x.

        `int <grad psi(G(mu, z)), dG/dm (mu, z)(x)> mu(dz)`: the mass at x moves all other images.

        Args:
            psi: a Python function from a vector term to a scalar term.
            normalised: on probability measures: minus its mean under mu.

        >>> from .maps import SymbolicMap
        >>> from .constructors import component
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> G = SymbolicMap(Integral(y, y, mu), x, mu)
        >>> print(G.irregular_derivative(lambda y: component(y, 0)))
        x[0] |mu|
        """
        return self._tested("irregular_derivative", psi, self._irregular(psi, normalised))

    def derivative(self, psi: TestFunction, *, normalised: bool = False) -> DerivedTerm:
        """The derivative of `mu -> <psi, f(mu)>` along delta_x: regular plus irregular part.

        Args:
            psi: a Python function from a vector term to a scalar term.
            normalised: on probability measures: the limit of the quotient that
                `regular_derivative` names. The rate of `<psi, f(mu_e)>` itself is this minus
                `<psi, f(mu)>`; `functional_derivative` gives it, centred.

        >>> from .maps import SymbolicMap
        >>> from .constructors import component
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(SymbolicMap(2 * x, x, mu).derivative(lambda y: component(y, 0)))
        2 x[0]
        """
        term = self._regular(psi) + self._irregular(psi, normalised)
        return self._tested("derivative", psi, term)

    def _tested(self, kind: str, psi: TestFunction, term: Any) -> DerivedTerm:
        return self._derived(kind, term, (), parameters_of(tested(psi, self.x)))

    def _regular(self, psi: TestFunction) -> Expr:
        return tested(psi, self.term)

    def _irregular(self, psi: TestFunction, normalised: bool) -> Expr:
        z, image = FreshPoint(), FreshPoint()
        change = substitute(self._flat(FreshPoint(0)), {self.x: z, FreshPoint(0): self.x})
        slope = gateaux(tested(psi, image), Along(image, change))
        at_image = substitute(slope, {image: substitute(self.term, {self.x: z})})
        whole = Integral(at_image, z, self.mu)
        return centred(whole, self.x, self.mu) if normalised else whole


def tested(psi: TestFunction, v: VectorTerm) -> Expr:
    try:
        return scalar(psi(v))
    except TypeError as error:
        raise TypeError(f"psi maps a vector term to a scalar term: {error}") from error
