"""C text that runs the steps of a kernel on many measures in one call.

The function `evaluate_items` takes the numbers of all measures one behind the other, with offsets.
For every item it checks the numbers, lays them out as the steps expect, runs the steps in their
order, and writes the values in the layout of a call. The steps are those of a single evaluation, so
an item has the same bits in a batch of any size as alone.
"""

from dataclasses import dataclass
from math import prod

from .native_source import Kernel
from .program import Axis, Program, Use
from .reference import Inputs
from .schedule import Step, schedule
from .shapes import Shape

REFUSED = 1
"""A number is not finite, or a weight is not positive: the caller looks closer."""

LOGS = r"""
void log_weights(const T *weights, long n, T *logs, T *unit) {
  T largest = weights[0];
  for (long j = 1; j < n; ++j) largest = weights[j] > largest ? weights[j] : largest;
  for (long j = 0; j < n; j += LANES) {
    V v = SPLAT(1);
    const long stop = n - j < LANES ? n - j : LANES;
    for (long l = 0; l < stop; ++l) v[l] = weights[j + l] / largest;
    v = vlog(v) * LOG2E;
    for (long l = 0; l < stop; ++l) logs[j + l] = v[l];
  }
  *unit = OF_TYPE(log)(largest);
}
"""

_HELPERS = r"""
#include <stdlib.h>
enum { REFUSED = 1, NO_MEMORY = 2 };
static int is_finite(const T *numbers, long n) {
  T sum = 0;
  for (long k = 0; k < n; ++k) sum += numbers[k] - numbers[k];
  return sum == 0;
}
static int is_positive(const T *numbers, long n) {
  int good = 1;
  for (long k = 0; k < n; ++k) good &= numbers[k] > 0 && numbers[k] < INFINITY;
  return good;
}
static void to_rows(const T *given, long n, long d, long rows, T *out) {
  for (long c = 0; c < d; ++c) {
    for (long i = 0; i < n; ++i) out[c * rows + i] = given[i * d + c];
    for (long i = n; i < rows; ++i) out[c * rows + i] = 0;
  }
}
static void to_atoms(const T *made, long n, long d, long rows, T *out) {
  for (long i = 0; i < n; ++i) for (long c = 0; c < d; ++c) out[i * d + c] = made[c * rows + i];
}
long block(void) { return BLOCK; }
static long padded(long n) { return (n + BLOCK - 1) / BLOCK * BLOCK; }
"""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a kernel is called with: point arguments in the order of the dimensions of its result,
    and measures, each with the dimension of its points."""

    points: tuple[tuple[str, int], ...]
    measures: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, inputs: Inputs, order: tuple[str, ...]) -> "Signature":
        points = tuple((name, inputs.points[name].shape[1]) for name in order)
        measures = tuple((name, atoms.shape[1]) for name, (atoms, _) in inputs.measures.items())
        return cls(points, measures)

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(name for name, _ in (*self.points, *self.measures))


def parameters(program: Program) -> tuple[str, ...]:
    """The parameters that `evaluate_items` takes, in their order."""
    return tuple(str(i.attributes[0]) for i in program.instructions if i.op == "parameter")


def driver(
    program: Program, shapes: tuple[Shape, ...], kernel: Kernel, signature: Signature
) -> str:
    """The function `evaluate_items` of a kernel.

    It takes the points of every owner, the weights of every measure, the parameters, the offsets of
    every owner, the number of items, and where the values go. It returns 0; or `REFUSED` where a
    number is not finite or a weight not positive; or `NO_MEMORY`.
    """
    return _Driver(program, shapes, kernel, signature).text()


class _Driver:
    def __init__(self, program: Program, shapes, kernel: Kernel, signature: Signature):
        self.program, self.shapes = program, shapes
        self.slots, self.counts = kernel.slots, kernel.counts
        self.rows, self.parameters = schedule(program).rows, parameters(program)
        self.owners, self.order = signature.owners, [name for name, _ in signature.points]
        self.measures = [name for name, _ in signature.measures]
        self.dims = dict((*signature.points, *signature.measures))

    def text(self) -> str:
        lines = [
            "int evaluate_items(const T *const *X, const T *const *W, const T *const *P,",
            "                   const long *const *O, long items, T *out) {",
            f"  T *B[{max(len(self.slots), 1)}]; long N[{max(len(self.counts), 1)}];",
            "  for (long item = 0; item < items; ++item) {",
            *(f"    {line}" for line in self.item()),
            "  }",
            "  return 0;",
            "}",
        ]
        return "\n".join([_HELPERS, *lines])

    def item(self) -> list[str]:
        lines = []
        for k, name in enumerate(self.owners):
            d = self.dims[name]
            lines += [
                f"const long n{k} = O[{k}][item + 1] - O[{k}][item], p{k} = padded(n{k});",
                f"const T *x{k} = X[{k}] + O[{k}][item] * {d}; (void)p{k};",
                f"if (!is_finite(x{k}, n{k} * {d})) return REFUSED;",
            ]
        for k, name in enumerate(self.measures):
            n = self.owners.index(name)
            lines.append(f"const T *w{k} = W[{k}] + O[{n}][item];")
            lines.append(f"if (!is_positive(w{k}, n{n})) return REFUSED;")
        lines += [f"N[{k}] = {self.count(axis)};" for k, axis in enumerate(self.counts)]
        buffers = [self.buffer(*slot) for slot in self.slots]
        sizes = [size for size, _ in buffers if size != "0"]
        lines += [
            f"T *work = malloc(sizeof(V) * ({' + '.join(['1', *sizes])})), *next = work;",
            "if (!work) return NO_MEMORY;",
        ]
        for k, (size, source) in enumerate(buffers):
            if size == "0":
                lines.append(f"B[{k}] = (T *){source};")
            else:
                lines.append(f"B[{k}] = next; next += ({size}) * LANES;")
        lines += [
            source.format(f"B[{k}]") for k, (size, source) in enumerate(buffers) if size != "0"
        ]
        for number, step in enumerate(schedule(self.program).steps):
            lines += self.step(number, step)
        return [*lines, *self.result(), "free(work);"]

    def owner(self, axis: Axis) -> int:
        return self.owners.index(axis.owner)

    def count(self, axis: Axis) -> str:
        return f"n{self.owner(axis)}"

    def vectors(self, numbers: str) -> str:
        """How many vectors so many numbers take."""
        return f"({numbers} + LANES - 1) / LANES"

    def buffer(self, kind: str, name: int | str) -> tuple[str, str]:
        """The vectors of memory of a slot and what fills it, or "0" and where it lies."""
        if isinstance(name, str):
            k, n = self.measures.index(name), f"n{self.owners.index(name)}"
            if kind == "weights":
                return "0", f"w{k}"
            if kind == "unit":
                return "1", ""
            unit = self.slots.index(("unit", name)) if ("unit", name) in self.slots else None
            place = f"B[{unit}]" if unit is not None else "&(T){{0}}"
            return self.vectors(n), f"log_weights(w{k}, {n}, {{}}, {place});"
        instruction, size = self.program.instructions[name], prod(self.shapes[name])
        given = self.given(name)
        if kind == "global":
            return ("0", given) if given else (self.vectors(str(size)), "")
        if kind == "atom":
            if given:
                return "0", given
            return self.vectors(f"{self.count(instruction.axes[0])} * {size}"), ""
        row = self.rows[name]
        assert row is not None
        k = self.owner(row)
        others = [self.count(axis) for axis in instruction.axes if axis != row]
        fill = f"to_rows({given}, n{k}, {size}, p{k}, {{}});" if given else ""
        return f"{' * '.join([str(size), *others])} * (p{k} / LANES)", fill

    def given(self, index: int) -> str | None:
        instruction = self.program.instructions[index]
        if instruction.op in ("point", "atoms"):
            return f"x{self.owners.index(str(instruction.attributes[0]))}"
        if instruction.op == "parameter":
            return f"P[{self.parameters.index(str(instruction.attributes[0]))}]"
        return None

    def step(self, number: int, step: Step) -> list[str]:
        rows = "1" if step.axis is None else self.count(step.axis)
        lines = [f"step_{number}((T *const *)B, N, 0, {rows});"]
        for index in step.members:
            if ("atom", index) in self.slots and self.given(index) is None:
                source, target = (self.slots.index((kind, index)) for kind in ("row", "atom"))
                assert step.axis is not None
                k, size = self.owner(step.axis), prod(self.shapes[index])
                lines.append(f"to_atoms(B[{source}], n{k}, {size}, p{k}, B[{target}]);")
        return lines

    def result(self) -> list[str]:
        """The values with the point arguments first, in their order, then the components."""
        use = self.program.result
        size, given = prod(self.shapes[use.index]), self.given(use.index)
        places = {axis: f"i{self.order.index(axis.owner)}" for axis in use.axes}
        lines = [
            f"for (long i{k} = 0; i{k} < n{self.owners.index(name)}; ++i{k})"
            for k, name in enumerate(self.order)
        ]
        if given:
            row = f" + i{self.order.index(use.axes[0].owner)} * {size}" if use.axes else ""
            value = f"({given}{row})[c]"
        elif not use.axes:
            value = f"B[{self.slots.index(('global', use.index))}][c]"
        else:
            value = self.row_result(use, places)
        total = " * ".join([str(size), *(f"n{self.owners.index(name)}" for name in self.order)])
        return [
            "T *to = out;",
            *lines,
            f"  for (int c = 0; c < {size}; ++c) *to++ = {value};",
            f"out += {total};",
        ]

    def row_result(self, use: Use, places: dict[Axis, str]) -> str:
        # The user's names of the axes, in the order of the instruction's own.
        instruction = self.program.instructions[use.index]
        named = dict(zip(instruction.axes, use.axes, strict=True))
        row = self.rows[use.index]
        assert row is not None
        place = "c"
        for axis in instruction.axes:
            if axis != row:
                place = f"({place} * {self.count(named[axis])} + {places[named[axis]]})"
        k = self.owner(row)
        slot = self.slots.index(("row", use.index))
        return f"B[{slot}][{place} * p{k} + {places[named[row]]}]"
