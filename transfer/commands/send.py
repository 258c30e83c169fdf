"""The command `cryoferry send`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfer.commands.shared import (
    UNLIMITED,
    Background,
    Ca,
    ClearText,
    Compress,
    CompressOption,
    CongestionControl,
    CongestionControlOption,
    Connections,
    DryRun,
    GiveUpAfter,
    Json,
    Limit,
    ReceiverUrl,
    SessionOption,
    TokenFile,
    connect,
    sender_options,
)
from transfer.defaults import GIVE_UP_AFTER_S
from transfer.wire.names import check_session_name


def send(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="Files or folders. A folder is sent with all its files, under its name."),
    ],
    to: ReceiverUrl,
    session: SessionOption,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    path_prefix: Annotated[
        str, typer.Option(metavar="FOLDER", help="Put the files into this folder of the session.")
    ] = "",
    revision: Annotated[
        int, typer.Option(min=1, metavar="N", help="Revision to send: 2 for files that replace those already there.")
    ] = 1,
    connections: Connections = None,
    congestion_control: CongestionControlOption = CongestionControl.AUTO,
    compress: CompressOption = Compress.AUTO,
    limit: Limit = UNLIMITED,
    background: Background = None,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER_S,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read each file again after sending, and compare it with its receipt.")
    ] = False,
    delete_after_receipt: Annotated[
        bool,
        typer.Option(
            "--delete-after-receipt",
            help="Delete each file here that has its receipt and did not change. Of a file that it had before,"
            " the receiver reads its copy first.",
        ),
    ] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Send files to a receiver; continue what was interrupted.

    Files travel in parallel chunks. The receiver checks each chunk, and each whole file before it commits it.
    """
    from transfer.commands.folder_walk import LeftOut
    from transfer.commands.planned_files import plan
    from transfer.commands.send_run import send_all, show_left_out, show_plan
    from transfer.pace.pacer import pacer_of
    from transfer.upload.sender import Sender
    from transfer.wire.addresses import check_url

    check_url(to, clear_text=clear_text)
    check_session_name(session)
    pacer = pacer_of(limit)
    left_out: list[LeftOut] = []
    planned = plan(
        files, session, path_prefix, revision, background=tuple(background or ()), on_left_out=left_out.append
    )
    show_left_out(left_out)
    if dry_run:
        show_plan(planned, json)
        return
    with (
        connect(to, token_file, ca, clear_text=clear_text, give_up_after_s=give_up_after) as client,
        Sender(
            client,
            connections=connections,
            give_up_after_s=give_up_after,
            pacer=pacer,
            **sender_options(compress, congestion_control),
        ) as sender,
    ):
        raise typer.Exit(
            send_all(
                sender, planned, verify=verify, delete=delete_after_receipt, json=json, left_out_count=len(left_out)
            )
        )
