"""Processes learn from a file when bodies were last received."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.intake.activity import NOTE_EVERY_NS, IntakeActivity

SECOND_NS = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ns = 100 * SECOND_NS

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_another_process_sees_when_bodies_came(tmp_path: Path, clock: Clock) -> None:
    receiving, waiting = (IntakeActivity(tmp_path / "activity", clock) for _ in range(2))
    assert waiting.quiet_s() == float("inf")
    receiving.note()
    clock.ns += 3 * SECOND_NS
    assert waiting.quiet_s() == 3
    receiving.note()
    assert waiting.quiet_s() == 0


def test_a_note_within_a_moment_of_the_last_one_writes_nothing(tmp_path: Path, clock: Clock) -> None:
    activity = IntakeActivity(tmp_path / "activity", clock)
    activity.note()
    (tmp_path / "activity").unlink()
    clock.ns += NOTE_EVERY_NS - 1
    activity.note()
    assert not (tmp_path / "activity").exists()
    clock.ns += 1
    activity.note()
    assert activity.quiet_s() == 0


def test_a_time_of_before_the_machine_was_started_again_is_long_ago(tmp_path: Path, clock: Clock) -> None:
    IntakeActivity(tmp_path / "activity", clock).note()
    clock.ns = SECOND_NS
    assert IntakeActivity(tmp_path / "activity", clock).quiet_s() == float("inf")


def test_a_file_that_cannot_be_written_refuses_no_body(tmp_path: Path, clock: Clock) -> None:
    activity = IntakeActivity(tmp_path / "not there" / "activity", clock)
    activity.note()
    assert activity.quiet_s() == float("inf")
    (tmp_path / "damaged").write_bytes(b"abc")
    assert IntakeActivity(tmp_path / "damaged", clock).quiet_s() == float("inf")


def test_each_body_is_noted(receiver, wire) -> None:
    activity = receiver.app.state.receiver.activity
    assert activity.quiet_s() == float("inf")
    assert wire.put_file("a", b"hello").status_code == 201
    assert activity.quiet_s() < 60
