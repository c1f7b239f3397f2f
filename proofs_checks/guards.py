"""Arguments that must stay where a function is continuous: enclosures on parts of the domain."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..symbolic import BoundPoint, FreshPoint, Point
from ..symbolic.terms import Slot, height, in_order
from .averages import one_average
from .derivation import Step
from .enclosure import place
from .heads import Sign, Where
from .interval import Interval, Unbounded, hull
from .scope import Scope, Stopped, Vacuous, enclose, short
from .signs import sign

# (halvings of the variable of an integral, parts of the domain that are tried), in turns
_EFFORTS = ((0, 200), (3, 40))
_DEPTH = 40  # at most so often is one part of the domain halved


def stays(term: Any, scope: Scope, where: Where, head: str, whole_term: Any) -> Step:
    """A step that holds a continuous scalar term within a set where a function is continuous.

    Args:
        term: the argument of the function.
        where: the set.
        head, whole_term: the function and its value, to be named in a refusal.

    Raises:
        Stopped: neither the form of the term nor enclosures on parts of the domain show it.
    """
    if where.enough and sign(term, scope) >= where.enough:
        claim = "is positive" if sign(term, scope) == Sign.POSITIVE else "is not negative"
        return Step("sign", term, claim)
    holds = where.holds
    try:
        whole: Interval | None = enclose(term, scope)
    except (Stopped, Unbounded):
        whole = None
    depth = height(term)
    for cuts, parts in _EFFORTS if depth else _EFFORTS[:1]:
        found = _covered(term, replace(scope, cuts=cuts // max(depth, 1)), holds, parts)
        if found is None and not cuts:
            found = _averaged(term, scope, holds, parts)
        if found is not None:
            return Step("enclosure", term, f"lies in {found}")
    lies = "no finite enclosure was found" if whole is None else f"it lies in {whole}"
    raise Stopped(head, f"{short(whole_term)} needs {where.needs}; {lies}")


def _averaged(
    term: Any, scope: Scope, holds: Callable[[Interval], bool], most: int
) -> Interval | None:
    """An enclosure of a term that is an average, from its integrand, within the set; or None."""
    y = FreshPoint()
    average = one_average(term, y)
    if average is None:
        return None
    integrand, (measure, _) = average
    found = _covered(integrand, scope.binding(y, place(measure, scope)), holds, most)
    return found if found is not None and holds(found) else None


def _covered(
    term: Any, scope: Scope, holds: Callable[[Interval], bool], most: int
) -> Interval | None:
    """An enclosure of the term from parts that cover the domain, each within the set; or None."""
    waiting, found = [(0, scope)], []
    tried = 0
    while waiting:
        depth, here = waiting.pop()
        tried += 1
        try:
            interval = enclose(term, here)
            if holds(interval):
                found.append(interval)
                continue
        except Vacuous:
            continue
        except (Stopped, Unbounded):
            pass
        parts = halves(term, here)
        if not parts or depth >= _DEPTH or tried > most:
            return None
        waiting.extend((depth + 1, part) for part in parts)
    if not found:
        raise Vacuous
    return hull(found)


def halves(term: Any, scope: Scope) -> list[Scope]:
    """The scope on halves of the range that is widest among those that the term sees."""
    variables = (Point, BoundPoint, FreshPoint, Slot)
    seen = [s for s in scope.symbols(term) if isinstance(s, variables)]
    if not seen:
        return []
    widest = max(in_order(seen), key=lambda s: _width(scope.places[s].range))
    whole = scope.places[widest].range
    parts = whole.halves() if isinstance(whole, Interval) else whole.split()
    return [scope.narrowed(widest, part) for part in parts]


def _width(found: Any) -> Any:
    return found.width if isinstance(found, Interval) else max(i.width for i in found.components)
