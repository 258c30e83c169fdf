"""What the agent does on signals: SIGINT and SIGTERM end it, whatever hangs; SIGHUP does not."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from transfer.platform import SignalInbox

log = logging.getLogger(__name__)

INTERRUPTED = 130
ORDERLY_S = 4.0
"""How long an orderly end may take. After that the process ends at once: the next start continues from the journal."""
_SAY_S = 0.5
"""How long to wait for the log, which may hang too."""
_KILLED = 128
_ON_HANGUP = "SIGHUP: the agent goes on; SIGTERM ends it"
_FORCED = (
    "the agent did not end within %.0f s after the signal, because something does not answer (the receiver, the share"
    " or a disk); it ends now without waiting for its threads %s. Nothing is lost: the next start continues"
)
_AT_ONCE = "another signal came: the agent ends at once. Nothing is lost: the next start continues"


@contextmanager
def listening(stop: threading.Event) -> Iterator[list[int]]:
    """Set `stop` on SIGINT and SIGTERM; yield the list of those received. For a process that ends after that.

    If the process still runs 4 s after the first signal, or when a second one comes, it ends without waiting for
    anything. SIGHUP is only logged: it comes when a terminal closes, and from programs that rotate logs.
    """
    received: list[int] = []
    inbox = SignalInbox()
    thread = threading.Thread(target=_act, args=(inbox, stop, received), name="signals", daemon=True)
    thread.start()
    try:
        yield received
    finally:
        if not received:  # otherwise the thread watches over the rest of the process's end
            inbox.close()
            thread.join()


def _act(inbox: SignalInbox, stop: threading.Event, received: list[int]) -> None:
    until_s = None
    while True:
        number = inbox.take(None if until_s is None else until_s - time.monotonic())
        if number is None and until_s is None:
            return  # the inbox was closed
        if number is None:
            running = [thread.name for thread in threading.enumerate() if not thread.daemon]
            _end(INTERRUPTED if received[0] == signal.SIGINT else 0, _FORCED, ORDERLY_S, ", ".join(running))
        elif number not in (signal.SIGINT, signal.SIGTERM):
            _say(_ON_HANGUP).join(_SAY_S)
        elif received:
            _end(_KILLED + number, _AT_ONCE)
        else:
            received.append(number)
            until_s = time.monotonic() + ORDERLY_S
            stop.set()


def _end(code: int, text: str, *values: object) -> None:
    """End the process, after writing to the log if that is possible."""
    with suppress(RuntimeError):  # no thread can be started
        _say(text, *values).join(_SAY_S)
    os._exit(code)


def _say(text: str, *values: object) -> threading.Thread:
    """Write to the log in a thread of its own, because that may hang; return the thread."""
    thread = threading.Thread(target=log.warning, args=(text, *values), name="signals log", daemon=True)
    thread.start()
    return thread
