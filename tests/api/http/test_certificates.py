"""A certificate that is renewed in place is used by new connections, without a restart."""

from __future__ import annotations

import json
import logging
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from api.http.certificates import Certificate
from tests.running import COMMAND, clean_environment
from tests.waiting import wait_until


class Files:
    """A certificate and its key in a folder."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.certificate, self.key, self._authority = folder / "cert.pem", folder / "key.pem", authority

    def write(self, name: str, *, key_of: str | None = None) -> None:
        """Replace both files, as certbot does; `key_of` gives the key of another certificate."""
        made = self._authority.issue_cert(name)
        other = made if key_of is None else self._authority.issue_cert(key_of)
        self.replace(self.certificate, b"".join(blob.bytes() for blob in made.cert_chain_pems))
        self.replace(self.key, other.private_key_pem.bytes())

    @staticmethod
    def replace(path: Path, content: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    found = Files(tmp_path, authority)
    found.write("first.example.org")
    return found


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connected, _ = server.accept()
                except OSError:
                    return
                with connected, context.wrap_socket(connected, server_side=True) as secure:
                    secure.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def shown_name(port: int, authority: trustme.CA) -> str:
    """Return the name in the certificate that a new connection gets."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    client.check_hostname = False
    with socket.create_connection(("127.0.0.1", port)) as plain, client.wrap_socket(plain) as secure:
        found = secure.getpeercert()
        secure.sendall(b"x")
    assert found is not None
    return str(found["subjectAltName"][0][1])


def test_a_new_pair_is_used_and_a_broken_one_is_not(
    files: Files, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    certificate = Certificate(context, files.certificate, files.key)
    caplog.set_level(logging.INFO)
    with listening(context) as port:
        certificate.renew()
        assert shown_name(port, authority) == "first.example.org"
        files.write("second.example.org")
        certificate.renew()
        assert shown_name(port, authority) == "second.example.org"
        assert [record.levelname for record in caplog.records] == ["INFO"]
        for broken in (b"", b"garbage"):
            files.replace(files.certificate, broken)
            certificate.renew()
            certificate.renew()
            assert shown_name(port, authority) == "second.example.org"
        files.write("third.example.org", key_of="other.example.org")
        certificate.renew()
        files.key.unlink()
        certificate.renew()
        assert shown_name(port, authority) == "second.example.org"
        refused = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(refused) == 4  # each broken state once
        assert str(files.certificate) in refused[0].getMessage()
        files.write("fourth.example.org")
        certificate.renew()
        assert shown_name(port, authority) == "fourth.example.org"


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path, files: Files, authority: trustme.CA) -> None:
    links = tmp_path / "live"
    links.mkdir()
    certificate, key = links / "fullchain.pem", links / "privkey.pem"
    certificate.symlink_to(files.certificate)
    key.symlink_to(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    watched = Certificate(context, certificate, key)
    (tmp_path / "archive").mkdir()
    renewed = Files(tmp_path / "archive", authority)
    renewed.write("second.example.org")
    for link, target in ((certificate, renewed.certificate), (key, renewed.key)):
        link.unlink()
        link.symlink_to(target)
    watched.renew()
    with listening(context) as port:
        assert shown_name(port, authority) == "second.example.org"


@pytest.mark.parametrize("workers", [1, 2])
def test_the_receiver_uses_a_renewed_certificate_and_survives_sighup(
    tmp_path: Path, files: Files, authority: trustme.CA, workers: int
) -> None:
    command = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--port", "0", "--json", "--workers", str(workers)]
    command += ["--tls-cert", str(files.certificate), "--tls-key", str(files.key)]
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=clean_environment()) as process,
    ):
        try:
            assert process.stdout is not None
            port = int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])

            def shown() -> set[str]:
                return {shown_name(port, authority) for _ in range(4)}  # any worker may answer

            wait_until(lambda: shown() == {"first.example.org"}, "the first certificate")
            files.write("second.example.org")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: shown() == {"second.example.org"}, "the second certificate")
            files.write("third.example.org")  # noticed without a signal too
            wait_until(lambda: shown() == {"third.example.org"}, "the third certificate")
            assert log.read_text().count("SIGHUP") == 1
            read_again = f"{files.certificate} changed and was read again"
            wait_until(lambda: read_again in log.read_text(), "a line about the renewal")
        finally:
            process.terminate()
        assert process.wait(30) == 0
    # Not once a worker; the one that logs it may see two renewals as one.
    assert log.read_text().count(read_again) in ({2} if workers == 1 else {1, 2})
