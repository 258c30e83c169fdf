"""What several commands share: options, the connection to a receiver, and how they print.

Results go to stdout, remarks and progress to stderr. This module imports nothing heavy.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.defaults import MOST_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from transfer.client import ReceiverClient

LINK = "Link to the receiver"
_WIDE = 10_000
"""Columns of a table in a pipe: no line is broken or cut."""


class CongestionControl(StrEnum):
    """Which TCP congestion control the bulk connections use."""

    AUTO = "auto"
    SYSTEM = "system"


class Compress(StrEnum):
    """Whether files may be compressed on their way."""

    AUTO = "auto"
    NEVER = "never"


ReceiverUrl = Annotated[
    str,
    typer.Option("--to", metavar="URL", help="The receiver: https://…, or http:// on this machine."),
]
MaybeReceiverUrl = Annotated[
    str | None, typer.Option("--to", metavar="URL", help="The receiver: https://…, or http:// on this machine.")
]
SessionOption = Annotated[str, typer.Option("--session", metavar="NAME", help="Name of the session on the receiver.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File that holds the token. Default: the variable CRYOFERRY_TOKEN."),
]
Ca = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificate (PEM) of the authority that signed the receiver's certificate."),
]
ClearText = Annotated[
    bool,
    typer.Option(
        "--clear-text",
        help="Permit http:// to another machine, such as over a VPN. Others on that network can read the token.",
    ),
]
Connections = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_CONNECTIONS,
        metavar="N",
        help="Number of parallel connections. Default: chosen by measurement.",
        rich_help_panel=LINK,
    ),
]
CongestionControlOption = Annotated[
    CongestionControl,
    typer.Option(
        "--congestion-control",
        help="auto: use BBR where the link loses packets. system: keep this machine's own.",
        rich_help_panel=LINK,
    ),
]
CompressOption = Annotated[
    Compress,
    typer.Option(
        "--compress",
        help="auto: compress files where that makes sending faster. never: send them as they are.",
        rich_help_panel=LINK,
    ),
]
Limit = Annotated[
    str,
    typer.Option(
        metavar="RATE|TIMETABLE",
        help="Send at most this fast: `40MB/s`, or by time of day: `08:00-18:00 40MB/s; 200Mbit/s`.",
        rich_help_panel=LINK,
    ),
]
Background = Annotated[
    list[str] | None,
    typer.Option(
        "--background",
        metavar="PATTERN",
        help="Send files of these names after all others, such as '*.tiff'. Repeat for more patterns.",
        rich_help_panel=LINK,
    ),
]
GiveUpAfter = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Give up when the receiver has not answered for this long. 0: after the first failure.",
        rich_help_panel=LINK,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")]

UNLIMITED = "unlimited"


def stderr_console() -> Console:
    """Return a console for remarks and progress."""
    from transfer.terminal.console import PlainConsole

    return PlainConsole(stderr=True, soft_wrap=True)


def stdout_console() -> Console:
    """Return a console for results: in a pipe or a file, no line is broken or cut."""
    from transfer.terminal.console import PlainConsole

    console = PlainConsole(soft_wrap=True)
    if not console.is_terminal:
        console.width = _WIDE
    return console


def connect(
    to: str,
    token_file: Path | None,
    ca: Path | None,
    *,
    clear_text: bool = False,
    give_up_after_s: float | None = None,
) -> ReceiverClient:
    """Return the receiver that was named, with the token that was given."""
    from transfer.client import ReceiverClient
    from transfer.credentials import TokenSource
    from transfer.pace.retrying import silence_s

    timeout_s = silence_s(give_up_after_s)
    return ReceiverClient(to, TokenSource(token_file), ca=ca, clear_text=clear_text, timeout_s=timeout_s)


def sender_options(compress: Compress, congestion_control: CongestionControl) -> dict[str, Any]:
    """Return what these options are to a `Sender`."""
    return {
        "may_compress": compress is Compress.AUTO,
        "may_use_bbr": congestion_control is CongestionControl.AUTO,
    }


@contextmanager
def progress(console: Console, doing: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left on a terminal; yields what advances it by a number of bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal
    # Results that go into a pipe must not be redirected to the console, which is stderr.
    both = sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not shown, transient=True, redirect_stdout=both) as bars:
        task = bars.add_task(doing, total=total_bytes)
        yield lambda count: bars.advance(task, count)
