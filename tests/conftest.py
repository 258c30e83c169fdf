"""Real receivers for tests: in a thread of this process, or as a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from campaign import FIGURES, IS_LONG

from tests.command_process import Process, start_command
from tests.running import COMMAND, ROOT, free_port
from tests.waiting import wait_until

# Tests, and what they start, share two cores: BLAS threads that wait for each other take up to 60 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

START_TIMEOUT_S = 60


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of workers: more than cores, because many tests wait for processes and links."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + (cores + 1) // 2


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the tests of a campaign have counted."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    counted = {report.nodeid: dict(report.user_properties).get(FIGURES) for report in reports if report.when == "call"}
    if IS_LONG and any(counted.values()):
        terminalreporter.section("figures of the campaign")
        for name, figures in sorted(counted.items()):
            if figures:
                terminalreporter.line(f"{name.rpartition('::')[2]}: {figures}")


def make_token(data: Path, scope: str = "agent", session: str | None = None, url: str | None = None) -> str:
    """Make a token in a receiver's database, whether or not it runs."""
    from api.access.tokens import Scope, create_token
    from api.database.engine import Database
    from api.database.migrate import upgrade
    from api.settings import ReceiverSettings

    data.mkdir(parents=True, exist_ok=True)
    database = Database(ReceiverSettings(data=data, database=url).database_url)
    try:
        upgrade(database, data)
        return create_token(database, Scope(scope), session, None)[1]
    finally:
        database.close()


class ThreadReceiver:
    """A receiver under uvicorn in a thread; `limits` are api.http.slow_clients.ClientLimits, `tls` names two files."""

    def __init__(
        self,
        data: Path,
        data_plane: Any = "socket",
        *,
        limits: Any = None,
        spoken: Any = None,
        port: int = 0,
        tls: tuple[Path, Path] | None = None,
        **settings: Any,
    ) -> None:
        import uvicorn

        from api.app import create_app
        from api.intake.socket_protocol import protocol_for
        from api.settings import ReceiverSettings
        from tests.quick_server import QuickServer

        self.data = data
        self.settings = ReceiverSettings(**{"data": data, "reserve_bytes": 0, **settings})
        self.app = create_app(self.settings, spoken)
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        options: dict[str, Any] = {"loop": "uvloop", "ws": "none", "log_config": None, "access_log": False}
        options |= dict(zip(("ssl_certfile", "ssl_keyfile"), tls or (), strict=False))
        config = uvicorn.Config(self.app, http=protocol_for(data_plane, limits), **options)
        self._server = QuickServer(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        wait_until(
            lambda: self._server.started,
            "the receiver's start; its log says why",
            pause_s=0.005,
            alive=self._thread.is_alive,
        )

    def token(self, scope: str = "agent", session: str | None = None) -> str:
        from api.access.tokens import Scope, create_token

        return create_token(self.app.state.receiver.database, Scope(scope), session, None)[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(START_TIMEOUT_S)
        self._socket.close()
        assert not self._thread.is_alive(), "the receiver did not stop"


@dataclass
class ProcessReceiver:
    """`cryoferry serve` as a process; kill it and start it again on the same data and port."""

    data: Path
    log: Path
    options: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    """A command that runs the receiver, such as strace with its options."""
    database: str | None = None
    """The database's URL; None: its own SQLite."""
    port: int = field(default_factory=free_port)
    is_copied: bool = True
    """False: a Python of its own, whose memory is only its own."""
    process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, scope: str = "agent", session: str | None = None) -> str:
        return make_token(self.data, scope, session, self.database)

    def start(self) -> None:
        serve = ["serve", "--json", "--data", str(self.data), "--reserve-bytes", "0"]
        if self.database:
            serve += ["--database", self.database]
        serve += ["--port", str(self.port), *self.options]
        with self.log.open("a") as log:
            if self.prefix or not self.is_copied:
                self.process = subprocess.Popen(
                    [*self.prefix, *COMMAND, *serve],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
            else:
                self.process = start_command(
                    *serve,
                    environment={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the receiver did not start:\n{self.log.read_text()}"
        assert json.loads(line)["url"] == self.url, line

    def kill(self) -> None:
        """End it as a power switch would end the process: SIGKILL, no farewell."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an operator would, and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        os.killpg(process.pid, number)
        assert process.stdout is not None
        process.stdout.close()
        return process.wait(START_TIMEOUT_S)


MakeReceiver = Callable[..., ThreadReceiver]


@pytest.fixture
def make_receiver(tmp_path: Path) -> Iterator[MakeReceiver]:
    """Return a function that starts a receiver with given settings (`data` among them) in a thread."""
    running: list[ThreadReceiver] = []

    def make(**settings: Any) -> ThreadReceiver:
        running.append(ThreadReceiver(settings.pop("data", tmp_path / "receiver"), **settings))
        return running[-1]

    yield make
    for receiver in running:
        receiver.stop()


@pytest.fixture
def receiver(make_receiver: MakeReceiver) -> ThreadReceiver:
    """Return a running receiver: `.url`, `.data`, `.token(scope, session)`."""
    return make_receiver()


@pytest.fixture
def receiver_process(tmp_path: Path) -> Iterator[ProcessReceiver]:
    """Return a receiver that runs as a process: `.start()`, `.kill()`, `.stop()`, `.url`, `.data`, `.token()`."""
    receiver = ProcessReceiver(tmp_path / "receiver", tmp_path / "receiver.log")
    yield receiver
    receiver.kill()


class Wire:
    """Speaks the protocol by hand: one request a call, answers as they come."""

    def __init__(self, url: str, token: str) -> None:
        import httpx

        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    def declare(self, upload_id: object, path: str, size_bytes: int, **more: Any) -> Any:
        body = {"session": "s1", "path": path, "size_bytes": size_bytes, **more}
        return self.http.put(f"/v1/uploads/{upload_id}", json=body)

    def put(self, upload_id: object, data: bytes, first: int, total: int, digest: str | None = None) -> Any:
        """Send `data` as the bytes from `first` on, with a true digest unless another is given."""
        from transfer.wire.digest import chunk_digest, format_content_digest

        headers = {
            "Content-Range": f"bytes {first}-{first + len(data) - 1}/{total}",
            "Content-Digest": digest or format_content_digest("blake3", chunk_digest(data)),
            "Content-Type": "application/octet-stream",
        }
        return self.http.put(f"/v1/uploads/{upload_id}/content", content=data, headers=headers)

    def commit(self, upload_id: object, digest: str) -> Any:
        return self.http.post(f"/v1/uploads/{upload_id}/commit", json={"digest": digest})

    def send(self, upload_id: object, path: str, data: bytes, **more: Any) -> Any:
        """Declare, send every chunk, commit; return the last answer."""
        from transfer.wire.chunks import split

        answer = self.declare(upload_id, path, len(data), **more)
        assert answer.status_code in (200, 201), answer.text
        for chunk in split(len(data)):
            answer = self.put(upload_id, data[chunk.start : chunk.stop], chunk.start, len(data))
            assert answer.status_code == 204, answer.text
        return self.commit(upload_id, root_of(data))

    def put_file(self, path: str, data: bytes, **headers: str) -> Any:
        return self.http.put(f"/v1/files/s1/{path}", content=data, headers=headers)


def root_of(data: bytes) -> str:
    """Return the root digest of some bytes."""
    from transfer.wire.chunks import split
    from transfer.wire.digest import chunk_digest, root_digest

    return root_digest(chunk_digest(data[chunk.start : chunk.stop]) for chunk in split(len(data)))


@pytest.fixture
def wire_to() -> Iterator[Callable[..., Wire]]:
    """Return a function that opens a connection to a receiver, by default as agent of session `s1`, which it starts."""
    opened: list[Wire] = []

    def connect(receiver: ThreadReceiver | ProcessReceiver, scope: str = "agent", session: str | None = "s1") -> Wire:
        wire = Wire(receiver.url, receiver.token(scope, session))
        opened.append(wire)
        if scope != "reader":
            assert wire.http.put("/v1/sessions/s1").status_code in (200, 201)
        return wire

    yield connect
    for wire in opened:
        wire.http.close()


@pytest.fixture
def wire(receiver: ThreadReceiver, wire_to: Callable[..., Wire]) -> Wire:
    """Return a connection to a running receiver, as agent of its session `s1`."""
    return wire_to(receiver)


@pytest.fixture(scope="session")
def root_digest_of() -> Callable[[bytes], str]:
    """Return the function that gives some bytes' root digest."""
    return root_of


@pytest.fixture(scope="module")
def shared_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadReceiver]:
    """Return a running receiver that a module's tests share."""
    receiver = ThreadReceiver(tmp_path_factory.mktemp("shared") / "receiver")
    yield receiver
    receiver.stop()
