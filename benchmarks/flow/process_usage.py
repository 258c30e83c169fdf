"""What the processes of a session take, read from /proc: CPU seconds so far, and resident memory now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.transfer.paths.usage import cpu_seconds, tree_of

AGENT, SCANNING, ALIGNMENT, RECEIVER, FOLLOWER = "agent", "scanning", "alignment", "receiver", "follower"
"""Whose CPU time is measured. The agent's contains that of scanning, which its main thread does."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU seconds and resident bytes at one moment (monotonic time in s), by whose they are."""

    at_s: float
    cpu_s: Mapping[str, float]
    resident_bytes: Mapping[str, int]


class SessionProcesses:
    """The processes of a session.

    Parameters
    ----------
    agent, receiver
        The processes of `cryoferry watch` and `cryoferry serve`.
    find_follower
        Returns the process of Scipion's follower; None while there is none. It starts with a session's first exposure.
    """

    def __init__(self, agent: int, receiver: int, find_follower: Callable[[], int | None]) -> None:
        self._agent, self._receiver, self._find_follower = agent, receiver, find_follower
        self._follower: int | None = None

    def sample(self) -> Sample:
        """Return what each has taken so far."""
        agent_tree = tree_of(self._agent)
        # alone: the short processes that it starts are Scipion's
        receiver = tree_of(self._receiver).get(self._receiver)
        own = agent_tree.pop(self._agent, None)
        cpu_s = {
            AGENT: _seconds(own[11:13]) if own else 0.0,
            SCANNING: _main_thread_cpu_s(self._agent),
            ALIGNMENT: sum(_seconds(fields[11:15]) for fields in agent_tree.values())
            + (_seconds(own[13:15]) if own else 0.0),
            RECEIVER: _seconds(receiver[11:13]) if receiver else 0.0,
        }
        resident = {
            AGENT: _pages([own] if own else []),
            ALIGNMENT: _pages(agent_tree.values()),
            RECEIVER: _pages([receiver] if receiver else []),
        }
        self._follower = self._find_follower() or self._follower  # it is not found while it notes that it runs
        if self._follower is not None and tree_of(self._follower):
            cpu_s[FOLLOWER] = cpu_seconds(self._follower)
            resident[FOLLOWER] = _pages(tree_of(self._follower).values())
        return Sample(time.monotonic(), cpu_s, resident)


def _seconds(ticks: Sequence[str]) -> float:
    return sum(map(int, ticks)) / _TICKS_PER_S


def _pages(processes: Iterable[Sequence[str]]) -> int:
    return sum(int(fields[21]) for fields in processes) * _PAGE_BYTES


def _main_thread_cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return _seconds(fields[11:13])
