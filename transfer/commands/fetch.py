"""The command `cryoferry fetch`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from transfer.commands.shared import (
    LINK,
    Ca,
    ClearText,
    DryRun,
    GiveUpAfter,
    Json,
    TokenFile,
    connect,
    progress,
    stderr_console,
)
from transfer.defaults import DOWNLOAD_CONNECTIONS, GIVE_UP_AFTER_S, MOST_CONNECTIONS
from transfer.wire.errors import TargetUnwritable
from transfer.wire.names import check_committed_path, check_session_name


def fetch(
    what: Annotated[
        str, typer.Argument(metavar="SESSION[/PATH]", help="A whole session, or one file or folder of it.")
    ],
    from_: Annotated[
        str, typer.Option("--from", metavar="URL", help="The receiver: https://…, or http:// on this machine.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the files. They keep their paths in the session.")
    ],
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    connections: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_CONNECTIONS, metavar="N", help="Number of parallel connections.", rich_help_panel=LINK
        ),
    ] = DOWNLOAD_CONNECTIONS,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER_S,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Download committed files of a session; continue what was interrupted.

    A file gets its name when its digest is right. A file that is there already is never changed.
    """
    from transfer.commands.fetch_run import exit_code, show_fetched, show_plan, sum_up
    from transfer.download.fetcher import Fetcher, chosen
    from transfer.pace.retrying import RetryPolicy

    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file, not a folder", param_hint="--out")
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        raise TargetUnwritable(
            f"nothing can be written to {out}; nothing was downloaded",
            hint="Give another --out, or change the permissions of that folder.",
        )
    session, _, path = what.partition("/")
    check_session_name(session)
    if path.strip("/"):
        check_committed_path(path.strip("/"))
    console = stderr_console()
    with connect(from_, token_file, ca, clear_text=clear_text, give_up_after_s=give_up_after) as client:
        receipts = chosen(client.files(session, repeat=RetryPolicy(give_up_after, lambda: False).repeat), path)
        if dry_run:
            show_plan(receipts, out, json)
            return
        with progress(console, "downloading", sum(receipt.size_bytes for receipt in receipts)) as advance:
            fetcher = Fetcher(client, out, connections=connections, give_up_after_s=give_up_after, on_progress=advance)
            began_s = time.monotonic()
            results = []
            for fetched in fetcher.fetch_all(receipts):
                results.append(fetched)
                show_fetched(fetched, console, json)
        sum_up(results, fetcher.fetched_bytes, time.monotonic() - began_s, json)
    raise typer.Exit(exit_code([fetched.error for fetched in results]))
