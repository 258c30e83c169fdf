"""What a receiver must answer and hold, said once more in plain Python: the other side of `test_upload_machine`.

The model knows the table of `transfer.wire.protocol` and nothing of the receiver's code. Bytes are named by their
digests; the bytes themselves are kept once, in `CONTENT`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from transfer.wire.chunks import CHUNK_BYTES, missing_ranges, split
from transfer.wire.digest import chunk_digest, root_digest

RECEIVING, COMMITTED, GONE = "receiving", "committed", "gone"

CONTENT: dict[bytes, bytes] = {}
"""The chunk of a digest, for every chunk that a test may send."""


@dataclass(frozen=True)
class Body:
    """One of the contents that files of a size may have."""

    data: bytes = field(repr=False)
    digests: tuple[bytes, ...] = field(repr=False)
    root: str


@cache
def body_of(size_bytes: int, which: int) -> Body:
    """Return the content number `which` of a size, always the same."""
    data = random.Random(f"{size_bytes} {which}").randbytes(size_bytes)
    chunks = [data[chunk.start : chunk.stop] for chunk in split(size_bytes)]
    digests = tuple(chunk_digest(chunk) for chunk in chunks)
    CONTENT.update(zip(digests, chunks, strict=True))
    return Body(data, digests, root_digest(digests))


@lru_cache(maxsize=8)
def _joined(digests: tuple[bytes, ...]) -> bytes:
    return b"".join(CONTENT[digest] for digest in digests)


@dataclass(frozen=True)
class Expected:
    """An answer: its status, the slug of its problem, and members that its JSON must have."""

    status: int
    slug: str | None = None
    members: dict[str, Any] = field(default_factory=dict)


@dataclass
class Upload:
    """An upload as its clients may know it.

    Attributes
    ----------
    chunks
        Digest of each chunk that counts as present.
    rotten
        Present chunks that the disk has not kept: found out at the commit.
    lost
        Whether the part file was taken away.
    """

    id: UUID
    path: str
    revision: int
    size_bytes: int
    state: str = RECEIVING
    chunks: dict[int, bytes] = field(default_factory=dict)
    rotten: set[int] = field(default_factory=set)
    lost: bool = False

    def forget(self, numbers: set[int]) -> None:
        """Let chunks be absent."""
        for number in numbers:
            self.chunks.pop(number, None)
        self.rotten -= numbers

    def begin_anew(self) -> None:
        """Forget all that arrived."""
        self.forget(set(self.chunks))
        self.lost = False

    def missing(self, absent: set[int] | None = None) -> list[dict[str, int]]:
        """Return the ranges that are missing, as the wire tells them; without the chunks `absent` too."""
        present = set() if self.state == GONE else set(self.chunks) - (absent or set())
        ranges = [] if self.state == COMMITTED else missing_ranges(present, self.size_bytes)
        return [{"first": one.start, "last": one.stop - 1} for one in ranges]


@dataclass(frozen=True)
class Chunks:
    """A run of chunks on its way.

    Attributes
    ----------
    digests
        Of the chunks that arrive.
    announced
        The digests that its chunks should have, if what guards the body tells them.
    fault
        What the body turns out to be: "", "corrupt" (not what was announced), "length" (not as long as its range),
        "cut" (the client left).
    """

    first: int
    digests: tuple[bytes, ...]
    announced: tuple[bytes, ...] | None = None
    fault: str = ""

    @property
    def numbers(self) -> range:
        """The numbers of the chunks."""
        return range(self.first, self.first + len(self.digests))


BUSY = Expected(503, "receiver-busy")
_BODY_FAULTS = {"corrupt": Expected(400, "chunk-corrupt"), "length": Expected(400, "bad-request"), "cut": None}


def _places(path: str) -> list[str]:
    """Return a path's folders, the first one first, and the path."""
    parts = path.split("/")
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


class SessionModel:
    """One session: its uploads and its committed files."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.uploads: dict[UUID, Upload] = {}
        self.files: dict[tuple[str, int], tuple[bytes, ...]] = {}
        self.folders: set[tuple[str, int]] = set()  # that commits have made, by revision

    # what is there

    def content(self, path: str, revision: int) -> bytes:
        """Return a committed file's bytes."""
        return _joined(self.files[path, revision])

    def receipt(self, path: str, revision: int) -> dict[str, Any]:
        """Return a committed file's receipt."""
        digests = self.files[path, revision]
        size = sum(len(CONTENT[digest]) for digest in digests)
        named = {"session": self.session, "path": path, "revision": revision}
        return {**named, "size_bytes": size, "digest": root_digest(digests)}

    def listing(self) -> list[dict[str, Any]]:
        """Return the receipts of the newest revisions, by path."""
        return [self.receipt(path, self.newest(path)) for path in sorted({path for path, _ in self.files})]

    def newest(self, path: str) -> int:
        """Return a path's newest committed revision; 0 where there is none."""
        return max((revision for known, revision in self.files if known == path), default=0)

    def status(self, upload: Upload) -> dict[str, Any]:
        """Return what the receiver tells of an upload."""
        gaps = sum(gap["last"] + 1 - gap["first"] for gap in upload.missing())
        return {
            "session": self.session,
            "path": upload.path,
            "revision": upload.revision,
            "size_bytes": upload.size_bytes,
            "chunk_bytes": CHUNK_BYTES,
            "upload_id": str(upload.id),
            "state": upload.state,
            "received_bytes": upload.size_bytes - gaps,
        }

    def reserving(self, path: str, revision: int) -> Upload | None:
        """Return the unfinished upload that holds a name."""
        return next(
            (
                one
                for one in self.uploads.values()
                if (one.path, one.revision, one.state) == (path, revision, RECEIVING)
            ),
            None,
        )

    def _nowhere(self, upload_id: UUID) -> Expected | None:
        """Return how a request for an upload that is not there is refused."""
        upload = self.uploads.get(upload_id)
        if upload is None:
            return Expected(404, "not-found")
        return Expected(410, "upload-gone") if upload.state == GONE else None

    # requests

    def declare(self, upload_id: UUID, path: str, revision: int, size_bytes: int) -> Expected:
        """Reserve a name."""
        own = self.uploads.get(upload_id)
        if own and own.state == GONE:
            return Expected(410, "upload-gone")
        if own:
            same = (own.path, own.revision, own.size_bytes) == (path, revision, size_bytes)
            return Expected(200, members=self.status(own)) if same else Expected(409, "upload-conflict")
        refused = self._refuse_name(path, revision, size_bytes)
        if refused:
            return refused
        own = self.uploads[upload_id] = Upload(upload_id, path, revision, size_bytes)
        return Expected(201, members=self.status(own))

    def _refuse_name(self, path: str, revision: int, size_bytes: int) -> Expected | None:
        if (path, revision) in self.files:
            if self.receipt(path, revision)["size_bytes"] != size_bytes:
                return Expected(409, "name-taken")
            return Expected(200, members={"state": COMMITTED, "path": path, "received_bytes": size_bytes})
        if other := self.reserving(path, revision):
            members = {"upload_id": str(other.id), "state": RECEIVING}
            return Expected(409, "upload-conflict" if other.size_bytes == size_bytes else "name-taken", members)
        if revision != self.newest(path) + 1:
            return Expected(409, "name-taken")
        return None if self.newest(path) else self._refuse_case(path)

    def _refuse_case(self, path: str) -> Expected | None:
        """Refuse a new name of which a part differs only in case from what is there or is received."""
        unfinished = {one.path for one in self.uploads.values() if one.state == RECEIVING}
        there = {place for known in unfinished | {known for known, _ in self.files} for place in _places(known)}
        for place in _places(path):
            same = [known for known in there if known.lower() == place.lower()]
            if same and place not in same:
                return Expected(409, "name-differs-in-case", {"existing": same[0]})
        return None

    def put(self, upload_id: UUID, chunks: Chunks) -> Expected | None:
        """Send a run of whole chunks that fits the upload; None: nobody waits for the answer."""
        return self._nowhere(upload_id) or self._receive(self.uploads[upload_id], chunks)

    def receive(self, upload: Upload, digests: tuple[bytes, ...], *, is_cut: bool) -> None:
        """Take the first chunk of an unfinished upload in, or what came of it until its client left."""
        self._receive(upload, Chunks(0, digests, digests[0], "cut" if is_cut else ""))

    def _receive(self, upload: Upload, chunks: Chunks) -> Expected | None:
        if upload.state == COMMITTED:
            return self._compare(self.files[upload.path, upload.revision], chunks)
        if upload.lost and upload.chunks:
            upload.begin_anew()
            return BUSY
        numbers = chunks.numbers
        if chunks.announced is None or tuple(map(upload.chunks.get, numbers)) != chunks.announced:
            upload.forget(set(numbers))
        upload.lost = False
        if chunks.fault:
            return _BODY_FAULTS[chunks.fault]
        upload.chunks.update(zip(numbers, chunks.digests, strict=True))
        return Expected(204)

    def _compare(self, digests: tuple[bytes, ...], chunks: Chunks) -> Expected | None:
        if chunks.fault:
            return _BODY_FAULTS[chunks.fault]
        there = digests[chunks.first : chunks.first + len(chunks.digests)]
        return Expected(204) if there == chunks.digests else Expected(409, "name-taken")

    def commit(self, upload_id: UUID, root: str) -> Expected:
        """Publish what arrived."""
        refused = self._nowhere(upload_id)
        return refused or self._commit(self.uploads[upload_id], root)

    def _commit(self, upload: Upload, root: str) -> Expected:
        if upload.state == COMMITTED:
            receipt = self.receipt(upload.path, upload.revision)
            return Expected(200, members=receipt) if receipt["digest"] == root else Expected(409, "name-taken")
        if upload.lost:
            upload.begin_anew()
        if len(upload.chunks) < len(split(upload.size_bytes)):
            return Expected(409, "upload-incomplete", {"missing": upload.missing()})
        digests = tuple(upload.chunks[number] for number in sorted(upload.chunks))
        if root_digest(digests) != root:
            return Expected(422, "file-corrupt")
        if upload.rotten:
            upload.forget(set(upload.rotten))
            return Expected(409, "upload-incomplete", {"missing": upload.missing()})
        if not self._publish(upload.path, upload.revision, digests):
            return Expected(409, "name-taken")
        upload.state = COMMITTED
        return Expected(201, members=self.receipt(upload.path, upload.revision))

    def _publish(self, path: str, revision: int, digests: tuple[bytes, ...]) -> bool:
        """Give a file its name; return False where a file stands in the way of a folder, or a folder in its own."""
        folders = path.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            folder = "/".join(folders[:depth])
            if (folder, revision) in self.files:
                return False
            self.folders.add((folder, revision))
        if (path, revision) in self.folders:
            return False
        self.files[path, revision] = digests
        return True

    def withdraw(self, upload_id: UUID, *, quiet: bool = True) -> Expected:
        """Give up an upload; `quiet`: nothing was added to it of late, or nobody asks whether."""
        upload = self.uploads.get(upload_id)
        if upload is None:
            return Expected(404, "not-found")
        if upload.state == COMMITTED:
            return Expected(409, "upload-conflict", {"state": COMMITTED})
        if upload.state == RECEIVING and not quiet:
            return Expected(409, "upload-conflict", {"state": RECEIVING})
        upload.state = GONE
        return Expected(204)

    def put_file(self, path: str, revision: int, digests: tuple[bytes, ...], chunks: Chunks) -> Expected | None:
        """Send a whole file in one request."""
        size = sum(len(CONTENT[digest]) for digest in digests)
        joined = self.reserving(path, revision)
        if (path, revision) in self.files:
            if self.receipt(path, revision)["size_bytes"] != size:
                return Expected(409, "name-taken")
            compared = self._compare(self.files[path, revision], chunks)
            return compared if compared != Expected(204) else Expected(200, members=self.receipt(path, revision))
        if joined and joined.size_bytes == size:
            received = self._receive(joined, chunks)
            return received if received != Expected(204) else self._commit(joined, root_digest(digests))
        if refused := self._refuse_name(path, revision, size):
            return refused
        if chunks.fault:
            return _BODY_FAULTS[chunks.fault]
        if not self._publish(path, revision, digests):
            return Expected(409, "name-taken")
        return Expected(201, members=self.receipt(path, revision))

    def be_overtaken(self, path: str, revision: int, chunks: Chunks) -> None:
        """Send a whole file whose bytes somebody else replaces before they are committed."""
        joined = self.reserving(path, revision)
        if joined:
            self._receive(joined, chunks)

    # what happens by itself

    def expire(self, upload_id: UUID) -> None:
        """Nothing was added to an upload for too long."""
        upload = self.uploads.get(upload_id)
        if upload and upload.state == RECEIVING:
            upload.state = GONE

    def restart(self) -> None:
        """The receiver ends and begins: what lost its part file is received anew."""
        for upload in self.uploads.values():
            if upload.state == RECEIVING and upload.lost:
                upload.begin_anew()
