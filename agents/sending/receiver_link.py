"""Repeats requests to the receiver until they succeed, and notes since when it cannot be reached or refuses."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from agents.journal.journal import Journal
from transfer.wire.errors import (
    AuthRejected,
    CertificateRejected,
    ForeignAnswer,
    ProtocolMismatch,
    ScopeRejected,
    TemporaryError,
    TransferError,
    VersionMismatch,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 5.0
_LONGEST_FOREIGN_WAIT_S = 300.0
_POLL_S = 0.25
REFUSALS = (AuthRejected, ScopeRejected, VersionMismatch, CertificateRejected, ProtocolMismatch)
"""They end the agent as its very first answer: the token or the URL is wrong. Later, they are waited out."""


class LinkStopped(Exception):
    """The agent is ending."""


class ReceiverLink:
    """Repeats what the receiver cannot do now until it can.

    Parameters
    ----------
    journal
        Where `cryoferry status` reads how the receiver is.
    stop
        Ends the waiting.
    refused_wait_s
        How long to wait at most before a request is repeated whose token was refused.

    Attributes
    ----------
    was_tried
        Set once the first request was answered or failed.
    """

    def __init__(self, journal: Journal, stop: threading.Event, *, refused_wait_s: float = 30.0) -> None:
        self._refused_wait_s = refused_wait_s
        self._journal, self._stop = journal, stop
        self._lock = threading.Lock()
        self._waiting: dict[int, TransferError] = {}  # by thread, the last first
        self._noted: tuple[str, object] | None = None
        self._since = 0.0
        self._calls = 0  # of `try_again`
        self._was_reached = False
        self.was_tried = threading.Event()
        journal.note(receiver_trouble=None, receiver_trouble_since=None)

    @property
    def trouble(self) -> tuple[str, float] | None:
        """Return what is wrong with the receiver and since when (seconds since 1970); None when nothing is."""
        with self._lock:
            error = next(reversed(self._waiting.values()), None)
            return None if error is None else (_text_of(error), self._since)

    def try_again(self) -> None:
        """Have the requests that wait be repeated at once: another request was answered after it had failed."""
        with self._lock:
            self._calls += 1

    def persist(self, request: Callable[[], T]) -> T:
        """Return what the request returns, however long that takes.

        Answers that are not the receiver's are waited out too, at most 5 minutes at a time.

        Raises
        ------
        LinkStopped
        TransferError
            One that repeating does not help; one of `REFUSALS` only if the very first request meets it.
        """
        wait_s = _FIRST_WAIT_S
        try:
            while not self._stop.is_set():
                calls = self._calls
                try:
                    result = request()
                except TemporaryError as error:
                    longest_s = _LONGEST_FOREIGN_WAIT_S if isinstance(error, ForeignAnswer) else _LONGEST_WAIT_S
                    pause_s = min(max(min(wait_s, longest_s), error.retry_after_s or 0), _LONGEST_FOREIGN_WAIT_S)
                    wait_s = min(2 * wait_s, longest_s)
                    self._note(error)
                except REFUSALS as error:
                    if not self._was_reached and not self.was_tried.is_set():
                        raise
                    self._note(error)
                    pause_s = min(wait_s, self._refused_wait_s)  # soon at first: files may be replaced right now
                    wait_s = min(2 * wait_s, self._refused_wait_s)
                else:
                    self._was_reached = True
                    return result
                self.was_tried.set()
                self._pause(pause_s, calls)
        finally:
            self.was_tried.set()
            self._ended()
        raise LinkStopped

    def _pause(self, pause_s: float, calls: int) -> None:
        """Wait, until the agent stops or `try_again` is called."""
        until_s = time.monotonic() + pause_s
        while (left_s := until_s - time.monotonic()) > 0 and self._calls == calls:
            if self._stop.wait(min(left_s, _POLL_S)):
                return

    def _note(self, error: TransferError) -> None:
        kind = (type(error).__name__, error.extra.get("status"))
        with self._lock:
            self._since = self._since if self._waiting else time.time()
            self._waiting.pop(threading.get_ident(), None)
            self._waiting[threading.get_ident()] = error
            is_new, self._noted, since = kind != self._noted, kind, self._since
        if is_new:
            log.log(
                logging.ERROR if isinstance(error, REFUSALS) else logging.WARNING,
                "receiver: %s: %s (alignment goes on; uploads continue when it answers again). %s",
                type(error).__name__, error, error.hint,
            )  # fmt: skip
            self._journal.note(receiver_trouble=_text_of(error), receiver_trouble_since=str(since))

    def _ended(self) -> None:
        """Note that this thread waits no more; without another one that waits, nothing is wrong."""
        with self._lock:
            had_trouble = self._waiting.pop(threading.get_ident(), None) is not None and not self._waiting
            if had_trouble:
                self._noted = None
        if had_trouble and not self._stop.is_set():
            log.info("receiver: reached again after %.0f s", time.time() - self._since)
            self._journal.note(receiver_trouble=None, receiver_trouble_since=None)


def _text_of(error: TransferError) -> str:
    """Return what is wrong, and what to do where somebody has to do something."""
    text = f"{type(error).__name__}: {error}"
    return f"{text}. {error.hint}" if isinstance(error, (ForeignAnswer, *REFUSALS)) else text
