"""`cryoferry serve` and `cryoferry token`, as an operator calls them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from api.app import prepared
from api.commands import _duration
from api.commands import token as token_commands
from api.errors import BadOption, DataFolderInUse, DataFolderUnusable, PortTaken, UnsafeAddress
from api.server import Address, listen
from api.settings import ReceiverSettings
from transfer.disk import file_lock
from transfer.wire.errors import BadName, NotFound


def cryoferry(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cryoferry", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        (Address(), True),
        (Address(host="::1"), True),
        (Address(host="localhost"), True),
        (Address(host="127.1.2.3"), True),
        (Address(host="0.0.0.0"), False),
        (Address(host="::"), False),
        (Address(host="192.0.2.1"), False),
        (Address(host="example.org"), False),
        (Address(host="0.0.0.0", behind_proxy=True), True),
    ],
)
def test_a_token_never_crosses_a_network_in_clear_text(address: Address, allowed: bool) -> None:
    if allowed:
        address.check()
    else:
        with pytest.raises(UnsafeAddress):
            address.check()


def test_tls_options_belong_together(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    Address(host="0.0.0.0", tls_cert=file, tls_key=file).check()
    for wrong in (
        Address(tls_cert=file),
        Address(tls_key=file),
        Address(tls_cert=file, tls_key=file, behind_proxy=True),
        Address(tls_cert=file, tls_key=tmp_path / "missing"),
    ):
        with pytest.raises(BadOption):
            wrong.check()


def test_durations() -> None:
    assert _duration("30d") == timedelta(days=30)
    assert _duration("90m") == timedelta(minutes=90)
    for wrong in ("", "d", "30", "-1d", "1y"):
        with pytest.raises(typer.BadParameter):
            _duration(wrong)


def call_token(*arguments: str) -> str:
    """Call `cryoferry token …` in this process; return what it prints on stdout."""
    done = CliRunner().invoke(token_commands, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_token_stands_alone_on_stdout(tmp_path: Path) -> None:
    made = cryoferry("token", "create", "--data", str(tmp_path / "new"), "--scope", "agent", "--session", "s1")
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"cf_[a-z0-9]{8}_[A-Za-z0-9_-]{43}\n", made.stdout)


def test_the_life_of_a_token(tmp_path: Path, make_receiver) -> None:
    folder = tmp_path / "receiver"
    data = ("--data", str(folder))
    assert json.loads(call_token("create", *data, "--dry-run", "--json"))["dry_run"]
    assert not folder.exists()
    token = call_token("create", *data, "--scope", "agent", "--session", "s1").strip()
    expiring = json.loads(call_token("create", *data, "--expires", "30d", "--json"))
    assert expiring["expires_at"] > expiring["created_at"]

    receiver = make_receiver()
    with httpx.Client(base_url=receiver.url, headers={"Authorization": f"Bearer {token}"}, verify=False) as agent:
        assert agent.put("/v1/sessions/s1").status_code == 201
        printed = call_token("list", *data, "--json")
        listed = [json.loads(line) for line in printed.splitlines()]
        assert [(one["scope"], one["session"], one["valid"]) for one in listed] == [
            ("agent", "s1", True),
            ("agent", None, True),
        ]
        assert "valid, without end" in call_token("list", *data)
        call_token("revoke", listed[0]["id"], *data, "--dry-run")
        assert agent.put("/v1/sessions/s1").status_code == 200
        call_token("revoke", listed[0]["id"], *data)
        assert agent.put("/v1/sessions/s1").status_code == 401
    with pytest.raises(NotFound):
        call_token("revoke", "nonesuch", *data)
    with pytest.raises(BadName):
        call_token("create", *data, "--session", "../x")
    secret = token.split("_", 2)[2]
    assert secret not in printed
    assert secret.encode() not in (folder / "receiver.sqlite").read_bytes()


def test_one_receiver_a_data_folder(receiver) -> None:
    with pytest.raises(DataFolderInUse), prepared(ReceiverSettings(data=receiver.data)):
        pass
    with file_lock(receiver.data / "workers.lock", wait=True, shared=True):
        receiver.stop()  # a worker may outlive its main process; the data are not free before it ends
        with pytest.raises(DataFolderInUse), prepared(ReceiverSettings(data=receiver.data)):
            pass
    with prepared(ReceiverSettings(data=receiver.data)):
        pass


def test_what_keeps_it_from_starting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTaken) as port:
        listen(Address(port=taken.getsockname()[1]))
    assert port.value.exit_code == 1
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderUnusable) as folder, prepared(ReceiverSettings(data=tmp_path / "file")):
        pass
    assert folder.value.exit_code == 7


def test_a_refusal_says_why(tmp_path: Path) -> None:
    refused = cryoferry("serve", "--data", str(tmp_path / "data"), "--host", "0.0.0.0")
    assert refused.returncode == 2
    assert "--behind-proxy" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_port_0_prints_the_real_port_and_a_signal_ends_it_in_order(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cryoferry", "serve", "--data", str(tmp_path / "data"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split(" at ")[1].split(",")[0]
        assert httpx.get(f"{url}/healthz").json() == {"ok": True, "checks": {}}
        process.terminate()
        assert process.wait(30) == 0


def test_a_request_under_way_is_answered_before_the_end(receiver_process, wire_to) -> None:
    import threading
    import time
    from concurrent.futures import ThreadPoolExecutor

    receiver_process.start()
    wire = wire_to(receiver_process)
    begun = threading.Event()

    def slow():
        yield b"hel"
        begun.set()
        time.sleep(0.3)
        yield b"lo"

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(wire.http.put, "/v1/files/s1/x", content=slow(), headers={"Content-Length": "5"})
        begun.wait()
        time.sleep(0.1)
        assert receiver_process.stop() == 0
        assert answer.result().status_code == 201
    assert (receiver_process.data / "sessions/s1/files/x").read_bytes() == b"hello"


def test_several_workers_share_the_work(receiver_process, wire_to, root_digest_of) -> None:
    from uuid import uuid4

    receiver_process.options = ("--workers", "2")
    receiver_process.start()
    data = os.urandom(9_000_000)
    for turn in range(4):  # each over a connection of its own, which any worker may take
        assert wire_to(receiver_process).send(uuid4(), f"f{turn}", data).status_code == 201
    assert (receiver_process.data / "sessions/s1/files/f3").read_bytes() == data
    assert receiver_process.stop() == 0


def test_tls(receiver_process, wire_to, tmp_path: Path) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    key.write_bytes(certificate.private_key_pem.bytes())
    cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    data = str(tmp_path / "data")
    command = [sys.executable, "-m", "cryoferry", "serve", "--data", data, "--port", "0", "--json"]
    command += ["--tls-cert", str(cert), "--tls-key", str(key)]
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert url.startswith("https://")
        assert httpx.get(f"{url}/healthz", verify=context).json()["ok"]
        process.terminate()
        assert process.wait(30) == 0
