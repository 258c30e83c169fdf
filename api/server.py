"""Runs the receiver with uvicorn: one socket, one or several processes, an orderly shutdown."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.supervisors import multiprocess

from api import defaults
from api.app import create_app, prepared, quiet_uvicorn
from api.database.engine import sqlite_file
from api.defaults import DataPlane
from api.errors import BadOption, PortTaken, ReceiverError, UnsafeAddress
from api.http.accepting import Acceptor
from api.http.certificates import look_now, renewed_context
from api.http.front_door import FRONT, Front
from api.http.guarded_protocol import GuardedProtocol, missing_for_guard
from api.intake.socket_protocol import TESTED_UVICORN, protocol_for
from api.settings import ReceiverSettings
from api.start_lines import log_end, log_ending, log_lost_worker, log_start
from api.store.readable_by_others import readable_by_others, readable_secrets
from transfer.platform import give_freed_memory_back, on_hangup
from transfer.wire.addresses import is_loopback

log = logging.getLogger(__name__)

BACKLOG = 2048
DRAIN_S = 30
IDLE_CONNECTION_S = 15
WORKER_ANSWERS_WITHIN_S = 30
"""One that does not is killed. uvicorn's own 5 s kill workers that are starting on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address that the receiver listens on, and who does TLS.

    Attributes
    ----------
    port
        0: any free port.
    behind_proxy
        A proxy on this machine or network does TLS.
    """

    host: str = defaults.HOST
    port: int = defaults.PORT
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False

    @property
    def bare_host(self) -> str:
        """The host without the brackets that an IPv6 address has in a URL."""
        return self.host[1:-1] if self.host.startswith("[") and self.host.endswith("]") else self.host

    def check(self) -> None:
        """Refuse an address where tokens would cross a network in clear text.

        Raises
        ------
        BadOption, UnsafeAddress
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise BadOption(
                "only one of --tls-cert and --tls-key was given; the receiver did not start",
                hint="Give both, or neither.",
            )
        if self.tls_cert and self.behind_proxy:
            raise BadOption(
                "--tls-cert and --behind-proxy contradict each other; the receiver did not start",
                hint="Give --tls-cert if this process does TLS, --behind-proxy if a proxy does.",
            )
        for file in (self.tls_cert, self.tls_key):
            if file and not file.is_file():
                raise BadOption(
                    f"there is no file {file}; the receiver did not start", hint="Check --tls-cert and --tls-key."
                )
        if not (self.tls_cert or self.behind_proxy or is_loopback(self.host)):
            raise UnsafeAddress(
                f"other machines can reach {self.host}, and tokens would cross the network in clear text; "
                "the receiver did not start"
            )

    def url(self, port: int) -> str:
        """Return the URL under which this machine reaches the receiver."""
        host = f"[{self.bare_host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{port}"


def listen(address: Address) -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    PortTaken, ReceiverError
    """
    try:
        family, *_, where = socket.getaddrinfo(address.bare_host, address.port, type=socket.SOCK_STREAM)[0]
        return _bind(family, where)
    except OSError as error:
        wanted = f"{address.host} port {address.port}"
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"another program listens on {wanted}; the receiver did not start") from error
        raise ReceiverError(
            f"cannot listen on {wanted}: {error}; the receiver did not start", hint="Check --host and --port."
        ) from error


def _bind(family: int, where: Any) -> socket.socket:
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def run(
    settings: ReceiverSettings,
    address: Address,
    *,
    workers: int,
    on_listening: Callable[[str], None],
    data_plane: DataPlane = defaults.DATA_PLANE,
    warnings: Sequence[str] = (),
    secrets: Sequence[Path] = (),
) -> None:
    """Serve until a signal comes; requests in progress are answered first.

    Parameters
    ----------
    on_listening
        Called with the URL when the receiver accepts requests.
    data_plane
        How the bytes of files are read.
    warnings
        What to warn of in the log.
    secrets
        Files that only the receiver's user should be able to read, beside the private key and the database.

    Raises
    ------
    ReceiverError
    """
    address.check()
    require_guard(missing_for_guard())
    options = _options(address, data_plane)
    listening = listen(address)
    url = address.url(listening.getsockname()[1])
    keys = () if address.tls_key is None else (address.tls_key,)
    for warning in (*warnings, *readable_secrets((*keys, *secrets))):
        log.warning("%s", warning)
    quiet_uvicorn()
    with listening, prepared(settings):
        settings = replace(settings, prepared=True)
        log_start(settings, url, workers)
        for warning in readable_by_others(settings.data, sqlite_file(settings.database_url)):
            log.warning("%s", warning)
        try:
            if workers == 1:
                ending = _run_here(settings, options, listening, lambda: on_listening(url))
            else:
                ending = _run_workers(settings, options, listening, workers, lambda: on_listening(url))
        except KeyboardInterrupt:
            log_end("SIGINT came")
            raise
    if ending is None:
        raise ReceiverError("the receiver could not start, or not go on; its log says why")
    log_end(f"{signal.Signals(ending).name} came")


def require_guard(missing: Sequence[str]) -> None:
    """Refuse a uvicorn in which the guard against slow and hostile clients would not work.

    Raises
    ------
    ReceiverError
    """
    if missing:
        raise ReceiverError(
            f"uvicorn {uvicorn.__version__} has no {', '.join(missing)}, which the guard against slow clients needs;"
            " the receiver did not start",
            hint=f"Install the version that was tested: pip install 'uvicorn=={TESTED_UVICORN}.*'.",
        )


def _options(address: Address, data_plane: DataPlane) -> dict[str, object]:
    return {
        "http": protocol_for(data_plane),
        "loop": "uvloop",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,  # api.http.client_addresses reads them
        "ssl_certfile": address.tls_cert,
        "ssl_keyfile": address.tls_key,
        "ssl_context_factory": renewed_context if address.tls_cert else None,
        "timeout_keep_alive": IDLE_CONNECTION_S,
        "timeout_graceful_shutdown": DRAIN_S,
        "timeout_worker_healthcheck": WORKER_ANSWERS_WITHIN_S,
        "lifespan": "on",
        "ws": "none",
    }


class ReceiverServer(uvicorn.Server):
    """uvicorn's server, which accepts connections within the limits of the application's `Front`.

    Parameters
    ----------
    on_started
        Called when it accepts connections.
    on_signal
        Called with the number of the signal that ends it, when it begins to end.

    Attributes
    ----------
    ended_by
        The number of the signal that ended it; None: none did.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_started: Callable[[], None] = lambda: None,
        on_signal: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(config)
        self.ended_by: int | None = None
        self._on_started = on_started
        self._on_signal = on_signal
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await super().startup([])  # uvicorn listens on none
        if self.should_exit:
            return
        front: Front = self.lifespan.state[FRONT]
        for listening in sockets or ():
            acceptor = Acceptor(listening, self._make_protocol, front.connections, front.refusals, self.config.ssl)
            acceptor.start()
            self._acceptors.append(acceptor)
        self._on_started()

    def _make_protocol(self) -> GuardedProtocol:
        kind = cast("type[GuardedProtocol]", self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the first signal."""
        self.ended_by = self.ended_by or sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and end the others in order."""
        if self.ended_by is not None:
            self._on_signal(self.ended_by)
        for acceptor in self._acceptors:
            acceptor.stop()
        await super().shutdown(sockets)


class _ReceiverProcess(multiprocess.Process):
    """One of several processes."""

    @property
    def server(self) -> uvicorn.Server:
        """What the process runs."""
        if self._server is None:
            self._server = ReceiverServer(self.config)
        return self._server

    def kill(self) -> None:
        """End a process that does not answer, and say why; one that has died is only taken off the list."""
        log_lost_worker(self.pid, self.exitcode)
        super().kill()


def _run_here(
    settings: ReceiverSettings, options: dict[str, object], listening: socket.socket, on_started: Callable[[], None]
) -> int | None:
    """Serve in this process; return the number of the signal that ended it, or None if it failed."""
    give_freed_memory_back()
    config = uvicorn.Config(create_app(settings), **options)  # type: ignore[arg-type]  # options by name
    # uvicorn raises the signal again after an orderly end; SIGTERM is how a service is meant to end, with exit code 0.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    on_hangup(_go_on)
    server = ReceiverServer(config, on_started, lambda number: log_ending(number, DRAIN_S))
    server.run(sockets=[listening])
    return server.ended_by


def _go_on() -> None:
    look_now()
    text = "SIGHUP: the receiver goes on; it looks whether its certificate has changed"
    threading.Thread(target=log.info, args=(text,)).start()  # the signal may have come while this thread wrote a log


class _Workers(multiprocess.Multiprocess):
    """Several processes. Each looks at the certificate by itself, so SIGHUP starts none of them anew.

    Attributes
    ----------
    ended_by
        The number of the signal that ended them; None: none did.
    """

    ended_by: int | None = None

    def handle_int(self) -> None:
        """End them."""
        self._end(signal.SIGINT)

    def handle_term(self) -> None:
        """End them."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        self.ended_by = number
        log_ending(number, DRAIN_S)
        self.should_exit.set()

    def handle_hup(self) -> None:
        """Do as a single process does."""
        _go_on()


def _run_workers(
    settings: ReceiverSettings,
    options: dict[str, object],
    listening: socket.socket,
    workers: int,
    on_started: Callable[[], None],
) -> int | None:
    """Serve in several processes; return the number of the signal that ended them, or None if they failed."""
    settings.to_environment()
    config = uvicorn.Config(
        "api.app:app_of_worker",
        factory=True,
        workers=workers,
        **options,  # type: ignore[arg-type]  # options by name
    )
    on_started()  # the socket listens already: clients that connect before the workers wait
    multiprocess.Process = _ReceiverProcess  # type: ignore[misc]  # uvicorn has no other way to choose what its workers run
    processes = _Workers(config, sockets=[listening])
    processes.run()
    return processes.ended_by
