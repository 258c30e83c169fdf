"""The far ends' servers: started, waited for, stopped."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import ProgramFailed
from benchmarks.transfer.paths.contract import Call, PathSetup
from benchmarks.transfer.paths.ends import End

_START_S = 20.0
_STOP_S = 5.0
_LOOK_S = 0.1


def free_port() -> int:
    """Return a port of this machine's loopback that no process listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def serving(call: Call, setup: PathSetup, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server at the far end until the block ends; it takes connections when the block begins.

    Raises
    ------
    ProgramFailed
        It ended, or took no connection in time; the text has the last lines of its output.
    """
    words = setup.far.command(*_dying_with_us(setup.far, call.words))
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE if setup.far.is_remote else subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            env={**os.environ, **call.environment},
            start_new_session=True,
        )
    try:
        _await(process, call, setup, log)
        yield process
    finally:
        _stop(process)


def _dying_with_us(far: End, words: list[str]) -> list[str]:
    """Over ssh a server outlives its connection: let it end when its standard input does."""
    if not far.is_remote:
        return words
    return ["sh", "-c", f"{shlex.join(words)} </dev/null & server=$!; cat >/dev/null; kill $server"]


def _await(process: subprocess.Popen[bytes], call: Call, setup: PathSetup, log: Path) -> None:
    look = f"exec 3<>/dev/tcp/{setup.far.address}/{setup.port}"
    until = time.monotonic() + _START_S
    while True:
        ended = process.poll() is not None
        asked = subprocess.run(setup.near.command("bash", "-c", look), capture_output=True, check=False)
        if asked.returncode == 0 and not ended:
            return
        if ended or time.monotonic() > until:
            output = log.read_text("utf-8", "replace").strip()[-400:] or "nothing"
            what = "ended" if ended else f"takes no connection at {setup.far.address}:{setup.port}"
            raise ProgramFailed(f"{Path(call.words[0]).name} {what}; its output: {output}")
        time.sleep(_LOOK_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_S)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
