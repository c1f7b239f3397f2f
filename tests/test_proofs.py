"""Proofs of continuity: what is proved, what is refused and why, and that enclosures enclose."""

import flint
import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given, settings, strategies as st
from term_oracle import value
from term_recipes import MU as TERM_MU, NU, POINTS, A as TERM_A, B, C, V as TERM_V, X, vectors

from pushforward import symbolic as s
from pushforward.numeric import Ball, Box, FiniteSet, Product, Simplex, Sphere
from pushforward.proofs_checks import LEDGER, Proof, Refusal, constants, enclosure, prove
from pushforward.proofs_checks.enclosure import enclose
from pushforward.proofs_checks.heads import HEADS
from pushforward.proofs_checks.interval import Interval, rigorous
from pushforward.proofs_checks.region import MatrixRange, region
from pushforward.proofs_checks.scope import read
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    Scalar,
    SymbolicMap,
    Vector,
    VelocityField,
    block,
    component,
    covariance,
    dot,
    elementwise,
    expectation,
    gibbs,
    integral,
    norm,
    norm2,
    stack,
)
from pushforward.symbolic.library import sphere_step

x, y, z, mu = Point("x"), Point("y"), Point("z"), Measure("mu")
A, V, W = Matrix("A"), Matrix("V"), Matrix("W")
a, c, v = Scalar("a"), Scalar("c"), Vector("v")
mean = integral(y, y, mu)
first = component(x, 0)
DISC, SQUARE = Ball(2), Box([-1, -1], [1, 1])
SCORE = np.array([[0.9, -0.4], [0.3, 0.7]])
VALUE = np.array([[0.5, 0.2], [-0.6, 0.8]])
MATRICES = {"A": SCORE, "V": VALUE}


def attempt(term, domain=DISC, **parameters):
    arrays = {name: np.asarray(value) for name, value in parameters.items()}
    return prove(SymbolicMap(term, x, mu), arrays, domain)


def softmax(scores, weights):
    kernel = weights * np.exp(scores - scores.max(axis=1, keepdims=True))
    return kernel / kernel.sum(axis=1, keepdims=True)


def attention(points, weights, queries):
    return softmax(queries @ SCORE @ points.T, weights) @ points @ VALUE.T


def layer(points, weights, queries):
    return queries + attention(points, weights, queries)


def normalised(points, weights, queries):
    images = queries - weights @ points
    return images / np.sqrt((images**2).sum(axis=1, keepdims=True) / 2 + 0.01)


def motsch_tadmor(points, weights, queries):
    gaps = queries[:, None, :2] - points[None, :, :2]
    psi = weights / (1 + (gaps**2).sum(axis=2))
    return psi @ points[:, 2:] / psi.sum(axis=1, keepdims=True)


def covariances(points, weights, queries):
    p = softmax(queries @ SCORE @ points.T, weights)
    means = p @ points
    centred = points[None] - means[:, None]
    matrices = np.einsum("mn,mni,mnj->mij", p, centred, centred)
    return np.einsum("mij,mj->mi", matrices, queries)


HEAD = gibbs(V @ y, y, mu, energy=dot(x, A @ y))
LAYER = SymbolicMap(x + HEAD, x, mu)
KERNEL = sp.exp(dot(x, A @ y))
PLACE = block(x, 0, 2) - block(y, 0, 2)
PSI = 1 / (1 + norm2(PLACE))
STEP = sphere_step(VelocityField(HEAD - dot(x, HEAD) * x, x, mu))


def on_sphere(queries, moves):
    images = queries + moves - (queries * moves).sum(axis=1, keepdims=True) * queries
    return images / np.linalg.norm(images, axis=1, keepdims=True)


PHASE = Product(SQUARE, DISC)
# name: (term, parameters, domain, the same by hand: (points, weights, queries) -> images)
PROVED = {
    "softmax": (HEAD, MATRICES, DISC, attention),
    "residual": (x + HEAD, MATRICES, DISC, layer),
    "two heads": (
        x + HEAD + W @ gibbs(y, y, mu, energy=-norm2(x - y)),
        MATRICES | {"W": VALUE.T},
        DISC,
        lambda p, w, q: (
            layer(p, w, q)
            + softmax(-((q[:, None] - p[None]) ** 2).sum(axis=2), w) @ p @ VALUE
        ),
    ),
    "linear": (
        integral(dot(x, A @ y) * (V @ y), y, mu),
        MATRICES,
        SQUARE,
        lambda p, w, q: (w * (q @ SCORE @ p.T)) @ p @ VALUE.T,
    ),
    "sigmoid": (
        integral(V @ y / (1 + sp.exp(1 - dot(x, A @ y))), y, mu),
        MATRICES,
        DISC,
        lambda p, w, q: (w / (1 + np.exp(1 - q @ SCORE @ p.T))) @ p @ VALUE.T,
    ),
    "sink": (
        (integral(KERNEL * (V @ y), y, mu) + sp.exp(a) * v)
        / (integral(KERNEL, y, mu) + sp.exp(a)),
        MATRICES | {"a": np.array(-4.0), "v": np.array([0.2, -0.4])},
        DISC,
        lambda p, w, q: (
            ((w * np.exp(q @ SCORE @ p.T)) @ p @ VALUE.T + np.exp(-4) * np.array([0.2, -0.4]))
            / ((w * np.exp(q @ SCORE @ p.T)).sum(axis=1, keepdims=True) + np.exp(-4))
        ),
    ),
    "layer norm": (
        (x - mean) / sp.sqrt(norm2(x - mean) / 2 + sp.Rational(1, 100)),
        {},
        DISC,
        normalised,
    ),
    "perceptron": (
        x + V @ elementwise(lambda t: sp.Max(t, 0) * sp.erf(t), A @ x + v),
        MATRICES | {"v": np.array([0.1, -0.1])},
        DISC,
        lambda p, w, q: q + np.array([
            VALUE @ [max(t, 0) * float(mpmath.erf(t)) for t in SCORE @ row + [0.1, -0.1]]
            for row in q
        ]),
    ),
    "two layers": (
        (LAYER @ LAYER).term,
        MATRICES,
        DISC,
        lambda p, w, q: layer(layer(p, w, p), w, layer(p, w, q)),
    ),
    "norm after layer": (
        (SymbolicMap(x / (1 + norm(x)), x, mu) @ LAYER).term,
        MATRICES,
        SQUARE,
        lambda p, w, q: layer(p, w, q)
        / (1 + np.linalg.norm(layer(p, w, q), axis=1, keepdims=True)),
    ),
    "motsch-tadmor": (
        integral(PSI * block(y, 2, 4), y, mu) / integral(PSI, y, mu),
        {},
        PHASE,
        motsch_tadmor,
    ),
    "direction on the sphere": (x / norm(x), {}, Sphere(3), lambda p, w, q: q),
    "direction of the speed": (
        block(x, 2, 4) / norm(block(x, 2, 4)),
        {},
        Product(SQUARE, Sphere(2)),
        lambda p, w, q: q[:, 2:],
    ),
    "direction of the mean": (
        mean / norm(mean),
        {},
        Box([-1, 0.25], [1, 1]),
        lambda p, w, q: np.tile(w @ p / np.linalg.norm(w @ p), (len(q), 1)),
    ),
    "moved direction on the sphere": (
        (2 * x + mean) / norm(2 * x + mean),
        {},
        Sphere(2),
        lambda p, w, q: (2 * q + w @ p) / np.linalg.norm(2 * q + w @ p, axis=1, keepdims=True),
    ),
    "turned direction on the sphere": (
        V @ x / norm(V @ x),
        {"V": VALUE},
        Sphere(2),
        lambda p, w, q: q @ VALUE.T / np.linalg.norm(q @ VALUE.T, axis=1, keepdims=True),
    ),
    "entropy on the simplex": (
        elementwise(lambda t: sp.sqrt(t) * sp.log(t + 1), mean),
        {},
        Simplex(3),
        lambda p, w, q: np.tile(np.sqrt(w @ p) * np.log(w @ p + 1), (len(q), 1)),
    ),
    "step on the sphere": (
        STEP.term,
        MATRICES,
        Sphere(2),
        lambda p, w, q: on_sphere(q, attention(p, w, q)),
    ),
    "two steps on the sphere": (
        (STEP @ STEP).term,
        MATRICES,
        Sphere(2),
        lambda p, w, q: on_sphere(
            on_sphere(q, attention(p, w, q)),
            attention(on_sphere(p, attention(p, w, p)), w, on_sphere(q, attention(p, w, q))),
        ),
    ),
    "covariance": (
        covariance(y, y, y, mu, energy=dot(x, A @ y)) @ x, {"A": SCORE}, DISC, covariances,
    ),
    "spread": (
        x * sp.sqrt(covariance(component(y, 0), component(y, 0), y, mu)),
        {},
        FiniteSet([[0.0, 1.0], [2.0, -1.0], [0.5, 0.0]]),
        lambda p, w, q: q * np.sqrt(max(w @ p[:, 0] ** 2 - (w @ p[:, 0]) ** 2, 0)),
    ),
    "clipped": (
        x * sp.Piecewise((1 / norm(x), norm(x) > 0.5), (2, True)),
        {},
        DISC,
        lambda p, w, q: q / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 0.5),
    ),
}  # fmt: skip
NAMES = pytest.mark.parametrize("name", PROVED)


def random_measures(domain, count, seed=0):
    """Few atoms, often on the boundary or at special points, often with nearly all mass on one."""
    rng = np.random.default_rng(seed)
    special = domain.anchors()
    for _ in range(count):
        pool = np.concatenate(
            [
                domain.sample(rng, 3),
                domain.boundary(rng, 3),
                special[rng.integers(len(special), size=2)],
            ]
        )
        points = pool[rng.permutation(len(pool))[: rng.integers(1, 7)]]
        weights = rng.dirichlet(np.full(len(points), rng.choice([0.01, 0.3, 1.0, 30.0])))
        yield points, weights, pool


@NAMES
def test_is_proved(name):
    term, parameters, domain, _ = PROVED[name]
    proof = attempt(term, domain, **parameters)
    assert isinstance(proof, Proof), proof
    assert "satisfies B1 and B2" in str(proof) and domain.spec() in str(proof)
    assert all(
        theorem.source in rule for theorem, rule in zip(proof.theorems, proof.rules, strict=True)
    )


def test_constants_of_softmax_attention():
    """The closed forms of attention on a ball of radius R, with a = |A| R^2 (section 8)."""
    radius = 0.75
    found = constants(SymbolicMap(HEAD, x, mu), MATRICES, Ball(2, radius), parts=10)
    size_a, size_v = np.linalg.norm(SCORE, 2), np.linalg.norm(VALUE, 2)
    steep = size_a * radius**2
    assert found.sup_norm == pytest.approx(size_v * radius, rel=1e-2)
    assert found.lipschitz_x == pytest.approx(size_v * steep, rel=1e-2)
    assert found.lipschitz_mu <= size_v * np.exp(2 * steep) * (1 + 2 * steep) * 1.03
    assert found.lipschitz == pytest.approx(found.lipschitz_x + found.lipschitz_mu)
    assert found.lipschitz >= found.lipschitz_x + found.lipschitz_mu


CONVEX = [n for n, row in PROVED.items() if not isinstance(row[2], (Sphere, FiniteSet))]


@pytest.mark.parametrize("name", [n for n in CONVEX if "speed" not in n])
def test_constants_hold_for_differences(name):
    """Move atoms, move mass, move the query: no quotient exceeds the constants."""
    term, parameters, domain, by_hand = PROVED[name]
    found = constants(SymbolicMap(term, x, mu), parameters, domain, parts=10)
    if isinstance(found, Refusal):
        assert name in {"entropy on the simplex", "clipped", "norm after layer"}, found
        return
    rng = np.random.default_rng(1)
    slack = 1 + 1e-7
    for points, weights, queries in random_measures(domain, 100):
        images = by_hand(points, weights, queries)
        assert np.linalg.norm(images, axis=1).max() <= found.sup_norm * slack
        others = domain.project(queries + rng.normal(size=queries.shape) * 10 ** rng.uniform(-3, 0))
        far = np.linalg.norm(others - queries, axis=1)
        gaps = np.linalg.norm(by_hand(points, weights, others) - images, axis=1)
        assert (gaps <= found.lipschitz_x * far * slack + 1e-12).all()
        moved = domain.project(points + rng.normal(size=points.shape) * 10 ** rng.uniform(-3, 0))
        cost = weights @ np.linalg.norm(moved - points, axis=1)
        gaps = np.linalg.norm(by_hand(moved, weights, queries) - images, axis=1)
        assert (gaps <= found.lipschitz_mu * cost * slack + 1e-12).all()
        i, j = rng.integers(len(points), size=2)
        share = np.eye(len(points))[j] - np.eye(len(points))[i]
        cost = weights[i] * np.linalg.norm(points[i] - points[j])
        gaps = np.linalg.norm(
            by_hand(points, weights + weights[i] * share, queries) - images, axis=1
        )
        assert (gaps <= found.lipschitz_mu * cost * slack + 1e-12).all()


def test_more_parts_are_sharper():
    term = x / sp.sqrt(norm2(x) + sp.Rational(1, 100))
    coarse, fine = (constants(SymbolicMap(term, x, mu), {}, DISC, parts=n) for n in (0, 300))
    assert 10 <= fine.lipschitz_x <= coarse.lipschitz_x / 2  # the constant is 10


def test_constants_are_refused_where_continuity_is():
    assert constants(SymbolicMap(jump * x, x, mu), {}, DISC).head == "Piecewise"
    steep = constants(SymbolicMap(x * sp.sqrt(norm2(mean)), x, mu), {}, DISC)
    assert isinstance(steep, Refusal) and "derivative" in steep.reason


@NAMES
def test_enclosure_holds_at_500_measures(name):
    term, parameters, domain, by_hand = PROVED[name]
    found = enclosure(SymbolicMap(term, x, mu), parameters, domain)
    lower = np.array([float(i.lower) for i in found.components])
    upper = np.array([float(i.upper) for i in found.components])
    slack = 1e-9
    for points, weights, queries in random_measures(domain, 500):
        images = by_hand(points, weights, queries)
        norms = np.linalg.norm(images, axis=1)
        assert ((lower - slack <= images) & (images <= upper + slack)).all()
        assert (float(found.norm.lower) - slack <= norms).all()
        assert (norms <= float(found.norm.upper) + slack).all()


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("softmax", np.linalg.norm(VALUE, 2)),
        ("direction on the sphere", 1),
        ("linear", np.linalg.norm(SCORE, 2) * np.linalg.norm(VALUE, 2) * 2 * 2**0.5),
        ("entropy on the simplex", 3**0.5 * np.log(2)),
    ],
)
def test_enclosure_is_not_wasteful(name, largest):
    term, parameters, domain, _ = PROVED[name]
    found = enclosure(SymbolicMap(term, x, mu), parameters, domain)
    assert float(found.norm.upper) <= 1.001 * largest


# ---- refusals

guarded = sp.Piecewise((1 / first, first > 0.5), (2, True))
INVERSES = elementwise(lambda t: 1 / t, x)
jump = sp.Piecewise((0, first < 0), (1, True))
FAR = Box([1.0, 1.0], [2.0, 2.0])
# name: (term, domain, head, words of the reason)
REFUSED = {
    "sign of the mean": (sp.sign(component(mean, 0)) * x, DISC, "sign", "away from 0"),
    "indicator kernel": (
        integral(sp.Heaviside(1 - norm2(x - y)) * y, y, mu), DISC, "Heaviside", "away from 0",
    ),
    "direction of the mean": (mean / norm(mean), DISC, "Pow", "[0, 1]"),
    "direction of the mean on the sphere": (mean / norm(mean), Sphere(2), "Pow", "[0, 1]"),
    "direction": (x / norm(x), DISC, "Pow", "a positive base"),
    "normaliser that vanishes": (
        mean / integral(dot(x, y) ** 2, y, mu), DISC, "Pow", "away from 0",
    ),
    "normaliser that changes sign": (
        mean / integral(component(y, 0), y, mu), DISC, "Pow", "away from 0",
    ),
    "compact kernel as normaliser": (
        integral(sp.Max(0, 1 - norm2(x - y)) * y, y, mu)
        / integral(sp.Max(0, 1 - norm2(x - y)), y, mu),
        DISC, "Pow", "away from 0",
    ),
    "inverse variance": (
        x / covariance(component(y, 0), component(y, 0), y, mu), DISC, "Pow", "away from 0",
    ),
    "floor": (sp.floor(2 * first) * x, DISC, "floor", "one step"),
    "jump": (jump * x, DISC, "Piecewise", "may differ"),
    "jump in the kernel": (
        integral(sp.Piecewise((1, norm(x - y) <= 1), (0, True)) * y, y, mu),
        DISC, "Piecewise", "may differ",
    ),
    "one point": (sp.Piecewise((0, sp.Eq(first, 0)), (1, True)) * x, DISC, "Piecewise", "differ"),
    "gap": (sp.Piecewise((1, first < 0), (1, first > 0)) * x, DISC, "Piecewise", "no value"),
    "E-log": (
        x * sp.sin(sp.log(integral(sp.Min(sp.Abs(component(y, 0)), 1), y, mu))),
        DISC, "log", "positive",
    ),
    "E-log with its value at zero": (
        x * sp.Piecewise((sp.sin(sp.log(norm2(mean))), norm2(mean) > 0), (0, True)),
        DISC, "log", "positive",
    ),
    "root of a mean": (sp.sqrt(component(mean, 0)) * x, DISC, "Pow", "not negative"),
    "arc sine": (sp.asin(2 * first) * x, DISC, "asin", "[-1, 1]"),
    "tangent": (sp.tan(2 * first) * x, DISC, "tan", "poles"),
    "gamma": (sp.gamma(first) * x, DISC, "gamma", "positive"),
    "angle": (sp.atan2(component(x, 1), first) * x, DISC, "atan2", "positive"),
    "unknown function": (sp.Function("theta")(first) * x, DISC, "theta", "no rule"),
    "modulo": (sp.Mod(3 * first, 1) * x, DISC, "Mod", "no rule"),
    "delta": (sp.DiracDelta(first) * x, DISC, "DiracDelta", "no rule"),
    "imaginary": (sp.exp(sp.I * first) * x, DISC, "ImaginaryUnit", "no rule"),
    "infinite": (sp.exp(sp.Mul(sp.oo, first, evaluate=False)) * x, DISC, "Infinity", "no rule"),
    "in a function of components": (
        elementwise(lambda t: sp.sign(t), x), DISC, "sign", "away from 0",
    ),
    "after a layer": (
        (SymbolicMap(sp.sign(first) * x, x, mu) @ SymbolicMap(x - mean, x, mu)).term,
        FAR, "sign", "away from 0",
    ),
    "in the pushed measure": (
        (SymbolicMap(mean, x, mu) @ SymbolicMap(jump * x, x, mu)).term,
        DISC, "Piecewise", "may differ",
    ),
    "guarded here and not there": (stack(guarded, 1 / first), DISC, "Pow", "away from 0"),
    "guarded for the component alone": (
        elementwise(lambda t: sp.Piecewise((dot(INVERSES, x), t > 0.5), (0, True)), x),
        DISC, "Pow", "away from 0",
    ),
    "guarded for the outer variable": (
        x * integral(
            sp.Piecewise((integral(1 / component(z, 0), z, mu), component(y, 0) > 0.5), (2, True)),
            y, mu,
        ),
        DISC, "Pow", "away from 0",
    ),
    "removable": (
        sp.Piecewise((sp.sin(first) / first, sp.Ne(first, 0)), (1, True)) * x,
        DISC, "Pow", "away from 0",
    ),
    "no finite enclosure": (
        x / (2 + first + sp.exp(sp.exp(sp.exp(sp.exp(10 * first))))),
        DISC, "Pow", "no finite enclosure",
    ),
    "dimensions": (component(x, 2) * x, DISC, "Component", "2 components"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name):
    term, domain, head, words = REFUSED[name]
    refusal = attempt(term, domain)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.head == head
    assert words in refusal.reason
    assert "\n" not in refusal.reason and len(refusal.reason) < 400


def step_down(number):
    return float(np.nextafter(number, -np.inf))


third = sp.Piecewise((first, first < sp.Rational(1, 3)), (c, True))
tenth = sp.Piecewise((first, first < sp.Float(0.1)), (c, True))
huber = sp.Piecewise((first**2 / 2, sp.Abs(first) <= a), (a * (sp.Abs(first) - a / 2), True))
HALF, THIRD = sp.Rational(1, 2), sp.Rational(1, 3)
tilted = gibbs(y, y, mu, energy=dot(x, y))
r2y = norm2(y)
ramp = sp.Piecewise((0, first < 0), (first, first < 0.5), (c, True))
r2 = norm2(x)
# (proved, refused, domain): two terms on either side of the line, or two values of the parameters
EITHER_SIDE = {
    "floored square": (x / (r2 + 1e-9), x / r2, DISC),
    "floored by the least number": (x / (r2 + a), x / (r2 - a), DISC, {"a": 5e-324}),
    "distance": (x / (2 + 1e-15 - norm(x - mean)), x / (2 - norm(x - mean)), DISC),
    "agreement": (x / (1 + 1e-12 + dot(x, mean)), x / (1 + dot(x, mean)), DISC),
    "sphere": (x / (1 + r2), x / (1 - r2), Sphere(3)),
    "edge of a box": (x / first, x / (first - 1), Box([1, 0], [2, 1])),
    "orthogonal move": (
        x / norm(x + v - dot(x, v) * x), x / norm(x + v - 2 * dot(x, v) * x), Sphere(3),
        {"v": [1.0, 0.0, 0.0]},
    ),
    "hull": (x / norm(mean), mean / norm(mean - x), FAR),
    "root": (sp.sqrt(1 - r2) * x, sp.sqrt(step_down(1) - r2) * x, DISC),
    "power": (r2 ** sp.Rational(1, 100) * x, r2 ** sp.Rational(-1, 100) * x, DISC),
    "arc": (sp.acos(r2) * x, sp.acos(r2 * (1 + 2.0**-52)) * x, DISC),
    "pole": (sp.tan(1.5707 * first) * x, sp.tan(1.5708 * first) * x, DISC),
    "threshold": (tenth * x, tenth * x, DISC, {"c": 0.1}, {"c": step_down(0.1)}),
    "ramp": (ramp * x, ramp * x, DISC, {"c": 0.5}, {"c": 0.25}),
    "huber": (huber * x, (huber + jump / 10**9) * x, DISC, {"a": 0.3}),
    "sign": (sp.sign(2 + component(mean, 0)) * x, sp.sign(1 + component(mean, 0)) * x, DISC),
    "floor": (
        sp.floor(first * (HALF - a) + HALF) * x, sp.floor(first / 2 + HALF) * x, DISC, {"a": 1e-9},
    ),
    "softplus": (sp.log(1 + sp.exp(40 * first)) * x, sp.log(sp.exp(40 * first) - 1) * x, DISC),
    "both signs of a denominator": (
        x / (r2 * (1 + norm2(mean)) + 1e-3), x / (r2 * (1 + norm2(mean)) - 1e-3), DISC,
    ),
    "decided": (
        x * sp.Piecewise((0, norm(mean) > 1.5), (1, True)),
        x * sp.Piecewise((0, norm(mean) > 0.5), (1, True)),
        DISC,
    ),
    "guarded": (
        x * sp.Piecewise((1 / first, first > 0.5), (2, True)),
        x * sp.Piecewise((1 / first, first > -0.5), (-2, True)),
        DISC,
    ),
    "guarded by both": (
        x * sp.Piecewise((1 / r2, sp.And(r2 > 0.25, first > -2)), (4, True)),
        x * sp.Piecewise((1 / r2, sp.Or(r2 > 0.25, first > 0)), (4, True)),
        DISC,
    ),
    "gamma": (sp.gamma(1.001 + first) * x, sp.gamma(1 + first) * x, DISC),
    "variance": (
        x / (integral((first - component(y, 0)) ** 2, y, mu) + 1e-9),
        x / integral((first - component(y, 0)) ** 2, y, mu),
        DISC,
    ),
    "expanded distance": (
        mean / integral(1e-6 + r2 - 2 * dot(x, y) + norm2(y), y, mu),
        mean / integral(r2 - 2 * dot(x, y) + norm2(y), y, mu),
        DISC,
    ),
    "expanded difference": (
        x / (first**2 - 2 * first * component(mean, 0) + component(mean, 0) ** 2 + 1e-9),
        x / (first**2 - 2.001 * first * component(mean, 0) + component(mean, 0) ** 2 + 1e-9),
        DISC,
    ),
    "expanded variance": (
        x * sp.sqrt(integral(norm2(V @ y - x), y, mu) - norm2(V @ mean - x)),
        x * sp.sqrt(integral(norm2(V @ y - x), y, mu) - (1 + 1e-12) * norm2(V @ mean - x)),
        DISC, {"V": VALUE},
    ),
    "variance of a Gibbs law": (
        x * sp.sqrt(gibbs(r2y, y, mu, energy=dot(x, y)) - norm2(tilted)),
        x * sp.sqrt(gibbs(r2y, y, mu, energy=-dot(x, y)) - norm2(tilted)),
        DISC,
    ),
    "variance of half the mass": (
        x * sp.sqrt(integral(r2y, y, mu) - norm2(mean) / 2),
        x * sp.sqrt(integral(r2y, y, mu) / 2 - norm2(mean)),
        DISC,
    ),
    "guarded by a distance": (
        x * sp.Piecewise((1 / norm(x - mean), norm2(x - mean) >= THIRD**2), (3, True)),
        x * sp.Piecewise((1 / norm(x - mean), norm2(x - mean) >= THIRD), (3, True)),
        DISC,
    ),
    "exponential linear unit": (
        elementwise(lambda t: sp.Piecewise((t, t > 0), (a * (sp.exp(t) - 1), True)), x),
        elementwise(lambda t: sp.Piecewise((t, t > 0), (a * sp.exp(t) - 1, True)), x),
        DISC, {"a": 1.3},
    ),
    "smooth step": (
        elementwise(lambda t: sp.Piecewise((0, t < 0), (3 * t**2 - 2 * t**3, t < 1), (1, True)), x),
        elementwise(lambda t: sp.Piecewise((0, t < 0), (3 * t**2 - t**3, t < 0.5), (1, True)), x),
        DISC,
    ),
    "larger of two": (
        x * sp.Piecewise((first, first < component(mean, 0)), (component(mean, 0), True)),
        x * sp.Piecewise((first, first < component(mean, 0)), (component(mean, 1), True)),
        DISC,
    ),
    "kernel": (
        mean / integral(4 + 1e-9 - norm2(x - y), y, mu),
        mean / integral(4 - norm2(x - y), y, mu),
        DISC,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EITHER_SIDE)
def test_either_side_of_the_line(name):
    proved, refused, domain, *parameters = EITHER_SIDE[name]
    one, other = (parameters * 2)[:2] if parameters else ({}, {})
    assert isinstance(found := attempt(proved, domain, **_used(proved, one)), Proof), found
    assert isinstance(found := attempt(refused, domain, **_used(refused, other)), Refusal), found


def _used(term, parameters):
    names = {p.name for p in SymbolicMap(term, x, mu).parameters}
    return {name: value for name, value in parameters.items() if name in names}


def test_parameters_enter_exactly():
    """0.1 + 0.2 is not 0.3 in double precision: a proof must not add them up with rounding."""
    total = sp.Piecewise((first, first < 0.3), (a + c, True))
    assert isinstance(attempt(total * x, a=0.1, c=0.2), Refusal)
    assert isinstance(attempt(total * x, a=0.125, c=0.3 - 0.125), Proof)
    moved = sp.Piecewise((first, first + 0.1 < 0.3), (c, True))
    exact = sp.Rational(0.3) - sp.Rational(0.1)
    assert exact != sp.Rational(0.2)
    assert isinstance(attempt(moved * x, c=0.2), Refusal)
    assert isinstance(attempt(moved.subs(c, exact) * x), Proof)


def test_the_callers_precision_does_not_matter():
    before = flint.ctx.prec
    try:
        flint.ctx.prec = 10
        assert isinstance(attempt(*EITHER_SIDE["floored square"][::2]), Proof)
        assert isinstance(attempt(third * x, c=1 / 3), Refusal)
        assert flint.ctx.prec == 10
    finally:
        flint.ctx.prec = before


def test_parameters_decide():
    assert isinstance(attempt(x / (c - r2), c=1.5), Proof)
    assert isinstance(attempt(x / (c - r2), c=0.5), Refusal)
    assert isinstance(attempt(r2**a * x, a=0.5), Proof)
    assert isinstance(attempt(r2**a * x, a=-0.5), Refusal)
    assert isinstance(attempt(x * first**a, a=2.0), Proof)
    assert isinstance(attempt(x * first**a, a=2.5), Refusal)


def test_shapes_are_part_of_the_proof():
    assert isinstance(attempt(HEAD, Ball(2), **MATRICES), Proof)
    refusal = attempt(HEAD, Ball(3), **MATRICES)
    assert refusal == Refusal("MatVec", refusal.reason) and "2 components, got 3" in refusal.reason


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "expected a value for the parameter c, got none"),
        ({"c": np.array(np.nan)}, "expected finite real numbers for the parameter c"),
        ({"c": np.array([1.0])}, "expected a scalar for the parameter c, got shape (1,)"),
    ],
)
def test_wrong_parameters(parameters, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        prove(SymbolicMap(c * x, x, mu), parameters, DISC)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="expected a domain, got int"):
        prove(SymbolicMap(x, x, mu), {}, 2)
    with pytest.raises(TypeError, match="expected a SymbolicMap, got"):
        prove(x, {}, DISC)


# ---- the proof itself


def steps(step, seen=None):
    seen = {} if seen is None else seen
    if id(step) not in seen:
        seen[id(step)] = step
        for premise in step.premises:
            steps(premise, seen)
    return seen.values()


def test_a_proof_names_rules_with_sources_and_can_be_read():
    proof = attempt(*[PROVED["layer norm"][i] for i in (0, 2)])
    names = [theorem.name for theorem in proof.theorems]
    assert names[0] == "in-context map" and {"integral", "composition on a range"} <= set(names)
    assert all(LEDGER[step.rule].source == step.source for step in steps(proof.root))
    text = str(proof)
    assert "is positive  [sign]" in text and "int y mu(dy) is continuous  [integral]" in text
    depths = [len(line) - len(line.lstrip()) for line in text.splitlines()[1:]]
    assert depths[0] == 0 and max(depths) > 4


@pytest.mark.parametrize("depth", [4, 16])
def test_composition_is_linear_in_depth(depth):
    deep = LAYER
    for _ in range(depth - 1):
        deep = LAYER @ deep
    proof = prove(deep, MATRICES, DISC)
    assert isinstance(proof, Proof)
    assert len(list(steps(proof.root))) < 15 * depth


def test_the_library_is_proved():
    """All maps of the library that have continuous parts, on the domains they are made for."""
    from pushforward.symbolic import library

    rng = np.random.default_rng(0)
    maps = [
        library.softmax_attention(residual=True),
        library.multi_head_attention(2),
        library.linear_attention(),
        library.unnormalised_attention(),
        library.sigmoid_attention(),
        library.l2_attention(),
        library.sinkhorn_attention(2),
        library.mlp(residual=True),
        library.transformer(2),
    ]
    for formula in maps:
        numbers = {
            p.name: rng.normal(size=(2,) * RANK[s.terms.kind(p)]) for p in formula.parameters
        }
        numbers = {k: np.abs(n) if n.ndim == 0 else n for k, n in numbers.items()}
        found = prove(formula, numbers, DISC)
        assert isinstance(found, Proof), (str(formula), found)


RANK = {"scalar": 0, "vector": 1, "matrix": 2}


# ---- the parts of enclosures

DOMAINS = [
    Box([-1, 0.5, 2], [1, 0.5, 3]),
    Ball(3, 0.7, [1.0, -2.0, 0.1]),
    Ball(2),
    Sphere(3),
    Simplex(4),
    FiniteSet([[0.1, 0.2], [-3.0, 1e-300]]),
    Product(Box([-1], [1]), Sphere(2), Simplex(2)),
]


def covers(found, point, slack=1e-12):
    inside = [
        float(i.lower) - slack <= p <= float(i.upper) + slack
        for i, p in zip(found.components, point, strict=True)
    ]
    size = np.linalg.norm(point)
    return (
        all(inside) and float(found.norm.lower) - slack <= size <= float(found.norm.upper) + slack
    )


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_parts_cover_the_domain(domain):
    rng = np.random.default_rng(0)
    parts = [rigorous(region)(domain)]
    points = np.concatenate([domain.sample(rng, 200), domain.boundary(rng, 200), domain.anchors()])
    for _ in range(6):
        assert all(any(covers(part, point) for part in parts) for point in points)
        parts = [half for part in parts for half in rigorous(part.split)()]


@given(st.sampled_from(list(HEADS)), st.floats(-5, 5), st.floats(0, 3), st.floats(0, 1))
def test_heads_enclose_their_values(head, lower, width, share):
    interval = Interval.number(lower), Interval.number(lower + width)
    interval = Interval.between(*interval)
    t = min(max(lower + share * width, lower), lower + width)
    if HEADS[head].continuous_on(interval):
        image = rigorous(HEADS[head].image)(interval)
        exact = head(sp.Rational(t)).evalf(40)
        assume(abs(exact) < 1e300)
        slack = 1e-12 * (1 + abs(exact))
        assert float(image.lower) - slack <= exact <= float(image.upper) + slack


def test_heads_reject_their_singularities():
    around = {
        sp.log: 0, sp.tan: sp.pi / 2, sp.cot: 0, sp.sec: sp.pi / 2, sp.csc: sp.pi, sp.gamma: 0,
        sp.coth: 0, sp.sign: 0, sp.Heaviside: 0, sp.floor: 1, sp.ceiling: 2, sp.atanh: 1,
        sp.asin: 1, sp.acos: -1, sp.acosh: 1, sp.csch: 0, sp.erfinv: 1, sp.loggamma: 0,
    }  # fmt: skip
    assert set(around) == {head for head, rule in HEADS.items() if rule.where is not None}
    for head, singular in around.items():
        near = Interval.number(float(singular) - 1e-3), Interval.number(float(singular) + 1e-3)
        assert not HEADS[head].continuous_on(Interval.between(*near)), head


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
def test_bounds_of_matrices(seed, rows, columns):
    entries = np.random.default_rng(seed).normal(size=(rows, columns))
    matrix = MatrixRange(flint.arb_mat(entries.tolist()))
    singular = np.linalg.svd(entries, compute_uv=False)
    assert singular[0] * (1 - 1e-12) <= float(matrix.norm) <= singular[0] * 1.06
    least = singular[-1] if rows >= columns else 0.0
    assert float(matrix.least) <= least * (1 + 1e-9) + 1e-300
    assert float(matrix.least) >= least * 0.94 - 1e-9


@settings(max_examples=40, deadline=None)
@given(vectors(), st.integers(0, 10**6))
def test_random_terms_lie_in_their_enclosures(term, seed):
    rng = np.random.default_rng(seed)
    parameters = {
        "A": rng.normal(size=(2, 2)), "V": rng.normal(size=(2, 2)), "b": rng.normal(size=2),
        "c": np.array(rng.normal()),
    }  # fmt: skip
    term = s.substitute(term, {p: X for p in POINTS} | {NU: TERM_MU})
    formula = SymbolicMap(term, X, TERM_MU)
    assert isinstance(prove(formula, parameters, DISC), Proof)
    found = enclosure(formula, parameters, DISC)
    atoms = {TERM_A: "A", TERM_V: "V", B: "b", C: "c"}
    env = {atom: parameters[name] for atom, name in atoms.items()}
    for points, weights, queries in random_measures(DISC, 5, seed):
        got = value(term, env | {TERM_MU: (points, weights), X: queries[0]})
        slack = 1e-9 * (1 + float(found.norm.upper))
        assert covers(found, got, slack)


@st.composite
def risky(draw):
    """Scalar terms that meet singularities and jumps, often exactly."""
    numbers = st.sampled_from([0, 1, -1, 2, HALF, 0.5, 0.1, -2, 4])
    plain = [first, r2, norm(x), component(mean, 0), norm2(mean), dot(x, mean),
             integral(dot(x, y) ** 2, y, mu), integral(r2y, y, mu), norm(x - mean)]  # fmt: skip
    heads = [lambda t: 1 / t, sp.sqrt, sp.log, lambda t: t ** sp.Rational(-1, 2), sp.sign,
             sp.floor, sp.Abs, sp.acos, sp.tan, sp.Heaviside, sp.exp, lambda t: t**2]  # fmt: skip

    def leaf():
        return draw(st.sampled_from(plain)) * draw(numbers) + draw(numbers)

    term = leaf()
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            term = draw(st.sampled_from(heads))(term) * draw(numbers) + draw(numbers)
        elif draw(st.booleans()):
            condition, other = (
                leaf() < draw(numbers),
                draw(st.sampled_from([leaf(), term + leaf()])),
            )
            term = sp.Piecewise((term, condition), (other, True))
        else:
            assume(term.is_extended_real)  # SymPy's Max and Min ask for it
            term = draw(st.sampled_from([sp.Max, sp.Min, lambda p, q: p * q]))(term, leaf())
        term = sp.sympify(term)
        assume(not term.has(sp.nan, sp.zoo, sp.oo, sp.I))
    return term


@settings(max_examples=40, deadline=None)
@given(risky(), st.integers(0, 10**6))
def test_what_is_proved_is_finite_and_does_not_jump(term, seed):
    """Along random paths of measures and points, the largest step is bisected: it must vanish."""
    found = attempt(stack(term, first))
    if not isinstance(found, Proof):
        return
    first_component = enclosure(SymbolicMap(stack(term, first), x, mu), {}, DISC).components[0]
    lower, upper = float(first_component.lower), float(first_component.upper)
    assume(max(-lower, upper) < 1e100)  # beyond, double precision overflows on the way
    (p, w, q), (p2, w2, q2) = random_measures(DISC, 2, seed)
    points = np.concatenate([p, p2])

    def along(t):
        weights = np.concatenate([(1 - t) * w, t * w2])
        return value(term, {mu: (points, weights), x: (1 - t) * q[0] + t * q2[0]})

    times = np.linspace(0, 1, 17)
    values = [along(t) for t in times]
    assert np.isfinite(values).all()
    slack = 1e-6 * (1 + np.abs(values).max())
    assert lower - slack <= min(values) and max(values) <= upper + slack
    k = int(np.argmax(np.abs(np.diff(values))))
    (low, high), (f, g) = times[k : k + 2], values[k : k + 2]
    for _ in range(40):
        middle = (low + high) / 2
        h = along(middle)
        low, high, f, g = (low, middle, f, h) if abs(h - f) > abs(g - h) else (middle, high, h, g)
    assert abs(g - f) < 1e-3 * (1 + abs(f))


@pytest.mark.parametrize("kind", ["jacobian", "lions", "second", "third"])
def test_cumulants_lie_in_their_enclosures(kind):
    """Covariances and third cumulants, as matrices and as scalars."""
    u, w = dot(v, y), dot(x, A @ y)
    term = {
        "jacobian": covariance(y, y, y, mu, energy=w),
        "lions": covariance(u * y, y, y, mu),
        "second": stack(covariance(u, y, y, mu, energy=w), covariance(u, u, y, mu)),
        "third": s.Cumulant((y, y, u), y, mu, w),
    }[kind]
    parameters = {"A": SCORE, "v": np.array([0.8, -1.2])}
    formula = s.DerivedTerm(kind, term, x, mu, (), (A, v))
    found = rigorous(lambda: enclose(*read(formula, parameters, DISC)))()
    worst = 0.0
    for points, weights, queries in random_measures(DISC, 200):
        env = {A: SCORE, v: parameters["v"], mu: (points, weights), x: queries[0]}
        got = value(term, env)
        if got.ndim == 1:
            assert covers(found, got)
        else:
            assert np.linalg.norm(got, 2) <= float(found.norm)
            centre, radius = _mid(found.center), _mid(found.radius)
            assert (np.abs(got - centre) <= radius + 1e-12).all()
        worst = max(worst, np.abs(got).max())
    assert worst > 0.1


def _mid(matrix):
    return np.array([[float(e) for e in row] for row in matrix.tolist()])


def test_expectation_under_the_measure_itself():
    """The plain mean as a Gibbs law of energy zero, and the logarithm of the normaliser."""
    assert isinstance(attempt(expectation(y, y, mu) / s.mass(mu)), Proof)
    free_energy = s.LogPartition(y, mu, 3 * dot(x, y))
    found = enclosure(SymbolicMap(free_energy * v, x, mu), {"v": np.array([1.0])}, DISC)
    assert str(found.components[0]) == "[-3, 3]"
