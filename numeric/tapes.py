"""Array code written down while it runs, and run again on other numbers without the interpreter.

With few pairs the work of an evaluation is to decide which array functions to call. An evaluation
on recorded arrays writes these calls as a straight line of Python; where a number decides how to go
on, it writes the decision, too. The line makes the same calls on other arrays of the same shapes,
so it gives the same bits, or tells that a decision is another one.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Untraceable(Exception):
    """A recorded array that was used in a way that is not a call."""


class Tape:
    """The calls of one evaluation with what they depend on.

    >>> tape = Tape()
    >>> u = tape.input(np.array([1.0, 2.0]))
    >>> twice = np.exp(u) + np.exp(u)
    >>> again = tape.replay([twice])
    >>> again(np.array([0.0, 0.0]))[0].tolist()
    [2.0, 2.0]
    """

    def __init__(self):
        self.inputs: list[str] = []
        self.names: dict[str, Any] = {}
        self.lines: list[tuple[str, str, set[str]]] = []  # the name made, the text, what it reads

    def input(self, array: Any) -> "Traced":
        """An array that is another one in the next run."""
        self.inputs.append(f"v{len(self.inputs) + len(self.lines)}i")
        return Traced(self, self.inputs[-1], array)

    def call(self, function: Callable[..., Any], arguments: Sequence[Any], named: dict) -> Any:
        """The value of a call, written down unless the call changes nothing."""
        if function in _SHAPING and not named and isinstance(arguments[0], Traced):
            array, shape = arguments
            kept = range(array.ndim) if function is np.transpose else array.shape
            if tuple(shape) == tuple(kept):
                return array
            if function is np.transpose and array.turned and array.turned[1] == _undone(shape):
                return array.turned[0]
        if function in _REDUCED:
            # The same without the checks of a function for any array.
            function, named = _REDUCED[function], {"axis": None, **named}
        reads: set[str] = set()
        texts = [self._text(argument, reads) for argument in arguments]
        texts += [f"{name}={self._text(value, reads)}" for name, value in named.items()]
        plain = {name: unwrapped(value) for name, value in named.items()}
        value = function(*(unwrapped(argument) for argument in arguments), **plain)
        if not isinstance(value, (np.ndarray, np.generic)):
            raise Untraceable(f"a value of {type(value).__name__}")
        made = f"v{len(self.inputs) + len(self.lines)}"
        text = f"{self._constant(function)}({', '.join(texts)})"
        if function in _METHODS and isinstance(arguments[0], Traced):
            text = f"{texts[0]}.{_METHODS[function]}({', '.join(texts[1:])})"
        elif function is operator.getitem:
            text = f"{texts[0]}[{texts[1]}]"
        text = f"{made} = {text}"
        self.lines.append((made, text, reads))
        turned = (arguments[0], tuple(arguments[1])) if function is np.transpose else None
        return Traced(self, made, value, turned)

    def decision(self, array: "Traced") -> bool:
        """Whether an array is true: the next run stops where it is otherwise."""
        holds = bool(array.array)
        test = f"if {'not ' if holds else ''}{array.name}: return None"
        self.lines.append(("", test, {array.name}))
        return holds

    def replay(self, results: Sequence[Any]) -> Callable[..., tuple | None]:
        """A function of the inputs: the results, or None where a decision is another one."""
        needed: set[str] = set()
        last = f"return {self._text(tuple(results), needed)}"
        body = [last]
        for made, text, reads in reversed(self.lines):
            if not made or made in needed:
                needed |= reads
                body.append(text)
        lines = "\n    ".join(reversed(body))
        names = dict(self.names)
        exec(compile(f"def again({', '.join(self.inputs)}):\n    {lines}", "<tape>", "exec"), names)
        return names["again"]

    def _text(self, value: Any, reads: set[str]) -> str:
        if isinstance(value, Traced):
            if value.tape is not self:
                raise Untraceable("an array of another tape")
            reads.add(value.name)
            return value.name
        if type(value) in (tuple, list) and _has_traced(value):
            texts = [self._text(item, reads) + ", " for item in value]
            return f"({''.join(texts)})" if type(value) is tuple else f"[{''.join(texts)}]"
        return self._constant(value)

    def _constant(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name


def _undone(order: Sequence[int]) -> tuple[int, ...]:
    """The transposition that undoes another."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def _has_traced(value: Any) -> bool:
    if type(value) in (tuple, list):
        return any(map(_has_traced, value))
    return isinstance(value, Traced)


def unwrapped(value: Any) -> Any:
    """The array behind a recorded one, also in sequences."""
    if isinstance(value, Traced):
        return value.array
    if type(value) in (tuple, list):
        return type(value)(unwrapped(item) for item in value)
    return value


_SHAPING = (np.reshape, np.transpose, np.broadcast_to)
_METHODS = {np.reshape: "reshape", np.transpose: "transpose"}
_REDUCED = {np.sum: np.add.reduce, np.max: np.maximum.reduce, np.all: np.logical_and.reduce}
_FACTS = (np.may_share_memory, np.shape, np.ndim)


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """An array whose uses are written on a tape."""

    __slots__ = ("array", "name", "tape", "turned")

    def __init__(self, tape: Tape, name: str, array: Any, turned: tuple | None = None):
        self.tape, self.name, self.array = tape, name, array
        self.turned = turned  # what it is a transpose of, and how

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> "Traced":
        return self.tape.call(operator.getitem, (self, key), {})

    def __bool__(self) -> bool:
        return self.tape.decision(self)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise Untraceable("a recorded array taken as a plain one")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return self.tape.call(function, inputs, named)

    def __array_function__(self, function: Any, _: Any, arguments: Any, named: Any) -> Any:
        if function in _FACTS:
            return function(*unwrapped(tuple(arguments)), **named)
        return self.tape.call(function, arguments, named)
