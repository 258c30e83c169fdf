"""Runs a program and measures wall time, CPU time and peak memory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import NothingToMeasure, ProgramFailed, TookTooLong

_WRAPPER = Path(__file__).with_name("measured_child.py")
_SHOWN_LINES = 6


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a program took: `cpu_s` of all its threads, `peak_bytes` the largest resident size of its process."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    stdout: str


def measure(
    command: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cap_s: float | None = None,
    watch: Callable[[int], AbstractContextManager[object]] | None = None,
    each_line: Callable[[str], None] | None = None,
) -> Measurement:
    """Run a command to its end; its stderr goes to `log`.

    Parameters
    ----------
    cap_s
        Stop it after this many seconds.
    watch
        Called with the process's id; what it returns is entered while the command runs.
    each_line
        Called with each line of stdout as it comes; there is no cap then.

    Raises
    ------
    NothingToMeasure
        There is no such program.
    ProgramFailed
        It ended with an error; the text has the last lines that it wrote.
    TookTooLong
        It was stopped.
    """
    if shutil.which(command[0]) is None:
        raise NothingToMeasure(f"{command[0]} is not on the PATH")
    with tempfile.TemporaryDirectory(prefix="cryoferry-bench-") as folder:
        report = Path(folder) / "report.json"
        wrapped = [sys.executable, "-I", "-S", str(_WRAPPER), str(report), *command]
        with log.open("w", encoding="utf-8") as log_file:
            process = subprocess.Popen(
                wrapped,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                start_new_session=True,
            )
            try:
                with watch(process.pid) if watch is not None else nullcontext():
                    stdout = "" if each_line is None else _passed_on_lines(process, each_line)
                    stdout += process.communicate(timeout=cap_s)[0]
            except subprocess.TimeoutExpired as error:
                raise TookTooLong(f"{Path(command[0]).name} was stopped after {cap_s:g} s") from error
            finally:
                if process.poll() is None:  # interrupted, or stopped
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
        figures = json.loads(report.read_text("utf-8")) if report.exists() else {"exit_code": process.returncode}
    if figures["exit_code"] != 0:
        last = [*stdout.splitlines(), *log.read_text("utf-8", "replace").splitlines()][-_SHOWN_LINES:]
        raise ProgramFailed(f"{Path(command[0]).name} ended with exit code {figures['exit_code']}: {' / '.join(last)}")
    return Measurement(figures["wall_s"], figures["cpu_s"], figures["peak_bytes"], stdout)


def _passed_on_lines(process: subprocess.Popen[str], each_line: Callable[[str], None]) -> str:
    """Pass each line of a process's stdout on as it comes; return all of them at its end."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        each_line(line)
    return "".join(lines)
