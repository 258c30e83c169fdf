"""The command `cryoferry gain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preprocess.commands.option_types import GainFlip, GainOperation, GainRotate
from preprocess.commands.options import ROTATIONS
from preprocess.settings import GainSettings

gain = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Make a gain reference from a session's own movies, or convert one.",
)


@gain.callback()
def group() -> None:
    """Make a gain reference from a session's own movies, or convert one."""


@gain.command()
def convert(
    reference: Annotated[Path, typer.Argument(metavar="GAIN", help="A gain reference: MRC, TIFF, DM4 or .gain.")],
    movie: Annotated[Path, typer.Option("--movie", metavar="MOVIE", help="A movie that it is for.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The gain reference, an MRC file.")],
    gain_rotate: GainRotate = None,
    gain_flip: GainFlip = None,
    gain_operation: GainOperation = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write a gain reference as a movie's frames lie, so that other programs use it without being told how it lies.

    How it lies stands in the JSON of the movies' results (parameters, gain).
    """
    from preprocess.commands.gain_convert_run import convert_gain

    rotate, flip = ROTATIONS[gain_rotate or "0"], gain_flip or "none"
    settings = GainSettings(path=reference, rotate_degrees=rotate, flip=flip, operation=gain_operation)
    convert_gain(settings, movie, out, overwrite=overwrite, dry_run=dry_run, json=json)


@gain.command()
def estimate(
    movies: Annotated[
        list[Path],
        typer.Argument(metavar="MOVIE…", help="Movies (TIFF, MRC or EER files), and folders with movies in them."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The gain reference, an MRC file.")],
    error: Annotated[
        float,
        typer.Option(
            metavar="FRACTION", min=0.0001, max=0.5, help="Stop when pixels' gains are known so well (standard error)."
        ),
    ] = 0.01,
    threads: Annotated[int, typer.Option(metavar="N", min=0, help="Number of CPU threads. 0: one for each core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists already.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Make a gain reference from movies of one camera, taken at different places, where none exists.

    What all movies have in common at single pixels is the camera's; ice, edges and noise differ from movie to movie.
    The file needs no --gain-rotate and --gain-flip with these movies. It is not written if they show no pattern.
    """
    from preprocess.commands.gain_estimate_run import estimate_from_movies

    estimate_from_movies(movies, out, error=error, threads=threads, overwrite=overwrite, json=json)
