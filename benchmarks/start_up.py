"""Measures how long commands take to start, as ratios to `python -c "import typer"` in the same run.

    python -m benchmarks.start_up --rounds 11

The commands take turns, so that a busy machine slows them all down alike. The medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.journal.journal import Journal
from preprocess.simulation import SimulationSettings, simulate_movie

BASELINE = 'python -c "import typer"'
BASELINE_COMMAND = (sys.executable, "-c", "import typer")
MOVIE_SIZE_PX, MOVIE_FRAMES = 256, 4
CRYOFERRY = (sys.executable, "-m", "cryoferry")
_ROOT = Path(__file__).parents[1]


def commands(folder: Path) -> dict[str, Sequence[str]]:
    """Prepare a journal and a movie in a folder; return the commands to measure, by the name in the results."""
    (folder / "work").mkdir()
    Journal(folder / "work").close()
    movie = folder / "movie.tiff"
    settings = SimulationSettings(height=MOVIE_SIZE_PX, width=MOVIE_SIZE_PX, frame_count=MOVIE_FRAMES, gain=False)
    simulate_movie(settings).write(movie)
    known = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "0.83", "--device", "cpu")
    return {
        BASELINE: BASELINE_COMMAND,
        "cryoferry --help": (*CRYOFERRY, "--help"),
        "cryoferry status": (*CRYOFERRY, "status", "--work", str(folder / "work")),
        "cryoferry align": (*CRYOFERRY, "align", str(movie), "--out", str(folder / "out"), "--overwrite", *known),
    }


def measure(named: Mapping[str, Sequence[str]], rounds: int, folder: Path) -> dict[str, list[float]]:
    """Run each command once a round, after one round that is not counted; return the seconds of each.

    Raises
    ------
    subprocess.CalledProcessError
        A command failed; its output is printed.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRYOFERRY_")}
    environment = {**clean, "HOME": str(folder), "PYTHONPATH": str(_ROOT)}
    seconds: dict[str, list[float]] = {name: [] for name in named}
    for number in range(rounds + 1):
        for name, command in named.items():
            began = time.perf_counter()
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            taken = time.perf_counter() - began
            if done.returncode:
                sys.stderr.write(done.stderr)
                done.check_returncode()
            if number:
                seconds[name].append(taken)
    return seconds


def summary(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return the median time of each command, in s, and its ratio to that of the baseline."""
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    return {name: {"median_s": median, "ratio": median / medians[BASELINE]} for name, median in medians.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table, or with --json one object."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.start_up", description="Measure how fast commands start."
    )
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="Number of runs of each command.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object on stdout.")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = summary(measure(commands(Path(folder)), chosen.rounds, Path(folder)))
    if chosen.json:
        print(json.dumps(found))  # noqa: T201 - the result
        return
    for name, values in found.items():
        print(f"{name:26} {values['median_s']:6.3f} s  {values['ratio']:5.2f} times the first")  # noqa: T201


if __name__ == "__main__":
    main()
