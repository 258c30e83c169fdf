"""Bearer tokens: makes, lists, revokes and checks them. The database keeps only hashes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import bindparam, insert, select, update

from api.database.engine import Database
from api.database.tables import now, tokens
from transfer.wire.errors import AuthRejected, NotFound

_TOKEN = re.compile(r"cf_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Scope(StrEnum):
    """What a token is for; `api.access.permissions` says what each may do."""

    AGENT = "agent"
    READER = "reader"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the database keeps it: without its secret part.

    Attributes
    ----------
    session
        The one session that the token is for; None: all sessions.
    """

    id: str
    scope: Scope
    session: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def valid(self) -> bool:
        """Whether it is neither expired nor revoked."""
        return self.revoked_at is None and (self.expires_at is None or now() < self.expires_at)


_COLUMNS = (tokens.c.id, tokens.c.scope, tokens.c.session, tokens.c.created_at, tokens.c.expires_at)
_TOKENS = select(*_COLUMNS, tokens.c.revoked_at)
_WITH_SECRET = _TOKENS.add_columns(tokens.c.secret_sha256).where(tokens.c.id == bindparam("id"))


def _token(
    token_id: str,
    scope: str,
    session: str | None,
    created_at: datetime,
    expires_at: datetime | None,
    revoked_at: datetime | None,
) -> Token:
    return Token(token_id, Scope(scope), session, created_at, expires_at, revoked_at)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create_token(
    database: Database, scope: Scope, session: str | None, expires_at: datetime | None
) -> tuple[Token, str]:
    """Make a token; return it and its text. The text is not kept anywhere."""
    token_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
    secret = secrets.token_urlsafe(32)  # 256 bits
    token = Token(token_id, scope, session, now(), expires_at, None)
    with database.write() as connection:
        connection.execute(
            insert(tokens).values(
                id=token.id,
                secret_sha256=_hash(secret),
                scope=scope.value,
                session=session,
                created_at=token.created_at,
                expires_at=expires_at,
            )
        )
    return token, f"cf_{token_id}_{secret}"


def list_tokens(database: Database) -> list[Token]:
    """Return all tokens, oldest first."""
    with database.read() as connection:
        rows = connection.execute(_TOKENS.order_by(tokens.c.created_at, tokens.c.id)).all()
    return [_token(*row) for row in rows]


def find_token(database: Database, token_id: str) -> Token:
    """Return a token by its id.

    Raises
    ------
    NotFound
    """
    with database.read() as connection:
        row = connection.execute(_TOKENS.where(tokens.c.id == token_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no token {token_id!r}", hint="`cryoferry token list` shows the ids of all tokens.")
    return _token(*row)


def revoke_token(database: Database, token_id: str) -> Token:
    """Make a token invalid.

    Raises
    ------
    NotFound
    """
    with database.write() as connection:
        connection.execute(
            update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None)).values(revoked_at=now())
        )
    return find_token(database, token_id)


def check_token(database: Database, text: str) -> Token:
    """Return the valid token that has this text.

    Raises
    ------
    AuthRejected
    """
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise AuthRejected("the text that was sent is not a token of cryoferry")
    token_id, secret = match.groups()
    with database.read() as connection:
        row = connection.execute(_WITH_SECRET, {"id": token_id}).one_or_none()
    kept: str = row[-1] if row else _hash("")
    if not hmac.compare_digest(kept, _hash(secret)) or row is None:
        raise AuthRejected(
            "this receiver does not know this token; it was made on another receiver, or the text is not complete"
        )
    token = _token(*row[:-1])
    if not token.valid:
        raise AuthRejected(
            f"the token {token.id} has expired" if token.revoked_at is None else f"the token {token.id} was revoked"
        )
    return token


class RecentTokens:
    """Tokens that were found valid in the last second, so that not every chunk of a client needs a look-up."""

    REMEMBERED_S = 1.0
    MOST = 1024

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, tuple[float, Token]] = {}

    def get(self, text: str) -> Token | None:
        """Return the token if it was found valid within `REMEMBERED_S` and has not expired since."""
        found_s, token = self._found.get(text, (float("-inf"), None))
        return token if token and token.valid and self._clock() - found_s < self.REMEMBERED_S else None

    def put(self, text: str, token: Token) -> None:
        """Remember a token that was just found valid."""
        if len(self._found) >= self.MOST:
            self._found.clear()
        self._found[text] = (self._clock(), token)
