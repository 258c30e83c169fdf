"""`cryoferry retry EXPOSURE…`: each one is named, so each must be possible."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Any

import typer

from agents.journal.journal import Journal
from agents.retries import do_retry, plan_retry


def retry_named(
    journal: Journal, work: Path, names: Sequence[str], changed: dict[str, Any], *, dry_run: bool, as_json: bool
) -> None:
    """Process the named exposures again, all of them or none, and print each.

    Raises
    ------
    RetryRefused
    """
    planned = plan_retry(journal, work, names, changed=changed)
    with journal.transaction():
        for plan in planned:
            after = plan.exposure if dry_run else do_retry(journal, plan)
            report = {"movie": after.movie, "exposure_id": str(after.published_id), "will": plan.action}
            line = f"{'would' if dry_run else 'will'} {plan.action} again: {after.movie}"
            typer.echo(dumps({**report, "revision": after.revision, "done": not dry_run}) if as_json else line)
