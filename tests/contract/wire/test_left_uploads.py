"""The disk space that an upload was promised is free again soon after the last of its connections closed."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import trustme

from api import app
from api.app import prepared
from api.settings import ReceiverSettings
from api.store import promises
from tests.conftest import Wire, root_of
from tests.contract.wire.test_upload_answers import refused
from tests.waiting import wait_until
from transfer.wire.chunks import CHUNK_BYTES

SOON_S = 0.3
DECLARING = """
import ssl, sys, time, uuid, httpx
url, token, ca = sys.argv[1:]
trusted = ssl.create_default_context(cafile=ca)
client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, verify=trusted, trust_env=False)
for number in range(4):
    body = {"session": "s1", "path": f"part{number}", "size_bytes": 5}
    print(client.put(f"/v1/uploads/{uuid.uuid4()}", json=body).status_code, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch) -> None:
    monkeypatch.setattr(promises, "END_AFTER_CLOSE_S", SOON_S)
    monkeypatch.setattr(app, "LOOK_FOR_LEFT_UPLOADS_EVERY_S", 0.05)


@pytest.fixture
def workers(make_receiver, database_url, tmp_path) -> Iterator[list[Any]]:
    """Return two receivers on one data folder, as worker processes are."""
    data = tmp_path / "shared"
    with prepared(ReceiverSettings(data=data, database=database_url, reserve_bytes=0)):
        yield [make_receiver(data=data, prepared=True) for _ in range(2)]


def promised(receiver: Any) -> int:
    """Return how many uploads have a promise."""
    with receiver.app.state.receiver.database.read() as connection:
        return promises.promised_in_all(connection)[0]


def share_of(http: httpx.Client) -> int:
    """Return the size of each of four files, which together take all that one token may have."""
    return int(http.get("/v1/service").json()["free_bytes"]) * 2 // 13


def whose_connections_closed(receiver: Any) -> list[promises.LeftUpload]:
    """Return the uploads whose promises the receiver ends next, before it does."""
    connections = receiver.app.state.receiver.upload_connections
    return wait_until(lambda: connections.take_left(0), "the end of a connection")


def test_who_left_keeps_no_space(receiver, wire) -> None:
    size, token = share_of(wire.http), receiver.token("agent", "s1")
    first, again = Wire(receiver.url, token), Wire(receiver.url, token)
    with again.http:
        with first.http:
            codes = [first.declare(uuid4(), f"part{number}", size).status_code for number in range(5)]
            assert codes == [201, 201, 201, 201, 507]
            time.sleep(2 * SOON_S)
            refused(again.declare(uuid4(), "new", size), 507, "receiver-full")  # its connection is open
            closed_s = time.monotonic()
        wait_until(lambda: again.declare(uuid4(), "new", size).status_code == 201, "the space", pause_s=0.02)
        assert time.monotonic() - closed_s > SOON_S
        assert promised(receiver) == 1


def test_a_killed_client_keeps_no_space_over_tls(make_receiver, tmp_path) -> None:
    authority, files = trustme.CA(), [tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem")]
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(files[0])
    issued.private_key_pem.write_to_path(files[1])
    authority.cert_pem.write_to_path(files[2])
    receiver = make_receiver(tls=tuple(files[:2]))
    token, trusted = receiver.token("agent", "s1"), ssl.create_default_context(cafile=files[2])
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, verify=trusted, trust_env=False) as http:
        assert http.put(f"{receiver.url}/v1/sessions/s1").status_code == 201
    command = [sys.executable, "-c", DECLARING, receiver.url, token, str(files[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            assert [client.stdout.readline() for _ in range(4)] == ["201\n"] * 4
            assert promised(receiver) == 4
        finally:
            client.kill()
    wait_until(lambda: promised(receiver) == 0, "the end of its promises")


def test_an_upload_that_goes_on_keeps_its_promise(workers, wire_to, monkeypatch) -> None:
    """Each request has a connection of its own, and comes to another worker: a proxy may do that."""
    monkeypatch.setattr(promises, "END_AFTER_CLOSE_S", 1e6)  # the test says when the time is over
    one, other = workers
    wires = [wire_to(one), wire_to(other)]
    for wire in wires:
        wire.http.headers["Connection"] = "close"
    data, upload = bytes(4 * CHUNK_BYTES), uuid4()

    def put(wire: Wire, number: int) -> None:
        assert wire.put(upload, bytes(CHUNK_BYTES), number * CHUNK_BYTES, len(data)).status_code == 204
        assert promised(one) == 1

    assert wires[0].declare(upload, "x", len(data)).status_code == 201
    after_declaration = whose_connections_closed(one)
    put(wires[1], 0)
    one.app.state.receiver.uploads.end_promises(after_declaration)
    assert promised(one) == 1
    after_first = whose_connections_closed(other)
    put(wires[0], 1)
    put(wires[0], 2)
    other.app.state.receiver.uploads.end_promises(after_first)
    assert promised(one) == 1
    after_third = whose_connections_closed(one)
    assert len(after_third) == 1
    one.app.state.receiver.uploads.end_promises(after_third)
    assert promised(one) == 0
    put(wires[0], 3)  # what comes later is taken too, and makes the promise anew
    assert wires[1].commit(upload, root_of(data)).status_code == 201
