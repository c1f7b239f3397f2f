"""C text for a few vectors of rows at a time, where products of matrices would not pay.

Every line is written once for each vector, so that one does not wait for the results of another.
"""

import re
from collections.abc import Iterator

from .native_source import StepWriter

INTERLEAVED = 2
"""Vectors of rows that lines are written for: the sums of more fill the registers."""

ATOM_LOOP = ("#pragma GCC unroll 4", "for (long j = j0; j < j1; ++j) {")


class InterleavedWriter(StepWriter):
    """The C function of one step, every line written once for each vector of a block.

    The vectors share what is read of an atom, and none waits for the results of another.
    """

    centres_tiles = True

    def function(self, number: int) -> str:
        text = super().function(number)
        return text if self.step.axis is None else "\n".join(_interleaved(text.split("\n")))

    def inverse_root(self, number: str) -> str:
        return super().inverse_root(number) if self.axis is None else f"vrsqrt_of({number}, odd)"

    def leading(self) -> str:
        rows = super().leading()
        count = self.tables.count(self.axis) if self.axis else ""
        self.header["rows"] = f"const long rows = ({count} + BLOCK - 1) / BLOCK * BLOCK;"
        return rows


_OF_A_ROW = re.compile(r"\b(?:(?:v|r|t|sum|c|w|law)\d+(?:_\w+)?|u)\b")
"""Names that stand for something of a row, not of an atom."""


def _interleaved(lines: list[str]) -> Iterator[str]:
    statement: list[str] = []
    has_roots = any(", odd)" in line for line in lines)
    for line in lines:
        words = line.strip()
        if words.startswith("for (long i = begin"):
            yield line.replace("i += LANES", "i += BLOCK")
        elif words == ATOM_LOOP[1]:
            yield from _LOOP_OF_TWO if has_roots else ATOM_LOOP
        elif words.endswith("{") or words in ("", "}") or words.startswith(_OF_ALL_ROWS):
            yield line
        else:
            statement.append(line)
            if words.endswith((";", "}")):
                yield from _of_each(statement)
                statement = []


_LOOP_OF_TWO = (
    "for (long two = j0; two < j1; two += 2)",
    "#pragma GCC unroll 2",
    "for (int odd = 0; odd < 2; ++odd) {",
    "  const long j = two + odd;",
    "  if (j == j1) break;",
)
"""The loop over the atoms where every second one is treated in its own way."""

_OF_ALL_ROWS = ("const T *", "const long", "void")
_EXPONENTIAL = re.compile(r"(\w+) = vexp2_nonpositive\(\1\);")


def _of_each(statement: list[str]) -> Iterator[str]:
    """A statement once for each vector; exponentials of them all go step by step together."""
    places = range(INTERLEAVED)
    found = _EXPONENTIAL.fullmatch(statement[0].strip())
    if found:
        names = [f"{found[1]}_of{u}" for u in places]
        yield f"{{ V all[] = {{{', '.join(names)}}}; vexp2_nonpositive_of(all, {len(places)});"
        yield f"  {' '.join(f'{name} = all[{u}];' for u, name in enumerate(names))} }}"
        return
    for u in places:
        for part in statement:
            named = _OF_A_ROW.sub(lambda name, u=u: f"{name[0]}_of{u}", part)
            yield re.sub(r"\bi\b", f"(i + {u} * LANES)", named)
