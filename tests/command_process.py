"""Commands as processes, started by `tests.command_server` in a tenth of the processor time that a new Python takes.

Use `start_command` where a test needs a process. Tests of a command's start, of its memory, or under another program
start a Python of their own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO, Any

from preprocess.kept_code import FALLBACK_VARIABLE, FOLDER_VARIABLE

ROOT = Path(__file__).parents[1]
_OF_THE_RUN = (
    *("CRYOFERRY_", "PYTEST_", "CUPY_", "SSL_CERT", "HOME", "PATH", "PWD", "OLDPWD"),
    *("COLUMNS", "LINES", "NO_COLOR", "OPENBLAS_NUM_THREADS"),
)
"""Beginnings of variables that a command reads when it runs, not when it is imported; proxies are among them, too."""


_AT_THE_START = dict(os.environ)
"""Variables before any test has changed one."""


class CommandProcess:
    """A process that `tests.command_server` has started; used as subprocess.Popen is, for text."""

    def __init__(self, args: Sequence[str], stdout: IO[str] | None, result: int) -> None:
        self.args, self.stdout = list(args), stdout
        self.returncode: int | None = None
        self._result, self._told = result, b""
        line = self._line(None)
        assert line, "the server of commands has ended; its stderr says why"
        self.pid = int(line)

    def _line(self, timeout_s: float | None) -> bytes | None:
        """Return the next line that is told of the process; None: not in time, or never."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._told:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not select.select([self._result], [], [], left_s)[0]:
                return None
            block = os.read(self._result, 100)
            if not block:
                return None
            self._told += block
        line, _, self._told = self._told.partition(b"\n")
        return line

    def poll(self) -> int | None:
        """Return the exit code; None: it runs."""
        if self.returncode is None and (line := self._line(0)) is not None:
            self._end(int(line))
        return self.returncode

    def _end(self, code: int) -> None:
        self.returncode = code
        os.close(self._result)
        _server().ask({"collect": self.pid})

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code."""
        if self.returncode is None:
            line = self._line(timeout)
            if line is None:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end(int(line))
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


Process = CommandProcess | subprocess.Popen[str]


class _Server:
    """The process that copies itself."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.command_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env={**_AT_THE_START, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it; what it has started goes on."""
        self._control.close()
        self._process.wait()

    def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Have it start a process, or collect one that has ended."""
        socket.send_fds(self._control, [json.dumps(request).encode()], fds)


@cache
def _server() -> _Server:
    return _Server()


def _fits(environment: Mapping[str, str]) -> bool:
    """Return whether an environment differs from the server's in nothing that counts while a command is imported."""
    ours = _AT_THE_START
    if _python_path(environment) - {str(ROOT)}:
        return False  # a sitecustomize may be there, or modules in place of ours
    return all(
        ours.get(name) == environment.get(name)
        for name in (ours.keys() | environment.keys()) - {"PYTHONPATH"}
        if name in (FOLDER_VARIABLE, FALLBACK_VARIABLE)
        or not (name.startswith(_OF_THE_RUN) or name.lower().endswith("_proxy"))
    )


def _python_path(environment: Mapping[str, str]) -> set[str]:
    return set(filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)))


def start_command(
    *arguments: object,
    module: str = "cryoferry",
    cwd: Path | None = None,
    environment: Mapping[str, str],
    stdout: int | IO[Any],
    stderr: int | IO[Any],
    start_new_session: bool = False,
) -> Process:
    """Start a command, with nothing on its stdin.

    Parameters
    ----------
    *arguments
        What follows the program's name.
    module
        The program.
    cwd, environment, stdout, stderr, start_new_session
        As for subprocess.Popen; stdout may be PIPE, and is text then.
    """
    words = list(map(str, arguments))
    if not hasattr(os, "fork") or not _fits(environment):
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=start_new_session,
            text=True,
        )
    result, told = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, told)
        nothing = stack.enter_context(Path(os.devnull).open("r+b", buffering=0))
        ours = None
        if stdout == subprocess.PIPE:
            reading, stdout = os.pipe()
            stack.callback(os.close, stdout)
            ours = open(reading, encoding="utf-8")  # noqa: PTH123, SIM115  # closed by who reads it
        request = {
            "module": module,
            "arguments": words,
            "folder": str(cwd or Path.cwd()),
            "environment": dict(environment),
            "new_session": start_new_session,
        }
        streams = [each if isinstance(each, int) else each.fileno() for each in (nothing, stdout, stderr)]
        streams = [nothing.fileno() if fd == subprocess.DEVNULL else fd for fd in streams]
        _server().ask(request, [*streams, told])
    return CommandProcess([module, *words], ours, result)


def run_command(
    *arguments: object, cwd: Path | None = None, environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `cryoferry` to its end, with nothing on its stdin."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = start_command(*arguments, cwd=cwd, environment=environment, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        for file in (stdout, stderr):
            file.seek(0)
        return subprocess.CompletedProcess(process.args, code, stdout.read(), stderr.read())
