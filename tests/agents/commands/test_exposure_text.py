"""The texts by which commands show an exposure, and what keeps the agent waiting."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from agents.commands.exposure_text import as_json, since, troubles
from agents.journal.journal import Journal
from agents.journal.reader import JournalReader
from agents.journal.states import State


@pytest.mark.parametrize(
    ("ago_s", "text"), [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (90000, "1 d")]
)
def test_how_long_ago_is_said_in_one_unit(monkeypatch: pytest.MonkeyPatch, ago_s: float, text: str) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert since(1e9 - ago_s) == text


def test_an_exposure_and_the_troubles_read_the_same_from_the_agents_and_from_anothers_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    failed = journal.change(journal.find("a.tiff", "a", "a").exposure_id, State.FAILED, "cut off", "Copy it again.")
    assert troubles(journal) == []
    journal.note(source_trouble="the share is not there")
    with JournalReader(tmp_path) as reader:
        assert troubles(reader) == troubles(journal) == ["source: the share is not there"]
        (listed,), _ = reader.listed()
    assert as_json(listed) == as_json(failed)
    journal.close()


def test_how_long_the_receiver_has_been_in_trouble_stands_in_a_sentence_of_its_own(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        for trouble in ("LinkLost: refused. Check the URL.", "LinkLost: refused. Check the URL"):
            journal.note(receiver_trouble=trouble, receiver_trouble_since=str(time.time() - 7200))
            assert troubles(journal) == ["receiver: LinkLost: refused. Check the URL. It has been so for 2 h"]
