"""The token is read from a file or from the environment, and no message shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer.credentials import check_token, read_token
from transfer.wire.errors import AuthRejected, TokenMissing

SECRET = "s3cret" * 7


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRYOFERRY_TOKEN", raising=False)


def test_without_a_file_the_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TokenMissing) as caught:
        read_token(None)
    assert caught.value.exit_code == 2
    assert "CRYOFERRY_TOKEN" in caught.value.hint
    monkeypatch.setenv("CRYOFERRY_TOKEN", f" {SECRET}\n")
    assert read_token(None) == SECRET


def test_a_file_counts_more_than_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYOFERRY_TOKEN", "from-environment")
    (tmp_path / "token").write_text(f"{SECRET}\n")
    assert read_token(tmp_path / "token") == SECRET


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token-file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TokenMissing, match="token-file"):
        read_token(file)


def test_a_token_instead_of_the_name_of_its_file_is_not_shown() -> None:
    with pytest.raises(TokenMissing, match="given a token") as caught:
        read_token(Path(f"cf_abcd1234_{SECRET}x"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("token", ["", "  \n", f"{SECRET} {SECRET}", f"{SECRET}\n{SECRET}", f"ü{SECRET}", f"{SECRET};"])
def test_what_cannot_be_a_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(AuthRejected) as caught:
        check_token(token)
    assert caught.value.exit_code == 7
    assert SECRET not in str(caught.value)
