"""The sending engine: chunks in parallel over one pool of connections, verified, resumable.

```
file ──▶ one request                                    (up to SMALL_FILE_BYTES)
     └─▶ declare ─▶ chunks, in parallel ─▶ commit       (resumes what the receiver has already)
```

Each chunk is hashed by `pread`, then sent from the page cache. What changes between the two, or on its way, the
receiver finds out by the chunk's digest. Nothing is published before the source was found unchanged, and a receipt is
believed only if it names the digest that was computed here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from transfer.client import ReceiverClient
from transfer.pace.pacing import Pacer
from transfer.pace.retrying import Patience
from transfer.pace.steering import FIRST_CONNECTIONS
from transfer.upload.one_file import FileToSend, OnProgress, Sending
from transfer.upload.scheduler import ConnectionPool
from transfer.upload.source import Identity, Source
from transfer.wire.errors import TransferError
from transfer.wire.names import check_path, check_session_name
from transfer.wire.protocol import SMALL_FILE_BYTES
from transfer.wire.receipt import Receipt

__all__ = ["FileToSend", "Outcome", "Sender"]

# Small files are a request each, and on a long way a connection has two in hand.
FILES_AT_ONCE = 2 * FIRST_CONNECTIONS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: its receipt, and which file it was that was sent; or why there is none."""

    file: FileToSend
    receipt: Receipt | None = None
    error: TransferError | None = None
    sent: Identity | None = None


class Sender:
    """Sends files to one receiver; `send` may be called from several threads, which share the pool.

    Parameters
    ----------
    client
        The receiver. It stays open when the sender is closed.
    connections
        How many requests are on their way at once; None: as many as pay, see `transfer.pace.steering`.
    give_up_after_s
        How long, in s, a request that fails for now is repeated; None: until `should_stop` says so.
    quiet_s
        An upload of the same name that another sender began is left to it while it grows, and taken over (withdrawn, if
        it is of another size) when nothing has arrived for this long, in s.
    pacer
        Who may send when and how fast; None: everybody, as fast as the link takes it.
    may_use_bbr
        Whether BBR may be asked for where the link loses packets; otherwise the system's choice stays.
    may_compress
        Whether files that shrink may travel compressed where the link is slow.

    Attributes
    ----------
    sent_bytes
        What has been sent and accepted so far, all files together; what was found on the receiver is not in it.
    """

    def __init__(
        self,
        client: ReceiverClient,
        *,
        connections: int | None = None,
        give_up_after_s: float | None = 60.0,
        quiet_s: float = 2.0,
        pacer: Pacer | None = None,
        may_use_bbr: bool = True,
        may_compress: bool = True,
    ) -> None:
        self.client = client
        self.give_up_after_s = give_up_after_s
        self.quiet_s = quiet_s
        self.may_compress = may_compress
        self.sent_bytes = 0
        self.pool = ConnectionPool(client.carrier, connections=connections, pacer=pacer, may_use_bbr=may_use_bbr)
        self._files_at_once = connections or FILES_AT_ONCE
        self._counting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is on its way, and close the pool."""
        self.pool.close()

    @property
    def congestion_control(self) -> str | None:
        """The TCP congestion control of the bulk connections, of the control connection before there was one."""
        return self.pool.congestion_control or self.client.congestion_control

    def send(
        self,
        file: FileToSend,
        *,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Receipt:
        """Send a file and return the receiver's receipt for it.

        Raises
        ------
        BadName, SourceUnreadable
            Before a byte is sent.
        SourceChanged
            The file is not the one that was opened, or not the one of `file.digest`; nothing was published.
        NameTaken
            Another content has that name and revision; both are safe.
        TemporaryError
            It went on for longer than `give_up_after_s`; what was received is kept.
        TransferStopped, AuthRejected, and the other errors of `transfer.wire.errors`
        """
        receipt, _ = self._send(file, on_progress or (lambda _: None), should_stop or (lambda: False))
        return receipt

    def _send(
        self, file: FileToSend, on_progress: OnProgress, should_stop: Callable[[], bool]
    ) -> tuple[Receipt, Identity]:
        check_session_name(file.session)
        check_path(file.path)
        with Source(file.source) as source:
            sending = Sending(self, file, source, on_progress, Patience(self.give_up_after_s, should_stop))
            receipt = sending.whole() if source.size_bytes <= SMALL_FILE_BYTES else sending.parts()
            return receipt, source.identity

    def send_many(
        self,
        files: Iterable[FileToSend],
        *,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Outcome]:
        """Send files side by side; yield what became of each, in the order of their ends.

        They are begun in the order in which they are given; of those begun, the newest of the first lane goes first.
        Leaving the loop early stops what is on its way.
        """
        left = threading.Event()

        def one(file: FileToSend) -> Outcome:
            try:
                stop = (lambda: left.is_set() or should_stop()) if should_stop else left.is_set
                receipt, sent = self._send(file, on_progress or (lambda _: None), stop)
                return Outcome(file, receipt=receipt, sent=sent)
            except TransferError as error:
                return Outcome(file, error=error)

        with ThreadPoolExecutor(self._files_at_once, thread_name_prefix="cryoferry-file") as files_at_once:
            try:
                for future in as_completed([files_at_once.submit(one, file) for file in files]):
                    yield future.result()
            finally:
                left.set()

    def count(self, sent_bytes: int) -> None:
        """Add to `sent_bytes`."""
        with self._counting:
            self.sent_bytes += sent_bytes
