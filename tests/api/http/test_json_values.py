from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import TypeAdapter

from api.app import ROUTERS
from api.http.json_values import read_json
from tests.records import record_of_files
from transfer.wire.errors import BadValue
from transfer.wire.exposure_claim import ClaimBatch
from transfer.wire.verification import VerificationRequest

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


def test_the_place_of_a_value_costs_nothing_until_it_is_refused() -> None:
    body = b'{"\\u0041' + b"k" * (2 << 20) + b'": [' + b"0," * 50_000 + b"0]}"
    begun = time.process_time()
    read_json(body)
    with pytest.raises(BadValue) as refused:
        read_json(body.replace(b",0]", b",NaN]"))
    assert time.process_time() - begun < 2.0
    assert len(str(refused.value)) < 400


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


def in_paths() -> dict[str, object]:
    """Return a value for each parameter of a path."""
    ids = {name: uuid4() for name in ("agent", "exposure_id", "upload_id", "verification_id")}
    return {**ids, "session": "s1", "path": "x", "figure": "ctf_resolution_angstrom", "side": "above"}


@pytest.mark.parametrize("text", REFUSED)
def test_every_route_with_a_body_answers_422_with_valid_json(shared_receiver, wire_to, text) -> None:
    wire = wire_to(shared_receiver, "admin", None)
    described = wire.http.get("/v1/openapi.json").json()
    asked = 0
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if "application/json" in operation.get("requestBody", {}).get("content", {}):
                url = path.format_map(in_paths())
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
        url = path.format_map(in_paths())
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


WRONG_ENTRIES = ["0", '""', "{}", '{"claims": [{}]}', "[]"]


@pytest.mark.parametrize("entry", WRONG_ENTRIES)
def test_any_number_of_wrong_entries_of_any_list_is_a_short_answer_soon(shared_receiver, wire_to, entry) -> None:
    """Each list of each body that a route takes; pydantic alone would describe every wrong entry."""
    wire = wire_to(shared_receiver)
    entries = ",".join([entry] * 10_000)
    begun = time.process_time()  # the receiver runs in this process
    for method, url, name in LISTS_IN_BODIES:
        answer = wire.http.request(
            method,
            f"/v1/sessions/s1/{url}",
            content=f'{{"{name}": [{entries}]}}',
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in (400, 422), url
        assert len(answer.content) < 5000, url
    assert time.process_time() - begun < 3.0


LISTS_IN_BODIES = [
    ("POST", "exposures/claim", "claims"),
    ("POST", "verifications", "paths"),
    ("PUT", f"exposures/{uuid4()}", "files"),
]


def test_every_list_in_a_body_is_left_at_its_first_wrong_entry() -> None:
    bodies = {
        field.field_info.annotation
        for router in ROUTERS
        for route in router.routes
        if (field := getattr(route, "body_field", None)) is not None
    }
    assert {ClaimBatch, VerificationRequest} < bodies
    for body in bodies:
        for kind, schema in _collections_of(TypeAdapter(body).core_schema):
            assert schema.get("fail_fast"), f"{body}: make each {kind} a Listed of transfer.wire.fail_fast"


def _collections_of(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        kind = schema.get("type")
        if kind in ("list", "set", "frozenset") or (kind == "tuple" and "variadic_item_index" in schema):
            yield kind, schema
        for part in schema.values():
            yield from _collections_of(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _collections_of(part)


def test_a_body_has_a_largest_number_of_values(shared_receiver, wire_to) -> None:
    content = '{"paths": [], "unknown": [' + "{}," * 200_000 + "{}]}"
    wire = wire_to(shared_receiver)
    answer = wire.http.post(
        "/v1/sessions/s1/verifications", content=content, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (413, "too-large")
