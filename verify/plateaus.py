"""Test functions of measures, and their plateaux, as Hypothesis draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .lattices import whole


@dataclass(frozen=True)
class Wave:
    """`psi(y) = sin(<k, y> + phase) / max(1, |k|)`: at most one, with slope at most one.

    >>> import numpy as np
    >>> Wave((1.0, 0.0), 0.0)(np.zeros((3, 2))).tolist()
    [0.0, 0.0, 0.0]
    """

    k: tuple[float, ...]
    phase: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values (m,) at points (m, d)."""
        return np.sin(np.asarray(points) @ self.k + self.phase) / max(1.0, math.hypot(*self.k))


@dataclass(frozen=True, eq=False)
class Plateau:
    """A test function made constant near given places: a wave with plateaux.

    `psi_r(y) = psi(y) + sum_l chi(|y - y_l| / r) (psi(y_l) - psi(y))` with `chi(t) = clip(2 - t, 0,
    1)`, for `r <= min |y_l - y_m| / 4`: it is `psi(y_l)` on the ball of radius r about `y_l` and
    psi beyond 2r; its slope is at most three times that of psi.

    >>> import numpy as np
    >>> psi = Plateau(Wave((1.0,), 0.0), np.array([[0.5]]), 0.125)
    >>> bool(psi(np.array([[0.6]]))[0] == psi(np.array([[0.4]]))[0])
    True
    """

    wave: Wave
    places: np.ndarray
    radius: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values (m,) at points (m, d)."""
        values = self.wave(points)
        distances = np.linalg.norm(np.asarray(points)[:, None] - self.places, axis=2)
        chi = np.clip(2 - distances / self.radius, 0.0, 1.0)
        # the sum has one term at most: the supports of chi do not meet
        nearest = distances.argmin(axis=1)
        height = chi[np.arange(len(values)), nearest]
        return (1 - height) * values + height * self.wave(self.places)[nearest]


def functions(dim: int) -> SearchStrategy[Wave]:
    """Test functions `psi` on R^dim, bounded by one and with slope at most one.

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(functions(2))
    ... def test_bounded(psi):
    ...     assert np.abs(psi(np.eye(2))).max() <= 1
    >>> test_bounded()
    """
    frequency = st.lists(whole(8), min_size=dim, max_size=dim).map(lambda k: tuple(map(float, k)))
    return st.builds(Wave, frequency, st.integers(0, 12).map(lambda k: k / 2))


def plateaus(places: Any) -> SearchStrategy[Plateau]:
    """Test functions that are constant near the given places (k, d), such as the atoms of an image.

    They take the regular part of a derivative from the whole of it (docs/mathematics.md).

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(plateaus(np.array([[0.0], [1.0]])))
    ... def test_constant_near_zero(psi):
    ...     near, zero = psi(np.array([[psi.radius / 2], [0.0]]))
    ...     assert near == zero
    >>> test_constant_near_zero()
    """
    rows = np.unique(np.asarray(places, dtype=float), axis=0)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"plateaus(places) expects places (k, d). Got shape {rows.shape}.")
    apart = np.linalg.norm(rows[:, None] - rows, axis=2)
    least = float(apart[apart > 0].min()) if len(rows) > 1 else 1.0
    radii = st.sampled_from((4.0, 8.0, 64.0, 1024.0)).map(lambda part: least / part)
    return st.builds(
        lambda wave, radius: Plateau(wave, rows, radius), functions(rows.shape[1]), radii
    )
