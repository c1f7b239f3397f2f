"""Maps on either side of each line, none in the catalogue, with the verdicts they deserve."""

from dataclasses import dataclass

import numpy as np

import pushforward as pf

LINE, SQUARE = pf.Box([-1.0], [1.0]), pf.Box([-1.0, -1.0], [1.0, 1.0])
PASS = {"well-defined": "pass", "continuous": "pass", "B1": "pass", "B2": "pass"}
OFF_SUPPORT = PASS | {"B2": "refuted"}
TORN = PASS | {"continuous": "refuted", "B2": "refuted"}
SPLIT = PASS | {"B1": "refuted", "B2": "not-applicable"}
NO_MAP = {"well-defined": "refuted"} | dict.fromkeys(("continuous", "B1", "B2"), "not-applicable")


@dataclass(frozen=True)
class Case:
    name: str
    candidate: object
    expected: dict


def mean(points, weights):
    return weights @ points / weights.sum()


def added(shift, domain=LINE):
    """The in-context map x + shift(mean)."""
    return pf.InContextMap(lambda p, w, x: x + shift(mean(p, w)), domain)


def attention(precision, beta=3.0):
    def fn(points, weights, x):
        points, weights, x = (a.astype(precision) for a in (points, weights, x))
        with np.errstate(divide="ignore"):
            scores = beta * x @ points.T + np.log(weights)
        kernel = np.exp(scores - scores.max(axis=1, keepdims=True))
        return x + kernel / kernel.sum(axis=1, keepdims=True) @ points

    return pf.InContextMap(fn, pf.Ball(2))


def swinging(centre, frequency, floor=0.0):
    """E-log around another critical measure: x + chi sin(frequency log int chi dmu)."""

    def fn(points, weights, x):
        size = np.maximum(weights @ np.abs(points - centre) / weights.sum(), floor)
        swing = np.sin(frequency * np.log(size)) if size[0] > 0 else 0.0
        return x + np.abs(x - centre) * swing

    return pf.InContextMap(fn, LINE)


def swinging_at_two(points, weights, x, floor=0.0):
    """Swings as two equal atoms come to -0.5 and 0.4: in the log of W1 to these two."""
    order = np.argsort(points[:, 0], kind="stable")
    ends = np.cumsum(weights[order]) / weights.sum()
    starts = np.concatenate([[0.0], ends[:-1]])
    lower = np.maximum(np.minimum(ends, 0.5) - starts, 0.0)
    near, far = np.abs(points[order, 0] + 0.5), np.abs(points[order, 0] - 0.4)
    size = max(lower @ near + (ends - starts - lower) @ far, floor)
    swing = np.sin(np.log(size)) if size > 0 else 0.0
    return x + np.minimum(np.abs(x + 0.5), np.abs(x - 0.4)) * swing


def of_the_mean(response, centre, domain):
    """The in-context map x + response(m, |m|), m the mean less the centre."""

    def fn(points, weights, x):
        m = mean(points, weights) - np.array(centre)
        size = float(np.linalg.norm(m))
        return x + (response(m, size) if size > 0 else 0.0)

    return pf.InContextMap(fn, domain)


def swinging_in_the_plane(points, weights, x):
    """E-log in the plane around (0.2, -0.4)."""
    centre = np.array([0.2, -0.4])
    far = np.linalg.norm(points - centre, axis=1) @ weights / weights.sum()
    swing = np.sin(np.log(far)) if far > 0 else 0.0
    return x + np.linalg.norm(x - centre, axis=1, keepdims=True) * [[swing, 0.0]]


def heavier_to_one(points, weights):
    """On three letters: the images are 0, 1/2, 1 in the order of the masses."""
    share = [weights[np.isclose(points[:, 0], letter)].sum() for letter in (0.0, 1.0, 3.0)]
    return np.array([[0.0], [0.5], [1.0]]), np.sort(share)


def vanishing_normaliser(points, weights, x):
    m = mean(points, weights) - np.array([0.3, 0.1])
    return x + m / max(np.linalg.norm(m), 1e-300)


def soft_median(points, weights, x):
    """Solves sum w tanh(20 (p - m)) = 0: between far atoms the decay stops at the last bit of 1."""
    low, high = -1.0, 1.0
    for _ in range(60):
        m = (low + high) / 2
        low, high = (m, high) if weights @ np.tanh(20 * (points[:, 0] - m)) > 0 else (low, m)
    return x - m


def single_inside(fn):
    """Computes in float32 and says nothing about it: the numbers that come back are float64."""
    return lambda *arrays: fn(*(a.astype(np.float32) for a in arrays)).astype(float)


def routed(tokens):
    """Attention, then one of two layers for each token: mixtures of experts choose so."""
    scores = np.exp(tokens @ tokens.T)
    tokens = tokens + scores @ tokens / scores.sum(axis=1, keepdims=True)
    first = tokens @ np.array([[1.0], [-0.3]]) > 0.1
    return tokens + np.where(first, 0.5, -0.5) * np.tanh(tokens)


def minus_median(points, weights, x):
    """Jumps where half of the mass is reached exactly, as it is by equal weights."""
    order = np.argsort(points[:, 0])
    reached = np.cumsum(weights[order]) / weights.sum()
    return x - points[order][np.searchsorted(reached, 0.5 - 1e-15)]


def mutating(points, weights, x):
    points -= points.mean(axis=0)
    weights *= 2
    return 1.0 * x


def standardised(epsilon):
    def fn(points, weights, x):
        centre = mean(points, weights)
        variance = weights @ (points - centre) ** 2 / weights.sum()
        deviation = np.sqrt(variance + epsilon)
        return (x - centre) / np.where(deviation > 0, deviation, 1.0)

    return pf.InContextMap(fn, SQUARE)


def tilted(rate):
    def fn(points, weights):
        tilt = weights * np.exp(rate * points[:, 0])
        return points, tilt / tilt.sum()

    return pf.MeasureMap(fn, SQUARE)


def leaking(share):
    return pf.MeasureMap(
        lambda p, w: (np.vstack([p, p + 0.1]), np.concatenate([w * (1 - share), w * share])),
        SQUARE,
    )


GOOD = [
    Case("tanh of 1e6 (m - 0.3)", added(lambda m: np.tanh(1e6 * (m - 0.3))), PASS),
    Case("steep tanh in float32", pf.InContextMap(
        single_inside(lambda p, w, x: x + np.tanh(1e5 * (mean(p, w) - 0.3))), LINE), PASS),
    Case("fast wave in float32, any order", pf.MeasureMap(lambda p, w: (
        single_inside(lambda p, w: p + np.sin(3e3 * mean(p, w)))(p, w)[::-1], w[::-1]),
        LINE), PASS),
    Case("cube root far from the origin", pf.InContextMap(
        lambda p, w, x: np.cbrt(x - mean(p, w)), pf.Box([1e8], [1e8 + 1])), PASS),
    Case("soft median", pf.InContextMap(soft_median, LINE), PASS),
    Case("fast wave of the mean", added(lambda m: np.sin(1e4 * m)), PASS),
    Case("root of the mean", added(lambda m: np.sqrt(np.abs(m - 0.3))), PASS),
    Case("tenth root of the mean", added(lambda m: np.abs(m - 0.3) ** 0.1), PASS),
    Case(
        "1 / log of the mean",
        added(lambda m: 1 / np.log(3 + 1 / np.maximum(np.abs(m - 0.3), 1e-300))),
        PASS,
    ),
    Case("fast E-log, smoothed", swinging(0.3, 10.0, 1e-3), PASS),
    Case("E-log at two atoms, smoothed", pf.InContextMap(
        lambda p, w, x: swinging_at_two(p, w, x, 1e-4), LINE), PASS),
    Case("direction of the mean, smoothed", of_the_mean(
        lambda m, r: m / (r + 1e-4), [0.31, -0.2], SQUARE), PASS),
    Case("swing of the mean that dies", of_the_mean(
        lambda m, r: [r * np.sin(np.log(r)), 0.0], [0.37, -0.21], SQUARE), PASS),
    Case("swing of the mean that dies slowly", of_the_mean(
        lambda m, r: [np.sin(np.log(r)) / np.log(3 + 1 / r), 0.0], [0.37, -0.21], SQUARE), PASS),
    Case("attention in float32", attention(np.float32), PASS),
    Case("attention in float16", attention(np.float16), PASS),
    Case("cold attention", attention(np.float64, beta=50.0), PASS),
    Case("mean in float16 inside", pf.InContextMap(
        lambda p, w, x: x + np.tanh(3 * mean(p, w).astype(np.float16).astype(float)), SQUARE),
        PASS),
    Case("changes its arguments", pf.InContextMap(mutating, SQUARE), PASS),
    Case("sorted tokens", pf.TokenMap(lambda p: p[np.argsort(p[:, 0])] / 2, SQUARE), PASS),
    Case("merges all atoms", pf.MeasureMap(lambda p, w: (w @ p[None], w[:1] * 0 + 1), LINE), PASS),
    Case("projected mean on the sphere", pf.InContextMap(
        lambda p, w, x: (x + w @ p / 2) / np.linalg.norm(x + w @ p / 2, axis=1, keepdims=True),
        pf.Sphere(3),
    ), PASS),
]  # fmt: skip

SLOW = {
    # what another case shows too, or a search of many seconds
    "tanh of 1e6 (m - 0.3)",
    "fast wave in float32, any order",
    "fast wave of the mean",
    "root of the mean",
    "1 / log of the mean",
    "attention in float32",
    "merges all atoms",
    "projected mean on the sphere",
    "sorted tokens",
    "small step on cold attention",
    "minus the median",
    "routed to one of two layers",
    "standardised without epsilon",
    "leak of a thousandth",
    "mild reweighting",
    "three letters by mass",
    "E-log at 0.3",
    "E-log in the plane",
    "fast E-log at 0.3",
    "swing of the mean",
    "hundredth of a direction",
    "hundredth of a direction in space",
    "fast E-log, smoothed",
    "E-log at two atoms, smoothed",
    "direction of the mean, smoothed",
    "swing of the mean that dies",
    "swing of the mean that dies slowly",
    "sum over root n",
}

BAD = [
    Case("step of the mean", added(lambda m: 1e-3 * (m > 0.37)), TORN),
    Case("small step on cold attention", pf.InContextMap(
        lambda p, w, x: attention(np.float64, beta=30.0).fn(p, w, x) + 1e-3 * (w @ p[:, 0] > 0.1),
        pf.Ball(2)), TORN),
    Case("leak of a ten thousandth", leaking(1e-4), SPLIT),
    Case("routed to one of two layers", pf.TokenMap(routed, SQUARE), TORN),
    Case("minus the median", pf.InContextMap(minus_median, LINE), TORN),
    Case("mean direction", pf.InContextMap(vanishing_normaliser, SQUARE), TORN),
    Case("rounded output", pf.InContextMap(
        lambda p, w, x: np.round(x + mean(p, w), 3), SQUARE), TORN),
    Case("standardised without epsilon", standardised(0.0), TORN),
    Case("leak of a thousandth", leaking(1e-3), SPLIT),
    Case("mild reweighting", tilted(0.01), SPLIT),
    Case("three letters by mass", pf.MeasureMap(
        heavier_to_one, pf.FiniteSet([[0.0], [1.0], [3.0]])), OFF_SUPPORT),
    Case("E-log at 0.3", swinging(0.3, 1.0), OFF_SUPPORT),
    Case("E-log in the plane", pf.InContextMap(swinging_in_the_plane, SQUARE), OFF_SUPPORT),
    Case("fast E-log at 0.3", swinging(0.3, 10.0), OFF_SUPPORT),
    Case("swing of the mean", of_the_mean(
        lambda m, r: [np.sin(np.log(r)), 0.0], [0.37, -0.21], SQUARE), TORN),
    Case("hundredth of a direction", of_the_mean(
        lambda m, r: 0.01 * m / r, [0.31, -0.2], SQUARE), TORN),
    Case("hundredth of a direction in space", of_the_mean(
        lambda m, r: 0.01 * m / r, [0.31, -0.2, 0.15], pf.Ball(3)), TORN),
    Case("ignores multiplicity", pf.InContextMap(
        lambda p, w, x: x + np.unique(p, axis=0).mean(axis=0), SQUARE), NO_MAP),
    Case("batch statistics", pf.InContextMap(
        lambda p, w, x: (x - p.mean(axis=0)) / (p.std(axis=0) + 0.1), SQUARE), NO_MAP),
    Case("sum over root n", pf.TokenMap(lambda p: p + p.sum(axis=0) / len(p) ** 0.5, SQUARE),
         NO_MAP),
    Case("causal means", pf.TokenMap(
        lambda p: p + np.cumsum(p, axis=0) / np.arange(1, len(p) + 1)[:, None], SQUARE), NO_MAP),
    Case("noise of one percent", pf.InContextMap(
        lambda p, w, x: x + 0.01 * np.random.default_rng().normal(size=x.shape), SQUARE), NO_MAP),
    Case("quantised weights", pf.MeasureMap(
        lambda p, w: (p, np.round(w * 256) / 256 + 1e-12), SQUARE), NO_MAP),
    Case("fails from five atoms on", pf.InContextMap(
        lambda p, w, x: x if len(p) < 5 else x / 0 * np.nan, SQUARE), NO_MAP),
]  # fmt: skip
