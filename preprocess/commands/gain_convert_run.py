"""Writes a gain reference as a movie's frames lie, for `cryoferry gain convert`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer

from preprocess.commands.align_report import print_object
from preprocess.errors import OutputRefused
from preprocess.escaped_names import escaped, for_terminal
from preprocess.gains.as_frames_lie import multiplier_of_frames
from preprocess.movies import open_movie
from preprocess.output_folder import refuse_unwritable
from preprocess.outputs.gain_file import operation_of, write_gain_reference
from preprocess.outputs.output_names import refuse_to_write_over
from preprocess.settings import GainSettings


def convert_gain(
    settings: GainSettings, movie_path: Path, out: Path, *, overwrite: bool, dry_run: bool, json: bool
) -> None:
    """Write a gain reference so that the movie is corrected by it as it lies, by RELION's rule.

    With `dry_run`, read and check all, and say what would be written.

    Raises
    ------
    PreprocessError
        Movie or gain reference cannot be read, do not fit together, or the file cannot be written.
    """
    refuse_to_be(out, overwrite=overwrite)
    for source in (movie_path, settings.path):
        if source is not None:
            refuse_to_write_over(source, [out])
    refuse_unwritable(out.parent)
    movie = open_movie(movie_path)
    factors = multiplier_of_frames(settings, movie)
    sensitivity = np.divide(1, factors, out=np.zeros_like(factors), where=factors > 0)
    if not dry_run:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_gain_reference(out, sensitivity, movie_format=movie.format, what="converted gain")
    operation = operation_of(movie.format)
    if json:
        print_object(
            {"gain": escaped(str(out)), "operation": operation, "format": movie.format, "written": not dry_run}
        )
        return
    would = "would be written: " if dry_run else ""
    typer.echo(for_terminal(f"{escaped(str(out))}: {would}{movie.format} movies {operation} by it, as it lies"))


def refuse_to_be(out: Path, *, overwrite: bool) -> None:
    """Refuse a file that is not MRC, or that is there.

    Raises
    ------
    OutputRefused
    """
    if out.suffix.lower() != ".mrc":
        raise OutputRefused(f"{out}: the gain reference is written as an MRC file", hint="Give --out NAME.mrc.")
    if out.exists() and not overwrite:
        raise OutputRefused(f"{out} exists already", hint="Give another --out, or --overwrite to replace it.")
