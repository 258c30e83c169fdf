"""The health of a work folder: one warning, pauses that grow, and the end when the journal is lost."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from agents.journal.journal import Journal
from agents.journal.opening import NAME, JournalDamaged
from agents.work_health import WorkHealth


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_the_agent_works_again_once_the_disk_does(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, stop = Clock(), threading.Event()
    health = WorkHealth(journal, tmp_path, stop, clock)
    assert health.may_work()
    blocked = tmp_path / "exposures"
    blocked.write_text("a file where the folder of the outputs belongs")
    assert health.note(full())
    with caplog.at_level(logging.WARNING):
        tries = [clock.now_s]
        while clock.now_s < 1100:
            clock.now_s += 0.25
            before = health._next_try_s
            assert not health.may_work()
            if health._next_try_s != before:
                tries.append(clock.now_s)
        pauses = [later - earlier for earlier, later in pairwise(tries)]
        assert pauses[0] <= 0.5
        assert max(pauses) == 30
        assert pauses == sorted(pauses)
        blocked.unlink()
        clock.now_s += 30
        assert health.may_work()
    assert health.trouble == ""
    assert [record.message for record in caplog.records if "can be used again" in record.message]
    assert len(caplog.records) == 2, "the trouble and its end, each said once"
    assert not (tmp_path / "exposures" / ".check").exists()
    assert not stop.is_set()


def test_what_is_not_the_machines_fault_is_not_taken(journal: Journal, tmp_path: Path) -> None:
    health = WorkHealth(journal, tmp_path, threading.Event(), Clock())
    assert not health.note(OSError(errno.EIO, "Input/output error", "/share/a.mrc"))
    assert health.may_work()
    health.raise_if_lost()


@pytest.mark.parametrize("harm", ["delete", "replace"])
def test_a_journal_that_is_not_in_its_place_ends_the_agent(journal: Journal, tmp_path: Path, harm: str) -> None:
    clock, stop = Clock(), threading.Event()
    health = WorkHealth(journal, tmp_path, stop, clock)
    (tmp_path / NAME).rename(tmp_path / "elsewhere")
    if harm == "replace":
        (tmp_path / NAME).write_bytes(b"")
    clock.now_s += 1.5
    assert not health.may_work()
    assert stop.is_set()
    assert health.lost
    with pytest.raises(JournalDamaged):
        health.raise_if_lost()
