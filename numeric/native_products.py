"""C lines for products of small matrices, whose results lie in registers while they are summed.

A product takes `VECTORS` vectors of rows and four atoms or components at a time: twelve sums, three
numbers of the rows and one of the atoms fill the sixteen registers, and for each number that is
loaded there are nearly two multiply-adds.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .native_operations import indented

VECTORS = 3
"""Vectors of rows that a product takes together."""

COMPONENTS = 4
_ATOMS = 4

_MOST_WRITTEN_OUT = 16
"""Up to so many components an inner product is written out: the loop would cost a tenth of it."""

_FEWEST_TO_FETCH = 32
"""With so many components the atoms after those of a product are asked for before it."""


@dataclass(frozen=True, slots=True)
class Atoms:
    """Where the vectors of the atoms lie, one behind the other, and the components of each."""

    source: str
    components: int


def inner_products(
    vectors: Sequence[str],
    atoms: Atoms,
    target: Callable[[int, int], str],
    offset: Callable[[int], str] | None = None,
    largest: Callable[[int], str] | None = None,
) -> Iterator[str]:
    """The inner products of vectors of rows with the atoms of a tile.

    The product of vector u and atom j + a goes to `target(u, a)`; places after the last atom of the
    tile get the value of one within. `offset(a)` is added, and `largest(u)` rises to the largest.
    """
    n, rows, places = atoms.components, range(len(vectors)), range(_ATOMS)

    def component(c: str, sign: str) -> Iterator[str]:
        for u in rows:
            yield f"V row{u} = {vectors[u]}[{c}]; IN_REGISTER(row{u});"
        for a in places:
            products = " ".join(f"s{u}{a} {sign} row{u} * b;" for u in rows)
            yield f"{{ const V b = SPLAT(f{a}[{c}]); {products} }}"

    yield f"for (long j = j0; j < j1; j += {_ATOMS}) {{"
    for a in places:
        yield f"  const T *f{a} = {atoms.source} + (j + {a} < j1 ? j + {a} : j) * {n};"
    if n >= _FEWEST_TO_FETCH:
        yield f"  FETCH(f0 + {_ATOMS * n}, {_ATOMS * n});"
    yield f"  V {', '.join(f's{u}{a}' for u in rows for a in places)};"
    unroll = n if n <= _MOST_WRITTEN_OUT else 4
    yield from indented(_first_and_more("c", str(n), component, unroll))
    for a in places if offset else ():
        adds = " ".join(f"s{u}{a} += b;" for u in rows)
        yield f"  {{ const V b = {offset(a)}; {adds} }}"  # pyright: ignore
    for u in rows:
        for a in places:
            yield f"  {target(u, a)} = s{u}{a};"
        if largest:
            pairs = " ".join(f"s{u}{a} = vmax(s{u}{a}, s{u}{a + 1});" for a in (0, 2))
            yield f"  {pairs} s{u}0 = vmax(s{u}0, s{u}2);"
            yield f"  {largest(u)} = vmax(s{u}0, {largest(u)});"
    yield "}"


def weighted_sums(
    weights: Sequence[str], atoms: Atoms, add: Callable[[int, str, str], str], first: str = "0"
) -> Iterator[str]:
    """The sums over the atoms of a tile of weights times vectors, from component `first` on.

    `add(u, c, sum)` is the line for component c of vector u.
    """
    n, rows = atoms.components, range(len(weights))
    whole = n // COMPONENTS * COMPONENTS
    for width, loop in (
        (COMPONENTS, f"for (int c = {first}; c < {whole}; c += {COMPONENTS}) {{"),
        (n - whole, f"{{ const int c = {whole};"),
    ):
        if not width or (width == COMPONENTS and not whole):
            continue
        places = [(u, k) for u in rows for k in range(width)]

        def atom(j: str, sign: str, width=width) -> Iterator[str]:
            for u in rows:
                yield f"V p{u} = {weights[u]}[{j}]; IN_REGISTER(p{u});"
            for k in range(width):
                adds = " ".join(f"s{u}{k} {sign} p{u} * b;" for u in rows)
                yield f"{{ const V b = SPLAT(f[{j} * {n} + {k}]); {adds} }}"

        yield loop
        yield f"  const T *f = {atoms.source} + j0 * {n} + c;"
        yield f"  V {', '.join(f's{u}{k}' for u, k in places)};"
        yield from indented(_first_and_more("j", "j1 - j0", atom, 4))
        for u, k in places:
            yield f"  {add(u, f'c + {k}', f's{u}{k}')}"
        yield "}"


def _first_and_more(
    variable: str, count: str, lines: Callable[[str, str], Iterable[str]], unroll: int
) -> Iterator[str]:
    """The lines for the first index, which begin sums, and for the others, which add to them."""
    yield from ["{", *indented(lines("0", "=")), "}"]
    yield f"#pragma GCC unroll {unroll}"
    yield f"for (long {variable} = 1; {variable} < {count}; ++{variable}) {{"
    yield from [*indented(lines(variable, "+=")), "}"]
