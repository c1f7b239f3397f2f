"""Rational measures and points that show that a field is no gradient.

For N atoms of fixed weights, `V = -grad dE/dm` says that `sum_i a_i <V(mu, x_i), dx_i>` is the
differential of a function, so its derivative is symmetric: at each pair of atoms `D_mu V(x_i)(x_j)`
is the transpose of `D_mu V(x_j)(x_i)`, and at each atom `D_x V + a_i D_mu V(x_i)(x_i)` is
symmetric. Where one of these fails, no energy exists on any open domain that holds the atoms.
"""

import random
from dataclasses import dataclass
from typing import Any

from sympy import Matrix as Array, Rational, nan, zoo

from .exact import exact
from .terms import Matrix, Point, Vector
from .vectors import size

TRIALS = 6
DIGITS = 40
FAR = Rational(1, 1000)
DENOMINATOR = 4
DIMENSIONS = (2, 1, 3, 4, 6)


@dataclass(frozen=True, slots=True)
class Witness:
    """Where two sides that are equal for every gradient differ.

    Attributes:
        condition: what fails, in words.
        points, weights: the atoms of the measure, rational.
        parameters: rational values of the parameters, by name.
        entry: the row and the column in which the sides differ.
        gap: the difference there: a SymPy number.
        digits: None where the gap is an exact rational, else the digits to which it was evaluated.
    """

    condition: str
    points: tuple
    weights: tuple
    parameters: dict
    entry: tuple[int, int]
    gap: Any
    digits: int | None

    def __str__(self) -> str:
        atoms = ", ".join(f"{tuple(p)}" for p in self.points)
        how = "exactly" if self.digits is None else f"numerically, to {self.digits} digits"
        with_values = "".join(f", {k} = {_plain(v)}" for k, v in self.parameters.items())
        return (
            f"{self.condition}: for atoms {atoms} of weights {self.weights}{with_values} the "
            f"entries {self.entry} differ by {self.gap.n(6)} ({how})"
        )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Array) else value


def asymmetry(field: Any, symmetric: tuple = ()) -> Witness | None:
    """A witness that a field is not the gradient of an energy, or None where none was found.

    Args:
        field: a velocity field that does not depend on the time.
        symmetric: matrices that are taken as symmetric.

    >>> from .library import consensus
    >>> asymmetry(consensus()) is None
    True
    """
    pull = field.lions_derivative(_other(field.x))
    here = field.jacobian().term
    for dim in _dimensions(field):
        try:
            for seed in range(TRIALS):
                found = _compared(field, here, pull, _environment(field, dim, seed, symmetric))
                if found is not None:
                    return found
            return None
        except (ValueError, IndexError):  # shapes that do not fit: another dimension
            continue
        except NotImplementedError:  # a head without exact values: nothing can be shown
            return None
    return None


def _other(x: Point) -> Point:
    return Point("y") if x.name != "y" else Point("z")


def _dimensions(field: Any) -> tuple:
    known = size(field.term)
    return DIMENSIONS if known is None else (known,)


def _environment(field: Any, dim: int, seed: int, symmetric: tuple) -> dict:
    """Two atoms and values of the parameters, small rationals of the declared signs."""
    rng = random.Random(seed)

    def draw() -> Any:
        return Rational(rng.randint(-2 * DENOMINATOR, 2 * DENOMINATOR), DENOMINATOR)

    values: dict[Any, Any] = {}
    for atom in field.parameters:
        if isinstance(atom, Matrix):
            m = Array(dim, dim, lambda i, j: draw())
            values[atom] = (m + m.T) / 2 if atom in symmetric else m
        elif isinstance(atom, Vector):
            values[atom] = Array(dim, 1, lambda i, j: draw())
        else:
            values[atom] = _scalar(atom, rng)
    weight = Rational(rng.randint(1, DENOMINATOR - 1), DENOMINATOR)
    weights = [weight, 1 - weight]
    if not field.mu.probability:
        weights = [2 * w for w in weights]
    values[field.mu] = ([Array(dim, 1, lambda i, j: draw()) for _ in range(2)], weights)
    return values


def _scalar(atom: Any, rng: random.Random) -> Any:
    n = rng.randint(1, 3)
    value = Rational(n) if atom.is_integer else Rational(n, 2)
    return -value if atom.is_nonpositive else value


def _compared(field: Any, here: Any, pull: Any, env: dict) -> Witness | None:
    (p, q), weights = env[field.mu]
    x, (y,) = field.x, pull.points
    if p == q:
        return None

    def at(term: Any, x_value: Any, y_value: Any) -> Any:
        return exact(term, {**env, x: x_value, y: y_value})

    own = at(here, p, p) + weights[0] * at(pull.term, p, p)
    pairs = (
        ("D_x V + a D_mu V at an atom is not symmetric", own, own.T),
        ("D_mu V(mu, x)(y) is not D_mu V(mu, y)(x)^T", at(pull.term, p, q), at(pull.term, q, p).T),
    )
    for condition, left, right in pairs:
        entry, gap, digits = _largest(left - right)
        if gap is not None:
            named = {atom.name: env[atom] for atom in field.parameters}
            points = tuple(tuple(z) for z in (p, q))
            return Witness(condition, points, tuple(weights), named, entry, gap, digits)
    return None


def _largest(difference: Any) -> tuple[Any, Any, int | None]:
    """The first entry that is far from zero: exact where it is rational, else to many digits."""
    for i in range(difference.rows):
        for j in range(difference.cols):
            gap = difference[i, j]
            if gap.is_Rational:
                if abs(gap) > FAR:
                    return (i, j), gap, None
                continue
            coarse, fine = gap.n(DIGITS), gap.n(2 * DIGITS)
            if coarse in (nan, zoo) or not fine.is_Float:
                continue
            if abs(fine) > FAR and abs(coarse - fine) < FAR / 10**10:
                return (i, j), coarse, DIGITS
    return (0, 0), None, None
