"""What the socket data plane relies on in uvicorn, and what happens when uvicorn is another."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import logging

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.http.guarded_protocol import GuardedProtocol
from api.intake.socket_protocol import TESTED_UVICORN, SocketProtocol, protocol_for

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
    assert [record.levelname for record in caplog.records] == ["WARNING"]
