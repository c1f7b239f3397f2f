"""The Vlasov equation of a velocity field, and what follows from it.

Source: Carmona & Delarue (2018), vol. I, ch. 5 (derivatives in measures); Dobrushin (1979)
(mean-field limits); docs/mathematics.md, Vlasov equation.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sympy import Expr, Mul, S

from . import printing
from .binders import Integral
from .derived import DerivedTerm
from .expansion import expanded, summands, vanishes
from .gateaux import Along, NotDerivable, gateaux
from .in_context import tested
from .invariants import Decision, Gradient, decide, rate_along, wasserstein_gradient
from .maps import VelocityField
from .matrices import MatVec, Outer
from .scalars import Dot
from .substitution import substitute
from .terms import FreshPoint, Point, VectorTerm, kind
from .vectors import Scaled, Stack, size


@dataclass(frozen=True, slots=True)
class Statement:
    """An equation to read, as text and as LaTeX."""

    name: str
    text: str
    tex: str

    def __str__(self) -> str:
        return self.text

    def latex(self) -> str:
        """The equation in LaTeX."""
        return self.tex

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.tex}$"


_STATEMENTS = (
    "equation", "characteristics", "weak_form", "linearisation", "adjoint", "moments", "volume",
    "invariants",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vlasov:
    """The equation `d_t mu + div(V(mu) mu) = 0` of a velocity field V.

    >>> from .terms import Measure
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> print(VelocityField(Integral(y - x, y, mu), x, mu).vlasov())
    equation: d_t mu + div(V(mu) mu) = 0, V(mu, x) = int y mu(dy) - |mu| x
    characteristics: d/dt x = V(mu, x) = int y mu(dy) - |mu| x, mu = (flow)#mu_0
    weak form: d/dt <phi, mu> = int <grad phi(x), V(mu, x)> mu(dx)
    linearisation: d_t h + div(V h + mu int dV/dm(mu, .)(z) h(dz)) = 0, dV/dm(mu, x)(z) = z - x
    adjoint: -d_t psi = <grad psi(x), V(mu, x)> + int <grad psi(y), dV/dm(mu, y)(x)> mu(dy)
    moments: d/dt int x mu(dx) = 0, d/dt int x x^T mu(dx) = ...
    volume: d/dt log det D_x flow = div V(mu, x) = -dim(x) |mu|
    invariants: the mass and the weights; the mean of x
    """

    field: VelocityField

    def __str__(self) -> str:
        return "\n".join(f"{s.name}: {s.text}" for s in self.statements)

    def latex(self) -> str:
        """All statements in LaTeX, one below the other."""
        rows = " \\\\\n".join(f"& {s.tex}" for s in self.statements)
        return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The equation and what follows from it, in the order in which they are printed.

        What needs a derivative that there is none of says so in its place.
        """
        return tuple(self._statement(name) for name in _STATEMENTS)

    def _statement(self, name: str) -> Statement:
        try:
            return getattr(self, name)
        except NotDerivable as refusal:
            return Statement(name, f"none, for {refusal}", rf"\text{{no {name}}}")

    @property
    def _names(self) -> dict[str, str]:
        mu, x = self.field.mu, self.field.x
        time, tex_time = ("", "") if self.field.time is None else _both(self.field.time, ", ")
        tex_mu, tex_x = printing.latex(mu), printing.latex(x)
        velocity, tex_velocity = (printing.text(self.field.term), printing.latex(self.field.term))
        return {
            "mu": str(mu), "x": str(x), "V": f"V({time}{mu}, {x})", "v": velocity,
            "MU": tex_mu, "X": tex_x, "VV": f"V({tex_time}{tex_mu}, {tex_x})", "VT": tex_velocity,
            "Vmu": f"V({time}{mu})", "VMU": f"V({tex_time}{tex_mu})",
        }  # fmt: skip

    @property
    def equation(self) -> Statement:
        """The continuity equation, with the field."""
        n = self._names
        return Statement(
            "equation",
            "d_t {mu} + div({Vmu} {mu}) = 0, {V} = {v}".format_map(n),
            (r"\partial_t {MU} + \nabla\cdot\left({VMU}\,{MU}\right) = 0, \qquad "
             r"{VV} = {VT}").format_map(n),
        )  # fmt: skip

    @property
    def characteristics(self) -> Statement:
        """The ordinary differential equation of a particle in the field of all."""
        n = self._names
        return Statement(
            "characteristics",
            "d/dt {x} = {V} = {v}, {mu} = (flow)#{mu}_0".format_map(n),
            (r"\dot {X} = {VV} = {VT}, \qquad {MU}_t = (X_t)_{{\#}} {MU}_0").format_map(n),
        )

    @property
    def weak_form(self) -> Statement:
        """The equation tested with a function phi; `weak(phi)` gives its right side as a term."""
        n = self._names
        return Statement(
            "weak form",
            "d/dt <phi, {mu}> = int <grad phi({x}), {V}> {mu}(d{x})".format_map(n),
            (r"\frac{{\mathrm{{d}}}}{{\mathrm{{d}}t}}\langle\varphi, {MU}\rangle = "
             r"\int \langle\nabla\varphi({X}), {VV}\rangle\,{MU}(\mathrm{{d}}{X})").format_map(n),
        )  # fmt: skip

    def weak(self, phi: Callable[[VectorTerm], Expr]) -> DerivedTerm:
        """The right side of the weak form for a test function, a scalar term to bind and evaluate.

        Args:
            phi: a Python function from a vector term to a scalar term.

        >>> from .constructors import norm2
        >>> from .terms import Measure
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(VelocityField(-x, x, mu).vlasov().weak(norm2))
        -2 int |y|^2 mu(dy)
        """
        y, image = FreshPoint(), FreshPoint()
        velocity = substitute(self.field.term, {self.field.x: y})
        slope = gateaux(tested(phi, image), Along(image, velocity))
        term = Integral(substitute(slope, {image: y}), y, self.field.mu)
        return self.field._derived("weak_form", term, (), self.field.parameters)

    @property
    def linearisation(self) -> Statement:
        """The equation for a small perturbation h of mu, a signed measure."""
        n, z = self._names, _other(self.field.x, "z", "z'")
        flat = self.field.flat_derivative(z).term
        n |= {"z": str(z), "F": printing.text(flat), "FT": printing.latex(flat)}
        return Statement(
            "linearisation",
            ("d_t h + div(V h + {mu} int dV/dm({mu}, .)({z}) h(d{z})) = 0, "
             "dV/dm({mu}, {x})({z}) = {F}").format_map(n),
            (r"\partial_t h + \nabla\cdot\left(V h + {MU} \int \frac{{\delta V}}{{\delta m}}"
             r"({MU}, \cdot)({z})\,h(\mathrm{{d}}{z})\right) = 0, \qquad \frac{{\delta V}}"
             r"{{\delta m}}({MU}, {X})({z}) = {FT}").format_map(n),
        )  # fmt: skip

    @property
    def adjoint(self) -> Statement:
        """The backward equation of test functions, dual to the linearisation.

        `d/dt <psi, h> = 0` for solutions h of the linearisation; `adjoint_rate(psi)` is a term.
        """
        n, y = self._names, _other(self.field.x, "y", "y'")
        n |= {"y": str(y)}
        return Statement(
            "adjoint",
            ("-d_t psi = <grad psi({x}), {V}> + "
             "int <grad psi({y}), dV/dm({mu}, {y})({x})> {mu}(d{y})").format_map(n),
            (r"-\partial_t \psi = \langle\nabla\psi({X}), {VV}\rangle + \int \left\langle"
             r"\nabla\psi({y}), \frac{{\delta V}}{{\delta m}}({MU}, {y})({X})\right\rangle"
             r"{MU}(\mathrm{{d}}{y})").format_map(n),
        )  # fmt: skip

    def adjoint_rate(self, psi: Callable[[VectorTerm], Expr]) -> DerivedTerm:
        """The adjoint of the linearisation applied to psi, a scalar term in x.

        `<grad psi(x), V(mu, x)> + int <grad psi(y), dV/dm(mu, y)(x)> mu(dy)`; it is the flat
        derivative of the right side of the weak form.

        Source: Carmona & Delarue (2018), vol. I, ch. 5; docs/mathematics.md, section 9.

        >>> from .constructors import component
        >>> from .terms import Measure
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> V = VelocityField(Integral(y, y, mu), x, mu)
        >>> print(V.vlasov().adjoint_rate(lambda v: component(v, 0)))
        (int y mu(dy))[0] + x[0] |mu|
        """
        field, y = self.field, FreshPoint()
        here = gateaux(tested(psi, field.x), Along(field.x, field.term))
        z = FreshPoint()
        flat = substitute(field._flat(z), {field.x: y, z: field.x})
        there = Integral(gateaux(tested(psi, y), Along(y, flat)), y, field.mu)
        return field._derived("adjoint", here + there, (), field.parameters)

    @property
    def moments(self) -> Statement:
        """The equations of the mean and of the second moment; not closed unless V makes them so."""
        n = self._names
        mean, second = self.mean_rate(), self.second_moment_rate()
        n |= {"m": str(mean), "M": str(second), "MT": mean.latex(), "ST": second.latex()}
        return Statement(
            "moments",
            ("d/dt int {x} {mu}(d{x}) = {m}, "
             "d/dt int {x} {x}^T {mu}(d{x}) = {M}").format_map(n),
            (r"\frac{{\mathrm{{d}}}}{{\mathrm{{d}}t}}\int {X}\,{MU}(\mathrm{{d}}{X}) = {MT}, "
             r"\qquad "
             r"\frac{{\mathrm{{d}}}}{{\mathrm{{d}}t}}\int {X}{X}^\top {MU}(\mathrm{{d}}{X}) = {ST}"
             ).format_map(n),
        )  # fmt: skip

    def mean_rate(self) -> DerivedTerm:
        """The rate of `int x mu(dx)`, the vector `int V(mu, x) mu(dx)`.

        >>> from .terms import Measure
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(VelocityField(-x, x, mu).vlasov().mean_rate())
        -int y mu(dy)
        """
        return self.rate(Integral(self.field.x, self.field.x, self.field.mu))

    def second_moment_rate(self) -> DerivedTerm:
        """The rate of `int x x^T mu(dx)`, the matrix `int V x^T + x V^T mu(dx)`.

        >>> from .terms import Measure
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(VelocityField(-x, x, mu).vlasov().second_moment_rate())
        -2 int y y^T mu(dy)
        """
        x, mu = self.field.x, self.field.mu
        return self.rate(Integral(Outer(x, x), x, mu))

    def rate(self, quantity: Any) -> DerivedTerm:
        """The rate along the flow of a term `g(mu, x)`, a scalar, vector or matrix.

        `D_x g V + int D_mu g(mu, x)(y) V(mu, y) mu(dy)`, with x on a characteristic.

        >>> from .constructors import norm2
        >>> from .terms import Measure
        >>> x, mu = Point("x"), Measure("mu")
        >>> print(VelocityField(-x, x, mu).vlasov().rate(norm2(x)))
        -2 |x|^2
        """
        kind(quantity)
        term = rate_along(quantity, self.field)
        return self.field._derived("rate", term, (), self.field.parameters)

    def conserves(
        self, quantity: Any, *, symmetric: Iterable[Any] = (), sphere: bool = False
    ) -> Decision:
        """Whether a quantity is "conserved", "dissipated" (it never grows) or "not decided".

        Args:
            quantity: "mass", "mean", "second moment", "variance" (of mu over its mass), "energy"
                (of a gradient field); a Python function phi of a vector, for `int phi dmu`; a
                scalar or vector term in mu; or one in mu and x, followed along characteristics.
            symmetric: matrices that are taken as symmetric.
            sphere: whether mu lives on the unit sphere.

        Returns:
            The verdict with its argument and the rate. "conserved" and "dissipated" hold for every
            measure and all parameters of the declared signs; "not decided" denies nothing.

        Source: docs/mathematics.md, section 9.

        >>> from .library import consensus
        >>> print(consensus().vlasov().conserves("mean"))
        mean: conserved; its rate vanishes
        >>> consensus().vlasov().conserves("variance").verdict
        'dissipated'
        """
        return decide(self.field, quantity, symmetric, sphere)

    def gradient(self, *, symmetric: Iterable[Any] = (), sphere: bool = False) -> Gradient:
        """Whether `V = -grad dE/dm` for an energy E, and the energy in closed form if found.

        On a simply connected domain that is so exactly when D_x V is symmetric and
        `D_mu V(mu, x)(y) = D_mu V(mu, y)(x)^T`. A softmax field is a gradient for the metric
        weighted by its normaliser only. On the sphere, `V = -P_x grad dE/dm`. Where the derivatives
        are not symmetric, a witness is searched for: rational atoms, weights and parameters, with
        the gap exact where it is rational and to 40 digits elsewhere; not on the sphere.

        Args:
            symmetric: matrices that are taken as symmetric.
            sphere: whether the field is one on the unit sphere, written as `w - <x, w> x`.

        Source: Ambrosio, Gigli & Savare (2008), ch. 10-11; Geshkovski et al. (2023),
        arXiv:2312.10794.

        >>> from .library import consensus
        >>> print(consensus().vlasov().gradient().energy)
        int int <w - y, w - y> mu(dy) mu(dw)/4
        >>> from .terms import Measure, Vector
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> turned = VelocityField(Integral(Dot(Vector("b"), y) * y, y, mu), x, mu)
        >>> print(turned.vlasov().gradient())
        not a gradient; D_x V + a D_mu V at an atom is not symmetric: for atoms ...
        """
        return wasserstein_gradient(self.field, symmetric=symmetric, sphere=sphere)

    def hierarchy(self) -> Any:
        """The BBGKY hierarchy of N particles in the field, if it is pairwise; see `bbgky`.

        Raises:
            ValueError: the field is not pairwise.

        >>> from .library import consensus
        >>> consensus().vlasov().hierarchy().solved_by_products()
        True
        """
        from .hierarchy import bbgky

        return bbgky(self.field)

    def log_density_rate(self) -> DerivedTerm:
        """The rate of `log rho(t, X_t)` of a density along characteristics, `-div V(mu, x)`.

        >>> from .library import consensus
        >>> print(consensus().vlasov().log_density_rate())
        dim(x) |mu|
        """
        term = -self.field.divergence().term
        return self.field._derived("log_density_rate", term, (), self.field.parameters)

    def tangent(
        self,
        xi: Point,
        eta: Callable[[VectorTerm], VectorTerm],
        density: Callable[[VectorTerm], Expr] | None = None,
    ) -> DerivedTerm:
        """The velocity of a small displacement along characteristics, the linearised equation.

        `D_x V xi + int D_mu V(z) eta(z) mu(dz) + int dV/dm(z) c(z) mu(dz)`.

        Args:
            xi: the displacement of the query point, a further point.
            eta: the displacement of the atom at z, as a Python function of z.
            density: c, the relative change of the mass at z, as a Python function of z; none if
                left out.

        >>> from .terms import Measure
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> V = VelocityField(Integral(y - x, y, mu), x, mu)
        >>> print(V.vlasov().tangent(Point("u"), lambda z: 2 * z))
        2 int y mu(dy) - |mu| u
        """
        field, z = self.field, FreshPoint()
        field._check_points(xi)
        here = gateaux(field.term, Along(field.x, xi))
        pull = gateaux(field._flat(z), Along(z, eta(z)))
        term = here + Integral(pull, z, field.mu)
        if density is not None:
            term += Integral(tested(density, z) * field._flat(z), z, field.mu)
        return field._derived("tangent", term, (xi,), field.parameters)

    @property
    def volume(self) -> Statement:
        """How the flow changes volumes, and densities: `d/dt log rho = -div V` along the flow."""
        n = self._names
        divergence = self.field.divergence().term
        n |= {"D": printing.text(divergence), "DT": printing.latex(divergence)}
        return Statement(
            "volume",
            "d/dt log det D_{x} flow = div {V} = {D}".format_map(n),
            (r"\frac{{\mathrm{{d}}}}{{\mathrm{{d}}t}} \log\det D X_t = "
             r"\nabla\cdot {VV} = {DT}").format_map(n),
        )  # fmt: skip

    @property
    def invariants(self) -> Statement:
        """What the flow conserves, as far as the form of the field shows it."""
        found = "; ".join(self.conserved())
        return Statement("invariants", found, rf"\text{{invariants: {found}}}")

    def conserved(self) -> tuple[str, ...]:
        """Conserved quantities that follow from the form of the field.

        The mass and the weights always; the mean where the kernel is antisymmetric, in whole or in
        a part of a stack; the sphere where the field is tangent to it.

        >>> from .constructors import block, stack
        >>> from .terms import Measure
        >>> z, w, mu = Point("z"), Point("w"), Measure("mu")
        >>> force = Integral(block(w, 1, 2) - block(z, 1, 2), w, mu)
        >>> VelocityField(stack(block(z, 1, 2), force), z, mu).vlasov().conserved()
        ('the mass and the weights', 'the mean of z[1:2]')
        """
        found = ["the mass and the weights"]
        term, x, mu = self.field.term, self.field.x, self.field.mu
        start: int | None = 0
        for part in term.args if isinstance(term, Stack) else (term,):
            n = size(part)
            stop = None if start is None or n is None else start + n
            if start is not None and vanishes(_symmetric(Integral(part, x, mu))):
                whole = part is term
                found.append(f"the mean of {x}" + ("" if whole else f"[{start}:{stop or ''}]"))
            start = stop
        if vanishes(substitute(expanded(Dot(x, term)), {Dot(x, x): S.One})):
            found.append(f"|{x}| = 1")
        return tuple(found)


def _both(symbol: Any, end: str) -> tuple[str, str]:
    return printing.text(symbol) + end, printing.latex(symbol) + end


def _other(x: Point, *names: str) -> Point:
    return next(Point(name) for name in names if name != x.name)


def _symmetric(term: Any) -> Any:
    """The term with each double integral of k(y, z) replaced by the mean over both orders."""
    parts = [_symmetrised(a) for a in summands(expanded(term))]
    return sum(parts[1:], parts[0])


def _symmetrised(term: Any) -> Any:
    if isinstance(term, (Scaled, MatVec)):
        return term.func(term.args[0], _symmetrised(term.args[1]))
    if isinstance(term, Mul):
        integrals = [a for a in term.args if isinstance(a, Integral)]
        rest = [a for a in term.args if not isinstance(a, Integral)]
        return Mul(*rest, *map(_symmetrised, integrals))
    if not isinstance(term, Integral):
        return term
    y, z = FreshPoint(), FreshPoint()
    body, mu = term.at(y), term.measure
    inner = next((t for t in factors(body) if isinstance(t, Integral) and t.measure == mu), None)
    if inner is None:
        return term
    kernel = substitute(body, {inner: inner.at(z)})
    other = Integral(Integral(kernel, y, mu), z, mu)
    return (term + other) / 2


def factors(term: Any) -> Iterator[Any]:
    """The factors of a product of scalars, vectors and constant matrices."""
    if isinstance(term, (Scaled, MatVec, Mul)):
        for a in term.args:
            yield from factors(a)
    else:
        yield term
