"""Functions that users register: by name, as numbers, as array code and as C.

A program holds the name alone. The lowering of a term notes here what the name means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .program import Program


@dataclass(frozen=True, slots=True)
class RegisteredFunction:
    """`value(t, context)` in an mpmath context, and expressions in `t`, or None.

    `slope(low, high)` bounds the derivative, and `rounding` the error of the code in units, as a
    multiple of the value or absolute between two numbers; None where it is unknown.
    """

    name: str
    value: Callable[[Any, Any], Any]
    numpy: str | None
    c: str | None
    slope: Callable[[float, float], float] | None = None
    rounding: float | Callable[[float, float], float] | None = None


FUNCTIONS: dict[str, RegisteredFunction] = {}


@lru_cache(maxsize=256)
def array_code(name: str, text: str) -> Callable[[Any, Any], Any]:
    """The function `(np, t) -> array` of a Python expression that the user wrote."""
    return eval(compile(f"lambda np, t: {text}", f"<numpy code of {name}>", "eval"))


def used(program: Program) -> tuple[RegisteredFunction, ...]:
    """The registered functions in a program."""
    names = {str(i.attributes[0]) for i in program.instructions if i.op == "registered"}
    return tuple(FUNCTIONS[name] for name in sorted(names))


def without_code(program: Program) -> tuple[str, ...]:
    """The registered functions in a program that have no array code."""
    return tuple(f.name for f in used(program) if f.numpy is None)


def c_functions(program: Program) -> str:
    """C functions on vectors of rows, lane by lane, for the prelude of a kernel."""
    return "\n".join(
        f"INLINE T registered_{f.name}(T t) {{ return (T)({f.c}); }}\n"
        f"INLINE V vregistered_{f.name}(V a) {{\n"
        f"  for (int l = 0; l < LANES; ++l) a[l] = registered_{f.name}(a[l]);\n"
        f"  return a;\n}}"
        for f in used(program)
        if f.c is not None
    )
