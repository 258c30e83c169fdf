"""What the receiver calls committed is on its disk: whatever happened to it there, sending it again makes it right."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api.database.tables import data_folder, events, sessions
from api.store import committed_files
from api.store.lost_files import LOST, note_lost
from api.store.on_disk import FileOnDisk
from tests.contract.wire.test_upload_answers import refused
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.verification import FileCheck

SMALL, LARGE = 1000, CHUNK_BYTES + 5
NAME = "Movies/m1.mrc"


@pytest.fixture
def session() -> str:
    """Return the name of a session that no other test has."""
    return f"s-{uuid4()}"


@pytest.fixture
def sender(shared_receiver, session):
    with ReceiverClient(shared_receiver.url, shared_receiver.token()) as client:
        client.open_session(session)
        with Sender(client, connections=2, quiet_s=0.05, give_up_after_s=20) as sender:
            yield sender


@pytest.fixture
def make_file(tmp_path, session) -> Callable[[int], FileToSend]:
    """Return a function that makes a file of a size, which a sender has."""

    def make(size_bytes: int) -> FileToSend:
        path = tmp_path / "m1.mrc"
        path.write_bytes(os.urandom(size_bytes))
        return FileToSend(path, session, NAME)

    return make


def place(receiver, session: str) -> Path:
    """Return where a session's file is on the receiver."""
    return Path(receiver.data / "sessions" / session / "files" / NAME)


@pytest.fixture
def there(receiver) -> Path:
    """Return where the file of the session `s1` is on the receiver."""
    return place(receiver, "s1")


def remove_session(there: Path) -> None:
    shutil.rmtree(there.parents[2])


def remove_all_sessions(there: Path) -> None:
    shutil.rmtree(there.parents[3])


def cut_short(there: Path) -> None:
    os.truncate(there, there.stat().st_size - 1)


def make_longer(there: Path) -> None:
    with there.open("ab") as file:
        file.write(b"x")


def change_bytes(there: Path) -> None:
    there.write_bytes(os.urandom(there.stat().st_size))


def replace_by_folder(there: Path) -> None:
    there.unlink()
    (there / "below").mkdir(parents=True)
    (there / "below/file").write_bytes(b"somebody's")


def replace_by_link(there: Path) -> None:
    kept = there.rename(there.parents[3] / f"moved-{uuid4()}.mrc")
    there.symlink_to(kept)


def replace_by_broken_link(there: Path) -> None:
    there.unlink()
    there.symlink_to("nowhere")


def replace_by_pipe(there: Path) -> None:
    there.unlink()
    os.mkfifo(there)


def replace_folder_by_file(there: Path) -> None:
    shutil.rmtree(there.parent)
    there.parent.write_bytes(b"somebody's")


def replace_folder_by_link(there: Path) -> None:
    kept = there.parent.rename(there.parents[3] / f"moved-{uuid4()}")
    there.parent.symlink_to(kept)


def replace_session_by_link(there: Path) -> None:
    kept = there.parents[2].rename(there.parents[4] / f"moved-{uuid4()}")
    there.parents[2].symlink_to(kept)


MISSING = (
    Path.unlink,
    remove_session,
    remove_all_sessions,
    replace_folder_by_file,
    replace_folder_by_link,
    replace_session_by_link,
)
CHANGED = (
    cut_short,
    make_longer,
    change_bytes,
    replace_by_folder,
    replace_by_link,
    replace_by_broken_link,
    replace_by_pipe,
)


def contents(folder: Path) -> list[object]:
    """Return what is below a folder: contents of files, targets of links, names of others."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    return [
        path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else path.name for path in found
    ]


CASES = [
    *((SMALL, damage) for damage in (*MISSING, *CHANGED)),
    *((LARGE, damage) for damage in (remove_session, change_bytes, replace_by_folder)),
]


@pytest.mark.parametrize(("size_bytes", "damage"), CASES)
def test_after_each_damage_the_same_send_makes_it_right(
    shared_receiver, sender, session, make_file, size_bytes, damage
) -> None:
    file = make_file(size_bytes)
    there, losses = place(shared_receiver, session), losses_of(shared_receiver)
    first = sender.send(file)
    assert first.is_new
    damage(there)
    (listed,) = sender.client.files(session)
    assert listed.on_disk == (FileCheck.MISSING if damage in MISSING else FileCheck.CHANGED)
    in_its_place = contents(shared_receiver.data / "sessions" / session)

    again = sender.send(file)
    assert (again.file, again.is_new, again.sequence) == (first.file, True, first.sequence + 1)
    assert there.read_bytes() == file.source.read_bytes()
    assert not there.is_symlink()
    kept = contents(shared_receiver.data)
    assert [one for one in in_its_place if one not in kept] == []  # nothing was deleted
    (listed,) = sender.client.files(session)
    assert (listed.on_disk, listed.sequence) == (FileCheck.SAME, again.sequence)
    assert losses_of(shared_receiver) > losses  # not + 1: its background check finds losses of earlier tests
    assert losses_noted(shared_receiver, session) == 1
    assert counted(shared_receiver, session) == (1, file.source.stat().st_size)


def losses_of(receiver) -> int:
    with receiver.app.state.receiver.database.read() as connection:
        return int(connection.execute(data_folder.select()).one().losses)


def losses_noted(receiver, session: str) -> int:
    """Return how many losses the events of a session name."""
    of_session = events.select().join(sessions).where(sessions.c.name == session, events.c.kind == LOST)
    with receiver.app.state.receiver.database.read() as connection:
        return len(connection.execute(of_session).all())


def counted(receiver, session: str) -> tuple[int, int]:
    """Return how many files and bytes a session counts."""
    with receiver.app.state.receiver.database.read() as connection:
        row = connection.execute(sessions.select().where(sessions.c.name == session)).one()
    return row.file_count, row.file_bytes


@pytest.mark.parametrize("damage", [Path.unlink, change_bytes])
def test_the_upload_of_a_lost_file_is_gone_for_everybody_who_asks(wire, there, root_digest_of, damage) -> None:
    data = os.urandom(SMALL)
    for ask in (
        lambda upload: wire.commit(upload, root_digest_of(data)),
        lambda upload: wire.http.get(f"/v1/uploads/{upload}/ranges"),
        lambda upload: wire.http.get(f"/v1/uploads/{upload}"),
        lambda upload: wire.put(upload, data, 0, SMALL),
        lambda upload: wire.declare(upload, NAME, SMALL),
    ):
        upload = uuid4()
        assert wire.send(upload, NAME, data).status_code == 201
        assert ask(upload).status_code in (200, 204)
        damage(there)
        refused(ask(upload), 410, "upload-gone")
    upload = uuid4()
    assert wire.send(upload, NAME, data).status_code == 201
    damage(there)
    assert wire.http.delete(f"/v1/uploads/{upload}").status_code == 204
    assert wire.http.get("/v1/sessions/s1/files").json()["files"] == []


def test_a_restored_copy_with_another_time_stamp_is_read_once_and_stays(
    shared_receiver, sender, session, make_file
) -> None:
    file = make_file(LARGE)
    there, losses = place(shared_receiver, session), losses_of(shared_receiver)
    first = sender.send(file)
    there.unlink()
    there.write_bytes(file.source.read_bytes())
    os.utime(there, ns=(1, 1))
    (listed,) = sender.client.files(session)
    assert listed.on_disk == FileCheck.CHANGED  # by a look; nobody has read it yet
    again = sender.send(file)
    assert (again.file, again.is_new, again.sequence) == (first.file, False, first.sequence)
    (listed,) = sender.client.files(session)
    assert listed.on_disk == FileCheck.SAME
    assert there.stat().st_mtime_ns == 1
    assert losses_of(shared_receiver) == losses


def test_lost_revisions_may_be_sent_again_in_any_order(wire, receiver) -> None:
    bodies = {revision: os.urandom(SMALL + revision) for revision in (1, 2, 3)}

    def put(revision: int) -> int:
        status: int = wire.put_file(f"{NAME}?revision={revision}", bodies[revision]).status_code
        return status

    assert [put(revision) for revision in bodies] == [201] * 3
    shutil.rmtree(receiver.data / "sessions/s1")
    refused(wire.put_file(f"{NAME}?revision=5", b"x"), 409, "name-taken")
    assert [put(revision) for revision in (2, 1, 3)] == [201] * 3
    for revision, data in bodies.items():
        assert wire.http.get(f"/v1/files/s1/{NAME}", params={"revision": revision}).content == data
    refused(wire.put_file(f"{NAME}?revision=5", b"x"), 409, "name-taken")


def test_a_folder_in_the_place_of_a_file_stays_where_it_holds_committed_files(wire, receiver) -> None:
    assert wire.put_file("a", b"file").status_code == 201
    (receiver.data / "sessions/s1/files/a").unlink()
    assert wire.put_file("a/b", b"below").status_code == 201
    refused(wire.put_file("a", b"file"), 409, "name-taken")
    assert wire.http.get("/v1/files/s1/a/b").content == b"below"
    (receiver.data / "sessions/s1/files/a/b").unlink()
    (receiver.data / "sessions/s1/files/a").rmdir()
    assert wire.put_file("a", b"file").status_code == 201
    refused(wire.put_file("a/b", b"below"), 409, "name-taken")  # and a committed file stays, too
    assert wire.http.get("/v1/files/s1/a").content == b"file"


def test_another_content_may_have_the_name_of_a_lost_file(wire, there) -> None:
    assert wire.put_file(NAME, b"first").status_code == 201
    refused(wire.put_file(NAME, b"other one"), 409, "name-taken")
    there.unlink()
    assert wire.put_file(NAME, b"other one").status_code == 201
    assert there.read_bytes() == b"other one"


def test_reading_a_lost_file_says_so_and_changes_nothing(wire, there) -> None:
    assert wire.put_file(NAME, b"hello").status_code == 201
    there.rename(there.with_name("away"))
    problem = refused(wire.http.get(f"/v1/files/s1/{NAME}"), 404, "not-found")
    assert "the receiver's disk has lost it" in problem["detail"]
    assert "receiver check" in problem["hint"]
    there.write_bytes(b"hello!")
    assert "6 bytes; 5 were committed" in refused(wire.http.get(f"/v1/files/s1/{NAME}"), 422, "file-corrupt")["detail"]
    there.with_name("away").rename(there)
    assert wire.http.get(f"/v1/files/s1/{NAME}").content == b"hello"
    assert len(wire.http.get("/v1/sessions/s1/files").json()["files"]) == 1


def test_a_data_folder_that_is_not_there_has_lost_nothing(wire, receiver, there, root_digest_of) -> None:
    """An unmounted disk: with the database elsewhere, all files would be called lost."""
    upload = uuid4()
    assert wire.send(upload, NAME, b"hello").status_code == 201
    for folder in ("sessions", "incoming"):
        (receiver.data / folder).rename(receiver.data / f"{folder}.away")
    problem = refused(wire.commit(upload, root_digest_of(b"hello")), 500, "storage-failed")
    assert "mounted" in problem["detail"]
    for folder in ("sessions", "incoming"):
        (receiver.data / f"{folder}.away").rename(receiver.data / folder)
    assert wire.commit(upload, root_digest_of(b"hello")).status_code == 200


@pytest.fixture
def slow_reading(receiver, monkeypatch) -> Callable[[], None]:
    """Let the reading of a file wait until the returned function is called."""
    go_on, read_again = threading.Event(), committed_files.read_again

    def read_slowly(*arguments, **options):
        assert go_on.wait(20)
        return read_again(*arguments, **options)

    monkeypatch.setattr(committed_files, "read_again", read_slowly)
    monkeypatch.setattr(receiver.app.state.receiver.committed, "_read_wait_s", 0.05)
    return go_on.set


@pytest.mark.parametrize("is_same", [True, False])
def test_a_file_that_is_long_to_read_keeps_nobody_waiting(wire, there, slow_reading, is_same) -> None:
    """The client is told to come back; the reading goes on meanwhile, and its result is kept."""
    assert wire.put_file(NAME, b"hello").status_code == 201
    there.write_bytes(b"hello" if is_same else b"HELLO")
    os.utime(there, ns=(1, 1))
    for _ in range(2):
        busy = wire.put_file(NAME, b"hello")
        assert "read again" in refused(busy, 503, "receiver-busy")["detail"]
        assert int(busy.headers["Retry-After"]) > 0
    slow_reading()
    wait_until(lambda: wire.put_file(NAME, b"hello").status_code != 503, "the end of the reading")
    assert wire.put_file(NAME, b"hello").status_code == 200
    assert there.read_bytes() == b"hello"


def test_a_file_that_was_noted_as_lost_is_read_before_it_is_believed(wire, receiver, there) -> None:
    """Its size and time stamp are right: somebody read it once, and found other bytes."""
    inside = receiver.app.state.receiver
    assert wire.put_file(NAME, b"hello").status_code == 201
    status = there.stat()
    there.write_bytes(b"HELLO")
    os.utime(there, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert wire.put_file(NAME, b"hello").status_code == 200  # only reading can find that
    file = inside.uploads.find(UUID(wire.declare(uuid4(), NAME, 5).json()["upload_id"])).file
    with inside.database.write() as connection:
        note_lost(connection, file, FileOnDisk(FileCheck.CHANGED, "other bytes"))
    assert wire.http.get("/v1/sessions/s1/files").json()["files"][0]["on_disk"] == "changed"
    assert wire.put_file(NAME, b"hello").status_code == 201
    assert there.read_bytes() == b"hello"
