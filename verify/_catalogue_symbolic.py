"""The numbers that make the formulas of the catalogue equal to their plain twins."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..symbolic.formulas import formula
from ._catalogue_attention import SCORE, SECOND_SCORE, SECOND_VALUE, VALUE
from ._catalogue_flows import TURN

_HEAD = {"A": SCORE, "V": VALUE}
_TWO_HEADS = _HEAD | {"B": SECOND_SCORE, "W": SECOND_VALUE}
PARAMETERS = {
    "softmax-attention": _HEAD,
    "multi-head-attention": _TWO_HEADS,
    "transformer-block": _TWO_HEADS
    | {
        "U": np.array([[1.0, 0.5], [-1.0, 1.0], [0.5, -1.0]]),
        "b": np.full(3, 0.1),
        "O": np.array([[0.3, 0.1, -0.3], [-0.2, 0.4, 0.2]]),
    },
    "linear-attention": _HEAD,
    "sigmoid-attention": _HEAD,
    "l2-attention": {"V": VALUE},
    "unnormalised-attention": _HEAD,
    "sink-token-attention": _HEAD | {"v": np.array([0.2, -0.4])},
    "layer-norm": {"C": np.eye(3) - 1 / 3, "u": np.ones(3)},
    "vlasov-step": {"A": SCORE, "V": TURN},
}


def bound(name: str) -> Any:
    """The formula with its numbers."""
    return formula(name).bind(**PARAMETERS.get(name, {}))
