"""Reads movies for `cryoferry gain estimate`, one after the other, until the gain is known well enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from preprocess.commands.align_report import console, print_object
from preprocess.commands.chosen_movies import choose_movies
from preprocess.commands.gain_convert_run import refuse_to_be
from preprocess.errors import GainUnsure, OutputRefused, PreprocessError
from preprocess.escaped_names import encodable, escaped, for_terminal
from preprocess.gains.estimate import FEWEST_MOVIES, GainEstimate, estimate_gain
from preprocess.gains.pixel_counts import PixelCounts
from preprocess.movies import Movie, open_movie
from preprocess.movies.raw_sum import raw_sum
from preprocess.output_folder import refuse_unwritable
from preprocess.outputs.gain_file import write_gain_reference
from preprocess.pipeline.falling_back import let_go_of_memory
from preprocess.settings import EerSettings

_LOOKS, _LOOK_EVERY = (4, 8, 16), 32
"""After so many movies it is asked whether they are enough; then after every 32."""


@dataclass(slots=True)
class _Reading:
    """What was read: of the first movie's size and format."""

    first: Movie
    counts: PixelCounts
    left_out: dict[Path, str] = field(default_factory=dict)

    @property
    def should_look(self) -> bool:
        return self.counts.movies in _LOOKS or self.counts.movies % _LOOK_EVERY == 0


def estimate_from_movies(
    named: Sequence[Path], out: Path, *, error: float, threads: int, overwrite: bool, json: bool
) -> None:
    """Write the gain reference that movies show, and say how good it is.

    Raises
    ------
    GainUnsure
        They do not show one; nothing is written.
    PreprocessError
        A movie is missing, none can be read, or the file cannot be written.
    """
    refuse_to_be(out, overwrite=overwrite)
    movies = [each.path for each in choose_movies(named, out).movies]
    if any(out.absolute() == movie.absolute() for movie in movies):
        raise OutputRefused(f"{out} is one of the movies")
    refuse_unwritable(out.parent)
    reading, estimate = _estimated(movies, error, threads)
    if not estimate.is_sure:
        raise _unsure(estimate)
    out.parent.mkdir(parents=True, exist_ok=True)
    operation = write_gain_reference(
        out, estimate.sensitivity, movie_format=reading.first.format, what="estimated gain"
    )
    _say(out, operation, estimate, reading, error, given=len(movies), json=json)


def _estimated(movies: Sequence[Path], error: float, threads: int) -> tuple[_Reading, GainEstimate]:
    reading: _Reading | None = None
    failures: dict[Path, PreprocessError] = {}
    with _progress() as progress:
        task = progress.add_task("Reading movies", total=len(movies))
        for path in movies:
            try:
                movie = open_movie(path, _largest_groups(path, threads), threads=threads)
                if reading is None:
                    reading = _Reading(movie, PixelCounts((movie.height, movie.width)))
                if why := _differs(movie, reading.first):
                    reading.left_out[path] = why
                else:
                    reading.counts.add(raw_sum(movie))
            except PreprocessError as failure:
                let_go_of_memory(failure)  # it is kept until the end
                failures[path] = failure
            progress.advance(task)
            if reading is not None and path not in failures and reading.should_look:
                estimate = estimate_gain(reading.counts)
                if estimate.is_sure and estimate.error <= error:
                    break
    if reading is None:
        raise next(iter(failures.values()))
    reading.left_out |= {path: str(failure) for path, failure in failures.items()}
    if reading.counts.movies < FEWEST_MOVIES:
        raise GainUnsure("one movie cannot tell the camera's pattern from the specimen")
    return reading, estimate_gain(reading.counts)


def _largest_groups(path: Path, threads: int) -> EerSettings:
    """Return the settings under which few frames are made of an EER movie, and all hardware frames counted."""
    if path.suffix.lower() != ".eer":
        return EerSettings()
    count = open_movie(path, threads=threads).hardware_frame_count
    return EerSettings(
        hardware_frames_per_frame=max(each for each in range(1, min(count, 255) + 1) if not count % each)
    )


def _differs(movie: Movie, first: Movie) -> str:
    if movie.format != first.format:
        return f"it is {movie.format}, and the first movie is {first.format}"
    if (movie.height, movie.width) != (first.height, first.width):
        return (
            f"its frames are {movie.height} x {movie.width} px, those of the first movie {first.height} x {first.width}"
        )
    return ""


def _progress() -> Progress:
    ours = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=ours,
        disable=not ours.is_terminal,
        transient=True,
        redirect_stdout=False,
    )


def _unsure(estimate: GainEstimate) -> GainUnsure:
    movies = f"{estimate.movies} movie{'s' * (estimate.movies != 1)}"
    seen = f"a common pattern of {estimate.pattern:.2%}, {max(estimate.standard_errors, 0):.1f} standard errors"
    return GainUnsure(f"{movies} do not show that the camera's pixels differ ({seen}): no gain reference is written")


def _say(
    out: Path, operation: str, estimate: GainEstimate, reading: _Reading, error: float, *, given: int, json: bool
) -> None:
    needed = estimate.movies_for(error)
    if json:
        print_object(
            {
                "gain": escaped(str(out)),
                "operation": operation,
                "movies": estimate.movies,
                "movies_needed": needed,
                "pattern": round(estimate.pattern, 5),
                "error": round(estimate.error, 5),
                "error_wanted": error,
                "standard_errors": round(estimate.standard_errors, 1),
                "counts_per_px": round(estimate.counts, 2),
                "noise": round(estimate.noise, 3),
                "hot_pixels": estimate.hot,
                "dead_pixels": estimate.dead,
                "left_out": {escaped(str(path)): encodable(why) for path, why in reading.left_out.items()},
            }
        )
    else:
        for line in _lines(out, operation, estimate, reading, error, needed, given):
            typer.echo(for_terminal(line))
    for path, why in reading.left_out.items():
        typer.echo(for_terminal(f"warning: {escaped(path.name)} is left out: {why}"), err=True)


def _lines(
    out: Path, operation: str, estimate: GainEstimate, reading: _Reading, error: float, needed: int, given: int
) -> Iterator[str]:
    unread = given - estimate.movies - len(reading.left_out)
    enough = f" ({unread} more were not needed)" if unread else ""
    yield f"{escaped(str(out))}: made from {estimate.movies} movies{enough}; these movies {operation} by it"
    yield (
        f"pixels differ by {estimate.pattern:.2%}; their gains are known to {estimate.error:.2%}"
        f" ({estimate.counts:.0f} counts a pixel; {estimate.hot} hot and {estimate.dead} dead pixels are zero)"
    )
    if estimate.error > error:
        yield f"for an error of {error:.2%}, about {max(needed - estimate.movies, 1)} more movies are needed"
