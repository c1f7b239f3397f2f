"""Maps that read several measures: cross-attention, discrepancies, and their derivatives."""

import numpy as np
import pytest
import sympy as sp
from term_oracle import value
from term_recipes import MU, NU, A, V, X, Y, Z, environment
from test_gateaux import agrees, difference, with_mass

from pushforward.numeric import engine_status
from pushforward.symbolic import SymbolicMap, dot, gibbs, integral

CROSS = SymbolicMap(
    X + gibbs(V @ Y, Y, NU, energy=dot(X, A @ Y)) + integral(sp.tanh(dot(X, Y)) * Y, Y, MU),
    X,
    MU,
    others=(NU,),
)
ENGINES = ("reference", "numpy", "mpmath", *("native",) * (not engine_status()["native"]))


def call(formula, env, **more):
    bound = formula.bind(**{p.name: env[p] for p in formula.parameters})
    return bound(*env[MU], env[X], nu=env[NU], **more)


@pytest.mark.parametrize("engine", ENGINES)
def test_values(engine):
    env = environment(31)
    rng = np.random.default_rng(0)
    env[NU] = rng.normal(size=(7, 2)), rng.uniform(0.1, 1, 7)  # another number of atoms
    got = call(CROSS, env, engine=engine)
    np.testing.assert_allclose(got[0], value(CROSS.term, env), rtol=1e-12)


def test_derivatives_in_each_measure():
    env = environment(32)
    for measure in (MU, NU):
        flat = CROSS.flat_derivative(Z, measure=measure)
        want = difference(lambda t, m=measure: value(CROSS.term, with_mass(env, m, env[Z], t)))
        assert agrees(call(flat, env, z=env[Z])[0, 0], want, 1e-8)
        lions = call(CROSS.lions_derivative(Z, measure=measure), env, z=env[Z])[0, 0]
        for j in range(2):
            step = np.eye(2)[j]
            want = difference(lambda t, e=step, f=flat: value(f.term, env | {Z: env[Z] + t * e}))
            assert agrees(lions[:, j], want, 1e-8)


def test_compositions_keep_the_measures():
    inner = SymbolicMap(X + integral(Y, Y, MU), X, MU)
    both = CROSS @ inner
    assert both.others == (NU,) and (inner @ inner).others == ()
    env = environment(33)
    points, weights = env[MU]
    moved = points + weights @ points
    want = value(CROSS.term, env | {MU: (moved, weights), X: env[X] + weights @ points})
    assert agrees(call(both, env)[0], want, 1e-12)


def test_wrong_calls():
    env = environment(34)
    bound = CROSS.bind(A=env[A], V=env[V])
    with pytest.raises(ValueError, match="pass nu="):
        bound(*env[MU], env[X])
    with pytest.raises(ValueError, match="a pair of points and weights"):
        bound(*env[MU], env[X], nu=env[NU][0])
    with pytest.raises(ValueError, match="the measure nu"):
        SymbolicMap(CROSS.term, X, MU)
    with pytest.raises(ValueError, match="names of their own"):
        SymbolicMap(CROSS.term, X, MU, others=(NU, MU))
    with pytest.raises(TypeError, match="others holds Measures"):
        SymbolicMap(CROSS.term, X, MU, others=("nu",))
    with pytest.raises(ValueError, match="no measure of the map"):
        SymbolicMap(X, X, MU).flat_derivative(Z, measure=NU)
    with pytest.raises(ValueError, match="several measures"):
        CROSS.code("numpy")


def test_the_rest_of_the_house():
    """Proofs refuse, a search says what the call lacks, all tokens move at once."""
    import pushforward as pf
    from pushforward.proofs_checks.prove import prove

    env = environment(35)
    numbers = {"A": env[A], "V": env[V]}
    assert prove(CROSS, numbers, pf.Ball(2)).head == "Measure"
    with pytest.raises(ValueError, match="nu"):
        pf.verify(CROSS.bind(**numbers), domain=pf.Ball(2), budget=2)
    points, weights = env[MU]
    jacobian = CROSS.token_jacobian().bind(**numbers)(points, weights, nu=env[NU])
    step = np.zeros_like(points)
    step[1, 0] = 1.0
    bound = CROSS.bind(**numbers)
    want = difference(lambda t: bound(points + t * step, weights, points + t * step, nu=env[NU]))
    assert agrees(jacobian[:, :, 1, 0], want, 1e-8)
