"""How `cryoferry align` tells what became of its movies: a line, a JSON object, a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from preprocess.commands.chosen_movies import MovieToAlign
from preprocess.errors import PreprocessError
from preprocess.escaped_names import encodable, escaped, for_terminal
from preprocess.results import (
    CTF_DEFOCUS_U,
    CTF_DEFOCUS_V,
    CTF_RELIABLE,
    CTF_RESOLUTION,
    MOTION_EARLY,
    MOTION_TOTAL,
    ProcessedMovie,
)

_WIDE = 10_000  # columns of a table in a pipe


@dataclass(frozen=True, slots=True)
class Aligned:
    """A movie, and its results or the error that it ended with; seconds are those of the clock on the wall."""

    movie: MovieToAlign
    result: ProcessedMovie | PreprocessError
    seconds: float


class _BehindBars(Console):
    """A console that writes to the terminal itself while bars are shown."""

    @property
    def file(self) -> IO[str]:
        """The stream behind all others: with bars, rich puts one of its own before ours, which escapes what it gets."""
        stream = super().file
        while (behind := getattr(stream, "rich_proxied_file", None)) is not None:
            stream = behind
        return stream

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        Console.file.fset(self, new_file)  # type: ignore[attr-defined]  # a property


def console(**options: Any) -> Console:
    """Return a console that takes no part of a name for a style."""
    return _BehindBars(markup=False, emoji=False, highlight=False, **options)


def results_console() -> Console:
    """Return a console on stdout; in a pipe or a file, no line is broken or cut."""
    ours = console()
    return ours if ours.is_terminal else console(width=_WIDE)


def print_object(item: dict[str, Any]) -> None:
    """Print a line of JSON at once."""
    typer.echo(json.dumps(item, ensure_ascii=False))
    sys.stdout.flush()


def line_of(item: Aligned, number: int, count: int) -> str:
    """Return a line about a movie that has ended, for a log."""
    end = f"{number}/{count} {escaped(item.movie.name)}:"
    if isinstance(item.result, PreprocessError):
        return f"{end} failed after {item.seconds:.1f} s"
    figures = item.result.figures
    motion = f"motion {figures[MOTION_TOTAL]:.1f} Å, early {figures[MOTION_EARLY]:.1f} Å"
    defocus, resolution = _ctf(item.result)
    ctf = f", defocus {defocus} µm, CTF to {resolution} Å" if defocus else ""
    return f"{end} aligned in {item.seconds:.1f} s, {motion}{ctf}"


def _ctf(result: ProcessedMovie) -> tuple[str, str]:
    """Return mean defocus in µm and fit resolution in Å of a reliable CTF; else empty texts."""
    figures = result.figures
    if not figures.get(CTF_RELIABLE):
        return "", ""
    return f"{(figures[CTF_DEFOCUS_U] + figures[CTF_DEFOCUS_V]) / 2e4:.2f}", f"{figures[CTF_RESOLUTION]:.1f}"


def as_object(item: Aligned) -> dict[str, Any]:
    """Return what `--json` prints about a movie."""
    movie = escaped(str(item.movie.path))
    if isinstance(item.result, PreprocessError):
        error = item.result
        report = {
            "type": type(error).__name__,
            "message": encodable(str(error)),
            "hint": error.hint,
            "exit_code": error.exit_code,
        }
        return {"movie": movie, "error": report}
    report = asdict(item.result)
    report["movie"] = movie
    report["files"] = {file.role: escaped(str(file.path)) for file in item.result.files}
    report["seconds"] = {stage: round(seconds, 3) for stage, seconds in item.result.seconds.items()}
    return report


def table(done: Sequence[Aligned]) -> Table:
    """Return the table of all movies."""
    rows = Table(box=None, header_style="bold", pad_edge=False)
    rows.add_column("movie")
    rows.add_column("motion, Å", justify="right")
    rows.add_column("early", justify="right")
    rows.add_column("defocus, µm", justify="right")
    rows.add_column("CTF, Å", justify="right")
    rows.add_column("seconds", justify="right")
    rows.add_column("micrograph")
    for item in done:
        name = escaped(item.movie.name)
        if isinstance(item.result, PreprocessError):
            rows.add_row(name, "", "", "", "", "", Text("failed", "red"))
            continue
        result = item.result
        rows.add_row(
            name,
            f"{result.figures[MOTION_TOTAL]:.1f}",
            f"{result.figures[MOTION_EARLY]:.1f}",
            *_ctf(result),
            f"{sum(result.seconds.values()):.1f}",
            for_terminal(str(result.file("micrograph"))),
        )
    return rows


def remarks(item: Aligned) -> list[str]:
    """Return what a user should know about a movie: the error, or the warnings."""
    if isinstance(item.result, PreprocessError):
        return [f"{item.result}; what to do: {item.result.hint}"]
    return [f"warning: {warning.text}" for warning in item.result.warnings]
