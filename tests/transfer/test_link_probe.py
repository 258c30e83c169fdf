"""What stands between a client and its receiver is found before anything is sent."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import cryoferry, free_port, is_listening
from tests.waiting import wait_until
from transfer.client import ReceiverClient
from transfer.link_probe import certificate_days, refused_body


@pytest.fixture
def nginx(tmp_path: Path, receiver: Any) -> Iterator[str]:
    """Run nginx in front of a receiver; it takes bodies of 1 MiB, as it does where nobody changes that."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip("needs nginx (Debian: apt-get install nginx-light)")
    port, temporary = free_port(), tmp_path / "temporary"
    temporary.mkdir(mode=0o777)
    places = "".join(f"{kind}_temp_path {temporary};" for kind in ("client_body", "fastcgi", "uwsgi", "scgi", "proxy"))
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr error; events {{}}\n"
        f"http {{ access_log off; {places}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {receiver.url}; }} }} }}\n"
    )
    with subprocess.Popen(
        [program, "-p", str(tmp_path), "-c", str(configuration), "-e", "stderr"], stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: is_listening(port), "nginx does not listen", alive=lambda: process.poll() is None)
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def findings(url: str, token: str) -> dict[str, dict[str, str]]:
    done = cryoferry("doctor", "--json", "--to", url, CRYOFERRY_TOKEN=token)
    return {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_bodies_get_through_to_the_receiver(receiver: Any) -> None:
    with ReceiverClient(receiver.url, receiver.token("agent", "s")) as client:
        assert refused_body(client) is None
    assert findings(receiver.url, receiver.token("agent", "s"))["bodies"]["verdict"] == "ok"


def test_a_proxy_that_refuses_large_bodies_is_found(nginx: str, receiver: Any) -> None:
    token = receiver.token("agent", "s")
    with ReceiverClient(nginx, token) as client:
        refused = refused_body(client)
    assert refused is not None
    assert "413" in str(refused)
    found = findings(nginx, token)
    assert found["receiver"]["verdict"] == found["token"]["verdict"] == "ok"
    assert found["bodies"]["verdict"] == "fail"
    assert "client_max_body_size" in found["bodies"]["what_to_do"]


def test_without_tls_there_is_no_certificate(receiver: Any) -> None:
    assert certificate_days(receiver.url, None) is None
