"""The table of `transfer.wire.protocol`, request by request, against a real receiver."""

from __future__ import annotations

import os
import select
import socket
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import quote
from uuid import uuid4

import pytest
from sqlalchemy import update

from api.database.tables import now, uploads
from api.store import promises, reservations
from api.store.part_locks import lock_whole
from api.store.promises import PROMISE_S
from tests.waiting import wait_until
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import chunk_digest, format_content_digest, root_digest
from transfer.wire.errors import BY_SLUG
from transfer.wire.problems import PROBLEM_JSON, PROBLEM_TYPE
from transfer.wire.protocol import ByteRange, UploadDeclaration

TWO = CHUNK_BYTES + 5


def refused(answer, status: int, slug: str) -> dict:
    """Check that an answer is this problem, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    problem = answer.json()
    assert problem["type"] == PROBLEM_TYPE + slug
    assert problem["status"] == status
    assert slug in BY_SLUG
    return problem


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(TWO)


def test_an_upload_from_declaration_to_receipt(wire, receiver, data, root_digest_of) -> None:
    upload = uuid4()
    declared = wire.declare(upload, "Images/a b.mrc", TWO)
    assert declared.status_code == 201
    assert declared.json() == {
        "session": "s1",
        "path": "Images/a b.mrc",
        "revision": 1,
        "size_bytes": TWO,
        "chunk_bytes": CHUNK_BYTES,
        "upload_id": str(upload),
        "state": "receiving",
        "received_bytes": 0,
    }
    assert declared.headers["Upload-Limit"].startswith("max-size=")
    assert wire.declare(upload, "Images/a b.mrc", TWO).status_code == 200

    assert wire.put(upload, data[CHUNK_BYTES:], CHUNK_BYTES, TWO).status_code == 204
    assert wire.put(upload, data[CHUNK_BYTES:], CHUNK_BYTES, TWO).status_code == 204
    head = wire.http.head(f"/v1/uploads/{upload}")
    assert (head.headers["Upload-Offset"], head.headers["Upload-Complete"]) == ("0", "?0")
    missing = wire.http.get(f"/v1/uploads/{upload}/ranges").json()
    assert missing == {"missing": [{"first": 0, "last": CHUNK_BYTES - 1}]}
    gaps = refused(wire.commit(upload, root_digest_of(data)), 409, "upload-incomplete")
    assert gaps["missing"] == missing["missing"]
    assert not (receiver.data / "sessions/s1/files/Images").exists()

    assert wire.put(upload, data[:CHUNK_BYTES], 0, TWO).status_code == 204
    committed = wire.commit(upload, root_digest_of(data))
    assert committed.status_code == 201
    receipt = {
        "session": "s1",
        "path": "Images/a b.mrc",
        "revision": 1,
        "size_bytes": TWO,
        "digest": root_digest_of(data),
    }
    assert receipt.items() <= committed.json().items()
    again = wire.commit(upload, root_digest_of(data))
    assert again.status_code == 200
    assert receipt.items() <= again.json().items()
    assert wire.http.get(committed.headers["Location"]).content == data
    assert (receiver.data / "sessions/s1/files/Images/a b.mrc").read_bytes() == data
    assert list((receiver.data / "incoming").iterdir()) == []

    head = wire.http.head(f"/v1/uploads/{upload}")
    assert (head.headers["Upload-Offset"], head.headers["Upload-Complete"]) == (str(TWO), "?1")
    assert wire.http.get(f"/v1/uploads/{upload}/ranges").json() == {"missing": []}
    assert wire.put(upload, data[:CHUNK_BYTES], 0, TWO).status_code == 204
    refused(wire.put(upload, bytes(CHUNK_BYTES), 0, TWO), 409, "name-taken")
    refused(wire.commit(upload, "0" * 64), 409, "name-taken")
    refused(wire.http.delete(f"/v1/uploads/{upload}"), 409, "upload-conflict")
    assert (receiver.data / "sessions/s1/files/Images/a b.mrc").read_bytes() == data


def test_several_chunks_in_one_body_with_sha_256(wire, data, root_digest_of) -> None:
    import hashlib

    upload = uuid4()
    wire.declare(upload, "a", TWO)
    digest = format_content_digest("sha-256", hashlib.sha256(data).digest())
    for _ in range(2):
        assert wire.put(upload, data, 0, TWO, digest).status_code == 204
    assert wire.commit(upload, root_digest_of(data)).status_code == 201


@pytest.mark.parametrize(
    ("first", "length", "total", "status", "slug"),
    [
        (1, 7, TWO, 416, "bad-range"),
        (0, CHUNK_BYTES - 1, TWO, 416, "bad-range"),
        (CHUNK_BYTES, 4, TWO, 416, "bad-range"),
        (CHUNK_BYTES, 5, TWO + 1, 416, "bad-range"),
        (2 * CHUNK_BYTES, 5, 3 * CHUNK_BYTES, 416, "bad-range"),
    ],
)
def test_ranges_that_do_not_fit(wire, first, length, total, status, slug) -> None:
    upload = uuid4()
    wire.declare(upload, "a", TWO)
    refused(wire.put(upload, bytes(length), first, total), status, slug)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Range": "bytes 0-4/5"},
        {"Content-Digest": "blake3=:AAAA:", "Content-Range": "bytes 0-4/5"},
        {"Content-Digest": "md5=:AAAA:", "Content-Range": "bytes 0-4/5"},
        {"Content-Digest": format_content_digest("blake3", chunk_digest(b"hello")), "Content-Range": "bytes 4-0/5"},
        {"Content-Digest": format_content_digest("blake3", chunk_digest(b"hello")), "Content-Range": "bytes=0-4"},
    ],
)
def test_headers_that_make_no_sense(wire, headers) -> None:
    upload = uuid4()
    wire.declare(upload, "a", 5)
    refused(wire.http.put(f"/v1/uploads/{upload}/content", content=b"hello", headers=headers), 400, "bad-request")
    assert wire.http.get(f"/v1/uploads/{upload}").json()["received_bytes"] == 0


def test_a_body_longer_or_shorter_than_its_range(wire) -> None:
    upload = uuid4()
    wire.declare(upload, "a", 5)
    digest = format_content_digest("blake3", chunk_digest(b"hello"))
    headers = {"Content-Range": "bytes 0-4/5", "Content-Digest": digest}
    for body in (b"hell", b"hello!"):
        url = f"/v1/uploads/{upload}/content"
        refused(wire.http.put(url, content=body, headers=headers), 400, "bad-request")
        refused(wire.http.put(url, content=iter([body]), headers=headers), 400, "bad-request")  # chunked encoding
    assert wire.http.get(f"/v1/uploads/{upload}/ranges").json()["missing"] == [{"first": 0, "last": 4}]
    assert wire.http.put(f"/v1/uploads/{upload}/content", content=iter([b"he", b"llo"]), headers=headers).is_success


def test_a_corrupt_chunk_is_never_present(wire, root_digest_of) -> None:
    upload = uuid4()
    wire.declare(upload, "a", 5)
    digest = format_content_digest("blake3", chunk_digest(b"hello"))
    refused(wire.put(upload, b"hellO", 0, 5, digest), 400, "chunk-corrupt")
    refused(wire.commit(upload, root_digest_of(b"hello")), 409, "upload-incomplete")
    assert wire.put(upload, b"hello", 0, 5).status_code == 204
    refused(wire.put(upload, b"hellO", 0, 5, digest), 400, "chunk-corrupt")  # a replay gone wrong takes nothing away
    assert wire.commit(upload, root_digest_of(b"hello")).status_code == 201


def test_other_bytes_replace_earlier_ones_until_commit(wire, receiver, root_digest_of) -> None:
    upload = uuid4()
    wire.declare(upload, "a", 5)
    assert wire.put(upload, b"HELLO", 0, 5).status_code == 204
    refused(wire.commit(upload, root_digest_of(b"hello")), 422, "file-corrupt")
    assert wire.put(upload, b"hello", 0, 5).status_code == 204
    assert wire.commit(upload, root_digest_of(b"hello")).status_code == 201
    assert (receiver.data / "sessions/s1/files/a").read_bytes() == b"hello"


def test_who_declares_a_reserved_name(wire, root_digest_of) -> None:
    first, second = uuid4(), uuid4()
    assert wire.declare(first, "a", 5).status_code == 201
    conflict = refused(wire.declare(second, "a", 5), 409, "upload-conflict")
    assert (conflict["upload_id"], conflict["state"]) == (str(first), "receiving")
    other_size = refused(wire.declare(second, "a", 6), 409, "name-taken")
    assert (other_size["upload_id"], other_size["state"]) == (str(first), "receiving")
    assert refused(wire.put_file("a", b"hello!"), 409, "name-taken")["upload_id"] == str(first)
    refused(wire.declare(first, "b", 5), 409, "upload-conflict")
    refused(wire.declare(first, "a", 6), 409, "upload-conflict")

    assert wire.put(first, b"hello", 0, 5).status_code == 204
    assert wire.commit(first, root_digest_of(b"hello")).status_code == 201
    known = wire.declare(second, "a", 5)
    assert known.status_code == 200
    assert (known.json()["upload_id"], known.json()["state"]) == (str(first), "committed")
    assert "upload_id" not in refused(wire.declare(second, "a", 6), 409, "name-taken")
    assert "upload_id" not in refused(wire.put_file("a", b"hello!"), 409, "name-taken")


def test_revisions_follow_each_other_and_all_stay(wire, receiver) -> None:
    refused(wire.declare(uuid4(), "f/a", 5, revision=2), 409, "name-taken")
    assert wire.send(uuid4(), "f/a", b"first").status_code == 201
    refused(wire.declare(uuid4(), "f/a", 5, revision=3), 409, "name-taken")
    assert wire.send(uuid4(), "f/a", b"second", revision=2).status_code == 201
    assert wire.put_file("f/a?revision=3", b"third").status_code == 201
    session = receiver.data / "sessions/s1"
    assert (session / "files/f/a").read_bytes() == b"first"
    assert (session / "revisions/2/f/a").read_bytes() == b"second"
    assert (session / "revisions/3/f/a").read_bytes() == b"third"
    (newest,) = wire.http.get("/v1/sessions/s1/files").json()["files"]
    assert newest["revision"] == 3
    assert wire.http.get("/v1/files/s1/f/a").content == b"third"
    assert wire.http.get("/v1/files/s1/f/a", params={"revision": 1}).content == b"first"
    refused(wire.http.get("/v1/files/s1/f/a", params={"revision": 4}), 404, "not-found")


def test_withdrawing_frees_the_name(wire, receiver) -> None:
    upload = uuid4()
    wire.declare(upload, "a", TWO)
    wire.put(upload, bytes(5), CHUNK_BYTES, TWO)
    assert wire.http.delete(f"/v1/uploads/{upload}").status_code == 204
    assert wire.http.delete(f"/v1/uploads/{upload}").status_code == 204
    assert list((receiver.data / "incoming").iterdir()) == []
    refused(wire.put(upload, bytes(5), CHUNK_BYTES, TWO), 410, "upload-gone")
    refused(wire.commit(upload, "0" * 64), 410, "upload-gone")
    refused(wire.http.get(f"/v1/uploads/{upload}"), 410, "upload-gone")
    refused(wire.declare(upload, "a", TWO), 410, "upload-gone")
    assert wire.declare(uuid4(), "a", 7).status_code == 201


def test_only_what_is_quiet_is_withdrawn_from_its_owner(wire, receiver, root_digest_of) -> None:
    def withdraw(upload, quiet_s: float):
        return wire.http.delete(f"/v1/uploads/{upload}", params={"quiet_s": quiet_s})

    upload = uuid4()
    wire.declare(upload, "a", TWO)
    for _ in range(2):  # declared only; with a chunk
        assert refused(withdraw(upload, 60), 409, "upload-conflict")["state"] == "receiving"
        assert wire.put(upload, bytes(5), CHUNK_BYTES, TWO).status_code == 204

    with part_file_lock(receiver, upload):
        assert refused(withdraw(upload, 0), 409, "upload-conflict")["state"] == "receiving"  # a request is writing
    assert wire.http.get(f"/v1/uploads/{upload}").json()["received_bytes"] == 5

    assert withdraw(upload, 0).status_code == 204
    assert withdraw(upload, 60).status_code == 204
    assert list((receiver.data / "incoming").iterdir()) == []
    committed = uuid4()
    assert wire.send(committed, "a", b"hello").status_code == 201
    assert refused(withdraw(committed, 0), 409, "upload-conflict")["state"] == "committed"
    assert (receiver.data / "sessions/s1/files/a").read_bytes() == b"hello"
    refused(withdraw(committed, -1), 400, "bad-request")


@contextmanager
def part_file_lock(receiver, upload):
    """Hold the lock that a request holds while it writes."""
    (part,) = (receiver.data / "incoming").glob(f"{upload}.*")
    fd = os.open(part, os.O_RDWR)
    lock_whole(fd)
    yield
    os.close(fd)


def test_what_is_not_there(wire) -> None:
    unknown = uuid4()
    refused(wire.put(unknown, b"hello", 0, 5), 404, "not-found")
    refused(wire.commit(unknown, "0" * 64), 404, "not-found")
    refused(wire.http.delete(f"/v1/uploads/{unknown}"), 404, "not-found")
    refused(wire.http.get("/v1/nothing"), 404, "not-found")
    refused(wire.http.get("/v1/files/s1/nothing"), 404, "not-found")
    assert refused(wire.http.patch("/v1/sessions"), 405, "bad-request")
    refused(wire.http.put("/v1/uploads/no-uuid", json={}), 400, "bad-request")
    refused(wire.http.put(f"/v1/uploads/{unknown}", content=b"{"), 400, "bad-request")
    refused(wire.http.put(f"/v1/uploads/{unknown}", json={"session": "s1", "surprise": 1}), 400, "bad-request")


def test_an_empty_file(wire, receiver) -> None:
    upload = uuid4()
    assert wire.declare(upload, "empty", 0).status_code == 201
    assert wire.commit(upload, root_digest([])).status_code == 201
    assert wire.put_file("empty2", b"").status_code == 201
    assert wire.put_file("empty2", b"").status_code == 200
    for name in ("empty", "empty2"):
        assert (receiver.data / "sessions/s1/files" / name).read_bytes() == b""


def test_one_request(wire, receiver, data, root_digest_of) -> None:
    made = wire.put_file("one", data)
    assert (made.status_code, made.json()["digest"]) == (201, root_digest_of(data))
    assert wire.put_file("one", data).status_code == 200
    refused(wire.put_file("one", data[:-1] + b"!"), 409, "name-taken")
    refused(wire.put_file("one", b"short"), 409, "name-taken")
    digest = format_content_digest("blake3", chunk_digest(b"hello"))
    refused(wire.put_file("two", b"hellO", **{"Content-Digest": digest}), 400, "chunk-corrupt")
    assert wire.put_file("two", b"hello", **{"Content-Digest": digest}).status_code == 201
    refused(wire.http.put("/v1/files/s1/three", content=iter([b"no length"])), 400, "bad-request")
    assert (receiver.data / "sessions/s1/files/one").read_bytes() == data
    assert sorted(path.name for path in (receiver.data / "sessions/s1/files").iterdir()) == ["one", "two"]
    assert list((receiver.data / "incoming").iterdir()) == []


def test_one_request_after_an_upload_in_parts_and_the_other_way_round(wire, root_digest_of) -> None:
    assert wire.send(uuid4(), "a", b"hello").status_code == 201
    assert wire.put_file("a", b"hello").status_code == 200
    assert wire.put_file("b", b"hello").status_code == 201
    known = wire.declare(uuid4(), "b", 5).json()
    assert known["state"] == "committed"
    assert wire.commit(known["upload_id"], root_digest_of(b"hello")).status_code == 200


BAD_NAMES = [
    "../up",
    "a/../../up",
    "/etc/passwd",
    "a//b",
    "a/./b",
    ".hidden",
    "a/b.",
    "nul",
    "a\nb",
    "a\x00b",
    "a\x1bb",
    "a:b",
    "a\\b",
    "e\u0301",
    "x" * 256,
    "/".join(["y" * 200] * 6),
    "",
    "a/",
    "<script>",
]


def test_names_that_must_not_be(wire, receiver) -> None:
    for path in BAD_NAMES:
        refused(wire.declare(uuid4(), path, 5), 422, "bad-value" if "\0" in path else "bad-name")
        answer = wire.put_file(quote(path, safe=""), b"hello")
        assert answer.status_code in (404, 422), answer.text  # 404: the client library itself resolved it
    assert not (receiver.data / "sessions/s1").exists()


def test_names_that_may_be(wire, receiver) -> None:
    for path in ("Grüße/日本.mrc", "FoilHole_1_Data_2 (3).mrc", "a,b@c#d=e+f/x"):
        assert wire.declare(uuid4(), path, 5).status_code == 201, path
        assert wire.put_file(quote(f"one/{path}"), b"hello").status_code == 201
        assert (receiver.data / "sessions/s1/files/one" / path).read_bytes() == b"hello"


def test_a_file_is_no_folder(wire, receiver) -> None:
    assert wire.put_file("a", b"hello").status_code == 201
    refused(wire.put_file("a/b", b"hello"), 409, "name-taken")
    assert wire.put_file("c/d", b"hello").status_code == 201
    refused(wire.put_file("c", b"hello"), 409, "name-taken")
    assert list((receiver.data / "incoming").iterdir()) == []


def test_limits(make_receiver, wire_to) -> None:
    wire = wire_to(make_receiver(max_file_bytes=100))
    refused(wire.declare(uuid4(), "a", 101), 413, "too-large")
    refused(wire.put_file("a", bytes(101)), 413, "too-large")
    refused(wire.declare(uuid4(), "a", 5, chunk_bytes=4), 400, "bad-request")
    refused(wire.http.put(f"/v1/uploads/{uuid4()}", content=bytes(5 << 20)), 413, "too-large")
    assert wire.put_file("a", bytes(100)).status_code == 201


def test_no_space(make_receiver, wire_to) -> None:
    receiver = make_receiver(reserve_bytes=1 << 60)
    wire = wire_to(receiver)
    full = wire.declare(uuid4(), "a", 5)
    refused(full, 507, "receiver-full")
    assert int(full.headers["Retry-After"]) > 0
    refused(wire.put_file("a", b"hello"), 507, "receiver-full")
    assert wire.http.get("/readyz").status_code == 503
    assert wire.http.get("/v1/service").json()["free_bytes"] == 0


def test_space_is_promised_once(receiver, wire) -> None:
    size = wire.http.get("/v1/service").json()["free_bytes"] * 2 // 5
    first, third = uuid4(), uuid4()
    assert wire.declare(first, "a", size).status_code == 201
    assert wire.declare(uuid4(), "b", size).status_code == 201
    assert "other uploads need" in refused(wire.declare(third, "c", size), 507, "receiver-full")["detail"]
    assert wire.declare(first, "a", size).status_code == 200  # what has a promise keeps it
    assert wire.put_file("small", b"hello").status_code == 201
    assert wire.http.delete(f"/v1/uploads/{first}").status_code == 204
    assert wire.declare(third, "c", size).status_code == 201
    # Who gave no sign of life for a while blocks nobody.
    refused(wire.declare(uuid4(), "d", size), 507, "receiver-full")
    with receiver.app.state.receiver.database.write() as connection:
        long_ago = now() - timedelta(seconds=PROMISE_S + 1)
        connection.execute(update(uploads).where(uploads.c.path == "b").values(touched_at=long_ago))
    assert wire.declare(uuid4(), "d", size).status_code == 201


def test_no_token_can_promise_itself_what_others_need(receiver, wire, wire_to) -> None:
    free = wire.http.get("/v1/service").json()["free_bytes"]
    greedy = [wire.declare(uuid4(), f"huge{number}", free // 5).status_code for number in range(6)]
    assert greedy == [201, 201, 201, 507, 507, 507]
    other = wire_to(receiver)  # another token
    assert other.declare(uuid4(), "own", free * 2 // 5).status_code == 201
    refused(other.declare(uuid4(), "too large", free // 5), 507, "receiver-full")
    assert other.put_file("small", b"hello").status_code == 201


def test_one_file_may_take_all_that_is_free(wire) -> None:
    free = wire.http.get("/v1/service").json()["free_bytes"]
    assert wire.declare(uuid4(), "a", free * 9 // 10).status_code == 201
    assert wire.declare(uuid4(), "b", free // 100).status_code == 201
    assert wire.put_file("small", b"hello").status_code == 201


def test_a_token_has_so_many_uploads_open(make_receiver, wire_to, monkeypatch) -> None:
    receiver = make_receiver(max_open_uploads=3)
    wire = wire_to(receiver)
    monkeypatch.setattr(promises, "MAX_UNFINISHED_UPLOADS", 4)
    ids = [uuid4() for _ in range(5)]
    assert [wire.declare(upload, str(upload), 5).status_code for upload in ids] == [201, 201, 201, 429, 429]
    full = wire.declare(ids[3], "d", 5)
    assert "at most 3" in refused(full, 429, "rate-limited")["detail"]
    assert int(full.headers["Retry-After"]) == 10
    assert wire.declare(ids[0], str(ids[0]), 5).status_code == 200  # it is declared already
    assert wire.put_file("whole", b"hello").status_code == 201  # it is open only while its request lasts
    assert wire_to(receiver).declare(ids[3], "of another token", 5).status_code == 201
    assert wire.http.delete(f"/v1/uploads/{ids[0]}").status_code == 204
    assert wire.declare(ids[4], "e", 5).status_code == 201
    # One that is no longer sent does not count as open, but there is an end to those too.
    with receiver.app.state.receiver.database.write() as connection:
        connection.execute(update(uploads).values(touched_at=now() - timedelta(seconds=PROMISE_S + 1)))
    assert wire.declare(uuid4(), "f", 5).status_code == 201
    refused(wire.declare(uuid4(), "g", 5), 409, "limit-reached")
    assert wire.put(ids[1], b"hello", 0, 5).status_code == 204  # what was declared goes on


def test_a_session_has_so_many_files(receiver, wire, monkeypatch) -> None:
    monkeypatch.setattr(reservations, "MAX_FILES", 2)
    assert [wire.put_file(name, b"hello").status_code for name in ("a", "b")] == [201, 201]
    refused(wire.put_file("c", b"hello"), 409, "limit-reached")
    refused(wire.declare(uuid4(), "c", 5), 409, "limit-reached")
    assert wire.put_file("a", b"hello").status_code == 200


def test_a_list_of_ranges_has_an_end(wire, monkeypatch) -> None:
    monkeypatch.setattr("api.routes.uploads.MAX_RANGES", 2)
    upload, size = uuid4(), 6 * CHUNK_BYTES + 5
    wire.declare(upload, "a", size)
    for number in (1, 3, 5):
        assert wire.put(upload, bytes(CHUNK_BYTES), number * CHUNK_BYTES, size).status_code == 204
    missing = [ByteRange(**part) for part in wire.http.get(f"/v1/uploads/{upload}/ranges").json()["missing"]]
    assert [(part.first, part.last) for part in missing] == [
        (0, CHUNK_BYTES - 1),
        (2 * CHUNK_BYTES, size - 1),  # the last one reaches over what is there to the end: a client of any age is done
    ]


def test_what_has_arrived_needs_no_promise(receiver, wire) -> None:
    told: list[int] = []
    book, upload = receiver.app.state.receiver.uploads, uuid4()

    def promised() -> int:
        declaration = UploadDeclaration(session="s1", path=f"p{len(told)}", size_bytes=0)
        book.declare(uuid4(), declaration, require_space=lambda _size, promised: told.append(promised.other_bytes))
        return told[-1]

    assert promised() == 0
    wire.declare(upload, "a", TWO)
    assert promised() == TWO
    assert wire.put(upload, bytes(CHUNK_BYTES), 0, TWO).status_code == 204
    assert promised() == TWO - CHUNK_BYTES
    assert wire.put(upload, bytes(5), CHUNK_BYTES, TWO).status_code == 204
    assert promised() == 0


def test_a_silent_client_is_cut_off(make_receiver, wire_to) -> None:
    receiver = make_receiver(body_timeout_s=0.2)
    wire = wire_to(receiver)
    upload = uuid4()
    wire.declare(upload, "a", 5)
    authorization = wire.http.headers["Authorization"]
    digest = format_content_digest("blake3", chunk_digest(b"hello"))
    requests = {
        f"PUT /v1/uploads/{upload}/content": f"Content-Range: bytes 0-4/5\r\nContent-Digest: {digest}\r\n",
        "PUT /v1/files/s1/b": "",
        f"PUT /v1/uploads/{uuid4()}": "",
    }
    for request, headers in requests.items():
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as link:
            head = f"Host: x\r\nAuthorization: {authorization}\r\n{headers}Content-Length: 5\r\n"
            link.sendall(f"{request} HTTP/1.1\r\n{head}\r\nhe".encode())
            answer = b""
            while block := link.recv(65536):
                answer += block  # until the receiver closes
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"client-stalled" in answer
    assert wire.put(upload, b"hello", 0, 5).status_code == 204
    assert wire.put_file("b", b"hello").status_code == 201


def test_large_requests_take_bounded_memory(make_receiver, wire_to) -> None:
    receiver = make_receiver(body_timeout_s=5, large_requests_bytes=5 << 20)
    wire = wire_to(receiver)
    links = [socket.create_connection(("127.0.0.1", receiver.port), timeout=60) for _ in range(2)]
    record = f"/v1/sessions/s1/exposures/{uuid4()}"
    authorization = f"Authorization: {wire.http.headers['Authorization']}"
    head = f"PUT {record} HTTP/1.1\r\nHost: x\r\n{authorization}\r\nContent-Length: {4 << 20}\r\n\r\n".encode()
    for link in links:
        link.sendall(head + bytes(3 << 20))
    answered, _, _ = select.select(links, [], [], 60)
    assert answered[0].recv(100).startswith(b"HTTP/1.1 503 ")
    assert wire.declare(uuid4(), "a", 5).status_code == 201  # small ones go on
    for link in links:
        link.close()
    wait_until(
        lambda: wire.http.put(record, content=bytes(4 << 20)).status_code != 503,
        "the memory of requests that were given up",
    )
