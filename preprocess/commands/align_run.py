"""Aligns the movies of `cryoferry align`: refuses what cannot work before it begins, and prints the results."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from preprocess.commands.movie_bars import MovieBars
from preprocess.errors import OutputRefused, PreprocessError
from preprocess.escaped_names import encodable, escaped, for_terminal
from preprocess.exposure.chosen import ChosenAlignment
from preprocess.outputs.micrographs_star import FILE_NAME, write_micrographs_star
from preprocess.outputs.output_names import output_paths, refuse_to_write_over
from preprocess.pipeline.movie_stages import MovieStages
from preprocess.pipeline.overlapping import pays_on, process_movies
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import MOTION_EARLY, MOTION_TOTAL, ProcessedMovie

SOME_FAILED = 3
_WIDE = 10_000  # columns of a table in a pipe


def refuse_collisions(movies: Sequence[Path], out: Path) -> None:
    """Refuse movies that would write the same outputs, or over a movie.

    Raises
    ------
    OutputRefused
        Two movies have the same stem, or an output is one of the movies. The text names both.
    """
    first: dict[Path, Path] = {}
    for movie in movies:
        for other in movies:
            refuse_to_write_over(other, output_paths(movie, out).values())
        for path in output_paths(movie, out).values():
            other = first.setdefault(path, movie)
            if other is not movie:
                raise OutputRefused(
                    f"{other} and {movie} would both write {path}",
                    hint="Run the command once for each, with another --out.",
                )


def refuse_existing(movies: Sequence[Path], out: Path) -> None:
    """Refuse to replace results.

    Raises
    ------
    OutputRefused
        An output exists already.
    """
    for movie in movies:
        for path in output_paths(movie, out).values():
            if path.exists():
                raise OutputRefused(f"{path} exists already", hint="Give another --out, or --overwrite to replace it.")


@dataclass(frozen=True, slots=True)
class Aligned:
    """A movie, and its results or the error that it ended with."""

    movie: Path
    result: ProcessedMovie | PreprocessError


class AlignmentRun:
    """Aligns movies in their order, going on after a failed one."""

    def __init__(self, alignment: ChosenAlignment, out: Path, *, json: bool, star: bool = False) -> None:
        self._alignment = alignment
        self._out = out
        self._json = json
        self._star = star
        self._console = _console(stderr=True)

    def say_what_would_be_done(self, movies: Sequence[Path]) -> None:
        """Print what each movie would become."""
        settings = self._alignment.settings
        wanted = {
            "micrograph_unweighted": settings.unweighted,
            "micrograph_even": settings.even_odd,
            "micrograph_odd": settings.even_odd,
            "motion_log": settings.motioncor_logs,
            "patch_motion_log": settings.motioncor_logs,
        }
        for movie in movies:
            outputs = [
                escaped(str(path)) for role, path in output_paths(movie, self._out).items() if wanted.get(role, True)
            ]
            if self._json:
                _print_object({"movie": escaped(str(movie)), "would_write": outputs})
            else:
                typer.echo(f"{escaped(str(movie))} would become {', '.join(outputs)}")

    def align_all(self, movies: Sequence[Path]) -> int:
        """Align all; return the exit code.

        Raises
        ------
        PreprocessError
            The only movie failed.
        """
        done: list[Aligned] = []
        with MovieBars(self._console, movies) as bars:
            for item in self._aligned(movies, bars):
                done.append(item)
                bars.remove(item.movie)
                if self._json and not (len(movies) == 1 and isinstance(item.result, PreprocessError)):
                    with bars.aside():
                        _print_object(_as_object(item))
        failed = [item for item in done if isinstance(item.result, PreprocessError)]
        aligned = [item.result for item in done if isinstance(item.result, ProcessedMovie)]
        if self._star and aligned:
            write_micrographs_star(self._out / FILE_NAME, aligned)
        if failed and len(movies) == 1 and isinstance(failed[0].result, PreprocessError):
            raise _naming(failed[0].movie, failed[0].result)
        if not self._json:
            _results_console().print(_table(done))
        for item in done:
            for line in _remarks(item):
                self._console.print(f"{escaped(item.movie.name)}: {for_terminal(line)}", soft_wrap=True)
        return SOME_FAILED if failed else 0

    def _aligned(self, movies: Sequence[Path], bars: MovieBars) -> Iterator[Aligned]:
        """Yield what becomes of each movie, in order; their stages overlap where that pays."""
        chosen = self._alignment
        if len(movies) > 1 and chosen.settings.device != "cpu":
            stages = MovieStages.chosen(self._out, chosen.settings, chosen.flags, chosen.configured)
            if pays_on(stages.backend):
                with closing(process_movies(movies, stages, bars.advance)) as ends:
                    for movie, end in zip(movies, ends, strict=True):
                        yield _what_became(movie, end.result)
                return
        for movie in movies:
            yield _what_became(movie, partial(self._align_alone, movie, bars))

    def _align_alone(self, movie: Path, bars: MovieBars) -> ProcessedMovie:
        return process_movie(
            movie,
            self._out,
            settings=self._alignment.settings,
            acquisition=self._alignment.flags,
            configured=self._alignment.configured,
            progress=partial(bars.advance, movie),
        )


def _results_console() -> Console:
    """Return a console on stdout; in a pipe or a file, no line is broken or cut."""
    console = _console()
    return console if console.is_terminal else _console(width=_WIDE)


def _console(**options: Any) -> Console:
    """Return a console that takes no part of a name for a style."""
    return Console(markup=False, emoji=False, highlight=False, **options)


def _naming(movie: Path, error: PreprocessError) -> PreprocessError:
    """Return the error with the movie's name in its message."""
    if movie.name not in str(error):
        error.args = (f"{movie}: {error}",)
    return error


def _what_became(movie: Path, align: Callable[[], ProcessedMovie]) -> Aligned:
    try:
        return Aligned(movie, align())
    except PreprocessError as error:
        return Aligned(movie, error)


def _print_object(item: dict[str, Any]) -> None:
    typer.echo(json.dumps(item, ensure_ascii=False))
    sys.stdout.flush()


def _as_object(item: Aligned) -> dict[str, Any]:
    if isinstance(item.result, PreprocessError):
        error = item.result
        report = {
            "type": type(error).__name__,
            "message": encodable(str(error)),
            "hint": error.hint,
            "exit_code": error.exit_code,
        }
        return {"movie": escaped(str(item.movie)), "error": report}
    report = asdict(item.result)
    report["movie"] = escaped(str(item.movie))
    report["files"] = {file.role: escaped(str(file.path)) for file in item.result.files}
    report["seconds"] = {stage: round(seconds, 3) for stage, seconds in item.result.seconds.items()}
    return report


def _table(done: Sequence[Aligned]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("movie")
    table.add_column("motion, Å", justify="right")
    table.add_column("early", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("micrograph")
    for item in done:
        if isinstance(item.result, PreprocessError):
            table.add_row(escaped(item.movie.name), "", "", "", Text("failed", "red"))
            continue
        result = item.result
        table.add_row(
            escaped(item.movie.name),
            f"{result.figures[MOTION_TOTAL]:.1f}",
            f"{result.figures[MOTION_EARLY]:.1f}",
            f"{sum(result.seconds.values()):.1f}",
            for_terminal(str(result.file("micrograph"))),
        )
    return table


def _remarks(item: Aligned) -> list[str]:
    if isinstance(item.result, PreprocessError):
        return [f"{item.result}; what to do: {item.result.hint}"]
    return [f"warning: {warning.text}" for warning in item.result.warnings]
