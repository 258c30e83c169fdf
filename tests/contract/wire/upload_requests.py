"""The requests of the upload protocol, right and wrong, each with what `upload_model` says to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from tests.contract.wire.upload_model import BUSY, GONE, Chunks, Expected, SessionModel, Upload, body_of
from transfer.wire.chunks import split
from transfer.wire.digest import CHUNKED, chunk_digest, format_content_digest, new_hasher, root_digest
from transfer.wire.errors import BY_SLUG
from transfer.wire.problems import PROBLEM_JSON, PROBLEM_TYPE

MALFORMED: dict[str, dict[str, str | None]] = {
    "no digest": {"Content-Digest": None},
    "a digest of nobody": {"Content-Digest": "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"},
    "no range": {"Content-Range": None},
    "a range that ends before it begins": {"Content-Range": "bytes 5-1/10"},
    "a range of lines": {"Content-Range": "lines 0-4/5"},
    "a range without a total": {"Content-Range": "bytes 0-4/*"},
}
OFF_THE_CHUNKS = ("wrong total", "wrong beginning", "wrong end")
BODY_FAULTS = ("corrupt", "too short", "too long", "another length")
FILE_FAULTS = ("corrupt", "part of it", "no length")


@dataclass(frozen=True)
class Request:
    """A request, and what the model says to it."""

    method: str
    url: str
    judge: Callable[[SessionModel], Expected | None]
    headers: dict[str, str]
    content: Callable[[], Any] = lambda: None
    leave_between: Callable[[SessionModel], None] = lambda _: None
    """What it leaves when another request comes in between its steps, see `answers_between`."""

    @property
    def is_file(self) -> bool:
        """Whether it is a file in one request: reserved, received and committed one after the other."""
        return self.url.startswith("/v1/files/")

    def answers_between(self, other: Request) -> set[tuple[int, str | None]]:
        """Return the answers that only another request of the same instant can bring."""
        answers = {(BUSY.status, BUSY.slug)}
        if self.is_file:
            answers.add((422, "file-corrupt"))  # the other has replaced what this one was about to commit
        elif other.is_file and self.method == "PUT" and "Content-Range" not in self.headers:
            answers.add((409, "upload-conflict"))  # the file has its name reserved while it is on its way
        return answers

    def by(self, client: httpx.Client) -> httpx.Response:
        """Have a client make it."""
        return client.request(self.method, self.url, headers=self.headers, content=self.content())


def checked(answer: httpx.Response) -> tuple[int, str | None, dict[str, Any]]:
    """Return an answer's status, slug and members; whatever is no success is a problem of a known type."""
    if answer.is_success:
        return answer.status_code, None, answer.json() if answer.content else {}
    assert answer.headers["Content-Type"] == PROBLEM_JSON, answer.text
    problem = answer.json()
    slug = problem["type"].removeprefix(PROBLEM_TYPE)
    assert problem["status"] == answer.status_code
    assert BY_SLUG[slug].status == answer.status_code, problem
    return answer.status_code, slug, problem


def _json(method: str, url: str, judge: Callable[[SessionModel], Expected], **members: Any) -> Request:
    return Request(method, url, judge, {"Content-Type": "application/json"}, json.dumps(members).encode)


def declare(session: str, upload_id: UUID, path: str, revision: int, size_bytes: int) -> Request:
    """Return the request that reserves a name."""
    members = {"session": session, "path": path, "revision": revision, "size_bytes": size_bytes}
    judge = lambda model: model.declare(upload_id, path, revision, size_bytes)  # noqa: E731 - shorter than a def
    return _json("PUT", f"/v1/uploads/{upload_id}", judge, **members)


def commit(upload_id: UUID, digest: str) -> Request:
    """Return the request that publishes an upload."""
    return _json(
        "POST", f"/v1/uploads/{upload_id}/commit", lambda model: model.commit(upload_id, digest), digest=digest
    )


def withdraw(upload_id: UUID, *, quiet_s: int | None = None) -> Request:
    """Return the request that gives an upload up; with `quiet_s` only a quiet one, which no upload of a test is."""
    query = "" if quiet_s is None else f"?quiet_s={quiet_s}"
    url = f"/v1/uploads/{upload_id}{query}"
    return Request("DELETE", url, lambda model: model.withdraw(upload_id, quiet=quiet_s is None), {})


def _digest_field(algorithm: str, data: bytes) -> str:
    if algorithm == CHUNKED:
        return format_content_digest(algorithm, bytes.fromhex(root_digest(_chunk_digests(data))))
    hasher = new_hasher(algorithm)
    hasher.update(data)
    return format_content_digest(algorithm, hasher.digest())


def _chunk_digests(data: bytes) -> tuple[bytes, ...]:
    return tuple(chunk_digest(data[part.start : part.stop]) for part in split(len(data)))


def _announced(algorithm: str | None, digests: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
    """Return the digests that a guard of a body tells of its chunks, if it does."""
    return digests if algorithm == CHUNKED or (algorithm == "blake3" and len(digests) == 1) else None


def send(upload: Upload, first: int, count: int, which: int, algorithm: str = "blake3", fault: str = "") -> Request:
    """Return the request that carries up to `count` chunks of a content, from the chunk `first` (modulo) on."""
    size = upload.size_bytes or 5
    body, spans = body_of(size, which), split(size)
    numbers = range(first % len(spans), min(first % len(spans) + count, len(spans)))
    start, stop = spans[numbers[0]].start, spans[numbers[-1]].stop
    start, stop = start + (fault == "wrong beginning"), stop - (fault == "wrong end")
    data = body.data[start:stop]
    total = size + (fault == "wrong total")
    fields = {"Content-Range": f"bytes {start}-{stop - 1}/{total}", "Content-Digest": _digest_field(algorithm, data)}
    headers = {name: value for name, value in {**fields, **MALFORMED.get(fault, {})}.items() if value is not None}
    flaw = {"corrupt": "corrupt", "too short": "length", "too long": "length"}.get(fault, "")
    announced = _announced(algorithm, _chunk_digests(data))
    chunks = Chunks(numbers[0], body.digests[numbers[0] : numbers[-1] + 1], announced, flaw)

    def judge(model: SessionModel) -> Expected | None:
        return _refused_early(model, upload.id, fault) or model.put(upload.id, chunks)

    return Request("PUT", f"/v1/uploads/{upload.id}/content", judge, headers, lambda: _spoiled(data, fault))


def _refused_early(model: SessionModel, upload_id: UUID, fault: str) -> Expected | None:
    """Return how a request for an upload's content is refused before its body counts."""
    bad = Expected(400, "bad-request")
    upload = model.uploads.get(upload_id)
    if fault in ("no digest", "no range"):
        return bad
    if upload is None or upload.state == GONE:
        return None
    if fault in MALFORMED:
        return bad
    if fault in OFF_THE_CHUNKS or not upload.size_bytes:
        return Expected(416, "bad-range")
    return bad if fault == "another length" else None


def put_file(
    session: str,
    name: tuple[str, int],
    size_bytes: int,
    which: int,
    algorithm: str | None = "blake3",
    fault: str = "",
) -> Request:
    """Return the request that carries a whole file, under a path and a revision."""
    path, revision = name
    body = body_of(size_bytes, which)
    if fault == "corrupt" and not size_bytes:
        fault = "part of it"
    algorithm = algorithm or ("sha-256" if fault == "corrupt" else None)
    headers = {"Content-Digest": _digest_field(algorithm, body.data)} if algorithm else {}
    if fault == "part of it":
        headers["Content-Range"] = f"bytes 1-{size_bytes}/{size_bytes + 1}" if size_bytes else "bytes 0-0/1"
    announced = _announced(algorithm, body.digests)
    chunks = Chunks(0, body.digests, announced, fault if fault == "corrupt" else "")

    def judge(model: SessionModel) -> Expected | None:
        if fault in ("part of it", "no length"):
            return Expected(400, "bad-request")
        return model.put_file(path, revision, body.digests, chunks)

    url = f"/v1/files/{session}/{quote(path)}?revision={revision}"
    return Request(
        "PUT",
        url,
        judge,
        headers,
        lambda: _spoiled(body.data, fault),
        lambda model: model.be_overtaken(path, revision, chunks),
    )


def _spoiled(data: bytes, fault: str) -> Any:
    """Return a body as a fault wants it; without an announced length where that alone would tell."""
    if fault == "corrupt":
        return data[:-1] + bytes([data[-1] ^ 1])
    if fault == "another length":
        return data + b"more"
    if fault == "no length":
        return _in_pieces(data)
    if fault == "too short":
        return _in_pieces(data[:-1])
    return _in_pieces(data + b"more") if fault == "too long" else data


def _in_pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 3_000_000):
        yield data[start : start + 3_000_000]
