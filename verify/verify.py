"""`verify`: the conditions in order, each with its share of the budget, into one report."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import platform
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ..numeric import AbstractDomain, DiscreteMeasure
from .candidates import Candidate, Flow, Symbolic, is_torch_module, on_domain, title
from .continuity import check_continuous
from .distance import load_solver
from .findings import CONDITIONS, Counterexample, Finding, Report
from .noise import Noise, measure_noise
from .precision import doubt
from .recipes import Recipe
from .reevaluate import reevaluate
from .regular import check_regular
from .report import atoms
from .snippet import snippet
from .solving import check_vlasov, own_accuracy
from .store import path_of, save
from .subject import Clock, OutOfTime, Subject, Undefined, Unsupported
from .support import check_support
from .trials import Outcome, Violation, affordable_sizes
from .well_defined import check_well_defined
from .workers import Unfinished, fetch, submit

BUDGETS = {"quick": 5.0, "standard": 30.0, "thorough": 600.0}
SHARES = {"well-defined": 2.0, "continuous": 3.0, "B1": 1.0, "B2": 5.0, "vlasov": 3.0}
THEOREM = "Furuya, de Hoop & Lassas (2025), arXiv 2509.25611"

# lists of so many tokens are asked for however long a call takes
LEAST_LIST = 64
_COARSE = "a short floating type inside, or a quantisation, which is discontinuous"
_UNTRIED = "the budget was spent before anything was tried"

Progress = Callable[[str, str], None]


def verify(
    candidate: Any,
    *,
    domain: AbstractDomain | None = None,
    conditions: Iterable[str] | None = None,
    budget: str | float = "standard",
    seed: int = 0,
    client: Any = None,
    progress: Progress | None = None,
    target: str | None = None,
) -> Report:
    """Judge a map between measures: well-defined, continuous, B1, B2, and for a flow Vlasov.

    Args:
        candidate: an `InContextMap`, `MeasureMap`, `TokenMap`, `Flow` or a bound symbolic map.
        domain: for a bound symbolic map, or to override the candidate's.
        conditions: names to check, all that apply by default; prerequisites are run as well.
        budget: `"quick"` (about 5 s), `"standard"` (30 s), `"thorough"` (10 min) or seconds.
        seed: the sequence of trials is a function of it alone; time only cuts it short.
        client: a `dask.distributed` client that runs the verification on a worker, again on
            another if that is lost.
        progress: called with a condition's name and what happens to it.
        target: `file.py:name` or `module:name`, stored with findings for `pushforward replay`.

    Returns:
        The report. `tested` is no proof: it bounds the failing share of the stated distribution.

    Raises:
        ValueError: an unknown condition or budget, or a function that fails on every input.
        TypeError: no candidate.

    >>> import pushforward as pf
    >>> ranks = pf.TokenMap(lambda p: p + p.argsort(0), pf.Box([-1.0], [1.0]))
    >>> pf.verify(ranks, conditions="well-defined")["well-defined"].verdict
    'refuted'

    Source: Furuya, de Hoop, Lassas (2025), arXiv 2509.25611.
    """
    subject_of = on_domain(candidate, domain)
    seconds = _seconds(budget)
    wanted = _wanted(conditions, subject_of)
    seed = _seed(seed)
    if client is not None:
        task = partial(
            verify,
            subject_of,
            conditions=wanted,
            budget=budget,
            seed=seed,
            target=target,
        )
        try:
            return fetch(submit(client, task, seconds), origin(subject_of, target))
        except Unfinished as unfinished:
            return _unfinished(subject_of, wanted, seed, budget, target, str(unfinished))
    run = _Run(subject_of, seconds, seed, progress, target)
    findings = run.findings(wanted)
    return Report(
        candidate={
            "name": title(subject_of),
            "kind": type(subject_of).__name__,
            "target": run.origin["target"],
            "calls": run.subject.calls,
            "seconds inside": round(run.subject.seconds, 3),
        },
        domain=subject_of.domain.spec(),
        seed=seed,
        budget=budget if isinstance(budget, str) and budget in BUDGETS else seconds,
        versions=versions(),
        conditions=findings,
    )


def _unfinished(
    candidate: Candidate,
    wanted: tuple[str, ...],
    seed: int,
    budget: str | float,
    target: str | None,
    reason: str,
) -> Report:
    """The report where a worker did not come back from a call."""
    return Report(
        candidate={
            "name": title(candidate),
            "kind": type(candidate).__name__,
            "target": origin(candidate, target)["target"],
        },
        domain=candidate.domain.spec(),
        seed=seed,
        budget=budget,
        versions=versions(),
        conditions={name: Finding(name, "undecided", reason) for name in wanted},
    )


class _Run:
    """One verification: the subject, its noise, its clock and the findings so far."""

    def __init__(
        self,
        candidate: Candidate,
        seconds: float,
        seed: int,
        progress: Progress | None,
        target: str | None,
    ):
        self.candidate, self.seed = candidate, seed
        self.subject = Subject(candidate)
        load_solver()
        self.clock = Clock(seconds)
        self.tell = progress or (lambda condition, text: None)
        self.origin = origin(candidate, target)
        self.noise = Noise(0.0, 1.0, 1.0, "float64")
        self.sizes: tuple[int, ...] = (1, 2, 3, 4)
        self.failed: Undefined | None = None

    def findings(self, wanted: tuple[str, ...]) -> dict[str, Finding]:
        found: dict[str, Finding] = {}
        proof, refusal = _proof(self.candidate)
        if proof is not None:
            wanted_now = [name for name in wanted if name != "vlasov"]
            return {name: _proved(name, proof) for name in wanted_now}
        with self.subject.interrupted_after(self.clock), np.errstate(all="ignore"):
            try:
                self._prepare()
                for name in wanted:
                    self.tell(name, "checking")
                    found[name] = self._finding(name, found, wanted, refusal)
                    self.tell(name, found[name].verdict)
                    if self.clock.interrupted:
                        break
            except KeyboardInterrupt:
                pass
            except OutOfTime as stop:
                self._hung(found, wanted, stop)
        for name in wanted:
            if name not in found:
                reason = "interrupted before it was decided"
                found[name] = _blocked(name, found) or Finding(name, "undecided", reason)
        return {name: found[name] for name in wanted}

    def _prepare(self) -> None:
        _first_inputs(self.subject, self.seed)
        self.noise = measure_noise(self.subject, self.seed, self.clock.share(0.1))
        # A defect must exceed 1000 times the noise, and 10 times what an adaptive flow promises.
        accuracy = own_accuracy(self.subject, self.seed) / 100
        self.noise = replace(self.noise, value=max(self.noise.value, accuracy))
        self.sizes, self.failed = affordable_sizes(self.subject, self.clock, self.seed)
        self.subject.largest = max(LEAST_LIST, *self.sizes)

    def _hung(self, found: dict[str, Finding], wanted: tuple[str, ...], stop: OutOfTime) -> None:
        n = 0 if stop.atoms is None else len(stop.atoms[0])
        reason = f"a call on a measure of {atoms(n)} outlived the budget"
        evidence = {} if stop.atoms is None else {"input": stop.atoms[0], "weights": stop.atoms[1]}
        for name in wanted:
            if name not in found:
                undecided = Finding(name, "undecided", reason, evidence)
                found[name] = _blocked(name, found) or undecided

    def _finding(
        self, name: str, found: dict[str, Finding], wanted: tuple[str, ...], refusal: str
    ) -> Finding:
        blocked = _blocked(name, found)
        if blocked is not None:
            return blocked
        left = [SHARES[other] for other in wanted if other not in found]
        clock = self.clock.share(SHARES[name] / sum(left))
        try:
            outcome = self._check(name, clock)
        except Undefined as undefined:
            return self._undefined(name, found, undefined)
        except OutOfTime as stop:
            if stop.atoms is not None:
                raise
            return Finding(name, "undecided", self._untried())
        if name == "well-defined" and outcome.violation is None and self.failed is not None:
            return self._undefined(name, found, self.failed)
        return self._judged(name, outcome, refusal)

    def _check(self, name: str, clock: Clock) -> Outcome:
        subject, noise, sizes, seed = self.subject, self.noise, self.sizes, self.seed
        subject.steps = 0.0
        if name == "well-defined":
            return check_well_defined(subject, noise, sizes, seed, clock, self.clock)
        if name == "continuous":
            return check_continuous(subject, noise, seed, clock, self.clock)
        if name == "B1":
            return check_support(subject, noise, sizes, seed, clock, self.clock)
        if name == "B2":
            return check_regular(subject, noise, seed, clock)
        return check_vlasov(subject, noise, seed, clock)

    def _undefined(self, name: str, found: dict[str, Finding], undefined: Undefined) -> Finding:
        """A map that is not defined somewhere is not well-defined, whichever check met it."""
        violation = Violation("undefined", (undefined.atoms,), {}, undefined.reason)
        reason = f"{undefined.reason} on a measure of {atoms(len(undefined.atoms[0]))}"
        refuted = Finding(
            "well-defined", "refuted", reason, {}, self._counterexample("well-defined", violation)
        )
        if name == "well-defined":
            return refuted
        for other in list(found):
            found[other] = Finding(other, "not-applicable", "the map is not well-defined")
        if "well-defined" in found:
            found["well-defined"] = refuted
        return Finding(name, "not-applicable", f"the map is not well-defined: {reason}")

    def _judged(self, name: str, outcome: Outcome, refusal: str) -> Finding:
        evidence = {
            "independent draws": outcome.drawn,
            "searched trials": outcome.searched,
            "worst defect": outcome.worst,
            "failing share below (95 %)": outcome.failing_share(),
            "noise": self.noise.value,
            "arithmetic": self.noise.precision,
            "largest measure": self.sizes[-1],
            **outcome.evidence,
        }
        if outcome.violation is not None and isinstance(self.candidate, Symbolic):
            why = doubt(self.candidate, outcome.violation)
            if why is not None:
                return Finding(name, "undecided", f"{outcome.reason}; {why}{refusal}", evidence)
        if outcome.violation is not None:
            counterexample = self._counterexample(name, outcome.violation)
            return Finding(name, "refuted", outcome.reason, evidence, counterexample)
        if outcome.undecided:
            return Finding(name, "undecided", outcome.reason + refusal, evidence)
        if not outcome.drawn + outcome.searched:
            return Finding(name, "undecided", self._untried() + refusal, evidence)
        reason = outcome.reason or _tested(name, outcome)
        steps = self.subject.steps
        if steps:
            evidence["steps"] = steps
        if steps > outcome.harmless:
            reason = f"the image moves in steps of {steps:.1g} everywhere: {_COARSE}"
            return Finding(name, "undecided", reason + refusal, evidence)
        if steps:
            reason += f" (it moves in steps of {steps:.1g} everywhere, as rounding makes them)"
        return Finding(name, "tested", reason + self._resolution() + refusal, evidence)

    def _untried(self) -> str:
        """Why nothing was tried, and which budget would do."""
        one = self.subject.seconds / max(1, self.subject.calls)
        if one < 1e-3 * self.clock.seconds:
            return _UNTRIED
        return f"{_UNTRIED}: a call takes {one:.2g} s, so give it {max(400 * one, 1.0):.0f} s"

    def _resolution(self) -> str:
        if self.noise.precision == "float64":
            return ""
        return f" (the map computes in {self.noise.precision}: seen down to {self.noise.value:.1e})"

    def _counterexample(self, name: str, violation: Violation) -> Counterexample:
        measures = tuple(DiscreteMeasure(p, w) for p, w in violation.measures)
        text = json.dumps(
            [
                title(self.candidate),
                name,
                violation.operation,
                [[m.points.tolist(), m.weights.tolist()] for m in measures],
            ]
        )
        identifier = f"{name.lower()}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
        found = Counterexample(
            condition=name,
            operation=violation.operation,
            measures=measures,
            numbers=violation.numbers,
            id=identifier,
            snippet=snippet(self.candidate, violation, path_of(identifier)),
        )
        again = partial(reevaluate, self.candidate, found)
        found = Counterexample(
            found.condition,
            found.operation,
            found.measures,
            found.numbers,
            found.id,
            found.snippet,
            again,
        )
        try:
            save(found, {**self.origin, "seed": self.seed, "versions": versions()})
        except OSError:
            self.tell(name, "the finding could not be stored (PUSHFORWARD_HOME is not writable)")
        return found


def _blocked(name: str, found: dict[str, Finding]) -> Finding | None:
    """The verdict that follows from an earlier condition, or None."""

    def refuted(condition: str) -> bool:
        return condition in found and found[condition].verdict == "refuted"

    if name != "well-defined" and refuted("well-defined"):
        return Finding(name, "not-applicable", "the map is not well-defined")
    if name == "B2" and refuted("B1"):
        return Finding(name, "not-applicable", "the map is not support-preserving (B1 is refuted)")
    if name == "B2" and refuted("continuous"):
        earlier = found["continuous"]
        return Finding(
            name,
            "refuted",
            "f is not continuous, and G# is for every continuous G: " + earlier.reason,
            dict(earlier.evidence),
            earlier.counterexample,
        )
    return None


def _tested(name: str, outcome: Outcome) -> str:
    share = f"; at 95 % fewer than {outcome.failing_share():.2g} of the drawn distribution fail"
    share = share if outcome.failing_share() < 1 else ""
    drawn = f"measure{'s' * (outcome.drawn != 1)}"
    if name == "well-defined":
        return (
            f"no way of writing {outcome.drawn} drawn {drawn} ({outcome.searched} more searched) "
            f"changes the image{share}"
        )
    if name == "continuous":
        return (
            f"no jump along {outcome.searched} paths, down to distance "
            f"{outcome.evidence['finest distance']:.0e}"
        )
    if name == "B1":
        return f"the images of {outcome.drawn} tagged {drawn} carry the input weights{share}"
    slope = outcome.evidence.get("steepest slope")
    steep = f"; steepest slope seen {slope:.3g}" if slope else ""
    return (
        f"no jump, no oscillation and no unsaturated approach of the recovered G in "
        f"{outcome.searched} searches{steep}"
    )


def _proof(candidate: Candidate) -> tuple[Any, str]:
    """A proof of a symbolic candidate, or why there is none."""
    if not isinstance(candidate, Symbolic):
        return None, ""
    from ..proofs_checks import Proof, prove

    answer = prove(candidate.bound.map, candidate.bound.parameters, candidate.domain)
    if isinstance(answer, Proof):
        return answer, ""
    return None, f" (no proof: {answer.head}, {answer.reason})"


def _proved(name: str, proof: Any) -> Finding:
    why = {
        "well-defined": "G is given by a formula that is finite for every measure on the domain",
        "continuous": "f = G# and G is continuous on P(domain) x domain",
        "B1": "f = G# carries weights along",
        "B2": "f = G# with G continuous, which is B2 by the theorem",
    }[name]
    return Finding(
        name,
        "proved",
        f"{why} ({THEOREM})",
        {"rules": list(proof.rules), "derivation": str(proof)},
    )


def _first_inputs(subject: Subject, seed: int) -> None:
    """A function that fails on each of eight first inputs is called wrongly: say so."""
    rng = np.random.default_rng([seed, 0])
    first: Undefined | None = None
    for size in range(1, 9):
        atoms = Recipe(size, int(rng.integers(2**31))).build(subject.domain, equal=True)
        try:
            subject.push(*atoms)
            return
        except Undefined as undefined:
            first = first or undefined
        except Unsupported:
            return
    assert first is not None
    advice = f"check how {type(subject.candidate).__name__} calls it"
    if is_torch_module(subject.candidate.fn):
        advice = "torch_module(module, domain) calls it on tensors"
    raise ValueError(
        f"{title(subject.candidate)} fails on each of the first 8 inputs: {first.reason}; {advice}."
    )


def check_options(
    candidate: Candidate, conditions: Iterable[str] | None, budget: str | float, seed: Any
) -> float:
    """The seconds of a budget; what `verify` would say of wrong options, without a run."""
    _wanted(conditions, candidate)
    _seed(seed)
    return _seconds(budget)


def _seconds(budget: str | float) -> float:
    if isinstance(budget, str) and budget in BUDGETS:
        return BUDGETS[budget]
    try:
        seconds = float(budget)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf or isinstance(budget, bool):
        raise ValueError(
            f"budget expects {', '.join(BUDGETS)} or a positive number of seconds. Got {budget!r}."
        )
    return seconds


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed expects a whole number >= 0. Got {seed!r}.")
    return int(seed)


def _wanted(conditions: Iterable[str] | None, candidate: Candidate) -> tuple[str, ...]:
    """The conditions to run, prerequisites included, in order."""
    flow = isinstance(candidate, Flow)
    if conditions is None:
        return tuple(name for name in CONDITIONS if flow or name != "vlasov")
    known = ", ".join(CONDITIONS)
    if not isinstance(conditions, Iterable):
        raise TypeError(f"conditions expects names among {known}. Got {conditions!r}.")
    asked = [conditions] if isinstance(conditions, str) else list(conditions)
    unknown = [repr(name) for name in asked if name not in CONDITIONS]
    if unknown:
        raise ValueError(f"conditions expects names among {known}. Got {', '.join(unknown)}.")
    if not asked:
        raise ValueError(f"conditions expects at least one of {known}.")
    if "vlasov" in asked and not flow:
        raise ValueError("the condition vlasov is about a Flow; the candidate is none.")
    before = {"well-defined"}
    if "B2" in asked:
        before |= {"continuous", "B1"}
    return tuple(name for name in CONDITIONS if name in before.union(asked))


def origin(candidate: Candidate, target: str | None) -> dict[str, Any]:
    """Where the candidate comes from, for `replay`: a target, or the place of its function."""
    found: dict[str, Any] = {
        "target": target,
        "kind": type(candidate).__name__,
        "domain": candidate.domain.spec(),
        "function": None,
    }
    name = getattr(candidate.fn, "__qualname__", "")
    try:
        path = inspect.getsourcefile(candidate.fn)
    except TypeError:
        path = None
    if path and name.isidentifier():
        found["function"] = f"{path}:{name}"
    return found


def versions() -> dict[str, str]:
    """The versions a finding depends on."""
    found = {"python": platform.python_version()}
    for package in ("pushforward", "numpy", "scipy", "sympy", "hypothesis", "pot"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
