"""What the socket data plane relies on in uvicorn, and what happens when uvicorn is another."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import logging
from pathlib import Path

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.errors import ReceiverError
from api.http.guarded_protocol import GuardedProtocol, missing_for_guard
from api.intake.socket_protocol import TESTED_UVICORN, SocketProtocol, protocol_for
from api.server import require_guard
from tests.api.http.raw_requests import answers_to, status_of
from tests.running import ROOT

RELIED_ON = "1f0ad26f71ba02a760f1965589e05ae7e93ec5eb5a25b6c0d796f71630a3a051"


def test_uvicorn_is_what_the_socket_data_plane_was_written_for() -> None:
    """When this fails: read what changed in uvicorn, run the contract's tests, then take the new figures here."""
    sources = "".join(inspect.getsource(part) for part in (HttpToolsProtocol, RequestResponseCycle, FlowControl))
    assert importlib.metadata.version("uvicorn").startswith(f"{TESTED_UVICORN}.")
    assert hashlib.sha256(sources.encode()).hexdigest() == RELIED_ON


def test_with_another_uvicorn_the_guard_stays_and_that_files_come_more_slowly_is_said(caplog) -> None:
    assert protocol_for("auto") is SocketProtocol
    assert protocol_for("stream") is GuardedProtocol
    with caplog.at_level(logging.WARNING):
        assert protocol_for("auto", tested_uvicorn="0.1") is GuardedProtocol
        assert protocol_for("socket", tested_uvicorn="0.1") is SocketProtocol
    auto, socket = caplog.messages
    assert auto.startswith("files are received more slowly")
    assert socket.startswith("--data-plane socket may not work")
    assert all(message.endswith("the guard against slow clients is kept") for message in (auto, socket))


def test_a_receiver_with_another_uvicorn_keeps_the_guard_and_says_so(
    receiver_process, wire_to, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\n"
        "real = metadata.version\n"
        "metadata.version = lambda name: '0.99.0' if name == 'uvicorn' else real(name)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    receiver_process.is_copied = False
    receiver_process.start()
    endless = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Field: x\r\n" * 1000
    assert status_of(answers_to(receiver_process.port, endless)) == 431
    assert wire_to(receiver_process).put_file("x", bytes(1 << 20)).status_code == 201
    assert "not tested with uvicorn 0.99.0" in receiver_process.log.read_text()


def test_a_uvicorn_that_would_lose_the_guard_is_refused() -> None:
    require_guard(missing_for_guard())

    class Renamed:
        """As HttpToolsProtocol, but for two methods that have other names."""

    for name in dir(HttpToolsProtocol):
        if name not in ("on_header", "data_received") and not name.startswith("__"):
            setattr(Renamed, name, None)
    with pytest.raises(ReceiverError, match="has no data_received, on_header, which the guard") as refused:
        require_guard(missing_for_guard(Renamed))
    assert "pip install 'uvicorn==0.54.*'" in refused.value.hint


def test_all_that_the_guard_overrides_is_looked_for() -> None:
    own = {name for name in vars(GuardedProtocol) if not name.startswith("_") and hasattr(HttpToolsProtocol, name)}
    assert {name for name in own if callable(getattr(HttpToolsProtocol, name))} <= {*missing_for_guard(object)}
