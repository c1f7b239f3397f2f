"""From a formula to its numeric form: the one place that reaches into the numeric part."""

from collections.abc import Mapping
from typing import Any


def bind(formula: Any, values: Mapping[str, Any]) -> Any:
    """The formula with numbers for exactly its parameters.

    Args:
        formula: a `SymbolicMap`, a `VelocityField` or a `DerivedTerm`.
        values: an array or a number for the name of each parameter.

    Returns:
        What evaluates the formula on discrete measures.

    Raises:
        ValueError: a parameter has no value, or a name is no parameter.
    """
    names = [atom.name for atom in formula.parameters]
    known = ", ".join(names) or "none"
    for name in values:
        if name not in names:
            raise ValueError(f"{name} is no parameter of this {formula.kind}; it has: {known}")
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(
            f"bind needs a value for {', '.join(missing)}; the parameters are: {known}"
        )
    from ..numeric import (
        bind_term,  # the arrow back: symbolic imports SymPy alone until numbers come
    )

    return bind_term(formula, dict(values))


def bound_tokens(jacobian: Any, lions: Any) -> Any:
    """The Jacobian of n tokens from its two bound parts."""
    from ..numeric import BoundTokenJacobian

    return BoundTokenJacobian(jacobian, lions)
