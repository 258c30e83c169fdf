"""Places for movies' frames: who waits, who goes on, who is sent away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from preprocess.pipeline.held_places import HeldPlaces, ProcessingStopped

PATIENCE_S = 60
MOMENT_S = 0.05


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def waits(what: Future) -> bool:
    try:
        what.exception(MOMENT_S)
    except TimeoutError:
        return True
    return False


def budget(size: int | None) -> Callable[[], int | None]:
    return lambda: size


def test_two_are_held_if_there_is_room_and_never_three(pool):
    places = HeldPlaces(budget(100))
    assert places.take(60)
    assert not places.take(40)
    third = pool.submit(places.take, 1)
    assert waits(third)
    places.give_back(60)
    assert third.result(PATIENCE_S) is False


def test_too_little_room_for_two(pool):
    places = HeldPlaces(budget(100))
    places.take(60)
    second = pool.submit(places.take, 41)
    assert waits(second)
    places.give_back(60)
    assert second.result(PATIENCE_S) is True


def test_the_only_one_is_let_in_whatever_it_needs():
    places = HeldPlaces(budget(100))
    assert places.take(1000)  # refusing it is another's decision


def test_memory_is_asked_for_anew_when_nothing_is_held(pool):
    sizes = iter([100, 50])
    places = HeldPlaces(lambda: next(sizes))
    places.take(60)
    places.give_back(60)
    assert places.take(30)
    assert waits(pool.submit(places.take, 30))
    places.stop()


def test_room_that_nobody_knows_is_enough():
    places = HeldPlaces(budget(None))
    assert places.take(10**15)
    assert not places.take(10**15)


def test_alone_waits_for_the_others_and_lets_nobody_in(pool):
    places = HeldPlaces(budget(None))
    places.take(1)
    inside, leave = threading.Event(), threading.Event()

    def be_alone() -> None:
        with places.alone():
            inside.set()
            assert leave.wait(PATIENCE_S)

    alone = pool.submit(be_alone)
    assert not inside.wait(MOMENT_S)
    late = pool.submit(places.take, 2)  # there is a second place, but somebody wants to be alone
    assert waits(late)
    places.give_back(1)
    assert inside.wait(PATIENCE_S)
    assert waits(late)
    leave.set()
    assert late.result(PATIENCE_S)
    assert alone.exception(PATIENCE_S) is None


def test_one_at_a_time(pool):
    places = HeldPlaces(budget(None))
    places.hold_one_at_a_time()
    places.take(1)
    assert waits(pool.submit(places.take, 1))
    places.stop()


def test_whoever_waits_is_sent_away(pool):
    places = HeldPlaces(budget(1))
    places.take(1)

    def be_alone() -> None:
        with places.alone():
            pass

    waiting = [pool.submit(places.take, 1), pool.submit(be_alone)]
    assert all(waits(one) for one in waiting)
    places.stop()
    assert [type(one.exception(PATIENCE_S)) for one in waiting] == [ProcessingStopped] * 2
