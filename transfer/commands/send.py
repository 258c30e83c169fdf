"""The command `cryoferry send`."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from transfer.commands.shared import Ca, ClearText, Json, To, TokenFile, connect
from transfer.wire.names import check_session_name

Limit = Annotated[
    str, typer.Option(metavar="TIMETABLE", help="At most so fast: `40MB/s`, or `08:00-18:00 40MB/s; 200Mbit/s`.")
]


class CongestionControl(StrEnum):
    """Which TCP congestion control the bulk connections use."""

    AUTO = "auto"
    SYSTEM = "system"


class Compress(StrEnum):
    """Whether files may be compressed on their way."""

    AUTO = "auto"
    NEVER = "never"


def send(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Files, or folders: a folder goes with all below it, under its own name."),
    ],
    to: To,
    session: Annotated[str, typer.Option(metavar="NAME", help="The session that the files belong to.")],
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    path_prefix: Annotated[str, typer.Option(metavar="FOLDER", help="Folder in the session for the files.")] = "",
    revision: Annotated[int, typer.Option(min=1, help="Next revision of files that are there already.")] = 1,
    connections: Annotated[
        int | None, typer.Option(min=1, max=64, help="Connections, over all files; by default as many as pay.")
    ] = None,
    congestion_control: Annotated[
        CongestionControl,
        typer.Option(help="auto: BBR where the link loses packets; system: always what this machine uses."),
    ] = CongestionControl.AUTO,
    compress: Annotated[
        Compress, typer.Option(help="auto: files that shrink, where the link is slow; never: none.")
    ] = Compress.AUTO,
    limit: Limit = "unlimited",
    background: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Files that take what the others leave, such as '*.tiff'; repeatable."),
    ] = None,
    give_up_after: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long to try again while the receiver cannot be reached."),
    ] = 60.0,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read each file again and compare it with its receipt.")
    ] = False,
    delete_after_receipt: Annotated[
        bool, typer.Option("--delete-after-receipt", help="Delete each file that has its receipt and is unchanged.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent.")] = False,
    json: Json = False,
) -> None:
    """Send files to a receiver in parallel, checksummed chunks; what was interrupted continues."""
    from transfer.commands.planned_files import plan
    from transfer.commands.send_run import send_all, settled, show_plan
    from transfer.pace.pacing import pacer_of
    from transfer.upload.sender import Sender
    from transfer.wire.addresses import check_url

    check_url(to, clear_text=clear_text)
    check_session_name(session)
    pacer = pacer_of(limit)
    planned = plan(files, session, path_prefix, revision, background=tuple(background or ()))
    if dry_run:
        show_plan(planned, json)
        return
    with (
        connect(to, token_file, ca, clear_text=clear_text) as client,
        Sender(
            client,
            connections=connections,
            give_up_after_s=give_up_after,
            pacer=pacer,
            may_use_bbr=congestion_control is CongestionControl.AUTO,
            may_compress=compress is Compress.AUTO,
        ) as sender,
    ):
        settle = partial(settled, verify=verify, delete=delete_after_receipt)
        raise typer.Exit(send_all(sender, planned, settle, json=json))
