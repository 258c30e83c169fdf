"""What a receiver does with its committed files without being asked."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from api.checking import background
from api.checking.background import QuickCheck, Sha256Work, last_result
from api.database.engine import Database
from api.database.tables import events, files
from api.settings import ReceiverSettings
from tests.waiting import wait_until
from transfer.wire.errors import StorageFailed

CONTENT = {"a": b"aaaa", "b/c": b"cccc", "e": b""}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Parts:
    """The background work of a receiver whose own background work is over."""

    def __init__(self, receiver) -> None:
        running = receiver.app.state.receiver
        running.stop_checks()
        running.checks_end.clear()
        self.database, self.storage, self.data = running.database, running.storage, Path(receiver.data)
        self.clock = Clock()
        self.check = QuickCheck(running.database, running.storage, running.turns, "this run", self.clock)
        self.sums = Sha256Work(running.database, running.storage, running.turns)

    def path(self, name: str) -> Path:
        return self.data / "sessions/s1/files" / name

    def look_again(self) -> None:
        """Do what is done every hour."""
        self.clock.now_s += background.CHECK_EVERY_S
        self.check.turn()

    def rows(self, *columns: Any) -> list[Any]:
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(select(*columns).order_by(files.c.path))]

    def lost(self) -> list[str]:
        return [path for path, lost_at in self.rows(files.c.path, files.c.lost_at) if lost_at]

    def event_count(self) -> int:
        with self.database.read() as connection:
            return len(connection.scalars(select(events.c.id).where(events.c.kind == "file-lost")).all())


@pytest.fixture
def parts(receiver, wire) -> Parts:
    parts = Parts(receiver)
    for name, content in CONTENT.items():
        assert wire.put_file(name, content).status_code == 201
    return parts


def test_a_loss_is_found_once_and_a_file_that_is_there_again_is_noticed_soon(parts) -> None:
    parts.check.turn()
    assert last_result(parts.database).files == 3
    parts.path("a").rename(parts.data / "moved")
    parts.check.turn()
    assert parts.lost() == []  # the next look at all files is in an hour
    for _ in range(2):
        parts.look_again()
        assert parts.lost() == ["a"]
        assert (last_result(parts.database).missing, parts.event_count()) == (1, 1)
    (parts.data / "moved").rename(parts.path("a"))
    parts.check.turn()
    assert parts.lost() == []


def test_changed_bytes_stay_lost_until_they_are_right_again(parts, monkeypatch) -> None:
    reads = []
    read_again = background.seen_now
    monkeypatch.setattr(background, "seen_now", lambda *a, **k: reads.append(1) or read_again(*a, **k))
    parts.check.turn()
    parts.path("a").write_bytes(b"AAAA")  # of the same size: only the time stamp tells
    os.utime(parts.path("a"), ns=(1, 1))
    parts.look_again()
    assert parts.lost() == ["a"]
    for _ in range(3):
        parts.check.turn()
    assert len(reads) == 1  # a file that is lost and stays as it is is not read again every few seconds
    parts.path("a").write_bytes(b"aaaa")
    parts.check.turn()
    assert parts.lost() == []


def test_another_time_stamp_alone_is_noted_and_no_loss(parts) -> None:
    os.utime(parts.path("a"), ns=(5, 5))
    parts.check.turn()
    assert parts.lost() == []
    assert dict(parts.rows(files.c.path, files.c.mtime_ns))["a"] == 5


def test_files_of_an_older_version_get_their_time_stamp(parts) -> None:
    with parts.database.write() as connection:
        connection.execute(update(files).values(mtime_ns=None))
    parts.check.turn()
    stamps = dict(parts.rows(files.c.path, files.c.mtime_ns))
    assert stamps == {name: parts.path(name).stat().st_mtime_ns for name in CONTENT}


def test_a_disk_that_cannot_be_asked_loses_nothing_and_is_asked_again_soon(parts, monkeypatch) -> None:
    def broken(_location: str) -> os.stat_result:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(parts.storage, "status", broken)
        parts.check.turn()
    assert (parts.lost(), last_result(parts.database).unreadable) == ([], 3)
    parts.clock.now_s += background.RETRY_AFTER_S
    parts.check.turn()
    assert last_result(parts.database).unreadable == 0


def test_a_disk_that_is_not_mounted_loses_no_file(parts) -> None:
    for folder in ("incoming", "sessions"):  # the database stays: it may be on another disk
        (parts.data / folder).rename(parts.data / f"not mounted {folder}")
    for turn in (parts.check.turn, parts.sums.turn):
        with pytest.raises(StorageFailed, match="mounted"):
            turn()
    assert (parts.lost(), parts.event_count()) == ([], 0)


def test_each_file_gets_its_sha256(parts, monkeypatch) -> None:
    monkeypatch.setattr("api.checking.committed_rows.BATCH", 2)
    while parts.sums.turn() == 0:
        pass
    sums = dict(parts.rows(files.c.path, files.c.sha256))
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


def test_a_file_that_is_not_as_it_was_gets_none_and_is_not_tried_in_a_loop(parts, monkeypatch) -> None:
    parts.path("a").write_bytes(b"AAAA")
    parts.path("e").unlink()
    reads = []
    read = background.read_again
    monkeypatch.setattr(background, "read_again", lambda *a, **k: reads.append(a[1].path) or read(*a, **k))
    for _ in range(5):
        parts.sums.turn()
    assert reads == ["a", "b/c", "e"]
    assert parts.lost() == ["a", "e"]
    assert [path for path, whole in parts.rows(files.c.path, files.c.sha256) if whole] == ["b/c"]
    parts.path("e").write_bytes(b"")
    parts.check.turn()  # it is there again
    for _ in range(3):
        parts.sums.turn()
    assert [path for path, whole in parts.rows(files.c.path, files.c.sha256) if whole] == ["b/c", "e"]


def test_what_the_disk_cannot_read_is_tried_again_after_an_hour_only(parts, monkeypatch) -> None:
    def broken(*_arguments: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("api.store.on_disk.read_at", broken)
        for _ in range(3):
            parts.sums.turn()
    parts.sums.turn()
    names = [path for path, whole in parts.rows(files.c.path, files.c.sha256) if whole]
    assert names == ["e"]  # of which nothing had to be read
    monkeypatch.setattr(background, "CHECK_EVERY_S", -1.0)
    for _ in range(2):
        parts.sums.turn()
    assert None not in dict(parts.rows(files.c.path, files.c.sha256)).values()


def test_what_has_no_sha256_is_found_by_its_index(parts) -> None:
    from api.checking import committed_rows

    with parts.database.read() as connection:
        for wanted, index in (
            (committed_rows.WITHOUT_SHA256, "ix_files_without_sha256"),
            (committed_rows.NOTED_LOST, "ix_files_lost"),
            (committed_rows.COUNT_NOTED_LOST, "ix_files_lost"),
        ):
            statement = str(wanted.compile(connection.engine, compile_kwargs={"literal_binds": True}))
            plan = connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")).all()
            assert index in str(plan), plan


def test_a_running_receiver_does_it_by_itself(receiver_process, wire_to) -> None:
    """With two workers, of which one does it; a file that was removed shows in /readyz."""
    receiver_process.options = ("--workers", "2")
    receiver_process.start()
    wire = wire_to(receiver_process)
    assert wire.put_file("a", b"hello").status_code == 201
    assert wire.put_file("b", b"again").status_code == 201

    database = Database(ReceiverSettings(data=receiver_process.data).database_url)

    def sums() -> list[Any]:
        with database.read() as connection:
            return list(connection.scalars(select(files.c.sha256).order_by(files.c.path)))

    expected = [hashlib.sha256(content).hexdigest() for content in (b"hello", b"again")]
    wait_until(lambda: sums() == expected, lambda: f"the SHA-256 of both files: {sums()}", pause_s=0.1)
    listed = wire.http.get("/v1/sessions/s1/files").json()["files"]
    assert [one["sha256"] for one in listed] == expected
    assert wire.put_file("a", b"hello").json()["sha256"] == expected[0]  # a receipt that is asked for later
    standard = f"sha-256=:{base64.b64encode(bytes.fromhex(expected[0])).decode()}:"
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=1-2"})):
        assert wire.http.request(method, "/v1/files/s1/a", headers=headers).headers["Repr-Digest"] == standard
    ready = wire.http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["files"]) in [(200, "checking"), (200, "ok")]
    shutil.rmtree(receiver_process.data / "sessions/s1")
    ready = wire.http.get("/readyz")
    assert (ready.status_code, "1 session" in ready.json()["checks"]["files"]) == (503, True)
    receiver_process.stop()
    receiver_process.start()

    def says_how_many() -> bool:
        (receiver_process.data / "sessions/s1/files").mkdir(parents=True, exist_ok=True)
        checked = wire.http.get("/readyz").json()["checks"]["files"]
        return checked == "2 committed files missing or changed; run `cryoferry receiver check`"

    wait_until(says_how_many, "the check at the start", pause_s=0.1)
    database.close()
