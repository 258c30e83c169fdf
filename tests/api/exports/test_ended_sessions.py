"""When a session that has ended is exported."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select

from api.database.tables import EXPORTS, add_event, projects
from api.exports.ended_sessions import EndedSessions, export_when_over
from api.exports.exporter import SessionExporter
from api.registrars.outbox import Outbox
from api.registrars.relion import RelionRegistrar
from api.registrars.settings import RegistrarSettings
from transfer.wire.errors import ReceiverBusy

SETTINGS = RegistrarSettings()


class End:
    """A session, its registrar, and what exports ended sessions."""

    def __init__(self, publisher: Any) -> None:
        self.publisher = publisher
        self.stopping = threading.Event()
        self.exporter = SessionExporter(publisher.database, publisher.data, SETTINGS, self.stopping)
        self.work = EndedSessions(publisher.database, self.exporter, SETTINGS, self.stopping)
        self.outbox = Outbox(publisher.database, publisher.data, "relion")
        self.registrar = RelionRegistrar(SETTINGS)

    def end(self) -> None:
        """End the session as its route does."""
        with self.publisher.database.write() as connection:
            export_when_over(connection, self.publisher.session_id, self.publisher.folder)
        self.publisher.set_session_state("ended")

    def register(self) -> None:
        """Do what the registrar's thread does in a turn."""
        for batch in self.outbox.batches(100, ()):
            self.outbox.note_project(batch.session_id, self.registrar.project(batch.place))
            self.outbox.settle(batch, self.registrar.register(batch.place, batch.exposures))
        for session in self.outbox.open_projects():
            if self.registrar.update_project(session.place, ended=session.ended):
                self.outbox.note_closed(session.session_id)

    @property
    def is_exported(self) -> bool:
        """Whether the exports are up to date."""
        with self.publisher.database.read() as connection:
            return bool(connection.scalar(select(projects.c.closed).where(projects.c.registrar == EXPORTS)))

    def turn(self) -> tuple[bool, bool]:
        """Export what is due; return whether there are files now, and whether they are up to date."""
        self.work.turn()
        return (self.publisher.folder / "cryosparc" / "micrographs.csg").exists(), self.is_exported


@pytest.fixture
def time_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, which goes on by an hour each time it is read."""
    present = [0.0]

    def read() -> float:
        present[0] += 3600.0
        return present[0]

    monkeypatch.setattr("api.exports.ended_sessions.time.monotonic", read)
    monkeypatch.setattr("api.exports.ended_sessions.PAUSE_IN_EXPORTS", 0.0)
    return present


@pytest.fixture
def over(publisher: Any, time_s: list[float]) -> End:
    return End(publisher)


def test_a_session_is_exported_when_it_has_ended_and_is_registered(over: End, caplog: pytest.LogCaptureFixture) -> None:
    over.publisher.publish("a")
    caplog.set_level("INFO")
    assert over.turn() == (False, False)
    over.end()
    assert over.turn() == (False, False)
    over.register()
    over.end()
    assert over.turn() == (True, True)
    assert "session grid1: exported, 1 exposures" in caplog.text
    assert "archives require what nobody gave: oscem.json: instrument.camera_binning" in caplog.text
    over.publisher.reopen_project()  # as late data and verdicts do
    over.publisher.publish("b")
    assert over.turn() == (True, False)
    over.register()
    assert over.turn() == (True, True)
    assert "2 exposures" in caplog.text


def test_what_happens_meanwhile_has_it_exported_again(over: End, monkeypatch: pytest.MonkeyPatch) -> None:
    over.publisher.publish("a")
    over.end()
    over.register()
    export = over.exporter.export

    def and_something_happens(*arguments: Any) -> Any:
        made = export(*arguments)
        with over.publisher.database.write() as connection:
            add_event(connection, over.publisher.session_id, "exposure-rejected", "a")
        return made

    monkeypatch.setattr(over.exporter, "export", and_something_happens)
    assert over.turn() == (True, False)
    monkeypatch.setattr(over.exporter, "export", export)
    assert over.turn() == (True, True)


def test_an_error_of_the_disk_is_tried_again_later(
    over: End, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("api.exports.ended_sessions.time.monotonic", lambda: 100.0)
    over.publisher.publish("a")
    over.end()
    over.register()
    (over.publisher.folder / "cryosparc").write_text("no folder")
    assert over.turn() == (False, False)
    assert "session grid1: its exports could not be made, they are tried again" in caplog.text
    (over.publisher.folder / "cryosparc").unlink()
    assert over.turn() == (False, False)
    monkeypatch.setattr("api.exports.ended_sessions.time.monotonic", lambda: 161.0)
    assert over.turn() == (True, True)


def test_late_data_have_a_session_exported_once_in_a_while(over: End, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.exports.ended_sessions.time.monotonic", lambda: 100.0)
    over.publisher.publish("a")
    over.end()
    over.register()
    assert over.turn() == (True, True)
    over.publisher.reopen_project()
    over.publisher.publish("b")
    over.register()
    assert over.turn() == (True, False)
    monkeypatch.setattr("api.exports.ended_sessions.time.monotonic", lambda: 161.0)
    assert over.turn() == (True, True)


def test_the_end_of_an_empty_session_is_no_news(over: End, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    over.end()
    assert over.turn() == (False, True)
    assert caplog.text == ""


def test_an_export_is_left_when_the_receiver_ends(over: End) -> None:
    over.publisher.publish("a")
    over.stopping.set()
    with pytest.raises(ReceiverBusy, match="the receiver ends"):
        over.exporter.export("grid1", over.work._clock())
