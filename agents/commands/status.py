"""The command `cryoferry status`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from agents.commands.exposure_filter import ExposureFilter, parsed_since
from agents.commands.find_work_folder import find_work_folder, folder_that_sends_to
from agents.commands.receiver_access import ReceiverAccess
from agents.commands.shared import MaybeSession, Work
from configuration import ConfigError
from transfer.commands.shared import Ca, ClearText, Json, MaybeReceiverUrl, TokenFile

LISTS = "Which exposures are listed"

Pattern = Annotated[
    str | None,
    typer.Argument(
        metavar="PATTERN",
        help="List exposures by the path of their movie: a glob such as '*_0042_*', or a part of the path.",
    ),
]
Failed = Annotated[bool, typer.Option("--failed", help="List failed and held exposures.", rich_help_panel=LISTS)]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="List exposures in this state, such as aligned. Repeat for more states.",
        rich_help_panel=LISTS,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="List exposures that changed since then: 30m, 2h, 1d, or a time such as 2026-01-31T18:30.",
        rich_help_panel=LISTS,
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="List all exposures, or all that fit.", rich_help_panel=LISTS)]
Lines = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        help="List the newest N. Default: 100; with --json all that fit.",
        rich_help_panel=LISTS,
    ),
]
Full = Annotated[
    bool,
    typer.Option(
        "--full", help="Show paths and reasons whole, and what to do, instead of one line each.", rich_help_panel=LISTS
    ),
]
Registered = Annotated[
    bool,
    typer.Option(
        "--registered",
        help="Ask the receiver what is registered also of more than 200 exposures. This can take minutes.",
        rich_help_panel=LISTS,
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Compare the files of the source, the journal and the receiver; exit code 6 if something is missing.",
    ),
]


def status(
    pattern: Pattern = None,
    work: Work = None,
    session: MaybeSession = None,
    to: MaybeReceiverUrl = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    failed: Failed = False,
    state: States = None,
    since: Since = None,
    everything: Everything = False,
    lines: Lines = None,
    full: Full = False,
    registered: Registered = False,
    check: Check = False,
    json: Json = False,
) -> None:
    """Show how far a session is, here and on the receiver.

    It shows totals, rates, what keeps the agent from working, and the newest failures. With a filter it lists
    exposures, one line each, those that changed last at the end.

    With --to URL it works on any machine that has a token: it shows what that receiver knows of the session and its
    agents. Where an agent of this machine sends to that receiver, it shows the agent's journal too.

    With --check it says whether every movie that lies in the source is in the journal, and every exposure that was
    sent is on the receiver. It runs beside an agent, and writes nothing.
    """
    from agents.commands import local_status

    wanted = ExposureFilter(
        failed=failed,
        states=tuple(state or ()),
        since=parsed_since(since),
        pattern=pattern or "",
        everything=everything,
        most=lines,
    )
    receiver = ReceiverAccess(url=to or "", token_file=token_file, ca=ca, clear_text=clear_text)
    if check and (wanted.is_asked_for or registered):
        raise ConfigError(
            "--check compares everything", hint="Give it without filters; list exposures without --check."
        )
    if work is None and to is not None:
        folder = folder_that_sends_to(receiver, session)
        if folder is None and check:
            raise ConfigError(
                f"no agent of this machine and user sends to {to}",
                hint="Give the agent's --work where it works; on the receiver, run `cryoferry receiver check`.",
            )
        if folder is None:
            from agents.commands.receiver_status import show_receiver

            show_receiver(receiver, session, wanted, full=full, as_json=json)
            return
    else:
        folder = find_work_folder(work, session)
    if check:
        from agents.commands.whole_check import check_and_print

        raise typer.Exit(check_and_print(folder, receiver, as_json=json))
    most = wanted.most_lines(as_json=json) if wanted.is_asked_for else 0
    here = local_status.read_local_status(folder, receiver, wanted, most)
    if json:
        local_status.print_json(here, however_many=registered)
    elif wanted.is_asked_for:
        local_status.print_list(here, wanted, full=full, however_many=registered)
    else:
        local_status.print_totals(here, _again(work, session, to))


def _again(work: Path | None, session: str | None, to: str | None) -> str:
    """Return the command that shows the same, without its filters."""
    words = ["cryoferry", "status"]
    for flag, value in (("--work", work), ("--session", session), ("--to", to)):
        words += [] if value is None else [flag, str(value)]
    return shlex.join(words)
