"""Background work waits while bodies are received, but not for ever."""

from __future__ import annotations

import threading

import pytest

from api.checking.turns import MINIMUM_BYTES_PER_S, QUIET_S, BackgroundTurns, CheckStopped


class Scene:
    """A clock, and how long no bodies came; `wait` of the stopping event moves the clock."""

    def __init__(self) -> None:
        self.now_s = 10.0
        self.quiet = 0.0
        self.stopped = False
        self.turns = BackgroundTurns(self, self, lambda: self.now_s)  # type: ignore[arg-type]

    def quiet_s(self) -> float:
        return self.quiet

    def is_set(self) -> bool:
        return self.stopped

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_nothing_waits_while_no_bodies_come(scene: Scene) -> None:
    scene.quiet = QUIET_S * 1.01
    for _ in range(1000):
        scene.turns.take(1 << 20)
    assert scene.now_s == 10.0


def test_at_least_the_minimum_is_read_while_bodies_come(scene: Scene) -> None:
    for _ in range(20):
        scene.turns.take(1 << 20)
    assert scene.now_s - 10.0 == pytest.approx(20 * (1 << 20) / MINIMUM_BYTES_PER_S)


def test_a_pause_of_the_bodies_is_used_at_once(scene: Scene) -> None:
    scene.turns.take(1 << 20)
    busy_until_s = scene.now_s
    scene.quiet = QUIET_S * 2
    for _ in range(100):
        scene.turns.take(1 << 20)
    assert scene.now_s == busy_until_s
    scene.quiet = 0.0  # what was read meanwhile is not counted against the minimum
    scene.turns.take(1 << 20)
    assert scene.now_s - busy_until_s == pytest.approx((1 << 20) / MINIMUM_BYTES_PER_S)


def test_work_that_waits_ends_with_the_receiver() -> None:
    stopping = threading.Event()
    scene = Scene()
    turns = BackgroundTurns(scene, stopping)  # type: ignore[arg-type]
    ended: list[type[BaseException]] = []

    def work() -> None:
        try:
            turns.take(int(MINIMUM_BYTES_PER_S * 3600))
        except CheckStopped as stopped:
            ended.append(type(stopped))

    thread = threading.Thread(target=work)
    thread.start()
    stopping.set()
    thread.join(30)
    assert ended == [CheckStopped]
