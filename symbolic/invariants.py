"""What a flow conserves or dissipates, and whether its field is a Wasserstein gradient.

Each decision is one of few words with the argument used. A decision is made where an identity
holds for every measure (see `normal`); what is not found is "not decided". Denied is only what a
witness refutes (see `witness`).

Source: Ambrosio, Gigli & Savare (2008), ch. 10-11 (gradient flows of measures); Carrillo, McCann &
Villani (2003) (interaction energies); Geshkovski, Letrouit, Polyanskiy & Rigollet (2023),
arXiv:2312.10794 (energies of attention).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sympy import Add, Expr, S

from .binders import Cumulant, Integral, LogPartition, rank
from .energies import mechanical_energy, potential, slope_of as slope_of
from .gateaux import Along, MassAt, gateaux
from .normal import Normal, sign_of_kernel
from .products import exponential
from .scalars import Dot
from .substitution import substitute
from .terms import FreshPoint, Term, VectorTerm, free_symbols
from .vectors import Scaled, VectorSum
from .witness import Witness, asymmetry

DECISIONS = ("conserved", "dissipated", "not decided")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided about a quantity: the verdict, the argument, and the rate as a term."""

    quantity: str
    verdict: str
    argument: str
    rate: Any

    def __str__(self) -> str:
        return f"{self.quantity}: {self.verdict}; {self.argument}"


@dataclass(frozen=True, slots=True)
class Gradient:
    """Whether a field is the gradient flow of an energy: `V = -grad dE/dm`, and the energy.

    The verdict is "gradient", "weighted gradient" (`weight V = -grad dE/dm` with a positive
    weight), "not a gradient" (with a witness: a measure and values of the parameters where the
    derivatives of V are not symmetric) or "not decided". For the first two
    `dE/dt = -int weight |V|^2 dmu`. The first two hold on simply connected domains (on the sphere
    where asked) and for all parameters of the declared signs, the third on every domain that holds
    the atoms of the witness.
    """

    verdict: str
    argument: str
    energy: Any = None
    weight: Any = None
    witness: Witness | None = None

    def __str__(self) -> str:
        named = "" if self.energy is None else f"; E = {self.energy}"
        return f"{self.verdict}; {self.argument}{named}"


# ---- rates


def rate_along(term: Any, field: Any) -> Any:
    """The rate of `g(mu, x)` along the flow: `D_x g V + int D_mu g(y) V(mu, y) mu(dy)`.

    >>> from .library import consensus
    >>> from .constructors import norm2
    >>> field = consensus()
    >>> rate_along(norm2(field.x), field)
    2*<x, int y mu(dy) - |mu| x>
    """
    x, mu, y = field.x, field.mu, FreshPoint()
    here = gateaux(term, Along(x, field.term))
    there = substitute(field.term, {x: y})
    pull = gateaux(gateaux(term, MassAt(mu, y)), Along(y, there))
    rate = here + Integral(pull, y, mu)
    return rate if field.time is None else rate + gateaux(term, Along(field.time, S.One))


def decide(
    field: Any, quantity: Any, symmetric: Iterable[Any] = (), sphere: bool = False
) -> Decision:
    """See `Vlasov.conserves`."""
    name, term = _quantity(field, quantity)
    if name == "mass":
        return Decision(name, "conserved", "particles move and keep their weights", S.Zero)
    if name == "energy":
        return _energy_decision(field, symmetric, sphere)
    rate = rate_along(term, field)
    normal = Normal(field.mu, symmetric, (field.x,) if sphere else ())
    tested = Dot(rate, FreshPoint()) if rank(rate) else rate
    kernels = normal.kernels(tested)
    if normal.vanishes(tested):
        return Decision(name, "conserved", _why(kernels), rate)
    if not rank(rate) and all(sign_of_kernel(k, n) == -1 for n, k in kernels.items()):
        return Decision(
            name, "dissipated", "the kernel of its rate is a sum of terms that are <= 0", rate
        )
    return Decision(name, "not decided", "its rate is not seen to vanish or to be <= 0", rate)


def _why(kernels: dict) -> str:
    if any(n > 1 for n in kernels):
        return "its rate vanishes as two points of the measure change places"
    return "its rate vanishes"


def _quantity(field: Any, quantity: Any) -> tuple[str, Any]:
    x, mu = field.x, field.mu
    if isinstance(quantity, str):
        named = {
            "mass": S.One,
            "energy": None,
            "mean": Integral(x, x, mu),
            "second moment": Integral(Dot(x, x), x, mu),
            "variance": Cumulant((Dot(x, x),), x, mu, 0)
            - Dot(Cumulant((x,), x, mu, 0), Cumulant((x,), x, mu, 0)),
        }
        if quantity not in named:
            raise ValueError(f"expected one of {', '.join(named)}, or a term; got {quantity!r}")
        return quantity, named[quantity]
    if callable(quantity) and not isinstance(quantity, Term):
        quantity = Integral(quantity(x), x, mu)
    if not isinstance(quantity, (Expr, VectorTerm)):
        raise TypeError(f"expected a name, a function of a vector or a term, got {quantity!r}")
    known = {x, mu, field.time, *field.parameters}
    for atom in sorted(free_symbols(quantity) - known, key=str):
        if isinstance(atom, (FreshPoint, VectorTerm)) and type(atom).__name__ == "Point":
            raise ValueError(f"the point {atom} is free; a quantity speaks of {x} and {mu}")
    return str(quantity), quantity


def _energy_decision(field: Any, symmetric: Iterable[Any], sphere: bool) -> Decision:
    mechanical = None if sphere else mechanical_energy(field, tuple(symmetric))
    if mechanical is not None:
        return _mechanical_decision(field, mechanical, symmetric)
    found = wasserstein_gradient(field, symmetric=symmetric, sphere=sphere)
    if found.energy is None:
        why = "no energy falls as that of a gradient flow: " * (found.witness is not None)
        return Decision("energy", "not decided", why + found.argument, None)
    weight = S.One if found.weight is None else found.weight
    rate = -Integral(weight * Dot(field.term, field.term), field.x, field.mu)
    square = "|V|^2" if found.weight is None else "Z |V|^2"
    return Decision(
        str(found.energy), "dissipated", f"{found.argument}: its rate is -int {square} mu", rate
    )


def _mechanical_decision(field: Any, energy: Any, symmetric: Iterable[Any]) -> Decision:
    """The energy of a field of second order: conserved, or never growing, or neither is seen."""
    found = decide(field, energy, symmetric)
    if found.verdict == "conserved":
        argument = "kinetic energy plus the potential of the forces"
    else:
        argument = f"the kinetic energy: {found.argument}"
    return Decision(found.quantity, found.verdict, argument, found.rate)


# ---- gradients


def wasserstein_gradient(
    field: Any, *, symmetric: Iterable[Any] = (), sphere: bool = False
) -> Gradient:
    """See `Vlasov.gradient`."""
    symmetric = tuple(symmetric)
    if field.time is not None:
        return Gradient("not decided", "a field that depends on the time has no one energy")
    weights = [None, *_partition_functions(field.term)]
    for weight in weights:
        term = _ambient(field) if sphere else field.term
        if term is None:
            return Gradient("not decided", "the field is not written as w - <x, w> x")
        scaled = term if weight is None else weight * term
        if _is_closed(field, scaled, symmetric):
            energy = potential(field, scaled, symmetric)
            return _gradient(weight, energy, sphere)
    found = None if sphere else asymmetry(field, symmetric)
    if found is not None:
        return Gradient("not a gradient", str(found), witness=found)
    return Gradient(
        "not decided", "D_x V or D_mu V(mu, x)(y) is not seen to be symmetric in its two places"
    )


def _gradient(weight: Any, energy: Any, sphere: bool) -> Gradient:
    space = "on the sphere" if sphere else "on a simply connected domain"
    if weight is None:
        why = f"D_x V is symmetric and D_mu V(mu, x)(y) = D_mu V(mu, y)(x)^T, {space}"
        return Gradient("gradient", why, energy)
    why = (
        f"Z V has D_x symmetric and D_mu(x)(y) = D_mu(y)(x)^T, {space}, with the normaliser Z: "
        "a gradient for the metric weighted by Z, not shown to be one for W2"
    )
    return Gradient("weighted gradient", why, energy, weight)


def _partition_functions(term: Any) -> list:
    """The normalisers Z of the Gibbs laws of a term, one of each."""
    found, pending, seen = [], [term], set()
    while pending:
        t = pending.pop()
        if t in seen:
            continue
        seen.add(t)
        pending.extend(t.args)
        if isinstance(t, Cumulant):
            log_z = LogPartition(t.variable, t.measure, t.energy)
            found.append(exponential(log_z))
            if t.energy.has(Dot):  # a square in the energy keeps its part without y
                found.extend(_completed(t, log_z))
    return [z for z in dict.fromkeys(found) if not _speaks_of_bound(z)]


def _speaks_of_bound(term: Any) -> bool:
    return any(type(a).__name__ == "BoundPoint" for a in free_symbols(term))


def _completed(law: Cumulant, log_z: Any) -> list:
    """Z with the factor `exp(-|u|^2)` of a square `-|u - v(y)|^2` that the law cancels."""
    found = []
    for part in Add.make_args(law.energy):
        c, square = part.as_coeff_Mul()
        if isinstance(square, Dot) and square.args[0] == square.args[1]:
            u = VectorSum(*(a for a in _summands(square.args[0])
                            if law.variable not in free_symbols(a)))  # fmt: skip
            found.append(exponential(log_z + c * Dot(u, u)))
    return [z for z in found if z is not None]


def _summands(v: Any) -> tuple:
    return v.args if isinstance(v, VectorSum) else (v, v * 0)


def _ambient(field: Any) -> Any:
    """w where the field is written as `w - <x, w> x`."""
    parts = field.term.args if isinstance(field.term, VectorSum) else (field.term,)
    away = [p for p in parts if not (isinstance(p, Scaled) and p.args[1] == field.x)]
    if not away:
        return None
    w, u = VectorSum(*away), FreshPoint()
    rest = Dot(u, field.term - w + Dot(field.x, w) * field.x)
    return w if Normal(field.mu).vanishes(rest) else None


def _is_closed(field: Any, term: Any, symmetric: tuple) -> bool:
    x, mu, normal = field.x, field.mu, Normal(field.mu, symmetric)
    u, w, z = FreshPoint(), FreshPoint(), FreshPoint()
    here = Dot(w, gateaux(term, Along(x, u))) - Dot(u, gateaux(term, Along(x, w)))
    flat = gateaux(term, MassAt(mu, z))
    turned = substitute(flat, {x: z, z: x})
    there = Dot(w, gateaux(flat, Along(z, u))) - Dot(u, gateaux(turned, Along(x, w)))
    return normal.vanishes(here) and normal.vanishes(there)
