"""The command `cryoferry retry`."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from agents.commands.shared import MaybeSession, Work, with_absolute_gain
from configuration import ConfigError
from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment
from transfer.commands.shared import Json, stderr_console

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")]


@takes_alignment_options
def retry(
    alignment: ChosenAlignment,
    exposures: Annotated[
        list[str] | None, typer.Argument(metavar="EXPOSURE…", help="Exposure ids, movies or their stems.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Everything that is set aside.")] = False,
    work: Work = None,
    session: MaybeSession = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Try exposures again that were set aside, or others with new settings, as their next revision.

    Options that are given change the agent's settings for these exposures alone. A running agent notices by itself;
    otherwise the next `cryoferry watch` does it.
    """
    from agents.commands.retry_plan import do_retry, find_work_folder, plan_retry
    from agents.journal.journal import Journal
    from agents.workers.jobs import changes

    if not exposures and not failed:
        raise ConfigError("nothing is named to be tried again", hint="Name exposures, or give --failed.")
    folder, console = find_work_folder(work, session), stderr_console()
    journal = Journal(folder, create=False)
    try:
        planned = plan_retry(
            journal, folder, exposures or [], failed=failed, changed=changes(with_absolute_gain(alignment))
        )
        with journal.transaction():
            for plan in planned:
                after = plan.exposure if dry_run else do_retry(journal, plan)
                told = {"movie": after.movie, "exposure_id": str(after.exposure_id), "will": plan.action}
                if json:
                    typer.echo(dumps({**told, "revision": after.revision, "done": not dry_run}))
                console.print(f"{'would' if dry_run else 'will'} {plan.action} again: {after.movie}", markup=False)
    finally:
        journal.close()
    if not planned:
        console.print("nothing is set aside")
