"""Suprema over the support: their terms, their values on every engine, what they have not."""

import pickle

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings, strategies as st
from term_oracle import value
from term_recipes import MU, NU, POINTS, A, C, U, X, Y, Z, environment, vectors
from test_code import compiled
from test_engines_agree import ORDER, inputs_of
from test_native import own_cache  # noqa: F401  the fixture keeps compiled C to itself
from test_rounding import PLACES, WEIGHTS

import pushforward as pf
from pushforward import symbolic as s
from pushforward.numeric import Ball, Ensemble, Sphere, engine_status
from pushforward.numeric.arrays import to_numpy
from pushforward.numeric.batch_flows import estimate_flow
from pushforward.numeric.lowering import lower
from pushforward.numeric.multiprecision import interpret_precisely
from pushforward.numeric.reference import Inputs, interpret
from pushforward.numeric.rounding import Precision, rounding_bound
from pushforward.proofs_checks import Refusal, enclosure, prove
from pushforward.symbolic import (
    NotDerivable,
    SymbolicMap,
    VelocityField,
    canonical,
    dot,
    elementwise,
    gibbs,
    infimum,
    norm2,
    read,
    simplify,
    supremum,
)
from pushforward.symbolic.exact import exact

POOLING = SymbolicMap(X + sp.Rational(3, 10) * supremum(elementwise(sp.tanh, Y), Y, MU), X, MU)
RISING, FALLING = s.Scalar("r", positive=True), s.Scalar("f", nonpositive=True)
TANH = elementwise(sp.tanh, Y)


# ---- terms

FOLDS = [
    (supremum(dot(X, Y) + C, Y, MU), C + supremum(dot(X, Y), Y, MU)),
    (supremum(X + Y, Y, MU), X + supremum(Y, Y, MU)),
    (supremum(X, Y, MU), X),
    (supremum(C, Y, MU), C),
    (supremum(2 * dot(X, Y), Y, MU), 2 * supremum(dot(X, Y), Y, MU)),
    (supremum(RISING * TANH, Y, MU), RISING * supremum(TANH, Y, MU)),
    (supremum(sp.exp(dot(X, Y) + C), Y, MU), supremum(sp.exp(C + dot(X, Y)), Y, MU)),
    (supremum(FALLING * dot(X, Y), Y, MU), -FALLING * supremum(-dot(X, Y), Y, MU)),
    (supremum(RISING * (dot(X, Y) + C), Y, MU), RISING * (C + supremum(dot(X, Y), Y, MU))),
    (supremum(-3 * Y, Y, MU), -3 * infimum(Y, Y, MU)),
    (infimum(2 * dot(X, Y) + C, Y, MU), C + 2 * infimum(dot(X, Y), Y, MU)),
    (infimum(Y - X, Y, MU), infimum(Y, Y, MU) - X),
    (supremum(dot(X, Y), Y, MU), supremum(dot(X, Z), Z, MU)),
]


@pytest.mark.parametrize("got, want", FOLDS, ids=range(len(FOLDS)))
def test_what_leaves_a_supremum(got, want):
    assert sp.expand(got - want) == 0 if isinstance(want, sp.Expr) else got == want
    env = environment(1) | {RISING: 0.7, FALLING: -0.3}
    np.testing.assert_allclose(value(got, env), value(want, env), rtol=1e-14)


def test_factors_of_unknown_sign_stay_inside():
    term = supremum(C * dot(X, Y), Y, MU)
    assert isinstance(term, s.Supremum) and C in term.free_symbols
    for c in (0.8, -0.8):
        env = environment(1) | {C: c}
        assert value(term, env) == pytest.approx(np.max(c * env[MU][0] @ env[X]), abs=1e-15)


def test_signs_of_values():
    assert supremum(norm2(Y), Y, MU).is_nonnegative and infimum(norm2(Y), Y, MU).is_nonnegative
    assert supremum(sp.exp(dot(X, Y)), Y, MU).is_positive
    assert supremum(dot(X, Y), Y, MU).is_nonnegative is None


def suprema(parts=4):
    """Suprema of random terms, within sums and below other binders."""
    one = st.builds(supremum, vectors(parts), st.sampled_from(POINTS), st.sampled_from((MU, NU)))
    return st.one_of(
        one,
        st.builds(lambda u, v: u - 2 * v, one, vectors(3)),
        st.builds(lambda u, y, m: s.integral(dot(u, y) * y, y, m), one, st.just(Y), st.just(MU)),
        st.builds(lambda u, y, m: supremum(dot(u, y) * u, y, m), one, st.just(X), st.just(NU)),
        st.builds(
            lambda u, y: gibbs(u + y, y, MU, energy=sp.tanh(infimum(dot(u, Z), Z, NU))),
            one,
            st.just(Y),
        ),
    )


@settings(max_examples=25, deadline=None)
@given(suprema(), st.sampled_from(POINTS), vectors(3), st.integers(0, 100))
def test_substitution_respects_the_scope(term, point, other, seed):
    env = environment(seed)
    want = value(term, env | {point: value(other, env)})
    np.testing.assert_allclose(value(term.subs(point, other), env), want, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(suprema(), st.integers(0, 100))
def test_texts_pickles_and_simplified_terms(term, seed):
    assert read(canonical(term)) == term == pickle.loads(pickle.dumps(term))
    env = environment(seed)
    simple = value(simplify(term), env)
    np.testing.assert_allclose(simple, value(term, env), rtol=1e-9, atol=1e-9)


def test_formulas_to_read():
    term = supremum(dot(X, Y) * Y, Y, MU) / 2
    assert str(term) == "sup_{y in supp mu}(<x, y> y)/2"
    assert r"\sup_{y \in \mathrm{supp}\,\mu}(\langle x, y\rangle \,y)" in sp.latex(term)
    assert "<mi>sup</mi>" in SymbolicMap(term, X, MU).mathml()
    assert str(supremum(dot(X, Y), Y, MU)) == "sup_{y in supp mu}(<x, y>)"


def test_minus_a_supremum_of_minus_is_read_as_an_infimum():
    read_as = {
        "inf_{y in supp mu}(|x - y|^2) x": infimum(norm2(X - Y), Y, MU) * X,
        "inf_{y in supp mu}(A y)": infimum(A @ Y, Y, MU),
        "3 c (c + inf_{y in supp mu}(<x, y>)) x": 3 * C * infimum(dot(X, Y) + C, Y, MU) * X,
        "sup_{w in supp mu}(inf_{y in supp mu}(|w - y|^2)) x": supremum(
            infimum(norm2(Y - Z), Z, MU), Y, MU
        )
        * X,
        "sup_{y in supp mu}(-y)": -infimum(Y, Y, MU),
        "-sup_{y in supp mu}(<x, y> - |y|^2) x": -supremum(dot(X, Y) - norm2(Y), Y, MU) * X,
    }
    for text, term in read_as.items():
        assert str(SymbolicMap(term, X, MU)) == text


def test_exact_values():
    a, b, c = (sp.Matrix(p) for p in ([1, 4], [3, 2], [9, 9]))
    env = {X: sp.Matrix([1, -1]), MU: ([a, b, c], [sp.S.Half, sp.Rational(1, 10**9), sp.S.Zero])}
    assert exact(supremum(Y, Y, MU), env) == sp.Matrix([3, 4])
    assert exact(infimum(dot(X, Y), Y, MU), env) == -3


def test_what_is_no_scalar_and_no_vector():
    with pytest.raises(TypeError, match="expected a scalar term, got the matrix"):
        supremum(s.outer(Y, Y), Y, MU)


# ---- derivatives: those that are zero, and a name for the others


def test_derivatives_that_are_zero_stay():
    jacobian = POOLING.jacobian()
    assert jacobian.term == s.Identity(X)
    constant = SymbolicMap(X + supremum(A @ Z, Z, NU), X, MU, others=(NU,))
    assert s.matrices.is_zero(constant.flat_derivative(Z).term)


@pytest.mark.parametrize(
    "derived",
    [
        lambda: POOLING.flat_derivative(Z),
        lambda: POOLING.lions_derivative(Z),
        lambda: SymbolicMap(supremum(dot(X, Y), Y, MU) * X, X, MU).jacobian(),
        lambda: s.derive(POOLING),
        lambda: (POOLING @ POOLING).flat_derivative(Z),
        lambda: SymbolicMap(supremum(C * Y, Y, MU), X, MU).parameter_derivative(C),
        lambda: VelocityField(POOLING.term, X, MU).vlasov().linearisation,
        lambda: s.bbgky(VelocityField(POOLING.term, X, MU)),
        lambda: s.gateaux(supremum(dot(X, Y), Y, MU), s.Along(X, U)),
    ],
    ids=range(9),
)
def test_no_other_derivative(derived):
    with pytest.raises(NotDerivable, match="derivative of Supremum in sup_.*vanishing weight"):
        derived()


def test_a_vlasov_equation_says_what_it_lacks():
    lines = str(VelocityField(POOLING.term, X, MU).vlasov()).splitlines()
    shown = dict(line.split(": ", 1) for line in lines)
    assert shown["equation"].startswith("d_t mu + div(V(mu) mu) = 0")
    assert shown["linearisation"].startswith("none, for ") and "Supremum" in shown["linearisation"]


# ---- values: plain functions of arrays against every engine


def scores(points, x):
    return x @ points.T


def softmax(energies, weights):
    kernel = weights * np.exp(energies - energies.max(axis=-1, keepdims=True))
    return kernel / kernel.sum(axis=-1, keepdims=True)


def pooled(points, weights, x):
    return x + 0.3 * np.tanh(points[weights > 0]).max(axis=0)


def top_score(points, weights, x):
    return scores(points[weights > 0], x).max(axis=1, keepdims=True) * x


def boxed(points, weights, x):
    kept = points[weights > 0]
    weighed = scores(kept, x)[:, :, None] * kept
    return weighed.max(axis=1) - weighed.min(axis=1)


def of_means(points, weights, x):
    points, weights = points[weights > 0], weights[weights > 0]
    means = softmax(scores(points, points), weights) @ points
    return x + (means - points).max(axis=0)


def mean_of_suprema(points, weights, x):
    points, weights = points[weights > 0], weights[weights > 0]
    energies = np.tanh(scores(points, points)).max(axis=1) + scores(points, x)
    return softmax(energies, weights) @ points


def farthest_pairs(points, weights, x):
    kept = points[weights > 0]
    moved = x[:, None, None] - kept[None, :, None] + kept[None, None]
    farthest = (moved**2).sum(axis=-1).max(axis=-1)
    return (farthest[..., None] * kept).max(axis=1)


def hausdorff(points, weights, x):
    """The distance of the image of the cloud under a shift to the cloud."""
    kept = points[weights > 0]
    gaps = ((x[:, None, None] + kept[None, :, None] - kept[None, None]) ** 2).sum(axis=-1)
    return gaps.min(axis=-1).max(axis=-1, keepdims=True) * x


MAPS = {
    "pooling": (POOLING, pooled),
    "top score": (SymbolicMap(supremum(dot(X, Y), Y, MU) * X, X, MU), top_score),
    "box": (
        SymbolicMap(supremum(dot(X, Y) * Y, Y, MU) - infimum(dot(X, Y) * Y, Y, MU), X, MU),
        boxed,
    ),
    "of means": (
        SymbolicMap(X + supremum(gibbs(Z, Z, MU, energy=dot(Z, Y)) - Y, Y, MU), X, MU),
        of_means,
    ),
    "mean of suprema": (
        SymbolicMap(gibbs(Y, Y, MU, energy=dot(X, Y) + supremum(sp.tanh(dot(Y, Z)), Z, MU)), X, MU),
        mean_of_suprema,
    ),
    "farthest pairs": (
        SymbolicMap(supremum(supremum(norm2(X - Y + Z), Z, MU) * Y, Y, MU), X, MU),
        farthest_pairs,
    ),
    "Hausdorff": (
        SymbolicMap(supremum(infimum(norm2(X + Y - Z), Z, MU), Y, MU) * X, X, MU),
        hausdorff,
    ),
}
ENGINES = ["reference", "numpy", *([] if engine_status()["native"] else ["native"])]


def ties(rng, points, weights):
    return np.round(points), weights


def tiny_weights(rng, points, weights):
    return points, np.where(np.arange(len(weights)) == 0, 1.0, 1e-300)


def zero_weights(rng, points, weights):
    """The atoms that do not count lie farthest out."""
    if len(points) == 1:
        return points, weights
    heavy = np.arange(len(weights)) % 3 > 0
    return np.where(heavy[:, None], points, 1e6 * points), np.where(heavy, weights, 0.0)


def coincident(rng, points, weights):
    return np.repeat(points[:1], len(points), axis=0), weights


def as_they_come(rng, points, weights):
    return points, weights


CLOUDS = [as_they_come, ties, tiny_weights, zero_weights, coincident]
SIZES = [(1, 3, 2, "float64"), (70, 19, 2, "float64"), (37, 9, 7, "float32")]
COMPILED = ["box", "mean of suprema"]  # a kernel is compiled once a map, dimension and type


def check(name, engine, n, m, d, dtype):
    """Within the bound that comes with the values."""
    source, function = MAPS[name]
    bound, rng = source.bind(), np.random.default_rng(n)
    for change in CLOUDS:
        points, weights = change(rng, rng.normal(size=(n, d)), rng.random(n) + 0.1)
        queries = rng.normal(size=(m, d))
        got = bound.evaluate(points, weights, queries, engine=engine, dtype=dtype)
        want = function(points, weights, queries)
        assert got.value.dtype == dtype and np.isfinite(got.bound).all()
        room = got.bound + 1e-13 * (1 + np.abs(want).max())
        assert (np.abs(got.value - want) <= room).all(), change


@pytest.mark.parametrize("n, m, d, dtype", SIZES)
@pytest.mark.parametrize(
    "name, engine",
    [
        (name, engine)
        for name in MAPS
        for engine in ENGINES
        if engine != "native" or name in COMPILED
    ],
)
def test_every_engine_against_plain_functions(name, engine, n, m, d, dtype):
    check(name, engine, n, m, d, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
def test_every_size_and_type_by_the_compiled_engine(name):
    if "native" not in ENGINES:
        pytest.skip("there is no C compiler")
    for n, m, d in ((1, 3, 2), (64, 9, 2), (65, 1, 2), (129, 33, 9)):
        check(name, "native", n, m, d, "float64")
    check(name, "native", 300, 40, 3, "float32")


@settings(max_examples=25, deadline=None)
@given(suprema(), st.integers(0, 100), st.integers(1, 5))
def test_random_terms_against_the_oracle(term, seed, n):
    env = environment(seed, n=n)
    inputs = inputs_of(env, rows=2)
    program = lower(term)
    got = interpret(program, inputs, ORDER)
    for index in ((0, 0, 0), (1, 0, 1)):
        at = {p: inputs.points[p.name][i] for p, i in zip((X, Y, Z), index, strict=True)}
        np.testing.assert_allclose(got[index], value(term, env | at), rtol=1e-9, atol=1e-9)
    many = interpret_precisely(program, inputs, ORDER, 30).astype(float)
    np.testing.assert_allclose(got, many, rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["pooling", "top score", "box", "of means"]),
    st.sampled_from(ENGINES[:2]),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(sorted(PLACES)),
    st.sampled_from(sorted(WEIGHTS)),
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 6, 17]),
)
def test_rounding_bounds_against_many_digits(name, engine, dtype, places, weights, seed, n):
    rng = np.random.default_rng(seed)
    points = PLACES[places](rng, rng.normal(size=(n, 2)))
    mass = WEIGHTS[weights](rng, rng.dirichlet(np.ones(n)))
    bound, queries = MAPS[name][0].bind(), rng.normal(size=(2, 2))
    exactly = bound.at_precision(points, mass, queries, digits=80)
    got = bound.evaluate(points, mass, queries, engine=engine, dtype=dtype)
    known = np.isfinite(got.bound)
    to_mpf = np.frompyfunc(lambda v: mpmath.mpf(float(v)), 1, 1)
    error = np.abs(to_mpf(got.value[known]) - exactly[known])
    assert (error <= to_mpf(got.bound[known])).all()


def test_the_bound_is_that_of_atoms_that_may_attain_it():
    """Atoms far below have large errors here, and no part in the bound."""
    program = lower(supremum(-dot(Y, Y), Y, MU))

    def bound(*atoms):
        measures = {"mu": (np.array(atoms)[:, None], np.ones(len(atoms)))}
        inputs = Inputs({"x": np.ones((1, 1))}, measures, {})
        return float(rounding_bound(program, inputs, ("x",), Precision.of(np.float32))[0])

    assert bound(1.1) < 1e-5 < 1 < bound(1e4 + 0.1)
    assert bound(1.1, 1e4 + 0.1) == bound(1.1)
    assert bound(1e4, 1e4 + 1e-5) > 0.5 * bound(1e4 + 1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_that_are_none_stay_none(engine):
    """NaN at one atom is NaN in the value, wherever the atom lies; minus infinity is no NaN."""
    u = s.component(Y, 0)
    bound = SymbolicMap(s.stack(supremum(sp.log(u), Y, MU), supremum(u, Y, MU)), X, MU).bind()
    for place in (0, 40, 99):
        points = np.linspace(1, 2, 100)[:, None]
        points[place] = -1
        got = bound(points, None, np.ones((3, 1)), engine=engine)
        assert np.isnan(got[:, 0]).all() and (got[:, 1] == points.max()).all()
        points[place] = 0
        got = bound(points, None, np.ones((3, 1)), engine=engine)
        np.testing.assert_allclose(got[:, 0], np.log(points.max()), rtol=1e-15)
    one = bound(np.zeros((1, 1)), None, np.ones((1, 1)), engine=engine)
    assert one.tolist() == [[-np.inf, 0]]


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_below_the_numbers_of_the_type_count(engine):
    points = np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0]], np.float32)
    weights, queries = np.array([1.0, 1e-300, 0.0]), np.ones((2, 2), np.float32)
    bound = POOLING.bind()
    want = 1 + 0.3 * np.tanh([1.0, 1.0])
    for got in (
        bound(points, weights, queries, engine=engine),
        bound.batch([(points, weights, queries)] * 3, engine=engine)[1],
    ):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, [want, want], rtol=1e-6)
    with pytest.raises(ValueError, match="weights of positive sum"):
        bound(points, np.zeros(3), queries, engine=engine)


def test_many_measures_in_one_call():
    rng, bound = np.random.default_rng(0), MAPS["box"][0].bind()
    items = [
        (rng.normal(size=(n, 2)), rng.random(n), rng.normal(size=(m, 2)))
        for n, m in ((1, 2), (9, 1), (70, 5))
    ]
    for got, item in zip(bound.batch(items), items, strict=True):
        np.testing.assert_allclose(got, boxed(*item), rtol=1e-13)


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_arrays_of_other_libraries(library):
    xp = pytest.importorskip(library)
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(30, 2)), rng.random(30), rng.normal(size=(4, 2))
    for name in ("pooling", "box", "Hausdorff"):
        source, function = MAPS[name]
        got = source.bind()(*map(xp.asarray, arrays), engine="numpy")
        assert type(got) is type(xp.asarray(arrays[1]))
        np.testing.assert_allclose(to_numpy(got), function(*arrays), rtol=1e-12)


def test_a_flow_and_its_costs():
    field = VelocityField(supremum(Y, Y, MU) - X, X, MU).bind()
    points = np.array([[0.0, 1.0], [2.0, 0.0]])
    moved = field.flow(points, None, 1.0, steps=50)
    np.testing.assert_allclose(moved, [2, 1] + np.exp(-1) * (points - [2, 1]), rtol=1e-8)
    told = MAPS["top score"][0].bind().explain(200, dim=2)
    assert "200 rows, 40000 pairs of mu; supremum" in told


def test_no_estimates_from_random_batches():
    field, points = VelocityField(supremum(Y, Y, MU) - X, X, MU).bind(), np.ones((9, 2))
    for call in (
        lambda: Ensemble(field).estimate(points, None, points, batch=3),
        lambda: estimate_flow(field, points, None, 1.0),
    ):
        with pytest.raises(ValueError, match="random batches, got a supremum"):
            call()


# ---- programs as text


def environment_with_zeros():
    env = environment(3, n=5)
    points, weights = env[MU]
    points = np.concatenate([points, points[:1], [[9.0, 9.0]]])
    return points, np.concatenate([weights, [1e-300, 0.0]]), np.array([env[X], env[Z], env[U]])


@pytest.mark.parametrize("name", MAPS)
def test_numpy_programs(name):
    source, function = MAPS[name]
    space: dict = {}
    exec(compile(source.code("numpy"), "<program>", "exec"), space)
    given = environment_with_zeros()
    np.testing.assert_allclose(space["G"](*given), function(*given), rtol=1e-12)


def test_c_programs(tmp_path):
    import ctypes

    source = SymbolicMap(
        X
        + supremum(gibbs(Z, Z, MU, energy=dot(Z, Y)) - Y, Y, MU)
        + supremum(dot(X, Y), Y, MU) * infimum(Y, Y, MU),
        X,
        MU,
    )
    points, weights, queries = environment_with_zeros()
    library = compiled(source.code("c"), tmp_path, "cc", {"D": 2})
    got, pointer = np.full((3, 2), np.nan), lambda a: a.ctypes.data_as(ctypes.c_void_p)
    count = ctypes.c_int
    library.G(pointer(points), pointer(weights), count(len(points)), pointer(queries), count(3),
              pointer(got))  # fmt: skip
    np.testing.assert_allclose(got, source.bind()(points, weights, queries), rtol=1e-12)
    assert "fmax" in source.code("cuda") and "__global__" in source.code("cuda")


# ---- proofs and enclosures


def test_continuity_is_not_proved():
    found = prove(POOLING, {}, Ball(2))
    assert isinstance(found, Refusal) and found.head == "Supremum"
    assert "no continuous function of the measure" in str(found)


@pytest.mark.parametrize("name", MAPS)
def test_enclosures_hold_all_values(name):
    source, function = MAPS[name]
    for domain in (Ball(2), Sphere(2)):
        found = enclosure(source, {}, domain)
        rng = np.random.default_rng(0)
        for n in (1, 2, 30):
            values = function(domain.sample(rng, n), np.ones(n) / n, domain.sample(rng, 50))
            assert all(v in found for v in values)


def test_the_norm_of_a_supremum_is_not_that_of_its_body():
    """Both components are largest at an atom of their own: (1, 1) on the unit circle."""
    found = enclosure(SymbolicMap(supremum(Y, Y, MU), X, MU), {}, Sphere(2))
    assert [1.0, 1.0] in found
    values = SymbolicMap(supremum(Y, Y, MU), X, MU).bind()(np.eye(2), None, np.zeros((1, 2)))
    assert values.tolist() == [[1.0, 1.0]]


# ---- verdicts


def relative(d):
    """The log-partition at temperature 1/50 in place of the supremum: steep, and continuous."""
    scores = [50 * sp.tanh(s.component(Y, i)) for i in range(d)]
    soft = s.stack(*(s.LogPartition(Y, MU, score) / 50 for score in scores))
    return SymbolicMap(X + sp.Rational(3, 10) * soft, X, MU)


def steep(points, weights, x):
    energies = 50 * np.tanh(points)
    top = energies.max(axis=0)
    return x + 0.3 * (top + np.log(weights @ np.exp(energies - top))) / 50


def far_atom(found):
    """The counterexample: a far atom of vanishing mass."""
    assert "far atom of vanishing mass" in found.reason
    lightest = min(float(nu.weights.min()) for nu in found.counterexample.measures)
    assert lightest < 1e-250
    return found.counterexample


@pytest.mark.parametrize("d", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_verdicts_on_max_pooling(d):
    report = pf.verify(POOLING.bind(), domain=Ball(d), budget=8)
    verdicts = {name: found.verdict for name, found in report.conditions.items()}
    assert verdicts == {
        "well-defined": "tested",
        "continuous": "refuted",
        "B1": "tested",
        "B2": "refuted",
    }
    assert far_atom(report["continuous"]).replay() == "STILL FAILS"


@pytest.mark.parametrize("d", [1, 2])
def test_a_steep_relative_is_continuous(d):
    report = pf.verify(relative(d).bind(), domain=Ball(d), budget=5)
    assert {found.verdict for found in report.conditions.values()} == {"proved"}
    points = np.random.default_rng(0).normal(size=(5, d))
    got = relative(d).bind()(points, None, points)
    np.testing.assert_allclose(got, steep(points, np.full(5, 0.2), points), rtol=1e-12)
    assert np.abs(got - POOLING.bind()(points, None, points)).max() < 0.3 * np.log(5) / 50


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2])
def test_a_steep_relative_is_not_refuted_without_its_formula(d):
    assert pf.verify(pf.InContextMap(steep, Ball(d)), budget=6).ok
