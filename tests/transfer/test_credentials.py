"""The token is read from a file or from the environment, and no message shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer.credentials import TokenSource, check_token, read_token
from transfer.wire.errors import AuthRejected, TokenMissing, TokenUnusable

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


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("missing", "."):
        with pytest.raises(TokenMissing, match="the token file"):
            read_token(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (f"\ufeff{SECRET}".encode(), "byte order mark"),
        (SECRET.encode("utf-16"), "UTF-16"),
        (SECRET.encode("utf-16-le"), "UTF-16"),
        (SECRET.encode("utf-16-be"), "UTF-16"),
        (b"\x80\x81", "holds no text"),
        (f'"{SECRET}"'.encode(), "quotation marks"),
        (f"\u201c{SECRET}\u201d\n".encode(), "quotation marks"),
        (f"'{SECRET}".encode(), "quotation marks"),
        (f"Bearer {SECRET}".encode(), "the word `Bearer`"),
        (f"Authorization: Bearer {SECRET}".encode(), "the word `Bearer`"),
        (f"CRYOFERRY_TOKEN=cf_abcd1234_{SECRET}".encode(), "name of a variable"),
        (f"export CRYOFERRY_TOKEN='{SECRET}'x".encode(), "name of a variable"),
        (f'{{"token": "{SECRET}", "id": "x"}}'.encode(), "holds JSON"),
        (f"{SECRET}\n{SECRET}\n".encode(), "2 lines"),
        (f"{SECRET}\r\n\r\nold {SECRET}".encode(), "2 lines"),
        (f"abcd1234  agent  {SECRET}".encode(), "3 words"),
        (f"{SECRET[:10]}\u200b{SECRET[10:]}".encode(), r"U\+200B"),
        (f"{SECRET};".encode(), "characters that no token has"),
    ],
)
def test_what_a_file_holds_beside_a_token_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "token-file").write_bytes(content)
    with pytest.raises(TokenUnusable, match=named) as caught:
        read_token(tmp_path / "token-file")
    assert caught.value.exit_code == 2
    assert "token-file" in str(caught.value)
    assert SECRET[:10] not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("content", [f"{SECRET}\r\n", f"\n  {SECRET}  \n\n", SECRET])
def test_spaces_and_line_ends_around_a_token_are_harmless(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_bytes(content.encode())
    assert read_token(tmp_path / "token") == SECRET


def test_a_variable_is_judged_as_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYOFERRY_TOKEN", f'"{SECRET}"')
    with pytest.raises(TokenUnusable, match=r"the variable CRYOFERRY_TOKEN has quotation marks"):
        read_token(None)


def test_a_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    source = TokenSource(file)
    assert source.current() == "old"
    assert not source.has_another_than("old")
    file.write_text("newer")
    assert source.has_another_than("old")
    assert source.current() == "newer"
    for broken in ("", "two words"):
        file.write_text(broken)
        assert source.current() == "newer"
    file.unlink()
    assert source.current() == "newer"
    (tmp_path / "other").write_text("newest")
    (tmp_path / "other").rename(file)
    assert source.current() == "newest"


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
