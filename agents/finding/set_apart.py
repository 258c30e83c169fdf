"""Keeps an unexpected error with one file from ending the scan: that file alone fails, with its reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import UUID

from blake3 import blake3

from agents.boundary import contained
from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal, WrongTransition
from agents.journal.opening import concerns_journal
from agents.journal.rows import Standing
from agents.journal.states import SET_ASIDE, TRANSITIONS, State
from preprocess.escaped_names import encodable

log = logging.getLogger(__name__)

T = TypeVar("T")
_HINT = "Please report this defect, with the agent's log. When the movie changes, the agent tries it again."


class SetApart:
    """The movies that the agent could not handle in a scan, for a reason that nobody expected.

    Attributes
    ----------
    unrecorded
        Those that the journal could not take either, with the reason; they are left out until they change.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._identities: dict[str, FileIdentity | None] = {}
        self.unrecorded: dict[str, str] = {}

    @property
    def movies(self) -> set[str]:
        """The movies that failed so in an earlier scan."""
        return set(self._identities)

    def is_left_out(self, movie: str, identity: FileIdentity, known: Standing | None) -> bool:
        """Return whether a movie failed in an earlier scan and is not to be tried again: it did not change since."""
        if movie not in self._identities:
            return False
        is_retried = movie not in self.unrecorded and known is not None and known.state not in SET_ASIDE
        if self._identities[movie] != identity or is_retried:
            del self._identities[movie]
            self.unrecorded.pop(movie, None)
            return False
        return True

    def alone(
        self,
        movie: str,
        identity: FileIdentity | None,
        action: Callable[[], T],
        otherwise: T,
        *,
        is_change: bool = False,
    ) -> T:
        """Do something about one movie; if that fails, set this movie apart and return `otherwise`.

        Parameters
        ----------
        is_change
            Whether it changes the journal, inside a transaction that goes on without it.

        Raises
        ------
        JournalError, sqlite3.DatabaseError
            The journal as a whole cannot be used.
        """

        def inside() -> T:
            with self._journal.part_of_transaction():
                return action()

        return contained(inside if is_change else action, partial(self._failed, movie, identity, otherwise))

    def _failed(self, movie: str, identity: FileIdentity | None, otherwise: T, error: Exception) -> T:
        if isinstance(error, WrongTransition):
            log.debug("%s: %s; the next scan looks again", movie, error)  # `retry` was faster
            return otherwise
        if concerns_journal(error):
            raise error
        if isinstance(error, OSError):
            log.debug("%s cannot be looked at now: %s; the next scan looks again", movie, error)
            return otherwise
        log.error("%s: unexpected in the scan; only this movie fails", movie, exc_info=error)
        self._identities[movie] = identity
        reason = encodable(f"unexpected {type(error).__name__}: {error}")
        if not self._is_recorded(movie, identity, reason) and not self._is_recorded(movie, None, reason):
            self.unrecorded[movie] = reason
        return otherwise

    def _is_recorded(self, movie: str, identity: FileIdentity | None, reason: str) -> bool:
        """Enter a movie as failed, if the journal takes it."""

        def record() -> bool:
            self._record(movie, identity, reason)
            return True

        def not_recorded(error: Exception) -> bool:
            if concerns_journal(error):
                raise error
            return False

        return contained(record, not_recorded)

    def _record(self, movie: str, identity: FileIdentity | None, reason: str) -> None:
        with self._journal.transaction(), self._journal.part_of_transaction():
            known = self._journal.standing([movie]).get(movie)
            if known is None:
                stem = f"movie-{blake3(movie.encode()).hexdigest(length=16)}"
                exposure_id, state = self._journal.find(movie, movie, stem).exposure_id, State.FOUND
            else:
                exposure_id, state = UUID(known.exposure_id), State(known.state)
            if State.FAILED in TRANSITIONS[state]:
                self._journal.set_aside(exposure_id, identity, reason, _HINT)
