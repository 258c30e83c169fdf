"""`cryoferry token`, as an operator calls it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from api.commands.token import token as token_commands
from api.commands.token_file import token_file
from api.errors import BadOption, DataFolderUnusable
from transfer.wire.errors import BadName, NotFound

ROOT = Path(__file__).parents[3]


def call_token(*arguments: str) -> str:
    """Call `cryoferry token …` in this process; return what it prints on stdout."""
    done = CliRunner().invoke(token_commands, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def made(folder: Path, *arguments: str) -> dict:
    """Make a token; return what is printed of it."""
    return json.loads(call_token("create", "--data", str(folder), "--json", *arguments))


def test_a_token_stands_alone_on_stdout(tmp_path: Path) -> None:
    command = ["token", "create", "--data", str(tmp_path / "new"), "--scope", "agent", "--session", "s1"]
    done = subprocess.run(
        [sys.executable, "-m", "cryoferry", *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"cf_[a-z0-9]{8}_[A-Za-z0-9_-]{43}\n", done.stdout)


def test_the_life_of_a_token(tmp_path: Path, make_receiver) -> None:
    folder = tmp_path / "receiver"
    data = ("--data", str(folder))
    assert made(folder, "--session", "s1", "--dry-run")["dry_run"]
    assert not folder.exists()
    token = call_token("create", *data, "--scope", "agent", "--session", "s1").strip()
    expiring = made(folder, "--all-sessions", "--expires", "30d")
    assert expiring["expires_at"] > expiring["created_at"]

    receiver = make_receiver()
    with httpx.Client(base_url=receiver.url, headers={"Authorization": f"Bearer {token}"}, verify=False) as agent:
        assert agent.put("/v1/sessions/s1").status_code == 201
        printed = call_token("list", *data, "--json")
        listed = [json.loads(line) for line in printed.splitlines()]
        assert [(one["scope"], one["session"], one["valid"]) for one in listed] == [
            ("agent", "s1", True),
            ("agent", None, True),
        ]
        assert "valid, without end" in call_token("list", *data)
        call_token("revoke", listed[0]["id"], *data, "--dry-run")
        assert agent.put("/v1/sessions/s1").status_code == 200
        call_token("revoke", listed[0]["id"], *data)
        assert agent.put("/v1/sessions/s1").status_code == 401
    for more in ((), ("--dry-run",)):
        with pytest.raises(NotFound, match="nonesuch"):
            call_token("revoke", "nonesuch", *data, *more)
    secret = token.split("_", 2)[2]
    assert secret not in printed
    assert secret.encode() not in (folder / "receiver.sqlite").read_bytes()


@pytest.mark.parametrize("scope", ["agent", "reader"])
def test_all_sessions_are_asked_for_by_name(tmp_path: Path, scope: str) -> None:
    with pytest.raises(BadOption, match="needs a session") as refused:
        made(tmp_path, "--scope", scope)
    assert refused.value.exit_code == 2
    assert "--session NAME" in refused.value.hint
    assert "--all-sessions" in refused.value.hint
    with pytest.raises(BadOption, match="contradict"):
        made(tmp_path, "--scope", scope, "--session", "s1", "--all-sessions")
    assert list(tmp_path.iterdir()) == []
    assert made(tmp_path, "--scope", scope, "--session", "s1")["session"] == "s1"
    assert made(tmp_path, "--scope", scope, "--all-sessions")["session"] is None


def test_an_admin_token_is_for_all_sessions(tmp_path: Path) -> None:
    assert made(tmp_path, "--scope", "admin")["session"] is None
    assert made(tmp_path, "--scope", "admin", "--all-sessions")["session"] is None
    with pytest.raises(BadOption, match="all sessions"):
        made(tmp_path, "--scope", "admin", "--session", "s1")


@pytest.mark.parametrize("name", ["../x", "a b", "", "x" * 101, "nul"])
def test_a_name_that_no_session_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadName, match=re.escape(repr(name))):
        made(tmp_path, "--session", name)
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_name_what_is_expected(tmp_path: Path) -> None:
    wrong = CliRunner().invoke(token_commands, ["create", "--data", str(tmp_path), "--scope", "root"])
    assert wrong.exit_code == 2
    assert all(scope in wrong.output for scope in ("agent", "reader", "admin"))
    missing = CliRunner().invoke(token_commands, ["create", "--session", "s1"])
    assert missing.exit_code == 2
    assert "--data" in missing.output


def test_a_folder_that_is_no_receivers_is_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "typo"):
        for command in (["list"], ["revoke", "abcdefgh"], ["revoke", "abcdefgh", "--dry-run"]):
            with pytest.raises(BadOption, match="not the data folder"):
                call_token(*command, "--data", str(folder))
    assert list(tmp_path.iterdir()) == []


def cryoferry(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRYOFERRY_")}
    return subprocess.run(
        [sys.executable, "-m", "cryoferry", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**clean, "HOME": str(folder), "PYTHONPATH": str(ROOT), **environment},
    )


def test_data_and_database_are_taken_from_what_serve_is_configured_with(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[serve]\ndata = "{tmp_path / "data"}"\ndatabase = "sqlite:///{tmp_path / "other.sqlite"}"\n')
    done = cryoferry("--config", str(file), "token", "create", "--all-sessions", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data" / "receiver.sqlite").exists()
    listed = cryoferry(
        *("token", "list", "--json"),
        folder=tmp_path,
        CRYOFERRY_SERVE__DATA=str(tmp_path / "data"),
        CRYOFERRY_SERVE__DATABASE=f"sqlite:///{tmp_path / 'other.sqlite'}",
    )
    assert json.loads(listed.stdout)["id"] == json.loads(done.stdout)["id"]


def test_no_token_is_made_in_another_database_than_the_folders(tmp_path: Path) -> None:
    other = ("--database", f"sqlite:///{tmp_path / 'other.sqlite'}")
    call_token("create", "--data", str(tmp_path / "data"), "--all-sessions", *other)
    done = cryoferry("token", "create", "--data", str(tmp_path / "data"), "--all-sessions", folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Give --database as this folder's receiver had it before" in " ".join(done.stderr.split())
    assert not (tmp_path / "data" / "receiver.sqlite").exists()


def test_out_writes_a_file_that_only_its_owner_ever_could_read(tmp_path: Path) -> None:
    out = tmp_path / "s1.token"
    command = ["token", "create", "--data", str(tmp_path / "data"), "--session", "s1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "cryoferry", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        umask=0,
    )
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert re.fullmatch(r"cf_[a-z0-9]{8}_[A-Za-z0-9_-]{43}\n", text)
    assert done.stdout == f"the token {text[3:11]} is in {out}; only you can read it\n"
    assert out.stat().st_mode & 0o777 == 0o600
    shown = made(tmp_path / "data", "--session", "s1", "--out", str(tmp_path / "other"))
    assert "token" not in shown
    assert shown["file"] == str(tmp_path / "other")


def test_the_file_is_private_before_the_token_is_in_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with token_file(tmp_path / "new") as descriptor:
            assert os.fstat(descriptor).st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def make_link(path: Path) -> None:
    path.symlink_to(path.parent / "somewhere")


@pytest.mark.parametrize("occupy", [Path.touch, Path.mkdir, make_link], ids=["file", "folder", "link"])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_out_replaces_nothing_and_follows_no_link(tmp_path: Path, occupy: Callable[[Path], None], more) -> None:
    out = tmp_path / "taken"
    occupy(out)
    with pytest.raises(BadOption, match="exists already; no token was made") as refused:
        made(tmp_path / "data", "--session", "s1", "--out", str(out), *more)
    assert "Give another name" in refused.value.hint
    assert list(tmp_path.iterdir()) == [out]


def test_out_in_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="No such file or directory; no token was made"):
        made(tmp_path / "data", "--session", "s1", "--out", str(tmp_path / "no" / "t"))
    assert list(tmp_path.iterdir()) == []


def test_no_empty_file_stays_if_no_token_is_made(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(DataFolderUnusable):
        made(tmp_path / "data", "--session", "s1", "--out", str(tmp_path / "t"))
    assert not (tmp_path / "t").exists()
