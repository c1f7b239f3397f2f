"""The modulus of continuity that a search has seen: an estimate from below, scale by scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .subject import Atoms

Pair = Callable[[], tuple[Atoms, Atoms]]

PER_DECADE = 2
_ATOMS_SHOWN = 16


@dataclass(slots=True)
class Modulus:
    """The largest change of a response at each scale of distance, with the pair that shows it.

    `omega(r) = sup { |R(mu) - R(nu)| : W1(mu, nu) <= r }`; what a search has seen is a lower bound.
    Distances are upper bounds of W1 along a path, changes below `floor` are rounding.
    """

    floor: float
    worst: dict[int, tuple[float, float, Pair]] = field(default_factory=dict)

    def add(self, distance: float, change: float, pair: Pair) -> None:
        if not (distance > 0 and np.isfinite(change) and change > self.floor):
            return
        scale = int(np.ceil(PER_DECADE * np.log10(distance)))
        if scale not in self.worst or change > self.worst[scale][1]:
            self.worst[scale] = distance, change, pair

    def curve(self) -> list[tuple[float, float]]:
        """(distance, largest change seen up to it), from fine to coarse."""
        seen = [self.worst[scale][:2] for scale in sorted(self.worst)]
        largest = np.maximum.accumulate([change for _, change in seen]) if seen else []
        return [(r, float(c)) for (r, _), c in zip(seen, largest, strict=True)]

    def exponent(self) -> float | None:
        """The Hölder exponent that the curve suggests, None where it spans too few scales."""
        curve = self.curve()
        if len(curve) < 4 or curve[-1][0] < 100 * curve[0][0]:
            return None
        distances, changes = np.log10(np.array(curve)).T
        slope = np.polyfit(distances, changes, 1)[0]
        return float(np.clip(slope, 0.0, 1.0))

    def evidence(self) -> dict[str, Any]:
        """What a report shows of it; nothing where nothing above rounding changed."""
        if not self.worst:
            return {}
        shown = {
            "modulus of continuity (distance, largest change seen)": self.curve(),
            "Lipschitz constant, seen at least": max(c / r for r, c, _ in self.worst.values()),
            "worst pairs": [self._shown(scale) for scale in sorted(self.worst)[:: 2 * PER_DECADE]],
        }
        exponent = self.exponent()
        if exponent is not None:
            shown["Hölder exponent of the curve, estimated"] = exponent
        return shown

    def _shown(self, scale: int) -> dict[str, Any]:
        distance, change, pair = self.worst[scale]
        shown: dict[str, Any] = {"distance": distance, "change": change}
        for name, (points, weights) in zip(("first", "second"), pair(), strict=True):
            if len(weights) <= _ATOMS_SHOWN:
                shown |= {f"{name} points": points.tolist(), f"{name} weights": weights.tolist()}
        return shown
