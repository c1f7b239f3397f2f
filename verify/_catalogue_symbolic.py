"""Maps of the catalogue as formulas: each function gives a bound map, equal to its plain twin."""

from __future__ import annotations

import numpy as np
from sympy import Abs, Max, Min, Piecewise, Rational, exp, log, sin, sqrt, tanh

from ..symbolic import (
    Matrix,
    Measure,
    Point,
    SymbolicMap,
    Vector,
    block,
    component,
    dot,
    elementwise,
    gibbs,
    integral,
    norm2,
    stack,
)
from ._catalogue_attention import SCORE, SECOND_SCORE, SECOND_VALUE, VALUE
from ._catalogue_flows import TURN

x, y, mu = Point("x"), Point("y"), Measure("mu", probability=True)
A, V, B, W = Matrix("A"), Matrix("V"), Matrix("B"), Matrix("W")
HEAD = gibbs(V @ y, y, mu, energy=dot(x, A @ y))
SECOND_HEAD = gibbs(W @ y, y, mu, energy=dot(x, B @ y))
MEAN = integral(y, y, mu)


def _map(term):
    return SymbolicMap(term, x, mu)


def identity():
    return _map(x).bind()


def mean_pooling():
    return _map(MEAN).bind()


def centring():
    return _map(x - MEAN).bind()


def softmax_attention():
    return _map(x + HEAD).bind(A=SCORE, V=VALUE)


def multi_head_attention():
    return _map(x + HEAD + SECOND_HEAD).bind(A=SCORE, V=VALUE, B=SECOND_SCORE, W=SECOND_VALUE)


def transformer_block():
    inner, outer = Matrix("U"), Matrix("O")
    hidden = elementwise(lambda t: Max(t, 0), inner @ x + Vector("b"))
    perceptron = _map(x + outer @ hidden)
    return (perceptron @ _map(x + HEAD + SECOND_HEAD)).bind(
        A=SCORE,
        V=VALUE,
        B=SECOND_SCORE,
        W=SECOND_VALUE,
        U=np.array([[1.0, 0.5], [-1.0, 1.0], [0.5, -1.0]]),
        b=np.full(3, 0.1),
        O=np.array([[0.3, 0.1, -0.3], [-0.2, 0.4, 0.2]]),
    )


def linear_attention():
    return _map(x + integral(dot(x, A @ y) * (V @ y), y, mu)).bind(A=SCORE, V=VALUE)


def sigmoid_attention():
    share = 1 / (1 + exp(1 - dot(x, A @ y)))
    return _map(x + integral(share * (V @ y), y, mu)).bind(A=SCORE, V=VALUE)


def l2_attention():
    return _map(gibbs(V @ y, y, mu, energy=-norm2(x - y))).bind(V=VALUE)


def unnormalised_attention():
    kernel = exp(dot(x, A @ y))
    return _map(x + integral(kernel * (V @ y), y, mu) / 2).bind(A=SCORE, V=VALUE)


def sink_attention():
    kernel, sink = exp(dot(x, A @ y)), exp(Rational(1, 2))
    attended = integral(kernel * (V @ y), y, mu) + sink * Vector("v")
    return _map(x + attended / (integral(kernel, y, mu) + sink)).bind(
        A=SCORE, V=VALUE, v=np.array([0.2, -0.4])
    )


def layer_norm():
    centre, ones = Matrix("C"), Vector("u")
    scale = sqrt(norm2(centre @ x) / dot(ones, ones) + Rational(1, 100))
    return _map((centre @ x) / scale).bind(C=np.eye(3) - 1 / 3, u=np.ones(3))


def rms_norm():
    return _map(x / sqrt(norm2(x) / 2 + Rational(1, 100))).bind()


def token_normalisation():
    def normalised(i):
        centre = integral(component(y, i), y, mu)
        variance = integral((component(y, i) - centre) ** 2, y, mu)
        return (component(x, i) - centre) / sqrt(variance + Rational(1, 100))

    return _map(stack(normalised(0), normalised(1))).bind()


def motsch_tadmor_step():
    place, speed = block(x, 0, 2), block(x, 2, 4)
    psi = 1 / (1 + norm2(place - block(y, 0, 2)))
    velocity = integral(psi * block(y, 2, 4), y, mu) / integral(psi, y, mu)
    return _map(stack(place + speed / 2, speed + (velocity - speed) / 2)).bind()


def cold_attention():
    return _map(gibbs(y, y, mu, energy=50 * dot(x, y))).bind()


def steep_sign_of_mean():
    return _map(tanh(200 * component(MEAN, 0)) * x).bind()


def root_of_mean():
    return _map(stack(component(x, 0) + sqrt(Abs(component(MEAN, 0))))).bind()


def vlasov_step():
    return _map(x + HEAD / 4).bind(A=SCORE, V=TURN)


def e_log(floor=0):
    size = integral(Min(Abs(component(y, 0)), 1), y, mu)
    scale = Max(size, floor) if floor else size
    wave = sin(log(scale))
    turn = wave if floor else Piecewise((wave, scale > 0), (0, True))
    return _map(stack(component(x, 0) + Min(Abs(component(x, 0)), 1) * turn)).bind()


def floored_e_log():
    return e_log(Rational(1, 100))
