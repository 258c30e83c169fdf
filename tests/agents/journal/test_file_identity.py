"""Which files count as the same content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.journal.file_identity import FileIdentity


def test_an_identity_is_what_stat_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    os.utime(tmp_path / "a", ns=(5, 7))
    status = (tmp_path / "a").stat()
    assert FileIdentity.of(status) == FileIdentity(3, 7, status.st_dev, status.st_ino, status.st_ctime_ns)


def test_a_share_mounted_anew_is_not_another_content() -> None:
    assert FileIdentity(10, 5, 1, 2).same_content(FileIdentity(10, 5, 9, 9))
    assert not FileIdentity(10, 5, 1, 2).same_content(FileIdentity(10, 6, 1, 2))
    assert not FileIdentity(10, 5, 1, 2).same_content(FileIdentity(11, 5, 1, 2))


def test_numbers_that_sqlite_cannot_hold_lose_their_highest_bit() -> None:
    times = {"st_atime_ns": 0, "st_mtime_ns": 0, "st_ctime_ns": 0}
    huge = os.stat_result((0o100644, (1 << 64) - 1, 1 << 63, 1, 0, 0, 3, 0, 0, 0), times)
    assert FileIdentity.of(huge)[2:4] == (0, (1 << 63) - 1)


@pytest.mark.parametrize("seconds", [-11_644_473_600, -11_644_473_599, 9_300_000_000, 95_617_584_000])
def test_a_time_that_sqlite_cannot_hold_is_another_one_all_the_same(seconds: int) -> None:
    """SMB gives 1601 for a time that was never set; some cameras' clocks are centuries ahead."""
    times = [
        {"st_atime_ns": 0, "st_mtime_ns": second * 1_000_000_000, "st_ctime_ns": second * 1_000_000_000}
        for second in (seconds, seconds + 1, 0)
    ]
    stats = [os.stat_result((0o100644, 1, 1, 1, 0, 0, 3, 0, 0, 0), each) for each in times]
    found = [FileIdentity.of(status) for status in stats]
    assert all(-(1 << 63) <= time < 1 << 63 for each in found for time in (each.mtime_ns, each.ctime_ns or 0))
    assert len({each.mtime_ns for each in found}) == 3


@pytest.mark.parametrize(
    ("other", "is_untouched"),
    [
        (FileIdentity(10, 5, 1, 2, 7), True),
        (FileIdentity(10, 5, 1, 2, None), True),  # an older journal does not say
        (FileIdentity(10, 5, 1, 2, 8), False),  # `touch -r` sets the time stamp back, and not this one
        (FileIdentity(10, 5, 1, 3, 7), False),  # another file was moved to this name
        (FileIdentity(10, 5, 9, 2, 7), False),
        (FileIdentity(10, 6, 1, 2, 7), False),
        (FileIdentity(11, 5, 1, 2, 7), False),
    ],
)
def test_a_file_is_untouched_if_all_that_is_known_is_equal(other: FileIdentity, *, is_untouched: bool) -> None:
    assert FileIdentity(10, 5, 1, 2, 7).is_untouched(other) is is_untouched
    assert other.is_untouched(FileIdentity(10, 5, 1, 2, 7)) is is_untouched
