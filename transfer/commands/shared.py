"""What the commands of this package share: options, the connection to a receiver, and how they speak to people."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from transfer.client import ReceiverClient

To = Annotated[str, typer.Option("--to", metavar="URL", help="The receiver: https://…, or http:// on this machine.")]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that holds the token; otherwise CRYOFERRY_TOKEN.")
]
Ca = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM file of the authority that signed the receiver's certificate.")
]
ClearText = Annotated[
    bool,
    typer.Option(
        "--clear-text",
        help="Take http:// to another machine: the link is a VPN, or nobody else's. The token can be read on its way.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be asked of the receiver.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


def stderr_console() -> Console:
    """Return a console on stderr: stdout is for programs."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def connect(to: str, token_file: Path | None, ca: Path | None, *, clear_text: bool = False) -> ReceiverClient:
    """Return the receiver that was named, with the token that was given."""
    from transfer.client import ReceiverClient
    from transfer.credentials import read_token

    return ReceiverClient(to, read_token(token_file), ca=ca, clear_text=clear_text)


@contextmanager
def progress(console: Console, doing: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate and time left on a terminal; yields what advances it by a number of bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task(doing, total=total_bytes)
        yield lambda count: bars.advance(task, count)
