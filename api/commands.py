"""The receiver's commands: `serve` and `token`."""

from __future__ import annotations

import json as jsonlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from api.access.tokens import Token
    from api.database.engine import Database

Data = Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds everything the receiver keeps.")]
DatabaseUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="SQLAlchemy URL, for PostgreSQL; by default SQLite in --data.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]

token = typer.Typer(
    help="Make, list and revoke the tokens that agents use.", no_args_is_help=True, add_completion=False
)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a number and m, h, d or w: 30d, 12h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _print(as_json: bool, line: str, **members: Any) -> None:
    typer.echo(jsonlib.dumps(members) if as_json else line)


def serve(
    data: Data,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback only with TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8642,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that receive.")] = 1,
    database: DatabaseUrl = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate (PEM, with its chain) for https.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")] = None,
    behind_proxy: Annotated[bool, typer.Option(help="A proxy in front does TLS.")] = False,
    scipion: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Scipion's environment: register in a live Scipion project.")
    ] = None,
    projects: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where Scipion projects are made; by default in --data.")
    ] = None,
    relion: Annotated[bool, typer.Option(help="Keep a RELION STAR file of each session.")] = True,
    float16: Annotated[
        bool, typer.Option("--float16", help="Register float16 files as they are: all readers can read mode 12.")
    ] = False,
    reserve_bytes: Annotated[
        int, typer.Option(min=0, metavar="BYTES", help="Free space on the disk that uploads never use.")
    ] = 256 << 20,
    max_file_bytes: Annotated[int, typer.Option(min=1, metavar="BYTES", help="Largest file that is taken.")] = 1 << 40,
    upload_expiry: Annotated[
        str, typer.Option(metavar="TIME", help="When an unfinished upload is given up: 12h, 7d.")
    ] = "7d",
    body_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="A client silent for that long within a request is cut off.")
    ] = 30.0,
    data_plane: Annotated[
        Literal["auto", "socket", "stream"],
        typer.Option(help="How files' bodies are read: in threads from the socket, or through ASGI (also with TLS)."),
    ] = "auto",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Receive files, commit them durably, register exposures in Scipion and RELION."""
    from api.registrars.settings import RegistrarSettings
    from api.server import Address, run
    from api.settings import ReceiverSettings

    address = Address(host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, behind_proxy=behind_proxy)
    address.check()
    settings = ReceiverSettings(
        data=data.absolute(),
        database=database,
        registrars=RegistrarSettings(
            scipion=scipion and scipion.absolute(),
            projects=projects and projects.absolute(),
            relion=relion,
            float16=float16,
        ),
        reserve_bytes=reserve_bytes,
        max_file_bytes=max_file_bytes,
        upload_expiry_s=_duration(upload_expiry).total_seconds(),
        body_timeout_s=body_timeout,
    )

    def tell(url: str) -> None:
        _print(json, f"cryoferry receives at {url}, data in {data}", url=url, pid=os.getpid(), data=str(settings.data))

    if dry_run:
        url = address.url(port)
        _print(json, f"would receive at {url}, data in {data}", url=url, data=str(settings.data), dry_run=True)
        return
    run(settings, address, workers=workers, on_listening=tell, data_plane=data_plane)


def _open(data: Path, url: str | None) -> Database:
    """Return the receiver's database, made if need be; the receiver may run or not."""
    from api.database.engine import Database
    from api.database.migrate import upgrade
    from api.settings import ReceiverSettings
    from api.store.storage import Storage

    settings = ReceiverSettings(data=data.absolute(), database=url)
    Storage(settings.data, 0).prepare()
    database = Database(settings.database_url)
    upgrade(database, settings.data)
    return database


def _members(token: Token) -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return value.isoformat(timespec="seconds") if value else None

    return {
        "id": token.id,
        "scope": token.scope.value,
        "session": token.session,
        "created_at": moment(token.created_at),
        "expires_at": moment(token.expires_at),
        "revoked_at": moment(token.revoked_at),
    }


@token.command("create")
def create(
    data: Data,
    scope: Annotated[
        Literal["agent", "reader", "admin"], typer.Option(help="agent: send; reader: look; admin: everything.")
    ] = "agent",
    session: Annotated[str | None, typer.Option(help="The one session that it is for; by default all of them.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it is valid: 12h, 30d; by default without end.")
    ] = None,
    database: DatabaseUrl = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a token and print it alone on stdout. It is kept nowhere else: who loses it makes another."""
    from api.access.tokens import Scope, create_token
    from transfer.wire.names import check_session_name

    if session is not None:
        check_session_name(session)
    expires_at = datetime.now(UTC) + _duration(expires) if expires else None
    if dry_run:
        what = f"would make a token: {scope}, {f'session {session}' if session else 'all sessions'}"
        _print(json, what, scope=scope, session=session, dry_run=True)
        return
    kept = _open(data, database)
    try:
        made, text = create_token(kept, Scope(scope), session, expires_at)
    finally:
        kept.close()
    _print(json, text, token=text, **_members(made))


@token.command("list")
def list_(data: Data, database: DatabaseUrl = None, json: Json = False) -> None:
    """List the tokens, never their secrets."""
    from api.access.tokens import list_tokens

    kept = _open(data, database)
    try:
        found = list_tokens(kept)
    finally:
        kept.close()
    for one in found:
        members = _members(one)
        state = "revoked" if one.revoked_at else "valid" if one.valid else "expired"
        until = f"until {members['expires_at']}" if one.expires_at else "without end"
        line = f"{one.id}  {one.scope.value:6}  {one.session or 'all sessions'}  {state}, {until}"
        _print(json, line, **members, valid=one.valid)


@token.command("revoke")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The first part of the token after cf_.")],
    data: Data,
    database: DatabaseUrl = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a token worthless, at once."""
    from api.access.tokens import list_tokens, revoke_token
    from transfer.wire.errors import NotFound

    kept = _open(data, database)
    try:
        if dry_run:
            found = next((one for one in list_tokens(kept) if one.id == token_id), None)
            if found is None:
                raise NotFound(f"there is no token {token_id!r}", hint="`cryoferry token list` shows them.")
        else:
            found = revoke_token(kept, token_id)
    finally:
        kept.close()
    _print(json, f"{'would revoke' if dry_run else 'revoked'} {token_id}", **_members(found), dry_run=dry_run)
