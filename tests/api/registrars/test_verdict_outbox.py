"""Verdicts on their way to the registrars: each arrives, in order, whatever ends in between."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from api.database.engine import Database
from api.database.tables import untold_verdicts
from api.registrars.outbox import Outbox
from api.registrars.runner import RegistrarRunner
from api.registrars.scipion_journal import FORMAT
from api.registrars.settings import RegistrarSettings
from api.registrars.verdict_outbox import UntoldVerdicts, VerdictOutbox
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
RUN = (
    "import sys, time; from pathlib import Path; from api.database.engine import Database;"
    "from api.registrars.runner import RegistrarRunner; from api.registrars.settings import RegistrarSettings;"
    "data = Path(sys.argv[1]); settings = RegistrarSettings(scipion=sys.argv[2], relion=False);"
    "RegistrarRunner(settings, Database(f'sqlite:///{data}/receiver.sqlite'), data).start(); time.sleep(600)"
)


@pytest.fixture
def scipion(tmp_path: Path) -> Path:
    """An interpreter that answers as a Scipion whose follower runs, but takes nothing."""
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh\necho '{{"ok": true, "journal_format": {FORMAT}, "alive": true}}'\n""")
    python.chmod(0o755)
    return python


@pytest.fixture
def start(publisher: Any) -> Iterator[Callable[..., RegistrarRunner]]:
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


def untold(publisher: Any, registrar: str) -> int:
    query = select(func.count()).where(untold_verdicts.c.registrar == registrar)
    with publisher.database.read() as connection:
        return connection.execute(query).scalar_one()


def journal(publisher: Any) -> list[dict[str, Any]]:
    path = publisher.folder / "scipion" / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def said(publisher: Any) -> list[tuple[str, bool, str]]:
    return [(one["name"], one["accepted"], one["by"]) for one in journal(publisher) if one["type"] == "verdict"]


def told(batch: UntoldVerdicts) -> list[tuple[str, bool, str]]:
    return [(one.micrograph_name, one.verdict.accepted, one.verdict.by.value) for one in batch.verdicts]


def test_present_verdicts_come_in_the_order_of_the_last_changes(publisher: Any) -> None:
    outbox = VerdictOutbox(publisher.database, publisher.data, "relion")
    for label in "abc":
        publisher.publish(label)
    assert outbox.batches() == []
    publisher.reject_motion_above(1.0)
    publisher.say("a", accepted=True)
    (batch,) = outbox.batches()
    assert told(batch) == [("b.mrc", False, "threshold"), ("c.mrc", False, "threshold"), ("a.mrc", True, "person")]
    assert all(one.verdict.at is not None and one.revision == 1 for one in batch.verdicts)
    publisher.say("b", accepted=True)  # meanwhile
    outbox.note_told(batch)
    (batch,) = outbox.batches()
    assert told(batch) == [("b.mrc", True, "person")]
    outbox.note_told(batch)
    assert outbox.batches() == []
    assert untold(publisher, "scipion") == 3  # of another registrar


def test_an_exposure_comes_with_its_present_verdict(publisher: Any) -> None:
    publisher.reject_motion_above(1.0)
    publisher.publish("a")
    outbox = Outbox(publisher.database, publisher.data, "relion")
    verdicts = []
    for accepted in (None, True, False):
        publisher.say("a", accepted=accepted)
        (batch,) = outbox.batches(10, ())
        verdicts.append((batch.exposures[0].verdict.accepted, batch.exposures[0].verdict.by.value))
    assert verdicts == [(False, "threshold"), (True, "person"), (False, "person")]


def test_the_journal_says_what_has_changed(
    publisher: Any, start: Callable[..., RegistrarRunner], scipion: Path
) -> None:
    publisher.reject_motion_above(1.0)
    publisher.publish("a")
    start(scipion=str(scipion), relion=False)
    wait_until(lambda: len(journal(publisher)) == 3, "the micrograph with its verdict")
    assert [one["type"] for one in journal(publisher)] == ["session", "verdict", "micrograph"]
    publisher.say("a", accepted=False)
    wait_until(lambda: len(said(publisher)) == 2, "the word of a person")
    publisher.say("a", accepted=None)
    wait_until(lambda: len(said(publisher)) == 3, "that it is withdrawn")
    publisher.reject_motion_above(5.0)
    wait_until(lambda: len(said(publisher)) == 4, "what the other threshold says")
    assert said(publisher) == [
        ("a.mrc", False, "threshold"),
        ("a.mrc", False, "person"),
        ("a.mrc", False, "threshold"),
        ("a.mrc", True, "threshold"),
    ]
    wait_until(lambda: untold(publisher, "scipion") == 0, "an empty outbox")


def test_a_late_verdict_opens_a_closed_project_until_it_is_told(
    publisher: Any, start: Callable[..., RegistrarRunner], scipion: Path
) -> None:
    publisher.registrars = ("scipion",)
    publisher.publish("a")
    start(scipion=str(scipion), relion=False)

    def answer(kind: str) -> None:
        (entry,) = [one for one in journal(publisher) if one["type"] == kind][-1:]
        known = {key: entry[key] for key in ("seq", "name", "revision") if key in entry}
        with (publisher.folder / "scipion" / "acknowledged.jsonl").open("a") as stream:
            stream.write(json.dumps(known | ({"type": "end"} if kind == "end" else {})) + "\n")

    def types() -> list[str]:
        return [one["type"] for one in journal(publisher)]

    wait_until(lambda: "micrograph" in types(), "the micrograph")
    answer("micrograph")
    publisher.set_session_state("ended")
    wait_until(lambda: types()[-1] == "end", "the end")
    answer("end")
    wait_until(lambda: publisher.closed("scipion"), "the closed project")
    publisher.say("a", accepted=False)
    wait_until(lambda: types()[-3:] == ["reopen", "verdict", "end"], "the late verdict and another end")
    assert not publisher.closed("scipion")
    answer("end")
    wait_until(lambda: publisher.closed("scipion"), "the project is closed again")


def test_a_session_whose_folder_fails_holds_no_other_up(
    publisher: Any, start: Callable[..., RegistrarRunner], scipion: Path
) -> None:
    publisher.publish("a")
    start(scipion=str(scipion), relion=False)
    wait_until(lambda: len(journal(publisher)) == 2, "the micrograph")
    path = publisher.folder / "scipion" / "journal.jsonl"
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    publisher.say("a", accepted=False)
    time.sleep(1.0)
    assert untold(publisher, "scipion") == 1
    path.rmdir()
    path.write_bytes(content)
    wait_until(lambda: said(publisher) == [("a.mrc", False, "person")], "the verdict, once")
    wait_until(lambda: untold(publisher, "scipion") == 0, "an empty outbox")


def test_nothing_is_lost_or_doubled_by_kills(publisher: Any, scipion: Path) -> None:
    """The process is killed at any moment between commit, line and note; what the journal says last is true."""
    publisher.registrars = ("scipion",)
    chance = random.Random(1)
    labels = [f"m{number}" for number in range(8)]
    for label in labels:
        publisher.publish(label)

    def processes() -> Iterator[subprocess.Popen[bytes]]:
        while True:
            process = subprocess.Popen([sys.executable, "-c", RUN, str(publisher.data), str(scipion)], cwd=ROOT)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    running = processes()
    last: dict[str, bool] = {}
    for _ in range(2):
        next(running)
        length = len(journal(publisher))
        some = chance.sample(labels, 5)
        for label in some:
            last[label] = chance.random() < 0.5
            publisher.say(label, accepted=last[label])
        wait_until(lambda before=length: len(journal(publisher)) > before, "some lines")
        time.sleep(chance.random() * 0.05)
    next(running)
    wait_until(lambda: untold(publisher, "scipion") == 0, "an empty outbox")
    running.close()
    lines = journal(publisher)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    present = {name.removesuffix(".mrc"): accepted for name, accepted, _ in said(publisher)}
    assert present == last
    for label in labels:
        own = [accepted for name, accepted, _ in said(publisher) if name == f"{label}.mrc"]
        assert all(one != other for one, other in itertools.pairwise(own)), "the same verdict twice"
