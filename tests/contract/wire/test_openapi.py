"""The OpenAPI description is complete and true: whatever it allows is answered as it says, and never by a 5xx."""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from transfer.wire import protocol
from transfer.wire.problems import PROBLEM_JSON

# Names, digests and the state of things are beyond what a schema can say; test_upload_answers asks for 405 itself.
NOT_CHECKED = [positive_data_acceptance, unsupported_method]


@pytest.fixture(scope="module")
def admin(shared_receiver) -> dict[str, str]:
    return {"Authorization": f"Bearer {shared_receiver.token('admin')}"}


@pytest.fixture(scope="module")
def description(shared_receiver) -> dict:
    return httpx.get(f"{shared_receiver.url}/v1/openapi.json").json()


@pytest.fixture(scope="module")
def schema(shared_receiver, admin):
    httpx.put(f"{shared_receiver.url}/v1/sessions/s1", headers=admin)
    return schemathesis.openapi.from_url(f"{shared_receiver.url}/v1/openapi.json")


def test_what_the_description_allows_is_answered_as_it_says(schema, admin) -> None:
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 20
    for operation in operations:

        @settings(
            max_examples=4,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=operation.as_strategy())
        def answered(case) -> None:
            case.call_and_validate(headers=admin, excluded_checks=NOT_CHECKED)

        answered()


def test_every_route_of_the_protocol_is_described(description) -> None:
    routes = {
        getattr(protocol, name).replace("{path:path}", "{path}")
        for name in dir(protocol)
        if name.isupper()
        and str(getattr(protocol, name)).startswith(("/v1/", "/healthz", "/readyz"))
        and name != "DESCRIPTION"
    }
    assert set(description["paths"]) == routes


def test_every_error_is_a_problem_and_no_body_a_form(description) -> None:
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                content = set(answer.get("content", {}))
                if status >= "400" and path != protocol.READY:
                    assert content == {PROBLEM_JSON}, (method, path, status)
            for kind in operation.get("requestBody", {}).get("content", {}):
                assert kind in ("application/json", "application/octet-stream"), (method, path, kind)
            if path in (protocol.HEALTH, protocol.READY):
                assert (operation["security"], operation["x-permission"]) == ([], "public")
            else:
                assert operation["security"] == [{"bearer": []}], (method, path)
                assert operation["x-permission"] in ("token", "read", "write", "admin"), (method, path)
                assert "401" in operation["responses"], (method, path)
    assert description["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in description["components"]["schemas"]
