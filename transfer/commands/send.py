"""The commands `cryoferry send` and `cryoferry session`."""

from __future__ import annotations

import time
from enum import StrEnum
from fnmatch import fnmatch
from functools import partial
from json import dumps
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.commands.shared import Ca, ClearText, DryRun, Json, To, TokenFile, connect, progress, stderr_console
from transfer.wire.errors import AuthRejected, CertificateRejected, ScopeRejected, TemporaryError, TransferError
from transfer.wire.names import check_session_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from transfer.client import ReceiverClient
    from transfer.upload.sender import FileToSend, Outcome, Sender
    from transfer.wire.protocol import Session

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


SessionName = Annotated[str, typer.Argument(metavar="NAME", help="The session's name.", callback=check_session_name)]

ENDS_ALL = (AuthRejected, ScopeRejected, CertificateRejected, TemporaryError)
"""What would meet every other file as well."""


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
    from transfer.pace.pacing import pacer_of
    from transfer.upload.sender import Sender
    from transfer.wire.addresses import check_url

    check_url(to, clear_text=clear_text)
    check_session_name(session)
    pacer = pacer_of(limit)
    planned = plan(files, session, path_prefix, revision, background=tuple(background or ()))
    if dry_run:
        _show_plan(planned, json)
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
        settle = partial(_settled, verify=verify, delete=delete_after_receipt)
        raise typer.Exit(_send(sender, planned, settle, json=json))


def plan(
    sources: list[Path], session: str, prefix: str, revision: int, *, background: tuple[str, ...] = ()
) -> list[FileToSend]:
    """Return what to send under which names; files below a folder keep their paths, hidden ones stay behind.

    Names that match a pattern of `background` go into that lane, after all others; in each lane the newest goes first.

    Raises
    ------
    SourceUnreadable
        Something that was named is not there.
    BadName
        A name that cannot travel, or two files of one name.
    """
    from transfer.pace.pacing import Lane
    from transfer.upload.sender import FileToSend
    from transfer.wire.errors import BadName
    from transfer.wire.names import check_path

    planned: dict[str, FileToSend] = {}
    for source, relative in _files(sources):
        path = check_path(f"{prefix.strip('/')}/{relative}" if prefix.strip("/") else relative)
        if path in planned:
            raise BadName(
                f"{planned[path].source} and {source} would both be named {path}",
                hint="Send them apart, each with a --path-prefix of its own.",
            )
        in_background = any(fnmatch(source.name, pattern) for pattern in background)
        lane = Lane.BACKGROUND if in_background else Lane.FOREGROUND
        planned[path] = FileToSend(source, session, path, revision, lane=lane)
    return sorted(planned.values(), key=lambda file: (file.lane, -_written_ns(file.source), file.path))


def _written_ns(source: Path) -> int:
    from transfer.wire.errors import SourceUnreadable

    try:
        return source.stat().st_mtime_ns
    except OSError as error:
        raise SourceUnreadable(f"{source}: {error.strerror}") from error


def _files(sources: list[Path]) -> Iterator[tuple[Path, str]]:
    from transfer.wire.errors import SourceUnreadable

    for source in sources:
        if not source.exists():
            raise SourceUnreadable(f"{source}: there is no such file or folder")
        if not source.is_dir():
            yield source, source.name
            continue
        top = source.resolve()
        for file in sorted(top.rglob("*")):
            relative = file.relative_to(top)
            if not file.is_dir() and not any(part.startswith(".") for part in relative.parts):
                yield file, f"{top.name}/{relative.as_posix()}"


def _show_plan(planned: list[FileToSend], json: bool) -> None:
    console = stderr_console()
    for file in planned:
        size_bytes = file.source.stat().st_size
        if json:
            typer.echo(
                dumps(
                    {
                        "source": str(file.source),
                        "session": file.session,
                        "path": file.path,
                        "revision": file.revision,
                        "size_bytes": size_bytes,
                    }
                )
            )
        else:
            console.print(
                f"would send {file.source} as {file.session}/{file.path} ({size_bytes:,} bytes)", markup=False
            )


def _send(sender: Sender, planned: list[FileToSend], settle: Callable[[Outcome], Outcome], *, json: bool) -> int:
    """Send what is planned, tell of each file and of all, and return the exit code."""
    from transfer.pace.retrying import Patience

    console = stderr_console()
    patience = Patience(sender.give_up_after_s, lambda: False)
    planned = patience.repeat(lambda: _with_listed(sender.client, planned))
    began = ended = time.monotonic()
    outcomes: list[Outcome] = []
    total_bytes = sum(file.source.stat().st_size for file in planned)
    with progress(console, "sending", total_bytes) as advance:
        for outcome in _until_hopeless(sender, planned, advance):
            if outcome.receipt:
                ended = time.monotonic()
            outcomes.append(settle(outcome))
            _tell(outcomes[-1], console, json)
    _sum_up(outcomes, sender, ended - began, console, json)
    return _exit_code(outcomes)


def _settled(outcome: Outcome, *, verify: bool, delete: bool) -> Outcome:
    """Do what is to be done with a file that has its receipt; return what became of it."""
    from dataclasses import replace

    from transfer.download.comparing import digest_of
    from transfer.upload.source import delete_unchanged
    from transfer.wire.errors import FileCorrupt

    source, receipt = outcome.file.source, outcome.receipt
    if receipt is None or outcome.sent is None:
        return outcome
    try:
        if verify and digest_of(source) != receipt.digest:
            raise FileCorrupt(f"{source}: read again, it has not the digest {receipt.digest} of its receipt")
        if delete:
            delete_unchanged(source, outcome.sent)
    except TransferError as error:
        return replace(outcome, error=error)
    return outcome


def _with_listed(client: ReceiverClient, planned: list[FileToSend]) -> list[FileToSend]:
    """Start the session if it is new, and return the files with what the receiver has under their names."""
    from dataclasses import replace

    if not planned:
        return planned
    client.open_session(planned[0].session)
    listed = {receipt.path: receipt for receipt in client.files(planned[0].session)}
    return [replace(file, listed=listed.get(file.path)) for file in planned]


def _until_hopeless(sender: Sender, planned: list[FileToSend], advance: Callable[[int], None]) -> Iterator[Outcome]:
    """Yield each file's outcome; after an error that would meet every other file too, the others are given up."""
    hopeless = Event()
    for outcome in sender.send_many(planned, on_progress=advance, should_stop=hopeless.is_set):
        if isinstance(outcome.error, ENDS_ALL):
            hopeless.set()
        yield outcome


def _tell(outcome: Outcome, console: Console, json: bool) -> None:
    file, receipt, error = outcome.file, outcome.receipt, outcome.error
    if error:
        console.print(f"failed: {file.source}: {error}", style="red", markup=False)
        console.print(f"what to do: {error.hint}", markup=False)
    elif receipt:
        console.print(
            f"received: {receipt.path} revision {receipt.revision} ({receipt.size_bytes:,} bytes)", markup=False
        )
    if json and receipt and not error:
        typer.echo(dumps({"source": str(file.source), **receipt.model_dump()}))
    elif json and error:
        told = {"type": type(error).__name__, "message": str(error), "hint": error.hint, "exit_code": error.exit_code}
        typer.echo(dumps({"source": str(file.source), "path": file.path, "error": told}))


def _sum_up(outcomes: list[Outcome], sender: Sender, seconds: float, console: Console, json: bool) -> None:
    receipts = [outcome.receipt for outcome in outcomes if outcome.receipt and not outcome.error]
    size_bytes = sum(receipt.size_bytes for receipt in receipts)
    rate = sender.sent_bytes / seconds if seconds else 0.0
    console.print(
        f"{len(receipts)} of {len(outcomes)} files, {size_bytes / 1e6:,.1f} MB"
        f" ({sender.sent_bytes / 1e6:,.1f} MB sent) in {seconds:.1f} s: {rate / 1e6:,.1f} MB/s"
    )
    if json:
        total = {
            "files": len(receipts),
            "failed": len(outcomes) - len(receipts),
            "bytes": size_bytes,
            "sent_bytes": sender.sent_bytes,
            "seconds": seconds,
            "rate_bytes_per_s": rate,
            "congestion_control": sender.congestion_control,
        }
        typer.echo(dumps(total))


def _exit_code(outcomes: list[Outcome]) -> int:
    errors: list[TransferError] = [outcome.error for outcome in outcomes if outcome.error]
    if not errors:
        return 0
    for error in errors:
        if isinstance(error, ENDS_ALL):
            return error.exit_code
    return errors[0].exit_code if len(errors) == len(outcomes) else 3


session = typer.Typer(no_args_is_help=True, add_completion=False, help="Start, end or reopen a session on a receiver.")


@session.command()
def start(
    name: SessionName,
    to: To,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Start a session; one that runs already stays as it is."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _ask("start", name, client, client.open_session, dry_run=dry_run, json=json)


@session.command()
def end(
    name: SessionName,
    to: To,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """End a session: its projects are closed once everything is registered."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _ask("end", name, client, client.end_session, dry_run=dry_run, json=json)


@session.command()
def reopen(
    name: SessionName,
    to: To,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Open an ended session again, for late data."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _ask("reopen", name, client, client.reopen_session, dry_run=dry_run, json=json)


def _ask(
    verb: str, name: str, client: ReceiverClient, request: Callable[[str], Session], *, dry_run: bool, json: bool
) -> None:
    if not dry_run:
        _tell_session(request(name), json)
    elif json:
        typer.echo(dumps({"would": verb, "session": name, "to": str(client.url)}))
    else:
        stderr_console().print(f"would {verb} session {name} at {client.url}", markup=False)


def _tell_session(told: Session, json: bool) -> None:
    if json:
        typer.echo(told.model_dump_json())
    console = stderr_console()
    console.print(f"session {told.name}: {told.state}, {told.exposure_count} exposures", markup=False)
    for registrar, project in told.projects.items():
        shown = told.registered_count.get(registrar, 0)
        console.print(f"  {registrar}: {shown} registered, {project}", markup=False)
