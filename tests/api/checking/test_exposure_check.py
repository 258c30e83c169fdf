"""The check of exposures on a receiver that runs, whose rows and registrars' files are damaged one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from sqlalchemy import Connection, delete, insert, select, update
from typer.testing import CliRunner

from api.commands.receiver import receiver as receiver_commands
from api.database.registrations import counted_registrations
from api.database.tables import (
    claimed_exposures,
    exposure_figures,
    exposure_records,
    exposures,
    files,
    registration_counts,
    registrations,
    sessions,
    verdicts,
)
from api.registrars.listed import listed_names
from api.registrars.scipion_journal import SessionJournal
from tests.contract.wire.claiming import HandAgent
from tests.waiting import wait_until

NAMES = ("a", "b", "c")


class Scene:
    """A session of three exposures that RELION's registrar has listed."""

    def __init__(self, receiver: Any, http: Any, folder: Path) -> None:
        self.receiver, self.http = receiver, http
        self.session = receiver.data / "sessions/s1"
        http.put("/v1/sessions/s1").raise_for_status()
        with mrcfile.new(folder / "x.mrc") as mrc:
            mrc.set_data(np.ones((64, 64), np.float32))
        agent, content = HandAgent(http), (folder / "x.mrc").read_bytes()
        for name in NAMES:
            answer = agent.claim(f"{name}.tiff", name, whole=True)
            agent.publish(answer, f"{name}.tiff", name, content).raise_for_status()
        self.wait_until_registered()

    def wait_until_registered(self) -> None:
        def is_registered() -> bool:
            account = self.http.get("/v1/sessions/s1").json()["account"]
            return bool(account["accepted"] + account["rejected"] == len(NAMES))

        wait_until(is_registered, "all exposures registered")

    def damage(self, change: Callable[[Connection], None]) -> None:
        with self.receiver.app.state.receiver.database.write() as connection:
            change(connection)

    def check(self, *options: str) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code, and the findings about exposures."""
        command = ["check", "--data", str(self.receiver.data), "--json", *options]
        done = CliRunner().invoke(receiver_commands, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        told = [json.loads(line) for line in done.stdout.splitlines()]
        found = [one for one in told if one.get("finding") == "exposures"]
        assert told[-1]["exposures_in_doubt"] == len(found)
        return done.exit_code, found

    def details(self) -> dict[str, list[str]]:
        code, found = self.check()
        assert code == 6
        return {one["detail"]: one["exposures"] for one in found}


@pytest.fixture
def scene(make_receiver: Callable[..., Any], wire_to: Callable[..., Any], tmp_path: Path) -> Scene:
    receiver = make_receiver()
    return Scene(receiver, wire_to(receiver, "admin", None).http, tmp_path)


def key_of(connection: Connection, name: str) -> int:
    key = connection.scalar(select(exposures.c.id).where(exposures.c.micrograph_name == f"{name}.mrc"))
    assert key is not None
    return int(key)


def test_what_only_a_registrar_lacks_is_repaired(scene: Scene) -> None:
    assert scene.check() == (0, [])
    star = scene.session / "relion/corrected_micrographs.star"
    whole = star.read_text()
    star.write_text("".join(line for line in whole.splitlines(keepends=True) if "micrographs/b.mrc" not in line))
    assert scene.details() == {"1 exposure is registered by relion, and its files do not list them": ["b.mrc"]}
    code, (would,) = scene.check("--repair", "--dry-run")
    assert (code, would["repaired"]) == (6, False)
    code, (done,) = scene.check("--repair")
    assert (code, done["repaired"]) == (6, True)
    scene.wait_until_registered()
    assert listed_names("relion", scene.session) == {f"{name}.mrc" for name in NAMES}
    assert scene.check() == (0, [])

    def lose_row(connection: Connection) -> None:
        key = key_of(connection, "c")
        with counted_registrations(connection, 1, [key]):  # as for an exposure from before the registrar ran
            connection.execute(delete(registrations).where(registrations.c.exposure == key))

    scene.damage(lose_row)
    lost = scene.details()
    assert lost["1 exposure is not in the outbox of registrar relion"] == ["c.mrc"]
    assert "1 exposure is not in the outbox of registrar relion, which will not register them" in lost
    assert scene.check("--repair")[0] == 6
    scene.wait_until_registered()
    assert scene.check() == (0, [])
    star.unlink()
    star.mkdir()
    (unreadable,) = scene.details()
    assert unreadable.startswith("the files of registrar relion cannot be read: ")


def test_rows_that_are_lost(scene: Scene) -> None:
    with scene.receiver.app.state.receiver.database.read() as connection:
        kept = {table: connection.execute(select(table)).mappings().all() for table in (files, claimed_exposures)}

    def lose_file(connection: Connection) -> None:
        connection.execute(delete(files).where(files.c.path == "a.mrc"))

    scene.damage(lose_file)
    assert scene.details() == {"1 exposure is published, and the rows of their files are lost": ["a.mrc"]}

    def put_back(table: Any) -> Callable[[Connection], None]:
        def put(connection: Connection) -> None:
            there = set(connection.scalars(select(table.c.id)))
            for row in kept[table]:
                if row["id"] not in there:
                    connection.execute(insert(table).values(row))

        return put

    scene.damage(put_back(files))
    assert scene.check() == (0, [])
    scene.damage(lambda connection: connection.execute(delete(claimed_exposures).where(claimed_exposures.c.id == 2)))
    lost = scene.details()
    assert lost["1 exposure is published, and the rows of their claims are lost"] == ["b.mrc"]
    assert "1 exposure is in more than one of these places" in lost
    scene.damage(put_back(claimed_exposures))
    scene.damage(lambda connection: connection.execute(update(sessions).values(rejected_count=1)))
    assert list(scene.details()) == ["0 exposures are rejected, and 1 are counted"]
    scene.damage(lambda connection: connection.execute(update(sessions).values(rejected_count=0)))

    def lose_exposure(connection: Connection) -> None:
        key = key_of(connection, "c")
        for table in (registrations, exposure_figures, exposure_records, verdicts):
            connection.execute(delete(table).where(table.c.exposure == key))
        connection.execute(delete(exposures).where(exposures.c.id == key))

    scene.damage(lose_exposure)
    assert "2 exposures are there, and 3 were published" in scene.details()
    assert "registrar relion has 1 exposure more than are published" in scene.details()


def test_what_is_not_in_the_journal_that_scipions_follower_reads(scene: Scene) -> None:
    def register_in_scipion(connection: Connection) -> None:
        for name in NAMES:
            row = {"exposure": key_of(connection, name), "revision": 1, "registrar": "scipion", "state": "registered"}
            row["detail"] = "a tilt of x: it is not in the set" if name == "a" else ""
            connection.execute(insert(registrations).values(row))
        counts = {"registered_count": len(NAMES), "pending_count": 0, "failed_count": 0}
        connection.execute(insert(registration_counts).values(session_id=1, registrar="scipion", **counts))

    scene.damage(register_in_scipion)
    journal = SessionJournal(scene.session / "scipion", "s1")
    journal.append_micrographs([{"name": "c.mrc", "revision": 1}])
    with (scene.session / "scipion/journal.jsonl").open("ab") as stream:
        stream.write(b'{"seq": 3, "type": "micro')  # which is being written
    assert scene.details() == {"1 exposure is registered by scipion, and its files do not list them": ["b.mrc"]}
