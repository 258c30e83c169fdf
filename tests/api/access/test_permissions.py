"""The policy: what each scope permits, in which sessions."""

from __future__ import annotations

import pytest

from api.access.permissions import PERMITTED, Permission, require_permission, require_session
from api.access.tokens import Scope, Token
from api.database.tables import now
from transfer.wire.errors import ScopeRejected


def token(scope: Scope, session: str | None = None) -> Token:
    return Token("a" * 8, scope, session, now(), None, None)


@pytest.mark.parametrize(
    ("scope", "has"),
    [
        (Scope.READER, {"public", "token", "read"}),
        (Scope.AGENT, {"public", "token", "read", "write", "judge"}),
        (Scope.ADMIN, {"public", "token", "read", "write", "judge", "admin"}),
    ],
)
def test_what_a_scope_permits(scope: Scope, has: set[str]) -> None:
    assert set(PERMITTED) == set(Scope)
    for permission in Permission:
        if permission.value in has:
            require_permission(token(scope), permission)
        else:
            with pytest.raises(ScopeRejected, match=permission.value):
                require_permission(token(scope), permission)


def test_a_refusal_names_the_scopes_that_would_do() -> None:
    with pytest.raises(ScopeRejected) as refused:
        require_permission(token(Scope.READER), Permission.WRITE)
    assert "`--scope agent` or `--scope admin`" in refused.value.hint


@pytest.mark.parametrize("scope", Scope)
def test_a_token_of_one_session_is_for_no_other(scope: Scope) -> None:
    require_session(token(scope), "s1")
    require_session(token(scope, "s1"), "s1")
    for other in ("s2", "S1", "s", ""):
        with pytest.raises(ScopeRejected, match="'s1' only"):
            require_session(token(scope, "s1"), other)
