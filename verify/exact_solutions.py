"""Exact solutions of Vlasov equations, to test any solver against.

Each function returns an `ExactSolution`: a bound field, an initial measure, and what is known of
the measure at time t, the positions or a statistic. `SOLUTIONS` lists them by name.

>>> from pushforward.verify import exact_solutions
>>> ring = exact_solutions.SOLUTIONS["vortex-ring"]()
>>> errors = [ring.error(ring.flow(method="rk4", steps=k), ring.time) for k in (20, 40)]
>>> round(errors[0] / errors[1])  # 2^4
16

Derivations are in docs/flows.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from ._exact import ExactSolution as ExactSolution
from ._exact_attention import (
    linear_attention as linear_attention,
    linear_attention_moment as linear_attention_moment,
    mean_attention_on_sphere as mean_attention_on_sphere,
    mean_shift as mean_shift,
    orthogonal_tokens as orthogonal_tokens,
    softmax_gaussian as softmax_gaussian,
    softmax_gaussian_line as softmax_gaussian_line,
)
from ._exact_swarms import (
    aggregation_pair as aggregation_pair,
    consensus as consensus,
    cucker_smale_line as cucker_smale_line,
    cucker_smale_linear as cucker_smale_linear,
    cucker_smale_pair as cucker_smale_pair,
    driven_consensus as driven_consensus,
    kuramoto_pair as kuramoto_pair,
    kuramoto_poisson as kuramoto_poisson,
    motsch_tadmor_pair as motsch_tadmor_pair,
    vortex_ring as vortex_ring,
)

SOLUTIONS: Mapping[str, Callable[[], ExactSolution]] = MappingProxyType(
    {
        "softmax-gaussian": softmax_gaussian,
        "softmax-gaussian-line": softmax_gaussian_line,
        "linear-attention": linear_attention,
        "linear-attention-moment": linear_attention_moment,
        "mean-shift": mean_shift,
        "mean-attention-on-sphere": mean_attention_on_sphere,
        "orthogonal-tokens": orthogonal_tokens,
        "consensus": consensus,
        "driven-consensus": driven_consensus,
        "kuramoto-pair": kuramoto_pair,
        "kuramoto-poisson": kuramoto_poisson,
        "cucker-smale-linear": cucker_smale_linear,
        "cucker-smale-pair": cucker_smale_pair,
        "cucker-smale-line-0.5": partial(cucker_smale_line, 0.5),
        "cucker-smale-line-1": cucker_smale_line,
        "cucker-smale-line-1.5": partial(cucker_smale_line, 1.5),
        "motsch-tadmor-pair": motsch_tadmor_pair,
        "aggregation-pair": aggregation_pair,
        "vortex-ring": vortex_ring,
    }
)
"""All of them at their default values, by name."""
