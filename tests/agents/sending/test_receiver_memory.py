"""What the agent notices of a receiver that was restored, replaced, or lost files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from agents.journal.journal import Journal
from agents.journal.states import State
from agents.sending.receiver_memory import ReceiverMemory
from transfer.wire.agent_status import ReceiverState
from transfer.wire.receipt import Receipt

FOLDER, SESSION = UUID(int=1), UUID(int=2)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def state(sequence: int, *, losses: int = 0, folder: UUID = FOLDER, session: UUID = SESSION) -> ReceiverState:
    return ReceiverState(folder_id=folder, sequence=sequence, losses=losses, session_uuid=session)


def memory_of(journal: Journal) -> ReceiverMemory:
    return ReceiverMemory(journal, "s", threading.Event())


def take_in(memory: ReceiverMemory, new: ReceiverState) -> bool:
    """Take a state in; return whether a comparison is wanted then."""
    memory.take_in(new, memory.newest_sequence())
    return memory.is_comparison_wanted.is_set()


@pytest.mark.parametrize(
    ("then", "is_wanted"),
    [
        (state(10), False),
        (state(11), False),
        (state(9), True),
        (state(12, losses=1), True),
        (state(12, folder=UUID(int=9)), True),
    ],
)
def test_a_comparison_is_wanted_when_the_receiver_forgot_something(
    journal: Journal, then: ReceiverState, *, is_wanted: bool
) -> None:
    assert not take_in(memory_of(journal), state(10))
    assert take_in(memory_of(journal), then) is is_wanted  # also after a restart of the agent


def test_a_comparison_that_did_not_end_is_wanted_after_a_restart(journal: Journal) -> None:
    take_in(memory_of(journal), state(10))
    assert take_in(memory_of(journal), state(5))
    again = memory_of(journal)
    assert take_in(again, state(6))
    again.compared()
    assert not again.is_comparison_wanted.is_set()
    assert not take_in(again, state(6))
    assert not take_in(memory_of(journal), state(7))


def test_what_is_lost_during_a_comparison_leads_to_another_one(journal: Journal) -> None:
    memory = memory_of(journal)
    take_in(memory, state(10))
    assert take_in(memory, state(10, losses=1))
    memory.compared()
    assert take_in(memory, state(10, losses=2))


def test_a_receipt_tells_how_far_the_receiver_was(journal: Journal) -> None:
    memory = memory_of(journal)
    take_in(memory, state(10))
    seen_before = memory.newest_sequence()
    exposure = journal.find("a.tif", "a", "a")
    for sequence in (13, 12):
        receipt = Receipt(session="s", path="a.mrc", revision=1, size_bytes=1, digest="a" * 64, sequence=sequence)
        journal.keep_receipt(exposure.exposure_id, 1, "micrograph", receipt)
    memory.take_in(state(11), seen_before)  # it was on its way when the receipt arrived
    assert not memory.is_comparison_wanted.is_set()
    assert memory.newest_sequence() == 13
    assert take_in(memory, state(11))


def test_an_older_receiver_says_nothing(journal: Journal) -> None:
    memory = memory_of(journal)
    memory.take_in(None, 0)
    memory.check_session(None)
    assert not memory.is_comparison_wanted.is_set()
    assert memory.failure is None


@pytest.mark.parametrize("way", ["opening", "report"])
def test_another_session_under_the_same_name_stops_the_agent(journal: Journal, way: str) -> None:
    memory_of(journal).check_session(SESSION)
    stop = threading.Event()
    memory = ReceiverMemory(journal, "s", stop)
    memory.check_session(SESSION)
    assert memory.failure is None
    if way == "opening":
        memory.check_session(UUID(int=3))
    else:
        take_in(memory, state(1, session=UUID(int=3)))
    assert stop.is_set()
    assert memory.failure is not None
    assert memory.failure.exit_code == 2
    assert str(UUID(int=3)) in str(memory.failure)
    assert "--work" in memory.failure.hint


@pytest.mark.parametrize(("is_new", "is_wanted"), [(True, True), (False, False)])
def test_a_new_commit_with_an_old_number_shows_that_the_receiver_was_restored(
    journal: Journal, *, is_new: bool, is_wanted: bool
) -> None:
    take_in(memory_of(journal), state(10))
    exposure = journal.find("a.tif", "a", "a")
    for sequence in (9, 10, 11, 12):  # sent after the restore and before the next report
        receipt = Receipt(
            session="s", path="a.mrc", revision=1, size_bytes=1, digest="a" * 64, sequence=sequence, is_new=is_new
        )
        journal.keep_receipt(exposure.exposure_id, 1, "micrograph", receipt, seen_before=10)
    memory = memory_of(journal)
    assert take_in(memory, state(12)) is is_wanted
    memory.compared()
    assert not take_in(memory, state(12))


@pytest.mark.parametrize(("losses", "is_released", "is_wanted"), [(2, True, True), (0, True, False), (2, False, False)])
def test_losses_before_the_receiver_was_known_count_for_what_was_released(
    journal: Journal, losses: int, *, is_released: bool, is_wanted: bool
) -> None:
    """The journal of an older version has released exposures, and nothing of the receiver."""
    if is_released:
        journal.find("a.tif", "a.tif", "a.tif")
        journal._db.execute("UPDATE exposures SET state = ?", (State.RELEASED,))
    memory = memory_of(journal)
    assert take_in(memory, state(10, losses=losses)) is is_wanted
    if is_wanted:
        memory.compared()
    assert not take_in(memory_of(journal), state(10, losses=losses))
