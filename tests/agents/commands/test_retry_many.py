"""`cryoferry retry` of many exposures as its users meet it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.commands.retry_many import MOST_NAMED
from agents.journal.journal import Journal
from agents.journal.states import State
from tests.agents.test_retries import SETTINGS, find
from tests.on_terminals import shown_on_terminal
from tests.running import COMMAND, cryoferry_here

Retry = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "source").mkdir()
    journal = Journal(folder)
    journal.note(source=str(tmp_path / "source"), settings=json.dumps(SETTINGS))
    with journal.transaction():
        for number in range(MOST_NAMED + 5):
            find(journal, f"{number:02d}.tif", State.RELEASED)
        find(journal, "broken.tif", State.FAILED)
        find(journal, "new.tif", State.FOUND)
    journal.close()
    return folder


@pytest.fixture
def retry(monkeypatch, capsys, work: Path) -> Retry:
    return lambda *args: cryoferry_here(monkeypatch, capsys, "retry", "--work", work, *args)


def states(work: Path) -> dict[State, int]:
    journal = Journal(work)
    try:
        return {state: count for state, count in journal.counts().items() if count}
    finally:
        journal.close()


def test_all_are_counted_before_and_done_without_a_question_off_a_terminal(retry: Retry, work: Path) -> None:
    would = retry("--all", "--bin", "2", "--dry-run")
    assert would.returncode == 0
    assert would.stderr.splitlines() == [
        "Being processed with other settings: 1. Give the same command again when they are done.",
        "25 exposures would be processed again as the next revision; 1 exposure would be processed again",
    ]
    assert would.stdout.splitlines()[-1] == "… and 6 more; --json lists them all"
    assert states(work) == {State.RELEASED: 25, State.FAILED: 1, State.FOUND: 1}
    done = retry("--all", "--bin", "2")
    assert "25 exposures will be processed again as the next revision" in done.stderr
    assert states(work) == {State.FOUND: 27}
    again = retry("--all", "--bin", "2")
    assert again.returncode == 0
    assert again.stderr.splitlines() == [
        "Queued already with these settings: 26.",
        "Being processed with other settings: 1. Give the same command again when they are done.",
        "There is nothing to do.",
    ]


@pytest.mark.parametrize(
    ("typed", "options", "expected"),
    [
        (b"n\n", (), (1, 25, b"Nothing was done.")),
        (b"y\n", (), (0, 0, b"Go on? [y/N]: ")),
        (b"n\n", ("--yes",), (0, 0, b"as the next revision")),
    ],
)
def test_on_a_terminal_it_asks_unless_told_not_to(
    work: Path, typed: bytes, options: tuple[str, ...], expected: tuple[int, int, bytes]
) -> None:
    command = (*COMMAND, "retry", "--work", work, "--matching", "*", "--bin", "2", *options)
    code, seen = shown_on_terminal(command, typed)
    assert (code, states(work).get(State.RELEASED, 0)) == expected[:2], seen
    assert expected[2] in seen
    assert (b"Go on?" in seen) == (not options)


def test_json_lists_each_and_ends_with_the_counts(retry: Retry) -> None:
    *each, last = map(json.loads, retry("--matching", "1?.tif", "--bin", "2", "--json").stdout.splitlines())
    assert [one["movie"] for one in each] == [f"1{number}.tif" for number in range(10)]
    assert {(one["will"], one["revision"], one["done"]) for one in each} == {("align", 2, True)}
    assert last == {"summary": {"again": 10, "queued": 0, "busy": 0, "done_already": 0, "gone": 0}, "done": True}


def test_without_changes_only_what_failed_is_done_again(retry: Retry, work: Path) -> None:
    done = retry("--all")
    assert "the same settings would give the same result: 25." in done.stderr
    assert "Give what should change" in done.stderr
    assert done.stdout == "will align again: broken.tif\n"
    assert states(work) == {State.RELEASED: 25, State.FOUND: 2}


def test_nothing_that_fits_is_said(retry: Retry) -> None:
    assert retry("--warned", "--bin", "2").stderr == "No exposure has a warning: there is nothing to do.\n"
    assert "is named like 'x'" in retry("--matching", "x", "--bin", "2").stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "no exposure is named"),
        (("--all", "--failed"), "in more than one way"),
        (("00.tif", "--warned"), "in more than one way"),
        (("--matching", "x", "--all"), "in more than one way"),
    ],
)
def test_one_choice_must_be_made(retry: Retry, work: Path, args: tuple[str, ...], told: str) -> None:
    refused = retry(*args)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert states(work)[State.RELEASED] == 25


def test_a_gain_that_is_not_there_is_an_error_at_once(retry: Retry, work: Path) -> None:
    refused = retry("--all", "--gain", work / "nowhere.mrc")
    assert refused.returncode == 2
    assert "nowhere.mrc: No such file" in refused.stderr
    assert states(work)[State.RELEASED] == 25
