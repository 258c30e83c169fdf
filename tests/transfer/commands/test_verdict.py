"""`cryoferry verdict` as a user runs it."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest

from tests.records import record_of_files
from transfer.client import ReceiverClient
from transfer.wire.exposure_record import ExposureRecord
from transfer.wire.verdict import Side

FIGURE = "ctf_resolution_angstrom"


@pytest.fixture
def token(receiver):
    return receiver.token("agent", "s1")


@pytest.fixture
def to(receiver, wire):
    """Return the options that name the session s1 of the receiver, with two exposures."""
    file = wire.put_file("x.mrc", b"x").json()
    with ReceiverClient(receiver.url, receiver.token("admin")) as client:
        for label, value in (("a", 9.5), ("b", 4.0)):
            values = record_of_files(uuid5(UUID(int=1), label), [file], label=label, figures={FIGURE: value})
            client.publish("s1", ExposureRecord.model_validate(values))
        client.set_threshold("s1", FIGURE, Side.ABOVE, 8.0)
    return ("--session", "s1", "--to", receiver.url)


def test_exposures_are_accepted_rejected_and_left_to_the_thresholds(to, cryoferry) -> None:
    told = cryoferry("verdict", "accept", "a.mrc", "b.mrc", *to)
    assert told.stdout.splitlines() == [
        f"a.mrc: accepted by a person, although {FIGURE} 9.5 is above 8",
        "b.mrc: accepted by a person",
    ]
    (told,) = cryoferry("verdict", "reject", uuid5(UUID(int=1), "b"), "--comment", "ice", *to, "--json").objects
    assert (told["micrograph_name"], told["accepted"], told["by"], told["comment"]) == ("b.mrc", False, "person", "ice")
    told = cryoferry("verdict", "clear", "a.mrc", "b.mrc", *to)
    assert told.stdout.splitlines() == [
        f"a.mrc: rejected by the thresholds, {FIGURE} 9.5 is above 8",
        "b.mrc: accepted by the thresholds",
    ]


def test_an_exposure_that_is_not_there_is_named(to, cryoferry) -> None:
    refused = cryoferry("verdict", "reject", "b.mrc", "c.mrc", *to)
    assert refused.returncode == 1
    assert "the session has no exposure 'c.mrc'; no verdict was changed" in refused.stderr
    assert cryoferry("verdict", "clear", "b.mrc", *to, "--json").objects[0]["accepted"]


def test_a_dry_run_changes_nothing(to, cryoferry) -> None:
    told = cryoferry("verdict", "reject", "b.mrc", *to, "--dry-run", "--json")
    assert told.objects == [{"would": "reject", "session": "s1", "exposure": "b.mrc"}]
    assert cryoferry("verdict", "clear", "b.mrc", *to, "--json").objects[0]["accepted"]
