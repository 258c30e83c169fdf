"""The followers of a receiver, as processes: found by their command lines, whichever PID namespace they run in."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.waiting import wait_until


def follower_pids(data: Path) -> list[int]:
    """Return the processes that follow sessions of a data folder, as this PID namespace numbers them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"pw_protocol_run" in word for word in words[1:2]) and str(data).encode() in b" ".join(words):
            found.append(int(process.name))
    return found


def kill_followers(data: Path) -> bool:
    """Kill -9 the followers; return whether there were any, when they are gone."""
    found = follower_pids(data)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    if found:
        wait_until(lambda: not follower_pids(data), "the followers are gone")
    return bool(found)
