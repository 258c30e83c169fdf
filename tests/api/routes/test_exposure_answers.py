from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select, update

from api.database.engine import Database
from api.database.tables import exposure_records, exposures
from api.registrars import RegistrationOutcome
from api.registrars.outbox import Outbox
from api.routes.exposure_answers import PAGE_BYTES, exposure_text, page_text
from api.store.publication import publish
from tests.published import database_with_sessions, record_of
from transfer.wire import version_1
from transfer.wire.protocol import Exposure, ExposureList, RegistrationState


@pytest.fixture
def database(tmp_path: Path):
    database = database_with_sessions(f"sqlite:///{tmp_path / 'x.sqlite'}", tmp_path, 2)
    yield database
    database.close()


def published(database: Database, *records) -> None:
    with database.write() as connection:
        for record in records:
            publish(connection, ["relion"], 1, record)


def page(database: Database, after: int = 0, limit: int = 500, version: int = 2) -> str:
    with database.read() as connection:
        return page_text(connection, version, 1, after, limit)


def test_the_text_is_what_the_models_write(database: Database, tmp_path: Path) -> None:
    warning = {"code": "gain", "text": 'müde, "schief"\n\\'}
    published(database, record_of(1), record_of(2, label="ü/1", warnings=[warning]), record_of(1, 2))
    outbox = Outbox(database, tmp_path, "relion")
    (batch,) = outbox.batches(1, ())
    outbox.settle(batch, {batch.exposures[0].number: RegistrationOutcome(RegistrationState.FAILED, 'no "ä"')})
    text = page(database)
    listed = ExposureList.model_validate_json(text)
    assert json.loads(text) == listed.model_dump(mode="json")
    assert [exposure.record for exposure in listed.exposures] == [
        record_of(1, 2),
        record_of(2, label="ü/1", warnings=[warning]),
    ]
    states = [(word.state, word.detail) for exposure in listed.exposures for word in exposure.registrations]
    assert states == [("pending", ""), ("failed", 'no "ä"')]
    with database.read() as connection:
        one = exposure_text(connection, 2, exposures.c.exposure_id == record_of(2).exposure_id)
        assert exposure_text(connection, 2, exposures.c.exposure_id == record_of(3).exposure_id) is None
    assert Exposure.model_validate_json(one or "") == listed.exposures[1]


def test_a_record_of_another_version_is_converted(database: Database) -> None:
    records = record_of(1), record_of(2)
    published(database, *records)
    newest = page(database)
    with database.write() as connection:
        kept = [version_1.downgraded(record.model_dump(mode="json")) for record in records]
        for key, values in zip(connection.scalars(select(exposures.c.id)).all(), kept, strict=True):
            connection.execute(
                update(exposure_records)
                .where(exposure_records.c.exposure == key)
                .values(record=json.dumps(values), form=None if key == 1 else "of another")
            )
    assert json.loads(page(database)) == json.loads(newest)
    first = json.loads(page(database, version=1))["exposures"][0]["record"]
    assert first == kept[0]


def test_a_page_ends_by_rows_and_by_bytes(database: Database) -> None:
    large = [{"code": "x", "text": "a" * 2000}] * 100
    many = [record_of(number, warnings=large) for number in range(1, 9)]
    published(database, *many, *(record_of(number) for number in range(9, 60)))
    seen, after = [], "0"
    pages = []
    while after is not None:
        text = page(database, after=int(after), limit=20)
        pages.append((len(text), json.loads(text)))
        seen += [exposure["record"]["label"] for exposure in pages[-1][1]["exposures"]]
        after = pages[-1][1]["next"]
    assert seen == [str(number) for number in range(1, 60)]
    assert all(size < PAGE_BYTES + 20_000 for size, _ in pages)
    assert [len(each["exposures"]) for _, each in pages] == [4, 20, 20, 15]


def test_a_page_has_one_exposure_at_least(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.exposure_answers.PAGE_BYTES", 10)
    published(database, record_of(1), record_of(2))
    first = json.loads(page(database))
    assert len(first["exposures"]) == 1
    assert len(json.loads(page(database, after=int(first["next"])))["exposures"]) == 1
    assert json.loads(page(database, after=2)) == {"exposures": [], "next": None}
