"""Lists of a receiver that names the files of others, leads out of folders, contradicts itself or never ends."""

from __future__ import annotations

import pytest

from transfer.wire import listing
from transfer.wire.errors import ProtocolMismatch
from transfer.wire.listing import Pages, SessionListing
from transfer.wire.protocol import ListedFile


def listed(path: str = "a.mrc", session: str = "s", size_bytes: int = 1, revision: int = 1) -> ListedFile:
    return ListedFile(session=session, path=path, revision=revision, size_bytes=size_bytes, digest="0" * 64)


@pytest.mark.parametrize(
    "path",
    ["../a", "a/../../b", "/etc/passwd", "a\\b", "C:/a", "a\nb", "a\x1b[2J", "a\u202eb", "", ".", "a/./b", "a//b",
     "~/.ssh", ".ssh/authorized_keys", "x" * 2000],
)  # fmt: skip
def test_a_path_that_could_lead_out_of_a_folder_is_refused(path: str) -> None:
    with pytest.raises(ProtocolMismatch) as caught:
        list(SessionListing("s").accepted([listed("good"), listed(path)]))
    assert "for session s" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_file_of_another_session_is_named() -> None:
    with pytest.raises(ProtocolMismatch, match=r"lists 'a.mrc' for session s, which is of session 'other'"):
        list(SessionListing("s").accepted([listed(session="other")]))


def test_a_file_that_is_listed_twice_must_be_the_same() -> None:
    files = SessionListing("s")
    assert list(files.accepted([listed(), listed("b")])) == [listed(), listed("b")]
    assert list(files.accepted([listed()])) == []
    for other in (listed(size_bytes=2), listed(revision=2)):
        with pytest.raises(ProtocolMismatch, match=r"'a.mrc' for session s twice"):
            list(files.accepted([other]))


def test_a_list_must_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Pages("files")
    assert [pages.follow(cursor, 1) for cursor in ("a", "b")] == ["a", "b"]
    assert pages.follow(None, 0) is None
    with pytest.raises(ProtocolMismatch, match="'a' without an end"):
        pages.follow("a", 1)
    with pytest.raises(ProtocolMismatch, match="'c' without an end"):
        pages.follow("c", 0)
    monkeypatch.setattr(listing, "MOST_ENTRIES", 10)
    with pytest.raises(ProtocolMismatch, match="more than 10 entries"):
        pages.follow("d", 11)
    long = Pages("files", most_bytes=100)
    assert long.follow("a", 1, 60) == "a"
    with pytest.raises(ProtocolMismatch, match="more than such a list has"):
        long.follow("b", 1, 60)
