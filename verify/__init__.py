if "." not in __name__:
    raise ImportError(
        "import pushforward.verify, not verify: install the package first (pip install .)"
    )

import inspect as _inspect
import sys as _sys
from types import ModuleType as _ModuleType

from . import strategies as strategies
from .adapters import (
    array_function as array_function,
    jax_function as jax_function,
    sklearn_transformer as sklearn_transformer,
    torch_module as torch_module,
)
from .campaign import Campaign as Campaign, campaign as campaign
from .candidates import (
    Flow as Flow,
    InContextMap as InContextMap,
    MeasureMap as MeasureMap,
    Symbolic as Symbolic,
    TokenMap as TokenMap,
)
from .findings import Counterexample as Counterexample, Finding as Finding, Report as Report
from .recover import (
    RecoveredMap as RecoveredMap,
    recover_in_context_map as recover_in_context_map,
)
from .verify import verify as verify


class _Callable(_ModuleType):
    """This part, which is called like its function: `pushforward.verify(candidate)`.

    The function and the part have one name, and importing a part sets it on the package, over
    whatever the package says; so the part itself takes the call.
    """

    def __call__(self, *arguments, **options):
        return verify(*arguments, **options)


_sys.modules[__name__].__class__ = _Callable
_sys.modules[__name__].__signature__ = _inspect.signature(verify)  # type: ignore[attr-defined]
_sys.modules[__name__].__doc__ = verify.__doc__
