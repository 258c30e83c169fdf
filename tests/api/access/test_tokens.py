"""Tokens: what is kept, what is accepted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from api.access.tokens import Scope, Token, check_token, create_token, list_tokens, revoke_token
from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import now, tokens
from transfer.wire.errors import AuthRejected, NotFound, ScopeRejected


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    upgrade(database, tmp_path)
    yield database
    database.close()


def test_a_token_is_accepted_and_its_secret_kept_nowhere(database) -> None:
    token, text = create_token(database, Scope.AGENT, "s1", None)
    assert check_token(database, text) == token
    assert len(text.split("_", 2)[2]) == 43  # 256 bits
    with database.read() as connection:
        row = connection.execute(select(tokens)).one()
    assert text.split("_", 2)[2] not in str(row)


def test_what_is_not_accepted(database) -> None:
    token, text = create_token(database, Scope.AGENT, None, None)
    other = create_token(database, Scope.ADMIN, None, None)[1]
    mixed = text[:12] + other[12:]
    for wrong in ("", "x", text[:-1], text + "A", mixed, text.upper(), f"cf_{'a' * 8}_{'b' * 43}"):
        with pytest.raises(AuthRejected):
            check_token(database, wrong)
    revoke_token(database, token.id)
    with pytest.raises(AuthRejected, match="revoked"):
        check_token(database, text)
    expired = create_token(database, Scope.AGENT, None, now() - timedelta(seconds=1))[1]
    with pytest.raises(AuthRejected, match="expired"):
        check_token(database, expired)
    assert [one.valid for one in list_tokens(database)] == [False, True, False]
    with pytest.raises(NotFound):
        revoke_token(database, "nonesuch")


@pytest.mark.parametrize(
    ("scope", "session", "wanted", "write", "permitted"),
    [
        (Scope.AGENT, None, "s1", True, True),
        (Scope.AGENT, "s1", "s1", True, True),
        (Scope.AGENT, "s1", "s2", True, False),
        (Scope.AGENT, "s1", "s2", False, False),
        (Scope.READER, "s1", "s1", False, True),
        (Scope.READER, None, "s1", True, False),
        (Scope.ADMIN, None, "s1", True, True),
    ],
)
def test_what_a_scope_permits(scope, session, wanted, write, permitted) -> None:
    token = Token("a" * 8, scope, session, now(), None, None)
    if permitted:
        token.permit(wanted, write=write)
    else:
        with pytest.raises(ScopeRejected):
            token.permit(wanted, write=write)
