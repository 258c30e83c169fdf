"""How a command is asked that is no Scipion, or one that hangs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from api.registrars import RegistrarUnavailable
from api.registrars.scipion_bridge import ScipionBridge, find_installation
from tests.waiting import wait_until

LARGER_THAN_A_PIPE = "x" * 1_000_000


def ask(command: Path, script: str, timeout_s: float = 60.0, **more: Any) -> dict[str, Any]:
    """Ask a command that does this."""
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    installation, log = find_installation(str(command)), command.with_name("log")
    bridge = ScipionBridge()
    answer = bridge.ask(installation, {"do": "check", **more}, log=log, timeout_s=timeout_s)
    for process in bridge._staying:
        process.wait()
    return answer


def test_a_command_that_hangs_holds_up_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """It reads nothing of a long request."""
    child = tmp_path / "child"
    child.write_text("#!/bin/sh\nwhile true; do sleep 1; done\n")
    child.chmod(0o755)
    with pytest.raises(RegistrarUnavailable, match="no answer within 1 s"):
        ask(tmp_path / "hanging", f"{child}\ntrue", timeout_s=1.0, workflow=LARGER_THAN_A_PIPE)

    def left() -> list[str]:
        found = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        return [command for command in found if str(child) in command]

    wait_until(lambda: not left(), "all that it started has ended")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("head -c 300000 /dev/urandom; exit 3", "exit 3"),
        ("echo no image here >&2; exit 255", "no image here"),
        ("echo '[]'; echo '{}'; echo Scipion", "exit 0"),
    ],
)
def test_what_a_command_says_that_is_no_answer(tmp_path: Path, script: str, reason: str) -> None:
    with pytest.raises(RegistrarUnavailable, match=f"gave no answer: {reason}"):
        ask(tmp_path / "command", script, workflow=LARGER_THAN_A_PIPE)


def test_a_long_request_arrives_behind_a_path_with_a_space(tmp_path: Path) -> None:
    read = 'read -r request; echo \'banner {\'; echo "{\\"ok\\": true, \\"length\\": ${#request}}"'
    answer = ask(tmp_path / "a command", read + "\ntrue", workflow=LARGER_THAN_A_PIPE)
    assert answer["length"] > len(LARGER_THAN_A_PIPE)
