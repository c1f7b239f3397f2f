"""Train small transformers on a map that no transformer represents, and watch their slopes.

    python studies/unrepresentable.py [--out FOLDER] [--steps 700]     (needs torch)

The target is `G(mu, x) = x + min(|x|, 1) sin(log e(mu))`, `e = int min(|y|, 1) dmu`, on measures
with mass eps at 1 and the rest at 0. f = G# is Lipschitz in W1 and preserves supports, and still no
continuous in-context map represents it (docs/mathematics.md, section 6). It can be approximated:
the error may fall, but only if the Lipschitz constant in mu grows. So the three numbers are
reported together, for models of growing width, with the smallest error that such a constant
allows: for masses a and b up to 1/3, an error E moves the image of 1 by E / a and E / b at most,
hence `|sin log a - sin log b| <= E / a + E / b + Lip |a - b|`.
"""

import numpy as np
import torch
from _study import finish, options, panels, table
from torch import nn

CEILING = 1 / np.e


def allowed(slope):
    """The smallest error in W1 of an in-context map with this Lipschitz constant in mu, or less."""
    a = np.logspace(-5, np.log10(1 / 3), 700)
    b = a[:, None]
    apart = np.abs(np.sin(np.log(a)) - np.sin(np.log(b)))
    return float(np.max((apart - slope * np.abs(a - b)) / (1 / a + 1 / b)))


class Transformer(nn.Module):
    """Two layers of attention over weighted tokens and perceptrons, in `width` channels."""

    def __init__(self, width):
        super().__init__()
        self.enter, self.leave = nn.Linear(2, width), nn.Linear(width, 1)
        self.layers = nn.ModuleList(
            nn.ModuleDict({
                "qk": nn.Linear(width, width, bias=False),
                "v": nn.Linear(width, width, bias=False),
                "mlp": nn.Sequential(
                    nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
                ),
            })
            for _ in range(2)
        )  # fmt: skip

    def forward(self, points, weights, x):
        """points (b, n, 1), weights (b, n), x (b, m, 1): images (b, m, 1)."""

        def embedded(t):
            return self.enter(torch.cat([t, t.abs().clamp(max=1)], dim=-1))

        tokens, queries = embedded(points), embedded(x)
        scale = tokens.shape[-1] ** -0.5
        for layer in self.layers:
            moved = []
            for state in (tokens, queries):
                score = layer["qk"](state) @ tokens.transpose(1, 2) * scale
                attention = (score + weights.log()[:, None, :]).softmax(dim=-1)
                state = state + attention @ layer["v"](tokens)
                moved.append(state + layer["mlp"](state))
            tokens, queries = moved
        return x + self.leave(queries)


def measures(eps):
    """The measures (1 - eps) delta_0 + eps delta_1, and the two queries 0 and 1."""
    points = torch.tensor([[0.0], [1.0]]).expand(len(eps), 2, 1)
    return points, torch.stack([1 - eps, eps], dim=1), points


def train(model, steps, rng):
    """Adam on the W1 error, with eps uniform on a logarithmic scale."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        eps = torch.exp(torch.rand(128, generator=rng) * np.log(1e-4)).clamp(max=0.999)
        points, weights, x = measures(eps)
        off = (model(points, weights, x) - target(eps))[..., 0]
        # the error in W1, and a little of the error of G itself where the mass is small
        share = weights + 0.02 * torch.stack([0 * eps, (eps / 1e-4) ** -0.25], dim=1)
        loss = (share * off**2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def target(eps):
    """G at 0 and at 1."""
    at_one = 1 + torch.sin(torch.log(eps))
    return torch.stack([torch.zeros_like(eps), at_one], dim=1)[..., None]


def line_distance(a, b, mass):
    """W1 of (1 - mass) delta_{a_0} + mass delta_{a_1} and the same of b, exactly."""
    cuts = np.array([0.0, min(mass, 1 - mass), max(mass, 1 - mass), 1.0])

    def at(values, u):
        low, high = np.argsort(values, kind="stable")
        shares = np.array([1 - mass, mass])
        return values[low] if u < shares[low] else values[high]

    middles = (cuts[1:] + cuts[:-1]) / 2
    return sum(
        width * abs(at(a, u) - at(b, u)) for width, u in zip(np.diff(cuts), middles, strict=True)
    )


def numbers(model):
    """The largest W1 error, Lipschitz constant in mu and in x, over a grid of eps."""
    eps = torch.logspace(-6, np.log10(0.999), 1500, dtype=torch.float64)
    points, weights, x = (t.double() for t in measures(eps.double()))
    model = model.double()
    with torch.no_grad():
        images = model(points, weights, x)[..., 0].numpy()
    wanted = target(eps)[..., 0].numpy()
    mass = eps.numpy()
    error = max(line_distance(*row) for row in zip(images, wanted, mass, strict=True))
    # W1 of two of these measures is the difference of their masses at 1.
    steps = np.diff(mass)
    slope_mu = float(np.abs(np.diff(images, axis=0) / steps[:, None]).max())
    grid = torch.linspace(-1, 1, 201, dtype=torch.float64)[None, :, None].expand(60, 201, 1)
    few = slice(None, None, 25)
    with torch.no_grad():
        values = model(points[few], weights[few], grid)[..., 0].numpy()
    slope_x = float(np.abs(np.diff(values, axis=1)).max() / 0.01)
    model.float()
    return error, slope_mu, slope_x


def main():
    chosen = options(__doc__, steps=700)
    torch.set_num_threads(1)
    rows = []
    for width in (2, 4, 8, 16, 32, 64):
        torch.manual_seed(width)
        rng = torch.Generator().manual_seed(width)
        model = Transformer(width)
        train(model, chosen.steps, rng)
        rows.append([width, *numbers(model)])
    rows = [[*row, allowed(row[2])] for row in rows]
    table(rows, ["width", "error in W1", "Lip in mu", "Lip in x", "least error allowed"])
    widths, error, slope_mu, slope_x, least = map(np.array, zip(*rows, strict=True))
    print(f"smallest error over the least allowed: {np.min(error / least):.3g}")
    figure, (axis,) = panels(1, 5.0, 3.8)
    axis.loglog(slope_mu, error, "o", label="trained transformers")
    for width, one, other in zip(widths, slope_mu, error, strict=True):
        axis.annotate(f" {int(width)}", (one, other), fontsize=7)
    span = np.geomspace(min(slope_mu.min(), 1.0), slope_mu.max() * 2, 60)
    floor = [allowed(one) for one in span]
    axis.loglog(span, floor, color="#c8501e", label="no map is below")
    axis.loglog(span, CEILING / span, linestyle="--", color="#2e7d4f",
                label="some map is here: 1 / (e Lip)")  # fmt: skip
    axis.set(xlabel="Lipschitz constant in mu, measured", ylabel="largest error in W1")
    axis.legend()
    finish("unrepresentable", chosen, {
        "widths": widths, "error": error, "lipschitz in mu": slope_mu, "lipschitz in x": slope_x,
        "least error allowed": least, "steps": chosen.steps,
    }, figure)  # fmt: skip


if __name__ == "__main__":
    main()
