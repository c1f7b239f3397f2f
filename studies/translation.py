"""Translations by a function of the context, by transformers of L layers.

    python studies/translation.py [--out FOLDER] [--layers 256] [--tokens 9]

Three maps `mu -> (x + u(mu))#mu`. The first turns: `u = (e^{TJ} - 1) m` for the mean m and a turn
J, which the flow of `V(mu, x) = J m` does; a layer is attention that sees all tokens alike, with
the value matrix `T J / L`. The second is the flow of `V = W tanh(U m + b)`, a perceptron of what
attention sees; each layer moves the mean that the next one sees. The third is a constant
shift, one perceptron. The transformer is given as a map of measures whose atoms come back in
another order; its in-context map is read off that by `recover_in_context_map`, and compared with
`x + u(mu)` at queries that are no tokens. Layers of their own size are
another matter: with `1 + V = e^{TJ/L}` the first map is exact at every depth.
"""

import numpy as np
import sympy
from _study import finish, guide, options, panels, slope, table
from scipy.linalg import expm

import pushforward as pf
from pushforward.symbolic import Matrix, Vector, VelocityField, elementwise, integral, library

TIME = 1.5
J = np.array([[0.0, -1.0], [1.0, 0.0]])
W, U = np.array([[0.9, -0.4], [0.3, 0.7]]), np.array([[1.1, 0.2], [-0.5, 1.3]])
B, SHIFT = np.array([0.2, -0.1]), np.array([0.4, -0.3])
DEEPEST = 32  # reading a map off measures takes hundreds of calls
TIGHT = {"method": "dopri5", "rtol": 1e-12, "atol": 1e-13, "engine": "numpy"}


def fields():
    """The three velocity fields, bound."""
    x, y, mu = library.X, library.Y, library.MU
    mean = integral(y, y, mu)
    turned = VelocityField(Matrix("V") @ mean, x, mu).bind(V=J)
    hidden = elementwise(sympy.tanh, Matrix("U") @ mean + Vector("b"))
    bent = VelocityField(Matrix("W") @ hidden, x, mu).bind(W=W, U=U, b=B)
    constant = VelocityField(Vector("b"), x, mu).bind(b=SHIFT)
    return {"a turn of the mean": turned, "a perceptron of the mean": bent, "constant": constant}


def transformer(field, layers, domain):
    """L residual layers as a map of measures; the atoms come back sorted."""

    def image(points, weights):
        moved = field.flow(points, weights, TIME, steps=layers, method="euler", engine="numpy")
        order = np.argsort(moved[:, 0])
        return moved[order], weights[order]

    return pf.MeasureMap(image, domain)


def main():
    chosen = options(__doc__, layers=256, tokens=9)
    rng = np.random.default_rng(0)
    domain = pf.Ball(2)
    points, queries = domain.sample(rng, chosen.tokens), domain.sample(rng, 5)
    weights = rng.dirichlet(np.ones(chosen.tokens))
    depths = 2 ** np.arange(int(np.log2(chosen.layers)) + 1)
    distance, recovered, slopes = {}, {}, {}
    for name, field in fields().items():
        end, carried = field.flow(points, weights, TIME, x=queries, **TIGHT)
        target = pf.DiscreteMeasure(end, weights)
        distance[name], recovered[name] = [], []
        for depth in depths:
            model = transformer(field, int(depth), domain)
            image = pf.DiscreteMeasure(*model.fn(points, weights))
            distance[name].append(float(pf.wasserstein(image, target)))
            if depth > DEEPEST:
                continue
            found = pf.recover_in_context_map(model)
            off = found(points, weights, queries) - carried
            recovered[name].append(float(np.linalg.norm(off, axis=1).max()))
        late = np.array(distance[name][-5:])
        slopes[name] = slope(depths[-5:], late) if (late > 1e-12).all() else None
    mean = weights @ points
    turn = expm(TIME * J)
    closed = [
        float(np.linalg.norm((np.linalg.matrix_power(np.eye(2) + TIME * J / k, k) - turn) @ mean))
        for k in map(int, depths)
    ]
    table(
        [[int(k), *(distance[n][i] for n in distance),
          *(recovered[n][i] if i < len(recovered[n]) else None for n in recovered), closed[i]]
         for i, k in enumerate(depths)],
        ["layers", *(f"W1: {n}" for n in distance), *(f"recovered: {n}" for n in recovered),
         "closed form of the first"],
    )  # fmt: skip
    print("slopes of W1:", slopes)
    figure, (axis,) = panels(1, 5.4, 4.0)
    for name in distance:
        if slopes[name] is not None:
            label = f"{name} ({slopes[name]:.2f})"
            axis.loglog(depths, distance[name], marker="o", markersize=3, label=label)
            axis.loglog(depths[: len(recovered[name])], recovered[name], "x", color="#55606b")
    axis.loglog([], [], "x", color="#55606b", label="the map recovered from measures")
    guide(axis, depths, distance["a turn of the mean"], -1)
    axis.set(xlabel="layers L", ylabel="W1 to the translated measure")
    axis.legend()
    finish("translation", chosen, {
        "layers": depths, "distance": distance, "recovered": recovered, "slopes": slopes,
        "closed form of the first": closed, "time": TIME, "tokens": chosen.tokens,
    }, figure)  # fmt: skip


if __name__ == "__main__":
    main()
