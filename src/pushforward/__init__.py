"""Verify maps between probability measures.

A transformer is a map between measures: tokens with weights are a discrete measure `mu`, an
in-context map `G(mu, x)` moves each token, and `f(mu) = G(mu)#mu`. `pushforward` derives such maps
(`derive`), looks for measures on which they break the conditions of representability (`verify`),
and evaluates them on ensembles.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pushforward.numeric import (
        Ball as Ball,
        Box as Box,
        DiscreteMeasure as DiscreteMeasure,
        FiniteSet as FiniteSet,
        Product as Product,
        Simplex as Simplex,
        Sphere as Sphere,
        wasserstein as wasserstein,
    )
    from pushforward.symbolic import derive as derive
    from pushforward.verify import (
        Counterexample as Counterexample,
        Finding as Finding,
        Flow as Flow,
        InContextMap as InContextMap,
        MeasureMap as MeasureMap,
        Report as Report,
        Symbolic as Symbolic,
        TokenMap as TokenMap,
        array_function as array_function,
        campaign as campaign,
        exact_solutions as exact_solutions,
        jax_function as jax_function,
        recover_in_context_map as recover_in_context_map,
        sklearn_transformer as sklearn_transformer,
        torch_module as torch_module,
        verify as verify,
    )

_HOME = {
    "Ball": "numeric",
    "Box": "numeric",
    "DiscreteMeasure": "numeric",
    "FiniteSet": "numeric",
    "Product": "numeric",
    "Simplex": "numeric",
    "Sphere": "numeric",
    "wasserstein": "numeric",
    "derive": "symbolic",
    "Counterexample": "verify",
    "Finding": "verify",
    "Flow": "verify",
    "InContextMap": "verify",
    "MeasureMap": "verify",
    "Report": "verify",
    "Symbolic": "verify",
    "TokenMap": "verify",
    "array_function": "verify",
    "campaign": "verify",
    "jax_function": "verify",
    "recover_in_context_map": "verify",
    "sklearn_transformer": "verify",
    "torch_module": "verify",
}
_MODULES = {"exact_solutions": "verify.exact_solutions"}
_PARTS = ("symbolic", "numeric", "verify", "proofs_checks")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pushforward")
    if name in _HOME:
        return getattr(import_module(f"pushforward.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"pushforward.{_MODULES[name]}")
    if name in _PARTS:
        return import_module(f"pushforward.{name}")
    raise AttributeError(f"module 'pushforward' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_HOME, *_MODULES, *_PARTS, "__version__"])
