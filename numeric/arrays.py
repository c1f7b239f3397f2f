"""Arrays of any library: which namespace they are of, and how they become NumPy."""

from importlib import import_module
from typing import Any

import array_api_compat
import numpy as np

_NUMPY = array_api_compat.array_namespace(np.empty(0))


def is_array(value: Any) -> bool:
    """Whether a value is an array of a known library (NumPy, CuPy, torch, JAX, ...)."""
    return array_api_compat.is_array_api_obj(value)


def namespace(*arrays: Any) -> Any:
    """The array namespace of the arrays; sequences and numbers count as NumPy.

    Raises:
        TypeError: the arrays are of two libraries.
    """
    if all(type(array) is np.ndarray for array in arrays):
        return _NUMPY  # the common case, without a search
    known = [array for array in arrays if is_array(array)]
    if not known:
        return _NUMPY
    try:
        return array_api_compat.array_namespace(*known)
    except TypeError:
        names = sorted({type(array).__module__.partition(".")[0] for array in known})
        raise TypeError(
            f"expected all arrays of one library, got {' and '.join(names)}; convert one of them"
        ) from None


def to_numpy(array: Any) -> np.ndarray:
    """The array as NumPy, copied from its device where it has to be."""
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().numpy()
    if array_api_compat.is_cupy_array(array):
        return array.get()
    return np.asarray(array)


def devices_like(array: Any) -> list[Any]:
    """All devices of the kind on which an array is, in the order of its library."""
    here = array_api_compat.device(array)
    if array_api_compat.is_torch_array(array):
        # Its list of devices takes seconds: it tries every kind that there might be.
        kind = getattr(import_module("torch"), here.type, None)
        count = getattr(kind, "device_count", lambda: 1)()
        return [here] if count < 2 else [type(here)(here.type, k) for k in range(count)]
    info = getattr(namespace(array), "__array_namespace_info__", None)
    if info is None or array_api_compat.is_numpy_array(array):
        return [here]
    kind = lambda device: getattr(device, "platform", type(device))  # noqa: E731
    alike = [device for device in info().devices() if kind(device) == kind(here)]
    return alike if here in alike else [here]


def on_processor(array: Any) -> bool:
    """Whether an array lies in the memory of the machine, not on a device of its own."""
    device = array_api_compat.device(array)
    kind = getattr(device, "platform", None) or getattr(device, "type", None) or "cpu"
    return kind == "cpu" and not array_api_compat.is_cupy_array(array)


def check_type(array: Any, name: str) -> None:
    """Refuse a floating type that the library of an array rounds to another without saying so.

    Raises:
        ValueError: JAX without double precision, asked for float64.
    """
    xp = namespace(array)
    # The type of a Python float is float64 exactly where JAX has it.
    if array_api_compat.is_jax_namespace(xp) and name == "float64":
        if xp.asarray(0.0).dtype != np.float64:
            raise ValueError(
                "expected a type that JAX has here, got float64; call "
                "jax.config.update('jax_enable_x64', True) first"
            )


def real_array(value: Any, name: str, *, like: Any = None) -> Any:
    """The value as a real floating array in the namespace and on the device of `like`.

    Integers become the default floating type; a floating type is kept.

    Raises:
        TypeError: the value is no array of real numbers.
    """
    if not is_array(value):
        value = _from_sequence(value, name)
        if like is not None and is_array(like):
            xp = namespace(like)
            value = xp.asarray(value, device=array_api_compat.device(like))
    xp = namespace(value)
    if xp.isdtype(value.dtype, "real floating"):
        return value
    if xp.isdtype(value.dtype, ("integral", "bool")):
        return xp.astype(value, xp.asarray(0.0).dtype)
    raise TypeError(f"expected {name} to be real numbers, got dtype {value.dtype}")


def _from_sequence(value: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"expected {name} to be a rectangular array, got rows of unequal length"
        ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected {name} to be real numbers, got {type(value).__name__}")
    return array
