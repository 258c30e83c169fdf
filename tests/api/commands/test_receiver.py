"""`cryoferry receiver check`, as an operator calls it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.commands.receiver import receiver as receiver_commands
from api.errors import BadOption
from tests.running import cryoferry
from transfer.client import ReceiverClient

FILES = {"a": b"aaaa", "b/c": b"cccc", "b/d": b"dddd", "e": b"eeee"}


@pytest.fixture
def folder(receiver, wire) -> Path:
    """Return the folder of some committed files."""
    for name, content in FILES.items():
        assert wire.put_file(name, content).status_code == 201
    return Path(receiver.data / "sessions/s1/files")


def check(data: Path, *options: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Check a data folder; return the exit code, the findings and the counts."""
    done = CliRunner().invoke(receiver_commands, ["check", "--data", str(data), "--json", *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    *findings, counts = [json.loads(line) for line in done.stdout.splitlines()]
    return done.exit_code, findings, counts


def kinds(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["finding"], one["path"]) for one in findings]


def harm(folder: Path) -> list[tuple[str, str]]:
    """Lose a file, shorten one, change the bytes of one so that only reading shows it, add one; return what a check
    that reads everything finds."""
    (folder / "a").unlink()
    (folder / "b/c").write_bytes(b"cc")
    status = (folder / "b/d").stat()
    (folder / "b/d").write_bytes(b"DDDD")
    os.utime(folder / "b/d", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "b/x").write_bytes(b"extra")
    top = "sessions/s1/files"
    return [("missing", f"{top}/a"), ("changed", f"{top}/b/c"), ("changed", f"{top}/b/d"), ("extra", f"{top}/b/x")]


def test_a_sound_folder(receiver, folder) -> None:
    for options in ([], ["--deep"], ["--deep", "--repair"]):
        code, findings, counts = check(receiver.data, *options)
        assert (code, findings) == (0, [])
        assert (counts["files"], counts["missing"], counts["changed"], counts["extra"]) == (4, 0, 0, 0)
    assert not (receiver.data / "set-aside").exists()


def test_both_ways_and_only_a_deep_check_reads_what_looks_right(receiver, folder) -> None:
    expected = harm(folder)
    code, findings, counts = check(receiver.data)
    assert (code, kinds(findings)) == (6, [one for one in expected if not one[1].endswith("b/d")])
    code, findings, counts = check(receiver.data, "--deep")
    assert (code, kinds(findings)) == (6, expected)
    assert (counts["missing"], counts["changed"], counts["unreadable"], counts["extra"]) == (1, 2, 0, 1)
    # It was noted: now a check that reads little finds it, too.
    assert kinds(check(receiver.data)[1]) == expected
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"c", "d", "e", "x"}  # nothing was moved


def test_another_time_stamp_alone_is_no_change(receiver, folder) -> None:
    os.utime(folder / "a", ns=(1, 1))
    assert check(receiver.data)[0] == 0


def test_repair_sets_aside_and_the_files_are_sent_again(receiver, wire, folder, tmp_path: Path) -> None:
    expected = harm(folder)
    would = check(receiver.data, "--deep", "--repair", "--dry-run")
    assert (would[0], kinds(would[1])) == (6, expected)
    assert not any(one["repaired"] for one in would[1])
    assert not (receiver.data / "set-aside").exists()
    code, findings, counts = check(receiver.data, "--deep", "--repair")
    assert (code, kinds(findings)) == (6, expected)
    assert all(one["repaired"] for one in findings)
    assert counts["repaired"]
    (time,) = (receiver.data / "set-aside").iterdir()
    kept = {path.relative_to(time).as_posix(): path.read_bytes() for path in time.rglob("*") if path.is_file()}
    top = "sessions/s1/files"
    assert kept == {f"{top}/b/c": b"cc", f"{top}/b/d": b"DDDD", f"{top}/b/x": b"extra"}
    assert check(receiver.data, "--deep")[:2] == (0, [])
    for name in ("a", "b/c", "b/d"):
        assert wire.put_file(name, FILES[name]).status_code == 201
    code, _, counts = check(receiver.data, "--deep")
    assert (code, counts["files"]) == (0, 4)


def test_a_session_that_was_removed_is_sent_again(receiver, wire, folder) -> None:
    shutil.rmtree(folder.parent)
    code, findings, _ = check(receiver.data, "--repair")
    assert (code, len(findings)) == (6, len(FILES))
    for name, content in FILES.items():
        assert wire.put_file(name, content).status_code == 201
    assert check(receiver.data, "--deep")[0] == 0


def test_a_file_in_the_place_of_a_folder(receiver, wire, folder) -> None:
    shutil.rmtree(folder / "b")
    (folder / "b").write_text("in the way")
    top = "sessions/s1/files"
    findings = check(receiver.data, "--repair")[1]
    assert kinds(findings) == [("missing", f"{top}/b/c"), ("missing", f"{top}/b/d")]
    (kept,) = (receiver.data / "set-aside").rglob("b")  # set aside with the first file that it stood in the way of
    assert kept.read_text() == "in the way"
    assert "set-aside" in findings[0]["action"]
    assert wire.put_file("b/c", FILES["b/c"]).status_code == 201


def test_what_cannot_be_read_is_named_and_never_repaired(receiver, folder, monkeypatch) -> None:
    def broken(*_arguments: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("api.store.on_disk.read_at", broken)
        code, findings, _ = check(receiver.data, "--deep", "--repair")
    assert (code, {one["finding"] for one in findings}) == (6, {"unreadable"})
    assert not any(one["repaired"] for one in findings)
    assert check(receiver.data, "--deep")[0] == 0


def test_without_the_receiver_for_people(receiver, folder) -> None:
    receiver.stop()
    (folder / "new\nline").write_text("odd")
    (folder / "a").unlink()
    done = cryoferry("receiver", "check", "--data", receiver.data)
    assert done.returncode == 6, done.stderr
    assert done.stdout.splitlines() == [
        "missing: sessions/s1/files/a: it is not on the disk; with --repair its name becomes free, and agents and"
        " `cryoferry send` send it again",
        r"extra: sessions/s1/files/new\nline: the database has no file of this name; with --repair it is moved to"
        " DATA/set-aside",
        "4 committed files: 1 missing, 0 changed, 0 unreadable; 1 extra files; 0 findings about exposures",
    ]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(receiver_commands, ["check", "--data", str(tmp_path)])
    assert isinstance(done.exception, BadOption)
    assert list(tmp_path.iterdir()) == []


def test_a_verification_agrees(receiver, folder) -> None:
    """What the operator's check has repaired is unknown to readers: it must be sent again."""
    harm(folder)
    check(receiver.data, "--deep", "--repair")
    with ReceiverClient(receiver.url, receiver.token("reader", "s1")) as client:
        assert [file.path for file in client.files("s1")] == ["e"]
