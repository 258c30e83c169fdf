"""What has the place of a committed file and is none; what stands elsewhere is nobody's business."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from api.checking import committed_rows
from api.checking.committed_rows import all_files, files_of_session, named_files
from api.checking.folder_check import FindingKind, extra_files


def nothing(_size_bytes: int) -> None:
    """Never wait."""


@pytest.fixture
def parts(receiver, wire):
    """Return database, storage and the folder of a session with three committed files in one place each."""
    for path in ("a", "b/c", "b/d"):
        assert wire.put_file(path, path.encode()).status_code == 201
    assert wire.http.put("/v1/files/s1/a?revision=2", content=b"second").status_code == 201
    running = receiver.app.state.receiver
    return running.database, running.storage, receiver.data / "sessions/s1"


def found(parts) -> list[str]:
    database, storage, _ = parts
    findings = list(extra_files(database, storage, nothing))
    assert {one.kind for one in findings} <= {FindingKind.EXTRA}
    return [one.location for one in findings]


def made(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("extra")


def test_committed_files_are_not_extra(parts) -> None:
    assert found(parts) == []


def test_everything_else_in_their_places_is(parts) -> None:
    top: Path = parts[2]
    for name in (
        "files/x",
        "files/b/deep/er/y",
        "revisions/2/b/c",
        "revisions/2/z",
        "revisions/odd/a",
        "revisions/1/a",
    ):
        made(top / name)
    (top / "files/link").symlink_to("/etc")
    os.mkfifo(top / "files/pipe")
    made(top.parent / "unknown session/files/a")
    made(top / "files/latin\udce9.mrc")  # bytes that are no UTF-8
    (top / "files/empty").mkdir()
    assert found(parts) == [
        "sessions/s1/files/b/deep/er/y",
        "sessions/s1/files/latin\udce9.mrc",
        "sessions/s1/files/link",
        "sessions/s1/files/pipe",
        "sessions/s1/files/x",
        "sessions/s1/revisions/1/a",
        "sessions/s1/revisions/2/b/c",
        "sessions/s1/revisions/2/z",
        "sessions/s1/revisions/odd/a",
        "sessions/unknown session/files/a",
    ]


def test_what_registrars_make_is_not_extra(parts) -> None:
    top: Path = parts[2]
    for name in ("relion/corrected_micrographs.star", "registered/a.mrc", "../../scipion-projects/s1/project.sqlite"):
        made(top / name)
    assert found(parts) == []


def test_a_file_whose_commit_is_not_recorded_yet_is_not_extra(parts, wire) -> None:
    assert wire.declare(uuid4(), "on its way", 5).status_code == 201
    made(parts[2] / "files/on its way")
    assert found(parts) == []


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_batches_hold_everything_once(parts, monkeypatch, batch: int) -> None:
    monkeypatch.setattr(committed_rows, "BATCH", batch)
    database = parts[0]
    every = [(file.path, file.revision) for some in all_files(database) for file in some]
    assert every == [("a", 1), ("b/c", 1), ("b/d", 1), ("a", 2)]
    newest = [(file.path, file.revision) for some in files_of_session(database, 1) for file in some]
    assert newest == [("a", 2), ("b/c", 1), ("b/d", 1)]
    named = list(named_files(database, 1, ["a", "b/d", "none"]))
    assert [(file.path, file.revision) for some, _ in named for file in some] == [("a", 2), ("b/d", 1)]
    assert [path for _, unknown in named for path in unknown] == ["none"]
