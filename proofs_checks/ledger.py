"""The theorems and rules that proofs use, each with its source.

Proofs name rules; what a rule says, and who says it, is written here once.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theorem:
    """A statement with its source.

    >>> print(LEDGER["integral"].name)
    integral
    """

    name: str
    statement: str
    source: str

    def __str__(self) -> str:
        return f"{self.name}: {self.statement} [{self.source}]"


_ANALYSIS = "Rudin (1976), Principles of Mathematical Analysis, Theorems 4.7-4.10"
_GLUING = "Munkres (2000), Topology, Theorem 18.3"
_WEAK = "Villani (2009), Optimal Transport, Theorem 6.9; proved in the statement"
_INTERVALS = (
    "Moore, Kearfott & Cloud (2009), Introduction to Interval Analysis, Theorem 5.1; "
    "Johansson (2017), IEEE Trans. Comput. 66(8), for the arithmetic"
)
_ENTRIES = (
    Theorem(
        "in-context map",
        "If G is continuous on P(Omega) x Omega, Omega compact, then f(mu) = G(mu)#mu is a "
        "continuous map of measures that satisfies B1 and B2.",
        "Furuya, de Hoop & Lassas (2025), arXiv 2509.25611, Theorem 1; docs/mathematics.md, "
        "sections 2 and 5",
    ),
    Theorem(
        "variable",
        "A point is a continuous function of itself; a number is constant.",
        _ANALYSIS,
    ),
    Theorem(
        "polynomial",
        "Sums, products and scalar multiples of continuous functions are continuous; so are matrix "
        "products, inner products, components, blocks and stacks, which are made of them.",
        _ANALYSIS,
    ),
    Theorem(
        "composition",
        "A function that is continuous on the whole line, of a continuous function, is continuous.",
        _ANALYSIS,
    ),
    Theorem(
        "norm",
        "|v|^p is a continuous function of v for p > 0.",
        _ANALYSIS,
    ),
    Theorem(
        "composition on a range",
        "A function that is continuous on a set, of a continuous function with values in that set, "
        "is continuous.",
        _ANALYSIS,
    ),
    Theorem(
        "enclosure",
        "Interval arithmetic encloses the range of a term; an integral against a probability "
        "measure lies in the closed convex hull of the values of its integrand. On finitely many "
        "closed parts that cover the domain it suffices to enclose part by part. Mixed products "
        "are also read as squares, 2 <u, v> = |u + v|^2 - |u|^2 - |v|^2, and E|h|^2 - |E h|^2 as a "
        "variance, which lies between 0 and a quarter of the squared width; |v| >= |<v, u>| / |u| "
        "for the directions u that v is made of.",
        _INTERVALS,
    ),
    Theorem(
        "sign",
        "Squares, squared norms and variances are not negative, exponentials are positive; sums "
        "and products keep signs, and the average of a positive continuous function on a compact "
        "set is positive.",
        _ANALYSIS,
    ),
    Theorem(
        "one branch",
        "A piecewise function of which all points take the same piece is that piece.",
        _INTERVALS,
    ),
    Theorem(
        "gluing",
        "Finitely many continuous pieces make a continuous function if, wherever the condition of "
        "one flips next to another, both have the same value.",
        _GLUING,
    ),
    Theorem(
        "integral",
        "If h is continuous on P(Omega) x Omega x K, K compact, then so is "
        "(mu, x) -> int h(mu, x, y) mu(dy): the difference at (mu', x') is at most "
        "sup_y |h(mu', x', y) - h(mu, x, y)| + |int h(mu, x, .) d(mu' - mu)|, which vanishes by "
        "uniform continuity and by weak convergence.",
        _WEAK,
    ),
    Theorem(
        "push-forward",
        "If T is continuous, the atoms of T#mu stay in the compact image of the domain, and "
        "int phi d(T#mu) = int phi(T(mu, y)) mu(dy) is the integral of a continuous function.",
        _WEAK,
    ),
    Theorem(
        "Gibbs law",
        "Let p(dy) = e^{s(y)} mu(dy) / Z with s continuous. As mu has mass one, "
        "Z >= e^{min s} > 0; so log Z and expectations under p of continuous functions are "
        "continuous, and cumulants are polynomials of expectations.",
        "Castin, Ablin & Peyre (2024), arXiv 2312.14820; proved in the statement",
    ),
    Theorem(
        "derivative bounds",
        "On a convex domain a continuous map that is piecewise smooth is Lipschitz with the "
        "supremum of |D_x G| in the point, and with that of |D_mu G(mu, x)(z)| in W1: integrate "
        "the derivative along (1-t) X + t Y for an optimal coupling (X, Y).",
        "Carmona & Delarue (2018), vol. I, ch. 5; docs/mathematics.md, section 8",
    ),
)

LEDGER: dict[str, Theorem] = {theorem.name: theorem for theorem in _ENTRIES}
