"""Named in-context maps and velocity fields.

Each function returns a `SymbolicMap` or a `VelocityField` in the point x and the measure mu.
Parameters have the names of the formula; `label` is appended to all of them, so that layers of one
composition can have weights of their own. Equal names are one parameter.

>>> from pushforward.symbolic.library import mlp, softmax_attention
>>> layer = mlp() @ softmax_attention(residual=True)
>>> [p.name for p in layer.parameters]
['A', 'U', 'V', 'W', 'b']

Sources: Vaswani et al. (2017), Attention is all you need; Furuya, de Hoop & Lassas (2025),
arXiv:2509.25611, and Geshkovski, Letrouit, Polyanskiy & Rigollet (2023), arXiv:2312.10794
(attention as a map of measures); the sources of the others stand with them.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import sympy
from sympy import Expr, Max, Piecewise, S, cos, exp, log, sin, sqrt, tanh

from .binders import Cumulant, Integral, LogPartition, gibbs, integral
from .constructors import block, component, dot, elementwise, norm, norm2, outer, stack
from .gateaux import Along, gateaux
from .linear import gradient_in
from .maps import SymbolicMap, VelocityField
from .matrices import Diagonal
from .scalars import Component, Dimension
from .substitution import substitute
from .terms import FreshPoint, Matrix, Measure, Point, Scalar, Vector, VectorTerm
from .vectors import Ones, VectorSum

X, Y, MU = Point("x"), Point("y"), Measure("mu")


def relu(t: Expr) -> Expr:
    """`max(0, t)`.

    >>> relu(Scalar("t"))
    Max(0, t)
    """
    return Max(0, t)


def sigmoid(t: Expr) -> Expr:
    """`1 / (1 + exp(-t))`.

    >>> sigmoid(S.Zero)
    1/2
    """
    return 1 / (1 + exp(-t))


def gelu(t: Expr) -> Expr:
    """`t Phi(t)` with the normal distribution function Phi. Source: Hendrycks & Gimpel (2016).

    >>> gelu(S.Zero)
    0
    """
    return t * (1 + sympy.erf(t / sqrt(2))) / 2


def softplus(t: Expr) -> Expr:
    """`log(1 + exp(t))`.

    >>> softplus(S.Zero)
    log(2)
    """
    return log(1 + exp(t))


def silu(t: Expr) -> Expr:
    """`t / (1 + exp(-t))`.

    >>> silu(S.Zero)
    0
    """
    return t * sigmoid(t)


def _residual(term: VectorTerm, residual: bool) -> SymbolicMap:
    return SymbolicMap(X + term if residual else term, X, MU)


# ---- attention


def softmax_attention(*, residual: bool = False, label: str = "") -> SymbolicMap:
    """Softmax attention `V E_p[y]`, `p(dy) = exp(<x, A y>) mu(dy) / Z`, with `A = Q^T K / sqrt(k)`.

    >>> print(softmax_attention().jacobian())
    V Cov_p(y) A^T  where p(dy) = exp(<x, A y>) mu(dy) / Z_p
    """
    return _residual(_head(X, Y, label), residual)


def _head(x: VectorTerm, y: VectorTerm, label: str) -> VectorTerm:
    """One head that sees the query as x and the token at Y as y."""
    a, v = Matrix(f"A{label}"), Matrix(f"V{label}")
    return gibbs(v @ y, Y, MU, energy=dot(x, a @ y))


def multi_head_attention(heads: int, *, residual: bool = True, label: str = "") -> SymbolicMap:
    """A sum of softmax heads `sum_h V_h E_{p_h}[y]`, with parameters A1, V1, A2, V2, ...

    `V_h` is the product of the value and the output matrix of the head.

    >>> print(multi_head_attention(2, residual=False))
    V1 E_p_1[y] + V2 E_p_2[y]  where p_1(dy) = exp(<x, A1 y>) mu(dy) / Z_p_1, ...
    """
    if heads < 1:
        raise ValueError(f"attention needs at least one head, got {heads}")
    return _residual(_heads(X, Y, heads, label), residual)


def _heads(x: VectorTerm, y: VectorTerm, heads: int, label: str) -> VectorTerm:
    return VectorSum(*(_head(x, y, f"{h}{label}") for h in range(1, heads + 1)))


def linear_attention(*, residual: bool = False, label: str = "") -> SymbolicMap:
    """Linear attention `int <x, A y> V y mu(dy) = V M A^T x` with the second moment `M`.

    Source: Katharopoulos et al. (2020), arXiv:2006.16236.

    >>> print(linear_attention().flat_derivative(Point("z")))
    <z, A^T x> V z
    """
    a, v = Matrix(f"A{label}"), Matrix(f"V{label}")
    moment = integral(outer(Y, Y), Y, MU)
    return _residual(v @ (moment @ (a.T @ X)), residual)


def unnormalised_attention(*, residual: bool = False, label: str = "") -> SymbolicMap:
    """Attention without normalisation, `int exp(<x, A y>) V y mu(dy)`.

    >>> print(unnormalised_attention().flat_derivative(Point("z")))
    exp(<x, A z>) V z
    """
    a, v = Matrix(f"A{label}"), Matrix(f"V{label}")
    return _residual(integral(exp(dot(X, a @ Y)) * (v @ Y), Y, MU), residual)


def sigmoid_attention(*, residual: bool = False, label: str = "") -> SymbolicMap:
    """Sigmoid attention `int sigma(<x, A y> + b) V y mu(dy)`.

    Source: Ramapuram et al. (2024), arXiv:2409.04431.

    >>> print(sigmoid_attention())
    V int y/(1 + exp(-b - <x, A y>)) mu(dy)
    """
    a, v, b = Matrix(f"A{label}"), Matrix(f"V{label}"), Scalar(f"b{label}")
    return _residual(integral(sigmoid(dot(X, a @ Y) + b) * (v @ Y), Y, MU), residual)


def l2_attention(*, residual: bool = False, label: str = "") -> SymbolicMap:
    """L2 attention `V E_p[y]` with the energy `-|Q x - K y|^2`.

    Source: Kim, Papamakarios & Mnih (2021), arXiv:2006.04710.

    >>> print(l2_attention())
    V E_p[y]  where p(dy) = exp(-|K y - Q x|^2) mu(dy) / Z_p
    """
    q, k, v = (Matrix(f"{name}{label}") for name in "QKV")
    return _residual(gibbs(v @ Y, Y, MU, energy=-norm2(q @ X - k @ Y)), residual)


def sinkhorn_attention(steps: int, *, residual: bool = False, label: str = "") -> SymbolicMap:
    """Attention after `steps` Sinkhorn steps on the kernel `exp(<x, A y>)`; none is softmax.

    A step makes the columns and then the rows sum to one:
    `f(x) = -log int exp(<x, A y> + g(y)) mu(dy)`, `g(y) = -log int exp(<x, A y> + f(x)) mu(dx)`.

    Source: Sander, Ablin, Blondel & Peyre (2022), arXiv:2110.11773.

    >>> print(sinkhorn_attention(1))
    V E_p_3[v]  where p_1(dy) = exp(<w, A y>) mu(dy) / Z_p_1,
    p_2(dw) = exp(<w, A v> - log Z_p_1) mu(dw) / Z_p_2,
    p_3(dv) = exp(<x, A v> - log Z_p_2) mu(dv) / Z_p_3
    """
    if steps < 0:
        raise ValueError(f"the number of Sinkhorn steps is not negative, got {steps}")
    a, v = Matrix(f"A{label}"), Matrix(f"V{label}")
    g: Expr = S.Zero
    for _ in range(steps):
        f = -LogPartition(Y, MU, dot(X, a @ Y) + g)
        g = -LogPartition(X, MU, dot(X, a @ Y) + f)
    return _residual(gibbs(v @ Y, Y, MU, energy=dot(X, a @ Y) + g), residual)


def sink_attention(*, residual: bool = False, label: str = "") -> SymbolicMap:
    """Attention with a sink token: `(int k V y dmu + e^b v) / (int k dmu + e^b)`.

    Here `k = exp(<x, A y>)`. It is written as `s V E_p[y] + (1 - s) v` with
    `s = 1 / (1 + exp(b - log Z))`, which does not overflow.

    Source: Xiao et al. (2023), arXiv:2309.17453.

    >>> print(sink_attention())
    v/(1 + exp(log Z_p - b)) + V E_p[y]/(1 + exp(b - log Z_p))  where p(dy) = ...
    """
    a, v = Matrix(f"A{label}"), Matrix(f"V{label}")
    b, sink = Scalar(f"b{label}"), Vector(f"v{label}")
    energy = dot(X, a @ Y)
    log_z = LogPartition(Y, MU, energy)
    mean = gibbs(v @ Y, Y, MU, energy=energy)
    return _residual(sigmoid(log_z - b) * mean + sigmoid(b - log_z) * sink, residual)


def masked_attention(
    mask: Callable[[VectorTerm, VectorTerm], Expr], *, residual: bool = False, label: str = ""
) -> SymbolicMap:
    """Attention where the query x sees the token y with the weight `mask(x, y) >= 0`.

    `E_p[m V y] / E_p[m]` under the law p of softmax attention without the mask.

    >>> from sympy import exp
    >>> print(masked_attention(lambda x, y: exp(-norm2(x - y))))
    V E_p[exp(-|x - y|^2) y]/E_p[exp(-|x - y|^2)]  where p(dy) = exp(<x, A y>) mu(dy) / Z_p
    """
    a, v = Matrix(f"A{label}"), Matrix(f"V{label}")
    return _residual(_masked(v @ Y, dot(X, a @ Y), mask(X, Y)), residual)


def _masked(h: Any, energy: Expr, weight: Expr) -> VectorTerm:
    mean = Cumulant((weight * h,), Y, MU, energy)
    return mean / Cumulant((weight,), Y, MU, energy)


def causal_attention(*, label: str = "") -> SymbolicMap:
    """Causal attention on tokens `(t, u)` in time and space: a query sees the tokens before it.

    `(t, u) -> (t, u + E_p[1(s <= t) V w] / E_p[1(s <= t)])`, `p ~ exp(<u, A w>) mu(ds, dw)`. It is
    defined where a token lies at or before t; the jump of the mask makes it discontinuous in t.

    Source: Castin, Ablin & Peyre (2024), arXiv:2312.14820; Furuya, de Hoop & Peyre (2024),
    arXiv:2408.01367.

    >>> [p.name for p in causal_attention().parameters]
    ['A', 'V']
    """
    a, v = Matrix(f"A{label}"), Matrix(f"V{label}")
    u, w = block(X, 1), block(Y, 1)
    seen = Piecewise((1, Component(Y, 0) <= Component(X, 0)), (0, True))
    mean = _masked(v @ w, dot(u, a @ w), seen)
    return SymbolicMap(stack(component(X, 0), u + mean), X, MU)


# ---- layers that act on each token


def mlp(
    activation: Callable[[Expr], Expr] = tanh, *, residual: bool = False, label: str = ""
) -> SymbolicMap:
    """A perceptron with one hidden layer, `W sigma(U x + b)`.

    >>> print(mlp(residual=True).jacobian())
    I + W diag((t -> 1 - tanh(t)^2).(b + U x)) U
    """
    return _residual(_perceptron(X, activation, label), residual)


def _perceptron(x: VectorTerm, activation: Callable[[Expr], Expr], label: str) -> VectorTerm:
    w, u, b = Matrix(f"W{label}"), Matrix(f"U{label}"), Vector(f"b{label}")
    return w @ elementwise(activation, u @ x + b)


def layer_norm(*, affine: bool = False, label: str = "") -> SymbolicMap:
    """Layer norm `(x - mean 1) / sqrt(var + eps)` over the components of a token.

    With `affine=True`, times a gain g, plus a shift c.

    Source: Ba, Kiros & Hinton (2016), arXiv:1607.06450.

    >>> print([p.name for p in layer_norm(affine=True).parameters])
    ['c', 'eps', 'g']
    """
    return SymbolicMap(_layer_norm(X, affine, label), X, MU)


def _layer_norm(x: VectorTerm, affine: bool, label: str) -> VectorTerm:
    eps = Scalar(f"eps{label}", positive=True)
    centre = x - dot(Ones(x), x) / Dimension(x) * Ones(x)
    result = centre / sqrt(norm2(centre) / Dimension(x) + eps)
    if not affine:
        return result
    return Diagonal(Vector(f"g{label}")) @ result + Vector(f"c{label}")


def rms_norm(*, affine: bool = False, label: str = "") -> SymbolicMap:
    """RMS norm `x / sqrt(|x|^2 / d + eps)`; with `affine=True` times a gain g.

    Source: Zhang & Sennrich (2019), arXiv:1910.07467.

    >>> print(rms_norm())
    x/sqrt(eps + |x|^2/dim(x))
    """
    return SymbolicMap(_rms_norm(X, affine, label), X, MU)


def _rms_norm(x: VectorTerm, affine: bool, label: str) -> VectorTerm:
    eps = Scalar(f"eps{label}", positive=True)
    result = x / sqrt(norm2(x) / Dimension(x) + eps)
    return Diagonal(Vector(f"g{label}")) @ result if affine else result


def token_norm(*, label: str = "") -> SymbolicMap:
    """Normalisation over the tokens: `(x - E y) / sqrt(E |y - E y|^2 + eps)`, means under mu.

    >>> print(token_norm())
    (x - E_p[y])/sqrt(eps + ...)  where p(dy) = mu(dy) / Z_p
    """
    eps = Scalar(f"eps{label}", positive=True)
    mean = Cumulant((Y,), Y, MU, 0)
    spread = Cumulant((norm2(Y),), Y, MU, 0) - norm2(mean)
    return SymbolicMap((X - mean) / sqrt(spread + eps), X, MU)


# ---- blocks


def transformer_block(
    heads: int = 1,
    activation: Callable[[Expr], Expr] = gelu,
    *,
    norm: str | None = "layer",
    label: str = "",
) -> SymbolicMap:
    """A transformer block: `x + heads(norm(x))`, then `x + mlp(norm(x))`.

    Args:
        heads: the number of heads.
        activation: the function of the hidden layer.
        norm: "layer", "rms" or None, before each half.
        label: appended to the names of the parameters.

    Source: Xiong et al. (2020), arXiv:2002.04745 (the norm before each half).

    >>> [p.name for p in transformer_block(heads=2).parameters]
    ['A1', 'A2', 'U', 'V1', 'V2', 'W', 'b', 'eps']
    """
    if heads < 1:
        raise ValueError(f"a block needs at least one head, got {heads}")
    normalise = _norm(norm, label)
    attention = SymbolicMap(X + _heads(normalise(X), normalise(Y), heads, label), X, MU)
    perceptron = SymbolicMap(X + _perceptron(normalise(X), activation, label), X, MU)
    return perceptron @ attention


def _norm(name: str | None, label: str) -> Callable[[VectorTerm], VectorTerm]:
    if name is None:
        return lambda x: x
    known = {"layer": _layer_norm, "rms": _rms_norm}
    if name not in known:
        raise ValueError(f"norm is 'layer', 'rms' or None, got {name!r}")
    return lambda x: known[name](x, False, label)


def transformer(depth: int, heads: int = 1, *, shared: bool = False, **options: Any) -> SymbolicMap:
    """A composition of `depth` transformer blocks, with weights of their own unless `shared`.

    >>> len(transformer(3).parameters), len(transformer(3, shared=True).parameters)
    (18, 6)
    """
    if depth < 1:
        raise ValueError(f"a transformer has at least one block, got {depth}")
    labels = ["" if shared else f"_{k}" for k in range(1, depth + 1)]
    blocks = [transformer_block(heads, label=label, **options) for label in labels]
    return reduce(lambda inner, outer_block: outer_block @ inner, blocks)


# ---- on the sphere


def sphere_projection(x: VectorTerm, v: VectorTerm) -> VectorTerm:
    """The part of v that is tangent to the unit sphere at x: `v - <x, v> x`.

    >>> sphere_projection(Point("x"), Point("v"))
    v - <v, x> x
    """
    return v - dot(x, v) * x


def sphere_attention(*, perceptron: bool = False, label: str = "") -> VelocityField:
    """Softmax attention on the sphere, `P_x (V E_p[y])`; with a perceptron, `+ W max(0, U x + b)`.

    Conserved: mass, weights, `|x| = 1`. With V = I and A = beta I and no perceptron,
    `-int int exp(beta <x, y>) / (2 beta)` falls by `int Z |V|^2`: a gradient weighted by Z.

    Source: Geshkovski, Rigollet & Ruiz-Balet (2024), arXiv:2411.04551, (1.1)-(1.3).

    >>> sphere_attention().vlasov().conserved()
    ('the mass and the weights', '|x| = 1')
    """
    velocity = _head(X, Y, label)
    if perceptron:
        velocity += _perceptron(X, relu, label)
    return VelocityField(sphere_projection(X, velocity), X, MU)


def sphere_unnormalised_attention(*, label: str = "") -> VelocityField:
    """`P_x int exp(beta <x, y>) y mu(dy)`, the gradient flow of `int int exp(beta <x, y>)`.

    Conserved: mass, weights, `|x| = 1`. Energy: `-int int exp(beta <x, y>) / (2 beta)`, which falls
    by `int |V|^2`.

    Source: Geshkovski, Letrouit, Polyanskiy & Rigollet (2023), arXiv:2312.10794.

    >>> sphere_unnormalised_attention().vlasov().conserved()
    ('the mass and the weights', '|x| = 1')
    """
    beta = Scalar(f"beta{label}")
    return VelocityField(sphere_projection(X, integral(exp(beta * dot(X, Y)) * Y, Y, MU)), X, MU)


def sphere_step(field: VelocityField) -> SymbolicMap:
    """An Euler step with return to the sphere, `(x + V(mu, x)) / |x + V(mu, x)|`.

    >>> print(sphere_step(VelocityField(Y, Y, MU)))
    y/|y|
    """
    moved = field.x + field.term
    return SymbolicMap(moved / norm(moved), field.x, field.mu)


def euler_step(field: VelocityField, step: Any = None) -> SymbolicMap:
    """An Euler step `x + tau V(mu, x)` of a field, as a map: a layer with a residual.

    Args:
        field: a field that does not depend on the time.
        step: the step tau, a number or a scalar term; a parameter `tau` by default.

    >>> print(euler_step(consensus()))
    x + tau (int y mu(dy) - |mu| x)
    """
    if field.time is not None:
        raise ValueError("an Euler step of a field that depends on the time is no map of mu and x")
    tau = Scalar("tau") if step is None else step
    return SymbolicMap(field.x + tau * field.term, field.x, field.mu)


# ---- swarms


def cucker_smale(dim: int, *, label: str = "") -> VelocityField:
    """Alignment of velocities: `(q, v)' = (v, int K (1 + |q - r|^2)^-beta (w - v) mu(dr, dw))`.

    The phase point x = (q, v) has 2 `dim` components. Conserved: mass, weights, the mean velocity;
    on the line also `cucker_smale_momentum` along characteristics. For K >= 0 the kinetic energy
    falls, by `int int K (1 + |q - r|^2)^-beta |v - w|^2 / 2`.

    Source: Cucker & Smale (2007).

    >>> cucker_smale(2).vlasov().conserved()
    ('the mass and the weights', 'the mean of x[2:4]')
    """
    strength, beta = Scalar(f"K{label}"), Scalar(f"beta{label}")
    (q, v), (r, w) = _phase(X, dim), _phase(Y, dim)
    force = integral(strength * (1 + norm2(q - r)) ** -beta * (w - v), Y, MU)
    return VelocityField(stack(v, force), X, MU)


_SPANS = {
    S.Half: sympy.asinh,
    S.One: sympy.atan,
    S(3) / 2: lambda r: r / sqrt(1 + r**2),
    S(2): lambda r: (r / (1 + r**2) + sympy.atan(r)) / 2,
}


def cucker_smale_momentum(beta: Any, *, label: str = "") -> Expr:
    """What each particle of `cucker_smale(1)` keeps: `v + int Psi(q - r) mu(dr, dw)`.

    `Psi' = K (1 + r^2)^-beta` and `Psi(0) = 0`; in closed form for beta = 1/2, 1, 3/2, 2.

    Args:
        beta: the exponent, a number; the field is `cucker_smale(1)` with it in place of beta.
        label: appended to the name of the parameter K.

    Source: docs/mathematics.md, section 9.

    >>> cucker_smale_momentum(1)
    -K*int atan(y[0] - x[0]) mu(dy) + x[1]
    """
    if sympy.sympify(beta) not in _SPANS:
        raise ValueError(f"Psi has a closed form for beta in 1/2, 1, 3/2, 2; got {beta}")
    span = _SPANS[sympy.sympify(beta)](component(X, 0) - component(Y, 0))
    return component(X, 1) + integral(Scalar(f"K{label}") * span, Y, MU)


def _phase(z: VectorTerm, dim: int) -> tuple[VectorTerm, VectorTerm]:
    if dim < 1:
        raise ValueError(f"a phase point has positions of dimension one or more, got {dim}")
    return block(z, 0, dim), block(z, dim, 2 * dim)


def motsch_tadmor(dim: int, *, label: str = "") -> VelocityField:
    """Alignment with normalised weights: `v' = int psi (w - v) dmu / int psi dmu`.

    `psi = (1 + |q - r|^2)^-beta`, on the phase space of `cucker_smale`. Conserved: mass and
    weights; the mean velocity moves. The convex hull of the velocities does not grow.

    Source: Motsch & Tadmor (2011).

    >>> [p.name for p in motsch_tadmor(2).parameters]
    ['beta']
    """
    beta = Scalar(f"beta{label}")
    (q, v), (r, w) = _phase(X, dim), _phase(Y, dim)
    mean = gibbs(w - v, Y, MU, energy=-beta * log(1 + norm2(q - r)))
    return VelocityField(stack(v, mean), X, MU)


def kuramoto(*, label: str = "") -> VelocityField:
    """Oscillators with one phase each, `theta' = K int sin(theta' - theta) mu`, on the line.

    Conserved: mass, weights, the mean phase. Energy: `-K int int cos(theta' - theta) / 2`, which
    falls by `int |V|^2`.

    Source: Kuramoto (1975); it is attention on the circle with V = I, A = 0.

    >>> print(kuramoto().divergence())
    -K int cos(...) mu(dy)
    """
    angle = component(Y, 0) - component(X, 0)
    return VelocityField(stack(Scalar(f"K{label}") * integral(sin(angle), Y, MU)), X, MU)


def kuramoto_order() -> VelocityField:
    """`kuramoto` with K = 1 by the order parameter: `cos(x) int sin dmu - sin(x) int cos dmu`.

    It costs a sum over atoms once, not once a particle. Conserved and falling: as for `kuramoto`.

    >>> print(kuramoto_order())
    (cos(x[0]) int sin(y[0]) mu(dy) - sin(x[0]) int cos(y[0]) mu(dy))
    """
    x, y = component(X, 0), component(Y, 0)
    pull = cos(x) * integral(sin(y), Y, MU) - sin(x) * integral(cos(y), Y, MU)
    return VelocityField(stack(pull), X, MU)


def consensus(kernel: Callable[[Expr], Expr] | None = None) -> VelocityField:
    """Opinions that attract: `int phi(|x - y|^2) (y - x) mu(dy)`; phi = 1 by default.

    Conserved: mass, weights, the mean. Energy: `int int Phi(|x - y|^2) / 4` with `Phi' = phi`. For
    phi >= 0 the variance and the second moment fall.

    >>> print(consensus(lambda r2: exp(-r2)))
    int exp(-|x - y|^2) (y - x) mu(dy)
    """
    phi = S.One if kernel is None else kernel(norm2(X - Y))
    return VelocityField(integral(phi * (Y - X), Y, MU), X, MU)


def aggregation(potential: Callable[[VectorTerm], Expr]) -> VelocityField:
    """The gradient flow of an interaction energy, `-int grad W(x - y) mu(dy)`.

    Args:
        potential: W, an even Python function from a vector term to a scalar term.

    Conserved: mass, weights, the mean. Energy: `int int W(x - y) / 2`, which falls by `int |V|^2`.

    Source: Carrillo, McCann & Villani (2003).

    >>> print(aggregation(lambda r: norm2(r) ** 2 / 4))
    -int |x - y|^2 (x - y) mu(dy)
    """
    r, u = FreshPoint(), FreshPoint()
    slope = gradient_in(gateaux(potential(r), Along(r, u)), u)
    return VelocityField(-Integral(substitute(slope, {r: X - Y}), Y, MU), X, MU)
