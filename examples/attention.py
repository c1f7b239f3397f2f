"""Softmax attention written in SymPy: verify it, derive from it, certify it.

    pushforward verify examples/attention.py:attention
    pushforward derive examples/attention.py:G
    pushforward certify examples/attention.py:attention --out attention.json
    python examples/attention.py

`G` is the formula, in any dimension and with free parameters; `attention` is the same map with
numbers in the plane, on the unit disc: a candidate.
"""

# ruff: noqa: T201
import numpy as np

import pushforward as pf
from pushforward.symbolic import Matrix, Measure, Point, SymbolicMap, dot, gibbs

x, y, mu = Point("x"), Point("y"), Measure("mu")
A, V = Matrix("A"), Matrix("V")

# Token x moves by the mean of V y under the Gibbs law p_x(dy) = e^{<x, A y>} mu(dy) / Z.
G = SymbolicMap(x + gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)

attention = pf.Symbolic(
    G.bind(A=np.array([[1.0, 0.5], [-0.5, 1.0]]), V=np.array([[0.8, -0.3], [0.3, 0.8]])),
    pf.Ball(2),
    name="softmax attention",
)


def main():
    print(pf.derive(G))
    print(pf.verify(attention, budget="quick"))


if __name__ == "__main__":
    main()
