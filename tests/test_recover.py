"""G is read off f within the stated error, in any order of the atoms, on and off the support."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import pushforward as pf
from pushforward.verify.recover import RecoveredMap

BALL = pf.Ball(2)
SCORE = np.array([[2.0, 0.5], [-0.5, 1.0]])


def attention(points, weights, x):
    """Softmax attention with a residual: the oracle."""
    scores = x @ SCORE @ points.T
    kernel = np.exp(scores - scores.max(axis=1, keepdims=True)) * weights
    return x + kernel @ points / kernel.sum(axis=1, keepdims=True)


def shuffled(points, weights):
    """Attention as a map of measures whose atoms come back in another order."""
    order = np.argsort(np.sin(1e3 * points[:, 0]))
    return attention(points, weights, points)[order], weights[order]


def merged(points, weights):
    """Images that coincide are one atom."""
    images = np.round(points[:, :1]) + weights @ points[:, 1:]
    places, index = np.unique(images, axis=0, return_inverse=True)
    return places, np.bincount(index.ravel(), weights)


def of_merged(points, weights, x):
    return np.round(x[:, :1]) + weights @ points[:, 1:]


def rounded_weights(points, weights):
    """Computes its masses in single precision."""
    images, masses = shuffled(points, weights)
    return images, masses.astype("float32")


CASES = {
    "shuffled": (pf.MeasureMap(shuffled, BALL), attention),
    "in context": (pf.InContextMap(attention, BALL), attention),
    "rows": (
        pf.TokenMap(lambda p, w: attention(p, w, p), BALL, weighted=True),
        attention,
    ),
    "merged": (pf.MeasureMap(merged, BALL), of_merged),
    "float32 masses": (pf.MeasureMap(rounded_weights, BALL), attention),
}
RECOVERED = {name: pf.recover_in_context_map(f) for name, (f, _) in CASES.items()}


def measure(seed, atoms, equal):
    rng = np.random.default_rng(seed)
    points = BALL.sample(rng, atoms)
    weights = np.full(atoms, 1 / atoms) if equal else rng.dirichlet(np.ones(atoms))
    return points, weights, np.concatenate([points[:2], BALL.sample(rng, 2)])


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=15)
@given(seed=st.integers(0, 999), atoms=st.sampled_from([1, 2, 5, 20]), equal=st.booleans())
def test_values_are_within_the_stated_error(name, seed, atoms, equal):
    G, truth = RECOVERED[name], CASES[name][1]
    points, weights, x = measure(seed, atoms, equal)
    value, error = G(points, weights, x), G.error(points, weights, x)
    want = truth(points, weights, x)
    assert value.shape == want.shape and error.shape == (len(x),)
    assert (np.linalg.norm(value - want, axis=1) <= error).all()
    assert error.max() < (1e-3 if name == "float32 masses" else 1e-5)


def test_the_error_falls_with_the_tag_until_the_noise():
    points, weights, x = measure(3, 5, False)
    want = attention(points, weights, x)
    exponents = (6, 12, 18, 24, 30)
    defects, stated = [], []
    for exponent in exponents:
        G = pf.recover_in_context_map(CASES["shuffled"][0], eps=2.0**-exponent)
        defects.append(np.linalg.norm(G(points, weights, x) - want, axis=1).max())
        stated.append(G.error(points, weights, x).max())
    falls = np.array(defects[:-1]) / np.array(defects[1:])
    assert (falls > 32).all() and (falls < 128).all()  # of first order in eps: 64 a step
    assert (np.array(stated) >= defects).all()
    finest = pf.recover_in_context_map(CASES["shuffled"][0], eps=2.0**-47)
    noise = finest.error(points, weights, x).max()
    assert 1e-14 < noise < 1e-10


def test_writings_of_one_measure_give_one_value():
    G = RECOVERED["shuffled"]
    points, weights, x = measure(5, 3, True)
    want = G(points, weights, x)
    twice = np.concatenate([points, points]), np.concatenate([weights, weights]) / 2
    more = np.concatenate([points, -points[:1]]), np.append(weights, 0.0)
    for again in (twice, more, (points[::-1], weights[::-1]), (points, 7 * weights)):
        np.testing.assert_allclose(G(*again, x), want, atol=1e-12)


def test_atoms_lighter_than_the_tag_do_no_harm():
    G = RECOVERED["shuffled"]
    points, x = BALL.sample(np.random.default_rng(1), 3), np.array([[0.3, 0.1]])
    for light in (1e-200, 2.0**-26, 3e-8):
        weights = np.array([0.5, 0.5, light])
        want = attention(points, weights, x)
        np.testing.assert_allclose(G(points, weights, x), want, atol=1e-5)


def test_a_recovered_map_is_a_candidate():
    G = RECOVERED["shuffled"]
    assert isinstance(G, RecoveredMap) and isinstance(G, pf.InContextMap)
    assert G.name == "G of shuffled" and G.domain == BALL
    report = pf.verify(G, budget=1.0)
    assert report.ok, report


def test_recovering_again_changes_nothing():
    G = RECOVERED["shuffled"]
    again = pf.recover_in_context_map(G)
    points, weights, x = measure(8, 4, False)
    np.testing.assert_allclose(again(points, weights, x), G(points, weights, x), atol=1e-6)


def test_off_the_support_the_value_is_the_tagged_limit():
    def hardmax(points, weights):
        best = points[np.argmax(points[:, 0])]
        return points + best, weights

    G = pf.recover_in_context_map(pf.MeasureMap(hardmax, BALL))
    at = np.array([[0.5, 0.0]]), np.ones(1)
    x = np.array([[0.6, 0.0], [0.4, 0.0]])
    np.testing.assert_allclose(G(*at, x), [[1.2, 0.0], [0.9, 0.0]])  # the tagged limit


def test_a_list_is_read_by_repetition():
    def moved(tokens, x):
        return x * np.exp(tokens.mean(axis=0)) + tokens.std(axis=0)

    def layer(tokens):
        return moved(tokens, tokens)[::-1]

    G = pf.recover_in_context_map(pf.TokenMap(layer, BALL))
    finer = pf.recover_in_context_map(pf.TokenMap(layer, BALL), eps=2.0**-12)
    points, weights, x = measure(2, 3, True)
    want = moved(points, x)
    defects = [np.linalg.norm(H(points, weights, x) - want, axis=1) for H in (G, finer)]
    for H, defect in zip((G, finer), defects, strict=True):
        assert (defect <= H.error(points, weights, x)).all()
    assert defects[1].max() < 0.3 * defects[0].max() < 0.03
    with pytest.raises(ValueError, match="list of tokens cannot carry"):
        G(points, np.array([0.5, 0.3, 0.2]) * np.pi + 0.1, x)


def test_a_bound_symbolic_map_and_a_flow():
    from pushforward.symbolic import Measure, Point, SymbolicMap, integral

    x, y, mu = Point("x"), Point("y"), Measure("mu")
    bound = SymbolicMap(x + integral(y, y, mu), x, mu).bind()
    flow = pf.Flow(
        lambda p, w, time, steps: p + time * (w @ p), BALL, lambda p, w, x: 0 * x, time=1.0
    )
    points, weights, queries = measure(4, 3, False)
    want = queries + weights @ points
    for f in (pf.recover_in_context_map(bound, domain=BALL), pf.recover_in_context_map(flow)):
        assert (
            np.linalg.norm(f(points, weights, queries) - want, axis=1)
            <= f.error(points, weights, queries)
        ).all()


def split(points, weights):
    return np.concatenate([points - 0.1, points + 0.1]), np.concatenate([weights, weights]) / 2


def equalised(points, weights):
    return points, np.full(len(points), 1 / len(points))


def fails(points, weights):
    raise RuntimeError("no luck")


@pytest.mark.parametrize(
    "fn, message",
    [(split, "splits atoms"), (equalised, "splits atoms"), (fails, "no luck")],
)
def test_what_has_no_in_context_map_is_refused(fn, message):
    with pytest.raises(ValueError, match=message) as caught:
        pf.recover_in_context_map(pf.MeasureMap(fn, BALL))
    text = str(caught.value)
    assert fn.__name__ in text and "\n" not in text and len(text) < 400


def test_a_map_that_splits_somewhere_is_refused_there():
    def sometimes(points, weights):
        return split(points, weights) if len(points) > 8 else (points, weights)

    G = pf.recover_in_context_map(pf.MeasureMap(sometimes, BALL))
    points, weights, x = measure(0, 5, True)
    np.testing.assert_array_equal(G(points, weights, x), x)
    points, weights, x = measure(0, 12, True)
    with pytest.raises(ValueError, match="do not tell where"):
        G(points, weights, x)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pf.recover_in_context_map(lambda p, w: p), "expects an InContextMap"),
        (lambda: pf.recover_in_context_map(CASES["shuffled"][0], eps=0.7), "eps"),
        (lambda: pf.recover_in_context_map(CASES["float32 masses"][0], eps=1e-9), "rounded by"),
        (lambda: RECOVERED["shuffled"](np.zeros(3), np.ones(3), np.eye(2)), "expected points"),
        (lambda: RECOVERED["shuffled"](np.eye(2), np.ones(2), np.zeros(2)), "expected queries"),
        (lambda: RECOVERED["shuffled"](np.eye(2), np.zeros(2), np.zeros((1, 2))), "positive sum"),
    ],
)  # fmt: skip
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
