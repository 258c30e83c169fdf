"""Announcements reach every listener once and in order, whatever the other listeners do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from agents.happenings import AnnouncementsLost, Happening, Happenings
from agents.journal.changes import NoteChanged

TIMEOUT_S = 30.0


def note(number: int) -> NoteChanged:
    return NoteChanged(key="number", value=str(number))


NUMBERS = [note(number) for number in range(100)]


class BlockedListener:
    """Takes nothing until it is released."""

    def __init__(self) -> None:
        self.heard: list[Happening] = []
        self.entered, self._go_on = threading.Event(), threading.Event()

    def __call__(self, happening: Happening) -> None:
        self.entered.set()
        assert self._go_on.wait(TIMEOUT_S)
        self.heard.append(happening)

    def release(self) -> None:
        self._go_on.set()


@pytest.fixture
def blocked() -> Iterator[BlockedListener]:
    listener = BlockedListener()
    yield listener
    listener.release()  # its thread must not outlive the test


def announce_all(happenings: Happenings, announcements: list[NoteChanged] = NUMBERS) -> None:
    for announcement in announcements:
        happenings.announce(announcement)


def test_two_listeners_hear_everything_once_and_in_order() -> None:
    happenings, one, two = Happenings(), list[Happening](), list[Happening]()
    happenings.listen("one", one.append)
    happenings.listen("two", two.append)
    announce_all(happenings)
    assert happenings.close() == 0
    assert one == two == NUMBERS


def test_nobody_listens_and_nothing_happens() -> None:
    happenings = Happenings()
    announce_all(happenings)
    assert happenings.close() == 0


def test_a_later_listener_hears_what_comes_after_it() -> None:
    happenings, heard = Happenings(), list[Happening]()
    happenings.announce(note(1))
    happenings.listen("late", heard.append)
    happenings.announce(note(2))
    happenings.close()
    assert heard == [note(2)]


def test_a_failing_listener_takes_nobodys_announcement_and_gets_the_next(caplog: pytest.LogCaptureFixture) -> None:
    happenings, heard, failing = Happenings(), list[Happening](), list[Happening]()

    def fail(happening: Happening) -> None:
        failing.append(happening)
        raise ZeroDivisionError("no such display")

    happenings.listen("failing", fail)
    happenings.listen("well", heard.append)
    with caplog.at_level(logging.WARNING):
        announce_all(happenings)
        assert happenings.close() == 0
    assert heard == failing == NUMBERS
    (said,) = caplog.records  # once, however often it fails
    assert "listener failing failed (no such display)" in said.getMessage()
    assert said.exc_info is not None


def test_a_blocked_listener_holds_up_neither_the_agent_nor_the_others(blocked: BlockedListener) -> None:
    happenings = Happenings()
    heard, complete = list[Happening](), threading.Event()

    def hear(happening: Happening) -> None:
        heard.append(happening)
        if len(heard) == len(NUMBERS):
            complete.set()

    happenings.listen("blocked", blocked)
    happenings.listen("well", hear)
    announce_all(happenings)  # returns although the first listener takes nothing
    assert complete.wait(TIMEOUT_S)
    assert heard == NUMBERS
    assert blocked.heard == []


def test_a_listener_that_is_behind_gets_the_rest_at_the_end(blocked: BlockedListener) -> None:
    happenings = Happenings()
    happenings.listen("slow", blocked)
    announce_all(happenings)
    assert blocked.entered.wait(TIMEOUT_S)
    blocked.release()
    assert happenings.close() == 0
    assert blocked.heard == NUMBERS


def test_a_listener_that_stays_blocked_is_left_behind_and_the_loss_is_said(
    blocked: BlockedListener, caplog: pytest.LogCaptureFixture
) -> None:
    happenings = Happenings()
    happenings.listen("stuck", blocked)
    announce_all(happenings)
    assert happenings.close(give_up_s=0.05) == len(NUMBERS)
    assert "listener stuck: 100 announcements were not delivered" in caplog.text


def test_a_full_queue_drops_the_newest_counts_them_and_tells_the_listener(
    blocked: BlockedListener, caplog: pytest.LogCaptureFixture
) -> None:
    happenings = Happenings()
    happenings.listen("slow", blocked, most_waiting=10)
    announce_all(happenings, NUMBERS[:15])
    assert "listener slow: 10 announcements wait" in caplog.text
    blocked.release()
    wait_until_empty(happenings, blocked, 10)
    announce_all(happenings, NUMBERS[15:20])
    assert happenings.close() == 0
    assert blocked.heard == [*NUMBERS[:10], AnnouncementsLost(count=5), *NUMBERS[15:20]]
    assert "listener slow: 5 announcements were dropped" in caplog.text


def test_what_was_dropped_at_the_end_is_told_too(blocked: BlockedListener) -> None:
    happenings = Happenings()
    happenings.listen("slow", blocked, most_waiting=10)
    announce_all(happenings, NUMBERS[:12])
    blocked.release()
    assert happenings.close() == 0
    assert blocked.heard == [*NUMBERS[:10], AnnouncementsLost(count=2)]


def test_nothing_is_announced_after_the_end() -> None:
    happenings, heard = Happenings(), list[Happening]()
    happenings.listen("one", heard.append)
    happenings.close()
    happenings.announce(note(1))
    assert happenings.close() == 0
    assert heard == []


def test_announcements_of_many_threads_come_in_one_order_for_all() -> None:
    happenings, one, two = Happenings(), list[Happening](), list[Happening]()
    happenings.listen("one", one.append)
    happenings.listen("two", two.append)
    lock = threading.Lock()

    def announce(start: int) -> Callable[[], None]:
        def run() -> None:
            for number in range(start, start + 50):
                with lock:  # as the journal does: its lock gives changes their order
                    happenings.announce(note(number))

        return run

    threads = [threading.Thread(target=announce(start)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    happenings.close()
    assert len(one) == 150
    assert one == two


def wait_until_empty(happenings: Happenings, listener: BlockedListener, count: int) -> None:
    """Wait until a listener has had so many announcements and its queue is empty."""
    (queue,) = happenings._queues
    with queue._changed:
        assert queue._changed.wait_for(lambda: not queue._waiting, TIMEOUT_S)
    assert len(listener.heard) == count
