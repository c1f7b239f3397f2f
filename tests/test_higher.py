"""Derivatives of three axes and more, by differences of the oracle and by components."""

import functools

import numpy as np
import pytest
import sympy as sp
from term_oracle import value
from term_recipes import MU, A, B, C, V, X, Y, Z, environment
from test_gateaux import agrees, difference, with_mass

from pushforward.numeric import engine_status
from pushforward.symbolic import (
    Matrix,
    Point,
    Pushforward,
    SymbolicMap,
    Trace,
    Vector,
    component,
    covariance,
    dot,
    gateaux,
    gibbs,
    gradient_in,
    integral,
    jacobian_in,
    norm2,
)
from pushforward.symbolic.gateaux import Along, MassAt
from pushforward.symbolic.terms import FreshPoint

W = Point("w")
ATTENTION = SymbolicMap(X + gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
KERNEL = SymbolicMap(integral(sp.tanh(dot(X, A @ Y) + C) * (Y - X), Y, MU) + B, X, MU)
MAPS = {"attention": ATTENTION, "kernel": KERNEL, "layers": KERNEL @ ATTENTION}
ENGINES = ("numpy", "reference", "mpmath", *("native",) * (not engine_status()["native"]))


def values_of(formula, env):
    by_name = {p.name: env[p] for p in formula.parameters}
    return formula.bind(**by_name)


def along(formula, env, *steps):
    """The mixed central difference of a map's value in changes of the environment."""
    h = 2e-3
    total = 0.0
    for signs in np.ndindex(*(2,) * len(steps)):
        moved = env
        for s, change in zip(signs, steps, strict=True):
            moved = change(moved, h if s == 0 else -h)
        total = total + (-1) ** sum(signs) * value(formula.term, moved)
    return total / (2 * h) ** len(steps)


def point_moves(point, i):
    return lambda env, t: env | {point: env[point] + t * np.eye(2)[i]}


@pytest.mark.parametrize("name", MAPS)
def test_hessian(name):
    G, env = MAPS[name], environment(4)
    got = values_of(G.hessian(), env)(*env[MU], env[X])
    assert got.shape == (1, 2, 2, 2)
    for j, k in np.ndindex(2, 2):
        want = along(G, env, point_moves(X, j), point_moves(X, k))
        assert agrees(got[0, :, j, k], want, 1e-5)


@pytest.mark.parametrize("name", MAPS)
def test_lions_derivatives_of_second_order(name):
    G = MAPS[name]
    env = environment(5) | {W: np.array([0.3, -0.6])}
    flat = G.flat_derivative(Z)
    mixed = values_of(G.mixed_lions_derivative(Z), env)(*env[MU], env[X], z=env[Z])
    own = values_of(G.lions_jacobian(Z), env)(*env[MU], env[X], z=env[Z])
    twice = G.second_flat_derivative(Z, W)
    both = values_of(G.second_lions_derivative(Z, W), env)(*env[MU], env[X], z=env[Z], w=env[W])
    assert mixed.shape == own.shape == (1, 1, 2, 2, 2) and both.shape == (1, 1, 1, 2, 2, 2)
    for a, b in np.ndindex(2, 2):
        want = along(flat, env, point_moves(Z, a), point_moves(X, b))
        assert agrees(mixed[0, 0, :, a, b], want, 1e-5)
        want = along(flat, env, point_moves(Z, a), point_moves(Z, b))
        assert agrees(own[0, 0, :, a, b], want, 1e-5)
        want = along(twice, env, point_moves(Z, a), point_moves(W, b))
        assert agrees(both[0, 0, 0, :, a, b], want, 1e-5)


def test_derivatives_in_x_and_in_the_measure_commute():
    """D_mu of the column D_x G e_i is D_x D_mu G: the other order of differentiation."""
    env = environment(6)
    mixed = values_of(ATTENTION.mixed_lions_derivative(Z), env)(*env[MU], env[X], z=env[Z])
    for b in range(2):
        e, u = Vector("e"), FreshPoint()
        column = gateaux(ATTENTION.term, Along(X, e))
        slope = gateaux(gateaux(column, MassAt(MU, Z)), Along(Z, u))
        inside = env | {e: np.eye(2)[b], u: 0 * env[X]}
        assert agrees(value(jacobian_in(slope, u), inside), mixed[0, 0, :, :, b], 1e-12)


def test_directions_give_the_same_as_the_whole():
    env = environment(7) | {W: np.array([0.2, 0.1])}
    s, t = np.array([0.4, -1.0]), np.array([2.0, 0.3])
    u, v = Point("u"), Point("v")
    points = {"z": env[Z], "w": env[W]}
    whole = values_of(ATTENTION.second_lions_derivative(Z, W), env)(*env[MU], env[X], **points)
    part = values_of(ATTENTION.second_lions_derivative(Z, W, u, v), env)
    got = part(*env[MU], env[X], **points, u=s, v=t)
    assert agrees(got.ravel(), np.einsum("iab,a,b->i", whole[0, 0, 0], s, t), 1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_whole_arrays_by_every_engine(engine):
    env = environment(8)
    bound = values_of(ATTENTION.hessian(), env)
    queries = np.array([[0.1, 0.2], [0.3, -0.4], [0.5, 0.6]])
    want = bound(*env[MU], queries, engine="mpmath")
    got = bound.evaluate(*env[MU], queries, engine=engine)
    assert got.value.shape == (3, 2, 2, 2)
    np.testing.assert_allclose(got.value, want, rtol=1e-12, atol=1e-13)
    assert np.all(np.abs(got.value - want) <= got.bound)


def test_golden_hessian():
    """Tokens (-1, 0.5, 2), weights (0.2, 0.5, 0.3), A = 0.7, V = 1, x = 0.3."""
    G = SymbolicMap(gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
    tokens, weights = [[-1.0], [0.5], [2.0]], [0.2, 0.5, 0.3]
    got = G.hessian().bind(A=[[0.7]], V=[[1.0]])(tokens, weights, [[0.3]])
    np.testing.assert_allclose(got.item(), -0.188777278570, rtol=1e-10)


@pytest.mark.parametrize("name", MAPS)
def test_whole_derivatives_in_parameters(name):
    G, env = MAPS[name], environment(9)
    for parameter in G.parameters:
        derived = G.parameter_derivative(parameter)
        got = values_of(derived, env)(*env[MU], env[X])
        shape = np.shape(env[parameter])
        assert got.shape == (1, 2, *shape)
        for place in np.ndindex(*shape):
            unit = np.zeros(shape)
            unit[place] = 1.0
            want = difference(
                lambda t, p=parameter, e=unit: value(G.term, env | {p: env[p] + t * e})
            )
            assert agrees(got[(0, slice(None), *place)], want, 1e-8)


@pytest.mark.parametrize("name", MAPS)
def test_jacobian_of_all_tokens(name):
    """Every token moves as a query and as an atom."""
    G, env = MAPS[name], environment(10, n=4)
    points, weights = env[MU]
    got = values_of(G.token_jacobian(), env)(points, weights)
    assert got.shape == (4, 2, 4, 2)
    bound = values_of(G, env)
    for j, b in np.ndindex(4, 2):
        step = np.zeros_like(points)
        step[j, b] = 1.0
        want = difference(lambda t, s=step: bound(points + t * s, weights, points + t * s))
        assert agrees(got[:, :, j, b], want, 1e-8)
    np.testing.assert_array_equal(
        values_of(G.token_jacobian(), env)(points), values_of(G.token_jacobian(), env)(points, None)
    )


def energy(nu):
    spread = integral(norm2(Y), Y, nu) - norm2(integral(Y, Y, nu))
    pairs = integral(integral(sp.exp(-norm2(Y - Z)), Z, nu), Y, nu)
    return sp.exp(-spread) * pairs


@pytest.mark.parametrize("name", MAPS)
def test_derivative_of_a_functional_of_the_image(name):
    G, env = MAPS[name], environment(11)
    whole = energy(Pushforward(MU, X, G.term))
    flat = values_of(G.functional_derivative(energy), env)
    want = difference(lambda t: value(whole, with_mass(env, MU, env[X], t)))
    assert agrees(flat(*env[MU], env[X]), want, 1e-8)
    gradient = values_of(G.functional_gradient(energy), env)(*env[MU], env[X])
    for i in range(2):
        unit = np.eye(2)[i]
        want = difference(lambda t, e=unit: flat(*env[MU], env[X] + t * e)[0])
        assert agrees(gradient[0, i], want, 1e-8)


def test_derivative_of_a_linear_functional_is_that_of_the_pushforward():
    psi = lambda v: sp.sin(component(v, 0)) * component(v, 1)  # noqa: E731
    linear = lambda nu: integral(psi(Y), Y, nu)  # noqa: E731
    env = environment(12)
    got = value(KERNEL.functional_derivative(linear).term, env)
    assert agrees(got, value(KERNEL.derivative(psi).term, env), 1e-12)


def test_normalised_derivative_of_a_pushforward_is_the_limit_of_its_quotient():
    """`<psi, f(mu_e) - (1 - e) f(mu)> / e`: the regular part is psi(G) alone."""
    psi = lambda v: sp.sin(component(v, 0)) * component(v, 1)  # noqa: E731
    env = environment(13)
    points, weights = env[MU]
    weights = weights / weights.sum()
    env[MU] = points, weights
    image = integral(psi(Y), Y, Pushforward(MU, X, KERNEL.term))

    def at(t):
        mixed = np.append((1 - t) * weights, t)
        return value(image, env | {MU: (np.vstack([points, env[X]]), mixed)})

    limit = difference(at) + at(0.0)
    parts = [
        value(part(psi, normalised=True).term, env)
        for part in (KERNEL.regular_derivative, KERNEL.irregular_derivative, KERNEL.derivative)
    ]
    assert agrees(parts[2], limit, 1e-9) and agrees(parts[0] + parts[1], parts[2], 1e-12)
    assert agrees(parts[0], value(psi(KERNEL.term), env), 1e-12)
    assert not agrees(parts[1], value(KERNEL.irregular_derivative(psi).term, env), 1e-3)
    linear = lambda nu: integral(psi(Y), Y, nu)  # noqa: E731
    centred = value(KERNEL.functional_derivative(linear, normalised=True).term, env)
    assert agrees(centred, difference(at), 1e-9)


@pytest.mark.parametrize("more", [(), (component(Y, 0),), (component(Y, 0), dot(Y, Y))])
def test_gradient_of_the_trace_of_a_cumulant(more):
    from pushforward.symbolic import Cumulant

    moving = A @ Y + dot(X, Y) * Y
    law = Cumulant((moving, V @ Y, *more), Y, MU, dot(X, A @ Y))
    for matrix in (law, A @ law @ V):
        term, env, u = Trace(matrix), environment(14, n=5), FreshPoint()
        gradient = gradient_in(gateaux(term, Along(X, u)), u)
        got = value(gradient, env | {u: 0 * env[X]})
        for i in range(2):
            moved = functools.partial(point_moves(X, i), env)
            want = difference(lambda t, term=term, moved=moved: value(term, moved(t)))
            assert agrees(got[i], want, 1e-8)
    spread = Trace(covariance(Y, Y, Y, MU, energy=dot(X, A @ Y)))
    u = FreshPoint()
    assert jacobian_in(gateaux(spread * X, Along(X, u)), u) is not None


def test_wrong_calls():
    with pytest.raises(ValueError, match="both directions u and v, or none"):
        ATTENTION.second_lions_derivative(Z, W, Point("u"))
    with pytest.raises(ValueError, match="already in use"):
        ATTENTION.mixed_lions_derivative(X)
    with pytest.raises(TypeError, match="U maps a measure term to a scalar term"):
        ATTENTION.functional_derivative(lambda nu: integral(Y, Y, nu))
    with pytest.raises(ValueError, match="may not speak of the point x"):
        ATTENTION.functional_derivative(lambda nu: dot(X, X))
    with pytest.raises(ValueError, match="missing|needs a value"):
        ATTENTION.hessian().bind(A=np.eye(2))


def test_programs_take_the_direction_as_an_argument():
    text = ATTENTION.hessian().code("numpy")
    names: dict = {}
    exec(text, names)
    env = environment(15)
    points, weights = env[MU]
    whole = values_of(ATTENTION.hessian(), env)(points, weights, env[X][None])
    u = np.array([0.3, 0.9])
    got = names["hessian"](points, weights, env[X][None], A=env[A], V=env[V], u=u)
    np.testing.assert_allclose(got, whole @ u, rtol=1e-10)


def test_names_of_directions_give_way():
    G = SymbolicMap(dot(Vector("u"), X) * (Matrix("E") @ X), X, MU)
    assert [atom.name for atom, _ in G.hessian().directions] == ["v"]
    assert [atom.name for atom, _ in G.parameter_derivative(Matrix("E")).directions] == ["F"]


def test_long_sums_of_matrices_act_as_a_whole():
    """The Jacobian of five residual layers, by rows and by columns: sums that are not spread."""
    layer = SymbolicMap(X + gibbs(V @ Y, Y, MU, energy=dot(X, A @ Y)), X, MU)
    squash = SymbolicMap(X + B / (1 + norm2(A @ X)), X, MU)
    G = squash @ layer @ squash @ layer @ squash @ layer @ squash
    env = environment(16)
    for i in range(2):
        moved = functools.partial(point_moves(X, i), env)
        want = difference(lambda t, moved=moved: value(G.term, moved(t)))
        assert agrees(value(G.jacobian().term, env)[:, i], want, 1e-8)
        unit = np.eye(2)[i]
        want = difference(
            lambda t, e=unit: value(G.flat_derivative(Z).term, env | {Z: env[Z] + t * e})
        )
        assert agrees(value(G.lions_derivative(Z).term, env)[:, i], want, 1e-8)


def test_the_jacobian_of_a_composition_grows_by_as_much_for_each_block():
    from pushforward.symbolic import canonical, library

    lines = [canonical(library.transformer(n).jacobian().term).count("\n") for n in range(4, 8)]
    assert len(set(np.diff(lines))) == 1
