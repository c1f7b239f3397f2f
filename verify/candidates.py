"""Candidate maps between measures: what a user hands to `verify`.

A candidate says how its function is called and where its inputs live. It holds no results and runs
nothing: `Subject` (in `subject.py`) calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..numeric import AbstractDomain


def _check(kind: str, fn: object, domain: object) -> None:
    if not callable(fn):
        raise TypeError(f"{kind}(fn, domain) expects a function first. Got {type(fn).__name__}.")
    if not isinstance(domain, AbstractDomain):
        raise TypeError(
            f"{kind}(fn, domain) expects a domain second, such as Box or Ball. "
            f"Got {type(domain).__name__}."
        )


@dataclass(frozen=True, slots=True)
class InContextMap:
    """An in-context map `y = G(mu, x)`, which moves each token: `f(mu) = G(mu)#mu`.

    Args:
        fn: `fn(points (n, d), weights (n,), x (m, d)) -> (m, d')`, the images of the queries `x`.
        domain: where atoms and queries live.
        name: shown in reports; the name of `fn` by default.

    >>> import pushforward as pf
    >>> pull = pf.InContextMap(lambda p, w, x: x + w @ p / 2, pf.Box([-1.0], [1.0]), name="pull")
    >>> pull.name
    'pull'

    Source: Furuya, de Hoop, Lassas (2025), arXiv 2509.25611.
    """

    fn: Callable[..., Any]
    domain: AbstractDomain
    _: KW_ONLY
    name: str | None = None

    def __post_init__(self) -> None:
        _check("InContextMap", self.fn, self.domain)


@dataclass(frozen=True, slots=True)
class MeasureMap:
    """A map of measures given by atoms and weights in, atoms and weights out.

    Args:
        fn: `fn(points (n, d), weights (n,)) -> (points' (k, d'), weights' (k,))`, in any order and
            with any number of atoms.
        domain: where the input atoms live.
        name: shown in reports; the name of `fn` by default.

    >>> import pushforward as pf
    >>> flip = pf.MeasureMap(lambda p, w: (-p, w), pf.Box([-1.0], [1.0]), name="flip")
    >>> flip.domain.dim
    1
    """

    fn: Callable[..., Any]
    domain: AbstractDomain
    _: KW_ONLY
    name: str | None = None

    def __post_init__(self) -> None:
        _check("MeasureMap", self.fn, self.domain)


@dataclass(frozen=True, slots=True)
class TokenMap:
    """A map of token lists: row `i` of the result is the image of token `i`.

    It is judged as a family over the number of tokens: a list of n tokens is the measure with
    weights 1/n. A weighted token map also receives the weights.

    Args:
        fn: `fn(points (n, d)) -> (n, d')`, or with `weighted=True` `fn(points, weights)`.
        domain: where the tokens live.
        weighted: whether `fn` takes weights.
        name: shown in reports; the name of `fn` by default.

    >>> import pushforward as pf
    >>> pf.TokenMap(lambda p: p - p.mean(0), pf.Ball(2), name="centre").weighted
    False
    """

    fn: Callable[..., Any]
    domain: AbstractDomain
    _: KW_ONLY
    weighted: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        _check("TokenMap", self.fn, self.domain)


@dataclass(frozen=True, slots=True)
class Flow:
    """A candidate solution map of the Vlasov equation `d_t mu + div(V(mu) mu) = 0`.

    Args:
        fn: `fn(points (n, d), weights (n,), time, steps) -> points (n, d)` at `time`; weights are
            carried unchanged. A function that ignores `steps` is judged at its own accuracy.
        domain: where the initial atoms live.
        field: the velocity field, a bound symbolic `VelocityField` or
            `field(points, weights, x (m, d)) -> (m, d)`.
        time: the horizon; `fn` is called with 0 < time <= this.
        claimed_order: the order in the step size that the scheme should have, or None.
        name: shown in reports; the name of `fn` by default.

    >>> import pushforward as pf
    >>> def pull(points, weights, x):
    ...     return weights @ points - x
    >>> def euler(points, weights, time, steps):
    ...     for _ in range(steps):
    ...         points = points + time / steps * pull(points, weights, points)
    ...     return points
    >>> pf.Flow(euler, pf.Box([-1.0], [1.0]), pull, claimed_order=1).time
    1.0
    """

    fn: Callable[..., Any]
    domain: AbstractDomain
    field: Callable[..., Any]
    _: KW_ONLY
    time: float = 1.0
    claimed_order: float | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _check("Flow", self.fn, self.domain)
        if not callable(self.field):
            raise TypeError(
                "Flow(fn, domain, field) expects a velocity field third, a bound VelocityField or "
                f"fn(points, weights, x). Got {type(self.field).__name__}."
            )
        if not (isinstance(self.time, (int, float)) and 0 < self.time < float("inf")):
            raise ValueError(f"Flow(time=...) expects a positive number. Got {self.time!r}.")
        order = self.claimed_order
        if order is not None and not (isinstance(order, (int, float)) and order > 0):
            raise ValueError(f"Flow(claimed_order=...) expects a positive order. Got {order!r}.")


@dataclass(frozen=True, slots=True)
class Symbolic:
    """A bound symbolic in-context map on a domain: it can be proved, not only tested.

    `verify(G.bind(...), domain=D)` makes one; make it yourself to give a file a target that the
    command line can verify.

    Args:
        bound: what `SymbolicMap.bind` returned.
        domain: where atoms and queries live.
        name: shown in reports.

    >>> import pushforward as pf
    >>> from pushforward.symbolic import Measure, Point, SymbolicMap, integral
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> pf.Symbolic(SymbolicMap(x + integral(y, y, mu), x, mu).bind(), pf.Ball(2)).domain.dim
    2
    """

    bound: Any
    domain: AbstractDomain
    _: KW_ONLY
    name: str | None = None

    def __post_init__(self) -> None:
        if not (callable(self.bound) and hasattr(self.bound, "parameters")):
            raise TypeError(
                "Symbolic(bound, domain) expects what SymbolicMap.bind(...) returns. "
                f"Got {type(self.bound).__name__}."
            )
        _check("Symbolic", self.bound, self.domain)

    @property
    def fn(self) -> Callable[..., Any]:
        return self.bound


Candidate = InContextMap | MeasureMap | TokenMap | Flow | Symbolic
KINDS = (InContextMap, MeasureMap, TokenMap, Flow, Symbolic)


def title(candidate: Candidate) -> str:
    """The name of a candidate in reports."""
    own = candidate.name or getattr(candidate.fn, "__name__", None)
    unnamed = candidate if isinstance(candidate, Symbolic) else candidate.fn
    return own or type(unnamed).__name__


def on_domain(candidate: object, domain: AbstractDomain | None) -> Candidate:
    """The candidate on `domain`, or on its own; a bound symbolic map becomes `Symbolic`."""
    if isinstance(candidate, KINDS):
        if domain is None or domain == candidate.domain:
            return candidate
        import dataclasses

        return dataclasses.replace(candidate, domain=domain)
    if hasattr(candidate, "bind"):
        raise TypeError(
            "verify() expects a bound map: bind the parameters first, as in "
            "verify(G.bind(A=a, V=v), domain=Ball(2))."
        )
    torch = is_torch_module(candidate)  # it has parameters, and methods of that name, of its own
    if callable(candidate) and hasattr(candidate, "parameters") and not torch:
        if domain is None:
            raise ValueError("a bound symbolic map needs a domain: verify(bound, domain=Ball(2)).")
        return Symbolic(candidate, domain)
    wrap = "wrap a plain function, as in InContextMap(fn, domain)"
    if torch:
        wrap = "wrap it, as in torch_module(module, domain)"
    raise TypeError(
        "verify() expects an InContextMap, MeasureMap, TokenMap, Flow or a bound symbolic map. "
        f"Got {type(candidate).__name__}; {wrap}."
    )


def is_torch_module(value: object) -> bool:
    """Whether a value is a `torch.nn.Module`, without importing torch."""
    return any(kind.__module__ == "torch.nn.modules.module" for kind in type(value).__mro__)
