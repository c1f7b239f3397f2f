"""The formulas of the catalogue: named in-context maps, ordinary and near the line, unbound.

`formula(name)` makes one; the catalogue in `pushforward.verify` binds numbers and knows verdicts.
"""

from __future__ import annotations

from sympy import Abs, Expr, Max, Min, Piecewise, Rational, exp, log, sin, sqrt, tanh

from .binders import gibbs, integral
from .constructors import block, component, dot, elementwise, norm2, stack
from .maps import SymbolicMap
from .terms import Matrix, Measure, Point, Vector, VectorTerm

x, y, mu = Point("x"), Point("y"), Measure("mu", probability=True)
A, V, B, W = Matrix("A"), Matrix("V"), Matrix("B"), Matrix("W")
HEAD = gibbs(V @ y, y, mu, energy=dot(x, A @ y))
TWO_HEADS = x + HEAD + gibbs(W @ y, y, mu, energy=dot(x, B @ y))
KERNEL = exp(dot(x, A @ y))
MEAN = integral(y, y, mu)
EPS = Rational(1, 100)


def sigmoid_attention() -> VectorTerm:
    return x + integral(V @ y / (1 + exp(1 - dot(x, A @ y))), y, mu)


def sink_attention() -> VectorTerm:
    """Attention with one more token of mass `e^{1/2}` and value `v`."""
    sink = exp(Rational(1, 2))
    attended = integral(KERNEL * (V @ y), y, mu) + sink * Vector("v")
    return x + attended / (integral(KERNEL, y, mu) + sink)


def layer_norm() -> VectorTerm:
    """`C` removes the mean of the entries, `u` is the vector of ones."""
    centred, ones = Matrix("C") @ x, Vector("u")
    return centred / sqrt(norm2(centred) / dot(ones, ones) + EPS)


def token_normalisation() -> VectorTerm:
    """Mean and variance over the tokens, entry by entry, in the plane."""

    def normalised(i: int) -> Expr:
        centre = integral(component(y, i), y, mu)
        variance = integral((component(y, i) - centre) ** 2, y, mu)
        return (component(x, i) - centre) / sqrt(variance + EPS)

    return stack(normalised(0), normalised(1))


def motsch_tadmor_step() -> VectorTerm:
    """One Euler step of length 1/2 on `(x, v)` in the plane."""
    place, speed = block(x, 0, 2), block(x, 2, 4)
    psi = 1 / (1 + norm2(place - block(y, 0, 2)))
    velocity = integral(psi * block(y, 2, 4), y, mu) / integral(psi, y, mu)
    return stack(place + speed / 2, speed + (velocity - speed) / 2)


def e_log(floor: Expr | None = None) -> VectorTerm:
    """`x + chi(x) sin(log e)`, `e = int chi dmu`, `chi(x) = min(|x|, 1)`.

    Source: docs/mathematics.md, section 6.
    """
    size = integral(Min(Abs(component(y, 0)), 1), y, mu)
    if floor is None:
        turn: Expr = Piecewise((sin(log(size)), size > 0), (0, True))
    else:
        turn = sin(log(Max(size, floor)))
    return stack(component(x, 0) + Min(Abs(component(x, 0)), 1) * turn)


def perceptron() -> VectorTerm:
    hidden = elementwise(lambda t: Max(t, 0), Matrix("U") @ x + Vector("b"))
    return x + Matrix("O") @ hidden


_TERMS = {
    "identity": lambda: x,
    "centring": lambda: x - MEAN,
    "mean-pooling": lambda: MEAN,
    "softmax-attention": lambda: x + HEAD,
    "multi-head-attention": lambda: TWO_HEADS,
    "linear-attention": lambda: x + integral(dot(x, A @ y) * (V @ y), y, mu),
    "sigmoid-attention": sigmoid_attention,
    "l2-attention": lambda: gibbs(V @ y, y, mu, energy=-norm2(x - y)),
    "unnormalised-attention": lambda: x + integral(KERNEL * (V @ y), y, mu) / 2,
    "sink-token-attention": sink_attention,
    "layer-norm": layer_norm,
    "rms-norm": lambda: x / sqrt(norm2(x) / 2 + EPS),
    "token-normalisation": token_normalisation,
    "motsch-tadmor": motsch_tadmor_step,
    "vlasov-step": lambda: x + HEAD / 4,
    "e-log": e_log,
    "e-log-floored": lambda: e_log(EPS),
    "steep-sign-of-mean": lambda: tanh(200 * component(MEAN, 0)) * x,
    "root-of-mean": lambda: stack(component(x, 0) + sqrt(Abs(component(MEAN, 0)))),
    "cold-attention": lambda: gibbs(y, y, mu, energy=50 * dot(x, y)),
}
NAMES = (*_TERMS, "transformer-block")


def formula(name: str) -> SymbolicMap:
    """The unbound map of that name in the catalogue.

    >>> print(formula("centring"))
    x - int y mu(dy)

    Raises:
        KeyError: there is no formula of that name.
    """
    if name == "transformer-block":
        return SymbolicMap(perceptron(), x, mu) @ SymbolicMap(TWO_HEADS, x, mu)
    return SymbolicMap(_TERMS[name](), x, mu)
