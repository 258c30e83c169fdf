"""Whether the agent's own disk and journal can be used. While they cannot, the agent waits and tries again by itself.

The journal may be what cannot be written, so the trouble is kept in memory, and said once in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agents.journal.journal import Journal
from agents.journal.opening import NAME, JournalDamaged
from agents.own_faults import OWN_ERRORS, OwnFault, own_fault
from transfer.disk.files import sync_descriptor

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_CALM_S = 60.0
"""After so long without trouble the next one begins with the shortest pause again."""
_PLACE_S = 1.0
_PROBE = ".check"
_PROBE_BYTES = 1 << 20


class WorkHealth:
    """The health of one work folder and its journal; safe to use from several threads.

    Parameters
    ----------
    stop
        Is set when the journal is lost: this agent cannot go on with it.
    clock
        Monotonic seconds.

    Attributes
    ----------
    lost
        Why the journal cannot be used any more; empty: it can.
    """

    def __init__(
        self, journal: Journal, work: Path, stop: threading.Event, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal, self._work, self._stop, self._clock = journal, work, stop, clock
        self._device = work.stat().st_dev
        self._lock = threading.Lock()
        self._trouble = ""
        self._since_s = self._next_try_s = self._next_place_s = 0.0
        self._well_since_s = clock() - _CALM_S
        self._pause_s = _FIRST_PAUSE_S
        self.lost = ""

    @property
    def trouble(self) -> str:
        """What is wrong now, for people; empty: nothing is."""
        return self._trouble

    def note(self, error: BaseException) -> bool:
        """Note an error if it is the own machine's fault; return whether it is."""
        fault = own_fault(error, self._work)
        if fault is None:
            return False
        if fault.is_journal_lost:
            self._note_lost(fault)
        else:
            self._note_trouble(fault)
        return True

    def may_work(self) -> bool:
        """Return whether nothing is wrong; tries it again if it is time. One thread calls this, again and again."""
        if self.lost:
            return False
        now_s = self._clock()
        if self._trouble:
            if now_s >= self._next_try_s:
                self._try_again()
        elif now_s >= self._next_place_s:
            self._next_place_s = now_s + _PLACE_S
            self._attempt(self._journal.check_place)
        return not self._trouble and not self.lost

    def _try_again(self) -> None:
        if not self._attempt(self._check):
            return
        with self._lock:
            lasted_s, self._trouble = self._clock() - self._since_s, ""
            self._well_since_s = self._clock()
        log.warning("the agent's own disk and journal can be used again after %.0f s; the agent goes on", lasted_s)

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Return whether an action succeeds; if not, its error is noted."""
        try:
            action()
        except OWN_ERRORS as error:
            if not self.note(error):
                raise
            return False
        return True

    def _check(self) -> None:
        """Write and read what the agent needs: the journal, and a file beside the outputs."""
        self._journal.check()
        folder = self._work / "exposures"
        folder.mkdir(exist_ok=True)
        probe = folder / _PROBE
        try:
            with probe.open("wb") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                sync_descriptor(file.fileno())
        finally:
            probe.unlink(missing_ok=True)

    def _note_trouble(self, fault: OwnFault) -> None:
        with self._lock:
            now_s = self._clock()
            is_new = not self._trouble
            if is_new:
                self._since_s = now_s
                calm = now_s - self._well_since_s >= _CALM_S
                self._pause_s = _FIRST_PAUSE_S if calm else min(2 * self._pause_s, _LONGEST_PAUSE_S)
            else:
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._trouble = fault.text
            self._next_try_s = now_s + self._pause_s
        if is_new:
            log.warning(
                "%s. Nothing is aligned and sent until this is over, no movie fails by it, and the agent then goes on"
                " by itself. %s", fault.text, fault.hint,
            )  # fmt: skip

    def _note_lost(self, fault: OwnFault) -> None:
        if self._is_unmounted():
            text = f"the disk of the work folder {self._work} is not mounted"
            self._note_trouble(OwnFault(text=text, hint="Mount it again."))
            return
        with self._lock:
            is_new, self.lost = not self.lost, self.lost or fault.text
        if is_new:
            log.warning("%s", fault.text)
        self._stop.set()

    def _is_unmounted(self) -> bool:
        """Return whether the work folder is the empty place where its disk was mounted."""
        try:
            return not (self._work / NAME).exists() and self._work.stat().st_dev != self._device
        except OSError:
            return False

    def raise_if_lost(self) -> None:
        """Raise if the journal cannot be used any more.

        Raises
        ------
        JournalDamaged
        """
        if self.lost:
            raise JournalDamaged(self.lost)
