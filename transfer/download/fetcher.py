"""Fetches committed files: parallel ranges into a part file, its root digest, then its name.

What was interrupted continues: beside a part file lies a list of the chunks that it holds. The digest of the whole file
decides, whatever the list says. A file that is here already under its name is never written to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transfer.client import ReceiverClient
from transfer.disk import name_new_file, open_to_write, sync_descriptor, write_at
from transfer.file_digest import file_digest
from transfer.pace.retrying import RetryPolicy
from transfer.source import digest_of
from transfer.wire.chunks import split
from transfer.wire.errors import BadName, FileCorrupt, LinkLost, NameTaken, TargetUnwritable, TransferError
from transfer.wire.names import check_path
from transfer.wire.receipt import Receipt

FILES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What became of a file: where it lies, and whether it was fetched now; or why it does not."""

    receipt: Receipt
    target: Path
    is_new: bool = False
    error: TransferError | None = None


class Fetcher:
    """Fetches files from one receiver into one folder.

    Parameters
    ----------
    client
        The receiver.
    out
        The folder; files get the paths below it that they have in their session.
    connections
        How many ranges are on their way at once.
    give_up_after_s
        How long a request that fails for now is repeated.
    on_progress
        Called from several threads with a number of bytes that are here now.
    """

    def __init__(
        self,
        client: ReceiverClient,
        out: Path,
        *,
        connections: int = 8,
        give_up_after_s: float | None = 60.0,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.client, self.out, self.on_progress = client, out, on_progress
        self.fetched_bytes = 0
        self._counting, self._left = threading.Lock(), threading.Event()
        self._retry = RetryPolicy(give_up_after_s, self._left.is_set)
        self._connections = connections

    def fetch_all(self, receipts: Iterable[Receipt]) -> Iterator[FetchResult]:
        """Fetch files side by side; yield what became of each. Leaving the loop stops what is on its way."""
        with (
            ThreadPoolExecutor(self._connections, thread_name_prefix="cryoferry-fetch") as ranges,
            ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="cryoferry-file") as files,
        ):
            try:
                for future in as_completed([files.submit(self._fetch, receipt, ranges) for receipt in receipts]):
                    yield future.result()
            finally:
                self._left.set()

    def _fetch(self, receipt: Receipt, ranges: ThreadPoolExecutor) -> FetchResult:
        target = self.out / receipt.path
        try:
            check_path(receipt.path)  # a receiver's word: it must not lead out of the folder
            if self._is_here(target, receipt):
                self.on_progress(receipt.size_bytes)
                return FetchResult(receipt, target)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch_into(_Part(target, receipt), ranges)
        except TransferError as error:
            return FetchResult(receipt, target, error=error)
        except OSError as error:
            told = TargetUnwritable(f"{error.filename or target}: {error.strerror}")
            return FetchResult(receipt, target, error=told)
        return FetchResult(receipt, target, is_new=True)

    def _is_here(self, target: Path, receipt: Receipt) -> bool:
        """Return whether the file is here already.

        Raises
        ------
        NameTaken
            Something else has its name.
        """
        if not os.path.lexists(target):
            return False
        if target.is_file() and target.stat().st_size == receipt.size_bytes and digest_of(target) == receipt.digest:
            return True
        raise NameTaken(f"{target} holds something else", hint="Move it away, or fetch into another folder.")

    def _fetch_into(self, part: _Part, ranges: ThreadPoolExecutor) -> None:
        with part:
            missing = part.missing()
            self.on_progress(part.receipt.size_bytes - sum(map(len, missing)))
            futures = [ranges.submit(self._retry.repeat, partial(self._fetch_range, part, one)) for one in missing]
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                future.cancel()
            wait(futures)
            for future in futures:
                if not future.cancelled():
                    future.result()
            part.publish()

    def _fetch_range(self, part: _Part, wanted: range) -> None:
        """Fetch one chunk; a receiver that knows no ranges begins at the first byte."""
        self._retry.check_stop()
        with self.client.content(part.receipt, wanted) as (begin, pieces):
            offset = begin
            for piece in pieces:
                self._retry.check_stop()
                inside = piece[max(0, wanted.start - offset) : max(0, wanted.stop - offset)]
                part.write(inside, max(offset, wanted.start))
                offset += len(piece)
                if offset >= wanted.stop:
                    break
            if offset < wanted.stop:
                raise LinkLost(f"{part.receipt.path} ended at byte {offset}")
        part.note(wanted)
        self.on_progress(len(wanted))
        with self._counting:
            self.fetched_bytes += len(wanted)


class _Part:
    """A file that is not whole yet, and the list of its chunks."""

    def __init__(self, target: Path, receipt: Receipt) -> None:
        self.target, self.receipt = target, receipt
        self._path = target.with_name(f".{receipt.digest[:32]}.part")
        self._list_path = self._path.with_suffix(".chunks")
        self._listing = threading.Lock()

    def __enter__(self) -> _Part:
        self._fd = open_to_write(self._path, create=True, mode=0o666)
        self._list = self._list_path.open("a+", encoding="ascii")
        return self

    def __exit__(self, *_: object) -> None:
        self._list.close()
        os.close(self._fd)

    def missing(self) -> list[range]:
        """Return the chunks that the list does not name."""
        self._list.seek(0)
        have = {int(line) for line in self._list.read().splitlines() if line.isascii() and line.isdecimal()}
        if os.fstat(self._fd).st_size != self.receipt.size_bytes:
            have = set()
            os.ftruncate(self._fd, self.receipt.size_bytes)
        return [chunk for index, chunk in enumerate(split(self.receipt.size_bytes)) if index not in have]

    def write(self, data: memoryview | bytes, offset: int) -> None:
        """Write bytes at their place."""
        write_at(self._fd, data, offset)

    def note(self, chunk: range) -> None:
        """Put a chunk on the list."""
        index = chunk.start // len(split(self.receipt.size_bytes)[0])
        with self._listing:
            self._list.write(f"{index}\n")
            self._list.flush()

    def publish(self) -> None:
        """Give the file its name, once its digest is right and it is on the disk.

        Raises
        ------
        FileCorrupt
            It is not what the receiver committed; the part file is gone.
        """
        if file_digest(self._fd, self.receipt.size_bytes) != self.receipt.digest:
            self._remove()
            raise FileCorrupt(f"{self.target}: what arrived has not the digest {self.receipt.digest}")
        sync_descriptor(self._fd)
        try:
            name_new_file(self._path, self.target)
        except FileExistsError as error:
            raise NameTaken(f"{self.target} has come to be meanwhile") from error
        self._remove()

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._list_path.unlink(missing_ok=True)


def chosen(receipts: Iterable[Receipt], path: str) -> list[Receipt]:
    """Return the file of that path, or all files below it; all of them where it is empty.

    Raises
    ------
    BadName
        There is nothing of that name.
    """
    everything = list(receipts)
    path = path.strip("/")
    found = [r for r in everything if not path or r.path == path or r.path.startswith(f"{path}/")]
    if path and not found:
        raise BadName(f"nothing of the name {path} is committed in that session", hint="Check the spelling.")
    return found
