"""Attention, pooling and normalisation as maps of weighted tokens: `fn(points, weights, x)`."""

from __future__ import annotations

import numpy as np

SCORE = np.array([[1.0, 0.5], [-0.5, 1.0]])
VALUE = np.array([[0.8, -0.3], [0.3, 0.8]])
SECOND_SCORE = np.array([[-0.6, 0.2], [0.4, 0.9]])
SECOND_VALUE = np.array([[0.1, 0.5], [-0.7, 0.2]])


def live(points, weights):
    """The atoms that carry mass, with weights of sum one."""
    carries = weights > 0
    return points[carries], weights[carries] / weights.sum()


def mean(points, weights):
    return (weights @ points) / weights.sum()


def gibbs_weights(scores, weights):
    """Rows of `p_x(y) = e^{s(x, y)} w_y / Z(x)`, with the running maximum taken out."""
    kernel = np.exp(scores - scores.max(axis=1, keepdims=True)) * weights
    return kernel / kernel.sum(axis=1, keepdims=True)


def softmax(points, weights, x, score=SCORE, value=VALUE):
    """`int V y p_x(dy)` with `p_x` proportional to `e^{<x, A y>} mu`."""
    y, w = live(points, weights)
    return gibbs_weights(x @ score @ y.T, w) @ y @ value.T


def softmax_attention(points, weights, x):
    return x + softmax(points, weights, x)


def perceptron(x):
    hidden = np.maximum(x @ np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]]) + 0.1, 0.0)
    return x + hidden @ np.array([[0.3, -0.2], [0.1, 0.4], [-0.3, 0.2]])


def multi_head_attention(points, weights, x):
    second = softmax(points, weights, x, SECOND_SCORE, SECOND_VALUE)
    return x + softmax(points, weights, x) + second


def transformer_block(points, weights, x):
    return perceptron(multi_head_attention(points, weights, x))


def deep_transformer(points, weights, x):
    """Three blocks composed: each reads the image of the measure under the ones before."""
    for _ in range(3):
        points, x = (0.5 * transformer_block(points, weights, at) for at in (points, x))
    return x


def cold_attention(points, weights, x):
    return softmax(points, weights, x, score=50.0 * np.eye(2), value=np.eye(2))


def linear_attention(points, weights, x):
    y, w = live(points, weights)
    return x + ((x @ SCORE @ y.T) * w) @ y @ VALUE.T


def sigmoid_attention(points, weights, x):
    y, w = live(points, weights)
    return x + (w / (1.0 + np.exp(1.0 - x @ SCORE @ y.T))) @ y @ VALUE.T


def squared_distances(x, y):
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=-1)


def l2_attention(points, weights, x):
    y, w = live(points, weights)
    return gibbs_weights(-squared_distances(x, y), w) @ y @ VALUE.T


def unnormalised_attention(points, weights, x):
    y, w = live(points, weights)
    return x + 0.5 * (np.exp(x @ SCORE @ y.T) * w) @ y @ VALUE.T


def sink_attention(points, weights, x):
    """`(int k V y dmu + k_0 v_0) / (int k dmu + k_0)`: one more token of fixed mass."""
    y, w = live(points, weights)
    kernel = np.exp(x @ SCORE @ y.T) * w
    sink, sink_value = np.exp(0.5), np.array([0.2, -0.4])
    total = kernel.sum(axis=1, keepdims=True) + sink
    return x + (kernel @ y @ VALUE.T + sink * sink_value) / total


def dot_products(x, y):
    """`<x, y>` for all pairs, each by the same sum, so that equal atoms have equal scores."""
    return (x[:, None, :] * y[None, :, :]).sum(axis=-1)


def hardmax_attention(points, weights, x):
    """The mean of the tokens of largest score, whatever their mass."""
    y, w = live(points, weights)
    scores = dot_products(x, y)
    chosen = (scores == scores.max(axis=1, keepdims=True)) * w
    return chosen @ y / chosen.sum(axis=1, keepdims=True)


def max_pooling(points, weights):
    return points[weights > 0].max(axis=0, keepdims=True), weights.sum()[None]


def mean_pooling(points, weights):
    return mean(points, weights)[None], weights.sum()[None]


def layer_norm(points, weights, x, eps=1e-2):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)


def rms_norm(points, weights, x, eps=1e-2):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + eps)


def fine_rms_norm(points, weights, x):
    return rms_norm(points, weights, x, eps=1e-6)


def divide(numerator, denominator):
    """The quotient, and 0 where the denominator is 0."""
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, 0.0, numerator / safe)


def unit_vector(points, weights, x):
    """`x / |x|`, and 0 at 0."""
    largest = np.abs(x).max(axis=1, keepdims=True)
    scaled = divide(x, largest)
    return divide(scaled, np.sqrt((scaled**2).sum(axis=1, keepdims=True)))


def bare_layer_norm(points, weights, x):
    """Layer norm with no epsilon; a token of equal entries goes to 0.

    Differences to the first entry are exactly 0 for equal entries, the mean of equal entries
    is not always exact.
    """
    shifted = x - x[:, :1]
    return unit_vector(points, weights, shifted - shifted.mean(axis=1, keepdims=True))


def token_normalisation(points, weights, x):
    """`(x - m) / sqrt(Var + eps)` with mean and variance over the tokens."""
    centre = mean(points, weights)
    variance = mean((points - centre) ** 2, weights)
    return (x - centre) / np.sqrt(variance + 1e-2)


def bounded_confidence(points, weights, x, radius=0.5):
    """The mean opinion within the radius; an opinion that sees nobody stays."""
    y, w = live(points, weights)
    seen = (squared_distances(x, y) <= radius**2) * w
    mass = seen.sum(axis=1, keepdims=True)
    return np.where(mass > 0, divide(seen @ y, mass), x)


def smooth_bounded_confidence(points, weights, x, radius=0.5):
    y, w = live(points, weights)
    beyond = np.sqrt(squared_distances(x, y)) - radius
    return gibbs_weights(-np.logaddexp(0.0, 50.0 * beyond), w) @ y


def compact_kernel_attention(points, weights, x, radius=0.5):
    """Normalised attention with kernel `max(r - |x - y|, 0)`; a token that sees nobody stays."""
    y, w = live(points, weights)
    kernel = np.maximum(radius - np.sqrt(squared_distances(x, y)), 0.0)
    top = kernel.max(axis=1, keepdims=True)
    kernel = divide(kernel, top) * w
    mass = kernel.sum(axis=1, keepdims=True)
    return np.where(mass > 0, divide(kernel @ y, mass), x)


def motsch_tadmor_step(points, weights, x, step=0.5):
    """One step of `x' = v`, `v' = int psi (w - v) dmu / int psi dmu` on `(x, v)` in R^2 x R^2."""
    y, w = live(points, weights)
    psi = w / (1.0 + squared_distances(x[:, :2], y[:, :2]))
    velocity = psi @ y[:, 2:] / psi.sum(axis=1, keepdims=True)
    place, speed = x[:, :2], x[:, 2:]
    return np.hstack([place + step * speed, speed + step * (velocity - speed)])
