from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from api.database.engine import Database
from api.database.tables import events, exposure_records, now
from api.registrars import RegistrationOutcome, SessionPlace
from api.registrars import runner as runner_module
from api.registrars.relion import RelionRegistrar
from api.registrars.runner import RegistrarRunner
from api.registrars.scipion import ScipionRegistrar
from api.registrars.settings import RegistrarSettings
from api.registrars.star import read_star
from api.registrars.troubles import LONGEST_DELAY_S, TroubleFile, delay_s
from tests.waiting import wait_until
from transfer.disk.locks import FileLock
from transfer.wire import version_1
from transfer.wire.protocol import RegistrarTrouble, RegistrationState


@pytest.fixture
def start(publisher: Any) -> Iterator[Callable[..., RegistrarRunner]]:
    """Start a runner as a receiver's process does, with a database of its own."""
    started: list[tuple[RegistrarRunner, Database]] = []

    def start_one(**settings: Any) -> RegistrarRunner:
        database = Database(f"sqlite:///{publisher.data / 'receiver.sqlite'}")
        runner = RegistrarRunner(RegistrarSettings(**settings), database, publisher.data)
        runner.start()
        started.append((runner, database))
        return runner

    yield start_one
    for runner, database in started:
        runner.stop()
        database.close()


def wait_for_count(publisher: Any, count: int, state: str) -> None:
    wait_until(lambda: publisher.count("relion", state) == count, f"{count} exposures {state}")


def star(publisher: Any) -> dict[str, list[dict[str, str]]]:
    tables = read_star(publisher.folder / "relion" / "corrected_micrographs.star")
    return {name: table.rows() for name, table in tables.items()}


def test_names_of_registrars() -> None:
    assert RegistrarSettings().names() == ("relion",)
    assert RegistrarSettings(scipion="/opt/scipion", relion=False).names() == ("scipion",)


def test_delays_grow_and_stay_bounded() -> None:
    assert [delay_s(attempts) for attempts in range(4)] == [1, 2, 4, 8]
    assert delay_s(10_000) == LONGEST_DELAY_S


def test_each_exposure_once_in_its_newest_revision(publisher: Any, start: Callable[..., RegistrarRunner]) -> None:
    publisher.registrars = ("relion",)
    for label in "abc":
        publisher.publish(label)
    publisher.publish("b", revision=2, seed=2)  # overtakes the first before anybody saw it
    runner = start()
    wait_for_count(publisher, 3, "registered")
    publisher.publish("c", revision=2, pixel_size=0.83)
    wait_for_count(publisher, 4, "registered")
    runner.stop()
    assert not runner.alive

    publisher.publish("d", pixel_size=0.83)
    start()
    wait_for_count(publisher, 5, "registered")
    rows = star(publisher)["micrographs"]
    assert {row["rlnMicrographName"]: row["rlnOpticsGroup"] for row in rows} == {
        "micrographs/a.mrc": "1",
        "micrographs/revision-2/b.mrc": "1",
        "micrographs/revision-2/c.mrc": "2",
        "micrographs/d.mrc": "2",
    }
    assert len(star(publisher)["optics"]) == 2
    assert "superseded by a newer revision" in publisher.details("relion")
    assert not (publisher.folder / "registered" / "b.mrc").exists()
    for row in rows:
        for name in (row["rlnMicrographName"], row["rlnMicrographMetadata"]):
            assert (publisher.folder / "relion" / name).is_file()


def test_a_broken_scipion_says_why_and_holds_nothing_else_up(
    publisher: Any, start: Callable[..., RegistrarRunner], tmp_path: Path
) -> None:
    publisher.publish("a")
    runner = start(scipion=str(tmp_path / "nowhere"))
    wait_for_count(publisher, 1, "registered")
    wait_until(lambda: "there is no Scipion at" in "".join(publisher.details("scipion")), "the registration's failure")
    assert publisher.count("scipion", "pending") == 1
    assert runner.alive
    assert runner.health()["relion"] == "ok"
    wait_until(lambda: "make scipion" in runner.health()["scipion"], "the hint in the registrar's health")


def test_a_registrar_that_hangs_is_told_and_holds_up_neither_the_other_nor_the_end(
    publisher: Any, start: Callable[..., RegistrarRunner], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("api.registrars.call_watch.LONGEST_CALL_S", 0.5)
    monkeypatch.setattr("api.registrars.runner.WATCH_EVERY_S", 0.05)
    star_file = publisher.folder / "relion" / "corrected_micrographs.star"
    star_file.parent.mkdir(parents=True)
    os.mkfifo(star_file)  # reading it waits for a writer, as a share that is gone does
    publisher.publish("a")
    runner = start(scipion=str(tmp_path / "nowhere"))
    other = start()  # another process waits for the lock
    try:
        wait_until(lambda: "has not come back from registering" in runner.health()["relion"], "the hang to be told")
        assert "session grid1 since" in runner.health()["relion"]
        told_elsewhere = [trouble.reason for trouble in other.troubles() if trouble.registrar == "relion"]
        assert any("has not come back" in reason for reason in told_elsewhere)
        publisher.publish("b")  # the ingest goes on, and so does the other registrar
        wait_until(lambda: len(publisher.details("scipion")) == 2, "both explained by scipion")
        wait_until(lambda: all("no Scipion" in why for why in publisher.details("scipion")), "scipion's reasons")
        hung = next(each for each in threading.enumerate() if each.name == "registrar-relion" and each.is_alive())
        runner.stop()
        assert hung.is_alive()
        assert publisher.count("relion", "pending") == 2
    finally:
        star_file.rename(star_file.with_suffix(".fifo"))
        with star_file.with_suffix(".fifo").open("wb"):
            pass


@pytest.mark.parametrize("error", [KeyError("seq"), ValueError("not JSON"), MemoryError(), OSError("disk")])
def test_a_registrars_own_error_holds_up_one_session_of_that_registrar(
    publisher: Any, start: Callable[..., RegistrarRunner], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The other registrar goes on, and so do this one's other sessions, to their end; the first is tried again."""
    broken, looked_after = True, []

    def register(_: Any, place: SessionPlace, exposures: Any) -> dict[int, RegistrationOutcome]:
        if place.name == "grid1" and broken:
            raise error
        return {exposure.number: RegistrationOutcome(RegistrationState.REGISTERED) for exposure in exposures}

    monkeypatch.setattr(ScipionRegistrar, "check", lambda _: None)
    monkeypatch.setattr(ScipionRegistrar, "register", register)
    monkeypatch.setattr(ScipionRegistrar, "update_project", lambda *_, **__: looked_after.append(True))
    other = type(publisher)(publisher.data, "grid2")
    publisher.publish("a")
    other.publish("b")
    runner = start(scipion="/opt/scipion")
    wait_for_count(publisher, 2, "registered")
    wait_until(lambda: publisher.count("scipion", "registered") == 1, "the other session's exposure")
    wait_until(lambda: len(looked_after) > 1, "projects are looked after")
    wait_until(lambda: str(error) in runner.health()["scipion"] != "ok", "the reason in the registrar's health")
    assert runner.health()["relion"] == "ok"
    assert runner.alive
    broken = False
    wait_until(lambda: publisher.count("scipion", "registered") == 2, "the first session's exposure, later")
    wait_until(lambda: runner.health()["scipion"] == "ok", "the registrar is well again")
    other.database.close()


def test_a_project_that_cannot_be_looked_after_holds_up_no_other(
    publisher: Any, start: Callable[..., RegistrarRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    def update_project(_: Any, place: SessionPlace, **__: Any) -> bool:
        if place.name == "grid1":
            raise KeyError("seq")
        closed.append(place.name)
        return True

    monkeypatch.setattr(RelionRegistrar, "update_project", update_project)
    other = type(publisher)(publisher.data, "grid2", ("relion",))
    publisher.registrars = ("relion",)
    publisher.publish("a")
    other.publish("b")
    runner = start()
    wait_until(lambda: closed == ["grid2"], "the other session's project is closed")
    wait_until(lambda: "session grid1" in runner.health()["relion"], "whose session it is")
    other.database.close()


@pytest.mark.parametrize("said", ["", "not json", '{"ok": false, "error": "no domain"}'])
def test_an_interpreter_without_the_plugin(
    publisher: Any, start: Callable[..., RegistrarRunner], tmp_path: Path, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{said}'\necho 'No module named cryoferry_scipion' >&2\nexit 1\n")
    python.chmod(0o755)
    publisher.publish("a")
    runner = start(scipion=str(python), relion=False)
    expected = "Scipion: no domain" if "error" in said else "No module named cryoferry_scipion"
    wait_until(lambda: expected in "".join(publisher.details("scipion")), expected)
    # A moment after the exposure's details.
    wait_until(lambda: expected in runner.health()["scipion"], expected)


def test_a_failed_exposure_is_tried_again_while_others_go_on(
    publisher: Any, start: Callable[..., RegistrarRunner]
) -> None:
    publisher.registrars = ("relion",)
    publisher.publish("a")
    publisher.publish("b")
    committed = publisher.folder / "files" / "a.mrc"
    content = committed.read_bytes()
    committed.write_bytes(content[:2000])
    start()
    wait_for_count(publisher, 1, "registered")
    wait_for_count(publisher, 1, "failed")
    assert [row["rlnMicrographName"] for row in star(publisher)["micrographs"]] == ["micrographs/b.mrc"]
    committed.write_bytes(content)
    wait_for_count(publisher, 2, "registered")
    with publisher.database.read() as connection:
        kinds = connection.execute(select(events.c.kind).order_by(events.c.id)).scalars().all()
    assert kinds.count("exposure-registered") == 2
    assert "registration-failed" in kinds


def test_a_project_is_closed_when_its_session_has_ended(publisher: Any, start: Callable[..., RegistrarRunner]) -> None:
    publisher.registrars = ("relion",)
    publisher.publish("a")
    start()
    wait_for_count(publisher, 1, "registered")
    assert Path(publisher.project("relion")) == publisher.folder / "relion"
    time.sleep(1.2)  # longer than the runner takes to look after its projects
    assert not publisher.closed("relion")
    publisher.set_session_state("ended")
    wait_until(lambda: publisher.closed("relion"), "the closed project")


def test_one_process_works_and_another_takes_over(publisher: Any, start: Callable[..., RegistrarRunner]) -> None:
    publisher.registrars = ("relion",)
    first = FileLock(publisher.data / "registrars.lock")
    assert first.try_acquire()
    runner = start()
    publisher.publish("a")
    time.sleep(1.2)
    assert runner.alive
    assert publisher.count("relion", "pending") == 1
    first.release()
    wait_for_count(publisher, 1, "registered")


def test_a_record_that_an_older_receiver_kept_is_registered(
    publisher: Any, start: Callable[..., RegistrarRunner]
) -> None:
    publisher.registrars = ("relion",)
    record = publisher.publish("old")
    kept = version_1.downgraded(record.model_dump(mode="json"))
    with publisher.database.write() as connection:
        connection.execute(update(exposure_records).values(record=json.dumps(kept)))
    start()
    wait_for_count(publisher, 1, "registered")
    (row,) = star(publisher)["micrographs"]
    assert [row[f"rlnAccumMotion{part}"] for part in ("Total", "Early", "Late")] == ["2.700000", "2.000000", "0.700000"]


def test_trouble_and_recovery_are_one_line_each(
    publisher: Any, start: Callable[..., RegistrarRunner], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publisher.registrars = ("relion",)
    publisher.publish("a")
    in_the_way = publisher.folder / "relion"
    in_the_way.write_text("not a folder")
    runner = start()
    wait_until(lambda: runner.health()["relion"] != "ok", "the registrar's trouble")
    waiting = start()  # as in another process: it does not run the registrars, but knows of the trouble
    assert waiting.troubles() == runner.troubles()
    assert str(in_the_way) in waiting.health()["relion"]
    time.sleep(1.2)  # it tries again meanwhile
    in_the_way.unlink()
    wait_until(lambda: runner.health()["relion"] == "ok", "the registrar's recovery")
    assert waiting.troubles() == []
    trouble, recovery = caplog.messages
    assert trouble.startswith("registrar relion is in trouble: session grid1 waits: ")
    assert str(in_the_way) in trouble
    assert re.fullmatch(r"registrar relion works again for session grid1, after [1-9] s of trouble", recovery)


def test_an_error_of_the_database_is_one_short_line(
    publisher: Any, start: Callable[..., RegistrarRunner], caplog: pytest.LogCaptureFixture
) -> None:
    with publisher.database.write() as connection:
        connection.execute(text("ALTER TABLE registrations RENAME TO elsewhere"))
    runner = start()
    wait_until(lambda: runner.health()["relion"] != "ok", "the registrar's trouble")
    (logged,) = (record for record in caplog.records if "in trouble" in record.getMessage())
    assert "database reported an error: " in logged.getMessage()
    assert "registrations" in logged.getMessage()
    assert "SELECT" not in logged.getMessage()
    assert not logged.exc_info


def test_trouble_of_a_process_that_was_killed_is_forgotten(
    publisher: Any, start: Callable[..., RegistrarRunner]
) -> None:
    left = TroubleFile(publisher.data, "relion")
    old = (RegistrarTrouble(registrar="relion", reason="an old reason", since=now(), session="grid1"),)
    left.write(old)
    assert left.read() == old
    runner = start()
    wait_until(lambda: left.read() == (), "the file's removal")
    assert runner.troubles() == []


def test_a_file_that_cannot_be_read_is_trouble_and_one_that_cannot_be_written_is_not(tmp_path: Path) -> None:
    file = TroubleFile(tmp_path, "relion")
    (tmp_path / "registrar-relion.trouble").write_text("half a")
    (found,) = file.read()
    assert found.reason.endswith("cannot be read")
    TroubleFile(tmp_path / "missing", "relion").write((found,))


def test_a_session_that_waits_holds_up_no_other_one_however_much_of_it_waits(
    publisher: Any, start: Callable[..., RegistrarRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More exposures of it wait than a turn takes; each session has its own reason, until it works again."""
    monkeypatch.setattr(runner_module, "BATCH", 2)
    publisher.registrars = ("relion",)
    other = type(publisher)(publisher.data, "grid2", ("relion",))
    (publisher.folder / "relion").parent.mkdir(parents=True, exist_ok=True)
    (publisher.folder / "relion").write_text("not a folder")
    for label in "abc":
        publisher.publish(label)
    runner = start()
    wait_until(runner.troubles, "the first session's trouble")
    other.publish("d")
    wait_until(lambda: other.count("relion", "registered") == 1, "the other session's exposure")
    (trouble,) = runner.troubles()
    assert (trouble.session, trouble.registrar) == ("grid1", "relion")
    assert trouble.reason in publisher.details("relion")
    assert trouble.reason.startswith(f"{publisher.folder / 'relion'}")
    assert trouble.reason.endswith("Check this path and its disk; the receiver tries again by itself")
    (publisher.folder / "relion").unlink()
    wait_for_count(publisher, 4, "registered")
    wait_until(lambda: not runner.troubles(), "the end of the trouble")
    other.database.close()


def test_a_list_is_written_anew_for_verdicts_after_a_pause_only(
    publisher: Any, start: Callable[..., RegistrarRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    tell = RelionRegistrar.verdicts_changed

    def noted(registrar: RelionRegistrar, *arguments: Any) -> None:
        told.append(time.monotonic())
        tell(registrar, *arguments)

    monkeypatch.setattr(RelionRegistrar, "verdict_pause_s", 1.0)
    monkeypatch.setattr(RelionRegistrar, "verdicts_changed", noted)
    publisher.registrars = ("relion",)
    for label in "abc":
        publisher.publish(label, ctf=True)
    start()
    wait_for_count(publisher, 3, "registered")
    for label in "ab":
        publisher.say(label, accepted=False)
        time.sleep(0.6)  # longer than a turn

    def left() -> str:
        tables = read_star(publisher.folder / "relion" / "micrographs_ctf.star")
        return "".join(Path(row["rlnMicrographName"]).stem for row in tables["micrographs"].rows())

    wait_until(lambda: left() == "c", "no rejected one is listed")
    assert len(told) == 2
    assert told[1] - told[0] > 0.9
