from __future__ import annotations

import json
from uuid import uuid4

import pytest

from api.http.json_values import read_json
from tests.records import record_of_files
from transfer.wire.errors import BadValue

REFUSED = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    str(2**63),
    str(-(2**63) - 1),
    "9" * 5000,
    r'"\u0000"',
    r'"\ud800"',
    r'"\udc00 \ud800"',
    '{"\\u0000": 1}',
    '{"\\udfff": 1}',
]
NESTED = "[" * 100_000


@pytest.mark.parametrize("text", [*REFUSED, NESTED], ids=lambda text: text[:20])
@pytest.mark.parametrize("around", ["{}", '{{"a": [1, {{"b": {}}}]}}'])
def test_values_that_nobody_can_keep_are_refused(text, around) -> None:
    with pytest.raises(BadValue):
        read_json(around.format(text).encode())


def test_the_place_is_named() -> None:
    with pytest.raises(BadValue, match=r"figures\.speed\[1\]"):
        read_json(b'{"figures": {"speed": [1, NaN]}}')


def test_raw_halves_of_pairs_and_other_encodings_are_refused() -> None:
    with pytest.raises(BadValue):
        read_json(b'"\xed\xa0\x80"')
    with pytest.raises(BadValue):
        read_json('{"a": 1}'.encode("utf-16"))


@pytest.mark.parametrize(
    "value", [None, 2**63 - 1, -(2**63), 1e308, "\U0001f600 \ud7ff \ue000", {"a": [1.5, "x", {}]}, 5e-324]
)
def test_all_other_json_is_read_as_ever(value) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("text", REFUSED)
def test_every_route_with_a_body_answers_422_with_valid_json(shared_receiver, wire_to, text) -> None:
    wire = wire_to(shared_receiver, "admin", None)
    described = wire.http.get("/v1/openapi.json").json()
    asked = 0
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if "application/json" in operation.get("requestBody", {}).get("content", {}):
                url = path.format(session="s1", agent=uuid4(), exposure_id=uuid4(), upload_id=uuid4(), path="x")
                answer = wire.http.request(
                    method, url, content=f'{{"a": {text}}}', headers={"Content-Type": "application/json"}
                )
                assert (answer.status_code, answer.json()["status"]) == (422, 422), (method, path)
                asked += 1
    assert asked >= 7


@pytest.mark.parametrize("value", ["NaN", "inf", "1e999", str(10**30), "%00", "%ed%a0%80", "-1", "9" * 5000])
def test_every_parameter_of_a_query_is_read_or_refused(shared_receiver, wire_to, value) -> None:
    wire = wire_to(shared_receiver, "admin", None)
    described = wire.http.get("/v1/openapi.json").json()
    asked = 0
    for path, operations in described["paths"].items():
        url = path.format(
            session="s1", agent=uuid4(), exposure_id=uuid4(), upload_id=uuid4(), path="x", verification_id=uuid4()
        )
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query" and not (parameter["name"] == "after" and "events" in path):
                    answer = wire.http.request(method, f"{url}?{parameter['name']}={value}")
                    assert answer.status_code < 500, (method, path, parameter["name"])
                    asked += 1
    assert asked >= 5


def test_a_float_that_was_sent_as_text_is_held_to_the_same(shared_receiver, wire_to) -> None:
    wire = wire_to(shared_receiver)
    body = record_of_files(uuid4(), [], files=[], figures={"motion_total_angstrom": "NaN"})
    answer = wire.http.put(f"/v1/sessions/s1/exposures/{body['exposure_id']}", json=body)
    assert answer.status_code in (400, 422), answer.text
