"""Named maps between measures with their expected verdicts: what the checkers are measured on.

Each row is a candidate whose verdicts are known by a proof on the project's page of mathematics
(docs/mathematics.md, "Catalogue"); rows that share a number are variants of one entry of its table,
rows without a number stand near the line between continuous and not.

>>> CATALOGUE["hardmax-attention"].expected["continuous"]
'refuted'
>>> CATALOGUE["softmax-attention"].build().domain.dim
2
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from ..numeric import Ball, Box, FiniteSet, Product
from . import (
    _catalogue_attention as attention,
    _catalogue_flows as flows,
    _catalogue_measures as measures,
)
from .candidates import Flow, InContextMap, MeasureMap, Symbolic, TokenMap

PAGE = "docs/mathematics.md"
FURUYA = "Furuya, de Hoop & Lassas (2025), arXiv 2509.25611"


@dataclass(frozen=True, slots=True)
class Row:
    """One named candidate and what a correct checker says about it.

    `number` is the row of the table in docs/mathematics.md, None for the maps near the line;
    `expected` maps conditions to `"pass"`, `"refuted"` or `"not-applicable"`.
    """

    name: str
    number: int | None
    build: Callable[[], Any]
    expected: Mapping[str, str]
    reason: str
    source: str


def _expected(well_defined: str, continuous: str, b1: str, b2: str, **vlasov: str):
    verdicts = {"well-defined": well_defined, "continuous": continuous, "B1": b1, "B2": b2}
    return MappingProxyType({**verdicts, **vlasov})


REPRESENTABLE = _expected("pass", "pass", "pass", "pass")
DISCONTINUOUS = _expected("pass", "refuted", "pass", "refuted")
OFF_SUPPORT = _expected("pass", "pass", "pass", "refuted")  # f continuous, no G is
SPLITTING = _expected("pass", "pass", "refuted", "not-applicable")
NO_MAP_OF_MEASURES = _expected("refuted", *["not-applicable"] * 3)
SOLVES = _expected("pass", "pass", "pass", "pass", vlasov="pass")
SOLVES_NOT = _expected("pass", "pass", "pass", "pass", vlasov="refuted")
NO_FLOW_OF_MEASURES = _expected("refuted", *["not-applicable"] * 3, vlasov="not-applicable")

LINE = Box([-1.0], [1.0])
SQUARE = Box([-1.0, -1.0], [1.0, 1.0])
DISC = Ball(2)


def _row(name, number, expected, kind, function, domain, reason, source=PAGE, **options):
    build = partial(kind, function, domain, name=name, **options)
    return Row(name, number, build, expected, reason, source)


def _formula(twin):
    """The row of a map that is in the catalogue as a function, as a bound formula."""

    def build():
        from ._catalogue_symbolic import bound  # imports SymPy

        return Symbolic(bound(twin.name), twin.build().domain, name=name)

    name = f"{twin.name}-symbolic"
    return Row(name, twin.number, build, twin.expected, "the same map as a formula", twin.source)


def _flow(name, expected, function, claimed_order, reason):
    return _row(
        name, 39, expected, Flow, function, DISC, reason,
        field=flows.attention_field, claimed_order=claimed_order,
    )  # fmt: skip


# fmt: off
_REPRESENTABLE = (
    _row("identity", 1, REPRESENTABLE, InContextMap, measures.identity, SQUARE,
         "no context: G(mu, x) = x"),
    _row("translation", 1, REPRESENTABLE, InContextMap, measures.translation, SQUARE,
         "no context: G(mu, x) = x + c"),
    _row("continuous-pushforward", 1, REPRESENTABLE, InContextMap, measures.curl, SQUARE,
         "no context: G(mu, x) = g(x) with g continuous"),
    _row("constant", 2, REPRESENTABLE, InContextMap, measures.constant, SQUARE,
         "G is constant; merging all atoms is allowed"),
    _row("mean-pooling", 3, REPRESENTABLE, MeasureMap, attention.mean_pooling, SQUARE,
         "G(mu, x) = int y dmu, linear in mu"),
    _row("centring", 4, REPRESENTABLE, InContextMap, measures.centring, SQUARE,
         "G(mu, x) = x - int y dmu, continuous in both"),
    _row("softmax-attention", 5, REPRESENTABLE, InContextMap, attention.softmax_attention, DISC,
         "the partition function is at least e^{-|A|}", FURUYA),
    _row("multi-head-attention", 5, REPRESENTABLE, InContextMap, attention.multi_head_attention,
         DISC, "a sum of heads and the identity, each continuous", FURUYA),
    _row("transformer-block", 5, REPRESENTABLE, InContextMap, attention.transformer_block, DISC,
         "a perceptron after attention: composition of continuous maps", FURUYA),
    _row("deep-transformer", 5, REPRESENTABLE, InContextMap, attention.deep_transformer, DISC,
         "in-context maps are closed under composition", FURUYA),
    _row("linear-attention", 6, REPRESENTABLE, InContextMap, attention.linear_attention, DISC,
         "an integral of a continuous kernel"),
    _row("sigmoid-attention", 6, REPRESENTABLE, InContextMap, attention.sigmoid_attention, DISC,
         "an integral of a continuous kernel"),
    _row("l2-attention", 6, REPRESENTABLE, InContextMap, attention.l2_attention, DISC,
         "a ratio of integrals, the denominator at least e^{-4}"),
    _row("unnormalised-attention", 6, REPRESENTABLE, InContextMap,
         attention.unnormalised_attention, DISC, "an integral of a continuous kernel"),
    _row("sink-token-attention", 7, REPRESENTABLE, InContextMap, attention.sink_attention, DISC,
         "the sink keeps the denominator away from 0"),
    _row("layer-norm", 10, REPRESENTABLE, InContextMap, attention.layer_norm,
         Box([-1.0] * 3, [1.0] * 3), "no context, continuous because eps > 0"),
    _row("rms-norm", 10, REPRESENTABLE, InContextMap, attention.rms_norm, SQUARE,
         "no context, continuous because eps > 0"),
    _row("unit-vector-away-from-zero", 11, REPRESENTABLE, InContextMap, attention.unit_vector,
         Box([0.25, -1.0], [1.0, 1.0]), "x / |x| is continuous where 0 is outside the domain"),
    _row("token-normalisation", 12, REPRESENTABLE, InContextMap, attention.token_normalisation,
         SQUARE, "the variance over the tokens is kept above eps > 0"),
    _row("motsch-tadmor", 20, REPRESENTABLE, InContextMap, attention.motsch_tadmor_step,
         Product(SQUARE, DISC), "the total influence int psi dmu is at least min psi > 0",
         "Motsch & Tadmor (2011), J. Stat. Phys. 144"),
    _row("positions-in-tokens", 32, REPRESENTABLE, InContextMap, measures.positions_in_tokens,
         Box([0.0, -1.0, -1.0], [1.0, 1.0, 1.0]),
         "the position is a coordinate of the token, so the measure knows it"),
    _row("transformer-flow", 39, REPRESENTABLE, InContextMap, flows.transformer_flow, DISC,
         "the flow map at time 1 is Lipschitz in the measure and in the point"),
    _row("vlasov-step", 39, REPRESENTABLE, InContextMap, flows.vlasov_step, DISC,
         "one Euler step of the attention flow: a residual layer"),
    _row("liouville", 45, REPRESENTABLE, InContextMap, measures.liouville,
         Product(SQUARE, SQUARE, SQUARE), "a push-forward without context on Omega^3"),
    _row("statistical-vlasov", 45, REPRESENTABLE, InContextMap, measures.statistical_vlasov,
         Product(DISC, DISC, DISC, DISC),
         "a push-forward without context on measures, here points of Omega^4"),
)

_DISCONTINUOUS = (
    _row("unit-vector", 11, DISCONTINUOUS, InContextMap, attention.unit_vector, SQUARE,
         "x / |x| jumps at 0"),
    _row("layer-norm-without-epsilon", 11, DISCONTINUOUS, InContextMap, attention.bare_layer_norm,
         Box([-1.0] * 3, [1.0] * 3), "it jumps at tokens of equal entries"),
    _row("hardmax-attention", 14, DISCONTINUOUS, InContextMap, attention.hardmax_attention, SQUARE,
         "an atom of vanishing mass takes all of the attention"),
    _row("max-pooling", 16, DISCONTINUOUS, MeasureMap, attention.max_pooling, SQUARE,
         "the maximum of the support ignores the weights"),
    _row("hegselmann-krause", 19, DISCONTINUOUS, InContextMap, attention.bounded_confidence,
         SQUARE, "an opinion that crosses the radius counts at once",
         "Hegselmann & Krause (2002), JASSS 5(3)"),
    _row("e-tri", 41, OFF_SUPPORT, InContextMap, measures.e_tri, Box([-3.0], [3.0]),
         "f is continuous, but G oscillates faster and faster towards Lebesgue measure on [0, 1]"),
    _row("e-log", 42, OFF_SUPPORT, InContextMap, measures.e_log, LINE,
         "f is Lipschitz, but G(mu, 1) oscillates like sin(log eps) towards the Dirac at 0"),
    _row("e-swap", 43, OFF_SUPPORT, MeasureMap, measures.e_swap, FiniteSet([[0.0], [1.0]]),
         "f is Lipschitz, but the two atoms swap their images at equal weights"),
)

_SPLITTING = (
    _row("bayes-reweighting", 22, SPLITTING, MeasureMap, measures.bayes_reweighting, SQUARE,
         "the weights of the atoms change"),
    _row("gaussian-kernel", 23, SPLITTING, MeasureMap, measures.gaussian_kernel, LINE,
         "a Dirac is split over the nodes of a normal law"),
    _row("random-walk-kernel", 23, SPLITTING, MeasureMap, measures.random_walk, SQUARE,
         "a Dirac is split into four"),
    _row("half-translated", 24, SPLITTING, MeasureMap, measures.half_translated, SQUARE,
         "half of every atom stays, half moves"),
    _row("average-of-maps", 24, SPLITTING, MeasureMap, measures.average_of_maps, SQUARE,
         "an average of two maps of measures splits where they differ"),
    _row("constant-measure", 25, SPLITTING, MeasureMap, measures.constant_measure, LINE,
         "a Dirac goes to three atoms"),
    _row("transport-to-target", 25, SPLITTING, MeasureMap, measures.transport_to_target, LINE,
         "the optimal plan from a Dirac to three atoms is no map"),
    _row("mccann-midpoint", 25, SPLITTING, MeasureMap, measures.mccann_midpoint, LINE,
         "the midpoint between a Dirac and three atoms has three atoms",
         "McCann (1997), Adv. Math. 128"),
    _row("bbgky-marginal", 44, SPLITTING, MeasureMap, measures.bbgky_marginal, SQUARE,
         "where a particle goes depends on the partner drawn: each atom is split"),
)

_NO_MAPS_OF_MEASURES = (
    _row("doubling", 27, NO_MAP_OF_MEASURES, MeasureMap, measures.doubling, SQUARE,
         "the mass doubles"),
    _row("restriction", 27, NO_MAP_OF_MEASURES, MeasureMap, measures.restriction, SQUARE,
         "the mass outside of the half plane is lost"),
    _row("list-positions", 32, NO_MAP_OF_MEASURES, TokenMap, measures.list_positions, SQUARE,
         "the image of a token depends on its place in the list"),
    _row("rotary-positions", 32, NO_MAP_OF_MEASURES, TokenMap, measures.rotary_attention, SQUARE,
         "scores depend on places in the list", "Su et al. (2021), arXiv 2104.09864"),
    _row("log-n-temperature", 33, NO_MAP_OF_MEASURES, TokenMap, measures.log_n_temperature, SQUARE,
         "replicating the list changes the temperature"),
    _row("self-exclusion", 33, NO_MAP_OF_MEASURES, TokenMap, measures.self_exclusion, SQUARE,
         "a token replicated sees its copy"),
    _row("causal-mask", 34, NO_MAP_OF_MEASURES, TokenMap, measures.causal_mask, SQUARE,
         "a token sees those before it in the list"),
    _row("dropout", 46, NO_MAP_OF_MEASURES, InContextMap, measures.dropout,
         Box([-1.0] * 4, [1.0] * 4), "every call draws another mask"),
    _row("token-sampling", 46, NO_MAP_OF_MEASURES, MeasureMap, measures.token_sampling, SQUARE,
         "every call draws other tokens"),
)

_FLOWS = (
    _flow("attention-flow", SOLVES, flows.runge_kutta_flow, 4,
          "classical Runge-Kutta steps of the particle system"),
    _flow("euler-flow", SOLVES, flows.euler_flow, 1, "Euler steps: a residual network"),
    _flow("euler-flow-claiming-four", SOLVES_NOT, flows.euler_flow, 4,
          "Euler steps are of order 1, not 4"),
    _flow("frozen-attention-flow", SOLVES_NOT, flows.frozen_attention_flow, 4,
          "the attention matrix is frozen within the step: order 1, not 4"),
    _flow("uncoupled-flow", SOLVES_NOT, flows.uncoupled_flow, None,
          "the tokens move in the field of the first measure, not of the present one"),
    _flow("staggered-flow", NO_FLOW_OF_MEASURES, flows.staggered_flow, None,
          "tokens at even places of the list move first"),
)

_NEAR_THE_LINE = (
    _row("sign-of-mean", None, DISCONTINUOUS, InContextMap, measures.sign_of_mean, LINE,
         "the sign jumps where the mean is 0"),
    _row("steep-sign-of-mean", None, REPRESENTABLE, InContextMap, measures.steep_sign_of_mean,
         LINE, "tanh(200 m) is steep and continuous"),
    _row("root-of-mean", None, REPRESENTABLE, InContextMap, measures.root_of_mean, LINE,
         "sqrt(|m|) has unbounded slope and is continuous"),
    _row("log-of-mean", None, REPRESENTABLE, InContextMap, measures.log_of_mean,
         Box([-0.5], [0.5]), "1 / log(1 / |m|) tends to 0, slower than every power"),
    _row("cold-attention", None, REPRESENTABLE, InContextMap, attention.cold_attention, DISC,
         "softmax at inverse temperature 50 is continuous at the scale e^{-100}"),
    _row("smooth-hegselmann-krause", None, REPRESENTABLE, InContextMap,
         attention.smooth_bounded_confidence, SQUARE,
         "a steep influence that vanishes nowhere"),
    _row("compact-kernel-attention", None, OFF_SUPPORT, InContextMap,
         attention.compact_kernel_attention, LINE,
         "f is continuous, but a token of no mass that sees nobody stays, one that sees an atom "
         "from the edge of the kernel goes there"),
    _row("e-tri-floored", None, REPRESENTABLE, InContextMap, measures.floored_e_tri,
         Box([-3.0], [3.0]), "E-tri with its scale kept above 0.02"),
    _row("e-log-floored", None, REPRESENTABLE, InContextMap, measures.floored_e_log, LINE,
         "E-log with its scale kept above 0.01"),
    _row("fine-rms-norm", None, REPRESENTABLE, InContextMap, attention.fine_rms_norm, SQUARE,
         "eps = 1e-6 makes it steep, not discontinuous"),
    _row("median", None, DISCONTINUOUS, MeasureMap, measures.weighted_median, LINE,
         "the median jumps when half of the mass is passed"),
)
_PLAIN = {
    row.name: row
    for row in (
        *_REPRESENTABLE, *_DISCONTINUOUS, *_SPLITTING, *_NO_MAPS_OF_MEASURES, *_FLOWS,
        *_NEAR_THE_LINE,
    )
}
# fmt: on

FORMULAS = (  # rows that are formulas too
    "identity",
    "centring",
    "mean-pooling",
    "softmax-attention",
    "multi-head-attention",
    "transformer-block",
    "linear-attention",
    "sigmoid-attention",
    "l2-attention",
    "unnormalised-attention",
    "sink-token-attention",
    "layer-norm",
    "rms-norm",
    "token-normalisation",
    "motsch-tadmor",
    "vlasov-step",
    "e-log",
    "steep-sign-of-mean",
    "root-of-mean",
    "cold-attention",
    "e-log-floored",
)
_SYMBOLIC = {row.name: row for row in (_formula(_PLAIN[name]) for name in FORMULAS)}
CATALOGUE: Mapping[str, Row] = MappingProxyType(_PLAIN | _SYMBOLIC)
