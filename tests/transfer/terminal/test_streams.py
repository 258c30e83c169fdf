"""Whoever writes to stdout and stderr of a command: nothing controls the terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests import running

WRITES = r"""
import sys
from transfer.terminal.console import PlainConsole
from transfer.terminal.lines import print_line
from transfer.terminal.streams import escape_outputs
from rich.text import Text
escape_outputs()
EVIL = "\x1b[2J\x9b31m\u202egpj.\udce9"
print("print", EVIL)
print_line("line " + EVIL + "\nnext")
console = PlainConsole(stderr=True, soft_wrap=True)
console.print("console " + EVIL + " [red]x[/red] [link=http://a]b[/link] :smile:", style="bold")
console.print(Text("text " + EVIL))
sys.stderr.write("stderr " + EVIL + "\n")
raise SystemExit(EVIL)
"""
SHOWN = r"\x1b[2J\u009b31m\u202egpj.\udce9"


def test_in_a_pipe(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, check=False)
    assert done.stdout == f"print {SHOWN}\nline {SHOWN}\\nnext\n"
    assert done.stderr.splitlines() == [
        f"console {SHOWN} [red]x[/red] [link=http://a]b[/link] :smile:",
        f"text {SHOWN}",
        f"stderr {SHOWN}",
        SHOWN,
    ]


def test_on_a_terminal_only_colours_of_ours_remain() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen([sys.executable, "-c", WRITES], stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # how Linux reports that the other side is closed
                break
            if not data:
                break
            seen += data
        child.wait()
    os.close(ours)
    assert b"\x1b[1m" in seen  # the style that was asked for
    assert b"\x1b[2J" not in seen
    assert "\x9b".encode() not in seen
    assert "\u202e".encode() not in seen


@pytest.mark.parametrize("environment", [{}, {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}])
def test_the_command_escapes_a_name_in_what_it_prints(tmp_path: Path, environment: dict[str, str]) -> None:
    name = "a\x1b[2J\u202e\n.tiff"
    (tmp_path / name).write_bytes(b"x")
    command = ("send", name, "--to", "http://127.0.0.1:9", "--session", "s", "--dry-run")
    done = running.cryoferry(*command, cwd=tmp_path, **environment)
    both = done.stdout + done.stderr
    assert r"\x1b[2J" in both
    assert "\x1b" not in both
    assert "\u202e" not in both
