"""Maps that move, mix or reweight measures, the counterexamples, and maps of lists."""

from __future__ import annotations

import numpy as np

from ._catalogue_attention import SCORE, VALUE, gibbs_weights, live, mean


def identity(points, weights, x):
    return x


def translation(points, weights, x):
    return x + np.array([0.3, -0.2])


def curl(points, weights, x):
    """A push-forward by one continuous function, the same for every measure."""
    return x + 0.5 * np.sin(3.0 * x[:, ::-1])


def constant(points, weights, x):
    return np.full_like(x, 0.25)


def centring(points, weights, x):
    return x - mean(points, weights)


def bayes_reweighting(points, weights):
    """`f(mu)` proportional to `e^{-Phi} mu`, with the mass of `mu`."""
    likelihood = weights * np.exp(-((points - 0.3) ** 2).sum(axis=1))
    return points, likelihood * (weights.sum() / likelihood.sum())


_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


def kernel_of(points, weights, shifts, shares):
    """The Markov kernel that sends an atom to its shifted copies with the given shares."""
    moved = points[:, None, :] + shifts[None, :, :]
    return moved.reshape(-1, points.shape[1]), np.outer(weights, shares).ravel()


def gaussian_kernel(points, weights):
    """`mu * N(0, 0.2^2)` in R, the normal law as its Gauss-Hermite rule of five nodes."""
    return kernel_of(points, weights, 0.2 * _NODES[:, None], _NODE_WEIGHTS)


def random_walk(points, weights):
    shifts = 0.2 * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    return kernel_of(points, weights, shifts, np.full(4, 0.25))


def half_translated(points, weights):
    return kernel_of(points, weights, np.array([[0.0, 0.0], [0.3, 0.0]]), np.full(2, 0.5))


def average_of_maps(points, weights):
    """`(1 - t) f_1 + t f_2` with `f_1` the identity, `f_2` mean pooling, t = 1/4."""
    centre = np.broadcast_to(mean(points, weights), points.shape)
    return np.vstack([points, centre]), np.concatenate([0.75 * weights, 0.25 * weights])


TARGET = np.array([-0.5, 0.0, 0.75])
TARGET_WEIGHTS = np.array([0.25, 0.5, 0.25])


def constant_measure(points, weights):
    return TARGET[:, None], TARGET_WEIGHTS * weights.sum()


def monotone_coupling(points, weights):
    """Atoms `x`, `y` and masses of the monotone coupling with the target, on the line."""
    order = np.argsort(points[:, 0], kind="stable")
    x, w = points[order, 0], weights[order] / weights.sum()
    ours, theirs = np.minimum(np.cumsum(w), 1.0), np.cumsum(TARGET_WEIGHTS)
    ours[-1] = 1.0
    levels = np.union1d(ours, theirs)
    mass = np.diff(levels, prepend=0.0)
    middle = levels - mass / 2
    return (
        x[np.searchsorted(ours, middle)],
        TARGET[np.searchsorted(theirs, middle)],
        mass * weights.sum(),
    )


def transport_to_target(points, weights):
    """The second marginal of the optimal coupling of `mu` with a fixed measure."""
    _, images, mass = monotone_coupling(points, weights)
    return images[:, None], mass


def mccann_midpoint(points, weights):
    """The midpoint of the Wasserstein geodesic from `mu` to a fixed measure."""
    x, images, mass = monotone_coupling(points, weights)
    return ((x + images) / 2)[:, None], mass


def doubling(points, weights):
    return points, 2.0 * weights


def restriction(points, weights):
    return points, weights * (points[:, 0] >= 0.0)


def wasserstein_to_uniform(points, weights):
    """`W1(mu, Leb[0, 1])` of a measure on the line, exactly.

    The quantile function of Leb[0, 1] is t, and on the levels (b, c) of the atom x the integral
    of |t - x| is ((c - x)|c - x| - (b - x)|b - x|) / 2.
    """
    order = np.argsort(points[:, 0], kind="stable")
    x, w = points[order, 0], weights[order] / weights.sum()
    levels = np.cumsum(w)
    above, below = levels - x, levels - w - x
    return ((above * np.abs(above) - below * np.abs(below)) / 2).sum()


def triangle_wave(u):
    """The distance of u to the even integers."""
    return np.abs(u - 2.0 * np.round(u / 2.0))


def e_tri(points, weights, x, floor=0.0):
    """`G(mu, x) = tri(x / s)` with `s = sqrt(W1(mu, Leb[0, 1]))`."""
    scale = max(np.sqrt(wasserstein_to_uniform(points, weights)), floor)
    return triangle_wave(x / scale)


def floored_e_tri(points, weights, x):
    return e_tri(points, weights, x, floor=0.02)


def e_log(points, weights, x, floor=0.0):
    """`G(mu, x) = x + chi(x) sin(log e)`, `e = int chi dmu`, `chi(x) = min(|x|, 1)`."""
    chi = np.minimum(np.abs(x), 1.0)
    scale = max(mean(np.minimum(np.abs(points), 1.0), weights).item(), floor)
    return x + chi * np.sin(np.log(scale)) if scale > 0 else x.copy()


def floored_e_log(points, weights, x):
    return e_log(points, weights, x, floor=1e-2)


def e_swap(points, weights):
    """On two points: the heavier atom goes to 1, the lighter one to 0."""
    first = weights[points[:, 0] < 0.5].sum()
    masses = np.array([first, weights[points[:, 0] >= 0.5].sum()])
    return np.array([[0.0], [1.0]]), np.sort(masses)


def sign_of_mean(points, weights, x):
    return x * np.sign(mean(points, weights))


def steep_sign_of_mean(points, weights, x):
    return x * np.tanh(200.0 * mean(points, weights))


def root_of_mean(points, weights, x):
    return x + np.sqrt(np.abs(mean(points, weights)))


def log_of_mean(points, weights, x):
    """`x + 1 / log(1 / |m|)`, continued by `x` at `m = 0`."""
    size = np.abs(mean(points, weights))
    return x - np.where(size > 0, 1.0 / np.log(np.where(size > 0, size, 0.5)), 0.0)


def weighted_median(points, weights):
    """The smallest atom with at least half of the mass at or below it."""
    order = np.argsort(points[:, 0], kind="stable")
    reached = np.cumsum(weights[order]) >= 0.5 * weights.sum() * (1.0 - 1e-12)
    return points[order[np.argmax(reached)]][None], weights.sum()[None]


def list_positions(points):
    places = np.arange(len(points))[:, None]
    return points + 0.1 * np.sin(places * np.array([1.0, 0.1]))


def rotary_attention(points):
    """Attention with queries and keys turned by an angle proportional to the place in the list."""
    turned = (points @ [1.0, 1.0j]) * np.exp(0.3j * np.arange(len(points)))
    scores = np.real(np.outer(turned, turned.conj()))
    return points + gibbs_weights(scores, np.ones(len(points))) @ points


def positions_in_tokens(points, weights, x):
    """Rotary attention again, the place now a coordinate of the token: `(t, y)` in [0, 1] x R^2."""
    y, w = live(points, weights)
    queries, keys = ((at[:, 1:] @ [1.0, 1.0j]) * np.exp(3j * at[:, 0]) for at in (x, y))
    attended = gibbs_weights(np.real(np.outer(queries, keys.conj())), w) @ y[:, 1:]
    return np.hstack([x[:, :1], x[:, 1:] + attended])


def log_n_temperature(points):
    scores = np.log(len(points)) * (points @ SCORE @ points.T)
    return points + gibbs_weights(scores, np.ones(len(points))) @ points @ VALUE.T


def self_exclusion(points):
    """Attention to the other tokens; a token alone stays."""
    if len(points) == 1:
        return points.copy()
    scores = points @ SCORE @ points.T
    np.fill_diagonal(scores, -np.inf)
    return points + gibbs_weights(scores, np.ones(len(points))) @ points @ VALUE.T


def causal_mask(points):
    scores = np.where(np.tri(len(points)) > 0, points @ SCORE @ points.T, -np.inf)
    return points + gibbs_weights(scores, np.ones(len(points))) @ points @ VALUE.T


def bbgky_marginal(points, weights, time=1.0):
    """The law of the first of two particles at `time`, both drawn from `mu`, with `x' = mean - x`.

    The pair (x, y) contracts about its mean c = (x + y) / 2, so the first particle goes to
    c + (x - c) e^{-t} and carries the mass of the pair.
    """
    y, w = live(points, weights)
    contracted = 0.5 * np.exp(-time)
    images = (0.5 + contracted) * y[:, None, :] + (0.5 - contracted) * y[None, :, :]
    return images.reshape(-1, y.shape[1]), weights.sum() * np.outer(w, w).ravel()


def liouville(points, weights, x, time=1.0):
    """The three particles of a configuration, a point of Omega^3: `x_i' = mean - x_i`."""
    particles = x.reshape(len(x), 3, -1)
    centre = particles.mean(axis=1, keepdims=True)
    return (centre + (particles - centre) * np.exp(-time)).reshape(len(x), -1)


def statistical_vlasov(points, weights, x, time=1.0, steps=4):
    """Each point of Omega^4 is an empirical measure, moved by its own attention flow."""
    clouds = x.reshape(len(x), 4, -1)
    for _ in range(steps):
        scores = clouds @ clouds.transpose(0, 2, 1)
        kernel = np.exp(scores - scores.max(axis=2, keepdims=True))
        attended = kernel @ clouds / kernel.sum(axis=2, keepdims=True)
        clouds = clouds + time / steps * (attended - clouds)
    return clouds.reshape(len(x), -1)


_DRAWS = np.random.default_rng()


def dropout(points, weights, x):
    return 2.0 * x * (_DRAWS.random(x.shape) < 0.5)


def token_sampling(points, weights):
    """As many tokens as there were, drawn from the measure anew on every call."""
    drawn = _DRAWS.choice(len(points), size=len(points), p=weights / weights.sum())
    jitter = 0.05 * _DRAWS.standard_normal(points.shape)
    return points[drawn] + jitter, np.full(len(points), weights.sum() / len(points))
