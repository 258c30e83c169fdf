"""Clients that want the same thing at the same instant."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import chunk_digest, format_content_digest


def at_once(*jobs):
    """Run jobs that wait for each other's start; return their results."""
    ready = threading.Barrier(len(jobs))

    def run(job):
        ready.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def test_two_contents_of_one_name_in_one_request_each(wire, receiver) -> None:
    for turn in range(5):
        contents = [os.urandom(300_000), os.urandom(300_000)]
        answers = at_once(*(lambda data=data, turn=turn: wire.put_file(f"f{turn}", data) for data in contents))
        # The one that came later may have been told to wait for the first.
        answers = [
            wire.put_file(f"f{turn}", data) if answer.status_code == 503 else answer
            for answer, data in zip(answers, contents, strict=True)
        ]
        assert sorted(answer.status_code for answer in answers) == [201, 409], [answer.text for answer in answers]
        (winner,) = [data for answer, data in zip(answers, contents, strict=True) if answer.status_code == 201]
        assert (receiver.data / f"sessions/s1/files/f{turn}").read_bytes() == winner


def test_two_contents_of_one_name_in_chunks(wire, receiver, root_digest_of) -> None:
    """Both fill the one upload, replacing each other's chunks: who commits what arrived gets the receipt."""
    contents = [os.urandom(CHUNK_BYTES + 1000), os.urandom(CHUNK_BYTES + 1000)]
    upload = uuid4()
    assert wire.declare(upload, "x", len(contents[0])).status_code == 201

    def send(data: bytes) -> list[int]:
        answers = [
            wire.put(upload, data[:CHUNK_BYTES], 0, len(data)),
            wire.put(upload, data[CHUNK_BYTES:], CHUNK_BYTES, len(data)),
            wire.commit(upload, root_digest_of(data)),
        ]
        return [answer.status_code for answer in answers]

    codes = at_once(*(lambda data=data: send(data) for data in contents))
    final = [send(data) for data in contents]  # one after the other: the first has a free way, or lost already
    receipts = [1 for turn in (codes, final) for answer in turn if answer[-1] == 201]
    assert sum(receipts) == 1, (codes, final)
    accepted = [data for data in contents if wire.commit(upload, root_digest_of(data)).status_code == 200]
    assert len(accepted) == 1
    assert (receiver.data / "sessions/s1/files/x").read_bytes() == accepted[0]
    assert {code for turn in codes for code in turn[:2]} <= {204, 409, 503}


def test_the_same_chunk_twice_at_once(wire, root_digest_of) -> None:
    data = os.urandom(CHUNK_BYTES)
    upload = uuid4()
    wire.declare(upload, "x", len(data))
    answers = at_once(*[lambda: wire.put(upload, data, 0, len(data))] * 4)
    assert [answer.status_code for answer in answers] == [204] * 4
    answers = at_once(*[lambda: wire.commit(upload, root_digest_of(data))] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.text.replace("true", "false") for answer in answers}) == 1  # but for `is_new`


def test_a_good_and_a_corrupt_copy_of_a_chunk_at_once(wire, receiver, root_digest_of) -> None:
    data = os.urandom(CHUNK_BYTES)
    corrupt = data[:-1] + bytes([data[-1] ^ 1])
    digest = format_content_digest("blake3", chunk_digest(data))
    for turn in range(3):
        upload = uuid4()
        wire.declare(upload, f"x{turn}", len(data))
        bad, good = at_once(
            lambda upload=upload: wire.put(upload, corrupt, 0, len(data), digest),
            lambda upload=upload: wire.put(upload, data, 0, len(data), digest),
        )
        assert (bad.status_code, good.status_code) == (400, 204)
        assert wire.commit(upload, root_digest_of(data)).status_code == 201
        assert (receiver.data / f"sessions/s1/files/x{turn}").read_bytes() == data


def test_one_upload_declared_by_many_at_once(wire) -> None:
    answers = at_once(*[lambda: wire.declare(uuid4(), "x", 7)] * 8)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    (winner,) = [answer.json()["upload_id"] for answer in answers if answer.status_code == 201]
    assert {answer.json()["upload_id"] for answer in answers} == {winner}


def test_a_chunk_that_is_on_its_way_keeps_the_commit_waiting(wire, receiver, root_digest_of) -> None:
    """A replacement that has begun must not reach the published file."""
    import time

    data = os.urandom(3_000_000)
    upload = uuid4()
    wire.declare(upload, "x", len(data))
    assert wire.put(upload, data, 0, len(data)).status_code == 204
    headers = {
        "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}",
        "Content-Digest": format_content_digest("blake3", chunk_digest(bytes(len(data)))),
    }
    begun = threading.Event()

    def slow_zeros():
        yield bytes(2_000_000)
        begun.set()
        time.sleep(0.5)
        yield bytes(1_000_000)

    with ThreadPoolExecutor() as pool:
        replaced = pool.submit(
            lambda: wire.http.put(f"/v1/uploads/{upload}/content", content=slow_zeros(), headers=headers)
        )
        begun.wait()
        time.sleep(0.2)
        committed = wire.commit(upload, root_digest_of(data))
        assert replaced.result().status_code == 204
    assert committed.status_code == 422
    assert wire.commit(upload, root_digest_of(bytes(len(data)))).status_code == 201
    assert (receiver.data / "sessions/s1/files/x").read_bytes() == bytes(len(data))
