"""The command `cryoferry session`."""

from __future__ import annotations

from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.commands.shared import Ca, ClearText, DryRun, Json, To, TokenFile, connect, stderr_console
from transfer.wire.names import check_session_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer.client import ReceiverClient
    from transfer.wire.protocol import Session

SessionName = Annotated[str, typer.Argument(metavar="NAME", help="The session's name.", callback=check_session_name)]

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
