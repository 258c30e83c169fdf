"""What is computed from samples."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.flow.figures import AGENT_PER_EXPOSURE, Idle, Phase, block_between, growth
from benchmarks.flow.process_usage import AGENT, ALIGNMENT, FOLLOWER, RECEIVER, SCANNING, Sample


def sample(at_s: float, agent: float, scanning: float, receiver: float, follower: float = 0.0) -> Sample:
    cpu_s = {AGENT: agent, SCANNING: scanning, ALIGNMENT: 9.0, RECEIVER: receiver, FOLLOWER: follower}
    return Sample(at_s, cpu_s, {})


def phase(size: int, marks: list[Sample], latencies: tuple[dict[str, float], ...] = ()) -> Phase:
    return Phase(
        session_exposures=size,
        exposures=40,
        warm_up=10,
        per_hour=3600,
        wall_s=40.0,
        set_aside=0,
        blocks=tuple(block_between(before, after, 10) for before, after in pairwise(marks)),
        idle=Idle(30.0, {SCANNING: 3.0, AGENT: 3.1}, 5.0),
        latencies_s=latencies,
        peak_bytes={AGENT: 100, RECEIVER: 200},
        load_1_min=(0.0, 0.0),
        journal_bytes=1,
        database_bytes=None,
    )


SHORT = [sample(0, 1.0, 0.5, 2.0), sample(10, 1.3, 0.6, 2.5, 0.1), sample(20, 1.6, 0.7, 3.0, 0.2)]
LONG = [*SHORT, sample(30, 9.6, 0.8, 9.0, 0.3)]


def test_cpu_an_exposure_is_the_median_of_the_blocks_without_scans() -> None:
    found = phase(1000, LONG)
    assert found.cpu_ms(AGENT_PER_EXPOSURE) == pytest.approx(20)
    assert found.cpu_ms(RECEIVER) == pytest.approx(50)
    assert found.counted_ms() == pytest.approx(20 + 50 + 10)
    assert found.cpu_ms(ALIGNMENT) == 0


def test_a_scan_costs_what_the_main_thread_took_by_the_number_of_scans() -> None:
    assert Idle(30.0, {SCANNING: 0.0}, 5.0).scan_cpu_s == 0
    idle = Idle(30.0, {SCANNING: 3.0}, 5.0)
    scans = 30 / (5 + idle.scan_cpu_s)
    assert scans * idle.scan_cpu_s == pytest.approx(3.0)


def test_latency_is_that_of_the_slowest_registrar() -> None:
    latencies = tuple({"relion": 1.0, "scipion": 1.0 + number} for number in range(100))
    found = phase(1000, SHORT, latencies)
    assert (found.latency_s(0.5), found.latency_s(0.95)) == (51.0, 96.0)
    assert phase(1000, SHORT).latency_s(0.5) is None


def test_growth_compares_the_longest_with_the_shortest_session() -> None:
    slower = [sample(0, 0, 0, 0), sample(10, 0.4, 0.1, 0.8, 0.1)]
    assert growth([phase(1000, SHORT), phase(50000, slower)]) == pytest.approx(1.5)
    assert growth([phase(1000, SHORT)]) is None
    assert growth([phase(1000, SHORT), phase(1300, [])]) is None
