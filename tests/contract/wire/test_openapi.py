"""The OpenAPI description is complete and true: whatever it allows is answered as it says, and never by a 5xx.

The same holds for every kind of token, and each gets what its permissions say, no more.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)

from api.access.permissions import PERMITTED, Permission
from api.access.tokens import Scope, create_token, revoke_token
from api.database.tables import now
from tests.conftest import ThreadReceiver, Wire
from tests.faults.campaign import IS_LONG, SEED, NoteFigures, in_length
from tests.records import record_of_files
from transfer.wire import protocol
from transfer.wire.problems import PROBLEM_JSON

# Names, digests and the state of things are beyond what a schema can say; so is whether a body is accepted. The tokens
# are checked here, `test_upload_answers` asks for 405 itself.
NOT_CHECKED = [
    positive_data_acceptance,
    negative_data_rejection,
    missing_required_header,
    ignored_auth,
    unsupported_method,
]
LONG_S = 600.0
AGENT = uuid4()
SESSION = "s1"


@dataclass(frozen=True)
class TokenKind:
    """A kind of token, and what requests with it may do."""

    name: str
    text: str
    scope: Scope | None
    """None: the receiver must not accept it."""
    session: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"} if self.text else {}

    def may(self, permission: str, session: str | None) -> bool:
        """Return whether a request that needs a permission in a session may succeed."""
        if permission == Permission.PUBLIC:
            return True
        return (
            self.scope is not None
            and Permission(permission) in PERMITTED[self.scope]
            and (session is None or self.session in (None, session))
        )


@pytest.fixture(scope="module")
def open_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadReceiver]:
    """Return a receiver that answers as many requests without a token as the tests make."""
    receiver = ThreadReceiver(tmp_path_factory.mktemp("open") / "receiver", requests_without_token_per_s=1e5)
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def tokens(open_receiver: ThreadReceiver) -> list[TokenKind]:
    """Return one token of each kind."""
    database = open_receiver.app.state.receiver.database
    _, expired = create_token(database, Scope.ADMIN, None, now() - timedelta(days=1))
    kept, revoked = create_token(database, Scope.ADMIN, None, None)
    revoke_token(database, kept.id)
    make = open_receiver.token
    return [
        TokenKind("none", "", None),
        TokenKind("garbage", "\xe4 no token", None),
        TokenKind("never made", f"cf_abcdefgh_{secrets.token_urlsafe(32)}", None),
        TokenKind("expired", expired, None),
        TokenKind("revoked", revoked, None),
        TokenKind("of another session", make("agent", "s2"), Scope.AGENT, "s2"),
        TokenKind("reader", make("reader", SESSION), Scope.READER, SESSION),
        TokenKind("agent", make("agent", SESSION), Scope.AGENT, SESSION),
        TokenKind("all sessions", make("agent"), Scope.AGENT),
        TokenKind("admin", make("admin"), Scope.ADMIN),
    ]


@pytest.fixture(scope="module")
def existing(open_receiver: ThreadReceiver) -> dict[str, list[Any]]:
    """Return parameters of paths that name what is there: answers about it are checked too."""
    wire = Wire(open_receiver.url, open_receiver.token("admin"))
    assert wire.http.put(f"/v1/sessions/{SESSION}").status_code == 201
    uploads = [str(uuid4()) for _ in range(3)]
    receipts = [wire.send(upload, f"a/{upload[:8]}.mrc", bytes(5)).json() for upload in uploads[:2]]
    assert wire.declare(uploads[2], "declared", 5).status_code == 201
    exposure = str(uuid4())
    target = f"/v1/sessions/{SESSION}/exposures/{exposure}"
    assert wire.http.put(target, json=record_of_files(exposure, receipts)).status_code in (200, 201)
    status = {"host": "scope-pc", "software": "1", "started_at": now().isoformat(), "states": {}}
    wire.http.put(f"/v1/sessions/{SESSION}/agents/{AGENT}", json=status)
    wire.http.close()
    return {
        "session": [SESSION],
        "upload_id": uploads,
        "exposure_id": [exposure],
        "path": [receipt["path"] for receipt in receipts],
        "agent": [str(AGENT)],
        "figure": ["ctf_resolution_angstrom"],
        "verification_id": [str(uuid4())],
    }


@pytest.fixture(scope="module")
def description(open_receiver: ThreadReceiver) -> Any:
    return httpx.get(f"{open_receiver.url}/v1/openapi.json").json()


def test_what_the_description_allows_is_answered_as_it_says(
    open_receiver: ThreadReceiver,
    tokens: list[TokenKind],
    existing: dict[str, list[Any]],
    note_figures: NoteFigures,
) -> None:
    schema = schemathesis.openapi.from_url(f"{open_receiver.url}/v1/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 20
    answers: Counter[str] = Counter()
    ends_s = time.monotonic() + LONG_S
    with requests.Session() as session:
        round_number = 0
        while round_number == 0 or (IS_LONG and time.monotonic() < ends_s):
            for operation in operations:
                _ask(operation, SEED + round_number, session, tokens, existing, answers)
            round_number += 1
    note_figures(rounds=round_number, requests=sum(answers.values()), **answers)
    assert {"200", "201", "401", "403", "404", "422"} <= set(answers)


def _ask(
    operation: Any,
    number: int,
    session: requests.Session,
    tokens: list[TokenKind],
    existing: dict[str, list[Any]],
    answers: Counter[str],
) -> None:
    permission = operation.definition.raw["x-permission"]
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if IS_LONG else [GenerationMode.POSITIVE]
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @seed(number)
    @settings(
        max_examples=in_length(2, 20),
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=cases, data=st.data())
    def answered(case: Case, data: st.DataObject) -> None:
        for name in case.path_parameters or {}:
            if name in existing and data.draw(st.integers(0, 3), label=f"{name} is one that exists"):
                case.path_parameters[name] = data.draw(st.sampled_from(existing[name]), label=name)
        for kind in tokens:
            answer = case.call_and_validate(headers=kind.headers, excluded_checks=NOT_CHECKED, session=session)
            answers[str(answer.status_code)] += 1
            if answer.status_code < 400:
                assert kind.may(permission, (case.path_parameters or {}).get("session")), (kind.name, permission)
            if kind.scope is None and permission != Permission.PUBLIC:
                assert answer.status_code in (400, 401, 404, 405, 422), (kind.name, answer.text)

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
                assert operation["x-permission"] in ("token", "read", "write", "judge", "admin"), (method, path)
                assert "401" in operation["responses"], (method, path)
    assert description["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in description["components"]["schemas"]
