"""`serve --database postgresql://…`, as an operator runs it: several workers, registrars, a server that goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import mrcfile
import numpy as np
import pytest
from sqlalchemy import select

from api.app import prepared
from api.database.engine import Database
from api.database.tables import files
from api.errors import BadOption, WrongDatabase
from api.settings import ReceiverSettings
from tests.running import COMMAND, cryoferry
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.pace.retrying import RetryPolicy
from transfer.verifying import files_with_problems
from transfer.wire.problems import PROBLEM_TYPE


def test_several_workers_share_the_work(receiver_process, postgresql, wire_to, tmp_path) -> None:
    receiver_process.database = postgresql.new_database()
    receiver_process.options = ("--workers", "2")
    receiver_process.start()
    wires = [wire_to(receiver_process) for _ in range(6)]
    racing_names_have_one_winner_each(receiver_process, wires)
    racing_spellings_have_one_winner_each(wires)
    an_exposure_reaches_relion_once(receiver_process, wires, tmp_path)
    assert receiver_process.stop() == 0
    assert not list(receiver_process.data.glob("*.sqlite"))


def racing_names_have_one_winner_each(served, wires) -> None:
    ready = threading.Barrier(len(wires))

    def send(wire, turn: int) -> tuple[int, bytes]:
        data = os.urandom(1000 + turn)
        ready.wait()
        while (answer := wire.put_file(f"f{turn}", data)).status_code == 503:
            time.sleep(0.02)
        return answer.status_code, data

    def declare(wire, turn: int) -> httpx.Response:
        ready.wait()
        return wire.declare(uuid4(), f"u{turn}", 7)

    with ThreadPoolExecutor(len(wires)) as pool:
        for turn in range(5):
            results = list(pool.map(send, wires, [turn] * len(wires)))
            assert sorted(code for code, _ in results) == [201] + [409] * (len(wires) - 1)
            (winner,) = (data for code, data in results if code == 201)
            assert (served.data / f"sessions/s1/files/f{turn}").read_bytes() == winner
            answers = list(pool.map(declare, wires, [turn] * len(wires)))
            assert sorted(answer.status_code for answer in answers) == [201] + [409] * (len(wires) - 1)
            assert len({answer.json()["upload_id"] for answer in answers}) == 1
    listed = wires[0].http.get("/v1/sessions/s1/files").json()["files"]
    assert sorted(file["path"] for file in listed) == [f"f{turn}" for turn in range(5)]
    told = wires[0].http.get("/v1/sessions/s1/events").json()["events"]
    assert [event["kind"] for event in told].count("file-committed") == 5


def racing_spellings_have_one_winner_each(wires) -> None:
    """Of names that differ in case, of files and of folders, that several clients begin at once at both workers."""
    ready = threading.Barrier(len(wires))

    def begin(wire, path: str) -> tuple[str, httpx.Response]:
        ready.wait()
        if wires.index(wire) % 2:
            return path, wire.put_file(path, b"hello")
        return path, wire.declare(uuid4(), path, 5)

    def spelled(name: str) -> list[str]:
        return [name[:number] + name[number:].swapcase() for number in range(len(wires))]

    with ThreadPoolExecutor(len(wires)) as pool:
        for turn in range(8):
            paths = spelled(f"moviex{turn}") if turn % 2 else [f"{one}/x" for one in spelled(f"folder{turn}")]
            answers = dict(pool.map(begin, wires, paths))
            (winner,) = (path for path, answer in answers.items() if answer.status_code == 201)
            for path in answers.keys() - {winner}:
                told = answers[path].json()
                assert (answers[path].status_code, told["type"]) == (409, PROBLEM_TYPE + "name-differs-in-case"), told
                assert told["existing"] == (winner if turn % 2 else winner.partition("/")[0])


def exposure_of(micrograph: dict) -> dict:
    """Return the record of an exposure whose one file is this."""
    acquisition = {"voltage_kv": 300, "cs_mm": 2.7, "amplitude_contrast": 0.1, "movie_pixel_size_angstrom": 0.83}
    return {
        "exposure_id": str(uuid4()),
        "movie": "x.tiff",
        "label": "x",
        "micrograph_pixel_size_angstrom": 0.83,
        "micrograph_width_px": 64,
        "micrograph_height_px": 64,
        "acquisition": {**acquisition, "frame_count": 2},
        "shifts": {"first_frame": 1, "y_px": [0, 0.5], "x_px": [0, -0.25]},
        "figures": {"motion_total_angstrom": 0.5, "motion_early_angstrom": 0.5, "motion_late_angstrom": 0},
        "files": [
            {"role": "micrograph", **{key: micrograph[key] for key in ("path", "revision", "size_bytes", "digest")}}
        ],
    }


def an_exposure_reaches_relion_once(served, wires, folder: Path) -> None:
    with mrcfile.new(folder / "x.mrc") as file:
        file.set_data(np.ones((64, 64), np.float32))
        file.voxel_size = 0.83
    body = exposure_of(wires[0].put_file("x.mrc", (folder / "x.mrc").read_bytes()).json())
    for wire in wires:
        assert wire.http.put(f"/v1/sessions/s1/exposures/{body['exposure_id']}", json=body).is_success
    assert wires[0].http.post("/v1/sessions/s1/end").is_success
    wait_until(lambda: wires[0].http.get("/v1/sessions/s1").json()["closed"], "the session's closed project")
    session = wires[0].http.get("/v1/sessions/s1").json()
    assert session["registered_count"] == {"relion": 1}
    star = served.data / "sessions/s1/relion/corrected_micrographs.star"
    assert sum(".mrc" in line for line in star.read_text().splitlines()) == 1
    kinds = [event["kind"] for event in wires[0].http.get("/v1/sessions/s1/events").json()["events"]]
    assert (kinds.count("exposure-published"), kinds.count("exposure-registered")) == (1, 1)


def test_a_server_that_restarts_is_waited_for(make_receiver, wire_to, postgresql) -> None:
    wire = wire_to(make_receiver())
    postgresql.stop("fast")
    try:
        answer = wire.http.put("/v1/sessions/s2")
        assert (answer.status_code, "receiver-busy" in answer.text) == (503, True), answer.text
        ready = wire.http.get("/readyz")
        assert ready.status_code == 503
        assert "127.0.0.1" not in ready.text  # tells strangers nothing of where the database is
    finally:
        postgresql.start()
    assert wire.put_file("x", b"hello").status_code == 201


def test_a_database_that_cannot_be_reached_is_told_without_its_password(tmp_path: Path) -> None:
    serve = [*COMMAND, "serve", "--data", tmp_path, "--port", "0", "--database"]
    url = "postgresql://cryoferry:s3cret-word@127.0.0.1:9/x"
    told = subprocess.run([*serve, url], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "database cannot be used" in told.stderr
    assert "what to do: Check that the database server runs" in told.stderr
    assert "Traceback" not in told.stderr
    assert "s3cret" not in told.stdout + told.stderr


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@h:port/x", "mysql://u:s3cret@h/x", "s3cret", "postgresql://h:s3cret/x"]
)
def test_no_refusal_of_a_url_tells_its_password(url) -> None:
    with pytest.raises(BadOption) as refused:
        Database(url)
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"


def test_a_missing_driver_is_named() -> None:
    """In a Python that finds no psycopg."""
    program = "import sys; sys.modules['psycopg'] = None; from api.database.engine import Database; Database('postgresql://h/x')"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "BadOption: --database: the driver for postgresql cannot be loaded" in told.stderr


def test_files_are_checked_repaired_and_summed(make_receiver, wire_to, database_url) -> None:
    receiver = make_receiver()
    wire = wire_to(receiver)
    for name in ("a", "b", "c"):
        assert wire.put_file(name, b"hello").status_code == 201
    folder = receiver.data / "sessions/s1/files"
    (folder / "a").unlink()
    (folder / "b").write_bytes(b"HELLO")
    (folder / "x").write_bytes(b"extra")
    with ReceiverClient(receiver.url, receiver.token("reader", "s1")) as client:
        found = list(files_with_problems(client, "s1", ["a", "b", "c"], RetryPolicy(60, lambda: False)))
    assert [(one.path, one.check.value) for one in found] == [("a", "missing"), ("b", "changed")]
    assert wire.http.get("/readyz").json()["checks"]["files"].startswith("2 committed files missing or changed")
    options = ("--data", receiver.data, "--database", database_url, "--json")
    done = cryoferry("receiver", "check", "--deep", "--repair", *options)
    assert done.returncode == 6, done.stderr
    kinds = [json.loads(line).get("finding") for line in done.stdout.splitlines()]
    assert kinds == ["missing", "changed", "extra", None]
    assert cryoferry("receiver", "check", "--deep", *options).returncode == 0
    assert wire.put_file("a", b"hello").status_code == 201
    database = receiver.app.state.receiver.database

    def all_summed() -> bool:
        with database.read() as connection:
            return None not in connection.scalars(select(files.c.sha256)).all()

    wait_until(all_summed, "the SHA-256 of every file", pause_s=0.1)


def test_a_folder_and_its_database_stay_together(postgresql, tmp_path) -> None:
    def start(name: str, url: str | None) -> None:
        settings = ReceiverSettings(data=tmp_path / name, database=url, reserve_bytes=0)
        with prepared(settings):
            pass

    url = postgresql.new_database()
    start("a", url)
    start("a", url)
    with pytest.raises(WrongDatabase, match=r"but .*b has no id"):
        start("b", url)
    with pytest.raises(WrongDatabase, match="has a database already"):
        start("a", None)
    assert not (tmp_path / "a" / "receiver.sqlite").exists()
    with pytest.raises(WrongDatabase, match="belongs to no folder yet"):
        start("a", postgresql.new_database())
    (tmp_path / "a").rename(tmp_path / "moved")
    start("moved", url)
