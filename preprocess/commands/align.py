"""The commands of preprocessing: `cryoferry align`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment


@takes_alignment_options
def align(
    movies: Annotated[list[Path], typer.Argument(metavar="MOVIE…", help="Movies: TIFF, MRC or EER files.")],
    alignment: ChosenAlignment,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results. It is made if it does not exist.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist already.")] = False,
    star: Annotated[
        bool, typer.Option("--star", help="Also write DIR/corrected_micrographs.star, which RELION imports.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")] = False,
) -> None:
    """Align movies: write motion-corrected, dose-weighted micrographs.

    For STEM.tiff it writes STEM.mrc, STEM.star, STEM.json, STEM.png, STEM_spectrum.png and STEM_motion.png. Pixel size,
    voltage and dose are taken from the options; else from the configuration; else from the XML file of EPU or the mdoc
    beside the movie; else from the movie's header.
    """
    from preprocess.commands.align_run import AlignmentRun, refuse_collisions, refuse_existing
    from preprocess.output_folder import refuse_unwritable

    refuse_collisions(movies, out)
    if not overwrite:
        refuse_existing(movies, out)
    refuse_unwritable(out)
    run = AlignmentRun(alignment, out, json=json, star=star)
    if dry_run:
        run.say_what_would_be_done(movies)
        return
    exit_code = run.align_all(movies)
    if exit_code:
        raise typer.Exit(exit_code)
