"""Remembers which receiver and which session the agent sends to, and notices when they are not the same any more.

A receiver that was restored from a snapshot, or that lost files, has forgotten things that it gave receipts for. Then
everything that was released has to be compared with what is there (`agents.sending.receiver_comparison`).
"""

from __future__ import annotations

import logging
import threading
from typing import ClassVar
from uuid import UUID

from agents.journal.journal import NEWEST_SEQUENCE as SEQUENCE
from agents.journal.journal import WENT_BACK, Journal
from configuration import ConfigError
from transfer.wire.agent_status import ReceiverState

log = logging.getLogger(__name__)

SESSION_UUID, FOLDER_ID, LOSSES = "session_uuid", "receiver_folder_id", "receiver_losses"


class SessionReplaced(ConfigError):
    """The session on the receiver is another one than the one that this work folder belongs to."""

    exit_code: ClassVar[int] = 2
    hint = (
        "If it was replaced on purpose, start the agent with another, empty --work: it sends all movies of the source"
        " that the new session does not have. If not, check --to, and that the receiver uses the right data folder."
    )


class ReceiverMemory:
    """What the journal knows of the receiver; safe to use from several threads.

    Parameters
    ----------
    stop
        Is set when the agent must end, because the session is another one.

    Attributes
    ----------
    failure
        Why the agent must end; None: it need not.
    """

    def __init__(self, journal: Journal, session: str, stop: threading.Event) -> None:
        self._journal, self._session, self._stop = journal, session, stop
        self._lock = threading.Lock()
        self._wanted: ReceiverState | None = None
        self._went_back: str | None = None
        self.is_comparison_wanted = threading.Event()
        self.failure: SessionReplaced | None = None

    def check_session(self, uuid: UUID | None) -> None:
        """Note the session's UUID, or stop the agent if it is not the one that was noted.

        Parameters
        ----------
        uuid
            None: from a receiver of an older version.
        """
        if uuid is None:
            return
        noted = self._journal.about(SESSION_UUID)
        if noted is None:
            self._journal.note(**{SESSION_UUID: str(uuid)})
        elif noted != str(uuid) and self.failure is None:
            self.failure = SessionReplaced(
                f"the receiver has another session {self._session!r} (UUID {uuid}) than the one that this work folder"
                f" sent to (UUID {noted}): it was deleted and made again, or it is another receiver. Nothing was sent"
                " to it"
            )
            self._stop.set()

    def newest_sequence(self) -> int:
        """Return the number of the newest commit that was seen; ask for it before the state that is compared with it.

        A receipt that arrives meanwhile may have a higher number than a state that was sent before it.
        """
        return int(self._journal.about(SEQUENCE) or 0)

    def take_in(self, state: ReceiverState | None, seen_before: int) -> None:
        """Compare what the receiver says of itself with what was noted; ask for a comparison if it lost something.

        Parameters
        ----------
        seen_before
            `newest_sequence` before the state was asked for.
        """
        if state is None:
            return
        self.check_session(state.session_uuid)
        noted = self._journal.about(FOLDER_ID)
        why = self._before_it_was_known(state) if noted is None else self._what_changed(state, noted, seen_before)
        if not why:
            self._note(state, max(state.sequence, self.newest_sequence()))
            return
        with self._lock:
            is_new, self._wanted = self._wanted is None, state
            if is_new:
                self._went_back = self._journal.about(WENT_BACK)
        if is_new:
            log.warning("receiver: %s. What was released is compared with what the receiver has", why)
            self.is_comparison_wanted.set()

    def _before_it_was_known(self, state: ReceiverState) -> str:
        """Return why to compare with a receiver of which nothing is noted, as in the journal of an older version."""
        if state.losses and self._journal.released(0, 1):
            return "it found that committed files were lost, perhaps after this work folder sent them"
        return ""

    def _what_changed(self, state: ReceiverState, noted_folder: str, seen_before: int) -> str:
        if noted_folder != str(state.folder_id):
            return f"its data folder is another one ({state.folder_id}) than before ({noted_folder})"
        if state.sequence < seen_before:
            return f"it went back in time: its newest commit is number {state.sequence}, after number {seen_before}"
        if (went_back := self._journal.about(WENT_BACK)) is not None:
            return f"it went back in time: {went_back}"
        if str(state.losses) != self._journal.about(LOSSES):
            return "it found that committed files were lost"
        return ""

    def compared(self) -> None:
        """Note that everything released was compared with the receiver in the state that asked for it."""
        with self._lock:
            state, self._wanted = self._wanted, None
            self.is_comparison_wanted.clear()
        if self._went_back is not None and self._journal.about(WENT_BACK) == self._went_back:
            self._journal.note(**{WENT_BACK: None})
        if state is not None:
            self._note(state, state.sequence)

    def _note(self, state: ReceiverState, sequence: int) -> None:
        values = {FOLDER_ID: str(state.folder_id), SEQUENCE: str(sequence), LOSSES: str(state.losses)}
        if any(self._journal.about(key) != value for key, value in values.items()):
            self._journal.note(**values)
