"""Starts the followers of Scipion's projects, a bounded number of them, and has them end.

A follower ends by itself when its session is quiet. It is started again when its session's journal has more to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.registrars import RegistrarUnavailable, SessionPlace
from api.registrars.scipion_bridge import ScipionBridge, find_installation
from api.registrars.scipion_journal import SessionJournal
from api.registrars.settings import FOLLOWER_BYTES, RegistrarSettings
from transfer.disk.locks import is_locked
from transfer.platform import memory_bytes

log = logging.getLogger(__name__)

ENSURE_TIMEOUT_S = 180.0
ENSURE_EVERY_S = 3.0
LONGEST_PAUSE_S = 60.0
MAKES_ROOM_AFTER_S = 60.0
"""A follower may be ended for another session when its own was quiet for this time."""
END_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last attempt to start a session's follower: when the next one is due, and how many have failed in a row."""

    next_at: float = float("-inf")
    failures: int = 0
    failure: str = ""


def default_max_followers(memory: int) -> int:
    """Return how many followers may run on a machine with so many bytes of memory, if its operator does not say it."""
    return max(2, memory // 4 // FOLLOWER_BYTES)


class Followers:
    """The followers of all sessions.

    Parameters
    ----------
    settings
        Where Scipion is, how many followers may run, and when they end.
    projects
        Folder in which a project is made for each session.
    bridge
        Asks Scipion.
    journals
        The sessions' journals, by session. Others add to it.
    """

    def __init__(
        self,
        settings: RegistrarSettings,
        projects: Path,
        bridge: ScipionBridge,
        journals: Mapping[str, SessionJournal],
    ) -> None:
        self._scipion = settings.scipion or ""
        self._idle_s = settings.follower_idle_s
        self._most = settings.max_followers or default_max_followers(memory_bytes())
        self._projects = projects
        self._bridge = bridge
        self._journals = journals
        self._attempts: dict[str, Attempt] = {}

    def require(self, place: SessionPlace, journal: SessionJournal) -> None:
        """Start a session's follower unless it runs, or was tried a moment ago.

        Raises
        ------
        RegistrarUnavailable
            It cannot be started at present.
        """
        if journal.is_followed():
            self._attempts.pop(place.name, None)
            return
        last = self._attempts.get(place.name, Attempt())
        if time.monotonic() < last.next_at:
            if last.failure:
                raise RegistrarUnavailable(last.failure)
            return
        if not self._has_room(place):
            return
        try:
            self._start(place, journal)
        except RegistrarUnavailable as error:
            pause_s = min(ENSURE_EVERY_S * 2**last.failures, LONGEST_PAUSE_S)
            self._attempts[place.name] = Attempt(time.monotonic() + pause_s, last.failures + 1, str(error))
            raise
        self._attempts[place.name] = Attempt(time.monotonic() + ENSURE_EVERY_S)

    def end_all(self) -> None:
        """Have all followers end, with their sets open, and wait for that."""
        running = self._running()
        for journal in running.values():
            journal.ask_to_rest()
        deadline = time.monotonic() + END_TIMEOUT_S
        while running and time.monotonic() < deadline:
            time.sleep(0.1)
            running = {name: journal for name, journal in running.items() if journal.is_followed()}
        for name in running:
            log.warning("the follower of session %s has not ended within %.0f s; it goes on", name, END_TIMEOUT_S)

    def _running(self) -> dict[str, SessionJournal]:
        return {name: journal for name, journal in self._journals.items() if journal.is_followed()}

    def _count_unopened(self, place: SessionPlace) -> int:
        """Return how many followers run of sessions whose journals are not open yet, as after a restart."""
        opened = {journal.path.parent for journal in self._journals.values()}
        locks = place.folder.parent.glob("*/scipion/follower.lock")
        return sum(lock.parent not in opened and is_locked(lock) for lock in locks)

    def _has_room(self, place: SessionPlace) -> bool:
        """Return whether another follower may start; if not, have the one of the quietest session end.

        Raises
        ------
        RegistrarUnavailable
            None of their sessions is quiet.
        """
        running = self._running()
        count = len(running) + self._count_unopened(place)
        if count < self._most:
            return True
        asked = [journal.asked_to_rest_s for journal in running.values()]
        if any(asked_s is not None and asked_s < MAKES_ROOM_AFTER_S for asked_s in asked):
            return False  # one ends at any moment
        quiet = {
            name: journal.quiet_s
            for name, journal in running.items()
            if journal.asked_to_rest_s is None and journal.quiet_s >= MAKES_ROOM_AFTER_S
        }
        if not quiet:
            raise RegistrarUnavailable(
                f"it waits for a place: {count} followers run, as many as --max-followers permits, and none of "
                f"their sessions is quiet. Raise --max-followers if there are {FOLLOWER_BYTES / 1e6:.0f} MB of memory "
                "for each follower, or end sessions that are over"
            )
        quietest = max(quiet, key=lambda name: quiet[name])
        log.info(
            "the follower of session %s ends to make room for session %s: its session is quiet for %.0f s",
            *(quietest, place.name, quiet[quietest]),
        )
        running[quietest].ask_to_rest()
        return False

    def _start(self, place: SessionPlace, journal: SessionJournal) -> None:
        project = self._projects / place.name
        project.parent.mkdir(parents=True, exist_ok=True)
        request = {
            "do": "ensure",
            "project": str(project),
            "session": place.name,
            "journal": str(journal.path),
            "idle_s": self._idle_s,
        }
        installation, messages = find_installation(self._scipion), journal.path.with_name("bridge.log")
        answer = self._bridge.ask(installation, request, log=messages, timeout_s=ENSURE_TIMEOUT_S)
        if answer.get("acted") == "stopped by its user":
            raise RegistrarUnavailable("the follower was stopped in Scipion; choose Continue there to go on")
        if not answer["alive"] and answer.get("status") != "finished":
            why = answer.get("message") or "see its log in Scipion"
            raise RegistrarUnavailable(f"the follower does not run ({answer.get('status')}): {why}")
