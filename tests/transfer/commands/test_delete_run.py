"""`send --delete-after-receipt` deletes the last copy of nothing."""

from __future__ import annotations

import os
import shutil

import pytest

from transfer.client import ReceiverClient
from transfer.wire.errors import LinkLost, NotFound

SMALL = os.urandom(1000)


@pytest.fixture
def send(receiver, cryoferry, tmp_path):
    """Return a function that sends the files of the test's folder: whether to delete them, and further options."""

    def send(*more, delete: bool = True, names=("a.mrc", "b.mrc")):
        options = ("--delete-after-receipt",) if delete else ()
        return cryoferry("send", *names, "--to", receiver.url, "--session", "grid1", "--json", *options, *more)

    for name in ("a.mrc", "b.mrc"):
        (tmp_path / name).write_bytes(SMALL + name.encode())
    return send


@pytest.fixture
def there(receiver):
    return receiver.data / "sessions/grid1/files"


def errors(done) -> dict[str, str]:
    return {one["path"]: f"{one['error']['type']}: {one['error']['message']}" for one in done.objects if "error" in one}


def left(tmp_path) -> list[str]:
    return sorted(path.name for path in tmp_path.glob("*.mrc"))


def test_new_files_are_deleted_and_those_that_were_there_once_they_were_read(
    send, there, tmp_path, monkeypatch
) -> None:
    asked = []
    start = ReceiverClient.start_verification
    monkeypatch.setattr(ReceiverClient, "start_verification", lambda *a: asked.append(a[2]) or start(*a))
    assert send(delete=False, names=["a.mrc"]).returncode == 0
    done = send()
    assert (done.returncode, left(tmp_path)) == (0, [])
    assert asked == [["a.mrc"]]  # one request for all that are not new
    assert {one["path"]: one["is_new"] for one in done.objects[:-1]} == {"a.mrc": False, "b.mrc": True}
    assert (there / "a.mrc").read_bytes() == SMALL + b"a.mrc"


def test_a_file_that_only_reading_finds_to_be_other_stays_and_is_then_sent_again(send, there, tmp_path) -> None:
    assert send(delete=False).returncode == 0
    kept = (there / "a.mrc").stat()
    (there / "a.mrc").write_bytes(b"X" + SMALL[1:] + b"a.mrc")
    os.utime(there / "a.mrc", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    done = send()
    assert (done.returncode, left(tmp_path)) == (6, ["a.mrc"])
    assert "NotDeleted: a.mrc is not deleted: the receiver had it before, and the receiver's file is changed" in str(
        errors(done)
    )
    assert "Send the file again" in done.stderr
    again = send(names=["a.mrc"])
    assert (again.returncode, left(tmp_path), again.objects[0]["is_new"]) == (0, [], True)
    assert (there / "a.mrc").read_bytes() == SMALL + b"a.mrc"


@pytest.mark.parametrize("lose", [lambda there: shutil.rmtree(there.parent), lambda there: (there / "a.mrc").unlink()])
def test_what_the_receiver_has_lost_is_sent_again_before_it_is_deleted(send, there, tmp_path, lose) -> None:
    assert send(delete=False).returncode == 0
    lose(there)
    assert (send().returncode, left(tmp_path)) == (0, [])
    for name in ("a.mrc", "b.mrc"):
        assert (there / name).read_bytes() == SMALL + name.encode()


def test_a_receipt_for_an_older_revision_deletes_nothing(send, tmp_path) -> None:
    first = (tmp_path / "a.mrc").read_bytes()
    assert send(delete=False, names=["a.mrc"]).returncode == 0
    (tmp_path / "a.mrc").write_bytes(b"second")
    assert send("--revision", "2", delete=False, names=["a.mrc"]).returncode == 0
    (tmp_path / "a.mrc").write_bytes(first)
    done = send(names=["a.mrc"])
    assert (done.returncode, left(tmp_path)) == (6, ["a.mrc", "b.mrc"])
    assert "another revision" in errors(done)["a.mrc"]


@pytest.mark.parametrize(("answer", "exit_code", "text"), [(NotFound, 6, "older"), (LinkLost, 5, "LinkLost")])
def test_a_receiver_that_does_not_read_its_file_keeps_ours(
    send, tmp_path, monkeypatch, answer, exit_code, text
) -> None:
    assert send(delete=False).returncode == 0

    def refuse(*_arguments):
        raise answer

    monkeypatch.setattr(ReceiverClient, "start_verification", refuse)
    done = send("--give-up-after", "0")
    assert (done.returncode, left(tmp_path)) == (exit_code, ["a.mrc", "b.mrc"])
    assert text in errors(done)["a.mrc"]


def test_a_receipt_that_does_not_say_whether_it_is_new_deletes_nothing_unread(send, tmp_path, monkeypatch) -> None:
    """As older receivers give them."""
    from transfer.upload.file_upload import FileUpload

    checked = FileUpload._checked
    monkeypatch.setattr(FileUpload, "_checked", lambda *a: checked(*a).model_copy(update={"is_new": None}))
    monkeypatch.setattr(ReceiverClient, "start_verification", _unknown)
    done = send()
    assert (done.returncode, left(tmp_path)) == (6, ["a.mrc", "b.mrc"])


def _unknown(*_arguments):
    raise NotFound


@pytest.mark.parametrize("is_known", [True, False])
def test_the_file_of_the_receiver_itself_stays(send, there, tmp_path, is_known) -> None:
    if is_known:
        assert send(delete=False).returncode == 0
    else:  # such as after the loss of the database
        shutil.copytree(tmp_path, there, ignore=lambda _, names: {name for name in names if name[1:] != ".mrc"})
    names = [str(there / "a.mrc"), str(there / "b.mrc")]
    done = send(names=names)
    assert done.returncode == 6
    assert all("both names are of one file" in message for message in errors(done).values())
    assert sorted(path.name for path in there.iterdir()) == ["a.mrc", "b.mrc"]
    assert send().returncode == 0  # copies elsewhere are deleted
    assert left(tmp_path) == []
    assert (there / "a.mrc").read_bytes() == SMALL + b"a.mrc"


def test_a_link_to_the_receivers_file_stays(send, there, tmp_path) -> None:
    assert send(delete=False).returncode == 0
    (tmp_path / "a.mrc").unlink()
    (tmp_path / "a.mrc").symlink_to(there / "a.mrc")
    done = send()
    assert list(errors(done)) == ["a.mrc"]
    assert left(tmp_path) == ["a.mrc"]
