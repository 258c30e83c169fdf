"""The commands of preprocessing: `cryoferry align`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment


@takes_alignment_options
def align(
    movies: Annotated[
        list[Path],
        typer.Argument(metavar="MOVIE…", help="Movies (TIFF, MRC or EER files), and folders with movies in them."),
    ],
    alignment: ChosenAlignment,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the results. It is made if it does not exist."),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist already.")] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Skip movies whose results are there, whole, and made with these settings."),
    ] = False,
    star: Annotated[
        bool, typer.Option("--star", help="Also write DIR/corrected_micrographs.star, which RELION imports.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")] = False,
) -> None:
    """Align movies: write motion-corrected, dose-weighted micrographs.

    For STEM.tiff it writes STEM.mrc, STEM.star, STEM.json, STEM.png, STEM_spectrum.png and STEM_motion.png. Of a folder
    it takes all movies, also those in folders inside it; results lie in DIR as the movies do in that folder. Reference
    images, sums and previews are passed over. Pixel size, voltage and dose are taken from the options; else from the
    configuration; else from the XML file of EPU or the mdoc beside the movie; else from the movie's header.
    """
    from preprocess.commands.align_run import AlignmentRun
    from preprocess.commands.chosen_movies import choose_movies
    from preprocess.commands.refusals import refuse_collisions, refuse_existing, refuse_foreign
    from preprocess.commands.termination import stopped_as_by_ctrl_c
    from preprocess.errors import OutputRefused
    from preprocess.named_files import refuse_missing_references
    from preprocess.output_folder import refuse_unwritable

    if overwrite and resume:
        raise OutputRefused("--resume and --overwrite contradict each other", hint="Give one of them.")
    refuse_missing_references(alignment.settings)
    chosen = choose_movies(movies, out)
    refuse_collisions(chosen.movies)
    if resume:
        refuse_foreign(chosen.movies)
    elif not overwrite:
        refuse_existing(chosen.movies)
    refuse_unwritable(out)
    run = AlignmentRun(alignment, out, json=json, star=star, resume=resume)
    run.say_passed_over(chosen.passed_over)
    with stopped_as_by_ctrl_c():
        exit_code = run.say_what_would_be_done(chosen.movies) if dry_run else run.align_all(chosen.movies)
    if exit_code:
        raise typer.Exit(exit_code)
