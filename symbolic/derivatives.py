"""All derivatives of a map at once, to read."""

from dataclasses import dataclass
from typing import Any

from . import printing
from .derived import DerivedTerm
from .in_context import AbstractInContext
from .terms import Point

_SIGNS = {
    "jacobian": ("D_x {G}", r"D_x {GG}"),
    "divergence": ("div_x {G}", r"\nabla_x\cdot {GG}"),
    "flat_derivative": ("d{g}/dm{at}({z})", r"\frac{{\delta {gg}}}{{\delta m}}{AT}({Z})"),
    "lions_derivative": ("D_mu {G}({z})", r"D_\mu {GG}({Z})"),
    "second_flat_derivative": (
        "d^2{g}/dm^2{at}({z}, {w})",
        r"\frac{{\delta^2 {gg}}}{{\delta m^2}}{AT}({Z}, {W})",
    ),
}


@dataclass(frozen=True, slots=True)
class Derivatives:
    """The derivatives of a map; `str` and `latex` list them, attributes give the terms.

    The derivative of `mu -> <psi, f(mu)>`, `f(mu) = G(mu)#mu`, along delta_x needs a test function;
    it is listed as the formula, and `G.derivative(psi)` gives the term.
    """

    source: AbstractInContext
    jacobian: DerivedTerm
    divergence: DerivedTerm
    flat_derivative: DerivedTerm
    lions_derivative: DerivedTerm
    second_flat_derivative: DerivedTerm

    @property
    def terms(self) -> tuple[DerivedTerm, ...]:
        """The derived terms in the order in which they are listed."""
        return tuple(getattr(self, kind) for kind in _SIGNS)

    def __str__(self) -> str:
        names = self._names()
        lines = ["{G} = {v}".format_map(names)]
        lines += [f"{_SIGNS[t.kind][0].format_map(names)} = {t}" for t in self.terms]
        lines.append(
            "D<psi, f({mu})>[delta_{x}] = psi({G}) + int <grad psi({g}({mu}, {z})), "
            "d{g}/dm({mu}, {z})({x})> {mu}(d{z}), f({mu}) = {g}({mu})#{mu}".format_map(names)
        )
        return "\n".join(lines)

    def latex(self) -> str:
        """All derivatives in LaTeX, one below the other."""
        names = self._names()
        lines = ["{GG} &= {VT}".format_map(names)]
        lines += [f"{_SIGNS[t.kind][1].format_map(names)} &= {t.latex()}" for t in self.terms]
        lines.append(
            (r"\mathrm{{D}}\langle\psi, f({MU})\rangle[\delta_{{{X}}}] &= \psi({GG}) + \int "
             r"\left\langle\nabla\psi({gg}({MU}, {Z})), \frac{{\delta {gg}}}{{\delta m}}"
             r"({MU}, {Z})({X})\right\rangle {MU}(\mathrm{{d}}{Z})").format_map(names)
        )  # fmt: skip
        rows = " \\\\\n".join(lines)
        return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def _names(self) -> dict[str, str]:
        source = self.source
        z, w = self.second_flat_derivative.points
        letter = "V" if source.kind == "field" else "G"
        at, tex_at = f"({source.mu}, {source.x})", f"({printing.latex(source.mu)}, {source.x})"
        return {
            "g": letter, "gg": letter, "at": at, "AT": tex_at, "G": letter + at,
            "GG": letter + tex_at, "mu": str(source.mu), "MU": printing.latex(source.mu),
            "x": str(source.x), "X": printing.latex(source.x),
            "z": str(z), "Z": printing.latex(z), "w": str(w), "W": printing.latex(w),
            "v": str(source), "VT": source.latex(),
        }  # fmt: skip


def derive(source: Any) -> Derivatives:
    """All derivatives of a map or a velocity field.

    Args:
        source: a `SymbolicMap` or a `VelocityField`.

    Returns:
        Jacobian, divergence, flat, Lions and second flat derivative, exact.

    Raises:
        TypeError: the source is no symbolic map.
        NotDerivable: a head of its term has no rule.

    >>> from .maps import SymbolicMap
    >>> from .binders import integral
    >>> from .terms import Measure
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> print(derive(SymbolicMap(x + integral(y, y, mu), x, mu)))
    G(mu, x) = x + int y mu(dy)
    D_x G(mu, x) = I
    div_x G(mu, x) = dim(x)
    dG/dm(mu, x)(z) = z
    D_mu G(mu, x)(z) = I
    d^2G/dm^2(mu, x)(z, w) = 0
    D<psi, f(mu)>[delta_x] = psi(G(mu, x)) + int <grad psi(G(mu, z)), dG/dm(mu, z)(x)> mu(dz), ...
    """
    if not isinstance(source, AbstractInContext):
        raise TypeError(f"derive needs a SymbolicMap or a VelocityField, got {source!r}")
    z, w = [Point(name) for name in ("z", "w", "u") if name != source.x.name][:2]
    return Derivatives(
        source,
        source.jacobian(),
        source.divergence(),
        source.flat_derivative(z),
        source.lions_derivative(z),
        source.second_flat_derivative(z, w),
    )
