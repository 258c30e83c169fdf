"""The record of an exposure on the wire: what a receiver takes, refuses, keeps and answers."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from api.database.tables import exposure_records
from tests.contract.wire.test_session_answers import slug
from tests.records import record_of_files
from transfer.wire import version_1
from transfer.wire.exposure_record import MAX_RECORD_BYTES, ExposureRecord
from transfer.wire.protocol import H_PROTOCOL, Exposure

OLD_MOTION = {"total_angstrom": 0.5, "early_angstrom": 0.4, "late_angstrom": 0.1}


def version_1_record(**more: Any) -> dict[str, Any]:
    body = {**record_of_files(uuid4(), []), **more, "motion": OLD_MOTION, "ctf": None}
    del body["figures"]
    return body


@pytest.fixture
def file(wire) -> dict[str, Any]:
    receipt = wire.put_file("x.mrc", b"x").json()
    return {"role": "micrograph", **{key: value for key, value in receipt.items() if key != "session"}}


@pytest.fixture
def publish(wire):
    def publish(body: dict[str, Any], content: str | None = None, **headers: str) -> Any:
        target = f"/v1/sessions/s1/exposures/{body['exposure_id']}"
        headers = {"Content-Type": "application/json", **headers}
        return wire.http.put(target, content=content or json.dumps(body), headers=headers)

    return publish


def test_figures_and_warnings_are_read_per_exposure(wire, publish, file):
    figures = {"motion_total_angstrom": 1.25, "a_figure_of_tomorrow_px": 3.0}
    warnings = [{"code": "faint", "text": "faint movie", "frame": 2}]
    body = record_of_files(
        uuid4(), [], files=[file], figures=figures, warnings=warnings, a_section_of_tomorrow={"x": 1}
    )
    assert publish(body).status_code == 201
    read = wire.http.get(f"/v1/sessions/s1/exposures/{body['exposure_id']}").json()["record"]
    assert (read["figures"], read["warnings"]) == (figures, warnings)
    assert "a_section_of_tomorrow" not in read
    (listed,) = wire.http.get("/v1/sessions/s1/exposures").json()["exposures"]
    assert listed["record"] == read


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_figure_that_is_not_finite_is_refused(publish, file, number):
    body = record_of_files(uuid4(), [], files=[file], figures={"motion_total_angstrom": 123.5})
    answer = publish(body, json.dumps(body).replace("123.5", number))
    assert (answer.status_code, slug(answer)) == (422, "bad-value")
    assert "motion_total_angstrom" in answer.json()["detail"]
    assert publish(body).status_code == 201


def test_a_record_has_a_largest_size(publish, file):
    body = record_of_files(uuid4(), [], files=[file], label="x" * 100)
    room = MAX_RECORD_BYTES - len(json.dumps(body))
    fitting = {**body, "movie": body["movie"] + "y" * room}
    assert len(json.dumps(fitting)) == MAX_RECORD_BYTES
    answer = publish({**fitting, "movie": fitting["movie"] + "y"})
    assert (answer.status_code, slug(answer)) == (413, "too-large")
    assert "256,001 bytes" in answer.json()["detail"]
    assert "--max-file-bytes" not in answer.json()["hint"]
    assert publish(fitting).status_code == 201


def test_an_older_agent_is_answered_in_its_own_version(wire, publish, file):
    body = version_1_record(files=[file])
    for status in (201, 200):
        answer = publish(body)
        assert answer.status_code == status, answer.text
        assert answer.json()["record"]["motion"] == OLD_MOTION
        assert answer.json()["record"].keys() == body.keys()
    read = Exposure.model_validate(wire.http.get(f"/v1/sessions/s1/exposures/{body['exposure_id']}").json())
    assert read.record.figures["motion_early_angstrom"] == 0.4


@pytest.mark.parametrize(("named", "has_old", "has_new"), [("1", True, False), ("2", False, True), (None, False, True)])
def test_a_reader_gets_the_version_that_it_names(wire, publish, file, named, has_old, has_new):
    body = record_of_files(uuid4(), [], files=[file])
    publish(body)
    headers = {} if named is None else {H_PROTOCOL: named}
    read = wire.http.get(f"/v1/sessions/s1/exposures/{body['exposure_id']}", headers=headers).json()
    (listed,) = wire.http.get("/v1/sessions/s1/exposures", headers=headers).json()["exposures"]
    assert listed == read
    assert (read["record"].get("motion") == {key: body["figures"][f"motion_{key}"] for key in OLD_MOTION}) == has_old
    assert ("motion" in read["record"], "figures" in read["record"]) == (has_old, has_new)
    assert ExposureRecord.model_validate(read["record"]).figures == body["figures"]


def test_the_times_of_sending_do_not_make_another_record(publish, file):
    body = record_of_files(
        uuid4(), [], files=[file], times={"found": "2026-01-01T00:00:00Z", "sent": "2026-01-01T00:01:00Z"}
    )
    assert publish(body).status_code == 201
    assert publish({**body, "times": {**body["times"], "sent": "2026-01-01T09:00:00Z"}}).status_code == 200
    assert publish({**body, "figures": {"motion_total_angstrom": 9.0}}).status_code == 409


def test_a_record_that_an_older_receiver_kept(wire, receiver, publish, file):
    """It is read with figures, and is still the same record when its agent, now newer, sends it again."""
    old = version_1_record(files=[file])
    newer = json.loads(ExposureRecord.model_validate(old).model_dump_json())
    newer["warnings"] = [{"code": "faint", "text": "faint movie"}]
    assert publish(newer).status_code == 201
    with receiver.app.state.receiver.database.write() as connection:
        connection.execute(update(exposure_records).values(record=json.dumps(old), form=None))
    read = wire.http.get(f"/v1/sessions/s1/exposures/{old['exposure_id']}").json()["record"]
    assert read["figures"]["motion_total_angstrom"] == 0.5
    assert "motion" not in read
    assert publish(newer).status_code == 200
    assert publish(old).status_code == 200
    assert publish({**newer, "figures": {"motion_total_angstrom": 0.75}}).status_code == 409
    with receiver.app.state.receiver.database.read() as connection:
        assert version_1.is_version_1(json.loads(connection.scalar(select(exposure_records.c.record))))


@pytest.mark.parametrize(("named", "status"), [("1", 201), ("2", 201), ("3", 400), ("0", 400), ("two", 400)])
def test_a_named_version_is_spoken_or_refused(publish, file, named, status):
    body = record_of_files(uuid4(), [], files=[file])
    answer = publish(body, **{H_PROTOCOL: named, "User-Agent": "cryoferry/9.1.0"})
    assert answer.status_code == status
    if named.isdigit() and status == 400:
        assert slug(answer) == "version-mismatch"
        assert "cryoferry 9.1.0" in answer.json()["detail"]
    if status == 201:
        assert ("motion" in answer.json()["record"]) == (named == "1")
