"""A journal that cannot be used is set aside with the outputs that only it knew; nothing is deleted."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.journal.journal import Journal
from agents.journal.opening import NAME, JournalError
from agents.journal.salvage import set_damaged_aside

NOW = datetime(2026, 11, 28, 21, 54, 29, tzinfo=UTC)
STAMP = "20261128T215429Z"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a work folder that was used: a journal of many pages, and an output that was not sent."""
    journal = Journal(tmp_path)
    with journal.transaction():
        for number in range(200):
            journal.find(f"{number}.tiff", str(number), str(number))
    journal.close()
    (tmp_path / "exposures" / "one").mkdir(parents=True)
    (tmp_path / "exposures" / "one" / "a.mrc").write_bytes(b"micrograph")
    return tmp_path


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def truncate_to_one_page(path: Path) -> None:
    os.truncate(path, 4096)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def scribble(path: Path) -> None:
    path.write_bytes(b"The disk wrote this file's content elsewhere. " * 1000)


def scribble_inside(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)


@pytest.mark.parametrize("damage", [empty, truncate, truncate_to_one_page, zero, scribble, scribble_inside])
def test_a_damaged_journal_is_set_aside(work: Path, damage) -> None:
    damage(work / NAME)
    left = (work / NAME).read_bytes()
    happened = set_damaged_aside(work / NAME, NOW)
    assert f"{NAME}.damaged-{STAMP}" in happened
    assert f"exposures.orphaned-{STAMP}" in happened
    assert (work / f"{NAME}.damaged-{STAMP}").read_bytes() == left
    assert (work / f"exposures.orphaned-{STAMP}" / "one" / "a.mrc").read_bytes() == b"micrograph"
    assert not (work / NAME).exists()
    assert not (work / "exposures").exists()
    journal = Journal(work)
    assert journal.exposures() == []
    journal.close()


def test_a_used_folder_without_a_journal_loses_no_outputs(work: Path) -> None:
    (work / NAME).unlink()
    happened = set_damaged_aside(work / NAME, NOW)
    assert "is missing" in happened
    assert (work / f"exposures.orphaned-{STAMP}" / "one" / "a.mrc").is_file()


def test_what_was_set_aside_before_is_not_replaced(work: Path) -> None:
    for content in (b"first", b"second"):
        (work / NAME).write_bytes(content * 1000)
        set_damaged_aside(work / NAME, NOW)
    assert (work / f"{NAME}.damaged-{STAMP}").read_bytes().startswith(b"first")
    assert (work / f"{NAME}.damaged-{STAMP}-2").read_bytes().startswith(b"second")


def test_a_rollback_journal_goes_with_its_damaged_journal(work: Path) -> None:
    (work / NAME).write_bytes(b"")
    (work / f"{NAME}-journal").write_bytes(b"pages")
    set_damaged_aside(work / NAME, NOW)
    assert (work / f"{NAME}-journal.damaged-{STAMP}").read_bytes() == b"pages"


def test_a_good_journal_and_a_new_folder_are_left_alone(work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = (work / NAME).read_bytes()
    assert set_damaged_aside(work / NAME, NOW) == ""
    assert (work / NAME).read_bytes() == before
    assert set_damaged_aside(tmp_path_factory.mktemp("new") / NAME, NOW) == ""


def test_a_locked_journal_is_not_taken_for_a_damaged_one(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout: connect(path, timeout=0.01))
    other = connect(work / NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert set_damaged_aside(work / NAME, NOW) == ""
    other.close()
    assert (work / NAME).is_file()


def test_a_command_that_only_reads_makes_no_journal_of_an_empty_file(work: Path) -> None:
    (work / NAME).write_bytes(b"")
    with pytest.raises(JournalError, match="is empty") as refused:
        Journal(work, create=False)
    assert "cryoferry watch" in refused.value.hint
    assert (work / NAME).stat().st_size == 0
