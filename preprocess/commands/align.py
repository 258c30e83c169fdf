"""The commands of preprocessing: `cryoferry align`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment


@takes_alignment_options
def align(
    movies: Annotated[list[Path], typer.Argument(metavar="MOVIE…", help="TIFF, MRC or EER movies.")],
    alignment: ChosenAlignment,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results; made if it is not there.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")] = False,
    star: Annotated[
        bool, typer.Option("--star", help="Also write DIR/corrected_micrographs.star, which RELION imports.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a movie on stdout.")] = False,
) -> None:
    """Align movies of your own: motion-corrected, dose-weighted micrographs, with figures and pictures.

    For STEM.tiff it writes STEM.mrc, STEM.star, STEM.json, STEM.png, STEM_spectrum.png and STEM_motion.png. What the
    flags leave open about the acquisition comes from the configuration, the EPU XML or mdoc beside the movie, or its
    header.
    """
    from preprocess.commands.align_run import AlignmentRun, refuse_collisions, refuse_existing

    refuse_collisions(movies, out)
    if not overwrite:
        refuse_existing(movies, out)
    run = AlignmentRun(alignment, out, json=json, star=star)
    if dry_run:
        run.say_what_would_be_done(movies)
        return
    exit_code = run.align_all(movies)
    if exit_code:
        raise typer.Exit(exit_code)
