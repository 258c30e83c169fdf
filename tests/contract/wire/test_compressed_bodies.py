"""Bodies that travel as zstd: the bytes as they are lie on the disk, whatever arrives; over both data planes."""

from __future__ import annotations

import io
import os
from uuid import uuid4

import pytest
import zstandard

from api.intake.decoding_sink import MOST_WINDOW_BYTES
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.digest import chunk_digest, format_content_digest

COUNTS = bytes(range(7)) * 200_000
SKIPPABLE = b"\x50\x2a\x4d\x18" + (2 << 20).to_bytes(4, "little") + bytes(2 << 20)  # a frame that holds nothing
TWO = CHUNK_BYTES + 100_000


def compressed(data: bytes, **options) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(data)


def headers(body: bytes, **more: str) -> dict[str, str]:
    digest = format_content_digest("blake3", chunk_digest(body))
    return {"Content-Encoding": "zstd", "Content-Digest": digest} | {
        name.replace("_", "-"): value for name, value in more.items()
    }


def put_file(wire, data: bytes, body: bytes, **more: str):
    told = {"Upload_Length": str(len(data))} | more
    return wire.http.put("/v1/files/s1/x", content=body, headers=headers(body, **told))


def put_chunk(wire, upload, data: bytes, start: int, body: bytes, *, total: int, **more: str):
    told = {"Content_Range": f"bytes {start}-{start + len(data) - 1}/{total}"} | more
    return wire.http.put(f"/v1/uploads/{upload}/content", content=body, headers=headers(body, **told))


def visible(receiver) -> dict[str, bytes]:
    top = receiver.data / "sessions/s1/files"
    return {path.name: path.read_bytes() for path in top.rglob("*") if path.is_file()}


def told_by(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


@pytest.mark.parametrize("data", [COUNTS, os.urandom(300_000), b"", b"1"], ids=["counts", "noise", "empty", "one"])
def test_a_file_arrives_as_it_is(wire, receiver, data, root_digest_of) -> None:
    answer = put_file(wire, data, compressed(data))
    assert (answer.status_code, answer.json()["digest"]) == (201, root_digest_of(data))
    assert answer.json()["size_bytes"] == len(data)
    assert visible(receiver) == {"x": data}
    assert put_file(wire, data, compressed(data)).status_code == 200


def test_so_do_chunks_some_of_which_are_not_compressed(wire, receiver, root_digest_of) -> None:
    data = (COUNTS * 7)[:TWO]
    first, second = data[:CHUNK_BYTES], data[CHUNK_BYTES:]
    wire.declare(upload := uuid4(), "x", TWO)
    for _ in range(2):  # repeated, it is the same
        assert put_chunk(wire, upload, first, 0, compressed(first), total=TWO).status_code == 204
    assert wire.put(upload, second, CHUNK_BYTES, TWO).status_code == 204
    assert wire.commit(upload, root_digest_of(data)).status_code == 201
    assert visible(receiver) == {"x": data}


def test_both_chunks_in_one_body_with_the_other_digest(wire, receiver, root_digest_of) -> None:
    import base64
    import hashlib

    data = (COUNTS * 7)[:TWO]
    body = compressed(data)
    sha = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    wire.declare(upload := uuid4(), "x", TWO)
    assert put_chunk(wire, upload, data, 0, body, total=TWO, Content_Digest=sha).status_code == 204
    assert wire.commit(upload, root_digest_of(data)).status_code == 201
    assert visible(receiver) == {"x": data}


@pytest.mark.parametrize(
    ("spoil", "status", "slug"),
    [
        (lambda body: body[:-1] + bytes([body[-1] ^ 1]), 400, "chunk-corrupt"),  # its digest is of what travels
        (lambda body: body[:100], 400, "bad-request"),  # cut, with a digest that fits
        (lambda body: b"no zstd" + body, 400, "chunk-corrupt"),
        (lambda body: body + compressed(b"more"), 400, "bad-request"),
        (lambda _: compressed(COUNTS[:-1]), 400, "bad-request"),
        (lambda _: compressed(bytes(64 << 20)), 400, "bad-request"),  # a few kB that grow to 64 MB
        (lambda body: body + SKIPPABLE, 400, "bad-request"),
    ],
    ids=["flipped", "cut", "no-zstd", "too-long", "too-short", "bomb", "padded"],
)
def test_what_is_not_what_was_announced_is_refused(wire, receiver, spoil, status, slug) -> None:
    sound = compressed(COUNTS, write_checksum=True)
    body = spoil(sound)
    sent = sound if slug == "chunk-corrupt" and len(body) == len(sound) else body
    digest = format_content_digest("blake3", chunk_digest(sent))
    assert told_by(put_file(wire, COUNTS, body, Content_Digest=digest)) == (status, slug)
    wire.declare(upload := uuid4(), "y", len(COUNTS))
    answer = put_chunk(wire, upload, COUNTS, 0, body, total=len(COUNTS), Content_Digest=digest)
    assert told_by(answer) == (status, slug)
    assert wire.http.get(f"/v1/uploads/{upload}/ranges").json()["missing"] == [{"first": 0, "last": len(COUNTS) - 1}]
    assert visible(receiver) == {}
    assert put_file(wire, COUNTS, sound).status_code == 201  # the name was given back


def test_a_window_that_takes_too_much_memory_is_refused(wire) -> None:
    def windowed(log: int) -> bytes:
        parameters = zstandard.ZstdCompressionParameters(window_log=log)
        written = io.BytesIO()
        with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(written, closefd=False) as writer:
            writer.write(COUNTS)  # of unknown length, so that the window is told
        return written.getvalue()

    most = MOST_WINDOW_BYTES.bit_length() - 1
    assert told_by(put_file(wire, COUNTS, windowed(most + 1))) == (400, "chunk-corrupt")
    assert put_file(wire, COUNTS, windowed(most)).status_code == 201


def test_other_codings_are_named_as_unknown(wire, receiver) -> None:
    for coding in ("gzip", "br", "zstd, zstd"):
        answer = put_file(wire, COUNTS, b"x", Content_Encoding=coding)
        assert told_by(answer) == (415, "unsupported-coding")
        assert answer.headers["Accept-Encoding"] == "zstd"
    assert put_file(wire, COUNTS, COUNTS, Content_Encoding="identity").status_code == 201
    assert visible(receiver) == {"x": COUNTS}


def test_a_file_says_how_long_it_is(wire) -> None:
    body = compressed(COUNTS)
    answer = wire.http.put("/v1/files/s1/x", content=body, headers=headers(body))
    assert told_by(answer) == (400, "bad-request")
    assert "Upload-Length" in answer.json()["hint"]
