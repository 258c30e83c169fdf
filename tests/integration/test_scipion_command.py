"""Scipion behind a command, as `apptainer exec --containall IMAGE scipion3` starts it.

The wrapper does what such a command does to its processes: no variable of ours comes in, the working folder is another
one, and they have a PID namespace of their own, which ends with its first process. Apptainer itself is not run.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scipion_followers import follower_pids, kill_followers, protocol_pids
from tests.integration.test_scipion_workflow import RIGHT
from tests.waiting import wait_until

pytestmark = [pytest.mark.scipion, pytest.mark.timeout(240)]

WRAPPER = """#!/bin/sh
exec unshare --pid --fork --mount-proc --kill-child \\
  env -i PATH=/usr/bin:/bin HOME=/ /bin/sh -c 'cd / && exec "$@"' sh "$@"
"""


@pytest.fixture
def command(tmp_path: Path, scipion: Path) -> str:
    """Return a command line that starts Scipion's launcher as a container does."""
    wrapper = tmp_path / "exec"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    if subprocess.run([wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a PID namespace: run as root")
    return f"{wrapper} {scipion}/scipion"


def namespace(pid: int) -> str:
    """Return the PID namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def test_a_session_behind_a_command(
    publisher: Any,
    registrar_process: Callable[..., Any],
    command: str,
    run_in_scipion: Callable[..., str],
    inspect: Any,
) -> None:
    """The follower outlives the receiver; one that was killed with its namespace is continued; nothing comes twice."""
    publisher.publish("one", ctf=True)
    receiver = registrar_process(command)
    wait_until(lambda: publisher.count("scipion", "registered") == 1, "the first micrograph is registered")
    (follower,) = follower_pids(publisher.data)
    assert namespace(follower) != namespace(receiver.pid)
    # a desktop in this namespace, where the follower's PID is another process's, or nobody's
    assert run_in_scipion("scipion_refresh.py", publisher.project("scipion")).split() == ["running"]

    receiver.kill()
    receiver.wait()
    publisher.publish("two", seed=2)
    registrar_process(command)
    wait_until(lambda: publisher.count("scipion", "registered") == 2, "the second micrograph is registered")
    assert follower_pids(publisher.data) == [follower]

    kill_followers(publisher.data)
    publisher.publish("three", seed=3)
    wait_until(lambda: publisher.count("scipion", "registered") == 3, "the third micrograph is registered")
    publisher.set_session_state("ended")
    wait_until(lambda: publisher.closed("scipion"), "the session's project is closed")
    (run,) = inspect(Path(publisher.project("scipion")))["runs"]
    micrographs = run["outputs"]["outputMicrographs"]
    assert [item["name"] for item in micrographs["items"]] == ["one.mrc", "two.mrc", "three.mrc"]
    assert (run["status"], micrographs["stream"]) == ("finished", "closed")
    wait_until(lambda: not follower_pids(publisher.data), "the follower has ended")


@pytest.mark.skipif(os.environ.get("CRYOFERRY_CAMPAIGN") != "1", reason="part of `make campaign PART=scipion`")
def test_a_folder_that_the_container_does_not_show(
    publisher: Any, registrar_process: Callable[..., Any], command: str, tmp_path: Path
) -> None:
    hidden = command.replace("exec ", f"hiding {publisher.data} ", 1)
    (tmp_path / "hiding").write_text(
        "#!/bin/sh\nhidden=$1; shift\n"
        'exec unshare --mount sh -c \'mount -t tmpfs -o ro none "$0" && exec "$@"\' "$hidden" "$@"\n'
    )
    (tmp_path / "hiding").chmod(0o755)
    publisher.publish("one")
    registrar_process(hidden)
    wait_until(
        lambda: any("--bind" in detail for detail in publisher.details("scipion")), "the folder that is not shown"
    )


@pytest.mark.skipif(os.environ.get("CRYOFERRY_CAMPAIGN") != "1", reason="part of `make campaign PART=scipion`")
def test_a_workflow_behind_a_command(publisher: Any, registrar_process: Callable[..., Any], command: str) -> None:
    """Scipion's scheduler leaves its parent, and goes on in the namespace all the same."""
    publisher.folder.mkdir(parents=True)
    (publisher.folder / "scipion-workflow.json").write_text(json.dumps(RIGHT))
    publisher.publish("one", ctf=True)
    receiver = registrar_process(command)
    note = publisher.folder / "scipion" / "workflow.json"
    wait_until(note.exists, "the workflow is scheduled")
    logs = publisher.data / "scipion-projects" / "grid1" / "Runs"
    waiting = "sleeping"
    wait_until(
        lambda: any(waiting in path.read_text() for path in logs.glob("*ProtSetFilter/logs/schedule.log")),
        "its last protocol waits for its input",
    )
    scheduler, *_ = protocol_pids(publisher.data, "ProtSetFilter")
    assert namespace(scheduler) != namespace(receiver.pid)
