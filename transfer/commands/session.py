"""The command `cryoferry session`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.commands.shared import Ca, ClearText, DryRun, Json, ReceiverUrl, TokenFile, connect, stderr_console
from transfer.terminal.lines import print_line
from transfer.wire.names import check_session_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer.client import ReceiverClient
    from transfer.wire.protocol import Session
    from transfer.wire.session_exports import SessionExports

SessionName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the session.", callback=check_session_name)]

session = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Start, end, reopen or export a session on a receiver."
)


@session.command()
def start(
    session: SessionName,
    to: ReceiverUrl,
    metadata: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What people know of the session (TOML or .json): owner, authors, instrument, grid, sample. "
            "It replaces what was given before.",
        ),
    ] = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Start a session. A session that is open already stays as it is.

    With --metadata, the receiver keeps what the file says; it writes the files for archives when the session ends.
    """
    from transfer.commands.metadata_file import read_metadata

    given = None if metadata is None else read_metadata(metadata)
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _ask("start", session, client, client.open_session, dry_run=dry_run, json=json)
        if given is not None and not dry_run:
            client.give_metadata(session, given)


@session.command()
def end(
    session: SessionName,
    to: ReceiverUrl,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """End a session. Its projects are closed when all its exposures are registered.

    Agents with unfinished exposures are named. Exit code 6 if an agent has sent more exposures than the receiver has;
    the session is ended all the same, and can be reopened.
    """
    from transfer.commands.session_end_run import MISMATCH, notices

    console = stderr_console()
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        found = [] if dry_run else list(notices(client, session))
        _ask("end", session, client, client.end_session, dry_run=dry_run, json=json)
    for notice in found:
        console.print(f"{'warning: ' if notice.is_loss else ''}{notice.text}", markup=False)
    if any(notice.is_loss for notice in found):
        raise typer.Exit(MISMATCH)


@session.command()
def reopen(
    session: SessionName,
    to: ReceiverUrl,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Open an ended session again, for late data."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _ask("reopen", session, client, client.reopen_session, dry_run=dry_run, json=json)


@session.command()
def export(
    session: SessionName,
    to: ReceiverUrl,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Have the receiver write a session's files for cryoSPARC, OSC-EM and EMPIAR.

    They have what is registered at this moment. Call it again for what comes later; the end of the session does so too.
    """
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        if dry_run:
            _say_dry_run("export", session, client, json=json)
            return
        _show_exports(client.export_session(session), json=json)


def _show_archives(exports: SessionExports) -> None:
    """Say what keeps the files for archives from being complete."""
    console = stderr_console()
    if exports.missing:
        console.print("Archives require what nobody gave; `session start --metadata FILE` gives it, then export again:")
    for line in (*exports.missing, *exports.differences):
        console.print(f"  {line}", markup=False)
    if exports.unchecked:
        names = ", ".join(exports.unchecked)
        console.print(f"Not checked against a schema, which the receiver does not have: {names}", markup=False)


def _show_exports(exports: SessionExports, *, json: bool) -> None:
    if json:
        typer.echo(dumps(exports.model_dump(mode="json")))
        return
    for file in exports.files:
        print_line(f"{exports.folder}/{file.path}: {file.exposure_count} exposures")
    if not exports.files:
        print_line(f"nothing is exported: none of {exports.exposure_count} exposures has a registered micrograph")
    if exports.unregistered_count:
        stderr_console().print(
            f"{exports.unregistered_count} of {exports.exposure_count} exposures are left out: their micrographs are "
            "not registered. Export again when they are; `cryoferry status` shows how far they are.",
            markup=False,
        )
    _show_archives(exports)


def _ask(
    verb: str, name: str, client: ReceiverClient, request: Callable[[str], Session], *, dry_run: bool, json: bool
) -> None:
    if not dry_run:
        _show(request(name), json)
    else:
        _say_dry_run(verb, name, client, json=json)


def _say_dry_run(verb: str, name: str, client: ReceiverClient, *, json: bool) -> None:
    if json:
        typer.echo(dumps({"would": verb, "session": name, "to": str(client.url)}))
    else:
        print_line(f"would {verb} session {name} at {client.url}")


def _show(session: Session, json: bool) -> None:
    if json:
        typer.echo(dumps(session.model_dump(mode="json")))
        return
    print_line(f"session {session.name}: {session.state}, {session.exposure_count} exposures")
    for registrar, project in session.projects.items():
        count = session.registered_count.get(registrar, 0)
        print_line(f"  {registrar}: {count} registered, {project}")
