"""Tokens: what is kept, what is accepted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from api.access.tokens import Scope, check_token, create_token, list_tokens, revoke_token
from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import now, tokens
from transfer.wire.errors import AuthRejected, NotFound


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
