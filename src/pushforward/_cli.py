"""The command line. Its words are those of the Python API; each command imports what it needs.

Exit codes: 0 nothing refuted, 1 something refuted, 2 the call or the input is wrong, 3 undecided
and nothing refuted. An error is one line on stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

CONDITIONS = ("well-defined", "continuous", "B1", "B2", "vlasov")
BUDGETS = {"quick": 5.0, "standard": 30.0, "thorough": 600.0}
METHODS = ("rk4", "euler", "dopri5")
COLOURS = {
    "proved": "bold green",
    "certified": "bold green",
    "tested": "green",
    "refuted": "bold red",
    "undecided": "yellow",
    "not-applicable": "dim",
}
_LONGEST_ERROR = 380

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Verify, derive and run maps between probability measures.",
)

Target = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="file.py:name, package.module:name or a catalogue name."),
]
Domain = Annotated[
    str | None,
    typer.Option(help="ball:2:1.0, box:-1,1:3, sphere:3 or simplex:3; else the candidate's own."),
]


def main() -> NoReturn:
    """Run the command line and exit; every failure is one line."""
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        code = _complain(error.format_message())
    except KeyboardInterrupt:
        code = _complain("interrupted.")
    except (ValueError, TypeError, KeyError, OSError) as error:
        code = _complain(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    except Exception as error:
        # A crash of our own must not exit with 1, which says "refuted".
        if os.environ.get("PUSHFORWARD_TRACEBACK"):
            raise
        code = _complain(
            f"internal error, {type(error).__name__}: {error}; "
            "set PUSHFORWARD_TRACEBACK=1 to see where, and please report it."
        )
    sys.exit(code or 0)


# Typer exports only this subclass of the error that it raises for a wrong call.
_UsageError: Any = typer.BadParameter.__mro__[1]


def _complain(message: str) -> int:
    line = " ".join(message.split())
    line = line if len(line) <= _LONGEST_ERROR else line[: _LONGEST_ERROR - 3] + "..."
    sys.stderr.write(f"error: {line}\n")
    return 2


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        import pushforward

        typer.echo(f"pushforward {pushforward.__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def verify(
    target: Target,
    domain: Domain = None,
    conditions: Annotated[
        str | None, typer.Option(help="Comma-separated, as in B1,B2; else all that apply.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="quick, standard, thorough or a number of seconds.")
    ] = "standard",
    seed: Annotated[int, typer.Option(help="The seed of all draws.")] = 0,
    json: Annotated[
        str | None, typer.Option(metavar="PATH|-", help="Write the report as JSON; - for stdout.")
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="PATH", help="Write the report as one HTML page.")
    ] = None,
    junit: Annotated[
        str | None, typer.Option(metavar="PATH", help="Write the report as JUnit XML.")
    ] = None,
) -> None:
    """Search for measures on which a candidate map breaks a condition."""
    _check_outputs({"--json": json, "--html": html, "--junit": junit}, inputs=[_file_of(target)])
    names, limit, place = _conditions(conditions), _budget(budget), _domain(domain)
    if seed < 0:
        raise ValueError(f"--seed expects an integer >= 0. Got {seed}.")
    from pushforward.verify import targets, verify as run

    # What the user's code prints must not mix with the report on stdout.
    with redirect_stdout(sys.stderr):
        candidate = targets.candidate(target, place)
        with _progress(f"verifying {target}", BUDGETS.get(limit, limit)) as tell:
            report = run(
                candidate, conditions=names, budget=limit, seed=seed,
                progress=tell, target=targets.anchored(target),
            )  # fmt: skip
    _warn_of_unstored(report)
    if json == "-":
        typer.echo(report.to_json())
    else:
        _print_report(candidate, report)
    _write_reports(report, json, html, junit)
    raise typer.Exit(_code(report))


@app.command()
def campaign(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET...", help="Targets as of verify, one or several."),
    ],
    out: Annotated[
        Path, typer.Option(help="The NDJSON file to write or to continue: one line a run.")
    ],
    seeds: Annotated[
        str, typer.Option(metavar="N|FIRST:LAST", help="Seeds 0 to N-1, or FIRST to LAST-1.")
    ] = "10",
    domain: Domain = None,
    conditions: Annotated[
        str | None, typer.Option(help="Comma-separated, as in B1,B2; else all that apply.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="quick, standard, thorough or seconds, for each run.")
    ] = "quick",
    workers: Annotated[
        int, typer.Option(help="Processes of this machine to run on, by Dask; 0 for this one.")
    ] = 0,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The Dask scheduler of a cluster.")
    ] = None,
) -> None:
    """Verify several maps with several seeds; an interruption keeps what was found."""
    _check_outputs({"--out": str(out)}, inputs=[_file_of(target) for target in targets])
    names, limit, place, numbers = (
        _conditions(conditions), _budget(budget), _domain(domain), _seeds(seeds),
    )  # fmt: skip
    from pushforward.verify import campaign as run

    with _cluster(workers, scheduler) as client, redirect_stdout(sys.stderr):
        with _progress(f"verifying {len(targets)} maps", None) as tell:
            found = run(
                targets, numbers, out=out, conditions=names, budget=limit, domain=place,
                client=client, progress=lambda name, done, of: tell(name, f"{done} of {of}"),
            )  # fmt: skip
    typer.echo(str(found))
    verdicts = {verdict for counts in found.counts().values() for verdict in counts}
    undecided = found.interrupted or "undecided" in verdicts
    raise typer.Exit(1 if found.worst else 2 if "error" in verdicts else 3 if undecided else 0)


@app.command()
def derive(
    target: Target,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
) -> None:
    """Print the derivatives of a symbolic map, or the Vlasov equation of a velocity field."""
    from pushforward.verify import targets

    with redirect_stdout(sys.stderr):
        derivation = _derivation(targets.resolve(target), target)
    typer.echo(derivation.latex() if latex else str(derivation))


@app.command()
def flow(
    target: Target,
    points: Annotated[
        Path, typer.Option(help=".npz with points (n, d) and weights (n,), or .npy with points.")
    ],
    out: Annotated[
        Path, typer.Option(help="The .npz to write: points, weights, time; or a .gif or .png.")
    ],
    time: Annotated[float, typer.Option(help="The time to flow for.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Steps; the first guess of dopri5.")] = 100,
    method: Annotated[str, typer.Option(help="rk4, euler or dopri5.")] = "rk4",
    engine: Annotated[str, typer.Option(help="auto, or the name of an engine.")] = "auto",
    trajectory: Annotated[
        bool, typer.Option("--trajectory", help="Write all times: trajectory (steps+1, n, d).")
    ] = False,
    domain: Annotated[
        str | None, typer.Option(help="sphere:3, or a product with spheres, that no step leaves.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="An .npz to go on from, written every minute.")
    ] = None,
) -> None:
    """Carry an ensemble along a bound velocity field."""
    kept = None if checkpoint is None else str(checkpoint)
    _check_outputs({"--out": str(out), "--checkpoint": kept}, inputs=[points, _file_of(target)])
    _check_flow(time, steps, method, out)
    measure, space = _read_measure(points), _domain(domain)
    import numpy as np

    from pushforward.verify import targets

    picture = out.suffix != ".npz"
    with redirect_stdout(sys.stderr):
        field = _field(targets.resolve(target), target)
        with _progress(f"flowing {len(measure)} atoms", None) as tell:
            moved = field.flow(
                measure.points, measure.weights, time, steps=steps, method=method, engine=engine,
                trajectory=trajectory and not picture, domain=space, checkpoint=checkpoint,
                times=np.linspace(0.0, time, 61) if picture else None,
                progress=lambda share: tell("", f"{share:.0%}"),
            )  # fmt: skip
    if picture:
        from pushforward.verify.animation import draw_flow

        draw_flow(moved, measure.weights, out, time=time)
    else:
        name = "trajectory" if trajectory else "points"
        np.savez(out, **{name: np.asarray(moved)}, weights=measure.weights, time=time)
    typer.echo(f"{out}: {len(measure)} atoms in dimension {measure.dim} at time {time:g}.")


@app.command()
def replay(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The id in a report.")],
) -> None:
    """Evaluate a stored counterexample again: STILL FAILS (1) or FIXED (0)."""
    from pushforward.verify import store, targets
    from pushforward.verify.reevaluate import reevaluate

    found, origin = store.load(identifier)
    with redirect_stdout(sys.stderr):
        still = reevaluate(targets.of_origin(origin), found)
    outcome = "STILL FAILS" if still else "FIXED"
    place = origin["target"] or origin["function"]
    typer.echo(f"{outcome}: {found.condition} ({found.operation}), {place}")
    raise typer.Exit(1 if still else 0)


@app.command()
def catalogue() -> None:
    """List the named maps with their known verdicts."""
    from pushforward.verify.catalogue import CATALOGUE

    short = {"not-applicable": "n/a"}
    rows = [("name", *CONDITIONS, "because")]
    for row in CATALOGUE.values():
        verdicts = (row.expected.get(condition, "") for condition in CONDITIONS)
        rows.append((row.name, *(short.get(word, word) for word in verdicts), row.reason))
    _print_columns(rows)


@app.command()
def doctor() -> None:
    """Say which engines and packages are here, and what is missing."""
    from pushforward._doctor import engines, packages

    _print_columns([("package", "version"), *packages()])
    typer.echo("")
    _print_columns([("engine", "state"), *engines()])


# Arguments ----------------------------------------------------------------------------------------


def _check_outputs(outputs: dict[str, str | None], inputs: Sequence[Path | None]) -> None:
    taken = {path.resolve(): "an input" for path in inputs if path is not None}
    for option, text in outputs.items():
        if text is None or (option == "--json" and text == "-"):
            continue
        path = Path(text)
        if text in ("", "-") or path.is_dir():
            raise ValueError(f"{option} expects the path of a file. Got {text!r}.")
        if not path.parent.is_dir():
            raise ValueError(f"{option}: the folder {path.parent} does not exist.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError(f"{option}: {path} cannot be written.")
        if path.resolve() in taken:
            raise ValueError(f"{option}: {path} is {taken[path.resolve()]} of this call too.")
        taken[path.resolve()] = f"the file of {option}"


def _file_of(target: str) -> Path | None:
    place = Path(target.rpartition(":")[0])
    return place if place.suffix == ".py" else None


def _conditions(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in CONDITIONS:
            raise ValueError(f"--conditions expects some of {', '.join(CONDITIONS)}. Got {name!r}.")
    return names


def _budget(text: str) -> str | float:
    if text in BUDGETS:
        return text
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(
            "--budget expects quick, standard, thorough or a positive number of seconds. "
            f"Got {text!r}."
        )
    return seconds


def _seeds(text: str) -> range:
    first, _, last = text.rpartition(":")
    try:
        seeds = range(int(first or 0), int(last))
    except ValueError:
        seeds = range(0)
    if not seeds or seeds[0] < 0:
        raise ValueError(
            f"--seeds expects a number, or FIRST:LAST with FIRST < LAST. Got {text!r}."
        )
    return seeds


@contextmanager
def _cluster(workers: int, scheduler: str | None) -> Iterator[Any]:
    """A client of Dask, or None to run here."""
    if workers < 0 or (workers and scheduler):
        raise ValueError("--workers expects a number >= 0, and --scheduler none of its own.")
    if not workers and scheduler is None:
        yield None
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError(
            "--workers and --scheduler need Dask: pip install 'pushforward[distributed]'."
        ) from error
    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None
    ) as cluster, Client(cluster) as client:  # fmt: skip
        yield client


def _domain(text: str | None) -> Any:
    if text is None:
        return None
    from pushforward.numeric import parse_domain

    return parse_domain(text)


def _check_flow(time: float, steps: int, method: str, out: Path) -> None:
    if not -float("inf") < time < float("inf"):
        raise ValueError(f"--time expects a finite number. Got {time}.")
    if steps < 1:
        raise ValueError(f"--steps expects an integer >= 1. Got {steps}.")
    if method not in METHODS:
        raise ValueError(f"--method expects one of {', '.join(METHODS)}. Got {method!r}.")
    if out.suffix not in (".npz", ".gif", ".png"):
        raise ValueError(f"--out expects a file that ends in .npz, .gif or .png. Got {str(out)!r}.")


def _read_measure(path: Path) -> Any:
    import zipfile

    import numpy as np

    from pushforward.numeric import DiscreteMeasure

    if not path.is_file():
        raise ValueError(f"--points: {path} does not exist or is no file.")
    try:
        data = np.load(path, allow_pickle=False)
        if isinstance(data, np.ndarray):
            return DiscreteMeasure(data)
        if "points" not in data:
            raise ValueError(f"expected points and weights, got {', '.join(data) or 'nothing'}")
        return DiscreteMeasure(data["points"], data["weights"] if "weights" in data else None)
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"--points: {path} holds no measure: {error}.") from error


def _derivation(found: Any, target: str) -> Any:
    from pushforward.symbolic import DerivedTerm, SymbolicMap, VelocityField, derive

    for wrapped in ("field", "bound", "map"):
        found = getattr(found, wrapped, found)
    if isinstance(found, SymbolicMap):
        return derive(found)
    if isinstance(found, VelocityField):
        return found.vlasov()
    if isinstance(found, DerivedTerm):
        return found
    raise ValueError(
        f"{target} is no symbolic map or velocity field, so it has no formula to derive; "
        "write it as a SymbolicMap, see pushforward.symbolic."
    )


def _field(found: Any, target: str) -> Any:
    found = getattr(found, "field", found)
    if hasattr(found, "flow"):
        return found
    raise ValueError(
        f"{target} is no bound velocity field; name one in the file, "
        "as in `field = VelocityField(term, x, mu).bind(A=a)`."
    )


# Output -------------------------------------------------------------------------------------------


def _warn_of_unstored(report: Any) -> None:
    from pushforward.verify import store

    found = (finding.counterexample for finding in report.conditions.values())
    for path in {store.path_of(one.id) for one in found if one is not None}:
        if not path.is_file():
            sys.stderr.write(f"{path} could not be written: replay will not know this finding.\n")


def _print_report(candidate: Any, report: Any) -> None:
    from rich.console import Console
    from rich.text import Text

    bound = getattr(candidate, "bound", None)
    if bound is not None:
        typer.echo(f"{_derivatives(bound.map)}\n")
    text = Text(str(report))
    for verdict, colour in COLOURS.items():
        text.highlight_regex(rf"(?<=  ){verdict}\b", colour)
    Console(highlight=False, soft_wrap=True).print(text)


def _derivatives(source: Any) -> str:
    """The derivatives of a formula to read, or why it has none: a verdict needs no derivative."""
    from pushforward.symbolic import NotDerivable, derive

    try:
        return str(derive(source))
    except NotDerivable as reason:
        return f"{source}: {reason}"


def _write_reports(report: Any, json: str | None, html: str | None, junit: str | None) -> None:
    from pushforward.verify.report import junit as render

    def write_junit(path: str) -> None:
        Path(path).write_text(render(report), encoding="utf-8")

    _write("--json", report.to_json, None if json == "-" else json)
    _write("--html", report.to_html, html)
    _write("--junit", write_junit, junit)


def _write(option: str, write: Callable[[str], object], path: str | None) -> None:
    if path is None:
        return
    try:
        write(path)
    except OSError as error:
        raise ValueError(f"{option}: {path} could not be written: {error.strerror}.") from error


def _code(report: Any) -> int:
    verdicts = {finding.verdict for finding in report.conditions.values()}
    return 1 if "refuted" in verdicts else 3 if "undecided" in verdicts else 0


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


@contextmanager
def _progress(what: str, seconds: float | None) -> Iterator[Callable[[str, str], None]]:
    """A spinner with the time used, on stderr and only where that is a terminal.

    Gives a function that shows what is under way: a condition, and what happens to it.
    """
    if not sys.stderr.isatty():
        yield lambda condition, text: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    limit = f" of at most {seconds:g} s" if seconds else ""
    words = TextColumn("{task.description}")
    columns = (SpinnerColumn(), words, TimeElapsedColumn(), TextColumn(limit))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda condition, text: progress.update(
            task, description=f"{what}: {condition} {text}"
        )
