"""Heads that are malformed, doubtful or too large are answered 4xx or 5xx, and their connection is closed."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.api.http.raw_requests import answers_to, status_of

GET = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
PUT = b"PUT /v1/sessions/s1 HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FOLLOWING = b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"

REFUSED = {
    "no Host": (GET + b"\r\n", 400),
    "two Hosts": (GET + HOST + HOST + b"\r\n", 400),
    "two Hosts that differ": (GET + HOST + b"Host: y\r\n\r\n", 400),
    "a Host of other characters": (GET + b"Host: x y\r\n\r\n", 400),
    "a bare LF": (b"GET /healthz HTTP/1.1\nHost: x\n\n", 400),
    "a bare CR": (b"GET /healthz HTTP/1.1\rHost: x\r\r", 400),
    "a folded field": (GET + HOST + b"X-Long: a\r\n b\r\n\r\n", 400),
    "a space before the colon": (GET + b"Host : x\r\n\r\n", 400),
    "a NUL in a field": (GET + HOST + b"X-Nul: a\0b\r\n\r\n", 400),
    "no name of a field": (GET + HOST + b": x\r\n\r\n", 400),
    "length and chunks": (PUT + b"Content-Length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + FOLLOWING, 400),
    "chunks and length": (PUT + CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n" + FOLLOWING, 400),
    "two lengths": (PUT + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" + FOLLOWING, 400),
    "the same length twice": (PUT + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + FOLLOWING, 400),
    "a list of lengths": (PUT + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "a negative length": (PUT + b"Content-Length: -1\r\n\r\n", 400),
    "a signed length": (PUT + b"Content-Length: +3\r\n\r\nabc", 400),
    "a length in hexadecimal": (PUT + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "a length beyond 64 bits": (PUT + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", 400),
    "another transfer coding": (PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "identity": (PUT + b"Transfer-Encoding: identity\r\n\r\n", (400, 501)),
    "chunks twice": (PUT + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"PUT /v1/sessions/s1 HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n", (400, 501)),
    "a chunk of no size": (PUT + CHUNKED + b"\r\nxyz\r\n", (400, 401)),
    "a whole URL": (b"GET http://x/healthz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a target without a path": (b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a NUL in the target": (b"GET /health\0z HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "bytes that are no ASCII in the target": (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a target of all": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a tunnel": (b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an upgrade": (GET + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
    "an upgrade to HTTP/2": (
        GET + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
        400,
    ),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    "HTTP/3.7": (b"GET /healthz HTTP/3.7\r\n" + HOST + b"\r\n", (400, 505)),
    "an unknown method": (b"BREW /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
    "another expectation": (PUT + b"Expect: a miracle\r\n\r\n", 417),
    "two expectations": (PUT + b"Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", 400),
    "two tokens": (PUT + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
    "a long target": (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "a long field": (GET + HOST + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n", 431),
    "many fields": (GET + HOST + b"X-Many: x\r\n" * 200 + b"\r\n", 431),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_with_a_problem_and_the_connection_is_closed(shared_receiver, kind) -> None:
    sent, expected = REFUSED[kind]
    answer = answers_to(shared_receiver.port, sent, half_close=False)
    assert status_of(answer) in (expected if isinstance(expected, tuple) else (expected,)), answer
    head, _, body = answer.partition(b"\r\n\r\n")
    if status_of(answer) != 401:
        assert b"application/problem+json" in head
        assert json.loads(body)["status"] == status_of(answer)  # and nothing behind it: no second answer


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PATCH", "PROPFIND", "POST"])
def test_a_method_that_a_route_does_not_have_is_answered_405(shared_receiver, method) -> None:
    answer = answers_to(shared_receiver.port, f"{method} /healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert status_of(answer) == 405
    assert b"allow: GET" in answer


@pytest.mark.parametrize("head", [b"GET /healthz HTTP/1.0\r\n\r\n", b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n"])
def test_http_1_0_of_a_proxy_is_answered_and_its_connection_closed(shared_receiver, head) -> None:
    assert status_of(answers_to(shared_receiver.port, head, half_close=False)) == 200


def test_an_answer_in_progress_is_not_mixed_with_the_refusal_of_what_follows(shared_receiver) -> None:
    answer = answers_to(shared_receiver.port, GET + HOST + b"\r\n" + b"nonsense\r\n\r\n", half_close=False)
    assert status_of(answer) == 200
    assert answer.count(b"HTTP/1.1") == 1


def test_requests_that_are_sent_before_an_answer_are_answered_up_to_a_number(shared_receiver) -> None:
    few = answers_to(shared_receiver.port, (GET + HOST + b"\r\n") * 10, half_close=False)
    assert few.count(b"HTTP/1.1 200") == 10
    many = answers_to(shared_receiver.port, (GET + HOST + b"\r\n") * 2000, half_close=False)
    assert many.count(b"HTTP/1.1 200") <= 17


def test_refusals_do_not_end_the_receiver_and_are_counted(shared_receiver) -> None:
    answers_to(shared_receiver.port, b"nonsense\r\n\r\n")
    assert httpx.get(f"{shared_receiver.url}/healthz").status_code == 200
    counted = shared_receiver.app.state.refusals.in_all()
    assert counted["malformed requests (400)"] >= 1
