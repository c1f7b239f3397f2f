"""The in-context map of a measure map: `G` with `f(mu) = G(mu)#mu`, read off `f` alone.

This is the constructive half of the theorem of Furuya, de Hoop and Lassas: if `f` is continuous and
support-preserving and the regular part of its derivative is uniformly continuous, then `f = G#` for
one continuous `G`, and `G(mu, x)` is where `f` sends an atom of small mass at `x`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numeric import AbstractDomain
from .candidates import Candidate, InContextMap, TokenMap, on_domain, title
from .distance import clusters
from .noise import measure_noise
from .subject import LARGEST, Atoms, Clock, Subject, Undefined, Unsupported, as_counts
from .support import support_violation
from .tagging import LARGEST_DECODED, binary_weights, decode, margin

FINEST = 2.0**-26
FINEST_OF_LISTS = 2.0**-8
_PROBES = (1, 2, 3, 4, 5, 5)
_FACTORS = (1.0, 8.0, 0.125, 64.0)


@dataclass(frozen=True, slots=True)
class RecoveredMap(InContextMap):
    """The in-context map that `recover_in_context_map` reads off a map of measures.

    It is called as its function is, `G(points, weights, x)`; each query costs one call of `f`.
    """

    def __call__(self, points: Any, weights: Any, x: Any) -> np.ndarray:
        """Values `G(mu, x)` (m, d') at the queries x (m, d)."""
        return self.fn(points, weights, x)

    def error(self, points: Any, weights: Any, x: Any) -> np.ndarray:
        """How far each value is from `G(mu, x)`, (m,): an estimate, no bound.

        The value is read with a tag of mass `eps`, and again with one of about `4 eps`. Where G is
        differentiable along the tag, the error is a third of the change; six times that is
        returned, which still covers a change like `eps^0.3`, and the rounding noise of `f` on top.
        """
        return self.fn.error(points, weights, x)  # type: ignore[attr-defined]


def recover_in_context_map(
    candidate: Any, *, eps: float | None = None, domain: AbstractDomain | None = None
) -> RecoveredMap:
    """The in-context map of a support-preserving map, on and off the support.

    `G(mu, x)` is the image of a tag of mass `eps` at `x` under `f((1 - eps) mu + eps delta_x)`. The
    masses of the image tell where the tag went, so the atoms may come back in any order and merged;
    rows of a `TokenMap` are not trusted to keep their order either.

    Args:
        candidate: what `verify` takes. A list of tokens without weights carries masses that are
            multiples of 1/4096 alone, and tags of mass 1/256 by default: other weights are a
            ValueError at the call.
        eps: the mass of the tag; by default 2^-26, or 64 times the rounding of the output masses.
        domain: for a bound symbolic map, or to override the candidate's.

    Returns:
        An `InContextMap`, callable, with `error(points, weights, x)`, an estimate of the distance
        from the limit `eps -> 0`. Weights are used as shares: they are divided by their sum.

    Raises:
        ValueError: the map splits atoms, or fails on the inputs that are tried; or the masses of
            an image do not tell where a tag went.

    >>> import numpy as np
    >>> import pushforward as pf
    >>> def shuffled(points, weights):
    ...     order = np.argsort(points[:, 0])
    ...     return (points + weights @ points)[order], weights[order]
    >>> G = pf.recover_in_context_map(pf.MeasureMap(shuffled, pf.Box([-1.0], [1.0])))
    >>> points, weights, x = np.array([[0.5], [-0.5]]), np.array([0.75, 0.25]), np.array([[1.0]])
    >>> bool(abs(G(points, weights, x) - 1.25) <= G.error(points, weights, x))
    True

    Source: Furuya, de Hoop, Lassas (2025), arXiv 2509.25611; docs/mathematics.md.
    """
    found = on_domain(candidate, domain)
    if eps is not None and not 0 < eps < 0.5:
        raise ValueError(f"recover_in_context_map(eps=...) expects 0 < eps < 1/2. Got {eps!r}.")
    return RecoveredMap(Tagged(found, eps), found.domain, name=f"G of {title(found)}")


class Tagged:
    """Reads values of the in-context map of a candidate off tags; see `recover_in_context_map`."""

    def __init__(self, candidate: Candidate, eps: float | None):
        self.candidate = candidate
        self.subject = Subject(candidate)
        self.noise = measure_noise(self.subject, 0, Clock(10.0))
        self.near = 1e2 * self.noise.value
        self.rounding = rounding = self._probe()
        least = 16 * max(rounding, 2.0**-52)
        if eps is not None and eps < least:
            raise ValueError(
                f"the output masses of {title(candidate)} are rounded by {rounding:.1e}; "
                f"eps must be at least {least:.1e}. Got {eps:.1e}."
            )
        default = FINEST_OF_LISTS if self.subject.lists else FINEST
        self.eps = eps or max(default, 4 * least if rounding else 0.0)

    def __call__(self, points: Any, weights: Any, x: Any) -> np.ndarray:
        measure = _Tagging(self, points, weights)
        return np.array([measure.read(query, self.eps)[0] for query in _rows(x, measure)])

    def error(self, points: Any, weights: Any, x: Any) -> np.ndarray:
        """See `RecoveredMap.error`."""
        measure = _Tagging(self, points, weights)
        return np.array([self._error(measure, query) for query in _rows(x, measure)])

    def _error(self, measure: _Tagging, query: np.ndarray) -> float:
        value, eps = measure.read(query, self.eps)
        coarse, far = measure.read(query, 4 * eps)
        change = float(np.linalg.norm(value - coarse))
        return 6 * change * eps / max(far - eps, eps) + self.near

    def push(self, points: np.ndarray, weights: np.ndarray) -> Atoms:
        """The image measure; ValueError where there is none."""
        try:
            return self.subject.push(points, weights)
        except Undefined as undefined:
            raise ValueError(f"{title(self.candidate)}: {undefined.reason}.") from undefined
        except Unsupported as unsupported:
            raise ValueError(f"{title(self.candidate)}: {unsupported}.") from unsupported

    def _probe(self) -> float:
        """The rounding of output masses on a few tagged measures; ValueError where atoms split."""
        rng = np.random.default_rng(0)
        worst, answers, failure = 0.0, 0, ""
        for atoms in _PROBES:
            points = self.candidate.domain.sample(rng, atoms)
            points = np.unique(points, axis=0)
            counts = 2.0 ** np.arange(len(points))
            weights = counts / counts.sum() if self.subject.lists else binary_weights(len(points))
            try:
                image = self.push(points, weights)
            except ValueError as error:
                failure = failure or str(error)
                continue
            answers += 1
            self._refuse_splitting(points, weights)
            worst = max(worst, decode(weights, image, margin(weights) / 4, self.near).mismatch)
        if not answers:
            raise ValueError(f"recover_in_context_map cannot call the map: {failure}")
        return worst if worst > 2.0**-50 else 0.0

    def _refuse_splitting(self, points: np.ndarray, weights: np.ndarray) -> None:
        violation = support_violation(self.subject, self.noise, (points, weights))
        if violation is not None:
            raise ValueError(
                f"{title(self.candidate)} splits atoms, so it has no in-context map "
                f"({violation.sentence})."
            )


class _Tagging:
    """One measure with distinct atoms of positive weight, and its tagged neighbours."""

    def __init__(self, owner: Tagged, points: Any, weights: Any):
        self.owner = owner
        given, shares = np.asarray(points, dtype=float), np.asarray(weights, dtype=float)
        if given.ndim != 2 or shares.shape != given.shape[:1] or not shares.sum() > 0:
            raise ValueError(
                "expected points (n, d) and weights (n,) of positive sum. "
                f"Got shapes {given.shape} and {shares.shape}."
            )
        given, shares = given[shares > 0], shares[shares > 0]
        self.points, place = np.unique(given, axis=0, return_inverse=True)
        self.weights = np.bincount(place.ravel(), shares) / shares.sum()
        self.by_rows = owner.subject.rows and not isinstance(owner.candidate, TokenMap)
        self._masses: np.ndarray | None = None

    def read(self, query: np.ndarray, eps: float) -> tuple[np.ndarray, float]:
        """The image of a tag of about this mass at the query, and the mass that was used.

        A mass that an atom has by chance is told from the tag by taking another one.
        """
        for factor in _FACTORS:
            mass = self._mass(min(eps * factor, 0.25))
            image, index, weights = self._tagged(query, mass)
            if self.by_rows:
                return image[0][index], mass
            found = self._found(image, mass)
            if found is None:
                found = self._decoded(image, index, weights)
            if found is not None:
                return found, mass
        raise ValueError(
            f"the output masses of {title(self.owner.candidate)} do not tell where an atom at "
            f"{np.array2string(query, precision=4, threshold=8)} goes; expected a "
            "support-preserving map."
        )

    def _tagged(self, query: np.ndarray, mass: float) -> tuple[Atoms, int, np.ndarray]:
        same = np.flatnonzero((self.points == query).all(axis=1))
        points, weights = self.points, (1 - mass) * self.weights
        if len(same):
            index = int(same[0])
            weights[index] += mass
        else:
            index = len(points)
            points = np.concatenate([points, query[None]])
            weights = np.append(weights, mass)
        return self.owner.push(points, weights), index, weights

    def _found(self, image: Atoms, mass: float) -> np.ndarray | None:
        """The one place whose mass exceeds that of a place of `(1 - mass) f(mu)` by the tag."""
        heads, totals = self._places(image)
        before = (1 - mass) * np.append(self._before(), 0.0)
        # far below the tag: among many sums of weights some differ by nearly its mass
        rounding = max(64 * self.owner.rounding, 2.0**-50 * (len(before) + 16))
        tolerance = min(mass / 4, rounding)
        unchanged = np.abs(totals[:, None] - before).min(axis=1) <= tolerance
        exceeds = np.abs(totals[:, None] - before - mass).min(axis=1) <= tolerance
        found = np.flatnonzero(exceeds & ~unchanged)
        return heads[found[0]] if len(found) == 1 else None

    def _decoded(self, image: Atoms, index: int, weights: np.ndarray) -> np.ndarray | None:
        """The place read off subset sums, where atoms merged or parted as the tag came."""
        if len(weights) > LARGEST_DECODED or margin(weights) < 2.0**-48:
            return None
        decoded = decode(weights, image, margin(weights) / 4, self.owner.near)
        return None if decoded.images is None else decoded.images[index]

    def _before(self) -> np.ndarray:
        if self._masses is None:
            self._masses = self._places(self.owner.push(self.points, self.weights))[1]
        return self._masses

    def _places(self, image: Atoms) -> tuple[np.ndarray, np.ndarray]:
        points, index = np.unique(image[0], axis=0, return_inverse=True)
        masses = np.bincount(index.ravel(), image[1])  # copies of one token come back as one place
        groups = clusters(points, self.owner.near)
        heads = np.array([points[group].mean(axis=0) for group in groups])
        return heads, np.array([masses[group].sum() for group in groups])

    def _mass(self, eps: float) -> float:
        """A mass of at most eps that the candidate can carry beside this measure."""
        if not self.owner.subject.lists:
            return eps
        try:
            atoms = int(as_counts(self.weights, LARGEST // 2).sum())
        except Unsupported as unsupported:
            raise ValueError(f"{title(self.owner.candidate)}: {unsupported}.") from unsupported
        masses = _masses_beside(atoms)
        return next((mass for mass in masses if mass <= eps), min(masses))


def _masses_beside(atoms: int) -> list[float]:
    """Masses of t more tokens beside r copies of a list, the shortest whole list first.

    Lists have up to 256 tokens, or 512, 1024, ...: others are not asked for.
    """
    short = [1 / (copies * atoms + 1) for copies in range(1, max(2, 255 // atoms + 1))]
    totals = [2**k for k in range(9, 13) if 2**k > atoms]
    return short + [(total % atoms or atoms) / total for total in totals]


def _rows(x: Any, measure: _Tagging) -> np.ndarray:
    rows = np.asarray(x, dtype=float)
    if rows.ndim != 2 or rows.shape[1] != measure.points.shape[1]:
        raise ValueError(
            f"expected queries (m, {measure.points.shape[1]}). Got shape {rows.shape}."
        )
    return rows
