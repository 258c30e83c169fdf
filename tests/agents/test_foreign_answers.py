"""A real agent whose receiver is behind something that answers in its place: no exposure fails, everything arrives."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
from scripted_server import scripted

from api.access.tokens import list_tokens, revoke_token
from tests.agents.agent_process import StartAgent, lay
from transfer.client import ReceiverClient

SESSION = "s"
PORTAL = b"<html><head><title>Log in to the guest network</title></head></html>"
JSON = {"Content-Type": "application/json"}
FOREIGN = [
    (200, {"Content-Type": "text/html"}, PORTAL),
    (301, {"Location": "https://login.example.org/"}, b""),
    (403, {"Content-Type": "text/html"}, b"<html>forbidden by policy</html>"),
    (404, {}, b"<html>nginx</html>"),
    (405, {}, b"<html>method not allowed</html>"),
    (413, {}, b"<html>413 Request Entity Too Large</html>"),
    (401, {"WWW-Authenticate": "Basic"}, b"<html>who are you?</html>"),
    (502, {}, b"\x00\xff\xfe\x80garbage"),
    (200, JSON, b'{"status": "ok"}'),
    (200, JSON, b"[]"),
    (204, {}, b""),
    None,  # the connection is closed
]


class Front:
    """Answers every second request itself, each time in another way, and passes the others on."""

    def __init__(self, receiver: str) -> None:
        self._receiver = httpx.Client(base_url=receiver, trust_env=False, timeout=30)
        self._lock = threading.Lock()
        self._is_own = False
        self.left = list(FOREIGN)

    def answer(self, request: tuple[str, str, dict[str, str], bytes]) -> Any:
        method, path, headers, body = request
        with self._lock:
            self._is_own = not self._is_own
            if self._is_own and self.left:
                return self.left.pop(0)
        told = self._receiver.request(method, path, headers=headers, content=body)
        kept = {name: value for name, value in told.headers.items() if name.lower() not in ("content-length", "date")}
        return told.status_code, kept, told.content

    def close(self) -> None:
        self._receiver.close()


def test_answers_of_others_fail_no_exposure(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent
) -> None:
    """The token is revoked meanwhile too, and a new one is written into the same file."""
    old, new = receiver.token("agent", SESSION), receiver.token("agent", SESSION)
    token_file = tmp_path / "token"
    token_file.write_text(old)
    front = Front(receiver.url)
    names = ("0.tiff", "2.tiff", "3.tiff")
    try:
        with scripted(front.answer) as (url, seen):
            for name in names[:-1]:
                lay(simulated / name, source / name)
            agent = start_agent(url, "", "--token-file", str(token_file))
            agent.until(lambda: not front.left, "every answer of another")
            token_file.write_text(new)
            database = receiver.app.state.receiver.database
            revoke_token(
                database, next(token.id for token in list_tokens(database) if old.startswith(f"cf_{token.id}"))
            )
            lay(simulated / names[-1], source / names[-1])
            agent.until(lambda: all(agent.states().get(name) == ("released", 1) for name in names), "every movie")
            agent.until(lambda: "reached again" in agent.log.read_text(), "the end of the last thread's pause")
            assert agent.end() == 0
            assert {request[2].get("Authorization") for request in seen} == {f"Bearer {old}", f"Bearer {new}"}
    finally:
        front.close()
    log = agent.log.read_text()
    assert not [line for line in agent.lines if line.get("state") in ("failed", "held")], log
    assert "Log in to the guest network" in log
    assert "Traceback" not in log
    with ReceiverClient(receiver.url, new) as client:
        records = {exposure.record.movie: exposure.record for exposure in client.exposures(SESSION).exposures}
        listed = {file.path for file in client.files(SESSION)}
    assert records.keys() == set(names)
    assert {file.path for record in records.values() for file in record.files} <= listed
