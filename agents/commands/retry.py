"""The command `cryoferry retry`."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from agents.commands.shared import MaybeSession, Work, with_absolute_gain
from configuration import ConfigError
from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment
from transfer.commands.shared import DryRun, Json, stderr_console


@takes_alignment_options
def retry(
    alignment: ChosenAlignment,
    exposures: Annotated[
        list[str] | None, typer.Argument(metavar="EXPOSURE…", help="Exposure ids, movies, or the stems of movies.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All exposures that are failed or held.")] = False,
    work: Work = None,
    session: MaybeSession = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Process exposures again: failed ones, held ones, or others with new settings.

    An exposure that was sent before gets its next revision. Alignment options that you give here hold for these
    exposures only. A running agent starts with them at once; otherwise the next `cryoferry watch` does.
    """
    from agents.commands.find_work_folder import find_work_folder
    from agents.journal.journal import Journal
    from agents.retries import do_retry, plan_retry
    from agents.workers.jobs import changes

    if not exposures and not failed:
        raise ConfigError(
            "no exposure is named", hint="Name exposures, as `cryoferry status` shows them, or give --failed."
        )
    folder = find_work_folder(work, session)
    journal = Journal(folder, create=False)
    try:
        planned = plan_retry(
            journal, folder, exposures or [], failed=failed, changed=changes(with_absolute_gain(alignment))
        )
        with journal.transaction():
            for plan in planned:
                after = plan.exposure if dry_run else do_retry(journal, plan)
                report = {"movie": after.movie, "exposure_id": str(after.published_id), "will": plan.action}
                line = f"{'would' if dry_run else 'will'} {plan.action} again: {after.movie}"
                typer.echo(dumps({**report, "revision": after.revision, "done": not dry_run}) if json else line)
    finally:
        journal.close()
    if not planned:
        stderr_console().print("No exposure is failed or held: there is nothing to do.")
