"""Both connections of bulk requests against real sockets: what arrives, and what they make of odd answers."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest
import trustme
from scripted_server import scripted

from transfer.client import ReceiverClient
from transfer.connections.contract import SendCallbacks
from transfer.connections.httpx_connection import HttpxConnection
from transfer.connections.requests import put_chunks, put_file
from transfer.connections.socket_connection import SocketConnection
from transfer.source import Source
from transfer.wire.digest import chunk_digest, format_content_digest
from transfer.wire.errors import CertificateRejected, ForeignAnswer, LinkLost, NameTaken, SourceChanged, TransferStopped
from transfer.wire.problems import problem_of

TOKEN = "secret-token-0123456789"
SIZE_BYTES = 3_000_001


def never():
    """Nobody wants to stop."""


FREELY = SendCallbacks(grant=lambda left: left, on_sent=lambda _: None, check_stop=never)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(SIZE_BYTES))
    with Source(tmp_path / "file") as source:
        yield source


@pytest.fixture
def content(source):
    return source.path.read_bytes()


def httpx_connection(client):
    """Return the connection that a client makes where it goes through a proxy."""
    return HttpxConnection(client._http.put, lambda: client.congestion_control)


@pytest.fixture(params=["socket", "socket with TLS", "httpx"])
def serve(request, tmp_path):
    """Return a function that starts a scripted server and yields a connection to it, and what it has seen."""
    from contextlib import contextmanager

    tls, ca, scheme = None, None, "http"
    if request.param == "socket with TLS":
        authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        ca, scheme = tmp_path / "ca.pem", "https"
        authority.cert_pem.write_to_path(ca)

    @contextmanager
    def serve(answer, *, timeout_s=60.0):
        with scripted(answer, tls=tls) as (url, seen):
            prefixed = f"{scheme}://127.0.0.1:{urlsplit(url).port}/prefix/"
            with ReceiverClient(prefixed, TOKEN, ca=ca, timeout_s=timeout_s) as client:
                connection = httpx_connection(client) if request.param == "httpx" else client.new_connection()
                yield connection, seen
                connection.close()

    return serve


def test_names_arrive_as_they_are_and_bodies_with_their_digest(serve, source, content):
    path, digest = "Zürich 1/a+b#c,(d)=e@f.mrc", chunk_digest(content)
    with serve(lambda _: (201, {}, b"told")) as (connection, seen):
        connection.send(put_file("s", path, 3, source, digest), FREELY)
        assert connection.answer(never) == b"told"
        method, target, headers, body = seen[0]
    assert method == "PUT"
    assert target.startswith("/prefix/v1/files/s/Z%C3%BCrich%201/")
    assert target.endswith("?revision=3")
    assert unquote(urlsplit(target).path).removeprefix("/prefix/v1/files/s/") == path
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Length"] == str(SIZE_BYTES)
    assert "Transfer-Encoding" not in headers
    assert headers["Content-Digest"] == format_content_digest("blake3", digest)
    assert body == content


def test_a_part_goes_in_pieces_as_they_are_granted_and_is_counted(serve, source, content):
    asked, moved = [], []
    callbacks = SendCallbacks(
        grant=lambda left: asked.append(left) or min(left, 10_000), on_sent=moved.append, check_stop=never
    )
    with serve(lambda _: (204, {}, b"")) as (connection, seen):
        connection.send(put_chunks(uuid4(), source, range(1000, 500_000), [bytes(32)]), callbacks)
        assert connection.answer(never) == b""
        _, _, headers, body = seen[0]
    assert headers["Content-Range"] == f"bytes 1000-499999/{SIZE_BYTES}"
    assert body == content[1000:500_000]
    assert sum(moved) == 499_000
    assert len(asked) == 50


def test_what_is_encoded_travels_from_memory_with_a_digest_of_its_own(serve, source):
    encoded, moved = b"encoded" * 10_000, []
    callbacks = SendCallbacks(grant=lambda left: min(left, 9_999), on_sent=moved.append, check_stop=never)
    with serve(lambda _: (204, {}, b"")) as (connection, seen):
        connection.send(put_file("s", "x", 1, source, bytes(32), encoded), callbacks)
        connection.answer(never)
        _, _, headers, body = seen[0]
    assert body == encoded
    assert headers["Content-Encoding"] == "zstd"
    assert headers["Content-Length"] == str(len(encoded))
    assert headers["Upload-Length"] == str(SIZE_BYTES)
    assert headers["Content-Digest"] == format_content_digest("blake3", chunk_digest(encoded))
    assert sum(moved) == len(encoded)


def test_requests_may_be_sent_before_the_answers_are_read(serve, source, content):
    with serve(lambda request: (200, {}, request[3][:5])) as (connection, seen):
        for first in (0, 100, 200):
            connection.send(put_chunks(uuid4(), source, range(first, first + 50), [bytes(32)]), FREELY)
        generation = connection.generation
        assert [connection.answer(never) for _ in range(3)] == [content[first : first + 5] for first in (0, 100, 200)]
        assert connection.generation == generation
        assert len(seen) == 3


def test_a_refusal_is_the_error_that_it_tells_of_and_the_connection_goes_on(serve, source):
    answers = [(409, {}, problem_of(NameTaken("both")).model_dump_json().encode())]
    answers += [(503, {"Retry-After": "7"}, b"overloaded"), (204, {}, b"")]
    with serve(lambda _: answers.pop(0)) as (connection, _):
        put = put_file("s", "name", 1, source, bytes(32))
        connection.send(put, FREELY)
        with pytest.raises(NameTaken, match="both"):
            connection.answer(never)
        connection.send(put, FREELY)
        with pytest.raises(ForeignAnswer) as busy:
            connection.answer(never)
        assert busy.value.retry_after_s == 7
        connection.send(put, FREELY)
        assert connection.answer(never) == b""


def test_a_connection_that_ends_without_an_answer_is_lost_and_made_anew(serve, source):
    answers = [None, (204, {}, b"")]
    with serve(lambda _: answers.pop(0)) as (connection, _):
        put = put_file("s", "name", 1, source, bytes(32))
        with pytest.raises(LinkLost):
            exchange(connection, put)
        assert exchange(connection, put) == b""


def exchange(connection, put, callbacks=FREELY):
    connection.send(put, callbacks)
    return connection.answer(callbacks.check_stop)


def test_a_source_that_has_become_shorter_ends_the_connection(serve, source):
    with serve(lambda _: (204, {}, b"")) as (connection, seen):
        os.truncate(source.path, 1000)
        with pytest.raises((SourceChanged, LinkLost)) as caught:
            exchange(connection, put_file("s", "name", 1, source, bytes(32)))
        assert isinstance(caught.value, SourceChanged)
        assert seen == [] or len(seen[0][3]) < SIZE_BYTES


# What only a socket of our own does


@pytest.fixture
def silent():
    """A server that accepts and takes nothing; yields its URL and a way to get at the accepted connection."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        thread = threading.Thread(target=lambda: accepted.append(listening.accept()[0]))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", lambda: (thread.join(), accepted[0])[1]
        for connected in accepted:
            connected.close()


def big(source):
    os.truncate(source.path, 64 << 20)
    return put_chunks(uuid4(), source, range(64 << 20), [bytes(32)])


def test_a_receiver_that_takes_nothing_counts_as_lost_in_time(silent, source):
    url, _ = silent
    with ReceiverClient(url, TOKEN, timeout_s=0.3) as client:
        connection = client.new_connection()
        with pytest.raises(LinkLost, match="accepts no more bytes"):
            connection.send(big(source), FREELY)
        assert connection.generation >= 1


@pytest.mark.parametrize("waiting", ["for room", "for the answer"])
def test_a_stop_is_noticed_while_nothing_moves(silent, source, waiting):
    url, _ = silent

    def stop():
        raise TransferStopped

    with ReceiverClient(url, TOKEN, timeout_s=60) as client:
        connection = client.new_connection()
        put = big(source) if waiting == "for room" else put_chunks(uuid4(), source, range(10), [bytes(32)])
        with pytest.raises(TransferStopped):
            exchange(connection, put, SendCallbacks(lambda left: left, lambda _: None, stop))


def test_a_receiver_that_refuses_before_the_end_is_heard(silent, source):
    url, connection = silent
    body = problem_of(NameTaken("already there")).model_dump_json().encode()
    refusal = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)

    def refuse():
        connected = connection()
        connected.recv(1000)
        connected.sendall(refusal)

    refusing = threading.Thread(target=refuse)
    refusing.start()
    moved = []
    with ReceiverClient(url, TOKEN) as client:
        connection = client.new_connection()
        connection.send(big(source), SendCallbacks(lambda left: left, moved.append, never))
        with pytest.raises(NameTaken, match="already there"):
            connection.answer(never)
        assert sum(moved) < 64 << 20
    refusing.join()


def test_a_certificate_of_nobody_is_refused_for_good(tmp_path, source):
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with scripted(lambda _: (204, {}, b""), tls=tls) as (url, seen):
        with ReceiverClient(url.replace("http:", "https:"), TOKEN) as client, pytest.raises(CertificateRejected):
            client.new_connection().send(put_file("s", "name", 1, source, bytes(32)), FREELY)
        assert not seen


def test_an_http_proxy_of_the_environment_is_used_by_httpx(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with ReceiverClient("https://receiver.invalid", TOKEN) as client:
        assert isinstance(client.new_connection(), HttpxConnection)
    monkeypatch.setenv("NO_PROXY", "receiver.invalid")
    with ReceiverClient("https://receiver.invalid", TOKEN) as client:
        assert isinstance(client.new_connection(), SocketConnection)
