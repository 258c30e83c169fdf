"""The client against real sockets: what it refuses to send, and what it makes of odd answers."""

import contextlib
import json
import logging
import socket
import ssl
import time
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import trustme
from scripted_server import scripted

from transfer.client import ReceiverClient
from transfer.wire.errors import (
    AuthRejected,
    BadUrl,
    CertificateRejected,
    ForeignAnswer,
    LinkLost,
    ReceiverBusy,
)
from transfer.wire.problems import problem_of
from transfer.wire.protocol import SERVICE, ListedFile

TOKEN = "secret-token-0123456789"


def service_json():
    return json.dumps({"version": "1", "max_file_bytes": 1, "free_bytes": 1, "registrars": []}).encode()


def test_a_url_that_would_give_the_token_away_is_refused_before_anything_is_sent():
    with pytest.raises(BadUrl) as caught:
        ReceiverClient("http://example.org", TOKEN)
    assert TOKEN not in str(caught.value)


def test_a_host_name_that_httpx_cannot_encode_is_refused():
    with pytest.raises(BadUrl):
        ReceiverClient("https://xn--ü.example.org", TOKEN)


@pytest.mark.parametrize("token", ["", "  \n", "two words", "line\nbreak", "ünicode"])
def test_a_token_that_cannot_be_one_is_refused_without_showing_it(token):
    with pytest.raises(AuthRejected) as caught:
        ReceiverClient("http://127.0.0.1:9", token)
    assert caught.value.exit_code == 7
    assert not token.strip() or token.strip() not in str(caught.value)


def test_the_token_is_sent_and_never_told(caplog):
    caplog.set_level(logging.DEBUG)
    error = problem_of(AuthRejected("no")).model_dump_json().encode()
    with scripted(lambda _: (401, {}, error)) as (url, seen), ReceiverClient(url, TOKEN + "\n") as client:
        with pytest.raises(AuthRejected) as caught:
            client.service()
        assert seen[0][2]["Authorization"] == f"Bearer {TOKEN}"
        told = [caplog.text, repr(client), str(caught.value), repr(caught.value), caught.value.hint]
    assert not [text for text in told if TOKEN in text]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, {}, b"<html>a captive portal</html>"), ForeignAnswer),
        ((200, {}, b'{"unexpected": 1}'), ForeignAnswer),
        ((204, {}, b""), ForeignAnswer),
        ((404, {}, b"<html>nginx</html>"), ForeignAnswer),
        ((502, {}, b"<html>nginx</html>"), ForeignAnswer),
        (None, LinkLost),
    ],
)
def test_odd_answers_become_errors_of_ours(answer, error):
    with scripted(lambda _: answer) as (url, _), ReceiverClient(url, TOKEN) as client:
        with pytest.raises(error) as caught:
            client.service()
        assert type(caught.value) is error


def test_retry_after_is_read():
    busy = problem_of(ReceiverBusy()).model_dump_json().encode()
    with scripted(lambda _: (503, {"Retry-After": "7"}, busy)) as (url, _), ReceiverClient(url, TOKEN) as client:
        with pytest.raises(ReceiverBusy) as caught:
            client.service()
        assert caught.value.retry_after_s == 7


def test_a_redirection_does_not_carry_the_token_elsewhere():
    with scripted(lambda _: (200, {}, service_json())) as (elsewhere, seen_elsewhere):
        moved = (307, {"Location": elsewhere}, b"")
        with scripted(lambda _: moved) as (url, _), ReceiverClient(url, TOKEN) as client:
            with pytest.raises(ForeignAnswer):
                client.service()
            assert not seen_elsewhere


def test_a_proxy_of_the_environment_never_sees_a_clear_token(monkeypatch):
    with scripted(lambda _: (200, {}, service_json())) as (proxy, seen_by_proxy):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        with scripted(lambda _: (200, {}, service_json())) as (url, seen), ReceiverClient(url, TOKEN) as client:
            client.service()
        assert len(seen) == 1
        assert not seen_by_proxy


def test_nobody_listening_and_silence_are_a_lost_link():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with ReceiverClient(url, TOKEN, timeout_s=0.3) as client, pytest.raises(LinkLost, match="timed out"):
            client.service()
        assert time.monotonic() - began < 30  # far from the 60 s that it would be without being told
    with ReceiverClient(url, TOKEN) as client, pytest.raises(LinkLost, match="refused"):
        client.service()


def test_lists_are_read_page_by_page():
    receipts = [ListedFile(session="s", path=f"f{n}", revision=1, size_bytes=n, digest="0" * 64) for n in range(5)]

    def answer(request):
        if request[1] == SERVICE:
            return 200, {}, service_json()
        after = int((urlsplit(request[1]).query or "after=0").removeprefix("after="))
        page = [receipt.model_dump() for receipt in receipts[after : after + 2]]
        return 200, {}, json.dumps({"files": page, "next": str(after + 2) if after + 2 < 5 else None}).encode()

    with scripted(answer) as (url, seen), ReceiverClient(url, TOKEN) as client:
        assert list(client.files("s")) == receipts
        assert len(seen) == 4  # the version is agreed on first


def test_a_route_takes_no_name_for_a_folder():
    with scripted(lambda _: (204, {}, b"")) as (url, seen), ReceiverClient(url, TOKEN) as client:
        with pytest.raises(ForeignAnswer):
            client.session("../service")
        client.withdraw(uuid4())  # such an answer may be that of an older receiver
        assert seen[0][1] == "/v1/sessions/..%2Fservice"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@contextlib.contextmanager
def tls_server(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with scripted(lambda _: (200, {}, service_json()), tls=context) as (url, seen):
        yield url, seen


def test_a_certificate_of_the_named_authority_is_trusted(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with tls_server(authority) as (url, _), ReceiverClient(url, TOKEN, ca=tmp_path / "ca.pem") as client:
        assert client.service().version == "1"


def test_another_certificate_is_refused_for_good_and_sees_no_token(authority, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with tls_server(authority) as (url, seen):
        for ca in (None, tmp_path / "other.pem"):
            with ReceiverClient(url, TOKEN, ca=ca) as client, pytest.raises(CertificateRejected) as caught:
                client.service()
            assert caught.value.exit_code == 7
        assert not seen


def test_a_ca_file_that_is_none_is_named(tmp_path):
    (tmp_path / "ca.pem").write_text("not a certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(BadUrl.__base__, match=name):
            ReceiverClient("https://127.0.0.1", TOKEN, ca=tmp_path / name)


def test_the_kernel_says_which_congestion_control_it_uses():
    with scripted(lambda _: (200, {}, service_json())) as (url, _), ReceiverClient(url, TOKEN) as client:
        assert client.congestion_control is None
        client.service()
        if hasattr(socket, "TCP_CONGESTION"):
            with socket.socket() as own:
                default = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
            assert client.congestion_control == default
