"""Client and receiver of different versions: both directions, by the commands that people use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.records import record_of_files
from tests.running import cryoferry
from transfer.client import ReceiverClient
from transfer.wire.errors import VersionMismatch
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.protocol import SERVICE
from transfer.wire.versions import NEWEST_PROTOCOL, OLDEST_PROTOCOL, SpokenVersions, our_versions

NEWER = SpokenVersions("99.1.0", NEWEST_PROTOCOL + 1, NEWEST_PROTOCOL + 2)
OLDER = SpokenVersions("0.0.3", 0, OLDEST_PROTOCOL - 1)
OVERLAPPING = SpokenVersions("9.0.0", NEWEST_PROTOCOL, NEWEST_PROTOCOL + 7)
EITHER = pytest.mark.parametrize(("spoken", "older"), [(NEWER, "client"), (OLDER, "receiver")], ids=["newer", "older"])


def named(text: str, spoken: SpokenVersions, older: str) -> bool:
    """Return whether a text names both softwares, and which of them is older."""
    ours = our_versions().software
    return f"cryoferry {ours} " in text and f"cryoferry {spoken.software} " in text and f"the {older} is older" in text


@EITHER
def test_send(make_receiver: Any, tmp_path: Path, spoken: SpokenVersions, older: str) -> None:
    receiver = make_receiver(spoken=spoken)
    token = receiver.token("agent", "s")
    (tmp_path / "a.mrc").write_bytes(b"a")
    done = cryoferry(
        "send", str(tmp_path / "a.mrc"), "--to", receiver.url, "--session", "s", "--json", CRYOFERRY_TOKEN=token
    )
    assert done.returncode == 7, done.stderr
    assert named(done.stderr, spoken, older), done.stderr
    assert "Upgrade cryoferry" in done.stderr
    assert not list((receiver.data / "sessions").glob("s/files/*"))
    assert (tmp_path / "a.mrc").exists()


@EITHER
def test_fetch(make_receiver: Any, tmp_path: Path, spoken: SpokenVersions, older: str) -> None:
    receiver = make_receiver(spoken=spoken)
    token = receiver.token("reader", "s")
    done = cryoferry("fetch", "s", "--from", receiver.url, "--out", str(tmp_path / "out"), CRYOFERRY_TOKEN=token)
    assert done.returncode == 7, done.stderr
    assert named(done.stderr, spoken, older), done.stderr


@EITHER
def test_watch(make_receiver: Any, tmp_path: Path, spoken: SpokenVersions, older: str) -> None:
    receiver = make_receiver(spoken=spoken)
    token = receiver.token("agent", "s")
    (tmp_path / "source").mkdir()
    arguments = ("--to", receiver.url, "--session", "s", "--work", str(tmp_path / "work"), "--exit-when-idle", "1")
    done = cryoferry("watch", str(tmp_path / "source"), *arguments, CRYOFERRY_TOKEN=token)
    assert done.returncode == 7, done.stderr
    assert named(done.stderr, spoken, older), done.stderr


@EITHER
def test_doctor(make_receiver: Any, tmp_path: Path, spoken: SpokenVersions, older: str) -> None:
    receiver = make_receiver(spoken=spoken)
    token = receiver.token("agent", "s")
    done = cryoferry("doctor", "--json", "--to", receiver.url, "--work", str(tmp_path), CRYOFERRY_TOKEN=token)
    found = {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert found["token"]["verdict"] == "ok"
    assert found["version"]["verdict"] == "fail"
    assert named(found["version"]["text"], spoken, older)
    assert "Upgrade cryoferry" in found["version"]["what_to_do"]


def test_a_common_version_is_enough(make_receiver: Any) -> None:
    receiver = make_receiver(spoken=OVERLAPPING)
    with ReceiverClient(receiver.url, receiver.token("agent", "s")) as client:
        assert client.agree() == NEWEST_PROTOCOL
        assert client.open_session("s").name == "s"
    with (
        ReceiverClient(
            receiver.url, receiver.token("agent", "s"), versions=SpokenVersions("1.0.0", 1, NEWEST_PROTOCOL - 1)
        ) as client,
        pytest.raises(VersionMismatch, match="the client is older"),
    ):
        client.agree()


def test_a_receiver_that_is_replaced_by_a_newer_one(make_receiver: Any) -> None:
    """The client is refused by name, then finds out what the new receiver speaks."""
    first = make_receiver(spoken=SpokenVersions("1.0.0", 1, 1))
    with ReceiverClient(first.url, first.token("agent", "s")) as client:
        assert client.agree() == 1
        client.open_session("s")
        first.stop()
        make_receiver(spoken=SpokenVersions("2.0.0", 2, 2), port=first.port)
        with pytest.raises(VersionMismatch, match=r"cryoferry 2\.0\.0"):
            client.session("s")
        assert client.open_session("s").name == "s"
        assert client.agree() == 2


def test_figures_are_sent_as_soon_as_the_receiver_knows_them(make_receiver: Any, wire_to: Any) -> None:
    """A client that runs on while the receiver is upgraded does not stay with version 1."""
    first = make_receiver(spoken=SpokenVersions("1.0.0", 1, 1))
    receipt = wire_to(first).put_file("x.mrc", b"x").json()
    body = record_of_files(uuid4(), [receipt], figures={"hot_pixel_count": 3.0})
    with ReceiverClient(first.url, first.token("agent", "s1")) as client:
        assert client.agree() == 1
        first.stop()
        make_receiver(port=first.port)
        published = client.publish("s1", ExposureRecord.model_validate(body))
        assert client.agree() == NEWEST_PROTOCOL
    assert published.record.figures == {"hot_pixel_count": 3.0}


def test_a_receiver_of_version_1_says_no_range(make_receiver: Any) -> None:
    """Its answer has `protocol` alone: it speaks that version only."""
    from transfer.wire.protocol import Service

    told = {"name": "cryoferry", "version": "0.1.0", "protocol": 1, "max_file_bytes": 1, "free_bytes": 1}
    assert Service.model_validate({**told, "registrars": []}).spoken == SpokenVersions("0.1.0", 1, 1)
    receiver = make_receiver()
    with ReceiverClient(receiver.url, receiver.token()) as client:
        service = client.service()
    assert (service.oldest_protocol, service.protocol) == (OLDEST_PROTOCOL, NEWEST_PROTOCOL)
    assert SERVICE == "/v1/service"
