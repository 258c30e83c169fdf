"""Measures how long `cryoferry status` takes as a session grows, as ratios to `python -c "import typer"`.

    python -m benchmarks.status_times --sizes 1000 10000 50000 --rounds 7

The journals are filled through the journal's own write functions; no receiver is asked. The commands take turns, so
that a busy machine slows them all down alike. The medians are compared.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.flow.filled_journal import FilledSession, fill_journal
from benchmarks.start_up import BASELINE, BASELINE_COMMAND, CRYOFERRY, measure, summary

FORMS: Mapping[str, Sequence[str]] = {
    "status": (),
    "status --json": ("--json",),
    "status --failed": ("--failed",),
    "status --since 1h": ("--since", "1h"),
    "status --state released": ("--state", "released"),
    "status PATTERN": ("*_Data_25597084_1_*",),
    "status --all --json": ("--all", "--json"),
}
"""What is measured, by its name in the results."""


def status_commands(works: Mapping[int, Path]) -> dict[str, Sequence[str]]:
    """Return the commands to measure, by name and size; `works` has the work folder of each size."""
    return {
        f"{form}, {size:,}": (*CRYOFERRY, "status", "--work", str(work), *arguments)
        for form, arguments in FORMS.items()
        for size, work in works.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill the journals and measure; print a table, or with --json one object."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.status_times",
        description="Measure how long `cryoferry status` takes as a session grows.",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10000, 50000], metavar="N", help="Exposures.")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="Number of runs of each command.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object on stdout.")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = {size: folder / str(size) for size in sorted(chosen.sizes)}
        for size, work in works.items():
            fill_journal(work, FilledSession(exposure_count=size))
        named = {BASELINE: BASELINE_COMMAND, **status_commands(works)}
        found = summary(measure(named, chosen.rounds, folder))
    if chosen.json:
        print(json.dumps(found))  # noqa: T201 - the result
        return
    smallest = min(works)
    for form, values in found.items():
        first = found.get(f"{form.rpartition(', ')[0]}, {smallest:,}", values)
        times = f"{values['median_s']:6.3f} s  {values['ratio']:6.2f} times the first"
        print(f"{form:36} {times}  {values['median_s'] / first['median_s']:6.2f} times {smallest:,}")  # noqa: T201


if __name__ == "__main__":
    main()
