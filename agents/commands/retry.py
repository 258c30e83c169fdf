"""The command `cryoferry retry`."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.commands.shared import MaybeSession, Work, with_absolute_gain
from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment
from transfer.commands.shared import DryRun, Json


@takes_alignment_options
def retry(
    alignment: ChosenAlignment,
    exposures: Annotated[
        list[str] | None, typer.Argument(metavar="EXPOSURE…", help="Exposure ids, movies, or the stems of movies.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All exposures that these settings would change, and failed and held ones.")
    ] = False,
    failed: Annotated[bool, typer.Option("--failed", help="All exposures that are failed or held.")] = False,
    warned: Annotated[bool, typer.Option("--warned", help="All exposures that have warnings.")] = False,
    matching: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="All exposures whose movie fits: a glob such as '*_Data_17*', or a part."),
    ] = None,
    work: Work = None,
    session: MaybeSession = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before many exposures are done again.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Process exposures again: failed ones, held ones, or others with new settings.

    An exposure that was sent before gets its next revision. Alignment options that you give here hold for these
    exposures only. A running agent starts with them at once; otherwise the next `cryoferry watch` does. The same
    command can be given again, also after it was interrupted: nothing is done twice.
    """
    from agents.commands.find_work_folder import find_work_folder
    from agents.commands.retry_many import Chosen, retry_many
    from agents.commands.retry_named import retry_named
    from agents.journal.journal import Journal
    from agents.workers.jobs import changes
    from preprocess.named_files import refuse_missing_references

    refuse_missing_references(alignment.settings)
    chosen = Chosen.of(exposures or [], everything=everything, failed=failed, warned=warned, matching=matching)
    folder, changed = find_work_folder(work, session), changes(with_absolute_gain(alignment))
    journal = Journal(folder, create=False)
    try:
        if chosen is None:
            retry_named(journal, folder, exposures or [], changed, dry_run=dry_run, as_json=json)
        else:
            retry_many(journal, folder, chosen, changed, dry_run=dry_run, as_json=json, ask=not yes)
    finally:
        journal.close()
