"""`send`, `fetch` and `verify` end in time whatever they wait for: each against a real socket that makes them wait."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

import pytest
import trustme
from raw_server import drip, flood, gzip_bomb, head, raw_server
from scripted_server import scripted

from tests.running import cryoferry_here
from transfer.pace import retrying
from transfer.pace.retrying import LONGEST_SILENCE_S
from transfer.wire.digest import chunk_digest
from transfer.wire.errors import LimitReached, ReceiverBusy, TransferError
from transfer.wire.problems import problem_of
from transfer.wire.protocol import SERVICE

GIVE_UP_S = 0.2
LATEST_S = LONGEST_SILENCE_S / 2  # a busy machine takes long, but not as long as the silence that is borne otherwise
DAY_S, GIGA_S = "86400", "1000000000"
CONTENT = b"content"
FIRST, BLOCK = gzip_bomb()


@contextmanager
def refused() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def silent(scheme: str = "http") -> Iterator[str]:
    """Accept connections, and never say anything: no answer, no TLS handshake."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def unknown() -> Iterator[str]:
    yield "https://no-such-host.invalid"


@contextmanager
def untrusted() -> Iterator[str]:
    """Serve with TLS, and never finish the handshake of any client that does not speak it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with scripted(lambda _: (200, {}, b"{}"), tls=tls) as (url, _):
        yield url.replace("https:", "http:") + "/"


def answering(status: int, headers: dict[str, str], body: bytes) -> Callable[[], AbstractContextManager[str]]:
    @contextmanager
    def serve() -> Iterator[str]:
        with scripted(lambda _: (status, headers, body)) as (url, _):
            yield url

    return serve


def problem(error: TransferError) -> bytes:
    return problem_of(error).model_dump_json().encode()


WAITS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "nobody listens": refused,
    "an unknown name": unknown,
    "no answer": silent,
    "a stalled handshake": lambda: silent("https"),
    "TLS where none is expected": untrusted,
    "a body in drips": lambda: raw_server(drip(head("Content-Length: 1000"))),
    "a head in drips": lambda: raw_server(drip(b"HTTP/1.1 200 OK\r\nX: ", b"x")),
    "a stalled body": lambda: raw_server(
        lambda connected, over: (connected.sendall(head("Content-Length: 9")), over.wait())
    ),
    "a bomb": lambda: raw_server(flood(head("Content-Encoding: gzip") + FIRST, BLOCK)),
    "busy for a day": answering(503, {"Retry-After": DAY_S}, problem(ReceiverBusy())),
    "busy for 1e9 s": answering(503, {"Retry-After": GIGA_S}, problem(ReceiverBusy())),
    "too many requests": answering(429, {"Retry-After": GIGA_S}, b"<html>slow down</html>"),
    "a login page": answering(200, {"Content-Type": "text/html"}, b"<html><title>Log in</title>"),
    "other JSON": answering(200, {"Content-Type": "application/json"}, b'{"status": "ok"}'),
    "a list": answering(200, {"Content-Type": "application/json"}, b"[]"),
    "a redirection": answering(301, {"Location": "https://login.example.org"}, b""),
    "a bad gateway": answering(502, {}, b"\x00\xff\xfe"),
}


@pytest.fixture
def ended(tmp_path, monkeypatch, capsys):
    """Run a command that waits, and return its exit code and texts; it must end in time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYOFERRY_TOKEN", "secret-token-0123456789")
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(retrying, "SHORTEST_SILENCE_S", GIVE_UP_S)
    (tmp_path / "file.mrc").write_bytes(CONTENT)

    def run(command: str, url: str, *more: object, give_up_after: float = GIVE_UP_S):
        given = {
            "send": ("file.mrc", "--session", "s", "--to", url),
            "fetch": ("s", "--out", "out", "--from", url),
            "verify": ("file.mrc", "--session", "s", "--with", url),
        }
        began_s = time.monotonic()
        done = cryoferry_here(monkeypatch, capsys, command, *given[command], "--give-up-after", give_up_after, *more)
        took_s = time.monotonic() - began_s
        assert took_s < LATEST_S, done
        return done

    return run


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("command", ["send"])
def test_each_kind_of_waiting_has_an_end(ended, command, what):
    with WAITS[what]() as url:
        done = ended(command, url)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["no answer", "a body in drips", "busy for a day", "other JSON"])
@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_lists_are_waited_for_as_long(ended, command, what):
    with WAITS[what]() as url:
        done = ended(command, url)
    assert done.returncode == 5, done.stdout + done.stderr


SERVICE_ANSWER = json.dumps({"version": "1", "max_file_bytes": 1 << 40, "free_bytes": 1, "registrars": []}).encode()
DIGEST = chunk_digest(CONTENT).hex()
ENTRY = {"session": "s", "path": "file.mrc", "revision": 1, "size_bytes": len(CONTENT), "digest": DIGEST}


@contextmanager
def receiver(
    answers: dict[tuple[str, str], tuple[int, dict[str, str], bytes]], *files: dict[str, object]
) -> Iterator[str]:
    """Serve the list of a session, and further answers by method and part of the path."""
    session = {
        "name": "s", "state": "open", "closed": False, "created_at": "2026-01-01T00:00:00Z", "exposure_count": 0,
        "registrars": [], "registered_count": {}, "projects": {},
    }  # fmt: skip

    def answer(request):
        method, path = request[:2]
        for (wanted, part), told in answers.items():
            if method == wanted and part in path:
                return told
        if path == SERVICE:
            return 200, {}, SERVICE_ANSWER
        if "/files" in path:
            return 200, {}, json.dumps({"files": files}).encode()
        return 200, {}, json.dumps(session).encode()

    with scripted(answer) as (url, _):
        yield url


def verification(state: str) -> bytes:
    members = {"id": str(uuid4()), "session": "s", "state": state, "total_files": 1, "checked_files": 0}
    return json.dumps({**members, "checked_bytes": 0, "problem_count": 0, "problems": []}).encode()


def standing(state: str) -> dict[tuple[str, str], tuple[int, dict[str, str], bytes]]:
    """Return the answers of a receiver whose verification stays in a state."""
    return {("POST", "/verif"): (202, {}, verification(state)), ("GET", "/verif"): (200, {}, verification(state))}


LATER_WAITS = {
    "the file": ("send", {("PUT", "/v1/files/"): (503, {"Retry-After": DAY_S}, problem(ReceiverBusy()))}),
    "its content": ("fetch", {("GET", "/v1/files/"): (503, {"Retry-After": DAY_S}, problem(ReceiverBusy()))}),
    "a place": ("verify", {("POST", "/verif"): (409, {}, problem(LimitReached("two run")))}),
    "a verification that waits": ("verify", standing("waiting")),
    "a verification that stands": ("verify", standing("running")),
    "a verification nobody knows": ("verify", {**standing("running"), ("GET", "/verif"): (502, {}, b"<html>")}),
}


@pytest.mark.parametrize("what", LATER_WAITS)
def test_what_comes_after_the_list_is_waited_for_as_long(ended, what):
    command, answers = LATER_WAITS[what]
    with receiver(answers, *([] if command == "send" else [ENTRY])) as url:
        done = ended(command, url, *(["--deep"] if command == "verify" else []))
    assert done.returncode == (1 if what == "a place" else 5), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("lie", "named"),
    [
        ({"session": "other"}, "other"), ({"path": "../escape"}, "../escape"),
        ({"path": "/etc/cron.d/x"}, "/etc/cron.d/x"),
        ({"path": "a\\b"}, "a\\\\b"), ({"path": "a\x1b[31m"}, "\\x1b"), ({"size_bytes": 8}, "twice"),
    ],
)  # fmt: skip
def test_a_list_that_lies_is_refused_and_nothing_written(ended, tmp_path, lie, named):
    entries = [ENTRY, {**ENTRY, "path": "a", **lie} if "size_bytes" not in lie else {**ENTRY, **lie}]
    for command in ("send", "fetch", "verify"):
        with receiver({}, *entries) as url:
            done = ended(command, url, give_up_after=10)
        assert done.returncode == 1, done.stdout + done.stderr
        assert named in done.stderr
        assert "\x1b[31m" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file.mrc"]
