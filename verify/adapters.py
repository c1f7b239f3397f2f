"""Functions of other libraries as candidates: torch, JAX, CuPy, scikit-learn.

A candidate is called on NumPy arrays in double precision; an adapter carries them to the library,
the type and the device that the function lives in, and brings nothing back but its answer, so that
`verify` sees in which precision the function computes.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import chain
from types import ModuleType
from typing import Any

import numpy as np

from ..numeric import AbstractDomain
from .candidates import TokenMap


def torch_module(
    module: Any,
    domain: AbstractDomain,
    *,
    batch_first: bool | None = True,
    weighted: bool = False,
    name: str | None = None,
) -> TokenMap:
    """A torch module or function of a batch of token lists, as a candidate.

    It is called on one batch, a tensor (1, n, d) of the type and on the device of its parameters,
    without gradients, and in the mode in which you left it: `module.eval()` before, unless dropout
    and batch statistics are meant. Buffers that it updates (running statistics) are updated.

    Args:
        module: a `torch.nn.Module`, or a function of one tensor. Its output is a tensor
            (1, n, d') or a tuple, a list or a record that begins with one. An output of one row
            whatever n, as of a pooling, is the image of every token. `nn.MultiheadAttention` is
            called as self-attention.
        domain: where the tokens live.
        batch_first: whether the tensor is (1, n, d) or (n, 1, d); a layer of `torch.nn` that says
            so itself (`batch_first=`) is called as it says. None: no batch axis, (n, d).
        weighted: whether it takes the weights, (1, n) or (n,), as a second tensor.
        name: shown in reports; the name of the class or function by default.

    Returns:
        A `TokenMap`. What it returns keeps the type of the module, float32 or lower.

    Raises:
        TypeError: `module` cannot be called.
        ImportError: torch is not installed.

    >>> import numpy as np
    >>> import pushforward as pf
    >>> from importlib.util import find_spec
    >>> if find_spec("torch"):
    ...     import torch
    ...     layer = torch.nn.Linear(2, 3)
    ...     out = pf.torch_module(layer, pf.Ball(2)).fn(np.zeros((5, 2)))
    ...     assert out.shape == (5, 3) and out.dtype == torch.float32
    """
    _callable(module, "torch_module(module, domain)")
    _library("torch")
    called = TorchTokens(module, _stated_layout(module, batch_first))
    return TokenMap(called, domain, weighted=weighted, name=name or _name(module))


def array_function(
    fn: Callable[..., Any],
    domain: AbstractDomain,
    library: str | ModuleType,
    *,
    dtype: str | None = None,
    weighted: bool = False,
    name: str | None = None,
) -> TokenMap:
    """A function of the arrays of another library, such as CuPy, as a candidate.

    Args:
        fn: `fn(tokens (n, d)) -> (n, d')`, or with `weighted=True` `fn(tokens, weights)`.
        domain: where the tokens live.
        library: the array namespace, such as `cupy` or `"jax.numpy"`.
        dtype: the floating type of the tokens, as in `"float32"`; by default what the library makes
            of float64.
        weighted: whether `fn` takes the weights.
        name: shown in reports; the name of `fn` by default.

    >>> import numpy as np
    >>> import pushforward as pf
    >>> centre = array_function(lambda t: t - t.mean(0), pf.Ball(2), np, dtype="float32")
    >>> centre.fn(np.ones((3, 2))).dtype
    dtype('float32')
    """
    _callable(fn, "array_function(fn, domain, library)")
    library = library if isinstance(library, str) else library.__name__
    namespace = _library(library)
    if dtype is not None and not hasattr(namespace, dtype):
        raise ValueError(f"expected the name of a type of {library}, as in float32. Got {dtype!r}.")
    called = LibraryTokens(fn, library, dtype)
    return TokenMap(called, domain, weighted=weighted, name=name or _name(fn))


def jax_function(
    fn: Callable[..., Any],
    domain: AbstractDomain,
    *,
    dtype: str | None = None,
    weighted: bool = False,
    name: str | None = None,
) -> TokenMap:
    """A JAX function of tokens (n, d) as a candidate.

    Arguments are those of `array_function`. JAX makes float32 of the tokens, and float64 where
    `jax_enable_x64` is set. It compiles anew for every number of tokens, each operation for itself
    unless you pass `jax.jit(fn)`: do, and give `verify` time for it.

    >>> import numpy as np
    >>> import pushforward as pf
    >>> from importlib.util import find_spec
    >>> if find_spec("jax"):
    ...     out = jax_function(lambda t: t - t.mean(0), pf.Ball(2)).fn(np.ones((3, 2)))
    ...     assert out.shape == (3, 2)
    """
    return array_function(fn, domain, "jax.numpy", dtype=dtype, weighted=weighted, name=name)


def sklearn_transformer(
    estimator: Any,
    domain: AbstractDomain,
    *,
    fit: bool = False,
    name: str | None = None,
) -> TokenMap:
    """An object with `transform`, as those of scikit-learn, as a candidate.

    Args:
        estimator: `transform(tokens (n, d)) -> (n, d')`, dense or sparse.
        domain: where the tokens live.
        fit: False takes it as fitted, and each token is moved alone. True fits a copy on the tokens
            of every call (`fit_transform`), so that all tokens together decide, as in a
            normalisation over the batch.
        name: shown in reports; the name of the class by default.

    Raises:
        TypeError: it has no `transform`, or no `fit_transform` where that is asked for.

    >>> import numpy as np
    >>> import pushforward as pf
    >>> class Centre:
    ...     def fit_transform(self, tokens):
    ...         return tokens - tokens.mean(0)
    >>> sklearn_transformer(Centre(), pf.Ball(1), fit=True).fn(np.array([[0.0], [1.0]])).tolist()
    [[-0.5], [0.5]]
    """
    method = "fit_transform" if fit else "transform"
    if not callable(getattr(estimator, method, None)):
        raise TypeError(
            f"sklearn_transformer(estimator, domain, fit={fit}) expects an object with {method}. "
            f"Got {type(estimator).__name__}."
        )
    return TokenMap(TransformedTokens(estimator, fit), domain, name=name or _name(estimator))


@dataclass(frozen=True, slots=True)
class TorchTokens:
    """Calls a torch module on NumPy tokens as one batch; see `torch_module`."""

    module: Any
    batch_first: bool | None

    def __call__(self, *arrays: np.ndarray) -> Any:
        import torch  # pyright: ignore[reportMissingImports]

        like = next(_tensors(self.module), None)
        dtype = torch.get_default_dtype() if like is None else like.dtype
        device = None if like is None else like.device
        tensors = [torch.as_tensor(array, dtype=dtype, device=device) for array in arrays]
        with torch.no_grad():
            out = self._run(*(self._batched(tensor) for tensor in tensors))
        return self._rows(_leading(out), len(arrays[0]))

    def _run(self, *tensors: Any) -> Any:
        import torch  # pyright: ignore[reportMissingImports]

        if isinstance(self.module, torch.nn.MultiheadAttention):
            (tokens,) = tensors
            return self.module(tokens, tokens, tokens, need_weights=False)
        return self.module(*tensors)

    def _batched(self, tensor: Any) -> Any:
        if self.batch_first is None:
            return tensor
        # weights (n,) become (1, n) in either layout
        return tensor[None] if self.batch_first or tensor.ndim == 1 else tensor[:, None]

    def _rows(self, out: Any, count: int) -> Any:
        """Rows (n, d') of the output; an output of another shape is returned as it is."""
        shape = tuple(getattr(out, "shape", ()))
        if self.batch_first is not None and len(shape) == 3:
            out = out[0] if self.batch_first and shape[0] == 1 else out
            out = out[:, 0] if not self.batch_first and shape[1] == 1 else out
        if hasattr(out, "expand") and out.ndim == 2 and len(out) == 1:
            return out.expand(count, -1)
        return out

    @property
    def written(self) -> str:
        """How a snippet gets at this function."""
        return f"pushforward.torch_module(module, domain).fn  of your {_name(self.module)}"


@dataclass(frozen=True, slots=True)
class LibraryTokens:
    """Calls a function on arrays of another library; see `array_function`."""

    function: Callable[..., Any]
    library: str
    dtype: str | None

    def __call__(self, *arrays: np.ndarray) -> Any:
        xp = import_module(self.library)
        if self.dtype is None:
            return self.function(*(xp.asarray(array) for array in arrays))
        dtype = getattr(xp, self.dtype)
        return self.function(*(xp.asarray(array, dtype=dtype) for array in arrays))

    @property
    def written(self) -> str:
        """How a snippet gets at this function."""
        return f"your {_name(self.function)} on arrays of {self.library}"


@dataclass(frozen=True, slots=True)
class TransformedTokens:
    """Calls `transform` or `fit_transform`; see `sklearn_transformer`."""

    estimator: Any
    fit: bool

    def __call__(self, tokens: np.ndarray) -> Any:
        if self.fit:
            out = copy.deepcopy(self.estimator).fit_transform(tokens)
        else:
            out = self.estimator.transform(tokens)
        return out.toarray() if hasattr(out, "toarray") else out

    @property
    def written(self) -> str:
        """How a snippet gets at this function."""
        method = "fit_transform" if self.fit else "transform"
        return f"your {_name(self.estimator)}().{method}"


def _tensors(module: Any) -> Iterator[Any]:
    """Floating tensors that a module holds or a function refers to: parameters come first."""
    import torch  # pyright: ignore[reportMissingImports]

    if isinstance(module, torch.nn.Module):
        held = chain(module.parameters(), module.buffers())
    elif isinstance(module, torch.Tensor):
        held = [module]
    elif isinstance(module, partial):
        held = _each(module.func, *module.args, *module.keywords.values())
    elif inspect.ismethod(module):
        held = _each(module.__self__)
    elif inspect.isfunction(module):
        names = inspect.getclosurevars(module)
        held = _each(*names.nonlocals.values(), *names.globals.values())
    elif hasattr(module, "__dict__") and not isinstance(module, (type, ModuleType)):
        held = _each(*vars(module).values())
    else:
        held = []
    return (tensor for tensor in held if tensor.is_floating_point())


def _each(*values: Any) -> Iterator[Any]:
    """The tensors of values that are tensors or modules, or collections of them."""
    import torch  # pyright: ignore[reportMissingImports]

    for value in values:
        if isinstance(value, (torch.nn.Module, torch.Tensor)):
            yield from _tensors(value)
        elif isinstance(value, (list, tuple)):
            yield from _each(*value)
        elif isinstance(value, dict):
            yield from _each(*value.values())


def _leading(out: Any) -> Any:
    """The tensor that an output begins with."""
    if hasattr(out, "last_hidden_state"):
        return out.last_hidden_state
    return out[0] if isinstance(out, (tuple, list)) and len(out) else out


def _stated_layout(module: Any, batch_first: bool | None) -> bool | None:
    """The layout that a layer of torch itself was built for, or the one that was asked for."""
    if batch_first is None:
        return None
    parts = list(module.modules()) if hasattr(module, "modules") else [module]
    if not all(type(part).__module__.startswith("torch.nn") for part in parts):
        return batch_first  # its own code arranges the axes
    stated = [part.batch_first for part in parts if isinstance(_layout(part), bool)]
    return stated[0] if stated else batch_first


def _layout(part: Any) -> Any:
    return getattr(part, "batch_first", None)


def _callable(fn: Any, call: str) -> None:
    if not callable(fn):
        raise TypeError(f"{call} expects a function first. Got {type(fn).__name__}.")


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is not installed; it computes what is to be verified, so install it first."
        ) from error


def _name(fn: Any) -> str:
    return getattr(fn, "__name__", None) or type(fn).__name__
