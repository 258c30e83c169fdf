"""Runs cryoferry's own commands as real processes and reads what they say with `--json`."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agents.demo.errors import DemoFailed

STOP_SECONDS = 20.0


class Command:
    """One running `cryoferry` command; its JSON lines are read by a thread, its log goes to a file."""

    def __init__(self, arguments: list[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name, self.log = arguments[0], log
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cryoferry", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches the demo, which stops its processes in order
            )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._process.pid

    def next_line(self, timeout_s: float) -> dict[str, Any]:
        """Return the next JSON line.

        Raises
        ------
        DemoFailed
            The command ended, or said nothing for `timeout_s`.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise DemoFailed(
                f"`cryoferry {self.name}` said nothing for {timeout_s:.0f} s; its log is {self.log}"
            ) from None
        if line is None:
            raise DemoFailed(f"`cryoferry {self.name}` ended early; its log is {self.log}\n{self._log_tail()}")
        return line

    def waiting_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON lines that have arrived, without waiting for more.

        Raises
        ------
        DemoFailed
            The command ended.
        """
        while not self._lines.empty():
            yield self.next_line(0)

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-8:])

    def stop(self) -> None:
        """End the process: SIGTERM first, SIGKILL if it does not listen."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def run(arguments: list[str]) -> str:
    """Run a short `cryoferry` command and return what it prints.

    Raises
    ------
    DemoFailed
        It failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "cryoferry", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"`cryoferry {' '.join(arguments)}` failed with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
