"""Names that older receivers accepted and this one does not: what has them stays, and nothing new gets them."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import update

from api.database.tables import files
from tests.contract.wire.claiming import HandAgent, claim, record
from tests.contract.wire.test_upload_answers import refused
from tests.running import cryoferry
from tests.waiting import wait_until

OLD = "-d/-rf.mrc"


@pytest.fixture
def sent(receiver, wire) -> dict[str, object]:
    """Return the receipt of a file that an older receiver accepted under a name that begins with `-`."""
    receipt = wire.put_file("d/rf.mrc", b"hello").json()
    folder = receiver.data / "sessions/s1/files"
    (folder / "-d").mkdir()
    (folder / "d/rf.mrc").rename(folder / OLD)
    with receiver.app.state.receiver.database.write() as connection:
        connection.execute(update(files).values(path=OLD, location=f"sessions/s1/files/{OLD}"))
    return receipt | {"path": OLD}


@pytest.mark.parametrize("path", ["-x.mrc", "-d/x.mrc", "d/-x", ".x.mrc", "d/.x"])
def test_nothing_new_gets_such_a_name(wire, path) -> None:
    refused(wire.put_file(path, b"hello"), 422, "bad-name")
    refused(wire.declare(uuid4(), path, 5), 422, "bad-name")
    refused(wire.put_file(f"{path}?revision=2", b"hello"), 422, "bad-name")
    assert wire.http.get("/v1/sessions/s1/files").json()["files"] == []


def test_what_has_such_a_name_is_listed_read_and_verified(wire, sent) -> None:
    (listed,) = wire.http.get("/v1/sessions/s1/files").json()["files"]
    assert (listed["path"], listed["on_disk"]) == (OLD, "same")
    assert wire.http.get("/v1/sessions/s1/files", params={"after": OLD}).json()["files"] == []
    assert wire.http.get(f"/v1/files/s1/{OLD}").content == b"hello"
    started = wire.http.post("/v1/sessions/s1/verifications", json={"paths": [OLD]})
    assert started.status_code == 202
    place = f"/v1/sessions/s1/verifications/{started.json()['id']}"
    done = wait_until(lambda: (now := wire.http.get(place).json())["state"] == "done" and now, "the verification")
    assert (done["checked_files"], done["problems"]) == (1, [])


def test_what_has_such_a_name_may_come_again_and_get_revisions(wire, sent) -> None:
    assert wire.put_file(OLD, b"hello").status_code == 200
    refused(wire.put_file(OLD, b"other"), 409, "name-taken")
    assert wire.put_file(f"{OLD}?revision=2", b"other").status_code == 201
    assert wire.http.get(f"/v1/files/s1/{OLD}").content == b"other"


def test_what_has_such_a_name_comes_again_after_the_disk_lost_it(receiver, wire, sent) -> None:
    (receiver.data / "sessions/s1/files" / OLD).unlink()
    assert wire.put_file(OLD, b"hello").status_code == 201


def test_what_has_such_a_name_is_fetched_and_compared(receiver, wire, sent, tmp_path) -> None:
    token = {"CRYOFERRY_TOKEN": receiver.token("agent", "s1")}
    fetched = cryoferry("fetch", f"s1/{OLD}", "--from", receiver.url, "--out", tmp_path, **token)
    assert fetched.returncode == 0, fetched.stderr
    assert (tmp_path / OLD).read_bytes() == b"hello"
    compared = cryoferry("verify", tmp_path / "-d", "--with", receiver.url, "--session", "s1", **token)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    sent_again = cryoferry("send", tmp_path / "-d", "--to", receiver.url, "--session", "s1", **token)
    assert sent_again.returncode == 0, sent_again.stderr
    assert (receiver.data / "sessions/s1/files/=2Dd/=2Drf.mrc").read_bytes() == b"hello"


def test_an_older_agent_that_claims_such_a_name_gets_another(agent) -> None:
    answer, other = agent.claims(claim("-d/-x.tiff"), claim("y.tiff", "B"))
    assert (answer.status, answer.stem, other.stem) == ("claimed", "=2Dd/=2Dx", "y")
    assert agent.publish(answer, "-d/-x.tiff").status_code == 201


def test_a_record_may_name_such_a_file(wire, agent: HandAgent, sent) -> None:
    answer = agent.claim("x.tiff")
    body = record(answer, "x.tiff", "A", sent)
    assert agent.put(body).status_code == 201
