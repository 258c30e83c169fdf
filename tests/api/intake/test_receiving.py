"""A request that is given up in the middle lets go of its place only when no thread works there."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.intake.activity import IntakeActivity
from api.intake.receiving import ReceptionConsumer
from transfer.wire.errors import ReceiverBusy


@pytest.fixture
def activity(tmp_path: Path) -> IntakeActivity:
    return IntakeActivity(tmp_path / "intake.activity")


class SlowSink:
    """A sink whose disk hangs until it is told to go on."""

    def __init__(self):
        self.entered, self.go_on, self.log = threading.Event(), threading.Event(), []

    def add(self, _blocks):
        self.entered.set()
        assert self.go_on.wait(10)
        self.log.append("written")

    def close(self):
        self.log.append("closed")


def test_a_place_is_not_closed_under_a_thread_that_writes_there(activity):
    sink = SlowSink()
    place = SimpleNamespace(is_locked=True, sink=lambda: sink, close=lambda: sink.log.append("let go"))
    consumer = ReceptionConsumer(activity, lambda: place, lambda _: None)
    assert consumer.open()
    writing = threading.Thread(target=consumer.add, args=([b"bytes"],))
    writing.start()
    assert sink.entered.wait(10)
    closing = threading.Thread(target=consumer.close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive()
    sink.go_on.set()
    closing.join(10)
    writing.join(10)
    assert sink.log == ["written", "closed", "let go"]
    with pytest.raises(ReceiverBusy):
        consumer.add([b"more"])


def test_a_place_that_is_opened_too_late_stays_closed(activity):
    opened = []
    consumer = ReceptionConsumer(activity, lambda: opened.append("place"), lambda _: None)
    consumer.close()
    with pytest.raises(ReceiverBusy):
        consumer.open()
    assert not opened
