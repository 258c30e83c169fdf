"""Sends files: chunks in parallel over shared connections, verified and resumable.

```
file ──▶ one request                                    (up to SMALL_FILE_BYTES)
     └─▶ declare ─▶ chunks, in parallel ─▶ commit       (without the chunks that the receiver has already)
```

Each chunk is read and hashed, then sent from the page cache. If its bytes change between the two, or on the network,
the receiver notices it by the chunk's digest. Nothing is published before the source was found unchanged. A receipt
counts only if it names the digest that was computed here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from transfer.client import ReceiverClient
from transfer.defaults import GIVE_UP_AFTER_S
from transfer.pace.congestion import CongestionLimits
from transfer.pace.pacer import Pacer
from transfer.pace.retrying import RetryPolicy
from transfer.source import Identity, Source
from transfer.upload.file_to_send import FileToSend, OnProgress
from transfer.upload.file_upload import FileUpload
from transfer.upload.grouping import GroupingLimits
from transfer.upload.scheduler import UploadScheduler
from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.errors import SourceChanged, TransferError
from transfer.wire.names import check_committed_path, check_session_name
from transfer.wire.receipt import Receipt

# A small file is one request, and with a long round trip each connection has two of them at a time.
FILES_AT_ONCE = 2 * CongestionLimits().first_connections


SMALL_FILE_BYTES = CHUNK_BYTES
"""A file up to this size is sent in one request. The receiver accepts larger files in one request too."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The receipt of a file and the identity of what was sent, or the error that it failed with."""

    file: FileToSend
    receipt: Receipt | None = None
    error: TransferError | None = None
    sent: Identity | None = None


class Sender:
    """Sends files to one receiver. Several threads may call `send`; they share the connections.

    Parameters
    ----------
    client
        The receiver. It stays open when the sender is closed.
    connections
        How many requests are sent at once; None: decided from the link, see `transfer.pace.congestion`.
    give_up_after_s
        How long, in s, a request with a temporary error is retried; None: until `should_stop` returns True.
    limits_attempts
        Whether that includes the attempts, see `transfer.pace.retrying.RetryPolicy`.
    quiet_s
        If another sender has begun an upload of the same name, this one waits while it grows. When nothing has arrived
        for this long, in s, this sender takes it over, or withdraws it if it is of another size.
    pacer
        Decides who may send when, and how fast; None: everybody, as fast as the link permits.
    may_use_bbr
        Whether BBR may be requested if the link loses packets; otherwise the system's congestion control stays.
    may_compress
        Whether files that become smaller may be compressed for the network if the link is slow.
    congestion_limits, grouping_limits
        The numbers that decisions about connections and requests depend on.

    Attributes
    ----------
    sent_bytes
        The bytes of all files that were sent and accepted so far, without those that the receiver had already.
    """

    def __init__(
        self,
        client: ReceiverClient,
        *,
        connections: int | None = None,
        give_up_after_s: float | None = GIVE_UP_AFTER_S,
        limits_attempts: bool = True,
        quiet_s: float = 2.0,
        pacer: Pacer | None = None,
        may_use_bbr: bool = True,
        may_compress: bool = True,
        congestion_limits: CongestionLimits | None = None,
        grouping_limits: GroupingLimits | None = None,
    ) -> None:
        self.client = client
        self.give_up_after_s = give_up_after_s
        self._limits_attempts = limits_attempts
        self.sent_bytes = 0
        self.scheduler = UploadScheduler(
            client.new_connection,
            connections=connections,
            pacer=pacer,
            may_use_bbr=may_use_bbr,
            congestion_limits=congestion_limits,
            grouping_limits=grouping_limits,
        )
        self._quiet_s, self._may_compress = quiet_s, may_compress
        self._files_at_once = connections or FILES_AT_ONCE
        self._counting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the requests that are being sent, and close the connections."""
        self.scheduler.close()

    @property
    def congestion_control(self) -> str | None:
        """The TCP congestion control of the connections for chunks; before there was one, that of the client's."""
        return self.scheduler.congestion_control or self.client.congestion_control

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
            Before anything was sent.
        SourceChanged
            The file is not the one that was opened, or not the one of `file.digest`. Nothing was published.
        NameTaken
            Another content has this name and revision. Both are safe.
        TemporaryError
            It went on for longer than `give_up_after_s`. The receiver keeps what it has received.
        TransferStopped, AuthRejected, and the other errors of `transfer.wire.errors`
        """
        receipt, _ = self._send(file, on_progress or (lambda _: None), should_stop or (lambda: False))
        return receipt

    def _send(
        self, file: FileToSend, on_progress: OnProgress, should_stop: Callable[[], bool]
    ) -> tuple[Receipt, Identity]:
        check_session_name(file.session)
        check_committed_path(file.path)
        with Source(file.source) as source:
            if file.number is not None and file.number != source.number:
                raise SourceChanged(f"{file.source} was replaced after its folder was read; it was not sent")
            upload = FileUpload(
                self.client,
                self.scheduler,
                file,
                source,
                RetryPolicy(self.give_up_after_s, should_stop, limits_attempts=self._limits_attempts),
                on_progress=on_progress,
                on_sent=self._count,
                quiet_s=self._quiet_s,
                may_compress=self._may_compress,
            )
            is_small = source.size_bytes <= SMALL_FILE_BYTES
            return upload.send_whole() if is_small else upload.send_in_chunks(), source.identity

    def send_many(
        self,
        files: Iterable[FileToSend],
        *,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[SendResult]:
        """Send files side by side; yield the result of each as soon as it ends.

        Files are begun in the order in which they are given. Of the files that have begun, the newest one in the
        foreground goes first. If the caller leaves the loop early, the files that are being sent are stopped.
        """
        left = threading.Event()

        def one(file: FileToSend) -> SendResult:
            try:
                stop = (lambda: left.is_set() or should_stop()) if should_stop else left.is_set
                receipt, sent = self._send(file, on_progress or (lambda _: None), stop)
                return SendResult(file, receipt=receipt, sent=sent)
            except TransferError as error:
                return SendResult(file, error=error)

        with ThreadPoolExecutor(self._files_at_once, thread_name_prefix="cryoferry-file") as files_at_once:
            try:
                for future in as_completed([files_at_once.submit(one, file) for file in files]):
                    yield future.result()
            finally:
                left.set()

    def _count(self, sent_bytes: int) -> None:
        with self._counting:
            self.sent_bytes += sent_bytes
