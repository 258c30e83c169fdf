"""Whether this agent may work on its session, or waits for another one that does: `transfer.wire.agent_status.Lease`.

The lease keeps two agents from doing the same work; claims protect the data. So an agent that cannot reach the receiver
works.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from agents.journal.journal import Journal
from transfer.wire.agent_status import LEASE_S, Lease, LeaseWish

log = logging.getLogger(__name__)

LEASE_TROUBLE = "lease_trouble"
"""The journal's note that exists while the agent waits, and says for whom."""


class SessionLease:
    """The lease of one agent on its session; safe to use from several threads.

    Parameters
    ----------
    wish
        What the agent asks for: to be the only one, to work beside others, or to take over.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self, journal: Journal, wish: LeaseWish = LeaseWish.SINGLE, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal, self._wish, self._clock = journal, wish, clock
        self._lock = threading.Lock()
        self._may_work = self._is_decided = False
        self._refused_s = 0.0
        journal.note(**{LEASE_TROUBLE: None})

    @property
    def may_work(self) -> bool:
        """Whether the agent may align and send; not before the first report was answered or failed."""
        with self._lock:
            return self._may_work

    @property
    def is_waiting(self) -> bool:
        """Whether another agent works on the session instead."""
        with self._lock:
            return self._is_decided and not self._may_work

    def wish(self) -> LeaseWish:
        """Return what the next report asks for."""
        with self._lock:
            return self._wish

    def answered(self, lease: Lease | None) -> None:
        """Note the answer to a report; a receiver that knows no leases gives None."""
        is_granted = lease is None or lease.granted
        with self._lock:
            was_waiting = self._is_decided and not self._may_work
            self._is_decided, self._may_work = True, is_granted
            if is_granted and self._wish is LeaseWish.TAKE_OVER:
                self._wish = LeaseWish.SINGLE
            if not is_granted:
                self._refused_s = self._clock()
        if lease is not None and not is_granted:
            self._note_waiting(lease, is_new=not was_waiting)
        elif was_waiting:
            log.warning("the other agent has ended; this agent works on the session now")
            self._journal.note(**{LEASE_TROUBLE: None})

    def unanswered(self) -> None:
        """Note that a report failed: with the link down nobody waits, but a refused agent waits as long as it must."""
        with self._lock:
            if self._is_decided and (self._may_work or self._clock() - self._refused_s < LEASE_S):
                return
            was_waiting, self._is_decided, self._may_work = self._is_decided, True, True
        if was_waiting:
            log.warning("the receiver has not answered for %d s; this agent waits no longer", LEASE_S)
            self._journal.note(**{LEASE_TROUBLE: None})

    def _note_waiting(self, lease: Lease, *, is_new: bool) -> None:
        since = "" if lease.since is None else f" since {lease.since:%Y-%m-%d %H:%M:%S %Z}"
        text = (
            f"another agent works on this session: agent {lease.agent} on host {lease.host or 'unknown'}{since}."
            " This agent aligns and sends nothing until that one ends"
        )
        self._journal.note(**{LEASE_TROUBLE: text})
        if is_new:
            log.warning(
                "%s. To end its work, start this agent with --take-over; to work beside it, with --beside and --source",
                text,
            )
