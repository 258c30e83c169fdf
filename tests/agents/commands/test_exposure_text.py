"""The texts by which commands show an exposure."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.commands.exposure_text import reason_and_hint
from agents.journal.journal import Journal
from agents.journal.states import State


@pytest.mark.parametrize(
    ("reason", "hint", "text"),
    [
        ("the movie is cut off", "Copy it again.", "the movie is cut off\nCopy it again."),
        ("tried again", "", "tried again"),
    ],
)
def test_what_to_do_stands_on_a_line_of_its_own(tmp_path: Path, reason: str, hint: str, text: str) -> None:
    journal = Journal(tmp_path)
    found = journal.find("a.tiff", "a", "a")
    failed = journal.change(found.exposure_id, State.FAILED, reason, hint)
    journal.close()
    assert reason_and_hint(failed) == text
