"""The policy: which permissions exist, and which tokens have them.

A permission is about one session, or about none in particular. A token has a permission where its scope has it
(`PERMITTED`), and where it is for that session or for all sessions. This is decided before it is looked up whether the
session exists: a token for one session learns nothing about others.
"""

from __future__ import annotations

from enum import StrEnum

from api.access.tokens import Scope, Token
from transfer.wire.errors import ScopeRejected


class Permission(StrEnum):
    """What a route needs."""

    PUBLIC = "public"
    """No token: what everybody may see."""
    TOKEN = "token"  # noqa: S105 - no secret
    """Any valid token."""
    READ = "read"
    """See what is in a session."""
    WRITE = "write"
    """Send files, publish exposures, report, start and end a session."""
    JUDGE = "judge"
    """Accept and reject exposures of a session, and set its thresholds."""
    ADMIN = "admin"
    """Ask something of other people's agents."""


_READER = frozenset({Permission.PUBLIC, Permission.TOKEN, Permission.READ})
PERMITTED: dict[Scope, frozenset[Permission]] = {
    Scope.READER: _READER,
    Scope.AGENT: _READER | {Permission.WRITE, Permission.JUDGE},
    Scope.ADMIN: frozenset(Permission),
}


def require_permission(token: Token, permission: Permission) -> None:
    """Refuse a token whose scope does not have a permission.

    Raises
    ------
    ScopeRejected
    """
    if permission not in PERMITTED[token.scope]:
        scopes = " or ".join(f"`--scope {scope}`" for scope in Scope if permission in PERMITTED[scope])
        raise ScopeRejected(
            f"this request needs the permission {permission.value!r}; a token of scope {token.scope.value!r} lacks it",
            hint=f"Use a token made on the receiver with `cryoferry token create` and {scopes}.",
        )


def sees(token: Token, session: str) -> bool:
    """Return whether a token is for a session, among others or alone."""
    return token.session is None or token.session == session


def require_session(token: Token, session: str) -> None:
    """Refuse a token that is for another session, whether or not this one exists.

    Raises
    ------
    ScopeRejected
    """
    if not sees(token, session):
        raise ScopeRejected(
            f"this token works for session {token.session!r} only",
            hint="Use a token made for this session: `cryoferry token create --session NAME`.",
        )
