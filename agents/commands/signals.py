"""What the agent does on signals: SIGINT and SIGTERM end it, SIGHUP does not."""

from __future__ import annotations

import logging
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from transfer.platform import on_hangup

log = logging.getLogger(__name__)

_ON_HANGUP = "SIGHUP: the agent goes on; SIGTERM ends it"


@contextmanager
def listening(stop: threading.Event) -> Iterator[list[int]]:
    """Set `stop` on SIGINT and SIGTERM; yield the list of those received. A second SIGINT ends the process at once.

    SIGHUP is only logged: it comes when a terminal closes, and from programs that rotate logs.
    """
    received: list[int] = []
    hangups: queue.SimpleQueue[str] = queue.SimpleQueue()  # a handler may put into it at any moment; logging waits

    def end(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    on_hangup(lambda: hangups.put(_ON_HANGUP))
    threading.Thread(target=_log_all, args=(hangups,), name="signals", daemon=True).start()
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        on_hangup(None)
        hangups.put("")


def _log_all(texts: queue.SimpleQueue[str]) -> None:
    while text := texts.get():
        log.warning("%s", text)
