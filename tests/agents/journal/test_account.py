"""Where the exposures of a journal are, compared with what was done with each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.opening import NAME
from agents.journal.reader import JournalReader
from agents.journal.rows import ExposureRow
from agents.journal.schema import MIGRATIONS, SCHEMA_VERSION
from agents.journal.states import State
from transfer.wire.accounting import AgentAccount, InHands
from transfer.wire.exposure_claim import ClaimAnswer, ClaimStatus

MOVIES = 5
EVENTS = ("find", "finish", "claim", "copy", "elsewhere", "hold", "fail", "send", "again")
FILE = FileIdentity(1, 1, 1, 1, 1)


def answer(status: ClaimStatus, on_receiver: UUID, revision: int = 1) -> ClaimAnswer:
    return ClaimAnswer(status=status, exposure_id=on_receiver, revision=revision, stem="x")


class Scene:
    """A journal, and beside it what each movie's exposure should count as."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.ids: list[UUID] = [uuid4() for _ in range(MOVIES)]
        self.sent: set[UUID] = set()

    def do(self, event: str, number: int) -> None:
        movie = f"{number}.tiff"
        known = {row.movie: row for row in self.journal.exposures()}
        if event == "find" and movie not in known:
            self.journal.find(movie, movie, movie)
        row = known.get(movie)
        if row is not None:
            getattr(self, event, self.nothing)(row, self.ids[number])

    def nothing(self, row: ExposureRow, on_receiver: UUID) -> None:
        """Do nothing."""

    def finish(self, row: ExposureRow, on_receiver: UUID) -> None:
        if row.state == State.FOUND:
            self.journal.finish(row.exposure_id, FILE)

    def claim(self, row: ExposureRow, on_receiver: UUID) -> None:
        if row.state == State.FINISHED:
            revision = row.revision + (on_receiver in self.sent and row.revision == 1)
            self.journal.adopt(row.exposure_id, answer(ClaimStatus.CLAIMED, on_receiver, revision))

    def elsewhere(self, row: ExposureRow, on_receiver: UUID) -> None:
        if row.state == State.FINISHED:
            self.journal.note_elsewhere(row.exposure_id, self.ids[0])

    def copy(self, row: ExposureRow, on_receiver: UUID) -> None:
        """The receiver has it, as another movie of the same content."""
        if row.state == State.FINISHED:
            self.journal.adopt(row.exposure_id, answer(ClaimStatus.COMMITTED, self.ids[0]))
            self.journal.change(row.exposure_id, State.RELEASED, "the receiver has it")

    def hold(self, row: ExposureRow, on_receiver: UUID) -> None:
        if row.state == State.FINISHED:
            self.journal.change(row.exposure_id, State.HELD, "why")

    def fail(self, row: ExposureRow, on_receiver: UUID) -> None:
        if row.state == State.FINISHED:
            self.journal.change(row.exposure_id, State.FAILED, "why")

    def send(self, row: ExposureRow, on_receiver: UUID) -> None:
        if row.state == State.FINISHED and row.receiver_exposure_id is not None:
            for state in (State.ALIGNED, State.SENDING, State.COMMITTED, State.RELEASED):
                self.journal.change(row.exposure_id, state)
            self.sent.add(row.published_id)

    def again(self, row: ExposureRow, on_receiver: UUID) -> None:
        if row.state in (State.RELEASED, State.HELD, State.FAILED):
            self.journal.begin_again(row.exposure_id, "why")

    def expected(self) -> AgentAccount:
        """Count exposure by exposure."""
        rows: dict[UUID, list[ExposureRow]] = {}
        for row in self.journal.exposures():
            rows.setdefault(row.published_id, []).append(row)
        counts = {True: [0, 0, 0], False: [0, 0, 0]}
        sent = again = 0
        for alike in rows.values():
            states = {row.state for row in alike}
            if any(row.state == State.RELEASED or row.revision > 1 for row in alike):
                sent += 1
                again += any(row.state != State.RELEASED and row.revision > 1 for row in alike)
            else:
                aside = states <= {State.HELD, State.FAILED}
                place = 0 if not aside else 1 if State.HELD in states else 2
                counts[alike[0].receiver_exposure_id is not None][place] += 1

        def hands(own: list[int]) -> InHands:
            return InHands(waiting=own[0], held=own[1], failed=own[2])

        return AgentAccount(
            sent=sent,
            again=again,
            claimed=hands(counts[True]),
            unclaimed=hands(counts[False]),
            copies=sum(len(alike) - 1 for alike in rows.values()),
        )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, MOVIES - 1)), min_size=10, max_size=50))
def test_each_exposure_is_counted_once(tmp_path_factory: Callable, events: list[tuple[str, int]]) -> None:  # type: ignore[type-arg]
    folder = tmp_path_factory.mktemp("work")  # type: ignore[attr-defined]
    journal = Journal(folder)
    journal._db.execute("PRAGMA synchronous = OFF")
    scene = Scene(journal)
    for number in range(MOVIES):
        scene.do("find", number)
    for event in events:
        scene.do(*event)
    account, expected = journal.account(), scene.expected()
    journal.close()
    assert account == expected
    with JournalReader(folder) as reader:
        assert reader.account() == expected


def test_a_row_that_is_lost_is_an_alarm(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(3):
        journal.find(f"{number}.tiff", str(number), str(number))
    assert journal.account().alarms == ()
    journal.close()
    with sqlite3.connect(tmp_path / NAME) as database:  # as a damaged page would leave it
        database.execute("DROP TRIGGER count_deleted")
        database.execute("DELETE FROM exposures WHERE movie = '1.tiff'")
    database.close()
    with JournalReader(tmp_path) as reader:
        account = reader.account()
    assert account.line() == "2 seen = 0 sent + 0 held + 0 failed + 2 waiting"
    (alarm,) = account.alarms
    assert alarm.startswith("it counts 3 movies and has rows of 2")


def test_it_reads_an_index_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    plans: list[str] = []
    asked: list[str] = []
    journal._db.set_trace_callback(asked.append)
    journal.account()
    journal._db.set_trace_callback(None)
    for statement in asked:
        plans += [row["detail"] for row in journal._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
    journal.close()
    of_exposures = [plan for plan in plans if " exposures" in plan]
    assert len(of_exposures) == 2
    assert all("COVERING INDEX exposures_accounted" in plan for plan in of_exposures), plans
    assert not any("TEMP B-TREE" in plan for plan in plans), plans


def test_the_journal_of_a_version_before_gets_the_index(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.find("a.tiff", "a", "a")
    journal.close()
    assert MIGRATIONS[4].count("exposures_accounted") == 1
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("DROP INDEX exposures_accounted")
        database.execute("CREATE INDEX exposures_by_receiver_id ON exposures (receiver_exposure_id)")
        database.execute("PRAGMA user_version = 4")
    database.close()
    with JournalReader(tmp_path) as reader:
        assert reader.account().waiting == 1
    journal = Journal(tmp_path)
    assert journal.account().waiting == 1
    assert journal._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    journal.close()
