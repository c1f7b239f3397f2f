"""Proofs as trees of steps, and refusals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .ledger import LEDGER, Theorem
from .scope import short


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of a proof: a rule gives a claim about a term from the claims of other steps.

    >>> from pushforward.symbolic import Point
    >>> step = Step("variable", Point("x"), "is continuous")
    >>> step.conclusion, step.source.partition(",")[0]
    ('x is continuous', 'Rudin (1976)')
    """

    rule: str
    subject: Any
    claim: str
    premises: tuple["Step", ...] = ()

    @property
    def conclusion(self) -> str:
        """What the step shows, as a sentence."""
        return f"{short(self.subject)} {self.claim}"

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return LEDGER[self.rule].source

    def __str__(self) -> str:
        return "\n".join(_lines(self, 0, set()))


def _lines(step: Step, depth: int, shown: set[int]) -> Iterator[str]:
    again = id(step) in shown and bool(step.premises)
    shown.add(id(step))
    yield f"{'  ' * depth}{step.conclusion}  [{step.rule}{', as above' if again else ''}]"
    if not again:
        for premise in step.premises:
            if premise.rule != "variable":
                yield from _lines(premise, depth + 1, shown)


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """A derivation that a map is continuous for every probability measure on a domain.

    `print` shows it as an indented tree, conclusions above what they rest on.

    >>> from pushforward.numeric import Ball
    >>> from pushforward.proofs_checks import prove
    >>> from pushforward.symbolic import Measure, Point, SymbolicMap, integral
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> print(prove(SymbolicMap(x - integral(y, y, mu), x, mu), {}, Ball(2)))
    On P(Omega) x Omega, Omega = ball:2:1.0: G(mu, x) = x - int y mu(dy) is continuous; ...
    x - int y mu(dy) is continuous  [polynomial]
      -int y mu(dy) is continuous  [polynomial]
        int y mu(dy) is continuous  [integral]
    """

    root: Step
    domain: str

    @property
    def theorems(self) -> tuple[Theorem, ...]:
        """The theorem and the rules that are used."""
        names = {step.rule: None for step in _steps(self.root, set())}
        return tuple(LEDGER[name] for name in ("in-context map", *names))

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of what is used, each with its source."""
        return tuple(f"{theorem.name} [{theorem.source}]" for theorem in self.theorems)

    @property
    def conclusion(self) -> str:
        """What is proved, as a sentence."""
        return (
            f"On P(Omega) x Omega, Omega = {self.domain}: G(mu, x) = {self.root.conclusion}; hence "
            "f(mu) = G(mu)#mu is well defined, continuous, and satisfies B1 and B2"
        )

    def __str__(self) -> str:
        return f"{self.conclusion}\n{self.root}"


def _steps(step: Step, seen: set[int]) -> Iterator[Step]:
    if id(step) not in seen:
        seen.add(id(step))
        yield step
        for premise in step.premises:
            yield from _steps(premise, seen)


@dataclass(frozen=True, slots=True)
class Refusal:
    """No proof was found: the head that stopped it, and why. The map may yet be continuous.

    >>> print(Refusal("sign", "sign(m) needs an argument away from 0"))
    no proof: sign(m) needs an argument away from 0
    """

    head: str
    reason: str

    def __str__(self) -> str:
        return f"no proof: {self.reason}"
