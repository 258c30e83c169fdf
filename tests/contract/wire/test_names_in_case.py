"""Names that differ only in upper and lower case are one: of files, of their folders, and of sessions."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from api.database.tables import sessions
from api.store.deletion import delete_exposure
from tests.contract.wire.claiming import claim, record
from tests.contract.wire.test_racing import at_once
from tests.contract.wire.test_upload_answers import refused
from tests.waiting import wait_until

DIFFERS = "name-differs-in-case"
LONG = "/".join(["ΐ" * 100] * 4)  # folded, it has six bytes for each letter's two
PAIRS = [
    ("x.mrc", "X.mrc", "x.mrc"),
    ("Straße Å.mrc", "STRASSE å.mrc", "Straße Å.mrc"),
    ("Grid1/a.mrc", "grid1/b.mrc", "Grid1"),
    ("Grid1/Data/a.mrc", "Grid1/data/b.mrc", "Grid1/Data"),
    ("Grid1/Data/a.mrc", "grid1", "Grid1"),
    ("grid1", "Grid1/Data/a.mrc", "grid1"),
    (f"{LONG}/x", f"{LONG}/X", f"{LONG}/x"),
    (f"{LONG}/x/y", f"{LONG}/X/z", f"{LONG}/x"),
]


def refused_for(wire: Any, path: str, existing: str) -> None:
    """Check that nobody may begin a file of that name, in one request or in parts."""
    for answer in (wire.put_file(path, b"other"), wire.declare(uuid4(), path, 5)):
        refused(answer, 409, DIFFERS)
        assert answer.json()["existing"] == existing
        assert repr(existing) in answer.json()["detail"]


def test_a_committed_name_and_one_that_is_being_received(wire) -> None:
    for number, (path, other, existing) in enumerate(PAIRS):
        assert wire.put_file(f"p{number}/{path}", b"hello").status_code == 201
        refused_for(wire, f"p{number}/{other}", f"p{number}/{existing}")
        assert wire.declare(uuid4(), f"q{number}/{path}", 5).status_code == 201
        refused_for(wire, f"q{number}/{other}", f"q{number}/{existing}")
    listed = wire.http.get("/v1/sessions/s1/files").json()["files"]
    assert [file["path"] for file in listed] == [f"p{number}/{path}" for number, (path, _, _) in enumerate(PAIRS)]


def test_an_upload_that_is_withdrawn_frees_its_name_and_its_folders(wire) -> None:
    uploads = [uuid4(), uuid4()]
    for upload, path in zip(uploads, ("Grid1/Data/a", "Grid1/b"), strict=True):
        assert wire.declare(upload, path, 5).status_code == 201
    assert wire.http.delete(f"/v1/uploads/{uploads[0]}").status_code == 204
    refused_for(wire, "grid1/c", "Grid1")
    assert wire.put_file("Grid1/data/a", b"hello").status_code == 201
    assert wire.http.delete(f"/v1/uploads/{uploads[1]}").status_code == 204
    refused_for(wire, "grid1/c", "Grid1")  # the file in Grid1/data is there
    upload = uuid4()
    assert wire.declare(upload, "Other/x", 5).status_code == 201
    assert wire.http.delete(f"/v1/uploads/{upload}").status_code == 204
    assert wire.put_file("other/X", b"hello").status_code == 201


def test_a_file_whose_body_was_refused_frees_its_name(wire) -> None:
    wrong = wire.http.put("/v1/files/s1/Grid1/x", content=b"hello", headers={"Content-Digest": f"blake3=:{'A' * 43}=:"})
    refused(wrong, 400, "chunk-corrupt")
    assert wire.put_file("grid1/X", b"hello").status_code == 201


def test_a_name_that_the_disk_has_lost_stays_that_file_s(wire, receiver) -> None:
    assert wire.put_file("x", b"hello").status_code == 201
    (receiver.data / "sessions/s1/files/x").unlink()
    assert wire.declare(uuid4(), "x", 5).status_code == 201  # it is found to be lost
    refused_for(wire, "X", "x")
    assert wire.put_file("x", b"hello").status_code == 201


def test_a_name_that_was_deleted_on_purpose(wire, receiver, agent) -> None:
    answer = agent.claim("d/x.tiff")
    assert agent.publish(answer, "d/x.tiff").status_code == 201
    inside = receiver.app.state.receiver
    delete_exposure(inside.database, inside.storage, "s1", answer.exposure_id, "mistake")
    refused(wire.put_file("d/x.mrc", b"micrograph"), 410, "deleted")
    refused_for(wire, "d/X.mrc", "d/x.mrc")


def test_a_decomposed_name_is_refused_as_such(wire) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zürich.mrc") for form in ("NFC", "NFD"))
    for _ in range(2):  # without its twin, and with it
        refused(wire.declare(uuid4(), decomposed, 5), 422, "bad-name")
        refused(wire.put_file(decomposed, b"hello"), 422, "bad-name")
        assert wire.put_file(composed, b"hello").is_success


def test_sessions(receiver, wire_to) -> None:
    admin = wire_to(receiver, "admin", None).http
    answers = at_once(*(lambda name=name: admin.put(f"/v1/sessions/{name}") for name in ("Krios-1", "krios-1") * 3))
    assert {answer.status_code for answer in answers} == {200, 201, 409}
    there = {answer.json()["name"] for answer in answers if answer.is_success}
    assert len(there) == 1
    (name,) = there
    for other in {"Krios-1", "krios-1", "KRIOS-1"} - there:
        problem = refused(admin.put(f"/v1/sessions/{other}"), 409, DIFFERS)
        assert problem["existing"] == name
        refused(admin.get(f"/v1/sessions/{other}"), 404, "not-found")


def test_of_two_names_at_the_same_instant_one_is_first(wire) -> None:
    for turn in range(3):
        paths = (f"f{turn}/a", f"F{turn}/b", f"F{turn}/c")
        codes = at_once(*(lambda path=path: wire.declare(uuid4(), path, 5).status_code for path in paths))
        assert sorted(codes) in ([201, 409, 409], [201, 201, 409]), codes
        assert codes[1] == codes[2] != codes[0], codes


def test_exposures_get_names_that_differ(agent, wire) -> None:
    answers = agent.claims(
        claim("Grid1/x.tiff"), claim("grid1/X.tiff", "B"), claim("GRID1/y.tiff", "C"), claim("grid1/x_nodw.tiff", "D")
    )
    assert [answer.stem for answer in answers] == ["Grid1/x", "Grid1/X-2", "Grid1/y", "Grid1/x_nodw-2"]
    for answer, content in zip(answers, "ABCD", strict=True):
        assert agent.publish(answer, f"{answer.stem}.tiff", content).status_code == 201
    by_hand = wire.put_file("Grid1/Z.mrc", b"by hand").json()
    assert agent.claim("grid1/z.tiff", "E").stem == "Grid1/z-2"
    answer = agent.claim("y.tiff", "F")  # of an agent that does not claim, the stem is that of its micrograph
    unclaimed = answer.model_copy(update={"exposure_id": uuid4()})
    assert agent.put(record(unclaimed, "Z.tiff", "G", by_hand)).status_code == 201
    assert agent.claim("Grid1/z.tiff", "H", source="b").stem == "Grid1/z-3"


@pytest.fixture
def older(receiver, wire) -> Path:
    """Return the session's folder of a receiver that took names that differ only in case when it was older."""
    inside = receiver.app.state.receiver
    for path in ("Grid1/x", "grid2/x", "grid1x/X", "other"):
        assert wire.put_file(path, b"hello").status_code == 201
    files = receiver.data / "sessions/s1/files"
    (files / "grid2").rename(files / "grid1")
    (files / "grid1x/X").rename(files / "Grid1/X")
    with inside.database.write() as connection:
        for old, new in (("grid2/x", "grid1/x"), ("grid1x/X", "Grid1/X")):
            values = {"old": old, "new": new, "location": f"sessions/s1/files/{new}"}
            connection.execute(text("UPDATE files SET path = :new, location = :location WHERE path = :old"), values)
        connection.execute(
            text("INSERT INTO sessions (name, state, created_at) SELECT 'S1', state, created_at FROM sessions")
        )
        # what version 6 of the tables did not have
        for table in ("names", "untold_verdicts", "verdicts", "due_judgements", "thresholds", "exposure_figures"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("ALTER TABLE sessions DROP COLUMN rejected_count"))
        connection.execute(text("DROP INDEX ix_sessions_folded"))
        connection.execute(text("ALTER TABLE sessions DROP COLUMN folded"))
        connection.execute(text("DROP INDEX ix_sessions_token_id"))
        connection.execute(text("ALTER TABLE sessions DROP COLUMN token_id"))
        connection.execute(text("ALTER TABLE uploads DROP COLUMN promise_ended_at"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    receiver.stop()
    return files


def test_what_an_older_receiver_took_stays_and_may_have_revisions(older, make_receiver, wire_to) -> None:
    receiver = make_receiver(data=older.parents[2])
    wire = wire_to(receiver)
    there = ["Grid1/X", "Grid1/x", "grid1/x", "other"]
    assert [file["path"] for file in wire.http.get("/v1/sessions/s1/files").json()["files"]] == there
    started = wire.http.post("/v1/sessions/s1/verifications", json={"paths": there}).json()
    place = f"/v1/sessions/s1/verifications/{started['id']}"
    done = wait_until(lambda: (now := wire.http.get(place).json())["state"] == "done" and now, "the verification")
    assert (done["checked_files"], done["problems"]) == (4, [])
    for path in there:
        assert wire.http.get(f"/v1/files/s1/{path}").content == b"hello"
        assert wire.put_file(path, b"hello").status_code == 200
        assert wire.put_file(f"{path}?revision=2", b"other").status_code == 201
    (older / "Grid1/x").unlink()
    assert wire.put_file("Grid1/x", b"hello").status_code == 201
    for number, folder in enumerate(("Grid1", "grid1")):  # both are there
        assert wire.put_file(f"{folder}/new{number}", b"hello").status_code == 201
    refused_for(wire, "grid1/X", "Grid1/X")
    refused_for(wire, "GRID1/y", "Grid1")
    refused_for(wire, "Other", "other")
    admin = wire_to(receiver, "admin", None).http
    assert [admin.put(f"/v1/sessions/{name}").status_code for name in ("s1", "S1")] == [200, 200]
    assert admin.put("/v1/sessions/new").status_code == 201
    with receiver.app.state.receiver.database.read() as connection:
        folded = connection.execute(select(sessions.c.name, sessions.c.folded)).all()
    assert sorted(folded) == [("S1", "s1"), ("new", "new"), ("s1", "s1")]
