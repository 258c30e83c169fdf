"""`cryoferry token`: makes, lists and revokes tokens in the receiver's database."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.commands.options import Data, DatabaseUrl, DryRun, Json, duration, print_result

if TYPE_CHECKING:
    from api.access.tokens import Token
    from api.database.engine import Database

token = typer.Typer(
    help="Make, list and revoke the tokens that agents, readers and admins use.",
    no_args_is_help=True,
    add_completion=False,
)


def _open(data: Path, url: str | None, *, make: bool) -> Database:
    """Return the receiver's database; the receiver may run or not.

    Parameters
    ----------
    make
        Make the data folder and the database if they are not there.

    Raises
    ------
    BadOption
        They are not there.
    """
    from api.database.engine import Database
    from api.errors import BadOption
    from api.settings import SQLITE_NAME, ReceiverSettings
    from api.store.folder_identity import prepare_database
    from api.store.storage import Storage

    settings = ReceiverSettings(data=data.absolute(), database=url)
    if not make and not (settings.data if url else settings.data / SQLITE_NAME).exists():
        raise BadOption(
            f"{settings.data} is not the data folder of a receiver, so it holds no tokens",
            hint="Give --data (and --database) as `cryoferry serve` has them.",
        )
    Storage(settings.data, 0).prepare()
    database = Database(settings.database_url)
    prepare_database(database, settings.data)
    return database


def _session_of(scope: str, session: str | None, all_sessions: bool) -> str | None:
    """Return the one session that a new token is for; None: all of them.

    Raises
    ------
    BadOption, BadName
    """
    from api.errors import BadOption
    from transfer.wire.names import check_session_name

    if session is not None and all_sessions:
        raise BadOption(
            "--session and --all-sessions contradict each other; no token was made", hint="Give one of the two."
        )
    if scope == "admin":
        if session is not None:
            raise BadOption(
                "an admin token is for all sessions, it cannot have --session; no token was made",
                hint="Leave --session out, or make a token for this session alone: --scope agent.",
            )
        return None
    if session is None and not all_sessions:
        raise BadOption(
            f"the {scope} token needs a session: neither --session nor --all-sessions was given; no token was made",
            hint="Give --session NAME. For a token that works for every session, give --all-sessions.",
        )
    return None if session is None else check_session_name(session)


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
        Literal["agent", "reader", "admin"],
        typer.Option(help="agent: send files. reader: read only. admin: everything, in all sessions."),
    ] = "agent",
    session: Annotated[
        str | None, typer.Option(metavar="NAME", help="The token works for this session only. It need not exist yet.")
    ] = None,
    all_sessions: Annotated[
        bool, typer.Option("--all-sessions", help="The token works for all sessions. An admin token always does.")
    ] = False,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="The token is valid for this time: 12h, 30d. Default: no end.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the token into this new file, which only you can read, instead of printing it."
        ),
    ] = None,
    database: DatabaseUrl = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a token and print it on stdout, or write it into a file with --out.

    Give --session or --all-sessions. The receiver keeps only a hash: if the token is lost, make another one.
    """
    from api.commands.token_file import require_free, token_file

    session = _session_of(scope, session, all_sessions)
    expires_at = datetime.now(UTC) + duration(expires) if expires else None
    if dry_run:
        if out:
            require_free(out)
        what = f"would make a token: {scope}, {f'session {session}' if session else 'all sessions'}"
        print_result(json, what, scope=scope, session=session, dry_run=True)
        return
    if out is None:
        made, text = _create(data, database, scope, session, expires_at)
        print_result(json, text, token=text, **_members(made))
        return
    with token_file(out) as descriptor:
        made, text = _create(data, database, scope, session, expires_at)
        os.write(descriptor, f"{text}\n".encode())
    print_result(json, f"the token {made.id} is in {out}; only you can read it", file=str(out), **_members(made))


def _create(
    data: Path, url: str | None, scope: str, session: str | None, expires_at: datetime | None
) -> tuple[Token, str]:
    from api.access.tokens import Scope, create_token

    kept = _open(data, url, make=True)
    try:
        return create_token(kept, Scope(scope), session, expires_at)
    finally:
        kept.close()


@token.command("list")
def list_(data: Data, database: DatabaseUrl = None, json: Json = False) -> None:
    """List the tokens. Their secret parts are not shown: the receiver does not know them."""
    from api.access.tokens import list_tokens

    kept = _open(data, database, make=False)
    try:
        found = list_tokens(kept)
    finally:
        kept.close()
    for one in found:
        members = _members(one)
        state = "revoked" if one.revoked_at else "valid" if one.valid else "expired"
        until = f"until {members['expires_at']}" if one.expires_at else "without end"
        line = f"{one.id}  {one.scope.value:6}  {one.session or 'all sessions'}  {state}, {until}"
        print_result(json, line, **members, valid=one.valid)


@token.command("revoke")
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="The token's id: the eight characters after cf_. `token list` shows it.")
    ],
    data: Data,
    database: DatabaseUrl = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a token invalid. A running receiver refuses it within a second."""
    from api.access.tokens import find_token, revoke_token

    kept = _open(data, database, make=False)
    try:
        found = find_token(kept, token_id) if dry_run else revoke_token(kept, token_id)
    finally:
        kept.close()
    line = f"{'would revoke' if dry_run else 'revoked'} {token_id}"
    print_result(json, line, **_members(found), dry_run=dry_run)
