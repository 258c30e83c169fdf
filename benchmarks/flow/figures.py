"""The figures of a flow benchmark: CPU an exposure in blocks, memory, latency, and how they grow with the session."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.flow.process_usage import AGENT, ALIGNMENT, FOLLOWER, RECEIVER, SCANNING, Sample

AGENT_PER_EXPOSURE = "agent without scanning"
EVERY_SCAN = "scanning"
COUNTED = (AGENT_PER_EXPOSURE, RECEIVER, FOLLOWER)
"""What makes up the CPU time that must not grow with the session."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some exposures in a row: how long they took, and the CPU seconds of each program in that time."""

    exposures: int
    wall_s: float
    cpu_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Idle:
    """What the programs took while nothing was to be done.

    Attributes
    ----------
    wall_s
        How long it was measured.
    cpu_s
        CPU seconds in that time.
    scan_pause_s
        Pause between two scans.
    """

    wall_s: float
    cpu_s: Mapping[str, float]
    scan_pause_s: float

    @property
    def scan_cpu_s(self) -> float:
        """Return the CPU time of one scan: all that the agent's main thread took, by the number of scans."""
        scanning = self.cpu_s[SCANNING]
        rest_s = self.wall_s - scanning
        return self.scan_pause_s * scanning / rest_s if rest_s > 0 else scanning


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Exposures that went through the real agent and receiver, after those that were in the session before.

    Attributes
    ----------
    warm_up
        The first exposures, which no figure contains.
    latencies_s
        For each later exposure, seconds from `finished` to `registered`, by registrar.
    peak_bytes
        The most resident memory of each program.
    """

    session_exposures: int
    exposures: int
    warm_up: int
    per_hour: float
    wall_s: float
    set_aside: int
    blocks: tuple[Block, ...]
    idle: Idle
    latencies_s: tuple[Mapping[str, float], ...]
    peak_bytes: Mapping[str, int]
    load_1_min: tuple[float, float]
    journal_bytes: int
    database_bytes: int | None

    def cpu_ms(self, whose: str) -> float | None:
        """Return the CPU time an exposure: the median of the blocks, in ms. None if it was not measured."""
        if not self.blocks or any(_of(block, whose) is None for block in self.blocks):
            return None
        return 1e3 * statistics.median((_of(block, whose) or 0.0) / block.exposures for block in self.blocks)

    def counted_ms(self) -> float | None:
        """Return the CPU time an exposure of agent, receiver and follower, without scanning and alignment, in ms."""
        return sum(self.cpu_ms(whose) or 0.0 for whose in COUNTED) if self.blocks else None

    def latency_s(self, quantile: float) -> float | None:
        """Return a quantile of the time from `finished` to registered by all registrars."""
        slowest = sorted(max(each.values()) for each in self.latencies_s if each)
        if not slowest:
            return None
        return slowest[min(len(slowest) - 1, int(quantile * len(slowest)))]

    def as_object(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        whose = (AGENT_PER_EXPOSURE, AGENT, SCANNING, ALIGNMENT, RECEIVER, FOLLOWER)
        return {
            "session_exposures": self.session_exposures,
            "exposures": self.exposures,
            "warm_up": self.warm_up,
            "per_hour": self.per_hour,
            "wall_s": self.wall_s,
            "set_aside": self.set_aside,
            "cpu_ms_an_exposure": {each: self.cpu_ms(each) for each in whose},
            "counted_cpu_ms_an_exposure": self.counted_ms(),
            "cpu_ms_a_scan": 1e3 * self.idle.scan_cpu_s,
            "idle_cpu_share": {each: spent / self.idle.wall_s for each, spent in self.idle.cpu_s.items()},
            "peak_bytes": dict(self.peak_bytes),
            "latency_median_s": self.latency_s(0.5),
            "latency_95_s": self.latency_s(0.95),
            "load_1_min": list(self.load_1_min),
            "journal_bytes": self.journal_bytes,
            "database_bytes": self.database_bytes,
            "blocks": [
                {"exposures": block.exposures, "wall_s": block.wall_s, "cpu_s": dict(block.cpu_s)}
                for block in self.blocks
            ],
            "latencies_s": [dict(each) for each in self.latencies_s],
        }


def _of(block: Block, whose: str) -> float | None:
    if whose == AGENT_PER_EXPOSURE:
        return block.cpu_s[AGENT] - block.cpu_s[SCANNING]
    return block.cpu_s.get(whose)


def block_between(before: Sample, after: Sample, exposures: int) -> Block:
    """Return the block of exposures between two samples."""
    both = before.cpu_s.keys() & after.cpu_s.keys()  # a follower may have started or ended between them
    spent = {whose: after.cpu_s[whose] - before.cpu_s[whose] for whose in after.cpu_s if whose in both}
    return Block(exposures, after.at_s - before.at_s, spent)


def idle_between(before: Sample, after: Sample, scan_pause_s: float) -> Idle:
    """Return what was taken between two samples in which nothing was to be done."""
    block = block_between(before, after, 0)
    return Idle(block.wall_s, block.cpu_s, scan_pause_s)


def growth(phases: Sequence[Phase]) -> float | None:
    """Return the counted CPU time an exposure of the largest session, divided by that of the smallest."""
    by_size = sorted(phases, key=lambda phase: phase.session_exposures)
    found = [counted for phase in by_size if (counted := phase.counted_ms())]
    return found[-1] / found[0] if len(found) > 1 else None
