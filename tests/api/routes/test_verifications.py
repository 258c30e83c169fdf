"""Verifications over the wire: what they find, how many there may be, and how they end."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from api.checking.verification_book import MAX_OPEN
from api.database.tables import data_folder, events, files
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.wire.errors import BadName, LimitReached, NotFound, ScopeRejected
from transfer.wire.verification import FileCheck, Verification, VerificationState

NAMES = ("a", "b/c", "b/d", "e")


@pytest.fixture
def folder(receiver, wire) -> Path:
    """Return the folder of some committed files of session s1."""
    for name in NAMES:
        assert wire.put_file(name, name.encode() * 1000).status_code == 201
    return Path(receiver.data / "sessions/s1/files")


@pytest.fixture
def client(receiver, folder):
    with ReceiverClient(receiver.url, receiver.token("reader", "s1")) as client:
        yield client


def done(client: ReceiverClient, started: Verification) -> Verification:
    """Return a verification once it has ended."""

    def ended() -> Verification | None:
        now = client.verification("s1", started.id)
        return now if now.state in (VerificationState.DONE, VerificationState.FAILED) else None

    return wait_until(ended, "the end of the verification")


def losses(receiver) -> int:
    with receiver.app.state.receiver.database.read() as connection:
        return int(connection.scalar(select(data_folder.c.losses)))


def test_files_that_are_as_they_were(receiver, client) -> None:
    ended = done(client, client.start_verification("s1"))
    assert (ended.state, ended.total_files, ended.checked_files) == (VerificationState.DONE, 4, 4)
    assert (ended.problem_count, ended.problems) == (0, ())
    assert ended.checked_bytes == sum(len(name) * 1000 for name in NAMES)
    assert losses(receiver) == 0


def test_what_is_not_as_it_was_is_named_and_noted_and_left_alone(receiver, client, folder) -> None:
    (folder / "a").unlink()
    changed, mtime_ns = folder / "b/c", (folder / "b/c").stat().st_mtime_ns
    changed.write_bytes(b"B/C" * 1000)
    os.utime(changed, ns=(mtime_ns, mtime_ns))
    for _ in range(2):
        ended = done(client, client.start_verification("s1"))
        found = [(one.path, one.revision, one.check) for one in ended.problems]
        assert found == [("a", 1, FileCheck.MISSING), ("b/c", 1, FileCheck.CHANGED)]
        assert (ended.state, ended.problem_count) == (VerificationState.DONE, 2)
        assert losses(receiver) == 2  # each loss is noted once
    with receiver.app.state.receiver.database.read() as connection:
        lost = connection.scalars(select(events.c.subject).where(events.c.kind == "file-lost")).all()
        assert lost == ["a", "b/c"]
        assert connection.scalars(select(files.c.path)).all() == list(NAMES)
    assert changed.read_bytes() == b"B/C" * 1000
    assert not (receiver.data / "set-aside").exists()


def test_only_the_files_that_were_named(client, folder) -> None:
    (folder / "a").unlink()
    ended = done(client, client.start_verification("s1", ["b/d", "e", "no such file"]))
    assert (ended.total_files, ended.checked_files) == (3, 3)
    assert [(one.path, one.check) for one in ended.problems] == [("no such file", FileCheck.MISSING)]


def test_the_newest_revision_is_read(receiver, wire, client, folder) -> None:
    assert wire.http.put("/v1/files/s1/a?revision=2", content=b"second").status_code == 201
    (folder / "a").unlink()
    assert done(client, client.start_verification("s1")).problem_count == 0
    (receiver.data / "sessions/s1/revisions/2/a").unlink()
    (problem,) = done(client, client.start_verification("s1")).problems
    assert (problem.path, problem.revision) == ("a", 2)


def test_the_sha256_of_what_was_read_is_kept(receiver, client) -> None:
    done(client, client.start_verification("s1"))
    with receiver.app.state.receiver.database.read() as connection:
        assert None not in connection.scalars(select(files.c.sha256)).all()


@pytest.fixture
def busy(receiver, monkeypatch):
    """Make every read wait until the test ends or the receiver does."""
    turns = receiver.app.state.receiver.turns
    take = turns.take
    monkeypatch.setattr(turns, "take", lambda size_bytes: take(size_bytes * 10**12))
    monkeypatch.setattr(receiver.app.state.receiver.activity, "quiet_s", lambda: 0.0)


def test_one_for_a_token_and_two_in_all(receiver, client, busy) -> None:
    first = client.start_verification("s1")
    assert client.start_verification("s1").id == first.id  # the same request again is the same verification
    with pytest.raises(LimitReached, match="this token") as refused:
        client.start_verification("s1", ["a"])
    assert UUID(str(refused.value.extra["verification_id"])) == first.id
    with ReceiverClient(receiver.url, receiver.token("reader", None)) as second:
        second.start_verification("s1")
    with (
        ReceiverClient(receiver.url, receiver.token("reader", "s1")) as third,
        pytest.raises(LimitReached, match=str(MAX_OPEN)),
    ):
        third.start_verification("s1")


def test_a_verification_that_the_receiver_s_end_interrupts_has_failed(receiver, client, make_receiver, busy) -> None:
    started = client.start_verification("s1")
    receiver.stop()
    again = make_receiver(data=receiver.data)
    with ReceiverClient(again.url, again.token("reader", "s1")) as client:
        ended = client.verification("s1", started.id)
        assert ended.state is VerificationState.FAILED
        assert "start the verification again" in ended.detail
        assert done(client, client.start_verification("s1")).state is VerificationState.DONE


def test_who_may_ask(receiver, client) -> None:
    started = client.start_verification("s1")
    with pytest.raises(ScopeRejected):
        client.start_verification("s2")
    with pytest.raises(BadName):
        client.start_verification("s1", ["../../etc/passwd"])
    with ReceiverClient(receiver.url, receiver.token("admin", None)) as admin:
        admin.open_session("s2")
        assert admin.verification("s1", started.id).id == started.id
        with pytest.raises(NotFound):
            admin.verification("s2", started.id)
        with pytest.raises(NotFound):
            admin.verification("s1", uuid4())
        with pytest.raises(NotFound):
            admin.start_verification("nowhere")
