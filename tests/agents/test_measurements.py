"""Means and rates, on a clock of the test's own."""

from __future__ import annotations

import pytest

from agents.measurements import Measurements


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_nothing_is_known_at_the_start() -> None:
    measurements = Measurements(Clock())
    assert measurements.stage_seconds() == {}
    assert measurements.movies_per_hour() is None
    assert measurements.upload_bytes_per_s() is None


def test_stages_are_means_of_the_newest_twenty() -> None:
    measurements = Measurements(Clock())
    for _ in range(20):
        measurements.add_stage("align", 1000.0)
    for _ in range(20):
        measurements.add_stage("align", 2.0)
    measurements.add_stage("send", 1.0)
    measurements.add_stage("send", 2.0)
    assert measurements.stage_seconds() == {"align": 2.0, "send": 1.5}


def test_movies_count_per_hour_and_are_forgotten_after_one() -> None:
    measurements = Measurements(clock := Clock())
    clock.now_s += 600
    for _ in range(5):
        measurements.count_movie()
    assert measurements.movies_per_hour() == pytest.approx(30)
    clock.now_s += 3600
    measurements.count_movie()
    assert measurements.movies_per_hour() == pytest.approx(6)
    clock.now_s += 3601
    assert measurements.movies_per_hour() == 0


def test_the_upload_rate_is_over_the_last_minute() -> None:
    measurements = Measurements(clock := Clock())
    total = 0
    for _ in range(100):
        clock.now_s += 5
        total += 50
        measurements.note_sent(total)
    assert measurements.upload_bytes_per_s() == pytest.approx(10)
    for _ in range(13):
        clock.now_s += 5
        measurements.note_sent(total)
    assert measurements.upload_bytes_per_s() == 0
