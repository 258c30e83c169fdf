"""The log says how the receiver starts and why it ends."""

from __future__ import annotations

import logging
import re
import signal
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from api.database.engine import described
from api.settings import ReceiverSettings
from api.start_lines import log_lost_worker, log_start


@pytest.mark.parametrize(
    ("number", "options", "files"), [(signal.SIGTERM, "-n 256", 256), (signal.SIGINT, "-Sn 256", None)]
)
def test_what_runs_within_which_limits_and_why_it_ended(receiver_process, number, options, files) -> None:
    receiver_process.prefix = ("bash", "-c", f'ulimit {options}; exec "$@"', "bash")
    receiver_process.start()
    process, data = receiver_process.process, receiver_process.data
    receiver_process.process = None  # it ends here
    with process.stdout:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.send_signal(number)
        process.wait(30)
    log = receiver_process.log.read_text()
    first, *_, last = [re.sub(r"^\S+ \S+ ", "", line) for line in log.splitlines()]
    assert first == (
        f"INFO    api.start_lines: cryoferry {version('cryoferry')} receives at {receiver_process.url}: data in {data},"
        f" database SQLite in {data}/receiver.sqlite, 1 worker"
    )
    assert last == f"INFO    api.start_lines: the receiver has ended: {number.name} came"
    soft, hard = re.search(r"Max open files\s+(\S+)\s+(\S+)", limits).groups()
    assert soft == hard  # raised as far as the system permits
    assert files is None or int(soft) == files
    assert f" {soft} open files" in log
    too_few = "permits only 256 open files for one process, so each keeps at most 64 connections open"
    assert (too_few in log) == (files == 256)


def test_no_user_and_no_password_of_the_database_is_logged(tmp_path: Path, caplog) -> None:
    url = "postgresql://somebody:secret@db.example.org/cryoferry?password=other"
    assert described(url) == "PostgreSQL cryoferry on db.example.org"
    with caplog.at_level(logging.INFO):
        log_start(replace(ReceiverSettings(data=tmp_path), database=url), "http://127.0.0.1:1", 2)
    assert "2 workers" in caplog.text
    for word in ("somebody", "secret", "other"):
        assert word not in caplog.text


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, "does not answer and is killed"),
        (-signal.SIGSEGV, "died of SIGSEGV"),
        (-50, "died of signal 50"),
        (3, "ended with exit code 3"),
    ],
)
def test_a_lost_worker(caplog, code: int | None, reason: str) -> None:
    log_lost_worker(77, code)
    assert caplog.messages == [f"worker process 77 {reason}"]
