"""Every route with every kind of token, on a real receiver, against the table in docs/protocol.md.

Where the table is not true any more, the test fails and prints the one that is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.access.guard import GuardedRoute
from api.access.tokens import Scope, create_token, revoke_token
from api.app import ROUTERS
from tests.records import record_of_files
from transfer.wire import protocol
from transfer.wire.digest import chunk_digest, format_content_digest, root_digest

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"
HEADING = "| request | permission | no valid token | reader | agent | admin | reader elsewhere | agent elsewhere |"
COLUMNS = {  # of the table; a column's kinds of tokens are all answered in the same way
    "no valid token": ("none", "basic", "malformed", "unknown", "revoked", "expired"),
    "reader": ("reader of s1", "reader of all"),
    "agent": ("agent of s1", "agent of all"),
    "admin": ("admin",),
    "reader elsewhere": ("reader of s2",),
    "agent elsewhere": ("agent of s2",),
}
KINDS = tuple(itertools.chain(*COLUMNS.values()))
BODY = b"hello"
DIGEST = {"Content-Digest": format_content_digest("blake3", chunk_digest(BODY))}
CONTENT = {"content": BODY, "headers": {**DIGEST, "Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}}
THRESHOLD = "/v1/sessions/s1/thresholds/ctf_resolution_angstrom/above"
STATUS = {"host": "scope-3", "version": "0.1", "started_at": "2026-05-04T00:00:00Z"}

Asked = tuple[str, dict[str, Any]]


class World:
    """A receiver with one of everything, and requests that succeed if they are permitted."""

    def __init__(self, receiver) -> None:
        self.receiver = receiver
        self.http = httpx.Client(base_url=receiver.url, trust_env=False, timeout=30)
        self._numbers = itertools.count()
        self.tokens = {kind: self._authorization(kind) for kind in KINDS}
        for session in ("s1", "s2"):
            self.prepare("PUT", f"/v1/sessions/{session}")
        self.receipt = self.prepare("PUT", "/v1/files/s1/f", content=BODY).json()
        self.agent, self.exposure = uuid4(), uuid4()
        self.prepare("PUT", f"/v1/sessions/s1/agents/{self.agent}", json=STATUS)
        self.prepare("PUT", f"/v1/sessions/s1/exposures/{self.exposure}", json=self.record(self.exposure))

    def _authorization(self, kind: str) -> dict[str, str]:
        if kind == "none":
            return {}
        if kind == "basic":
            return {"Authorization": "Basic eDp5"}
        database = self.receiver.app.state.receiver.database
        scope, _, session = kind.partition(" of ")
        if kind in ("revoked", "expired"):
            expires = datetime.now(UTC) - timedelta(seconds=1) if kind == "expired" else None
            token, text = create_token(database, Scope.ADMIN, None, expires)
            if kind == "revoked":
                revoke_token(database, token.id)
        elif kind in ("malformed", "unknown"):
            text = "nonsense" if kind == "malformed" else f"cf_{'a' * 8}_{'b' * 43}"
        else:
            text = create_token(database, Scope(scope), session if session.startswith("s") else None, None)[1]
        return {"Authorization": f"Bearer {text}"}

    def ask(self, kind: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **self.tokens[kind]}
        return self.http.request(method, path, headers=headers, **more)

    def prepare(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.ask("admin", method, path, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer

    def record(self, exposure_id: object) -> dict[str, Any]:
        return record_of_files(exposure_id, [self.receipt])

    def declaration(self) -> dict[str, Any]:
        return {"json": {"session": "s1", "path": f"u/{next(self._numbers)}", "size_bytes": len(BODY)}}

    def upload(self, tail: str = "", **more: Any) -> Asked:
        """A request about an upload that was declared just now."""
        upload = f"/v1/uploads/{uuid4()}"
        self.prepare("PUT", upload, **self.declaration())
        return f"{upload}{tail}", more

    def filled_upload(self) -> Asked:
        path, _ = self.upload()
        self.prepare("PUT", f"{path}/content", **CONTENT)
        return f"{path}/commit", {"json": {"digest": root_digest([chunk_digest(BODY)])}}

    def new_exposure(self) -> Asked:
        exposure = uuid4()
        return f"/v1/sessions/s1/exposures/{exposure}", {"json": self.record(exposure)}

    def verdict(self) -> str:
        return f"/v1/sessions/s1/exposures/{self.exposure}/verdict"

    def a_verification(self) -> Asked:
        self.receiver.app.state.receiver.verifier.join()  # two at once are as many as there may be
        made = self.prepare("POST", "/v1/sessions/s1/verifications", json={"paths": ["f"]}).json()
        return f"/v1/sessions/s1/verifications/{made['id']}", {}

    def new_verification(self) -> Asked:
        self.receiver.app.state.receiver.verifier.join()
        return "/v1/sessions/s1/verifications", {"json": {"paths": ["f"]}}

    def claims(self) -> Asked:
        number = next(self._numbers)
        claim = {"exposure_id": str(uuid4()), "stem": f"c/{number}", "path": f"c/{number}.tiff", "size_bytes": 1}
        batch = {"agent": str(self.agent), "claims": [{**claim, "sampled_digest": f"{number:064x}"}]}
        return "/v1/sessions/s1/exposures/claim", {"json": batch}

    def request(self, method: str, route: str) -> Asked:
        """Return the path and body of a request that succeeds if it is permitted."""
        special: dict[tuple[str, str], Callable[[], Asked]] = {
            ("PUT", protocol.UPLOAD): lambda: (f"/v1/uploads/{uuid4()}", self.declaration()),
            ("PUT", protocol.UPLOAD_CONTENT): lambda: self.upload("/content", **CONTENT),
            ("HEAD", protocol.UPLOAD): self.upload,
            ("GET", protocol.UPLOAD): self.upload,
            ("DELETE", protocol.UPLOAD): self.upload,
            ("GET", protocol.UPLOAD_RANGES): lambda: self.upload("/ranges"),
            ("POST", protocol.UPLOAD_COMMIT): self.filled_upload,
            ("PUT", protocol.FILE): lambda: (f"/v1/files/s1/n/{next(self._numbers)}", {"content": BODY}),
            ("PUT", protocol.EXPOSURE): self.new_exposure,
            ("POST", protocol.VERIFICATIONS): self.new_verification,
            ("GET", protocol.VERIFICATION): self.a_verification,
            ("POST", protocol.CLAIMS): self.claims,
            ("PUT", protocol.METADATA): lambda: (
                "/v1/sessions/s1/metadata",
                {"json": {"title": "A title of a session"}},
            ),
            ("PUT", protocol.THRESHOLD): lambda: (THRESHOLD, {"json": {"value": 8}}),
            ("DELETE", protocol.THRESHOLD): lambda: (THRESHOLD, {}),
            ("PUT", protocol.VERDICT): lambda: (self.verdict(), {"json": {"accepted": False}}),
            ("DELETE", protocol.VERDICT): lambda: (self.verdict(), {}),
            ("POST", protocol.VERDICTS): lambda: (
                "/v1/sessions/s1/verdicts",
                {"json": {"verdicts": [{"exposure_id": str(self.exposure), "accepted": None}]}},
            ),
            ("PUT", protocol.AGENT): lambda: (f"/v1/sessions/s1/agents/{self.agent}", {"json": STATUS}),
            ("POST", protocol.AGENT_REQUESTS): lambda: (
                f"/v1/sessions/s1/agents/{self.agent}/requests",
                {"json": {"kind": "pause"}},
            ),
        }
        if (method, route) in special:
            return special[method, route]()
        path = route.replace("{path:path}", "f").format(session="s1", agent=self.agent, exposure_id=self.exposure)
        return path, {}


@pytest.fixture
def world(receiver):
    world = World(receiver)
    yield world
    world.http.close()


ROUTES = {
    (method, route.path): route
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, GuardedRoute)
    for method in sorted(route.methods)
}


def cell(world: World, kinds: tuple[str, ...], method: str, route: str) -> str:
    """Return how all of some kinds of tokens are answered: yes, or by which status."""
    answers = set()
    for kind in kinds:
        path, more = world.request(method, route)
        answer = world.ask(kind, method, path, **more)
        assert answer.is_success or answer.status_code in (401, 403, 404), (kind, method, route, answer.text)
        answers.add("yes" if answer.is_success else str(answer.status_code))
    assert len(answers) == 1, f"{method} {route}: {kinds} are answered differently: {answers}"
    return answers.pop()


def test_the_table_in_the_documents_is_what_the_receiver_does(world) -> None:
    rows = []
    for (method, path), route in ROUTES.items():
        cells = [cell(world, kinds, method, path) for kinds in COLUMNS.values()]
        shown = path.replace("{path:path}", "{path}")
        rows.append(f"| `{method} {shown}` | {' | '.join([route.permit.permission.value, *cells])} |")
    table = "\n".join([HEADING, re.sub(r"[^|]+", " --- ", HEADING), *rows])
    document = DOCUMENT.read_text("utf-8")
    assert table in document, f"docs/protocol.md should hold this table:\n{table}"


def test_no_route_is_left_out(receiver) -> None:
    described = receiver.app.openapi()["paths"]
    shown = {
        (method.upper(), path)
        for path, operations in described.items()
        for method in operations
        if method in ("get", "put", "post", "delete", "head", "patch")
    }
    listed = {(method, path.replace("{path:path}", "{path}")) for method, path in ROUTES}
    assert listed == shown | {("GET", protocol.DESCRIPTION)}
    assert len(receiver.app.routes) == len(ROUTERS)  # nothing besides the routers, which hold guarded routes alone
    for (method, path), route in ROUTES.items():
        if path != protocol.DESCRIPTION:
            operation = described[path.replace("{path:path}", "{path}")][method.lower()]
            assert operation["x-permission"] == route.permit.permission.value


ABOUT_A_SESSION = [(method, path) for method, path in ROUTES if "{session}" in path]


@pytest.mark.parametrize("kind", ["reader of s2", "agent of s2"])
def test_a_token_of_another_session_learns_nothing(world, kind: str) -> None:
    """A session, upload, agent or exposure that exists is answered as one that does not."""

    def told(method: str, path: str, more: dict[str, Any]) -> tuple[int, str]:
        answer = world.ask(kind, method, path, **more)
        return answer.status_code, answer.text

    for method, route in ABOUT_A_SESSION:
        path, more = world.request(method, route)
        there = told(method, path, more)
        assert there[0] == 403
        assert told(method, path.replace("/s1", "/nowhere"), more) == there, (method, route)
        assert told(method, path.replace("/s1", "/.bad"), more) == there, (method, route)
    for (method, route), guarded in ROUTES.items():
        if "{upload_id}" in route and (method, route) != ("PUT", protocol.UPLOAD):
            path, more = world.request(method, route)
            unknown = str(uuid4())
            known = path.split("/")[3]
            there = told(method, path, more)
            assert there[0] == (403 if kind.startswith("reader") and guarded.permit.permission == "write" else 404)
            assert told(method, path.replace(known, unknown), more)[1].replace(unknown, known) == there[1]
    more = world.declaration()
    there = told("PUT", f"/v1/uploads/{uuid4()}", more)
    more["json"]["session"] = "nowhere"
    assert told("PUT", f"/v1/uploads/{uuid4()}", more) == there
    assert [one["name"] for one in world.ask(kind, "GET", "/v1/sessions").json()["sessions"]] == ["s2"]


def test_an_admin_token_of_one_session_from_an_older_version_keeps_its_limit(world) -> None:
    text = create_token(world.receiver.app.state.receiver.database, Scope.ADMIN, "s1", None)[1]
    world.tokens["old"] = {"Authorization": f"Bearer {text}"}
    asked = {"json": {"kind": "resume"}}
    assert world.ask("old", "POST", f"/v1/sessions/s1/agents/{world.agent}/requests", **asked).is_success
    assert world.ask("old", "POST", f"/v1/sessions/s2/agents/{world.agent}/requests", **asked).status_code == 403
    assert world.ask("old", "GET", "/v1/sessions/s2").status_code == 403
