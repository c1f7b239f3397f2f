"""Domains as text: what the command line takes and what findings store."""

from .domains import AbstractDomain, Ball, Box, FiniteSet, Product, Simplex, Sphere, dimension


def parse_domain(spec: str) -> AbstractDomain:
    """The domain that a text describes; `domain.spec()` is such a text.

    `box:LO,HI:DIM` (a cube), `box:LO,HI;LO,HI` (one pair a coordinate),
    `ball:DIM[:RADIUS[:CENTER]]`, `sphere:DIM`, `simplex:DIM`, `finite:P;P;...`, and products
    with `*`.

    Raises:
        ValueError: the text is none of these, or its numbers make no domain.

    >>> parse_domain("box:-1,1:3")
    Box(lower=(-1.0, -1.0, -1.0), upper=(1.0, 1.0, 1.0))
    >>> parse_domain("ball:2:1.0") == Ball(2)
    True
    """
    factors = [_parse_factor(part.strip()) for part in spec.split("*")]
    return factors[0] if len(factors) == 1 else Product(*factors)


def _parse_factor(spec: str) -> AbstractDomain:
    kind, _, rest = spec.partition(":")
    reader = {
        "box": _parse_box,
        "ball": _parse_ball,
        "sphere": lambda text: Sphere(int(text)),
        "simplex": lambda text: Simplex(int(text)),
        "finite": lambda text: FiniteSet([_numbers(part) for part in text.split(";")]),
    }.get(kind)
    if reader is None:
        raise ValueError(_expected(spec))
    try:
        return reader(rest)
    except _Malformed:
        raise ValueError(_expected(spec)) from None
    except ValueError as error:
        if "expected" in str(error):
            raise ValueError(f"domain {spec!r}: {error}") from None
        raise ValueError(_expected(spec)) from None


class _Malformed(Exception):
    """The text does not have the form of its kind."""


def _expected(spec: str) -> str:
    forms = "box:-1,1:3, box:-1,1;0,2, ball:2:1.0, sphere:3, simplex:3, finite:0,0;1,1"
    return f"expected a domain such as {forms} or a product of them with *, got {spec!r}"


def _parse_box(text: str) -> Box:
    pairs, _, dim = text.partition(":")
    bounds = [_numbers(pair) for pair in pairs.split(";")]
    if any(len(pair) != 2 for pair in bounds) or (dim and len(bounds) > 1):
        raise _Malformed
    repeat = dimension(int(dim), "box") if dim else 1
    lower, upper = zip(*(bounds * repeat), strict=True)
    return Box(lower, upper)


def _parse_ball(text: str) -> Ball:
    dim, *rest = text.split(":")
    if len(rest) > 2:
        raise _Malformed
    radius = float(rest[0]) if rest else 1.0
    return Ball(int(dim), radius, _numbers(rest[1]) if len(rest) == 2 else None)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
