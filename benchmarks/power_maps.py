"""Random good maps, and good maps with one violation of a given relative size planted in them.

A map and its violation are functions of one seed. The outputs of a good map are of order one, so
the size of a violation is relative to them.
"""

import numpy as np

import pushforward as pf


def _mean(points, weights):
    return weights @ points / weights.sum()


def _attention(rng, d):
    beta, a, v = 10 ** rng.uniform(-1, 1.7), rng.normal(size=(d, d)), rng.normal(size=(d, d))
    a, v = beta * a / np.linalg.norm(a, 2), v / np.linalg.norm(v, 2)

    def g(p, w, x):
        with np.errstate(divide="ignore"):
            s = x @ a @ p.T + np.log(w)
        k = np.exp(s - s.max(axis=1, keepdims=True))
        return x + (k / k.sum(axis=1, keepdims=True)) @ p @ v.T

    return f"softmax attention, beta {beta:.2g}", g


def _heads(rng, d):
    heads = [_attention(rng, d)[1] for _ in range(3)]
    return "three heads", lambda p, w, x: sum(h(p, w, x) for h in heads) / 3


def _two_layers(rng, d):
    first, second = _attention(rng, d)[1], _attention(rng, d)[1]
    return "two layers", lambda p, w, x: second(first(p, w, p) / 2, w, first(p, w, x) / 2)


def _sigmoid(rng, d):
    beta, a = 10 ** rng.uniform(0, 1.3), rng.normal(size=(d, d))

    def g(p, w, x):
        return x + (1 / (1 + np.exp(-beta * x @ a @ p.T)) * w) @ p / w.sum()

    return f"sigmoid attention, beta {beta:.2g}", g


def _distance_kernel(rng, d):
    width, power = 10 ** rng.uniform(-1.3, 0.3), rng.uniform(0.1, 3)

    def g(p, w, x):
        square = ((x[:, None] - p[None]) ** 2).sum(axis=2)
        k = w * (1 + square / width**2) ** -power
        return x + 0.5 * (k @ p - k.sum(axis=1, keepdims=True) * x)

    return f"kernel of width {width:.2g}, power {power:.2g}", g


def _normalised_kernel(rng, d):
    width = 10 ** rng.uniform(-1, 0.3)

    def g(p, w, x):
        with np.errstate(divide="ignore"):
            s = -((x[:, None] - p[None]) ** 2).sum(axis=2) / (2 * width**2) + np.log(w)
        k = np.exp(s - s.max(axis=1, keepdims=True))
        return k / k.sum(axis=1, keepdims=True) @ p

    return f"normalised kernel of width {width:.2g}", g


def _perceptron(rng, d):
    u, v, b = rng.normal(size=(8, d)), rng.normal(size=(8, d)), rng.normal(size=8)
    out = rng.normal(size=(d, 8)) / 8
    gain = 10 ** rng.uniform(-0.5, 1.5)

    def g(p, w, x):
        moment = np.tanh(gain * (p @ v.T + b))
        return x + np.tanh(x @ u.T + _mean(moment, w)) @ out.T

    return f"perceptron of moments, gain {gain:.2g}", g


def _standardised(rng, d):
    epsilon = 10 ** rng.uniform(-6, -1)

    def g(p, w, x):
        centre = _mean(p, w)
        variance = np.maximum(_mean((p - centre) ** 2, w), 0)
        return 0.2 * (x - centre) / np.sqrt(variance + epsilon)

    return f"standardised, epsilon {epsilon:.2g}", g


def _rms(rng, d):
    epsilon = 10 ** rng.uniform(-6, -2)

    def g(p, w, x):
        y = x - 0.5 * _mean(p, w)
        return y / np.sqrt((y**2).mean(axis=1, keepdims=True) + epsilon)

    return f"RMS norm, epsilon {epsilon:.2g}", g


def _steep(rng, d):
    u, c, slope = rng.normal(size=d), rng.uniform(-0.5, 0.5), 10 ** rng.uniform(1, 6)
    return f"tanh of slope {slope:.2g}", lambda p, w, x: x + np.tanh(slope * (_mean(p, w) @ u - c))


def _root(rng, d):
    u, c, power = rng.normal(size=d), rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.9)
    return f"power {power:.2g}", lambda p, w, x: x + np.abs(_mean(p, w) @ u - c) ** power


def _logarithmic(rng, d):
    c = rng.uniform(-0.5, 0.5, size=d)

    def g(p, w, x):
        distance = max(np.linalg.norm(_mean(p, w) - c), 1e-300)
        return x + 1 / np.log(3 + 1 / distance)

    return "modulus 1 / log", g


def _wave(rng, d):
    u, frequency = rng.normal(size=d), 10 ** rng.uniform(1, 4)
    return (
        f"wave of frequency {frequency:.2g}",
        lambda p, w, x: x + 0.5 * np.sin(frequency * (_mean(p, w) @ u)),
    )


def _spread(rng, d):
    def g(p, w, x):
        return x * np.sqrt(np.maximum(_mean((p - _mean(p, w)) ** 2, w).sum(), 0))

    return "times the standard deviation", g


def _fold(rng, d):
    return "fold", lambda p, w, x: np.abs(x - 0.3 * _mean(p, w))


def _clipped(rng, d):
    gain = 10 ** rng.uniform(0, 2)
    return f"clipped, gain {gain:.2g}", lambda p, w, x: np.clip(gain * (x - _mean(p, w)), -1, 1)


FAMILIES = (
    _attention, _heads, _two_layers, _sigmoid, _distance_kernel, _normalised_kernel, _perceptron,
    _standardised, _rms, _steep, _root, _logarithmic, _wave, _spread, _fold, _clipped,
)  # fmt: skip
SMOOTH = (
    _attention, _heads, _sigmoid, _distance_kernel, _normalised_kernel, _perceptron, _rms, _spread,
)  # fmt: skip


def _domain(rng, d):
    return (pf.Ball(d), pf.Box([-1.0] * d, [1.0] * d))[rng.integers(2)]


def _in_precision(g, kind):
    """The map computed in a shorter type: the rounding noise of real layers."""
    if kind == "float64":
        return g
    return lambda p, w, x: g(*(a.astype(kind) for a in (p, w, x)))


def _as_measure_map(g, rng, domain):
    """The images in an order of their own, as a map of measures may give them."""
    salt = int(rng.integers(2**31))

    def f(p, w):
        images = g(p, w, p)
        order = np.random.default_rng([salt, len(p)]).permutation(len(p))
        return images[order], w[order]

    return pf.MeasureMap(f, domain)


def good_map(seed):
    """A name and a candidate that deserves no refutation."""
    rng = np.random.default_rng([seed, 20])
    d = int(rng.integers(1, 5))
    name, g = FAMILIES[seed % len(FAMILIES)](rng, d)
    domain = _domain(rng, d)
    precision = "float32" if rng.random() < 0.2 else "float64"
    g = _in_precision(g, precision)
    if rng.random() < 0.3:
        return f"{name}, d = {d}, {precision}, shuffled", _as_measure_map(g, rng, domain)
    return f"{name}, d = {d}, {precision}", pf.InContextMap(g, domain)


# ---- violations. Each takes (g, size, rng, domain) and gives a candidate


def _direction(rng, d):
    u = rng.normal(size=d)
    return u / np.linalg.norm(u)


def _order(g, size, rng, domain):
    return pf.InContextMap(lambda p, w, x: g(p, w, x) + size * (p[0] - _mean(p, w)), domain)


def _count(g, size, rng, domain):
    return pf.InContextMap(lambda p, w, x: g(p, w, x) + size / len(p), domain)


def _unweighted(g, size, rng, domain):
    return pf.InContextMap(
        lambda p, w, x: g(p, w, x) + size * (p.mean(axis=0) - _mean(p, w)), domain
    )


def _random(g, size, rng, domain):
    noise = np.random.default_rng(int(rng.integers(2**31)))
    return pf.InContextMap(lambda p, w, x: g(p, w, x) + size * noise.normal(size=x.shape), domain)


def _step_of_mean(g, size, rng, domain):
    u, c = _direction(rng, domain.dim), rng.uniform(-0.3, 0.3)
    return pf.InContextMap(lambda p, w, x: g(p, w, x) + size * (_mean(p, w) @ u > c), domain)


def _step_of_mass(g, size, rng, domain):
    u, c, share = _direction(rng, domain.dim), rng.uniform(-0.3, 0.3), rng.uniform(0.2, 0.8)

    def fn(p, w, x):
        return g(p, w, x) + size * (w[p @ u > c].sum() > share * w.sum())

    return pf.InContextMap(fn, domain)


def _step_of_position(g, size, rng, domain):
    u, c = _direction(rng, domain.dim), rng.uniform(-0.3, 0.3)

    def fn(p, w, x):
        return g(p, w, x) + size * (x @ u > c)[:, None]

    return pf.InContextMap(fn, domain)


def _mean_direction(g, size, rng, domain):
    c = 0.3 * _direction(rng, domain.dim)

    def fn(p, w, x):
        m = _mean(p, w) - c
        return g(p, w, x) + size * m / max(np.linalg.norm(m), 1e-300)

    return pf.InContextMap(fn, domain)


def _top_atom(g, size, rng, domain):
    u = _direction(rng, domain.dim)

    def fn(p, w, x):
        live = p[w > 0]
        return g(p, w, x) + size * live[np.argmax(live @ u)]

    return pf.InContextMap(fn, domain)


def _reweighted(g, size, rng, domain):
    u = _direction(rng, domain.dim)

    def fn(p, w):
        tilt = w * (1 + size * p @ u)
        return g(p, w, p), tilt * (w.sum() / tilt.sum())

    return pf.MeasureMap(fn, domain)


def _leaking(g, size, rng, domain):
    shift = 0.5 * _direction(rng, domain.dim)

    def fn(p, w):
        y = g(p, w, p)
        return np.concatenate([y, y + shift]), np.concatenate([(1 - size) * w, size * w])

    return pf.MeasureMap(fn, domain)


def _spreading(g, size, rng, domain):
    shift = size * _direction(rng, domain.dim)

    def fn(p, w):
        y = g(p, w, p)
        return np.concatenate([y, y + shift]), np.concatenate([w, w]) / 2

    return pf.MeasureMap(fn, domain)


def _swinging(g, size, rng, domain):
    c, frequency = 0.3 * _direction(rng, domain.dim), 10 ** rng.uniform(-0.3, 0.7)

    def fn(p, w, x):
        far = w @ np.linalg.norm(p - c, axis=1) / w.sum()
        swing = np.sin(frequency * np.log(far)) if far > 0 else 0.0
        return g(p, w, x) + size * swing * np.linalg.norm(x - c, axis=1, keepdims=True)

    return pf.InContextMap(fn, domain)


KINDS = {
    "order of the list": (_order, "well-defined"),
    "number of atoms": (_count, "well-defined"),
    "unweighted mean": (_unweighted, "well-defined"),
    "random": (_random, "well-defined"),
    "step of the mean": (_step_of_mean, "continuous"),
    "step of a mass": (_step_of_mass, "continuous"),
    "step of the position": (_step_of_position, "continuous"),
    "direction of the mean": (_mean_direction, "continuous"),
    "extreme atom": (_top_atom, "continuous"),
    "reweighted": (_reweighted, "B1"),
    "leaking mass": (_leaking, "B1"),
    "spreading atoms": (_spreading, "B1"),
    "swinging at an atom": (_swinging, "B2"),
}


def planted_map(kind, size, seed):
    """A name, a candidate with a violation of that size, and the condition that it breaks."""
    plant, condition = KINDS[kind]
    rng = np.random.default_rng([seed, 21])
    d = int(rng.integers(1, 4))
    name, g = SMOOTH[seed % len(SMOOTH)](rng, d)
    domain = _domain(rng, d)
    return f"{name}, d = {d}", plant(g, size, rng, domain), condition
