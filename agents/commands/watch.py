"""The command `cryoferry watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agents.commands.shared import Work, with_absolute_gain
from configuration import state_folder
from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment
from transfer.commands.shared import Ca, Json, To, TokenFile

WATCHING, WORKING = "What is watched", "How it works"

Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="The microscope's folder; nothing is written to it.")]
SessionName = Annotated[str, typer.Option(metavar="NAME", help="The session; one project on the receiver.")]
LayoutName = Annotated[
    Literal["auto", "epu", "serialem", "flat"],
    typer.Option(help="Who wrote the folder; auto tells by each file's name.", rich_help_panel=WATCHING),
]
SettleSeconds = Annotated[
    float, typer.Option(min=0.1, help="Unchanged for this long: finished.", rich_help_panel=WATCHING)
]
GiveUpSeconds = Annotated[
    float, typer.Option(min=1, help="Unchanged for this long, yet not whole: set aside.", rich_help_panel=WATCHING)
]
ScanSeconds = Annotated[float, typer.Option(min=0.1, help="Time between two scans.", rich_help_panel=WATCHING)]
Workers = Annotated[
    int, typer.Option(min=0, metavar="N", help="Alignments at once; 0: one for each GPU.", rich_help_panel=WORKING)
]
AlignTimeout = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="End an alignment after this.", rich_help_panel=WORKING)
]
KeepOutputs = Annotated[
    bool, typer.Option("--keep-outputs", help="Keep what was sent in the work folder.", rich_help_panel=WORKING)
]
Reserve = Annotated[
    int, typer.Option(min=0, help="Leave this much space on the work folder's disk.", rich_help_panel=WORKING)
]
Connections = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Chunks sent at once; by default as many as pay.", rich_help_panel=WORKING),
]
Limit = Annotated[
    str,
    typer.Option(
        metavar="TIMETABLE",
        help="Send at most so fast: `40MB/s`, or `08:00-18:00 40MB/s; 200Mbit/s`.",
        rich_help_panel=WORKING,
    ),
]
IdleSeconds = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="End when nothing was left to do for this.", rich_help_panel=WORKING),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")]


@takes_alignment_options
def watch(
    source: Source,
    to: To,
    session: SessionName,
    alignment: ChosenAlignment,
    token_file: TokenFile = None,
    ca: Ca = None,
    work: Work = None,
    layout: LayoutName = "auto",
    settle_seconds: SettleSeconds = 30.0,
    give_up_seconds: GiveUpSeconds = 600.0,
    scan_seconds: ScanSeconds = 5.0,
    workers: Workers = 0,
    align_timeout: AlignTimeout = 1800.0,
    keep_outputs: KeepOutputs = False,
    work_reserve_bytes: Reserve = 1 << 30,
    connections: Connections = None,
    limit: Limit = "unlimited",
    exit_when_idle: IdleSeconds = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Watch a folder: align each finished movie, send its micrograph, and go on until stopped.

    It can be killed at any instant and continues where it was. What cannot be processed is set aside with its reason:
    see `cryoferry status` and `cryoferry retry`.
    """
    from agents.commands import watch_run
    from agents.daemon import WatchSettings
    from agents.layouts import LAYOUTS
    from transfer.client import ReceiverClient
    from transfer.credentials import read_token
    from transfer.pace.pacing import pacer_of
    from transfer.wire.names import check_session_name

    check_session_name(session)
    chosen, source = with_absolute_gain(alignment), source.absolute()
    if dry_run:
        watch_run.dry_run(source, LAYOUTS[layout], gain=chosen.settings.gain.path, as_json=json)
        return
    settings = WatchSettings(
        source=source,
        work=(work or state_folder() / session).absolute(),
        session=session,
        layout=LAYOUTS[layout],
        chosen=chosen,
        settle_s=settle_seconds,
        give_up_s=give_up_seconds,
        scan_s=scan_seconds,
        align_timeout_s=align_timeout,
        keep_outputs=keep_outputs,
        work_reserve_bytes=work_reserve_bytes,
        connections=connections,
        pacer=pacer_of(limit),
        exit_when_idle_s=exit_when_idle,
    )
    with ReceiverClient(to, read_token(token_file), ca=ca) as client:
        aligners = watch_run.local_workers(workers, chosen.settings.device)
        code = watch_run.run_agent(settings, client, aligners, token_file=token_file, as_json=json)
    raise typer.Exit(code)
