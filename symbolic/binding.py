"""From a formula to its numeric form: the one place that reaches into the numeric part."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from .terms import Scalar


def bind(formula: Any, values: Mapping[str, Any]) -> Any:
    """The formula with numbers for exactly its parameters.

    Args:
        formula: a `SymbolicMap`, a `VelocityField` or a `DerivedTerm`.
        values: an array or a number for the name of each parameter.

    Returns:
        What evaluates the formula on discrete measures.

    Raises:
        ValueError: a parameter has no value, a name is no parameter, or a value is not of the sign
            that its scalar declares.
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
    for atom in formula.parameters:
        _check_declared(atom, values[atom.name])
    from ..numeric import (
        bind_term,  # the arrow back: symbolic imports SymPy alone until numbers come
    )

    return bind_term(formula, dict(values))


DECLARED = {
    "positive": lambda v: v > 0,
    "nonnegative": lambda v: v >= 0,
    "negative": lambda v: v < 0,
    "nonpositive": lambda v: v <= 0,
    "integer": lambda v: v == int(v),
}


def _check_declared(atom: Any, value: Any) -> None:
    """Terms were simplified by what a scalar declares, so a value against it would be another map.

    A value that is no single number is left to the numeric part, which says what it expects.
    """
    if not isinstance(atom, Scalar):
        return
    try:
        number = float(value)
    except (TypeError, ValueError):
        return
    for name, holds in DECLARED.items():
        if getattr(atom, f"is_{name}") and isfinite(number) and not holds(number):
            raise ValueError(f"{atom.name} is declared {name}, got {number}; bind another value")


def bound_tokens(jacobian: Any, lions: Any) -> Any:
    """The Jacobian of n tokens from its two bound parts."""
    from ..numeric import BoundTokenJacobian

    return BoundTokenJacobian(jacobian, lions)
