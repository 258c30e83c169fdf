"""Sends requests to Scipion: for each request, a process of Scipion's own Python interpreter.

Scipion is GPL and has its own environment. It is never imported here.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from api.registrars import RegistrarUnavailable
from transfer.platform import is_pipe_readable, kill_group

BRIDGE = ("-m", "cryoferry_scipion.bridge")
DESCRIPTION = "cryoferry-scipion.json"
INSTALL_HINT = "make one with `make scipion`, or install deploy/scipion-plugin into an existing Scipion"


@dataclass(frozen=True, slots=True)
class ScipionInstallation:
    """How Scipion's Python interpreter is started.

    Attributes
    ----------
    command
        The interpreter, or the words before its arguments.
    environment
        Variables that it needs.
    stays
        Whether processes that it starts may end with it, as those in a container do: then it stays as long as they.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    stays: bool = False


def find_installation(scipion: str) -> ScipionInstallation:
    """Return the Scipion that a setting names.

    Parameters
    ----------
    scipion
        A folder made by the plugin's `install.py`, an interpreter, or a command line that starts Scipion's launcher,
        such as `apptainer exec --containall scipion.sif scipion3`.

    Raises
    ------
    RegistrarUnavailable
        There is no Scipion.
    """
    path = Path(scipion)
    if path.is_dir():
        try:
            description = json.loads((path / DESCRIPTION).read_text("utf-8"))
            return ScipionInstallation((description["python"],), dict(description["environment"]))
        except (OSError, ValueError, KeyError) as error:
            raise RegistrarUnavailable(f"{path} holds no finished Scipion: {INSTALL_HINT}") from error
    words = [scipion] if path.exists() else _words(scipion)
    if not words or not shutil.which(words[0]):
        raise RegistrarUnavailable(f"there is no Scipion at {words[0] if words else scipion}: {INSTALL_HINT}")
    if not Path(words[-1]).name.startswith("python"):
        return ScipionInstallation((*words, "python"), {}, stays=True)
    if len(words) > 1:
        return ScipionInstallation(tuple(words), {}, stays=True)
    return ScipionInstallation((scipion,), {"SCIPION_DOMAIN": "pwem", "SCIPION_PYTHON": scipion})


def _words(command_line: str) -> list[str]:
    try:
        return shlex.split(command_line)
    except ValueError as error:
        raise RegistrarUnavailable(f"Scipion's command line {command_line!r} cannot be read: {error}") from error


class ScipionBridge:
    """Asks Scipion, and knows which of its processes have stayed."""

    def __init__(self) -> None:
        self._staying: list[subprocess.Popen[bytes]] = []

    def ask(
        self, installation: ScipionInstallation, request: dict[str, Any], *, log: Path, timeout_s: float
    ) -> dict[str, Any]:
        """Return Scipion's answer to a request (see the plugin's `bridge.py`).

        Parameters
        ----------
        installation
            Which Scipion.
        request
            A JSON object with `do`.
        log
            File that Scipion's own messages are appended to.
        timeout_s
            How long the answer may take.

        Raises
        ------
        RegistrarUnavailable
            Scipion did not answer, or answered with an error.
        """
        self._staying = [process for process in self._staying if process.poll() is None]
        whole = {**request, "log": str(log), "stay": installation.stays}
        # the request is a file: a command that reads no more of a pipe than fits into it would hold up the receiver
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as complaints:
            asked.write(json.dumps(whole).encode())
            asked.seek(0)
            try:
                process = _start(installation, log, asked, complaints)
            except OSError as error:
                command = shlex.join(installation.command)
                raise RegistrarUnavailable(f"Scipion's interpreter {command} does not run: {error}") from error
            try:
                line = _read_answer(process, timeout_s)
            except TimeoutError as error:
                if request["do"] == "check":  # what other requests have started shall go on
                    kill_group(process.pid)
                process.kill()
                process.wait()
                raise RegistrarUnavailable(f"Scipion gave no answer within {timeout_s:.0f} s; see {log}") from error
            if line is None:
                raise RegistrarUnavailable(f"Scipion gave no answer: {_complaint(complaints, process.wait())}")
        if installation.stays:
            self._staying.append(process)
        else:
            process.wait()
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise RegistrarUnavailable(f"Scipion: {answer.get('error', 'unknown error')}; see {log}")
        return answer


def _start(
    installation: ScipionInstallation, log: Path, asked: IO[bytes], complaints: IO[bytes]
) -> subprocess.Popen[bytes]:
    # variables for this process's Python would confuse Scipion's
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.Popen(
        [*installation.command, *BRIDGE],
        stdin=asked,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env={**inherited, **installation.environment, "CRYOFERRY_BRIDGE_LOG": str(log)},
        start_new_session=True,  # what it starts goes on when the receiver or its terminal ends
    )


def _read_answer(process: subprocess.Popen[bytes], timeout_s: float) -> bytes | None:
    """Return the line that is the answer, or None if the process ends its output without one.

    The end of the output is not awaited: a launcher that stays keeps it open.

    Raises
    ------
    TimeoutError
    """
    assert process.stdout is not None
    with process.stdout:
        deadline, rest = time.monotonic() + timeout_s, b""
        while is_pipe_readable(process.stdout.fileno(), max(0.0, deadline - time.monotonic())):
            more = os.read(process.stdout.fileno(), 1 << 16)
            *lines, rest = (rest + more).split(b"\n")
            answers = [line for line in (lines if more else [*lines, rest]) if _is_answer(line)]
            if answers or not more:
                return answers[-1] if answers else None
        raise TimeoutError


def _is_answer(line: bytes) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return isinstance(said, dict) and "ok" in said


def _complaint(complaints: IO[bytes], code: int) -> str:
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit {code}"
