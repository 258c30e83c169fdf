"""Receives one body into its `Reception`, from its first byte to its end.

Worker threads use the database and the disk, in the same turn as the body's bytes where these are there already: a
hand-over to a thread costs as much as the work for a small body.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Generic, TypeVar

from anyio import to_thread

from api.intake.activity import IntakeActivity
from api.intake.contract import IntakeResources
from api.intake.reception import Reception
from api.intake.sources import BodySource
from api.store.part_locks import lock_span
from transfer.wire.errors import ReceiverBusy

Result = TypeVar("Result")


class ReceptionConsumer(Generic[Result]):
    """Takes a body into a `Reception`; see `BodyConsumer`.

    A request can be cancelled while a thread still works for it. A lock keeps the steps and `close` apart. Otherwise a
    thread could write to a descriptor that is closed and whose number belongs to another file by then.

    Parameters
    ----------
    activity
        Where it is noted that the body comes.
    begin
        Makes the reception; called in a thread.
    end
        Uses the body, which has come and is still locked; called in a thread.
    """

    reception: Reception
    result: Result

    def __init__(
        self, activity: IntakeActivity, begin: Callable[[], Reception], end: Callable[[Reception], Result]
    ) -> None:
        self._activity = activity
        self._begin, self._end = begin, end
        self._held = ExitStack()
        self._step = threading.Lock()
        self._is_closed = False

    @contextmanager
    def _one_step(self) -> Iterator[None]:
        with self._step:
            if self._is_closed:
                raise ReceiverBusy("the request was cancelled")
            yield

    def open(self) -> bool:
        """Make the reception; return whether its bytes are locked."""
        self._activity.note()
        with self._one_step():
            self.reception = self._begin()
            self._held.callback(self.reception.close)
            if self.reception.is_locked:
                self._open_sink()
            return self.reception.is_locked

    async def wait_until_free(self) -> None:
        """Wait until the other requests have written.

        Raises
        ------
        ReceiverBusy
        """
        assert self.reception.fd is not None
        await lock_span(self.reception.fd, self.reception.span)
        await to_thread.run_sync(self._prepare)

    def _prepare(self) -> None:
        with self._one_step():
            self.reception.prepare()
            self._open_sink()

    def _open_sink(self) -> None:
        self._sink = self.reception.sink()
        self._held.callback(self._sink.close)

    def add(self, blocks: Sequence[bytes | memoryview]) -> None:
        """Take the next bytes."""
        self._activity.note()
        with self._one_step():
            self._sink.add(blocks)

    def finish(self) -> None:
        """Check the body and use it, while its bytes are still locked."""
        with self._one_step():
            self.reception.accept(self._sink)
            self.result = self._end(self.reception)

    def close(self) -> None:
        """Close the reception once no step is under way. No step follows."""
        with self._step:
            self._is_closed = True
            self._held.close()


async def receive(
    resources: IntakeResources,
    begin: Callable[[], Reception],
    body: BodySource,
    end: Callable[[Reception], Result],
) -> tuple[Reception, Result]:
    """Receive a body; return its reception, closed, and what `end` returned.

    Parameters
    ----------
    resources
        The receiver's part.
    begin
        Makes the reception; called in a thread.
    body
        The body.
    end
        Uses the body, which has come and is still locked; called in a thread.

    Raises
    ------
    ChunkCorrupt, NameTaken, ReceiverBusy, ReceiverFull, ClientStalled, BadRequest, UploadGone
    """
    consumer = ReceptionConsumer(resources.activity, begin, end)
    try:
        await body.read_into(consumer, resources)
        return consumer.reception, consumer.result
    finally:
        consumer.close()
