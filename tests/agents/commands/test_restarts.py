"""After a damaged journal the agent begins again a few times; then it ends with exit code 7 and says what to check."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agents.commands import restarts as restarts_module
from agents.commands.restarts import MOST_RESTARTS, WITHIN_S, JournalKeepsFailing, Restarts
from agents.journal.journal import Journal
from agents.journal.opening import JournalDamaged
from agents.sending.receiver_memory import SESSION_UUID


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts_module, "_FIRST_PAUSE_S", 0.0)


def test_the_sixth_damage_within_an_hour_is_the_last(tmp_path: Path) -> None:
    clock = Clock()
    restarts = Restarts(tmp_path, threading.Event(), lambda: False, clock)
    for _ in range(MOST_RESTARTS):
        clock.now_s += 60
        assert restarts.after(JournalDamaged("it was deleted"), is_in_place=False)
    with pytest.raises(JournalKeepsFailing) as ended:
        restarts.after(JournalDamaged("it is malformed"), is_in_place=True)
    assert ended.value.exit_code == 7
    assert "it is malformed" in str(ended.value)
    assert f"{MOST_RESTARTS + 1} times within an hour" in str(ended.value)
    assert "Check the disk" in ended.value.hint


def test_damage_that_is_long_ago_does_not_count(tmp_path: Path) -> None:
    clock = Clock()
    restarts = Restarts(tmp_path, threading.Event(), lambda: False, clock)
    for _ in range(3 * MOST_RESTARTS):
        clock.now_s += WITHIN_S / MOST_RESTARTS + 1
        assert restarts.after(JournalDamaged("it was deleted"), is_in_place=False)


def test_a_signal_ends_the_agent_instead(tmp_path: Path) -> None:
    stop = threading.Event()
    assert not Restarts(tmp_path, stop, lambda: True).after(JournalDamaged("x"), is_in_place=True)


def test_a_new_journal_is_told_which_agent_it_belongs_to(tmp_path: Path) -> None:
    restarts = Restarts(tmp_path, threading.Event(), lambda: False)
    first = Journal(tmp_path)
    first.note(agent_id="an id", **{SESSION_UUID: "a session"})
    restarts.know(first)
    first.close()
    (tmp_path / "again").mkdir()
    second = Journal(tmp_path / "again")
    restarts.know(second)
    assert (second.about("agent_id"), second.about(SESSION_UUID)) == ("an id", "a session")
    second.close()


def test_an_error_at_the_first_start_is_not_tried_again(tmp_path: Path) -> None:
    restarts = Restarts(tmp_path, threading.Event(), lambda: False)
    errors = [OSError("first"), OSError("second")]

    def fail_twice() -> str:
        if errors:
            raise errors.pop()
        return "opened"

    with pytest.raises(OSError, match="second"):
        restarts.opened(fail_twice)
    restarts.began()
    assert restarts.opened(fail_twice) == "opened"
