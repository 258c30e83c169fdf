"""Faults injected into a running receiver: strace makes one call of one thread fail, or kills the process at it.

strace counts the calls of each thread by themselves. A scenario whose calls come from one thread, one after the other,
makes the same calls each time, so that "the seventh pwrite64" names one step of it.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

CALLS = ("pwrite64", "write", "fsync", "fdatasync", "link", "linkat", "rename", "renameat", "renameat2", "ftruncate")
"""The calls that change what is on a disk, or make it durable."""
FAULTS = ("EIO", "ENOSPC", "EROFS", "SIGKILL")
STUCK_AFTER_S = 3.0

_STARTED = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")
_INJECTED = "(INJECTED)"
_KILLED = "+++ killed by SIGKILL +++"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a thread made: its name, and all that strace printed of its arguments, with paths."""

    thread: int
    name: str
    arguments: str
    injected: bool = False

    def concerns(self, folder: Path) -> bool:
        """Return whether it is about a file below a folder, or the folder."""
        return str(folder) in self.arguments

    def step(self, folder: Path, name: str) -> str:
        """Return which step of a scenario it is: the call and the files, without what differs from run to run."""
        paths = re.findall(rf"[<\"]({re.escape(str(folder))}[^>\"]*)", self.arguments)
        short = [path.removeprefix(str(folder)).lstrip("/").replace(name, "NAME") or "." for path in paths]
        return " ".join([self.name, *(re.sub(r"[0-9a-f-]{36}\.\d+\.part", "PART", path) for path in short)])


def require_strace() -> None:
    """Skip the test where strace cannot attach to a process."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    with subprocess.Popen(["sleep", "60"]) as sleeping:
        command = ["strace", "-o", "/dev/null", "-p", str(sleeping.pid)]
        tracing = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert tracing.stderr is not None
        attached = "attached" in tracing.stderr.readline()
        sleeping.kill()
        tracing.communicate()
    if not attached:
        pytest.skip("strace may not attach to processes here: run the tests as root, or where ptrace is allowed")


class Strace:
    """strace attached to a receiver for the time of a block.

    Parameters
    ----------
    number
        Of the process, all of whose threads are traced, or of one thread.
    log
        Where strace writes; replaced.
    calls
        What is traced.
    fault
        An error's name, or SIGKILL; None: only trace.
    when
        The fault comes at a thread's call with this number, from 1.
    """

    def __init__(
        self,
        number: int,
        log: Path,
        calls: tuple[str, ...] = CALLS,
        *,
        one_thread: bool = False,
        fault: str | None = None,
        when: int = 0,
    ) -> None:
        self._log = log
        log.unlink(missing_ok=True)
        self._command = ["strace", *([] if one_thread else ["-f"]), "-y", "-s", "0", "-o", str(log)]
        self._command += ["-e", f"trace={','.join(calls)}", "-p", str(number)]
        self._one_thread = number if one_thread else None
        if fault is not None:
            what = f"signal={fault}" if fault == "SIGKILL" else f"error={fault}"
            self._command += ["-e", f"inject={','.join(calls)}:{what}:when={when}"]
        self._kills = fault == "SIGKILL"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        assert "attached" in line, line
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.communicate(timeout=STUCK_AFTER_S)
        except subprocess.TimeoutExpired:  # it can miss the end of a process with several threads
            self._process.kill()
            self._process.communicate()

    def text(self) -> str:
        """Return what strace has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def has_hit(self) -> bool:
        """Whether the fault has come."""
        text = self.text()
        return _INJECTED in text or _KILLED in text

    def calls(self) -> list[Call]:
        """Return the calls that were made. A kill came at the call that did not return."""
        found: list[Call] = []
        open_calls: dict[int, int] = {}
        text = self.text()
        for line in text.splitlines():
            numbered = f"{self._one_thread} {line}" if self._one_thread else line
            if started := _STARTED.match(numbered):
                thread = int(started[1])
                returned = "<unfinished" not in numbered and not numbered.rstrip().endswith("= ?")
                open_calls.pop(thread, None)
                if not returned:
                    open_calls[thread] = len(found)
                found.append(Call(thread, started[2], started[3], _INJECTED in numbered))
            elif resumed := _RESUMED.match(numbered):
                thread = int(resumed[1])
                if thread in open_calls and not numbered.rstrip().endswith("= ?"):
                    index = open_calls.pop(thread)
                    found[index] = Call(thread, found[index].name, found[index].arguments, _INJECTED in numbered)
        if self._kills:
            for index in open_calls.values():
                found[index] = Call(found[index].thread, found[index].name, found[index].arguments, injected=True)
        return found
