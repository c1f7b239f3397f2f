"""How often the checkers are wrong: false refutations, and planted violations that they miss.

    python benchmarks/power.py good --maps 300 --seeds 4 --budget 0.5
    python benchmarks/power.py planted --maps 25 --budget quick
    python benchmarks/power.py table

Each run is one line appended to `benchmarks/power.ndjson`; runs that are there are skipped, so a
study can be interrupted and goes on where it stopped. `table` prints rates with 95 % limits and
writes `docs/power.png`. `--clock cpu` counts the budget in CPU time of the process, so that the
searches are as deep on a busy machine as on an idle one.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from power_maps import KINDS, good_map, planted_map

import pushforward as pf
from pushforward.verify import subject


class CpuTime:
    """Stands for the module `time` where budgets are counted."""

    monotonic = perf_counter = staticmethod(time.process_time)


RECORDS = Path(__file__).with_name("power.ndjson")
PICTURE = Path(__file__).parents[1] / "docs" / "power.png"


def runs(options):
    """The identity of every run of a study: what is planted, its exponent, the map, the seed."""
    if options.study == "good":
        for seed in range(options.seeds):
            for map_seed in range(options.maps):
                yield {"study": "good", "map": map_seed, "seed": seed}
        return
    for map_seed in range(options.maps):
        for kind in options.kinds:
            for exponent in options.exponents:
                yield {
                    "study": "planted", "kind": kind, "exponent": exponent,
                    "map": map_seed, "seed": options.first_seed,
                }  # fmt: skip


def run(identity, budget):
    if identity["study"] == "good":
        name, candidate = good_map(identity["map"])
        conditions = None
    else:
        name, candidate, conditions = planted_map(
            identity["kind"], 10.0 ** -identity["exponent"], identity["map"]
        )
    report = pf.verify(candidate, budget=budget, seed=identity["seed"], conditions=conditions)
    record = identity | {"budget": str(budget)}
    if identity["study"] == "planted":
        return record | {"name": name, "found": report[conditions].verdict == "refuted"}
    for verdict in ("refuted", "undecided"):
        reasons = {n: f.reason for n, f in report.conditions.items() if f.verdict == verdict}
        record |= {verdict: reasons} if reasons else {}
    return record


def key(record):
    parts = ("study", "kind", "exponent", "map", "seed", "budget")
    return tuple(record.get(part) for part in parts)


def read():
    lines = RECORDS.read_text().splitlines() if RECORDS.exists() else []
    return [json.loads(line) for line in lines]


def study(options):
    done = {key(record) for record in read()}
    budget = options.budget
    todo = [i for i in runs(options) if key(i | {"budget": str(budget)}) not in done]
    todo = todo[options.part :: options.parts]
    started = time.monotonic()
    with RECORDS.open("a") as records:
        for count, identity in enumerate(todo):
            record = run(identity, budget)
            records.write(json.dumps(record) + "\n")
            records.flush()
            wrong = "refuted" in record or record.get("found") is False
            if wrong:
                print("\n" + json.dumps(record), file=sys.stderr)
            if sys.stderr.isatty():
                passed = time.monotonic() - started
                print(f"\r{count + 1}/{len(todo)}  {passed:.0f} s", end="", file=sys.stderr)


# ---- what came out


def limit(failures, total):
    """The exact upper 95 % limit of a rate (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    return float(beta.ppf(0.95, failures + 1, total - failures)) if total > failures else 1.0


def rates(records):
    """(kind, budget) -> {exponent: (found, total)}."""
    found = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for record in records:
        if record["study"] == "planted":
            cell = found[record["kind"], record["budget"]][record["exponent"]]
            cell[0] += record["found"]
            cell[1] += 1
    return found


def table():
    records = read()
    by_budget = defaultdict(lambda: [0, 0, 0])
    for record in records:
        if record["study"] == "good":
            cell = by_budget[record["budget"]]
            cell[0] += "refuted" in record
            cell[1] += "undecided" in record
            cell[2] += 1
    print("| good maps, budget | runs | false refutations | upper 95 % limit | undecided |")
    print("|---|---|---|---|---|")
    for budget, (wrong, open_, total) in sorted(by_budget.items()):
        print(f"| {budget} | {total} | {wrong} | {limit(wrong, total):.2%} | {open_} |")
    found = rates(records)
    exponents = sorted({e for cells in found.values() for e in cells})
    if not exponents:
        return
    print("\n| planted, budget | " + " | ".join(f"1e-{e}" for e in exponents) + " |")
    print("|---" * (len(exponents) + 1) + "|")
    for (kind, budget), cells in sorted(found.items()):
        row = [f"{cells[e][0]}/{cells[e][1]}" if e in cells else "" for e in exponents]
        print(f"| {kind}, {budget} | " + " | ".join(row) + " |")
    draw(found)


def draw(found):
    """Kinds of violations by budgets and sizes: the share found, as a colour and as numbers."""
    from matplotlib.figure import Figure

    kinds = sorted({kind for kind, _ in found})
    columns = sorted({(budget, e) for (_, budget), cells in found.items() for e in cells})
    figure = Figure(figsize=(2.4 + 0.9 * len(columns), 1 + 0.32 * len(kinds)), layout="constrained")
    axes = figure.subplots()
    shares = np.full((len(kinds), len(columns)), np.nan)
    for i, kind in enumerate(kinds):
        for j, (budget, exponent) in enumerate(columns):
            hits, total = found.get((kind, budget), {}).get(exponent, (0, 0))
            if total:
                shares[i, j] = hits / total
                axes.text(j, i, f"{hits}/{total}", ha="center", va="center", fontsize=9)
    drawn = axes.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto", alpha=0.7)
    axes.set_xticks(range(len(columns)), [f"1e-{e}\n{budget}" for budget, e in columns])
    axes.set_yticks(range(len(kinds)), kinds)
    figure.colorbar(drawn, label="share found")
    figure.savefig(PICTURE, dpi=120)
    print(PICTURE, file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="How often the checkers are wrong.")
    parser.add_argument("study", choices=["good", "planted", "table"])
    parser.add_argument("--maps", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=lambda s: float(s) if s[0].isdigit() else s, default=0.5)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--exponents", nargs="+", type=int, default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--part", type=int, default=0, help="this process runs part of parts")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    np.seterr(all="ignore")
    if options.clock == "cpu":
        subject.time = CpuTime  # type: ignore[assignment]
    table() if options.study == "table" else study(options)


if __name__ == "__main__":
    main()
