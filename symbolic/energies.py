"""Energies in closed form: of gradient fields, and of fields of second order."""

from typing import Any

import sympy
from sympy import Add, Expr, S
from sympy.simplify.fu import TR8

from .binders import Integral
from .gateaux import Along, MassAt, gateaux
from .linear import gradient_in
from .normal import Normal
from .products import leaves, stand_in, swapped
from .scalars import Dot
from .substitution import substitute
from .terms import FreshPoint, Measure, Term, VectorTerm, free_symbols
from .vectors import Block, Stack, size

_NOWHERE = Measure("nowhere")


def slope_of(energy: Expr, mu: Any, x: VectorTerm) -> VectorTerm:
    """`grad_x dE/dm (mu)(x)`, the Lions derivative of a functional of mu.

    >>> from .constructors import norm2
    >>> from .terms import Measure, Point
    >>> x, mu = Point("x"), Measure("mu")
    >>> slope_of(Integral(norm2(x) / 2, x, mu), mu, x)
    x
    """
    z, u = FreshPoint(), FreshPoint()
    slope = gradient_in(gateaux(gateaux(energy, MassAt(mu, z)), Along(z, u)), u)
    return substitute(slope, {z: x, u: x})


def potential(field: Any, term: Any, symmetric: tuple) -> Any:
    """E with `term = -grad dE/dm`, integrated along the dilations of mu, or None.

    `E(mu) - E(|mu| delta_0) = -int_0^1 int <V(t#mu, t x), x> mu(dx) dt`.
    """
    x, mu, t = field.x, field.mu, sympy.Dummy("t", positive=True)
    normal, energy = Normal(mu, symmetric), S.Zero
    for n, kernel in normal.kernels(Integral(Dot(term, x), x, mu)).items():
        points = [FreshPoint(-i) for i in range(1, n + 1)]
        moved = substitute(kernel, {p: t * p for p in points})
        found = _primitive(_at_differences(moved / t, n), t)
        if found is None:
            return None
        for p in points:
            found = Integral(found, p, mu)
        energy -= found
    u = FreshPoint()
    residue = Dot(u, term + slope_of(energy, mu, x))
    return energy if energy != 0 and normal.vanishes(residue) else None


def _at_differences(kernel: Expr, n: int, *points: VectorTerm) -> Expr:
    """A kernel of two points in their difference where it depends on that alone."""
    if n != 2:
        return kernel
    (z, w), r = points or (FreshPoint(-1), FreshPoint(-2)), FreshPoint(-3)
    form = Normal(_NOWHERE).flat(substitute(kernel, {w: z + r}))
    ours = (a for a in leaves(form) if getattr(a, "is_term", False))
    table = {a: stand_in(a) for a in ours}
    back = {dummy: leaf for leaf, dummy in table.items()}
    form = swapped(sympy.expand(swapped(form, table), power_exp=False), back)
    return kernel if z in free_symbols(form) else substitute(form, {r: z - w})


def _primitive(integrand: Expr, t: Any) -> Any:
    """The integral over t from 0 to 1 of an expression in t and leaves of ours, or None."""
    # All leaves as positive numbers: the caller checks the energy that comes out by its derivative.
    table: dict[Any, Any] = {a: sympy.Dummy(positive=True) for a in leaves(integrand) if a != t}
    moving = {dummy for leaf, dummy in table.items() if isinstance(leaf, Term)}
    plain = sympy.expand(swapped(integrand, table), power_exp=False)
    if plain.has(sympy.sin, sympy.cos):
        plain = TR8(plain)  # products of sines and cosines as sums
    primitive = _generic(sympy.integrate(plain, t, manual=True))
    if primitive.has(sympy.Integral):
        return None
    total = _generic(sympy.simplify(primitive.subs(t, 1) - sympy.limit(primitive, t, 0)))
    summands = Add.make_args(sympy.expand(total, power_exp=False, power_base=False))
    kept = Add(*(a for a in summands if a.free_symbols & moving))
    return swapped(kept, {dummy: leaf for leaf, dummy in table.items()})


def _generic(e: Any) -> Any:
    """A piecewise expression by the branch that holds for most parameters: `!=`, or no equation."""
    return e.replace(lambda a: isinstance(a, sympy.Piecewise), _most)


def _most(e: sympy.Piecewise) -> Any:
    unequal = [p.args[0] for p in e.args if isinstance(p.args[1], sympy.Ne)]
    return unequal[0] if unequal else e.args[-1].args[0]  # type: ignore[union-attr]


# ---- fields of second order


def mechanical_energy(field: Any, symmetric: tuple = ()) -> Any:
    """The energy of a field `(q, v)' = (v, F(mu, q, v))`, or None where the field is none.

    `int |v|^2 / 2 mu` plus the potential of F where F is seen to have one, found along dilations of
    the positions; without one (a force that reads velocities) the kinetic energy alone.

    >>> from .library import cucker_smale
    >>> print(mechanical_energy(cucker_smale(2)))
    int <y[2:4], y[2:4]> mu(dy)/2
    """
    parts = _second_order(field)
    if parts is None or field.time is not None:
        return None
    x, mu = field.x, field.mu
    q, v, force = parts
    kinetic = Integral(Dot(v, v), x, mu) / 2
    found = _of_forces(field, q, force, symmetric)
    return kinetic if found is None else kinetic + found


def _second_order(field: Any) -> tuple | None:
    """Position, velocity and force where the field is `(v, F)` of two halves of one size."""
    term, x = field.term, field.x
    if not isinstance(term, Stack) or not all(isinstance(p, VectorTerm) for p in term.args):
        return None
    v, *rest = term.args
    if not isinstance(v, Block) or v.args[0] != x:
        return None
    force, d = Stack(*rest), v.args[1]
    if v.args[2] != 2 * d or size(v) != d or size(force) not in (d, None):  # type: ignore[operator]
        return None
    return Block(x, 0, d), v, force


def _of_forces(field: Any, q: Any, force: Any, symmetric: tuple) -> Any:
    """Phi with `F = -grad_q dPhi/dm`, integrated along dilations of the positions, or None."""
    x, mu, t = field.x, field.mu, sympy.Dummy("t", positive=True)
    normal, energy = Normal(mu, symmetric), S.Zero
    d = q.args[2]
    for n, kernel in normal.kernels(Integral(Dot(force, q), x, mu)).items():
        points = [FreshPoint(-i) for i in range(1, n + 1)]
        places = [FreshPoint() for _ in points]
        there = {Block(p, 0, d): z for p, z in zip(points, places, strict=True)}
        kernel = substitute(kernel, there)
        if any(p in free_symbols(kernel) for p in points):
            return None  # the force reads more than positions
        found = _along_dilations(kernel, places, t)
        if found is None:
            return None
        back = {z: Block(p, 0, d) for p, z in zip(points, places, strict=True)}
        found = substitute(found, back)
        for p in points:
            found = Integral(found, p, mu)
        energy -= found
    u, w = FreshPoint(), FreshPoint()
    here, there = Block(w, 0, d), Block(w, d, 2 * d)
    slope = gateaux(gateaux(energy, MassAt(mu, u)), Along(u, Stack(here, there * 0)))
    residue = Dot(here, force) + substitute(slope, {u: x})
    return energy if normal.vanishes(residue) else None


def _along_dilations(kernel: Any, points: list, t: Any) -> Any:
    moved = substitute(kernel, {p: t * p for p in points}) / t
    if len(points) == 2:
        moved = _at_differences(moved, 2, *points)
    return _primitive(moved, t)
