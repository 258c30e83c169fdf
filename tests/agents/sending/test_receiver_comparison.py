"""Which released exposures are taken up again after the receiver lost something."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.states import State
from agents.sending.claims import Claims
from agents.sending.receiver_comparison import ReceiverComparison
from agents.sending.receiver_link import ReceiverLink
from agents.sending.receiver_memory import ReceiverMemory
from tests.agents.steps.scripted import ScriptedReceiver
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.wire.agent_status import ReceiverState
from transfer.wire.exposure_claim import ClaimAnswer, ClaimStatus

OF_RECEIVER = UUID(int=7)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def released(journal: Journal, movie: str) -> UUID:
    """Return a released exposure of which the sampled digest is known."""
    key = journal.find(movie, movie, movie).exposure_id
    journal.note_movie(key, FileIdentity.of(Path(__file__).stat()), sampled_digest="a" * 64)
    journal._db.execute("UPDATE exposures SET state = ?", (State.RELEASED,))
    return key


@pytest.mark.parametrize(
    ("status", "then"),
    [
        (ClaimStatus.COMMITTED, State.RELEASED),
        (ClaimStatus.DELETED, State.RELEASED),
        (ClaimStatus.CLAIMED, State.FOUND),
        (ClaimStatus.ELSEWHERE, State.FOUND),  # as the first name of a movie that was renamed since
    ],
)
def test_what_the_receiver_has_not_committed_is_taken_up_again(
    journal: Journal, status: ClaimStatus, then: State
) -> None:
    key = released(journal, "a.tif")
    stop = threading.Event()
    answer = ClaimAnswer(status=status, exposure_id=OF_RECEIVER, revision=1, stem="a")
    claims = Claims(ScriptedReceiver(answer), ReceiverLink(journal, stop), "s", UUID(int=1), clock=time.monotonic)
    memory = ReceiverMemory(journal, "s", stop)
    for folder in (UUID(int=2), UUID(int=3)):
        memory.take_in(ReceiverState(folder_id=folder, sequence=1, losses=0, session_uuid=UUID(int=4)), 0)
    with ReceiverClient("http://127.0.0.1:9", "token") as client:
        comparison = ReceiverComparison(journal, claims, memory, client, "s", stop)
        comparison.start()
        try:
            wait_until(lambda: not memory.is_comparison_wanted.is_set(), "the comparison has ended")
        finally:
            stop.set()
            comparison.join(10)
    assert journal.exposure(key).state == then
