"""What sender and receiver promise each other, tried with a real receiver and real files."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.running import COMMAND
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.file_digest import file_digest
from transfer.pace.congestion import CongestionLimits
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import chunk_digest, format_content_digest
from transfer.wire.errors import (
    BadName,
    NameTaken,
    NotFound,
    SourceChanged,
    SourceUnreadable,
    TransferStopped,
    UploadGone,
)
from transfer.wire.protocol import UploadDeclaration
from transfer.wire.verification import FileCheck

SMALL, LARGE = 1000, 2 * CHUNK_BYTES + 5


@pytest.fixture
def client(receiver):
    with ReceiverClient(receiver.url, receiver.token()) as client:
        client.open_session("grid1")
        yield client


@pytest.fixture
def sender(client):
    with Sender(client, connections=4, quiet_s=0.05, give_up_after_s=20) as sender:
        yield sender


@pytest.fixture
def make(tmp_path):
    def make(name, size_bytes):
        """A file of random bytes, to be sent under its own name."""
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size_bytes))
        return FileToSend(path, "grid1", name)

    return make


def visible(receiver):
    """Every file that anybody could see in the session, with its bytes."""
    top = receiver.data / "sessions" / "grid1"
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, LARGE])
def test_a_file_of_any_size_arrives_as_it_is(receiver, sender, make, size_bytes):
    file, progress = make("a b/c+d.mrc", size_bytes), []
    receipt = sender.send(file, on_progress=progress.append)
    assert visible(receiver) == {"files/a b/c+d.mrc": file.source.read_bytes()}
    with file.source.open("rb") as opened:
        assert receipt.digest == file_digest(opened.fileno(), size_bytes)
    assert (receipt.session, receipt.path, receipt.revision) == ("grid1", "a b/c+d.mrc", 1)
    assert receipt.size_bytes == size_bytes == sender.sent_bytes == sum(progress)
    assert [listed.file for listed in sender.client.files("grid1")] == [receipt.file]


def test_a_large_file_sent_again_costs_no_bytes(receiver, sender, make):
    file = make("twice.mrc", LARGE)
    first = sender.send(file)
    progress = []
    again = sender.send(file, on_progress=progress.append)
    assert (again.file, again.sequence, first.is_new, again.is_new) == (first.file, first.sequence, True, False)
    assert sender.sent_bytes == LARGE == sum(progress)
    assert sender.send(replace(file, digest=first.digest)).file == first.file
    assert len(visible(receiver)) == 1


def test_a_small_file_that_is_listed_costs_no_bytes_unless_it_changed(receiver, sender, make):
    file = make("twice.json", SMALL)
    first = sender.send(file)
    assert sender.send(file).file == first.file
    assert sender.sent_bytes == 2 * SMALL  # one request that says it all
    (listed,) = sender.client.files("grid1")
    skipped = sender.send(replace(file, listed=listed))
    assert (skipped.file, skipped.is_new) == (first.file, False)
    assert sender.sent_bytes == 2 * SMALL
    older = listed.model_copy(update={"on_disk": None})  # an older receiver does not look at its disk
    assert sender.send(replace(file, listed=older)).file == first.file
    assert sender.sent_bytes == 2 * SMALL
    for check in (FileCheck.MISSING, FileCheck.CHANGED):
        lost = listed.model_copy(update={"on_disk": check})
        assert sender.send(replace(file, listed=lost)).file == first.file
    assert sender.sent_bytes == 4 * SMALL
    file.source.write_bytes(b"new content")
    with pytest.raises(NameTaken):
        sender.send(replace(file, listed=listed))


@pytest.mark.parametrize("size_bytes", [SMALL, LARGE])
@pytest.mark.parametrize("growth", [0, 1])
def test_another_content_under_the_same_name_is_refused_and_both_are_safe(receiver, sender, make, size_bytes, growth):
    first = make("name.mrc", size_bytes)
    sender.send(first)
    kept = first.source.read_bytes()
    other = make("name.mrc", size_bytes + growth)
    with pytest.raises(NameTaken):
        sender.send(other)
    assert visible(receiver) == {"files/name.mrc": kept}
    assert len(other.source.read_bytes()) == size_bytes + growth

    receipt = sender.send(replace(other, revision=2))
    assert receipt.revision == 2
    assert sorted(visible(receiver).values()) == sorted([kept, other.source.read_bytes()])
    assert visible(receiver)["files/name.mrc"] == kept
    assert [listed.file for listed in sender.client.files("grid1")] == [receipt.file]
    assert sender.send(replace(other, revision=2)).file == receipt.file


def test_a_revision_is_not_skipped(sender, make):
    with pytest.raises(NameTaken):
        sender.send(replace(make("name.mrc", SMALL), revision=2))


@pytest.mark.parametrize("path", ["../escape.mrc", "a/../../b", "/etc/passwd", "a\nb", "a\x00b", ".hidden", "con", ""])
def test_a_name_that_cannot_travel_is_refused_before_anything_is_sent(make, path):
    file = replace(make("good.mrc", SMALL), path=path)
    with ReceiverClient("http://127.0.0.1:9", "token") as nowhere, Sender(nowhere, give_up_after_s=0) as sender:
        with pytest.raises(BadName):
            sender.send(file)
        with pytest.raises(BadName):
            sender.send(replace(file, path="good.mrc", session="../up"))


def test_a_source_that_is_not_there_is_told_before_anything_is_sent(tmp_path):
    file = FileToSend(tmp_path / "nothing", "grid1", "nothing.mrc")
    with (
        ReceiverClient("http://127.0.0.1:9", "token") as nowhere,
        Sender(nowhere) as sender,
        pytest.raises(SourceUnreadable),
    ):
        sender.send(file)


def test_a_session_that_was_not_started_is_not_found(sender, make):
    with pytest.raises(NotFound):
        sender.send(replace(make("name.mrc", SMALL), session="never-started"))


def append(path):
    with path.open("ab") as file:
        file.write(b"late")


def overwrite(path):
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(1, 1))


def replaced(path):
    twin = path.with_suffix(".twin")
    twin.write_bytes(os.urandom(path.stat().st_size))
    twin.replace(path)


def shorten(path):
    os.truncate(path, 100)


@pytest.mark.parametrize("change", [append, overwrite, replaced, shorten], ids=lambda change: change.__name__)
def test_a_file_that_changes_while_it_is_sent_is_never_published(receiver, client, make, change):
    file, once = make("growing.mrc", 4 * CHUNK_BYTES), threading.Lock()

    def meddle(_):
        if once.acquire(blocking=False):
            change(file.source)

    with Sender(client, connections=1, quiet_s=0.05) as sender:
        with pytest.raises(SourceChanged):
            sender.send(file, on_progress=meddle)
        assert visible(receiver) == {}
        sender.send(file)  # now that it is quiet: its name is free
    assert visible(receiver) == {"files/growing.mrc": file.source.read_bytes()}


@pytest.mark.parametrize("size_bytes", [SMALL, LARGE])
def test_a_file_that_is_not_the_journalled_one_is_never_published(receiver, sender, make, size_bytes):
    file = make("journalled.mrc", size_bytes)
    with pytest.raises(SourceChanged):
        sender.send(replace(file, digest="0" * 64))
    assert visible(receiver) == {}
    receipt = sender.send(file)
    assert sender.send(replace(file, digest=receipt.digest)).file == receipt.file


def begin(client, file, chunks):
    """Send the first chunks of a file and stop."""
    arrived = []
    with Sender(client, connections=1, quiet_s=0.05) as sender:
        with pytest.raises(TransferStopped):
            sender.send(file, on_progress=arrived.append, should_stop=lambda: len(arrived) == chunks)
        return sender.sent_bytes


def test_what_was_interrupted_continues_and_nothing_is_sent_twice(receiver, client, sender, make):
    file = make("resumed.mrc", 4 * CHUNK_BYTES + 1)
    sent_before = begin(client, file, 3)
    assert sent_before == 3 * CHUNK_BYTES
    assert visible(receiver) == {}
    progress = []
    sender.send(file, on_progress=progress.append)
    assert sent_before + sender.sent_bytes == 4 * CHUNK_BYTES + 1
    assert sum(progress) == 4 * CHUNK_BYTES + 1
    assert visible(receiver) == {"files/resumed.mrc": file.source.read_bytes()}


@pytest.mark.parametrize("chunks", [1, 3])
def test_what_another_content_left_unfinished_does_no_harm(receiver, client, sender, make, chunks):
    begin(client, make("name.mrc", 3 * CHUNK_BYTES), chunks)
    file = make("name.mrc", 3 * CHUNK_BYTES)
    sender.send(file)
    assert visible(receiver) == {"files/name.mrc": file.source.read_bytes()}


@pytest.mark.parametrize("left_bytes", [SMALL, LARGE])
@pytest.mark.parametrize("size_bytes", [SMALL + 1, LARGE + 1])
def test_what_was_left_unfinished_with_another_size_gives_way(receiver, client, sender, make, left_bytes, size_bytes):
    client.declare(left := uuid4(), UploadDeclaration(session="grid1", path="name.mrc", size_bytes=left_bytes))
    file, progress = make("name.mrc", size_bytes), []
    sender.send(file, on_progress=progress.append)
    assert visible(receiver) == {"files/name.mrc": file.source.read_bytes()}
    assert sum(progress) == size_bytes
    with pytest.raises(UploadGone):
        client.missing(left)


def test_a_slow_upload_of_another_size_is_left_alone(receiver, wire_to, client, make, root_digest_of):
    """A request that is on its way counts as life, however slowly its bytes come, and so does what just arrived."""
    slow, upload, data = wire_to(receiver, session=None), uuid4(), os.urandom(CHUNK_BYTES + 7)
    slow.declare(upload, "name.mrc", len(data), session="grid1").raise_for_status()
    begun = threading.Event()

    def trickle():
        for first in range(0, CHUNK_BYTES, CHUNK_BYTES // 8):
            yield data[first : first + CHUNK_BYTES // 8]
            begun.set()
            time.sleep(0.15)

    def finish():
        headers = {
            "Content-Range": f"bytes 0-{CHUNK_BYTES - 1}/{len(data)}",
            "Content-Digest": format_content_digest("blake3", chunk_digest(data[:CHUNK_BYTES])),
        }
        slow.http.put(f"/v1/uploads/{upload}/content", content=trickle(), headers=headers).raise_for_status()
        slow.put(upload, data[CHUNK_BYTES:], CHUNK_BYTES, len(data)).raise_for_status()
        slow.commit(upload, root_digest_of(data)).raise_for_status()

    with ThreadPoolExecutor() as pool:
        finished = pool.submit(finish)
        begun.wait()
        with Sender(client, quiet_s=0.5) as sender, pytest.raises(NameTaken):
            sender.send(make("name.mrc", SMALL))
        finished.result()
    assert visible(receiver) == {"files/name.mrc": data}


def test_a_sender_killed_before_its_file_changed_size_blocks_nothing(receiver, sender, make, tmp_path):
    file = make("name.mrc", 0)
    os.truncate(file.source, 4 << 30)  # more than is sent before the kill
    command = [*COMMAND, "send", file.source, "--to", receiver.url, "--session", "grid1"]
    environment = {**os.environ, "CRYOFERRY_TOKEN": receiver.token()}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as killed:
        wait_until(
            lambda: any(part.stat().st_blocks for part in (receiver.data / "incoming").iterdir()),
            "the first bytes",
            alive=lambda: killed.poll() is None,
        )
        killed.kill()
    file.source.write_bytes(os.urandom(LARGE))
    sender.send(file)
    assert visible(receiver) == {"files/name.mrc": file.source.read_bytes()}
    assert list((receiver.data / "incoming").iterdir()) == []


def test_a_small_file_whose_name_was_declared_as_an_upload_arrives(receiver, client, sender, make):
    file = make("name.json", SMALL)
    client.declare(uuid4(), UploadDeclaration(session="grid1", path="name.json", size_bytes=SMALL))
    sender.send(file)
    assert visible(receiver) == {"files/name.json": file.source.read_bytes()}


def at_once(senders, files):
    """Send each file by a sender of its own at the same instant; return receipts and errors."""
    start = threading.Barrier(len(files))

    def one(sender, file):
        start.wait()
        try:
            return sender.send(file)
        except NameTaken as error:
            return error

    with ThreadPoolExecutor(len(files)) as pool:
        return list(pool.map(one, senders, files))


@pytest.fixture
def two_senders(client):
    with Sender(client, connections=2, quiet_s=0.2) as one, Sender(client, connections=2, quiet_s=0.2) as other:
        yield one, other


@pytest.mark.parametrize("size_bytes", [SMALL, LARGE])
def test_two_senders_of_one_name_and_content_both_get_the_receipt(receiver, two_senders, make, size_bytes):
    file = make("same.mrc", size_bytes)
    first, second = at_once(two_senders, [file, file])
    assert (first.file, {first.is_new, second.is_new}) == (second.file, {True, False})
    assert visible(receiver) == {"files/same.mrc": file.source.read_bytes()}


@pytest.mark.parametrize("size_bytes", [SMALL, LARGE])
@pytest.mark.parametrize("growth", [0, 1])
def test_two_senders_of_one_name_and_two_contents_one_wins(receiver, two_senders, make, size_bytes, growth):
    files = [
        replace(make(name, size), path="one.mrc") for name, size in [("a", size_bytes), ("b", size_bytes + growth)]
    ]
    results = at_once(two_senders, files)
    losers = [result for result in results if isinstance(result, NameTaken)]
    assert len(losers) == 1
    (winner,) = (file for file, result in zip(files, results, strict=True) if result not in losers)
    assert visible(receiver) == {"files/one.mrc": winner.source.read_bytes()}


def test_many_files_share_the_pool_and_one_bad_one_harms_no_other(receiver, sender, make, tmp_path):
    files = [make(f"folder{n % 3}/file{n}.mrc", size) for n, size in enumerate([0, 1, LARGE, 5000, CHUNK_BYTES] * 3)]
    bad = [FileToSend(tmp_path / "nothing", "grid1", "nothing.mrc"), replace(files[0], path="../up")]
    outcomes = {outcome.file: outcome for outcome in sender.send_many([*bad, *files])}
    assert {type(outcomes[file].error) for file in bad} == {SourceUnreadable, BadName}
    assert {outcomes[file].receipt.path for file in files} == {file.path for file in files}
    assert visible(receiver) == {f"files/{file.path}": file.source.read_bytes() for file in files}


def test_small_files_are_enough_for_two_requests_on_each_connection(client, make):
    """On a long way a connection has a second request on its way: files must not wait for one another's receipts."""
    files = [make(f"file{n}.mrc", 1000) for n in range(2 * CongestionLimits().first_connections)]
    all_at_once = threading.Barrier(len(files))
    with Sender(client) as sender:
        outcomes = list(sender.send_many(files, on_progress=lambda _: all_at_once.wait(20)))
    assert {outcome.file for outcome in outcomes if outcome.receipt} == set(files)


def test_leaving_the_loop_stops_the_rest(receiver, client, make):
    files = [make(f"file{n}.mrc", CHUNK_BYTES) for n in range(12)]
    with Sender(client, connections=1) as sender:
        for outcome in sender.send_many(files):
            assert outcome.receipt
            break
    assert 1 <= len(visible(receiver)) <= 3


def test_no_thread_and_no_descriptor_stays_behind(client, make):
    import psutil

    process, file = psutil.Process(), make("name.mrc", LARGE)
    of_the_receiver = set(threading.enumerate())  # it runs in this process
    with Sender(client, connections=3) as sender:
        sender.send(file)
    open_files = {opened.path for opened in process.open_files()}
    assert str(file.source) not in open_files
    left = set(threading.enumerate()) - of_the_receiver
    assert not [thread for thread in left if thread.name.startswith("cryoferry")]
