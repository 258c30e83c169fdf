"""Runs cryoferry's own commands as processes and reads the JSON lines that they print."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents.demo.errors import DemoFailed

STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05


class Command:
    """One running `cryoferry` command.

    Its JSON lines and its log go to files in `logs`, so that the process can go on after the demo has ended.
    """

    def __init__(self, arguments: list[str], *, logs: Path) -> None:
        self.name, self.log = arguments[0], logs / f"{arguments[0]}.log"
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        output = logs / f"{self.name}.jsonl"
        with output.open("wb") as stdout, self.log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cryoferry", *arguments],
                stdout=stdout,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the demo, which stops its processes in order
            )
        threading.Thread(target=self._read, args=(output,), daemon=True).start()

    def _read(self, output: Path) -> None:
        with output.open("rb") as lines:
            rest = b""
            while True:
                ended = self._process.poll() is not None
                rest += lines.read()
                *whole, rest = rest.split(b"\n")
                for line in whole:
                    self._lines.put(json.loads(line))
                if ended:
                    self._lines.put(None)
                    return
                time.sleep(_POLL_SECONDS)

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._process.pid

    def next_line(self, timeout_s: float) -> dict[str, Any]:
        """Return the next JSON line.

        Raises
        ------
        DemoFailed
            The command ended, or printed nothing for `timeout_s`.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise DemoFailed(
                f"`cryoferry {self.name}` printed nothing for {timeout_s:.0f} s; its log is {self.log}"
            ) from None
        if line is None:
            raise DemoFailed(f"`cryoferry {self.name}` ended too early; its log is {self.log}\n{self._log_tail()}")
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
        """End the process: with SIGTERM, or with SIGKILL if it still runs 20 s later."""
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
        The command failed.
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
