"""Answers are read from a socket one after the other, in whatever pieces they arrive."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from transfer.connections.answer_limits import ONE_BYTES, AnswerBudget, AnswerRefused
from transfer.connections.answer_reader import AnswerReader


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, AnswerReader]]:
    """A socket to write to, and the reader of the other one."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        ours.settimeout(60)
        yield theirs, AnswerReader(ours)


def read(reader: AnswerReader) -> tuple[int, bytes]:
    answer = http.client.HTTPResponse(cast("socket.socket", reader), method="PUT")
    answer.begin()
    return answer.status, answer.read()


def test_answers_that_arrive_together_are_read_one_by_one(pair: tuple[socket.socket, AnswerReader]) -> None:
    theirs, reader = pair
    one = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\none"
    other = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nother\r\n0\r\n\r\n"
    theirs.sendall(one + other + one)
    assert not reader.is_waiting()
    assert [read(reader) for _ in range(2)] == [(201, b"one"), (503, b"other")]
    assert reader.is_waiting()
    assert read(reader) == (201, b"one")
    assert not reader.is_waiting()


def test_an_answer_may_end_with_the_connection(pair: tuple[socket.socket, AnswerReader]) -> None:
    theirs, reader = pair
    theirs.sendall(b"HTTP/1.0 400 Bad\r\n\r\nuntil the end")
    theirs.close()
    assert read(reader) == (400, b"until the end")
    with pytest.raises(http.client.RemoteDisconnected):
        read(reader)


def test_lines_and_answers_have_a_longest_length(pair: tuple[socket.socket, AnswerReader]) -> None:
    theirs, reader = pair
    theirs.sendall(b"x" * 100)
    assert reader.readline(10) == b"x" * 10
    assert reader.read(5) == b"x" * 5
    reader.begin(AnswerBudget(ONE_BYTES, 60), lambda: None)
    theirs.close()
    assert reader.read() == b"x" * 85


def test_an_answer_that_exceeds_its_budget_is_refused(pair: tuple[socket.socket, AnswerReader]) -> None:
    theirs, reader = pair
    theirs.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
    reader.begin(AnswerBudget(1000, 60), lambda: None)
    with pytest.raises(AnswerRefused, match="more than 1,000 bytes"):
        read(reader)
    asked: list[None] = []
    reader.begin(AnswerBudget(1000, 0.3), lambda: asked.append(None))
    reader._socket.settimeout(0.1)
    with pytest.raises(AnswerRefused, match="not complete"):
        reader.read(10_000)
    assert asked
