"""Derivatives against differences of the oracle, and against golden values."""

import math

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings, strategies as st
from term_oracle import value
from term_recipes import MU, POINTS, A, C, U, V, X, Y, Z, environment, vectors

from pushforward.symbolic import (
    Along,
    Cumulant,
    LogPartition,
    MassAt,
    Matrix,
    NotDerivable,
    Point,
    Pushforward,
    Scalar,
    SymbolicMap,
    component,
    covariance,
    dot,
    elementwise,
    gateaux,
    gibbs,
    integral,
    jacobian_in,
)

SEEDS = st.integers(0, 100)
W = Point("w")


def difference(function, step=1e-3):
    """A fourth-order central difference at zero."""
    return (8 * (function(step) - function(-step)) - function(2 * step) + function(-2 * step)) / (
        12 * step
    )


def agrees(got, want, tolerance=1e-6):
    return np.allclose(got, want, rtol=tolerance, atol=tolerance)


def with_mass(env, measure, point, mass):
    points, weights = env[measure]
    return env | {measure: (np.vstack([points, point]), np.append(weights, mass))}


@settings(max_examples=150, deadline=None)
@given(vectors(), st.sampled_from(POINTS), SEEDS)
def test_derivative_in_a_point(term, point, seed):
    env = environment(seed)
    want = difference(lambda t: value(term, env | {point: env[point] + t * env[U]}))
    got = gateaux(term, Along(point, U))
    assert agrees(value(got, env), want)
    matrix = jacobian_in(got, U)
    assert agrees(value(matrix, env | {U: 0 * env[U]}) @ env[U], want)


@settings(max_examples=100, deadline=None)
@given(vectors(), SEEDS)
def test_derivative_in_parameters(term, seed):
    env, E = environment(seed), Matrix("E")
    env[E] = np.random.default_rng(seed).normal(size=(2, 2)) / 2
    want = difference(lambda t: value(term, env | {A: env[A] + t * env[E]}))
    assert agrees(value(gateaux(term, Along(A, E)), env), want)
    want = difference(lambda t: value(term, env | {C: env[C] + t}))
    assert agrees(value(gateaux(term, Along(C, sp.S.One)), env), want)


@settings(max_examples=150, deadline=None)
@given(vectors(), SEEDS)
def test_derivative_in_the_measure(term, seed):
    env = environment(seed)
    want = difference(lambda t: value(term, with_mass(env, MU, env[Z], t)))
    assert agrees(value(gateaux(term, MassAt(MU, Z)), env), want)


TINY = 1e-30


@settings(max_examples=60, deadline=None)
@given(vectors(), st.sampled_from(POINTS), SEEDS)
def test_first_derivatives_by_a_complex_step(term, point, seed):
    """`Im f(x + i h u) / h` has no difference in it: exact to rounding, at h = 1e-30."""
    env = environment(seed)
    near = lambda change: np.imag(value(term, env | change)) / TINY  # noqa: E731
    want = near({point: env[point] + 1j * TINY * env[U]})
    assert agrees(value(gateaux(term, Along(point, U)), env), want, 1e-11)
    want = near({C: env[C] + 1j * TINY})
    assert agrees(value(gateaux(term, Along(C, sp.S.One)), env), want, 1e-11)
    points, weights = env[MU]
    want = near({MU: (np.vstack([points, env[Z]]), np.append(weights, 1j * TINY))})
    assert agrees(value(gateaux(term, MassAt(MU, Z)), env), want, 1e-11)


@settings(max_examples=40, deadline=None)
@given(vectors(4), SEEDS)
def test_second_derivative_in_the_measure(term, seed):
    env = environment(seed) | {W: np.array([0.3, -0.2])}
    once = gateaux(term, MassAt(MU, Z))
    want = difference(lambda t: value(once, with_mass(env, MU, env[W], t)))
    assert agrees(value(gateaux(once, MassAt(MU, W)), env), want)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("tensors", [0, 1, 2])
def test_influence_function_of_cumulants(order, tensors):
    """The sum over set partitions is the derivative of a joint cumulant along delta_z."""
    slots = [A @ Y, dot(Y, Y) * Y][:tensors]
    slots += [dot(X, Y), component(Y, 0) ** 2, sp.sin(component(Y, 1)), sp.exp(dot(Y, V @ X))]
    term = Cumulant(slots[: max(order, tensors)], Y, MU, dot(X, A @ Y))
    env = environment(5, n=6)
    want = difference(lambda t: value(term, with_mass(env, MU, env[Z], t)), 1e-4)
    assert agrees(value(gateaux(term, MassAt(MU, Z)), env), want, 1e-8)
    want = difference(lambda t: value(term, env | {X: env[X] + t * env[U]}))
    assert agrees(value(gateaux(term, Along(X, U)), env), want, 1e-8)


def test_log_partition_generates_the_cumulants():
    log_z = LogPartition(Y, MU, dot(X, Y))
    assert gateaux(log_z, Along(X, U)) == gibbs(dot(U, Y), Y, MU, energy=dot(X, Y))
    twice = gateaux(gateaux(log_z, Along(X, U)), Along(X, W))
    assert twice == covariance(dot(U, Y), dot(W, Y), Y, MU, energy=dot(X, Y))


# Golden values: tokens (-1, 0.5, 2), weights (0.2, 0.5, 0.3), A = 0.7, V = 1, x = 0.3.
GOLDEN = {
    X: np.array([0.3]),
    MU: (np.array([[-1.0], [0.5], [2.0]]), np.array([0.2, 0.5, 0.3])),
    A: np.array([[0.7]]),
    V: np.array([[1.0]]),
    Z: np.array([1.0]),
    W: np.array([-0.4]),
}
ATTENTION = SymbolicMap(gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
RESIDUAL = SymbolicMap(X + ATTENTION.term, X, MU)


def golden(derived, **points):
    return value(derived.term, GOLDEN)


def test_golden_values_of_softmax_attention():
    at = GOLDEN | {Point("u"): np.array([1.0]), Point("v"): np.array([1.0])}
    close = lambda got, want: np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)  # noqa: E731
    close(math.exp(value(LogPartition(Y, MU, dot(X, A @ Y)), GOLDEN)), 1.174060621057)
    close(golden(ATTENTION), [0.876221992557])
    close(golden(ATTENTION.jacobian()), [[0.730911865623]])
    close(golden(ATTENTION.divergence()), 0.730911865623)
    second = ATTENTION.second_derivative(Point("u"), Point("v"))
    close(value(second.term, at), [-0.188777278570])
    close(golden(ATTENTION.flat_derivative(Z)), [0.130063311339])
    close(golden(ATTENTION.flat_derivative(Z, normalised=True)), [0.130063311339])
    close(golden(ATTENTION.lions_derivative(Z)), [[1.078092137487]])
    close(golden(ATTENTION.second_flat_derivative(Z, W)), [0.948330867712])


def test_golden_values_of_the_derivative_of_a_pushforward():
    psi = lambda y: sp.sin(component(y, 0))  # noqa: E731
    close = lambda got, want: np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)  # noqa: E731
    close(golden(RESIDUAL.regular_derivative(psi)), 0.923160280410)
    close(golden(RESIDUAL.irregular_derivative(psi)), 0.110395508407)
    close(golden(RESIDUAL.derivative(psi)), 1.033555788817)


def test_derivative_of_a_pushforward_against_differences():
    """<psi, f(mu + t delta_x)> with f(mu) = G(mu)#mu, in dimension two, over two layers."""
    G = SymbolicMap(X + gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
    H = G @ G
    env = environment(3)
    psi = lambda y: sp.sin(component(y, 0)) * component(y, 1)  # noqa: E731
    whole = integral(psi(Y), Y, Pushforward(MU, X, H.term))
    want = difference(lambda t: value(whole, with_mass(env, MU, env[X], t)))
    got = value(H.derivative(psi).term, env)
    assert agrees(got, want, 1e-9)
    parts = H.regular_derivative(psi), H.irregular_derivative(psi)
    assert agrees(sum(value(p.term, env) for p in parts), got, 1e-12)


def test_normalised_derivatives_integrate_to_zero():
    G = SymbolicMap(integral(dot(X, Y) * Y, Y, MU) + gibbs(Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
    env = environment(7)
    points, weights = env[MU]
    weights = weights / weights.sum()
    env[MU] = points, weights
    env[W] = np.array([0.1, 0.4])
    first = G.flat_derivative(Z, normalised=True).term
    second = G.second_flat_derivative(Z, W, normalised=True).term
    for term, point in ((first, Z), (second, W)):
        mean = sum(w * value(term, env | {point: p}) for p, w in zip(points, weights, strict=True))
        assert agrees(mean, 0, 1e-12)
    assert not agrees(value(first, env), value(G.flat_derivative(Z).term, env))


def test_centring_vanishes_for_softmax():
    """The flat derivative of a Gibbs mean is centred by itself."""
    plain, centred = ATTENTION.flat_derivative(Z), ATTENTION.flat_derivative(Z, normalised=True)
    assert plain.term == centred.term


def test_components_agree_with_vectors():
    """The whole calculus in components by SymPy alone, at n = 2 atoms in dimension two."""
    x = sp.symbols("x:2", real=True)
    ys = [sp.symbols(f"y{k}_:2", real=True) for k in range(2)]
    weights = sp.symbols("w:2", positive=True)
    a = sp.Matrix(2, 2, sp.symbols("a:4", real=True))
    kernel = [weights[j] * sp.exp((sp.Matrix([x]) * a * sp.Matrix(ys[j]))[0]) for j in range(2)]
    attention = [sum(kernel[j] * ys[j][i] for j in range(2)) / sum(kernel) for i in range(2)]
    env = environment(11, n=2)
    points, masses = env[MU]
    symbols = [*x, *weights, *a, *ys[0], *ys[1]]
    values = np.concatenate([env[X], masses, env[A].ravel(), points.ravel()])
    numbers = dict(zip(symbols, values, strict=True))
    G = SymbolicMap(gibbs(Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
    want = sp.Matrix(attention).jacobian(x).subs(numbers)
    assert agrees(value(G.jacobian().term, env), np.array(want, float), 1e-12)
    # the derivative in an atom is its weight times the Lions derivative there
    want = sp.Matrix(attention).jacobian(ys[1]).subs(numbers)
    lions = value(G.lions_derivative(Z).term, env | {Z: points[1]})
    assert agrees(masses[1] * lions, np.array(want, float), 1e-12)
    want = sp.Matrix(attention).diff(weights[1]).subs(numbers)
    flat = value(G.flat_derivative(Z).term, env | {Z: points[1]})
    assert agrees(flat, np.array(want, float).ravel(), 1e-12)


def test_scalars_differentiate_by_sympy_too():
    beta = Scalar("beta")
    assert sp.exp(beta * dot(X, X)).diff(beta) == dot(X, X) * sp.exp(beta * dot(X, X))
    inner = integral(sp.exp(beta * dot(X, Y)), Y, MU)
    assert (inner**2).diff(beta) == 2 * inner * integral(
        dot(X, Y) * sp.exp(beta * dot(X, Y)), Y, MU
    )


@pytest.mark.parametrize(
    "function, head",
    [(sp.floor, "floor"), (lambda t: sp.sign(t) * t, "sign"), (sp.Heaviside, "Heaviside")],
)
def test_functions_without_a_derivative_are_named(function, head):
    with pytest.raises(NotDerivable, match=head):
        gateaux(function(dot(X, Y)), Along(X, U))
    with pytest.raises(NotDerivable, match=head):
        gateaux(elementwise(function, X), Along(X, U))


def test_heads_without_a_rule_are_named():
    from pushforward.symbolic import VectorTerm
    from pushforward.symbolic.terms import make

    class Strange(VectorTerm):
        pass

    with pytest.raises(NotDerivable, match=r"Strange.*register\(Strange\)"):
        gateaux(make(Strange, X), Along(X, U))


def test_composition_is_associative_and_composes_values():
    F, G = ATTENTION, SymbolicMap(X + integral(sp.tanh(dot(X, Y)) * Y, Y, MU), X, MU)
    H = SymbolicMap(elementwise(sp.tanh, X + V @ X), X, MU)
    assert ((H @ G) @ F).term == (H @ (G @ F)).term
    env = environment(2)
    points, weights = env[MU]
    inner = np.array([value(F.term, env | {X: p}) for p in points])
    want = value(G.term, env | {X: value(F.term, env), MU: (inner, weights)})
    assert agrees(value((G @ F).term, env), want, 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_three_layers(seed):
    F, G = RESIDUAL, SymbolicMap(X + integral(sp.tanh(dot(X, Y)) * Y, Y, MU), X, MU)
    H = F @ G @ F
    env = environment(seed)
    want = difference(lambda t: value(H.term, with_mass(env, MU, env[Z], t)))
    assert agrees(value(H.flat_derivative(Z).term, env), want, 1e-9)
    want = difference(lambda t: value(H.flat_derivative(Z).term, env | {Z: env[Z] + t * env[U]}))
    assert agrees(value(H.lions_derivative(Z).term, env) @ env[U], want, 1e-9)
    want = difference(lambda t: value(H.term, env | {X: env[X] + t * env[U]}))
    assert agrees(value(H.jacobian().term, env) @ env[U], want, 1e-9)


def test_products_and_exponentials_are_those_of_sympy():
    """The forms that do not search inside our heads are the forms that SymPy finds."""
    from pushforward.symbolic.products import exponential, product

    s, t, w = dot(X, Y), dot(X, Z), LogPartition(Y, MU, dot(X, Y))
    arguments = [s, -s, 2 * s, s - w, C * s, sp.S.Zero, 2 * sp.log(1 + s**2), s + sp.log(1 + t**2)]
    for a in arguments:
        assert exponential(a) == sp.exp(a)
        for b in arguments:
            factors = 2, sp.exp(a), sp.exp(b) * t, 1 / (1 + s**2)
            assert product(*factors) == sp.Mul(*factors)


def test_derivatives_of_four_blocks_take_seconds():
    """SymPy alone would walk trees of 10^7 nodes; measured 1.0 s."""
    import time

    from pushforward.symbolic import library

    start = time.process_time()
    library.transformer(4, shared=True).flat_derivative(Z)
    assert time.process_time() - start < 20
