"""Running the command and its processes, as a user runs them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_process import run_command

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "cryoferry")
TIMEOUT_S = 280.0
"""A command that takes longer failed; pytest ends a test after 300 s."""


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without the command's settings: plain text, 120 columns, this tree's code."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRYOFERRY_")}
    return {**inherited, "COLUMNS": "120", "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **more}


def cryoferry(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with nothing on its stdin.

    Parameters
    ----------
    *arguments
        What the user types after `cryoferry`.
    cwd
        The folder to run it in; None: the tests' own.
    **environment
        Variables beside those of `clean_environment`, such as `CRYOFERRY_TOKEN`.
    """
    return run_command(*arguments, cwd=cwd, environment=clean_environment(**environment), timeout_s=TIMEOUT_S)


def cryoferry_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which is quicker than a new one; it must end by SystemExit, not an error."""
    from cryoferry import main

    monkeypatch.setattr(sys, "argv", ["cryoferry", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    code = ended.value.code or 0
    assert isinstance(code, int), code
    return subprocess.CompletedProcess(sys.argv, code, printed.out, printed.err)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def is_listening(port: int) -> bool:
    """Return whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def has_ended(pid: int) -> bool:
    """Return whether a process is gone, or a zombie that its parent has not waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
