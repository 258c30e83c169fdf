"""Repeats requests to the receiver until they succeed, and notes since when it cannot be reached or refuses."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from agents.journal.journal import Journal
from transfer.wire.errors import AuthRejected, ScopeRejected, TemporaryError, TransferError, VersionMismatch

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 5.0
REFUSALS = (AuthRejected, ScopeRejected, VersionMismatch)


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
        How long to wait before a request is repeated whose token was refused.

    Attributes
    ----------
    was_tried
        Set once the first request was answered or failed.
    """

    def __init__(self, journal: Journal, stop: threading.Event, *, refused_wait_s: float = 30.0) -> None:
        self._refused_wait_s = refused_wait_s
        self._journal, self._stop = journal, stop
        self._lock = threading.Lock()
        self._trouble = ""
        self._since = 0.0
        self._was_reached = False
        self.was_tried = threading.Event()
        journal.note(receiver_trouble=None, receiver_trouble_since=None)

    @property
    def trouble(self) -> tuple[str, float] | None:
        """Return what is wrong with the receiver and since when (seconds since 1970); None when nothing is."""
        with self._lock:
            return (self._trouble, self._since) if self._trouble else None

    def persist(self, request: Callable[[], T]) -> T:
        """Return what the request returns, however long that takes.

        Raises
        ------
        LinkStopped
        TransferError
            One that repeating does not help; AuthRejected and ScopeRejected only as the very first answer.
        """
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                result = request()
            except TemporaryError as error:
                self._note(error)
                pause_s, wait_s = max(wait_s, error.retry_after_s or 0), min(2 * wait_s, _LONGEST_WAIT_S)
            except REFUSALS as error:
                if not self._was_reached:
                    self.was_tried.set()
                    raise
                self._note(error)
                pause_s = self._refused_wait_s
            else:
                self._reached()
                return result
            self.was_tried.set()
            self._stop.wait(pause_s)
        self.was_tried.set()
        raise LinkStopped

    def _note(self, error: TransferError) -> None:
        text = f"{type(error).__name__}: {error}"
        with self._lock:
            new_kind = self._trouble.partition(":")[0] != type(error).__name__
            self._since = self._since if self._trouble else time.time()
            self._trouble, since = text, self._since
        if new_kind:
            log.log(
                logging.ERROR if isinstance(error, REFUSALS) else logging.WARNING,
                "receiver: %s (alignment goes on; uploads continue when it answers again). %s", text, error.hint,
            )  # fmt: skip
            self._journal.note(receiver_trouble=text, receiver_trouble_since=str(since))

    def _reached(self) -> None:
        self._was_reached = True
        self.was_tried.set()
        with self._lock:
            had_trouble, self._trouble = bool(self._trouble), ""
        if had_trouble:
            log.info("receiver: reached again after %.0f s", time.time() - self._since)
            self._journal.note(receiver_trouble=None, receiver_trouble_since=None)
