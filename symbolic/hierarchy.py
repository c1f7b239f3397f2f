"""The BBGKY hierarchy of a pairwise field: equations of the marginals of N particles.

N exchangeable particles move by `x_i' = b(x_i) + 1/N sum_j K(x_i, x_j)`, the own term included. The
law F_s of the first s of them obeys

    d_t F_s + sum_{i<=s} div_{x_i}[ (b(x_i) + 1/N sum_{j<=s} K(x_i, x_j)) F_s
                                    + (N-s)/N int K(x_i, x_{s+1}) F_{s+1} dx_{s+1} ] = 0,

and as N grows the limit is solved by the products of the solution f of the Vlasov equation.

Source: Bogoliubov (1946); Golse (2016), arXiv:1301.5494, sections 1.5-1.6; docs/mathematics.md,
section 10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sympy import Add, Expr, Integer, Mul, S, Symbol

from . import printing
from .binders import Integral, LogPartition
from .derived import DerivedTerm
from .gateaux import Along, MassAt, gateaux, zero_of
from .maps import VelocityField
from .matrices import is_zero
from .normal import Normal
from .products import exponential
from .scalars import Dot
from .substitution import substitute
from .terms import FreshPoint, Point, Scalar, Vector, VectorTerm, free_symbols, scalar
from .vectors import Block, Stack, size
from .vlasov import Statement

Observable = Callable[..., Expr]  # of s vectors


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The equations of the marginals of N particles in a pairwise field.

    Attributes:
        field: the velocity field `V(mu, x) = b(x) + int K(x, y) mu(dy)`.
        kernel: K(x, y), a term with the further point y.
        drift: b(x).

    >>> from .library import consensus
    >>> print(bbgky(consensus()).equation())
    d_t F_s + sum_{i<=s} div_{x_i}[1/N sum_{j<=s} K(x_i, x_j) F_s
    + (N-s)/N int K(x_i, x_{s+1}) F_{s+1} dx_{s+1}] = 0, K(x, y) = y - x
    """

    field: VelocityField
    kernel: DerivedTerm
    drift: DerivedTerm

    def __str__(self) -> str:
        return f"{self.equation()}\n{self.limit()}"

    def latex(self) -> str:
        """The hierarchy and its limit in LaTeX."""
        rows = f"& {self.equation().tex} \\\\\n& {self.limit().tex}"
        return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    @property
    def order(self) -> int:
        """2 where the points are `(q, v)` with q' = v, else 1."""
        return 1 if self._force() is None else 2

    def _force(self) -> tuple[Any, Any, int] | None:
        """Drift and kernel of v' and the dimension, where the field is (v, force)."""
        term, x = self.field.term, self.field.x
        if not isinstance(term, Stack) or not isinstance(term.args[0], Block):
            return None
        v, d = term.args[0], size(term.args[0])
        if d is None or v != Block(x, d, 2 * d):
            return None
        return Block(self.drift.term, d, 2 * d), Block(self.kernel.term, d, 2 * d), d

    def equation(self, s: Any = "s", n: Any = "N") -> Statement:
        """The equation of the marginal F_s of N particles, for symbols or numbers.

        Raises:
            ValueError: numbers that are not 1 <= s <= N.

        >>> from .library import consensus
        >>> print(bbgky(consensus()).equation(1, 2).text)
        d_t F_1 + sum_{i<=1} div_{x_i}[1/2 sum_{j<=1} K(x_i, x_j) F_1
        + 1/2 int K(x_i, x_{2}) F_{2} dx_{2}] = 0, K(x, y) = y - x
        """
        s, n = _index(s, "s"), _index(n, "N")
        if isinstance(s, Integer) and isinstance(n, Integer) and s > n:
            raise ValueError(f"a marginal of s <= N particles, got s = {s} and N = {n}")
        return self._statement("hierarchy", s, n)

    def limit(self, s: Any = "s") -> Statement:
        """The limit of the equations as N grows, the Vlasov hierarchy.

        >>> from .library import consensus
        >>> print(bbgky(consensus()).limit())
        d_t f_s + sum_{i<=s} div_{x_i}[int K(x_i, x_{s+1}) f_{s+1} dx_{s+1}] = 0, K(x, y) = y - x
        """
        return self._statement("limit", _index(s, "s"), None)

    def _statement(self, name: str, s: Any, n: Any) -> Statement:
        plain = _equation(_Words(False, self._force() is not None), s, n, self._has_drift())
        tex = _equation(_Words(True, self._force() is not None), s, n, self._has_drift())
        return Statement(name, plain + self._where(False), tex + self._where(True))

    def _parts(self) -> tuple[Any, Any, str, str]:
        force = self._force()
        if force is None:
            return self.drift.term, self.kernel.term, "b", "K"
        return force[0], force[1], "g", "Phi"

    def _has_drift(self) -> bool:
        return not is_zero(self._parts()[0])

    def _where(self, tex: bool) -> str:
        b, k, drift, kernel = self._parts()
        x, y = str(self.field.x), str(self.kernel.points[0])
        write = printing.latex if tex else printing.text
        kernel = r"\Phi" if tex and kernel == "Phi" else kernel
        comma = r", \qquad " if tex else ", "
        told = f"{comma}{kernel}({x}, {y}) = {write(k)}"
        return told + (f"{comma}{drift}({x}) = {write(b)}" if self._has_drift() else "")

    def rate(self, phi: Observable, s: int, n: Any = None) -> tuple[DerivedTerm, DerivedTerm]:
        """The weak form: `d/dt E phi(x_1, .., x_s)` as two observables to average.

        Args:
            phi: a Python function from s vectors to a scalar term.
            s: the number of particles that phi sees.
            n: the number of all particles; None for the limit.

        Returns:
            Terms in x = x_1 and the points `x_2`, ..: the first is averaged over F_s, the second,
            of one point more, over F_{s+1}. Their sum is the rate; exact for exchangeable laws.

        >>> from .library import consensus
        >>> from .constructors import component
        >>> within, beyond = bbgky(consensus()).rate(lambda v: component(v, 0), 1, 2)
        >>> print(within, beyond)
        0 (x_2 - x)[0]/2
        """
        points = self._points(s + 1)
        n = None if n is None else _index(n, "N")
        if isinstance(n, Integer) and n < s:
            raise ValueError(f"a marginal of s <= N particles, got s = {s} and N = {n}")
        within, beyond = self._rates(phi, points, n)
        made = self.field._derived
        used = tuple(p for p in points[1:] if isinstance(p, Point))
        extra = self.field.parameters
        return made("rate", within, used[:-1], extra), made("rate", beyond, used, extra)

    def _points(self, count: int) -> list:
        x = self.field.x
        return [x, *(Point(f"{x.name}_{i}") for i in range(2, count + 1))]

    def _rates(self, phi: Observable, points: list, n: Any) -> tuple[Expr, Expr]:
        *own, last = points
        s, value = len(own), scalar(phi(*own))
        share = S.Zero if n is None else 1 / n
        within, beyond = S.Zero, S.Zero
        for p in own:
            speed = self._at(self.drift.term, p, p)
            for q in own:
                speed = speed + share * self._at(self.kernel.term, p, q)
            within += gateaux(value, Along(p, speed))
            far = gateaux(value, Along(p, self._at(self.kernel.term, p, last)))
            beyond += far if n is None else (n - s) * share * far
        return within, beyond

    def _at(self, term: Any, x: VectorTerm, y: VectorTerm) -> Any:
        return substitute(term, {self.field.x: x, self.kernel.points[0]: y})

    def residual(self, s: int) -> Expr:
        """What is left when `f (x) ... (x) f` is put into the limit, tested by exponentials.

        The test functions `exp(<k_1, x_1> + .. + <k_s, x_s>)` determine the equation on compact
        sets; `d/dt` of the product is by the Vlasov equation, with mu in place of f.

        >>> from .library import consensus
        >>> Normal(consensus().mu).vanishes(bbgky(consensus()).residual(2))
        True
        """
        field, waves = self.field, [Vector(f"k_{i}") for i in range(1, s + 1)]
        points = [FreshPoint() for _ in range(s + 1)]
        factors = [_wave(k, p) for k, p in zip(waves, points, strict=False)]
        means = [Integral(f, p, field.mu) for f, p in zip(factors, points, strict=False)]
        rates = [Integral(gateaux(f, Along(p, substitute(field.term, {field.x: p}))), p, field.mu)
                 for f, p in zip(factors, points, strict=False)]  # fmt: skip
        left = Add(*(Mul(*means[:i], r, *means[i + 1 :]) for i, r in enumerate(rates)))
        within, beyond = self._rates(
            lambda *p: Mul(*(_wave(k, a) for k, a in zip(waves, p, strict=True))), points, None
        )
        return left - _averaged(within, points[:-1], field) - _averaged(beyond, points, field)

    def solved_by_products(self, s: int = 2) -> bool:
        """Whether `f (x) ... (x) f` is seen to solve the limit, for s of 1, 2 or 3.

        The equation for larger s is a sum of copies of that for s = 1, each times the other
        factors, because both sides obey the product rule (docs/mathematics.md, section 10).

        >>> from .library import kuramoto
        >>> bbgky(kuramoto()).solved_by_products(3)
        True
        """
        if s not in (1, 2, 3):
            raise ValueError(f"expected s of 1, 2 or 3, got {s!r}")
        mu = self.field.mu
        return Normal(mu).vanishes(self.residual(s))


def bbgky(field: VelocityField) -> Hierarchy:
    """The BBGKY hierarchy of a field `V(mu, x) = b(x) + int K(x, y) mu(dy)`.

    Args:
        field: a pairwise field that does not depend on the time.

    Raises:
        ValueError: the field is not pairwise, so that its equations do not close at s + 1.

    >>> from .library import cucker_smale
    >>> print(bbgky(cucker_smale(1)).limit())
    d_t f_s + sum_{i<=s} v_i . grad_{q_i} f_s + sum_{i<=s} div_{v_i}[int Phi(z_i, z_{s+1})
    f_{s+1} dz_{s+1}] = 0, Phi(x, y) = K (1 + |x[0:1] - y[0:1]|^2)^(-beta) (y[1:2] - x[1:2])
    """
    if field.time is not None:
        raise ValueError("expected a field without time, got one that depends on it")
    x, mu, z = field.x, field.mu, FreshPoint()
    y = next(Point(name) for name in ("y", "w") if name != x.name)
    kernel = substitute(gateaux(field.term, MassAt(mu, z)), {z: y})
    if mu in free_symbols(kernel):
        raise ValueError(_not_pairwise(kernel))
    drift = _without(field.term, mu)
    return Hierarchy(
        field,
        field._derived("kernel", kernel, (y,), field.parameters),
        field._derived("drift", drift, (), field.parameters),
    )


def _not_pairwise(kernel: Any) -> str:
    ratio = any(isinstance(t, LogPartition) for t in _subterms(kernel))
    shape = "a ratio of integrals" if ratio else "not linear in the measure"
    return (
        f"expected a pairwise field b(x) + int K(x, y) mu(dy), got one that is {shape}: its "
        "hierarchy does not close; take a kernel without normalisation."
    )


def _subterms(term: Any) -> set:
    found, pending = set(), [term]
    while pending:
        t = pending.pop()
        if t not in found:
            found.add(t)
            pending.extend(t.args)
    return found


def _without(term: Any, mu: Any) -> Any:
    """A term that is affine in mu at mu = 0."""
    held = {t: zero_of(t) for t in _subterms(term) if isinstance(t, Integral) and t.measure == mu}
    held = {t: zero for t, zero in held.items() if not _open(t)}
    return substitute(term, held)


def _open(term: Any) -> bool:
    return any(type(a).__name__ == "BoundPoint" for a in free_symbols(term))


def _wave(k: VectorTerm, x: VectorTerm) -> Expr:
    return exponential(Dot(k, x))


def _averaged(term: Any, points: list, field: VelocityField) -> Any:
    for p in points:
        term = Integral(term, p, field.mu)
    return term


def _index(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return Scalar(value, integer=True, positive=True)
    if isinstance(value, Symbol):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, Integer)) or value < 1:
        raise ValueError(f"expected {name}, an integer >= 1 or a symbol, got {value!r}")
    return Integer(value)


# ---- the equation in words


@dataclass(frozen=True, slots=True)
class _Words:
    tex: bool
    second: bool  # of second order, in z = (q, v)

    @property
    def point(self) -> str:
        return "z" if self.second else "x"

    def share(self, n: Any, s: Any = None) -> str:
        """`1/N`, or `(N-s)/N`, a number where it is one."""
        value = (S.One if s is None else n - s) / n
        if not value.free_symbols:
            return printing.latex(value) if self.tex else str(value)
        over = "1" if s is None else f"{n}-{s}"
        if self.tex:
            return rf"\frac{{{over}}}{{{n}}}"
        return f"{over}/{n}" if s is None else f"({over})/{n}"

    def total(self, index: str, s: Any) -> str:
        return rf"\sum_{{{index}=1}}^{{{s}}} " if self.tex else f"sum_{{{index}<={s}}} "

    def kernel(self, j: Any) -> str:
        name = {(False, False): "K", (True, False): "K", (False, True): "Phi",
                (True, True): r"\Phi"}[self.tex, self.second]  # fmt: skip
        last = f"{{{j}}}" if j != "j" else j
        return f"{name}({self.point}_i, {self.point}_{last})"

    def integral(self, law: str, after: Any) -> str:
        d = rf"\,\mathrm{{d}}{self.point}" if self.tex else f" d{self.point}"
        sign = r"\int " if self.tex else "int "
        return f"{sign}{self.kernel(after)} {law}_{{{after}}}{d}_{{{after}}}"

    def bracketed(self, inside: str) -> str:
        return rf"\left[{inside}\right]" if self.tex else f"[{inside}]"


def _equation(w: _Words, s: Any, n: Any, drift: bool) -> str:
    law = "f" if n is None else "F"
    name = f"{law}_{s}"
    over, along = w.total("i", s), "v" if w.second else "x"
    time = r"\partial_t " if w.tex else "d_t "
    grad = r"v_i \cdot \nabla_{q_i} " if w.tex else "v_i . grad_{q_i} "
    transport = f" + {over}{grad}{name}" if w.second else ""
    div = rf"\nabla_{{{along}_i}} \cdot " if w.tex else f"div_{{{along}_i}}"
    inside = w.bracketed(" + ".join(_summands(w, s, n, drift, name)))
    return f"{time}{name}{transport} + {over}{div}{inside} = 0"


def _summands(w: _Words, s: Any, n: Any, drift: bool, name: str) -> list[str]:
    after = str(s + 1) if isinstance(s, Integer) else f"{s}+1"
    found = [f"{'g' if w.second else 'b'}({w.point}_i) {name}"] if drift else []
    if n is None:
        return [*found, w.integral("f", after)]
    found.append(f"{w.share(n)} {w.total('j', s)}{w.kernel('j')} {name}")
    return found if n == s else [*found, f"{w.share(n, s)} {w.integral('F', after)}"]
