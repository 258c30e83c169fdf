"""Downloads committed files: chunks in parallel into a part file, which gets its name when its digest is right.

An interrupted download continues. A file that is here already under its name is never written to.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path

from transfer.client import ReceiverClient
from transfer.defaults import DOWNLOAD_CONNECTIONS, GIVE_UP_AFTER_S
from transfer.disk.folders import held_folder
from transfer.download.part_file import PartFile
from transfer.pace.retrying import RetryPolicy
from transfer.source import digest_of
from transfer.wire.errors import (
    BadName,
    LinkLost,
    NameTaken,
    TargetUnwritable,
    TemporaryError,
    TransferError,
    TransferStopped,
)
from transfer.wire.names import check_committed_path
from transfer.wire.receipt import Receipt

FILES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The result for one file: its place and whether it was downloaded now, or the error that it failed with."""

    receipt: Receipt
    target: Path
    is_new: bool = False
    error: TransferError | None = None


class Fetcher:
    """Downloads files from one receiver into one folder.

    Parameters
    ----------
    client
        The receiver.
    out
        The folder. Files have the same paths below it as in their session.
    connections
        How many chunks are downloaded at once.
    give_up_after_s
        How long, in s, a request with a temporary error is retried; None: without end.
    on_progress
        Called from several threads, with a number of bytes that are here now.
    """

    def __init__(
        self,
        client: ReceiverClient,
        out: Path,
        *,
        connections: int = DOWNLOAD_CONNECTIONS,
        give_up_after_s: float | None = GIVE_UP_AFTER_S,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.client, self.out, self.on_progress = client, out, on_progress
        self.fetched_bytes = 0
        self._counting, self._left = threading.Lock(), threading.Event()
        self._arrived_s = 0.0  # when a range of any file was complete
        self._hopeless: TemporaryError | None = None  # what every further file would meet
        self._retry = RetryPolicy(give_up_after_s, self._left.is_set)
        self._connections = connections

    def fetch_all(self, receipts: Iterable[Receipt]) -> Iterator[FetchResult]:
        """Download files side by side; yield the result of each as soon as it ends.

        If the caller leaves the loop early, the downloads that are running are stopped. When one is given up and no
        other has got anything meanwhile, all are given up: the receiver is not waited for once a file.
        """
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
            check_committed_path(receipt.path)  # it comes from the receiver, and must not lead out of the folder
            folders = self._folders(target.parent)
            if self._is_here(target, receipt):
                self.on_progress(receipt.size_bytes)
                return FetchResult(receipt, target)
            with held_folder(self.out, folders) as folder:
                self._fetch_into(PartFile(folder / target.name, receipt, target), ranges)
        except TransferStopped as error:
            return FetchResult(receipt, target, error=self._hopeless or error)
        except TransferError as error:
            return FetchResult(receipt, target, error=error)
        except OSError as error:
            unwritable = TargetUnwritable(f"{target}: {error.strerror}")
            return FetchResult(receipt, target, error=unwritable)
        return FetchResult(receipt, target, is_new=True)

    def _is_here(self, target: Path, receipt: Receipt) -> bool:
        """Return whether the file is here already.

        Raises
        ------
        NameTaken
            Another content has its name.
        """
        if not os.path.lexists(target):
            return False
        if target.is_file() and target.stat().st_size == receipt.size_bytes and digest_of(target) == receipt.digest:
            return True
        raise NameTaken(f"{target} exists with another content", hint="Move it away, or use another folder (--out).")

    def _folders(self, folder: Path) -> tuple[str, ...]:
        """Return the names of the folders below `out` that a folder is in; a link that stays below is followed.

        Raises
        ------
        TargetUnwritable
            A link leads out of `out`.
        """
        try:
            top, real = self.out.resolve(), folder.resolve()
        except RuntimeError as error:  # a loop of links, before Python 3.13
            raise TargetUnwritable(f"{folder} leads through links without an end") from error
        if not real.is_relative_to(top):
            raise TargetUnwritable(
                f"{folder} leads by a link to {real}, which lies outside of {self.out}; nothing is written there",
                hint="Remove the link, or use another folder (--out).",
            )
        return real.relative_to(top).parts

    def _fetch_into(self, part: PartFile, ranges: ThreadPoolExecutor) -> None:
        with part:
            missing = part.missing()
            self.on_progress(part.receipt.size_bytes - sum(map(len, missing)))
            futures = [ranges.submit(self._fetch_range, part, one) for one in missing]
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                future.cancel()
            wait(futures)
            for future in futures:
                if not future.cancelled():
                    future.result()
            part.publish()

    def _fetch_range(self, part: PartFile, wanted: range) -> None:
        began_s = time.monotonic()
        try:
            self._retry.repeat(lambda: self._fetch_once(part, wanted))
        except TemporaryError as error:
            with self._counting:
                if self._arrived_s < began_s:
                    self._hopeless = self._hopeless or error
                    self._left.set()
            raise
        with self._counting:
            self._arrived_s = time.monotonic()

    def _fetch_once(self, part: PartFile, wanted: range) -> None:
        """Download one chunk. A receiver that ignores ranges sends the file from its first byte."""
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
                raise LinkLost(f"{part.receipt.path}: the connection ended at byte {offset} of the file")
        part.add(wanted)
        self.on_progress(len(wanted))
        with self._counting:
            self.fetched_bytes += len(wanted)


def chosen(receipts: Iterable[Receipt], path: str) -> list[Receipt]:
    """Return the file with this path, or all files below it; all files if the path is empty.

    Raises
    ------
    BadName
        No file has this path or is below it.
    """
    everything = list(receipts)
    path = path.strip("/")
    found = [r for r in everything if not path or r.path == path or r.path.startswith(f"{path}/")]
    if path and not found:
        raise BadName(f"the session has no committed file or folder {path}", hint="Check the spelling.")
    return found
