"""Derivatives with three axes and more, and those of functionals of the image measure.

A term has at most two axes. What has more is kept contracted with directions u, ...: parameters
that nobody binds. The bound call sets each to the unit vectors in turn and returns the whole array,
with the axes of the directions last. On probability measures (`normalised=True`) the flat
derivative changes by a constant in each of its points, so whatever is differentiated in these
points is the same on both.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sympy import Expr

from .binders import Integral, Pushforward
from .derived import DerivedTerm, parameters_of
from .gateaux import Along, MassAt, gateaux
from .linear import gradient_in, jacobian_in
from .substitution import substitute
from .terms import (
    FreshPoint,
    Matrix,
    Measure,
    MeasureTerm,
    Point,
    Vector,
    VectorTerm,
    free_symbols,
    scalar,
)

if TYPE_CHECKING:
    from .tokens import TokenJacobian

Functional = Callable[[MeasureTerm], Expr]


def direction_like(atom: Any, *terms: Any, letters: str = "u v s t r") -> Any:
    """A vector or a matrix parameter whose name is free in the terms: a direction to contract with.

    >>> direction_like(Point("x"), Vector("u"))
    v
    """
    taken = {a.name for t in terms for a in free_symbols(t) if hasattr(a, "name")}
    names = [*letters.split(), *(f"u_{i}" for i in range(len(taken) + 1))]
    kind = Matrix if isinstance(atom, Matrix) else Vector
    return kind(next(name for name in names if name not in taken))


def centred(term: Any, z: VectorTerm, mu: Measure) -> Any:
    """The term minus its integral in z against mu: a derivative on probability measures.

    >>> z, mu = Point("z"), Measure("mu")
    >>> centred(z, z, mu)
    z - int y mu(dy)
    """
    return term - Integral(term, z, mu)


def slope_at(term: Any, place: Point) -> Any:
    """The Jacobian of a vector term in a point."""
    u = FreshPoint()
    return substitute(jacobian_in(gateaux(term, Along(place, u)), u), {u: place})


class HigherDerivatives:
    """What a map or a field derives beyond its first derivatives."""

    __slots__ = ()
    term: Any
    x: Point
    mu: Measure
    _derived: Callable[..., DerivedTerm]
    _check_points: Callable[..., None]
    _flat: Callable[..., Any]

    def _contracted(self, kind: str, term: Any, at: Point, inner: Point, points: tuple) -> Any:
        """The Jacobian in `inner` of the derivative of a vector term along a direction at `at`."""
        u = direction_like(at, term, *points)
        matrix = slope_at(gateaux(term, Along(at, u)), inner)
        return self._derived(kind, matrix, points, (), ((u, at),))

    def hessian(self) -> DerivedTerm:
        """The second derivative `D_x^2 G(mu, x)`; it prints contracted with one direction u.

        Bound it returns (m, d', d, d): [m, i, j, k] is `d^2 G_i / dx_j dx_k`.

        >>> from .maps import SymbolicMap
        >>> from .scalars import Dot
        >>> x, mu = Point("x"), Measure("mu")
        >>> H = SymbolicMap(Dot(x, x) * x, x, mu).hessian()
        >>> print(H)
        2 x u^T + 2 u x^T + 2 <u, x> I
        >>> H.bind()([[0.0]], None, [[3.0]]).tolist()
        [[[[18.0]]]]
        """
        return self._contracted("hessian", self.term, self.x, self.x, ())

    def mixed_lions_derivative(self, z: Point, *, normalised: bool = False) -> DerivedTerm:
        """The mixed derivative `D_x D_mu G(mu, x)(z) = D_mu D_x G(mu, x)(z)`.

        Bound it returns (m, k, d', d, d): [m, k, i, a, b] is `d^2 flat_i / dz_a dx_b`. It prints
        contracted with a direction in x. It is the same on probability measures.

        >>> from .maps import SymbolicMap
        >>> from .binders import Integral
        >>> from .scalars import Dot
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> G = SymbolicMap(Integral(Dot(x, y) * y, y, mu), x, mu)
        >>> print(G.mixed_lions_derivative(Point("z")))
        z u^T + <u, z> I
        """
        self._check_points(z)
        return self._contracted("mixed_lions_derivative", self._flat(z), self.x, z, (z,))

    def lions_jacobian(self, z: Point, *, normalised: bool = False) -> DerivedTerm:
        """The derivative of the Lions derivative in its own point, `D_z D_mu G(mu, x)(z)`.

        Bound it returns (m, k, d', d, d): [m, k, i, a, b] is `d^2 flat_i / dz_a dz_b`. It prints
        contracted with a direction in z. It is the same on probability measures.

        >>> from .maps import SymbolicMap
        >>> from .binders import Integral
        >>> from .scalars import Dot
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> G = SymbolicMap(Integral(Dot(y, y) * x, y, mu), x, mu)
        >>> print(G.lions_jacobian(Point("z")))
        2 x u^T
        """
        self._check_points(z)
        return self._contracted("lions_jacobian", self._flat(z), z, z, (z,))

    def second_lions_derivative(
        self,
        z: Point,
        w: Point,
        u: Point | None = None,
        v: Point | None = None,
        *,
        normalised: bool = False,
    ) -> DerivedTerm:
        """The second Lions derivative `D_mu D_mu G(mu, x)(z, w)`, or `D_z D_w d^2 G/dm^2 (z, w)`.

        Args:
            z, w: the two points of the second flat derivative.
            u, v: directions at z and at w, further points; both or neither.
            normalised: asks for the one on probability measures, which is the same.

        Returns:
            Without directions a term that binds to (m, k, l, d', d, d): [..., i, a, b] is
            `d^2 / dz_a dw_b` of component i. It prints contracted with a direction at w. With
            directions a vector.

        >>> from .maps import SymbolicMap
        >>> from .binders import Integral
        >>> from .scalars import Dot
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> G = SymbolicMap(Integral(y, y, mu) * Integral(Dot(x, y), y, mu), x, mu)
        >>> z, w, u, v = map(Point, "zwuv")
        >>> print(G.second_lions_derivative(z, w, u, v))
        <u, x> v + <v, x> u
        >>> print(G.second_lions_derivative(z, w))
        u x^T + <u, x> I
        """
        if (u is None) != (v is None):
            raise ValueError("the second Lions derivative takes both directions u and v, or none")
        kind = "second_lions_derivative"
        if u is None or v is None:
            self._check_points(z, w)
            twice = gateaux(self._flat(z), MassAt(self.mu, w))
            return self._contracted(kind, twice, w, z, (z, w))
        self._check_points(z, w, u, v)
        twice = gateaux(self._flat(z), MassAt(self.mu, w))
        return self._derived(kind, gateaux(gateaux(twice, Along(z, u)), Along(w, v)), (z, w, u, v))

    def functional_derivative(self, U: Functional, *, normalised: bool = False) -> DerivedTerm:
        """The flat derivative of `mu -> U(f(mu))` at x, with `f(mu) = G(mu)#mu`.

        `dU/dm (f(mu))(G(mu, x)) + int <D_mu U(f(mu))(G(mu, z)), dG/dm (mu, z)(x)> mu(dz)`.

        Args:
            U: a Python function from a measure term to a scalar term.
            normalised: on probability measures: minus its mean under mu.

        Returns:
            A scalar term; bound (m,).

        >>> from .maps import SymbolicMap
        >>> from .binders import integral
        >>> from .constructors import norm2
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> energy = lambda nu: integral(norm2(y), y, nu)
        >>> print(SymbolicMap(3 * x, x, mu).functional_derivative(energy))
        9 |x|^2
        """
        found = gateaux(self._functional(U), MassAt(self.mu, self.x))
        found = centred(found, self.x, self.mu) if normalised else found
        return self._of_functional("functional_derivative", U, found)

    def functional_gradient(self, U: Functional, *, normalised: bool = False) -> DerivedTerm:
        """The Lions derivative of `mu -> U(f(mu))` at x: the gradient of its flat derivative.

        Args:
            U: a Python function from a measure term to a scalar term.
            normalised: asks for the one on probability measures, which is the same.

        Returns:
            A vector term; bound (m, d).

        >>> from .maps import SymbolicMap
        >>> from .binders import integral
        >>> from .constructors import norm2
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> energy = lambda nu: integral(norm2(y), y, nu)
        >>> print(SymbolicMap(3 * x, x, mu).functional_gradient(energy))
        18 x
        """
        u = FreshPoint()
        found = gateaux(self._functional(U), MassAt(self.mu, self.x))
        slope = gradient_in(gateaux(found, Along(self.x, u)), u)
        return self._of_functional("functional_gradient", U, substitute(slope, {u: self.x}))

    def _of_functional(self, kind: str, U: Functional, term: Any) -> DerivedTerm:
        return self._derived(kind, term, (), parameters_of(self._functional(U)))

    def _functional(self, U: Functional) -> Expr:
        push = getattr(self, "push", None)
        image = Pushforward(self.mu, self.x, self.term) if push is None else push(self.mu)
        try:
            found = scalar(U(image))
        except TypeError as error:
            raise TypeError(f"U maps a measure term to a scalar term: {error}") from error
        if self.x in free_symbols(found):
            raise ValueError(f"the functional may not speak of the point {self.x} of the map")
        return found

    def token_jacobian(self) -> "TokenJacobian":
        """The Jacobian of all images in all tokens, `d G(mu, x_i) / d x_j` over the atoms of mu.

        `delta_ij D_x G(mu, x_i) + a_j D_mu G(mu, x_i)(x_j)`, with weights a_j. Bound it takes the
        points and weights alone and returns (n, d', n, d).

        >>> from .maps import SymbolicMap
        >>> from .binders import Integral
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> J = SymbolicMap(x - Integral(y, y, mu), x, mu).token_jacobian()
        >>> J.bind()([[0.0], [1.0]], None)[:, 0, :, 0].tolist()
        [[0.5, -0.5], [-0.5, 0.5]]
        """
        from .tokens import TokenJacobian

        z = next(Point(n) for n in "zwuvs" if Point(n) not in (self.x,))
        return TokenJacobian(self.jacobian(), self.lions_derivative(z), z)  # type: ignore[attr-defined]
