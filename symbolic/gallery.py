"""A page of derived formulas: `python -m pushforward.symbolic.gallery > docs/gallery.md`.

Every formula on the page is printed by this package.
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sympy import tanh

from . import library
from .constructors import elementwise
from .extrema import supremum
from .gateaux import NotDerivable
from .in_context import AbstractInContext
from .maps import SymbolicMap
from .terms import Matrix, Measure, Point


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A map or a field of the library with its title and a sentence about it."""

    title: str
    about: str
    source: AbstractInContext


def exhibits() -> tuple[Exhibit, ...]:
    """What the page shows, in its order."""
    return (
        Exhibit("Softmax attention", "The Gibbs mean of the values.", library.softmax_attention()),
        Exhibit("Linear attention", "The exponential replaced by its argument.",
                library.linear_attention()),
        Exhibit("Sigmoid attention", "Every token weighs by itself: no normaliser.",
                library.sigmoid_attention()),
        Exhibit("L2 attention", "Scores by distances.", library.l2_attention()),
        Exhibit("Sinkhorn attention", "One step: the mean under weights normalised over queries.",
                library.sinkhorn_attention(1)),
        Exhibit("Max pooling", "The largest of each component over the support, which is no "
                "continuous function of the measure: the derivatives in it do not exist.",
                _max_pooling()),
        Exhibit("Cucker-Smale", "Flocking on (position, velocity) in the plane.",
                library.cucker_smale(2)),
        Exhibit("Kuramoto", "Coupled oscillators on a line of phases.", library.kuramoto()),
    )  # fmt: skip


def _max_pooling() -> SymbolicMap:
    """A token with the pooled features of all. Source: Qi et al. (2017), PointNet, 1612.00593."""
    x, y, mu = Point("x"), Point("y"), Measure("mu")
    pooled = supremum(Matrix("V") @ y, y, mu)
    return SymbolicMap(elementwise(tanh, Matrix("A") @ x + pooled), x, mu)


_SHOWN = {
    "jacobian": r"D_x {G}(\mu, x)",
    "divergence": r"\nabla_x\cdot {G}(\mu, x)",
    "flat_derivative": r"\frac{{\delta {G}}}{{\delta m}}(\mu, x)(z)",
    "lions_derivative": r"D_\mu {G}(\mu, x)(z)",
}


def page() -> str:
    """The page in Markdown, with formulas in LaTeX between double dollar signs.

    >>> print(page().splitlines()[0])
    # Gallery of derived formulas
    """
    head = [
        "# Gallery of derived formulas",
        "",
        "Written by `python -m pushforward.symbolic.gallery`. Derivatives in the measure are those",
        "on positive measures, in the direction of a unit mass at z.",
    ]
    return "\n".join([*head, *(line for e in exhibits() for line in _section(e))]) + "\n"


def _section(exhibit: Exhibit) -> Iterator[str]:
    source = exhibit.source
    letter = "V" if source.kind == "field" else "G"
    yield from ("", f"## {exhibit.title}", "", exhibit.about)
    yield from _formula(rf"{letter}(\mu, x)", source)
    for kind, derived in _derived(source).items():
        yield from _formula(_SHOWN[kind].format(G=letter), derived)


def _derived(source: Any) -> dict[str, Any]:
    """The derivatives that are shown, without those that do not exist."""
    z = Point("z")
    points = {"flat_derivative": (z,), "lions_derivative": (z,)}
    found = {}
    for kind in _SHOWN:
        with suppress(NotDerivable):
            found[kind] = getattr(source, kind)(*points.get(kind, ()))
    return found


def _formula(name: str, formula: Any) -> Iterator[str]:
    yield from ("", f"$${name} = {formula.latex()}$$", "", f"    {formula}")


if __name__ == "__main__":
    sys.stdout.write(page())
