"""How many followers run, and which one ends for another; followers are locks that the test holds."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.registrars import RegistrarUnavailable, SessionPlace, scipion_followers
from api.registrars.scipion_bridge import ScipionBridge
from api.registrars.scipion_followers import Followers, default_max_followers
from api.registrars.scipion_journal import SessionJournal
from api.registrars.settings import RegistrarSettings


class Receiver:
    """Two followers may run; there is no Scipion that could start one."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.journals: dict[str, SessionJournal] = {}
        settings = RegistrarSettings(scipion="/nowhere/scipion", max_followers=2)
        self.followers = Followers(settings, data / "projects", ScipionBridge(), self.journals)

    def session(self, name: str, *, follow: Callable[[Path], None] | None = None) -> SessionJournal:
        """Begin a session; `follow` locks its follower's file."""
        journal = self.journals[name] = SessionJournal(self.data / name / "scipion", name)
        if follow is not None:
            follow(journal.path.with_name("follower.lock"))
        return journal

    def require(self, name: str) -> str:
        """Return why a session's follower does not start."""
        try:
            self.followers.require(SessionPlace(name, self.data / name), self.journals[name])
        except RegistrarUnavailable as error:
            return str(error)
        return ""


@pytest.fixture
def receiver(tmp_path: Path) -> Receiver:
    return Receiver(tmp_path)


@pytest.fixture
def follow() -> Iterator[Callable[[Path], None]]:
    """Hold the lock of a follower."""
    with_locks = []

    def hold(path: Path) -> None:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        with_locks.append(file)

    yield hold
    for file in with_locks:
        file.close()


def types(journal: SessionJournal) -> list[str]:
    return [json.loads(line)["type"] for line in journal.path.read_text("utf-8").splitlines()]


def test_a_session_waits_while_no_other_one_is_quiet(receiver: Receiver, follow: Callable[[Path], None]) -> None:
    first = receiver.session("first", follow=follow)
    receiver.session("third")
    assert "there is no Scipion at /nowhere" in receiver.require("third")  # there was room
    second = receiver.session("second", follow=follow)
    receiver.session("fourth")
    why = receiver.require("fourth")
    assert why.startswith("it waits for a place: 2 followers run, as many as --max-followers permits")
    assert types(first) == types(second) == ["session"]


def test_followers_of_an_earlier_receiver_are_counted(receiver: Receiver, follow: Callable[[Path], None]) -> None:
    for name in ("first", "second"):
        receiver.session(name, follow=follow)
    receiver.journals.clear()
    receiver.session("third")
    assert "2 followers run" in receiver.require("third")


def test_the_follower_of_the_quietest_session_makes_room(
    receiver: Receiver, follow: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scipion_followers, "MAKES_ROOM_AFTER_S", 0.0)
    monkeypatch.setattr(scipion_followers, "ENSURE_EVERY_S", 0.0)
    quietest, other = (receiver.session(name, follow=follow) for name in ("quietest", "other"))
    receiver.session("next")
    assert receiver.require("next") == ""
    assert (types(quietest), types(other)) == (["session", "rest"], ["session"])
    monkeypatch.setattr(scipion_followers, "MAKES_ROOM_AFTER_S", 3600.0)
    assert receiver.require("next") == ""  # it ends at any moment: no other one is asked
    assert types(other) == ["session"]


def test_a_session_whose_follower_ended_needs_none_until_an_entry_follows(receiver: Receiver) -> None:
    journal = receiver.session("one")
    journal.ask_to_rest()
    journal.ask_to_rest()
    assert types(journal) == ["session", "rest"]
    assert not journal.rested
    journal.path.with_name("acknowledged.jsonl").write_text('{"seq": 2, "type": "rest"}\n')
    journal.read_answers()
    assert journal.rested
    journal.append_micrographs([{"name": "a.mrc", "revision": 1}])
    assert not journal.rested
    again = SessionJournal(journal.path.parent, "one")
    again.read_answers()
    assert not again.rested
    assert again.asked_to_rest_s is None


def test_the_number_of_followers_fits_the_memory() -> None:
    assert default_max_followers(1 << 28) == 2
    assert default_max_followers(16 << 30) == 29
