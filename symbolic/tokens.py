"""The Jacobian of a map of n tokens, from the derivatives at a point and in the measure."""

from dataclasses import dataclass
from typing import Any

from .derived import DerivedTerm
from .terms import Point


@dataclass(frozen=True, slots=True)
class TokenJacobian:
    """`d G(mu, x_i) / d x_j = delta_ij D_x G(mu, x_i) + a_j D_mu G(mu, x_i)(x_j)`.

    Here `mu = sum_j a_j delta_{x_j}`: x_i moves as the query and as an atom.

    >>> from .maps import SymbolicMap
    >>> from .binders import integral
    >>> from .terms import Measure
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> print(SymbolicMap(2 * x - integral(y, y, mu), x, mu).token_jacobian())
    d G(mu, x_i)/d x_j = [i = j] D_x G(mu, x_i) + a_j D_mu G(mu, x_i)(x_j)
    D_x G(mu, x) = 2 I
    D_mu G(mu, x)(z) = -I
    """

    jacobian: DerivedTerm
    lions_derivative: DerivedTerm
    z: Point

    @property
    def parameters(self) -> tuple[Any, ...]:
        """What `bind` takes."""
        return self.jacobian.parameters

    def __str__(self) -> str:
        x, mu = self.jacobian.x, self.jacobian.mu
        at = f"G({mu}, {x}_i)"
        return (
            f"d {at}/d {x}_j = [i = j] D_{x} {at} + a_j D_{mu} {at}({x}_j)\n"
            f"D_{x} G({mu}, {x}) = {self.jacobian}\n"
            f"D_{mu} G({mu}, {x})({self.z}) = {self.lions_derivative}"
        )

    def latex(self) -> str:
        """The formula in LaTeX."""
        x, at = self.jacobian.x, f"G(\\mu, {self.jacobian.x}_i)"
        return (
            f"\\begin{{aligned}}\n\\frac{{\\partial {at}}}{{\\partial {x}_j}} &= "
            f"\\delta_{{ij}}\\,D_{{{x}}} {at} + a_j\\,D_\\mu {at}({x}_j) \\\\\n"
            f"D_{{{x}}} G &= {self.jacobian.latex()} \\\\\n"
            f"D_\\mu G({self.z}) &= {self.lions_derivative.latex()}\n\\end{{aligned}}"
        )

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def bind(self, /, **values: Any) -> Any:
        """With numbers for the parameters: a function of (points, weights).

        Returns:
            A callable with the result (n, d', n, d): [i, a, j, b] is `d G_a(mu, x_i) / d x_{j, b}`.
        """
        from .binding import bound_tokens

        return bound_tokens(self.jacobian.bind(**values), self.lions_derivative.bind(**values))
