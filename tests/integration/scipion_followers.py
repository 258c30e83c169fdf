"""Processes that Scipion runs for a receiver: found by their command lines, whichever PID namespace they run in."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.waiting import wait_until


def follower_pids(data: Path, script: bytes = b"pw_protocol_run") -> list[int]:
    """Return the processes that run protocols of a data folder's projects, as this PID namespace numbers them.

    `script`: those that run this script of Scipion instead.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(script in word for word in words[1:2]) and str(data).encode() in b" ".join(words):
            found.append(int(process.name))
    return found


def kill_followers(data: Path) -> bool:
    """Kill -9 the followers and what waits behind them; return whether there were any, when they are gone."""
    for pid in follower_pids(data, b"pw_schedule_run"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    found = follower_pids(data)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    if found:
        wait_until(lambda: not follower_pids(data), "the followers are gone")
    return bool(found)
