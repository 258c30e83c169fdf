"""How a command that works on several files ends when it is asked to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, so that the command can write down what it has done; main thread only.

    Where SIGTERM is ignored, it stays so.
    """
    before = signal.getsignal(signal.SIGTERM)
    if before == signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
