"""Running a process on a terminal, as a user sees it."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Sequence

from tests.running import clean_environment


def shown_on_terminal(command: Sequence[object], typed: bytes = b"", **environment: str) -> tuple[int, bytes]:
    """Run a process whose outputs are a terminal; return its exit code and all that was shown there.

    Parameters
    ----------
    typed
        What the user types; empty: nobody is there.
    """
    ours, theirs = pty.openpty()
    seen = b""
    with subprocess.Popen(
        [*map(str, command)],
        stdin=theirs if typed else subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(TERM="xterm-256color", **environment),
    ) as child:
        os.close(theirs)
        if typed:
            os.write(ours, typed)
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # how Linux reports that the other side is closed
                break
            if not data:
                break
            seen += data
    os.close(ours)
    return child.returncode, seen
