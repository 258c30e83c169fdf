"""Movies that could not be read wait no longer once the share lets them be read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from agents.finding.source_access import DirectAccess
from agents.share.recovery import PROBE_S, ShareRecovery
from preprocess.layouts import FLAT

MOVIE = Path("a.tiff")


class Share(DirectAccess):
    """A share whose reads end with an error while it has one."""

    number: int | None = errno.EIO
    reads = 0

    def check_readable(self, movie: Path) -> None:
        self.reads += 1
        if self.number is not None:
            raise OSError(self.number, "no")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path, FLAT)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_comes_once_when_what_failed_can_be_read_and_is_asked_for_every_second(share: Share, clock: Clock) -> None:
    recovery = ShareRecovery(share, clock)
    assert not recovery.has_come()
    assert share.reads == 0
    recovery.failed(MOVIE)
    for _ in range(20):
        assert not recovery.has_come()
        clock.now_s += PROBE_S / 2
    assert share.reads == 10
    share.number = None
    assert recovery.has_come()
    clock.now_s += PROBE_S
    assert not recovery.has_come()
    assert share.reads == 11


@pytest.mark.parametrize("number", [None, errno.ENOENT])
def test_a_movie_that_the_share_lets_be_read_or_has_no_more_is_no_recovery(
    share: Share, clock: Clock, number: int | None
) -> None:
    """One bad place in it would otherwise have it aligned again and again without a pause."""
    recovery, share.number = ShareRecovery(share, clock), number
    recovery.failed(MOVIE)
    assert not recovery.has_come()
    share.number = None
    clock.now_s += PROBE_S
    assert not recovery.has_come()
    assert share.reads == 1
