"""The scalar functions of the program language, in each array library."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import array_api_compat
import scipy.special

_STANDARD = {
    # ours: the name in the array API standard
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "max": "maximum",
    "min": "minimum",
    "pow": "pow",
    "exp": "exp",
    "log": "log",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "asin",
    "acos": "acos",
    "atan": "atan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asinh": "asinh",
    "acosh": "acosh",
    "atanh": "atanh",
    "atan2": "atan2",
    "abs": "abs",
    "sign": "sign",
    "floor": "floor",
    "ceiling": "ceil",
    "less": "less",
    "less_equal": "less_equal",
    "equal": "equal",
    "and": "logical_and",
    "or": "logical_or",
    "not": "logical_not",
}
_SPECIAL = {
    # ours: the names in scipy.special and its like, and in torch.special
    "erf": ("erf", "erf"),
    "erfc": ("erfc", "erfc"),
    "loggamma": ("gammaln", "gammaln"),
    "digamma": ("digamma", "digamma"),
    "sigmoid": ("expit", "expit"),
}


@lru_cache(maxsize=16)
def array_functions(xp: Any) -> dict[str, Callable[..., Any]]:
    """Functions of arrays by the names of the program language.

    Args:
        xp: an array namespace.

    >>> import numpy as np
    >>> from .arrays import namespace
    >>> float(array_functions(namespace(np.ones(1)))["softplus"](np.array(800.0)))
    800.0
    """
    functions = {ours: getattr(xp, standard) for ours, standard in _STANDARD.items()}
    functions |= _special_functions(xp)
    functions["softplus"] = lambda u: xp.maximum(u, xp.zeros_like(u)) + xp.log1p(xp.exp(-xp.abs(u)))
    functions["heaviside"] = lambda u: (xp.sign(u) + 1) / 2
    return functions


def _special_functions(xp: Any) -> dict[str, Callable[..., Any]]:
    """The functions outside the standard, by the array library, which is imported already."""
    special, place = _special_module(xp)
    if special is None:
        return {**{name: _without(name, xp) for name in (*_SPECIAL, "gamma")},
                "sigmoid": lambda u: _sigmoid(xp, u)}  # fmt: skip
    found = {ours: getattr(special, names[place]) for ours, names in _SPECIAL.items()}

    def gamma(u):
        # Negative between -1 and 0, -3 and -2, ...: where floor(u) is odd.
        negative = (u < 0) & (xp.remainder(xp.floor(u), xp.full_like(u, 2.0)) == 1)
        size = xp.exp(found["loggamma"](u))
        return xp.where(negative, -size, size)

    return found | {"gamma": getattr(special, "gamma", gamma)}


def _special_module(xp: Any) -> tuple[Any, int]:
    if array_api_compat.is_torch_namespace(xp):
        return import_module("torch.special"), 1
    if array_api_compat.is_cupy_namespace(xp):
        return import_module("cupyx.scipy.special"), 0
    if array_api_compat.is_jax_namespace(xp):
        return import_module("jax.scipy.special"), 0
    return (scipy.special if array_api_compat.is_numpy_namespace(xp) else None), 0


def _sigmoid(xp: Any, u: Any) -> Any:
    small = xp.exp(-xp.abs(u))
    return xp.where(u >= 0, 1 / (1 + small), small / (1 + small))


def _without(name: str, xp: Any) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise ValueError(
            f"the array library {xp.__name__} has no {name}; "
            "pass arrays of NumPy, CuPy, torch or JAX"
        )

    return refuse
