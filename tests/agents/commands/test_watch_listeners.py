"""What programs hear from a running agent, and that a program that stops listening holds nothing up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.agents.agent_process import ACQUISITION, QUICK, StartAgent, lay
from tests.running import COMMAND, cryoferry
from tests.waiting import wait_until
from transfer.client import ReceiverClient

SESSION = "s"
MANY = 500  # lines of so many movies fill a pipe of 64 KiB


def test_a_reader_that_stops_reading_holds_up_neither_the_work_nor_the_end(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any
) -> None:
    token = receiver.token("agent", SESSION)
    for number in range(MANY):
        (source / f"still_copied_{number}.mrc").touch()
    lay(simulated / "0.tiff", source / "a.tiff")
    watch = ("watch", str(source), "--work", str(tmp_path / "work"), "--to", receiver.url, "--session", SESSION)
    log_file = tmp_path / "log"
    with (
        log_file.open("w") as log,
        subprocess.Popen(
            [*COMMAND, *watch, "--json", *QUICK, *ACQUISITION],
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "CRYOFERRY_TOKEN": token},
        ) as agent,
        ReceiverClient(receiver.url, token) as client,
    ):
        try:
            client.open_session(SESSION)
            wait_until(lambda: client.exposures(SESSION).exposures, log_file.read_text)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(60) == 0, log_file.read_text()
        finally:
            agent.kill()
        assert agent.stdout is not None
        lines = agent.stdout.read().decode().splitlines()
    assert len(lines) < MANY  # the reader was behind, or this test shows nothing
    assert "listener --json" in log_file.read_text()
    assert {json.loads(line)["state"] for line in lines[:-1]} == {"found"}  # the last line may be cut off


def test_a_reader_that_ends_early_is_named_once_and_the_work_goes_on(
    source: Path, simulated: Path, tmp_path: Path, receiver: Any
) -> None:
    lay(simulated / "0.tiff", source / "a.tiff")
    token = receiver.token("agent", SESSION)
    watch = ("watch", str(source), "--work", str(tmp_path / "work"), "--to", receiver.url, "--session", SESSION)
    log_file = tmp_path / "log"
    reading, writing = os.pipe()
    os.close(reading)
    with (
        log_file.open("w") as log,
        subprocess.Popen(
            [*COMMAND, *watch, "--json", "--exit-when-idle", "1", *QUICK, *ACQUISITION],
            stdout=writing,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "CRYOFERRY_TOKEN": token},
        ) as agent,
    ):
        os.close(writing)
        try:
            assert agent.wait(60) == 0, log_file.read_text()
        finally:
            agent.kill()
    logged = log_file.read_text()
    assert "1 released" in logged
    assert logged.count("the program that read the lines of --json has ended") == 1
    assert "Traceback" not in logged


def test_a_retry_by_another_process_is_announced_like_the_agents_own_changes(
    source: Path, tmp_path: Path, receiver: Any, start_agent: StartAgent
) -> None:
    (source / "empty.mrc").touch()
    agent = start_agent(receiver.url, receiver.token("agent", SESSION), "--give-up-seconds", "1")
    agent.wait_for(empty_mrc="failed")
    assert cryoferry("retry", "--work", str(tmp_path / "work"), "--failed").returncode == 0
    agent.until(lambda: "tried again" in [line.get("reason") for line in agent.lines], "the retry is announced")
    states = [(line["state"], line["reason"]) for line in list(agent.lines)]
    assert states[0] == ("found", "")
    assert states[2] == ("found", "tried again")
    assert agent.end(signal.SIGTERM) == 0


def test_at_a_clean_end_every_line_was_written_and_the_summary_is_the_last(
    source: Path, simulated: Path, receiver: Any, start_agent: StartAgent
) -> None:
    for number in range(MANY):
        (source / f"cut_{number}.mrc").touch()
    lay(simulated / "0.tiff", source / "a.tiff")
    options = ("--give-up-seconds", "1", "--exit-when-idle", "1")
    agent = start_agent(receiver.url, receiver.token("agent", SESSION), *options)
    assert agent.wait() == 3
    *changes, summary = agent.lines
    heard = [(line["movie"], line["state"]) for line in changes]
    assert len(heard) == len(set(heard)) == 2 * MANY + 6
    way = ["found", "finished", "aligned", "sending", "committed", "released"]
    assert [state for movie, state in heard if movie == "a.tiff"] == way
    assert summary["summary"]["failed"] == MANY
    assert summary["summary"]["released"] == 1
