"""What a request says of its body, and what takes the body: `BodyConsumer` all of it, `BodySink` its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from api.intake.activity import IntakeActivity
from api.intake.batches import Batches
from api.intake.body_threads import BodyThreads
from api.store.storage import Storage
from api.store.upload_book import UploadBook


@dataclass(frozen=True, slots=True)
class IntakeResources:
    """What the receiving of bodies needs of a receiver.

    Attributes
    ----------
    uploads, storage
        Where the bytes go and where they are noted.
    threads
        The threads that read and write bodies. No other work uses them, so a slow disk does not delay other requests.
    body_timeout_s
        How long a client may send nothing in the middle of a body.
    activity
        Where it is noted that bodies come.
    batches
        How many bytes of each body are collected before they are written.
    """

    uploads: UploadBook
    storage: Storage
    threads: BodyThreads
    body_timeout_s: float
    activity: IntakeActivity
    batches: Batches

    def of_token(self, token_id: str) -> Self:
        """Return the same for the bodies of one token, which take turns with those of others."""
        return replace(self, threads=self.threads.of(token_id))


@dataclass(frozen=True, slots=True)
class ContentDigest:
    """The digest that the sender computed over a body: algorithm and bytes."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """What a request says of its body.

    Attributes
    ----------
    span
        The bytes of the file that the body holds, whole chunks.
    sent
        The sender's digest of the body as it travels; None: the sender gave none.
    is_encoded
        Whether the body travels compressed.
    """

    span: range
    sent: ContentDigest | None
    is_encoded: bool = False


class BodySink(Protocol):
    """Takes the bytes of a body, block by block."""

    @property
    def digests(self) -> list[bytes]:
        """The BLAKE3 digests of the chunks that are complete."""

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""

    def finish(self, sent: bytes | None) -> None:
        """Check that all bytes came, with the sender's digest `sent`."""

    def close(self) -> None:
        """Free what the sink holds."""


class BodyConsumer(Protocol):
    """Takes one body. A `BodySource` calls it in this order: `open`, perhaps `wait_until_free`, `add` ..., `finish`.

    All but `wait_until_free` run in worker threads.
    """

    def open(self) -> bool:
        """Prepare for the first bytes; False: other requests write the same bytes, await `wait_until_free` first."""

    async def wait_until_free(self) -> None:
        """Wait until the other requests have written, and prepare for the first bytes."""

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Check the body, which has come to its end, and use it."""
