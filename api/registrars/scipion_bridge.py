"""Sends requests to Scipion: for each request, a short process of Scipion's own Python interpreter.

Scipion is GPL and has its own environment. It is never imported here.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.registrars import RegistrarUnavailable

BRIDGE = ("-m", "cryoferry_scipion.bridge")
DESCRIPTION = "cryoferry-scipion.json"
INSTALL_HINT = "make one with `make scipion`, or install deploy/scipion-plugin into an existing Scipion"


@dataclass(frozen=True, slots=True)
class ScipionInstallation:
    """A Python interpreter with Scipion and the plugin, and the environment variables that it needs."""

    python: Path
    environment: dict[str, str]


def find_installation(path: Path) -> ScipionInstallation:
    """Return the Scipion at `path`: a folder made by the plugin's `install.py`, or an interpreter.

    Raises
    ------
    RegistrarUnavailable
        There is no Scipion.
    """
    if path.is_dir():
        try:
            description = json.loads((path / DESCRIPTION).read_text("utf-8"))
            return ScipionInstallation(Path(description["python"]), dict(description["environment"]))
        except (OSError, ValueError, KeyError) as error:
            raise RegistrarUnavailable(f"{path} holds no finished Scipion: {INSTALL_HINT}") from error
    if not os.access(path, os.X_OK):
        raise RegistrarUnavailable(f"there is no Scipion at {path}: {INSTALL_HINT}")
    return ScipionInstallation(path, {"SCIPION_DOMAIN": "pwem", "SCIPION_PYTHON": str(path)})


def ask(installation: ScipionInstallation, request: dict[str, Any], *, log: Path, timeout_s: float) -> dict[str, Any]:
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
    # variables for this process's Python would confuse Scipion's
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            [installation.python, *BRIDGE],
            input=json.dumps(request).encode(),
            capture_output=True,
            env={**inherited, **installation.environment, "CRYOFERRY_BRIDGE_LOG": str(log)},
            start_new_session=True,  # what it starts goes on when the receiver or its terminal ends
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise RegistrarUnavailable(f"Scipion's interpreter {installation.python} does not run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise RegistrarUnavailable(f"Scipion gave no answer within {timeout_s:.0f} s; see {log}") from error
    return _answer_of(done, log)


def _answer_of(done: subprocess.CompletedProcess[bytes], log: Path) -> dict[str, Any]:
    lines = done.stdout.splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RegistrarUnavailable(
            f"Scipion gave no answer: {said[-1] if said else f'exit {done.returncode}'}"
        ) from error
    if not answer.get("ok"):
        raise RegistrarUnavailable(f"Scipion: {answer.get('error', 'unknown error')}; see {log}")
    return answer
