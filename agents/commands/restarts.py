"""Begins an agent again, with a new journal, after its journal was damaged or deleted; not more than a few times."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agents.journal.journal import Journal
from agents.journal.opening import JOURNAL_ERRORS, JournalDamaged, JournalError
from agents.sending.receiver_memory import SESSION_UUID
from agents.work_folder import WorkFolderTaken
from configuration import ConfigError

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_RESTARTS = 5
WITHIN_S = 3600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_CARRIED = ("agent_id", SESSION_UUID)
"""What a new journal is told of the old one: otherwise the agent would wait for its own lease to end."""


class JournalKeepsFailing(JournalError):
    """The journal was damaged again and again."""

    exit_code = 7


class Restarts:
    """Decides whether the agent begins again with a new journal, and waits before that.

    Parameters
    ----------
    stop
        Set by signals. It is cleared before the agent begins again.
    has_ended
        Whether a signal wants the agent's end.
    """

    def __init__(
        self,
        work: Path,
        stop: threading.Event,
        has_ended: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._stop, self._has_ended, self._clock = work, stop, has_ended, clock
        self._at_s: list[float] = []
        self._carried: dict[str, str] = {}
        self.is_first = True
        self.damage = ""

    def know(self, journal: Journal) -> None:
        """Tell a journal what the one before it knew, and keep in mind what it knows itself."""
        journal.note(**{key: value for key, value in self._carried.items() if journal.about(key) is None})
        for key in _CARRIED:
            self.remember(key, journal.about(key))

    def began(self) -> None:
        """Note that the agent has begun: from now on it begins again by itself."""
        self.is_first, self.damage = False, ""

    def remember(self, key: str, value: str | None) -> None:
        """Keep in mind what the journal knows now, so that the next one can be told."""
        if key in _CARRIED and value is not None:
            self._carried[key] = value

    def opened(self, action: Callable[[], T]) -> T | None:
        """Return what `action` opens. At a restart that may take long; None: a signal ended it.

        Raises
        ------
        ConfigError, OSError, JournalError, sqlite3.DatabaseError
            At the first start.
        """
        if self.is_first:
            return action()
        pause_s = _FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                return action()
            except WorkFolderTaken:
                raise
            except (OSError, ConfigError, *JOURNAL_ERRORS) as error:
                log.warning("no new journal can be made now: %s; it is tried again in %.0f s", error, pause_s)
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return None

    def after(self, error: JournalDamaged, *, is_in_place: bool) -> bool:
        """Wait, and return whether the agent begins again; False: a signal ended it.

        Parameters
        ----------
        is_in_place
            Whether the damaged file still lies there.

        Raises
        ------
        JournalKeepsFailing
        """
        now_s = self._clock()
        self._at_s = [at_s for at_s in self._at_s if now_s - at_s < WITHIN_S] + [now_s]
        if len(self._at_s) > MOST_RESTARTS:
            raise JournalKeepsFailing(
                f"the journal in {self._work} was damaged or deleted {len(self._at_s)} times within an hour; the last"
                f" time: {error}. The agent ended",
                hint="Check the disk of the work folder (`dmesg`, SMART) and which other program changes files in it,"
                " or give another --work. Then start the same command again: it asks the receiver which movies it has.",
            ) from error
        self.damage = str(error) if is_in_place else ""
        self._stop.clear()
        if self._has_ended():
            return False
        pause_s = min(_FIRST_PAUSE_S * 2 ** (len(self._at_s) - 1), _LONGEST_PAUSE_S)
        log.warning("the agent begins again with a new journal in %.0f s; nothing that was sent is lost", pause_s)
        return not self._stop.wait(pause_s)
