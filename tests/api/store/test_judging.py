"""Verdicts equal what figures, thresholds and people say, whatever happened before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from api.database.engine import Database
from api.database.tables import events, exposures, registrations, sessions, untold_verdicts, verdicts
from api.store.deletion import delete_exposure
from api.store.judging import due_sessions, judge_next
from api.store.publication import publish
from api.store.storage import Storage
from api.store.thresholds import remove_threshold, set_threshold
from api.store.verdicts import say
from tests.published import DIGEST, add_file, database_with_sessions, record_of
from transfer.wire.verdict import Side, StartingThreshold, VerdictOfBatch

FIGURES = ("ctf_resolution_angstrom", "ctf_fit_quality")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = database_with_sessions(f"sqlite:///{tmp_path / 'x.sqlite'}", tmp_path, 2)
    yield database
    database.close()


class Expected:
    """A session as a person would keep it by hand."""

    def __init__(self) -> None:
        self.figures: dict[int, dict[str, float]] = {}
        self.revisions: dict[int, int] = {}
        self.thresholds: dict[tuple[str, Side], float] = {}
        self.said: dict[int, bool] = {}

    def rejected(self) -> set[int]:
        return {number for number in self.figures if not self.said.get(number, not self._is_beyond(number))}

    def _is_beyond(self, number: int) -> bool:
        own = self.figures[number]
        return any(
            figure in own and (own[figure] > value if side is Side.ABOVE else own[figure] < value)
            for (figure, side), value in self.thresholds.items()
        )


def one_step(database: Database, storage: Storage, session_id: int, kept: Expected, chance: random.Random) -> None:
    kind = chance.choice(("publish", "publish", "threshold", "remove", "say", "say", "delete"))
    number = chance.randrange(12)
    figure, side = chance.choice(FIGURES), chance.choice(list(Side))
    with database.write() as connection:
        if kind == "publish" and number not in kept.figures:
            number = len(kept.revisions) + 100 * session_id  # what was deleted does not come again
            add_file(connection, session_id, f"{number}.mrc")
        if kind == "publish":
            kept.revisions[number] = kept.revisions.get(number, 0) + 1
            kept.figures[number] = {name: chance.randrange(9) for name in FIGURES if chance.random() < 0.7}
            file = {"role": "micrograph", "path": f"{number}.mrc", "revision": 1, "size_bytes": 1, "digest": DIGEST}
            record = record_of(number, kept.revisions[number], files=[file], figures=kept.figures[number])
            publish(connection, ["relion", "scipion"], session_id, record)
        elif kind == "threshold":
            value = float(chance.randrange(9))
            kept.thresholds[figure, side] = value
            set_threshold(connection, session_id, StartingThreshold(figure, side, value), "abcdefgh")
        elif kind == "remove":
            kept.thresholds.pop((figure, side), None)
            remove_threshold(connection, session_id, figure, side, "abcdefgh")
    while session_id in due_sessions(database):
        judge_next(database, session_id)
    if not kept.figures:
        return
    number = chance.choice(sorted(kept.figures))
    if kind == "say":
        accepted = chance.choice((True, False, None))
        kept.said.pop(number, None)
        kept.said |= {} if accepted is None else {number: accepted}
        one = VerdictOfBatch(exposure_id=record_of(number).exposure_id, accepted=accepted)
        with database.write() as connection:
            say(connection, session_id, [one], "abcdefgh")
    elif kind == "delete" and chance.random() < 0.5:
        delete_exposure(database, storage, f"s{session_id}", record_of(number).exposure_id, "a test")
        for known in (kept.figures, kept.said):
            known.pop(number, None)


def found(database: Database, session_id: int) -> tuple[set[object], int]:
    with database.read() as connection:
        rejected = connection.scalars(
            select(exposures.c.exposure_id)
            .join(verdicts, verdicts.c.exposure == exposures.c.id)
            .where(exposures.c.session_id == session_id, verdicts.c.is_accepted.is_(False))
        ).all()
        count = connection.execute(select(sessions.c.rejected_count).where(sessions.c.id == session_id)).scalar_one()
    return set(rejected), count


@pytest.mark.parametrize("seed", range(4))
def test_verdicts_are_what_a_person_would_keep_by_hand(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("api.store.judging.JUDGED_AT_ONCE", 3)
    chance, kept, storage = random.Random(seed), (Expected(), Expected()), Storage(tmp_path, 0)
    for _ in range(40):
        session_id = chance.choice((1, 2))
        one_step(database, storage, session_id, kept[session_id - 1], chance)
        for number, expected in enumerate(kept, 1):
            ids = {record_of(each).exposure_id for each in expected.rejected()}
            assert found(database, number) == (ids, len(ids))


def test_each_registrar_that_has_an_exposure_is_to_be_told(database: Database) -> None:
    with database.write() as connection:
        for number, registrars in enumerate((["relion", "scipion"], ["relion"], [])):
            publish(connection, registrars, 1, record_of(number, figures={FIGURES[0]: 9}))
        set_threshold(connection, 1, StartingThreshold(FIGURES[0], Side.ABOVE, 8.0), "abcdefgh")
    assert not judge_next(database, 1)
    with database.read() as connection:
        to_tell = connection.execute(select(untold_verdicts)).all()
        assert connection.scalar(select(func.count()).select_from(registrations)) == len(to_tell) == 3
        numbers = connection.execute(select(events.c.id).where(events.c.kind == "exposure-rejected")).scalars().all()
    assert {(row.registrar, row.exposure, row.number) for row in to_tell} == {
        ("relion", 1, numbers[0]),
        ("scipion", 1, numbers[0]),
        ("relion", 2, numbers[1]),
    }
