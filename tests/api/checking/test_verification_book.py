"""Verifications as all workers of a receiver see them."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from api.checking import verification_book
from api.checking.verification_book import MAX_OPEN, RESTARTED, OpenVerification, VerificationBook
from transfer.wire.errors import LimitReached, NotFound
from transfer.wire.verification import VerificationState


@pytest.fixture
def books(tmp_path: Path) -> tuple[VerificationBook, VerificationBook]:
    """Return the books of two processes that share a data folder."""
    return VerificationBook(tmp_path / "verifications"), VerificationBook(tmp_path / "verifications")


def begun(book: VerificationBook, token: str = "t1", paths: tuple[str, ...] = ()) -> OpenVerification:
    _, opened = book.begin("s1", token, paths, 3)
    assert opened is not None
    return opened


def ended(opened: OpenVerification) -> None:
    opened.note(state=VerificationState.DONE)
    opened.close()


def test_another_worker_sees_how_far_it_is(books) -> None:
    opened = begun(books[0])
    opened.note(state=VerificationState.RUNNING, checked_files=2)
    seen = books[1].get("s1", opened.now.id)
    assert (seen.state, seen.checked_files, seen.total_files) == (VerificationState.RUNNING, 2, 3)
    ended(opened)
    assert books[1].get("s1", opened.now.id).state is VerificationState.DONE


def test_limits_hold_over_workers(books) -> None:
    first = begun(books[0])
    assert books[1].begin("s1", "t1", (), 3) == (first.now, None)
    with pytest.raises(LimitReached, match="this token"):
        books[1].begin("s1", "t1", ("a",), 1)
    with pytest.raises(LimitReached, match="this token"):
        books[1].begin("s2", "t1", (), 1)
    others = [begun(books[1], f"other {number}") for number in range(MAX_OPEN - 1)]
    with pytest.raises(LimitReached, match=str(MAX_OPEN)):
        books[0].begin("s1", "one more", (), 1)
    ended(first)
    begun(books[0], "one more")
    assert others


def test_one_whose_process_has_gone_has_failed_and_holds_no_place(books) -> None:
    for number in range(MAX_OPEN):
        opened = begun(books[0], f"t{number}")
        opened._lock.release()  # as the system does when a process ends, however it ends
        seen = books[1].get("s1", opened.now.id)
        assert (seen.state, seen.detail) == (VerificationState.FAILED, RESTARTED)
    begun(books[1], "t0")
    assert books[1].get("s1", opened.now.id).state is VerificationState.FAILED


def test_the_oldest_are_removed_and_running_ones_stay(books, monkeypatch) -> None:
    monkeypatch.setattr(verification_book, "MAX_KEPT", 2)
    running, old = begun(books[0], "t1"), []
    for _ in range(4):
        old.append(begun(books[0], "t2"))
        ended(old[-1])
    books[0].get("s1", running.now.id)
    books[0].get("s1", old[-1].now.id)
    with pytest.raises(NotFound):
        books[0].get("s1", old[0].now.id)


def test_what_is_not_ours_in_the_folder_is_left_alone(books, tmp_path: Path) -> None:
    folder = tmp_path / "verifications"
    folder.mkdir()
    for name in ("a-note.lock", "a-note.json", f"{uuid4()}.json"):
        (folder / name).write_text("not ours")
    ended(begun(books[0]))
    assert (folder / "a-note.lock").read_text() == "not ours"


def test_a_session_learns_nothing_of_another_one_s(books) -> None:
    opened = begun(books[0])
    with pytest.raises(NotFound):
        books[0].get("s2", opened.now.id)
