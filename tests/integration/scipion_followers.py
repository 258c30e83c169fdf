"""Processes of Scipion's protocols, found by their command lines, whichever PID namespace they run in."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.waiting import wait_until

SCRIPTS = ("pw_protocol_run", "pw_schedule_run")
"""Of Scipion: they run a protocol, or wait until it can run."""


def protocol_pids(data: Path, kind: str = "") -> list[int]:
    """Return the processes of protocols in projects of a data folder, as this PID namespace numbers them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        runs = any(script in "".join(words[1:2]) for script in SCRIPTS)
        if runs and str(data) in " ".join(words) and kind in " ".join(words):
            found.append(int(process.name))
    return found


def follower_pids(data: Path) -> list[int]:
    """Return the followers among them."""
    return protocol_pids(data, "ProtCryoferryFollow")


def kill_followers(data: Path) -> None:
    """Kill -9 the followers; return when they are gone."""
    for pid in follower_pids(data):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not follower_pids(data), "the followers are gone")


def kill_protocols(data: Path) -> None:
    """Kill -9 all protocols, the followers first: they might give the others more to do."""
    kill_followers(data)
    for pid in protocol_pids(data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
