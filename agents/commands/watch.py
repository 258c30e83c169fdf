"""The command `cryoferry watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agents.commands.shared import Work, with_absolute_gain
from configuration import state_folder
from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment
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
    Json,
    Limit,
    ReceiverUrl,
    SessionOption,
    TokenFile,
    connect,
)

WATCHING, WORKING = "What is watched", "How it works"

Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="The microscope's folder. Nothing is ever written to it.",
        parser=Path,  # typer's own looks at the file, which may hang
    ),
]
LayoutName = Annotated[
    Literal["auto", "epu", "epu-tomo", "serialem", "leginon", "flat"],
    typer.Option(help="Program that wrote the folder. auto: recognised by the file names.", rich_help_panel=WATCHING),
]
MoviePatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--movies",
        metavar="PATTERN",
        help="Only files of these names are movies, such as '*_frames.tif'. Repeat for more patterns.",
        rich_help_panel=WATCHING,
    ),
]
ExcludedPatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="PATTERN",
        help="Files of these names are no movies, such as 'tests/*'. Repeat for more patterns.",
        rich_help_panel=WATCHING,
    ),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links",
        help="Follow links whose target lies outside of SOURCE, too.",
        rich_help_panel=WATCHING,
    ),
]
SettleSeconds = Annotated[
    float,
    typer.Option(
        min=0.1,
        metavar="SECONDS",
        help="A movie is finished when it has not changed for this long.",
        rich_help_panel=WATCHING,
    ),
]
GiveUpSeconds = Annotated[
    float,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="A movie has failed when it has not changed for this long and is still not complete.",
        rich_help_panel=WATCHING,
    ),
]
InputWait = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="A finished movie waits this long for its gain reference, defect or metadata file, if one is expected.",
        rich_help_panel=WATCHING,
    ),
]
GainWait = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="A movie whose counts need a gain reference waits this long for it, then is aligned with a warning.",
        rich_help_panel=WATCHING,
    ),
]
ScanSeconds = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="Time between two scans.", rich_help_panel=WATCHING)
]
ShareTimeout = Annotated[
    float,
    typer.Option(
        min=0.5,
        metavar="SECONDS",
        help="The share hangs when it has not answered for this long.",
        rich_help_panel=WATCHING,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Number of movies to align at once. 0: one for each GPU.", rich_help_panel=WORKING
    ),
]
AlignTimeout = Annotated[
    float,
    typer.Option(min=1, metavar="SECONDS", help="Stop an alignment that takes longer.", rich_help_panel=WORKING),
]
KeepOutputs = Annotated[
    bool,
    typer.Option(
        "--keep-outputs", help="Keep the outputs in the work folder after they are sent.", rich_help_panel=WORKING
    ),
]
Reserve = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="BYTES",
        help="Stop aligning when less space than this is free for the work folder.",
        rich_help_panel=WORKING,
    ),
]
OrderName = Annotated[
    Literal["newest", "oldest", "alternate"],
    typer.Option(
        "--order",
        help="Which of the movies that wait comes first. alternate: the newest and the oldest in turn.",
        rich_help_panel=WORKING,
    ),
]
IdleSeconds = Annotated[
    float | None,
    typer.Option(
        min=0, metavar="SECONDS", help="End when there was nothing to do for this long.", rich_help_panel=WORKING
    ),
]

SourceName = Annotated[
    str,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Name of the source, where several agents send different folders into one session.",
        rich_help_panel=WATCHING,
    ),
]
Beside = Annotated[
    bool,
    typer.Option("--beside", help="Work beside other agents of the session; needs --source.", rich_help_panel=WORKING),
]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="If another agent works on the session, let that one wait instead of this one.",
        rich_help_panel=WORKING,
    ),
]

RemoteRequests = Annotated[
    bool,
    typer.Option(
        "--remote-requests/--no-remote-requests",
        help="Let an admin of the receiver pause and resume this agent, and retry exposures.",
        rich_help_panel=WORKING,
    ),
]


@takes_alignment_options
def watch(
    ctx: typer.Context,
    source: Source,
    to: ReceiverUrl,
    session: SessionOption,
    alignment: ChosenAlignment,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    work: Work = None,
    layout: LayoutName = "auto",
    movies: MoviePatterns = None,
    exclude: ExcludedPatterns = None,
    follow_links: FollowLinks = False,
    settle_seconds: SettleSeconds = 30.0,
    give_up_seconds: GiveUpSeconds = 600.0,
    input_wait: InputWait = 30.0,
    gain_wait: GainWait = 900.0,
    scan_seconds: ScanSeconds = 5.0,
    share_timeout: ShareTimeout = 30.0,
    workers: Workers = 0,
    align_timeout: AlignTimeout = 1800.0,
    keep_outputs: KeepOutputs = False,
    work_reserve_bytes: Reserve = 1 << 30,
    connections: Connections = None,
    congestion_control: CongestionControlOption = CongestionControl.AUTO,
    compress: CompressOption = Compress.AUTO,
    limit: Limit = UNLIMITED,
    background: Background = None,
    order: OrderName = "newest",
    exit_when_idle: IdleSeconds = None,
    source_name: SourceName = "",
    beside: Beside = False,
    take_over: TakeOver = False,
    remote_requests: RemoteRequests = True,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Watch a folder: align each finished movie and send its micrograph, until stopped.

    You can kill it at any time: the next start continues where it was. A movie that cannot be processed is failed or
    held, with the reason: see `cryoferry status` and `cryoferry retry`.
    """
    from agents.commands import watch_run
    from agents.commands.dry_run import dry_run as dry_run_of
    from agents.watch_settings import Order, WatchSettings
    from preprocess.layouts import LAYOUTS
    from preprocess.named_files import refuse_missing_references
    from transfer.client import ReceiverClient
    from transfer.credentials import TokenSource
    from transfer.pace.pacer import pacer_of
    from transfer.wire.addresses import check_url
    from transfer.wire.names import check_session_name

    check_url(to, clear_text=clear_text)
    check_session_name(session)
    chosen, source = with_absolute_gain(alignment), source.absolute()
    refuse_missing_references(chosen.settings)
    in_use = ctx.find_root().obj.in_use()
    rules = LAYOUTS[layout].choosing(movies or (), exclude or ())
    if dry_run:
        dry_run_of(
            source,
            rules,
            chosen,
            gain_wait_s=gain_wait,
            follow_links=follow_links,
            share_timeout_s=share_timeout,
            as_json=json,
        )
        return
    settings = WatchSettings(
        source=source,
        work=(work or state_folder() / session).absolute(),
        session=session,
        layout=rules,
        follow_links=follow_links,
        chosen=chosen,
        settle_s=settle_seconds,
        give_up_s=give_up_seconds,
        input_wait_s=input_wait,
        gain_wait_s=gain_wait,
        scan_s=scan_seconds,
        share_timeout_s=share_timeout,
        align_timeout_s=align_timeout,
        keep_outputs=keep_outputs,
        work_reserve_bytes=work_reserve_bytes,
        connections=connections,
        may_compress=compress is Compress.AUTO,
        may_use_bbr=congestion_control is CongestionControl.AUTO,
        pacer=pacer_of(limit),
        background=tuple(background or ()),
        order=Order(order),
        exit_when_idle_s=exit_when_idle,
        source_name=source_name,
        lease_wish=watch_run.lease_wish(beside=beside, take_over=take_over, source_name=source_name),
    )
    reporting = ReceiverClient(to, TokenSource(token_file), ca=ca, clear_text=clear_text, timeout_s=5.0)
    with connect(to, token_file, ca, clear_text=clear_text) as client, reporting:
        aligners = watch_run.local_workers(workers, chosen.settings.device, settings.work)
        code = watch_run.run_agent(
            settings,
            client,
            aligners,
            reporting=reporting,
            remote_requests=remote_requests,
            token_file=token_file,
            ca=ca,
            clear_text=clear_text,
            in_use=in_use,
            as_json=json,
        )
    raise typer.Exit(code)
