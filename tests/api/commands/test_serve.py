"""`cryoferry serve`, as an operator calls it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from api.app import prepared
from api.errors import BadOption, DataFolderInUse, DataFolderUnusable, PortTaken, UnsafeAddress
from api.registrars.settings import RegistrarSettings
from api.server import Address, listen
from api.settings import ReceiverSettings
from tests.running import COMMAND, cryoferry
from tests.waiting import wait_until
from transfer.disk.locks import file_lock


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        (Address(), True),
        (Address(host="::1"), True),
        (Address(host="[::1]"), True),
        (Address(host="localhost"), True),
        (Address(host="LOCALHOST"), True),
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


def test_one_receiver_a_data_folder(receiver) -> None:
    with pytest.raises(DataFolderInUse), prepared(ReceiverSettings(data=receiver.data)):
        pass
    with file_lock(receiver.data / "workers.lock", wait=True, shared=True):
        receiver.stop()  # a worker may outlive its main process; the data are not free before it ends
        with pytest.raises(DataFolderInUse), prepared(ReceiverSettings(data=receiver.data)):
            pass
    with prepared(ReceiverSettings(data=receiver.data)):
        pass


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_may_have_brackets(host: str) -> None:
    address = Address(host=host, port=0)
    with listen(address) as listening:
        assert listening.getsockname()[0] == "::1"
    assert address.url(8642) == "http://[::1]:8642"


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


def test_an_mtf_that_relion_cannot_use_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "mtf.star"
    for content, why in (
        (None, "No such file"),
        ("data_\n\nloop_\n_rlnMtfValue #1\n1\n", "no column _rlnResolutionInversePixel"),
    ):
        if content:
            given.write_text(content)
        refused = cryoferry("serve", "--data", str(tmp_path / "data"), "--mtf", str(given), "--dry-run")
        assert refused.returncode == 2
        assert "mtf.star" in refused.stderr
        assert why in " ".join(refused.stderr.split())
    given.write_text("data_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n0.0 1.0\n")
    assert cryoferry("serve", "--data", str(tmp_path / "data"), "--mtf", str(given), "--dry-run").returncode == 0


def test_a_workflow_that_is_none_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "workflow.json"
    follower, other = '{"object.className": "ProtCryoferryFollow"}', '{"object.className": "ProtCTFAssign"}'
    command = ("serve", "--data", str(tmp_path / "data"), "--scipion-workflow", str(given), "--dry-run")
    for content, why in (
        (None, "No such file"),
        ("[", "it is not JSON"),
        ("{}", "it is no list of protocols"),
        (f"[{other}]", "0 protocols of the class ProtCryoferryFollow"),
        (f"[{follower}]", "and 0 others"),
    ):
        if content:
            given.write_text(content)
        refused = cryoferry(*command, "--scipion", str(tmp_path))
        assert refused.returncode == 2
        assert why in " ".join(refused.stderr.split())
    given.write_text(f"[{follower}, {other}]")
    assert cryoferry(*command, "--scipion", str(tmp_path)).returncode == 0
    assert "without --scipion" in " ".join(cryoferry(*command).stderr.split())
    assert "--scipion names nothing" in " ".join(cryoferry(*command, "--scipion", "").stderr.split())


def test_settings_travel_to_worker_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    settings = ReceiverSettings(
        data=tmp_path,
        registrars=RegistrarSettings(
            scipion="/opt/scipion", scipion_workflow=tmp_path / "workflow.json", mtf=tmp_path / "mtf.star"
        ),
    )
    settings.to_environment()
    assert ReceiverSettings.from_environment() == settings


def test_port_0_prints_the_real_port_and_a_signal_ends_it_in_order(tmp_path: Path) -> None:
    command = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--port", "0"]
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
    main = receiver_process.process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    (killed, *_) = [pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(int(killed), signal.SIGKILL)
    log = receiver_process.log
    wait_until(lambda: "died of SIGKILL" in log.read_text(), lambda: f"a line about the worker: {log.read_text()}")
    assert receiver_process.stop() == 0
    logged = [line.partition(" api.")[2].partition(": ")[2] for line in log.read_text().splitlines()]
    for event in (
        "cryoferry ",
        "session s1: begun",
        f"worker process {killed} died of SIGKILL",
        "SIGTERM",
        "the receiver has",
    ):
        assert len([line for line in logged if line.startswith(event)]) == 1, (event, logged)
    assert "uvicorn" not in log.read_text()


def test_tls(receiver_process, wire_to, tmp_path: Path) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    key.write_bytes(certificate.private_key_pem.bytes())
    cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    data = str(tmp_path / "data")
    command = [*COMMAND, "serve", "--data", data, "--port", "0", "--json"]
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
