"""What takes the body of a file: `BodySink` block by block, `BodyTaker` from the opening of its place to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class BodySink(Protocol):
    """What takes a body, block by block."""

    @property
    def digests(self) -> list[bytes]:
        """The BLAKE3 digests of the chunks that are complete."""

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""

    def finish(self, sent: bytes | None) -> None:
        """Check that everything came, as the sender says."""

    def close(self) -> None:
        """Let go of what it holds."""


class BodyTaker(Protocol):
    """What a body is handed to: a place that is made ready, filled and finished, all but `ready` in worker threads."""

    def begin(self) -> bool:
        """Open the place before the first bytes; False: not before `ready`."""

    async def ready(self) -> None:
        """Wait until the place can be filled."""

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""

    def end(self) -> None:
        """Finish behind the last bytes."""
