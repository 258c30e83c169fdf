from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select

from api.database.tables import events, registration_counts, sessions
from api.registrars import RegistrationOutcome
from api.registrars.outbox import Outbox
from api.registrars.settings import RegistrarSettings
from api.store.deletion import Deletion, delete_exposure
from api.store.publication import publish
from api.store.storage import Storage
from tests.conftest import make_token
from tests.published import record_of
from transfer.wire.errors import NotFound
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.problems import PROBLEM_TYPE
from transfer.wire.protocol import RegistrationState

NAMES = ("mic/1.mrc", "mic/1.png")


class House:
    """A receiver with one session, s1, and what is asked of it."""

    def __init__(self, receiver: Any) -> None:
        self.receiver = receiver
        self.database, self.storage = receiver.app.state.receiver.database, Storage(receiver.data, 0)
        token = make_token(receiver.data)
        self.http = httpx.Client(base_url=receiver.url, headers={"Authorization": f"Bearer {token}"})
        self.http.put("/v1/sessions/s1").raise_for_status()

    def put(self, path: str, revision: int = 1) -> Any:
        return self.http.put(f"/v1/files/s1/{path}?revision={revision}", content=f"{path} {revision}".encode())

    def record(self, number: int, names: tuple[str, ...], revision: int = 1) -> ExposureRecord:
        receipts = [self.put(name, revision).raise_for_status().json() for name in names]
        kept = ("path", "revision", "size_bytes", "digest")
        files = [{"role": "micrograph", **{key: receipt[key] for key in kept}} for receipt in receipts]
        return record_of(number, revision, files=files)

    def publish(self, record: ExposureRecord) -> None:
        with self.database.write() as connection:
            publish(connection, ["relion"], 1, record)

    def delete(self, exposure_id: UUID, reason: str = "wrong grid") -> Deletion:
        return delete_exposure(self.database, self.storage, "s1", exposure_id, reason)

    def kept(self) -> list[str]:
        folder = self.receiver.data / "sessions" / "s1"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def counters(self) -> tuple[Any, ...]:
        with self.database.read() as connection:
            session = connection.execute(select(sessions)).one()
            counts = connection.execute(select(registration_counts)).one()
        registered = counts.registered_count, counts.pending_count, counts.failed_count
        return session.exposure_count, session.file_count, session.file_bytes, registered


@pytest.fixture
def house(make_receiver: Callable[..., Any]) -> Iterator[House]:
    """Return a receiver with two exposures; the first has two revisions."""
    house = House(make_receiver(registrars=RegistrarSettings(relion=False)))
    house.publish(house.record(1, NAMES))
    house.publish(house.record(1, NAMES, revision=2))
    house.publish(house.record(2, ("mic/2.mrc",)))
    yield house
    house.http.close()


def slug(answer: Any) -> str:
    return str(answer.json()["type"].removeprefix(PROBLEM_TYPE))


def test_a_deleted_exposure_is_gone_and_not_accepted_again(house: House) -> None:
    first = record_of(1).exposure_id
    assert house.counters() == (2, 5, sum(len(f"{name} 1") for name in (*NAMES, *NAMES, "mic/2.mrc")), (0, 2, 0))
    assert house.delete(first) == Deletion(is_new=True, removed_files=4)
    assert house.kept() == ["files/mic/2.mrc"]
    assert house.counters() == (1, 1, len("mic/2.mrc 1"), (0, 1, 0))
    assert house.http.get(f"/v1/sessions/s1/exposures/{first}").status_code == 404
    assert house.http.get(f"/v1/files/s1/{NAMES[0]}").status_code == 404
    assert [file["path"] for file in house.http.get("/v1/sessions/s1/files").json()["files"]] == ["mic/2.mrc"]

    for revision in (1, 2, 3):
        answer = house.put(NAMES[0], revision)
        assert (answer.status_code, slug(answer)) == (410, "deleted")
        assert "wrong grid" in answer.json()["detail"]
    declaration = {"session": "s1", "path": NAMES[1], "revision": 1, "size_bytes": 9_000_000}
    answer = house.http.put(f"/v1/uploads/{uuid4()}", json=declaration)
    assert (answer.status_code, slug(answer)) == (410, "deleted")
    again = record_of(1, files=[dict(record_of(1).files[0])]).model_dump(mode="json")
    answer = house.http.put(f"/v1/sessions/s1/exposures/{first}", json=again)
    assert (answer.status_code, slug(answer)) == (410, "deleted")

    assert house.put(NAMES[0].replace("1", "3")).status_code == 201
    with house.database.read() as connection:
        kinds = connection.execute(select(events.c.kind, events.c.subject, events.c.detail)).all()
    assert ("exposure-deleted", str(first), "wrong grid") in kinds


def test_a_kill_before_the_files_are_removed_is_made_up_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first, remove, removed = record_of(1).exposure_id, Storage.remove, []

    def killed(storage: Storage, location: str) -> bool:
        if len(removed) == 2:
            raise OSError("killed here")
        removed.append(location)
        return remove(storage, location)

    monkeypatch.setattr(Storage, "remove", killed)
    with pytest.raises(OSError, match="killed here"):
        house.delete(first)
    monkeypatch.undo()
    assert len(house.kept()) == 3
    counters = house.counters()
    assert house.put(NAMES[1]).status_code == 410
    assert house.delete(first, "another reason") == Deletion(is_new=False, removed_files=2)
    assert house.delete(first) == Deletion(is_new=False, removed_files=0)
    assert house.kept() == ["files/mic/2.mrc"]
    assert house.counters() == counters
    assert "wrong grid" in house.put(NAMES[1]).json()["detail"]


def test_nothing_happens_if_the_transaction_fails(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    before = house.counters(), house.kept()

    def killed(*_: object) -> None:
        raise OSError("killed here")

    monkeypatch.setattr("api.store.deletion.add_event", killed)
    with pytest.raises(OSError, match="killed here"):
        house.delete(record_of(1).exposure_id)
    assert (house.counters(), house.kept()) == before
    assert house.put(NAMES[0]).status_code == 200


def test_an_upload_on_its_way_is_withdrawn(house: House) -> None:
    upload = f"/v1/uploads/{uuid4()}"
    declaration = {"session": "s1", "path": NAMES[0], "revision": 3, "size_bytes": 9_000_000}
    assert house.http.put(upload, json=declaration).status_code == 201
    house.delete(record_of(1).exposure_id)
    answer = house.http.post(f"{upload}/commit", json={"digest": "0" * 64})
    assert (answer.status_code, slug(answer)) == (410, "upload-gone")


def test_a_registrar_that_works_on_it_settles_no_other_exposure(house: House, tmp_path: Path) -> None:
    """SQLite gives the number of the last registration, which is deleted, to the next one."""
    outbox = Outbox(house.database, tmp_path, "relion")
    (batch,) = outbox.batches(10, ())
    house.delete(record_of(2).exposure_id)
    house.publish(house.record(3, ("mic/3.mrc",)))
    done = RegistrationOutcome(RegistrationState.REGISTERED)
    outbox.settle(batch, {exposure.number: done for exposure in batch.exposures})
    assert house.counters()[-1] == (1, 1, 0)
    (batch,) = outbox.batches(10, ())
    assert [exposure.record.exposure_id for exposure in batch.exposures] == [record_of(3).exposure_id]


def test_what_is_not_there_cannot_be_deleted(house: House) -> None:
    with pytest.raises(NotFound, match="no exposure"):
        house.delete(uuid4())
    with pytest.raises(NotFound, match="no session"):
        delete_exposure(house.database, house.storage, "s2", record_of(1).exposure_id, "")
