"""An interrupted run is finished or undone; what the disk has lost must be sent again."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update

from api.app import prepared
from api.database.tables import now, sessions, uploads
from api.receiver import Receiver
from api.settings import ReceiverSettings
from api.store.commit import commit
from api.store.part_locks import lock_whole
from api.store.recovery import recover
from api.store.withdraw import sweep, withdraw
from transfer.wire.chunks import CHUNK_BYTES, split
from transfer.wire.digest import chunk_digest
from transfer.wire.errors import NotFound, ReceiverBusy, UploadGone, UploadIncomplete
from transfer.wire.protocol import UploadDeclaration

SIZE = CHUNK_BYTES + 5


@pytest.fixture
def data() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def runs(tmp_path: Path):
    """Return a function that begins a new run of a receiver on the same data."""
    opened: list[Receiver] = []

    def begin() -> Receiver:
        receiver = Receiver(ReceiverSettings(data=tmp_path / "data", reserve_bytes=0))
        with prepared(receiver.settings):
            pass
        opened.append(receiver)
        with receiver.database.write() as connection:
            if connection.execute(select(sessions)).first() is None:
                connection.execute(insert(sessions).values(name="s", state="open", created_at=now()))
        return receiver

    yield begin
    for receiver in opened:
        receiver.database.close()


def fill(receiver: Receiver, data: bytes, path: str = "a", *, one_request: bool = False):
    """Declare an upload and put all its chunks in place, as `receive` does."""
    declaration = UploadDeclaration(session="s", path=path, size_bytes=len(data))
    upload, _ = receiver.uploads.declare(
        uuid4(), declaration, require_space=receiver.storage.require_space, one_request=one_request
    )
    fd = receiver.storage.open_part(upload.id, upload.generation, create=True)
    os.pwrite(fd, data, 0)
    os.close(fd)
    receiver.uploads.mark(
        upload, {n: chunk_digest(data[chunk.start : chunk.stop]) for n, chunk in enumerate(split(len(data)))}
    )
    return upload


def visible(receiver: Receiver, path: str = "a") -> Path:
    return receiver.settings.data / "sessions/s/files" / path


def publish_without_row(receiver: Receiver, upload, data: bytes, root: str) -> None:
    """Do what a receiver has done that is killed between the name and the row."""
    part = receiver.storage.part_path(upload.id, upload.generation)
    fd = os.open(part, os.O_RDWR)
    receiver.storage.publish(fd, part, upload.location, root, len(data))
    os.close(fd)


def test_a_commit_cut_between_name_and_row_is_finished(runs, data, root_digest_of) -> None:
    for one_request in (False, True):
        first = runs()
        path = f"a{one_request}"
        upload = fill(first, data, path, one_request=one_request)
        publish_without_row(first, upload, data, root_digest_of(data))
        second = runs()
        healed = second.uploads.require(upload.id)
        assert healed.committed
        assert second.uploads.receipt(healed).digest == root_digest_of(data)
        assert visible(second, path).read_bytes() == data
        assert list(second.storage.incoming.iterdir()) == []
        assert commit(second.uploads, second.storage, upload, root_digest_of(data))[1] is False


def test_the_client_may_finish_it_too(runs, data, root_digest_of) -> None:
    receiver = runs()
    upload = fill(receiver, data)
    publish_without_row(receiver, upload, data, root_digest_of(data))
    receipt, made = commit(receiver.uploads, receiver.storage, upload, root_digest_of(data))
    assert made
    assert receipt.digest == root_digest_of(data)
    assert visible(receiver).stat().st_nlink == 1


def test_a_published_name_that_the_disk_did_not_keep_whole_is_taken_back(runs, data, root_digest_of) -> None:
    first = runs()
    upload = fill(first, data)
    publish_without_row(first, upload, data, root_digest_of(data))
    with visible(first).open("r+b") as file:
        file.write(b"lost")
    second = runs()
    assert not visible(second).exists()
    assert second.uploads.missing(upload) == [range(CHUNK_BYTES)]


def test_a_name_that_cannot_be_finished_is_taken_back_and_keeps_no_receiver_from_starting(
    runs, data, root_digest_of
) -> None:
    first = runs()
    upload = fill(first, data)
    publish_without_row(first, upload, data, root_digest_of(data))
    with visible(first).open("ab") as file:
        file.write(b"what nobody sent")
    second = runs()
    assert not visible(second).exists()
    assert not second.uploads.require(upload.id).committed


def test_a_file_that_has_its_name_but_cannot_be_synced_loses_it(runs, data, root_digest_of, monkeypatch) -> None:
    """Otherwise the next upload would find it there, whole in memory alone, and be acknowledged for it."""
    receiver = runs()
    upload = fill(receiver, data)
    publish_without_row(receiver, upload, data, root_digest_of(data))

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "lost")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="lost"):
            commit(receiver.uploads, receiver.storage, upload, root_digest_of(data))
    assert not visible(receiver).exists()
    assert receiver.uploads.missing(receiver.uploads.require(upload.id)) == [range(SIZE)]


def test_chunks_of_an_earlier_run_are_read_again_before_commit(runs, data, root_digest_of) -> None:
    first = runs()
    upload = fill(first, data)
    part = first.storage.part_path(upload.id, 1)
    with part.open("r+b") as file:
        file.seek(CHUNK_BYTES)
        file.write(bytes([data[CHUNK_BYTES] ^ 0xFF]))  # the page was never synced before a power cut
    second = runs()
    with pytest.raises(UploadIncomplete) as caught:
        commit(second.uploads, second.storage, upload, root_digest_of(data))
    assert caught.value.extra["missing"] == [{"first": CHUNK_BYTES, "last": SIZE - 1}]
    part.write_bytes(data)
    second.uploads.mark(upload, {1: chunk_digest(data[CHUNK_BYTES:])})
    assert commit(second.uploads, second.storage, upload, root_digest_of(data))[1]
    assert visible(second).read_bytes() == data


@pytest.mark.parametrize("lie", ["short", "hole"])
def test_a_lying_write_is_found_before_commit(runs, data, root_digest_of, lie) -> None:
    receiver = runs()
    upload = fill(receiver, data)
    part = receiver.storage.part_path(upload.id, 1)
    if lie == "short":
        os.truncate(part, SIZE - 1)
        missing = [{"first": CHUNK_BYTES, "last": SIZE - 1}]
    else:
        os.truncate(part, 0)
        with part.open("r+b") as file:
            file.seek(CHUNK_BYTES)
            file.write(data[CHUNK_BYTES:])
        missing = [{"first": 0, "last": CHUNK_BYTES - 1}]
    with pytest.raises(UploadIncomplete) as caught:
        commit(receiver.uploads, receiver.storage, upload, root_digest_of(data))
    assert caught.value.extra["missing"] == missing
    assert not visible(receiver).exists()


def test_after_a_failed_fsync_everything_is_sent_again(runs, data, root_digest_of, monkeypatch) -> None:
    """The kernel reports a lost write once; a second fsync of the same pages would lie."""
    receiver = runs()
    upload = fill(receiver, data)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            commit(receiver.uploads, receiver.storage, upload, root_digest_of(data))
    assert not visible(receiver).exists()
    again = receiver.uploads.require(upload.id)
    assert receiver.uploads.missing(again) == [range(SIZE)]
    assert list(receiver.storage.incoming.iterdir()) == []
    with pytest.raises(UploadIncomplete):
        commit(receiver.uploads, receiver.storage, again, root_digest_of(data))


def test_a_start_sweeps_what_no_upload_owns(runs, data) -> None:
    first = runs()
    kept, lost, request = fill(first, data, "kept"), fill(first, data, "lost"), fill(first, b"x", "r", one_request=True)
    (first.storage.incoming / f"{uuid4()}.1.part").write_bytes(b"leftover")
    first.storage.part_path(lost.id, 1).unlink()
    second = runs()
    assert list(second.storage.incoming.iterdir()) == [second.storage.part_path(kept.id, 1)]
    assert second.uploads.missing(kept) == []
    assert second.uploads.missing(second.uploads.require(lost.id)) == [range(SIZE)]
    with pytest.raises(UploadGone):
        second.uploads.require(request.id)
    recover(second.uploads, second.storage)  # repeatable
    assert second.uploads.missing(kept) == []


def test_uploads_that_were_given_up_are_withdrawn(runs, data) -> None:
    receiver = runs()
    old, new = fill(receiver, data, "old"), fill(receiver, data, "new")
    with receiver.database.write() as connection:
        connection.execute(update(uploads).where(uploads.c.id == old.id).values(touched_at=now() - timedelta(days=8)))
    expired = receiver.uploads.untouched_since(now() - timedelta(days=7))
    assert [upload.id for upload in expired] == [old.id]
    assert sweep(receiver.uploads, receiver.storage, expired) == 1
    with pytest.raises(UploadGone):
        receiver.uploads.require(old.id)
    with pytest.raises(NotFound):
        receiver.uploads.require(uuid4())
    assert list(receiver.storage.incoming.iterdir()) == [receiver.storage.part_path(new.id, 1)]


def test_withdrawing_takes_back_a_name_without_a_row(runs, data, root_digest_of) -> None:
    receiver = runs()
    upload = fill(receiver, data)
    publish_without_row(receiver, upload, data, root_digest_of(data))
    withdraw(receiver.uploads, receiver.storage, upload, wait_s=0)
    assert not visible(receiver).exists()
    assert list(receiver.storage.incoming.iterdir()) == []


def test_a_part_file_begun_anew_while_a_commit_waits_for_it_is_not_committed(runs, data, root_digest_of) -> None:
    """It has the lock of the lost file: nothing keeps others from writing to the new one, which was not synced."""
    receiver = runs()
    upload = fill(receiver, data)
    with ThreadPoolExecutor() as pool:
        fd = receiver.storage.open_part(upload.id, 1, create=False)
        lock_whole(fd)
        late = [
            pool.submit(commit, receiver.uploads, receiver.storage, upload, root_digest_of(data)),
            pool.submit(withdraw, receiver.uploads, receiver.storage, upload, wait_s=5),
        ]
        time.sleep(0.1)  # both have opened the file, and wait for its lock
        receiver.uploads.restart(upload)
        receiver.storage.discard_part(upload.id, 1)
        again = receiver.uploads.require(upload.id)
        new = receiver.storage.open_part(upload.id, 2, create=True)
        os.pwrite(new, data, 0)
        receiver.uploads.mark(again, {0: chunk_digest(data[:CHUNK_BYTES]), 1: chunk_digest(data[CHUNK_BYTES:])})
        os.close(fd)
        for attempt in late:
            with pytest.raises(ReceiverBusy):
                attempt.result()
        os.close(new)
    assert not visible(receiver).exists()
    receipt, _ = commit(receiver.uploads, receiver.storage, again, root_digest_of(data))
    assert receipt.digest == root_digest_of(data)
    assert visible(receiver).read_bytes() == data


def test_a_part_file_made_while_its_upload_was_withdrawn_goes_with_the_next_sweep(runs, data) -> None:
    receiver = runs()
    kept, gone = fill(receiver, data), fill(receiver, data, "b")
    withdraw(receiver.uploads, receiver.storage, gone, wait_s=0)
    os.close(receiver.storage.open_part(gone.id, gone.generation, create=True))
    assert sweep(receiver.uploads, receiver.storage, []) == 0
    assert list(receiver.storage.incoming.iterdir()) == [receiver.storage.part_path(kept.id, kept.generation)]
