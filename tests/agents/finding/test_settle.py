"""Settling, on a clock of the test's own."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from agents.finding.settle import MovieStatus, Settling
from agents.journal.file_identity import FileIdentity
from preprocess.movies.structure import missing_structure
from preprocess.simulation import write_mrc, write_tiff

SETTLE_S, GIVE_UP_S = 30.0, 600.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settling(clock: Clock) -> Settling:
    return Settling(settle_s=SETTLE_S, give_up_s=GIVE_UP_S, missing_structure=missing_structure, clock=clock)


def look(settling: Settling, path: Path) -> MovieStatus:
    return settling.observe(path.name, path, FileIdentity.of(path.stat()))[0]


def write_movie(path: Path) -> bytes:
    frames = [np.full((32, 32), n, np.uint8) for n in range(3)]
    write_tiff(path, frames) if path.suffix == ".tiff" else write_mrc(path, frames, frame_count=3, mode=0)
    return path.read_bytes()


def test_finished_after_the_settle_time_and_not_before(tmp_path: Path, clock: Clock, settling: Settling) -> None:
    write_movie(movie := tmp_path / "a.mrc")
    assert look(settling, movie) == MovieStatus.WAITING
    clock.now_s += SETTLE_S - 0.1
    assert look(settling, movie) == MovieStatus.WAITING
    clock.now_s += 0.1
    assert look(settling, movie) == MovieStatus.FINISHED


def test_a_growing_movie_waits_however_long_it_grows(tmp_path: Path, clock: Clock, settling: Settling) -> None:
    whole = write_movie(movie := tmp_path / "a.mrc")
    for size in range(100, len(whole), 200):
        movie.write_bytes(whole[:size])
        assert look(settling, movie) == MovieStatus.WAITING
        clock.now_s += SETTLE_S - 1
    movie.write_bytes(whole)
    assert look(settling, movie) == MovieStatus.WAITING
    clock.now_s += SETTLE_S
    assert look(settling, movie) == MovieStatus.FINISHED


def test_a_pause_in_writing_is_not_the_end(tmp_path: Path, clock: Clock, settling: Settling) -> None:
    whole = write_movie(movie := tmp_path / "a.tiff")
    movie.write_bytes(whole[:-100])
    look(settling, movie)
    clock.now_s += 2 * SETTLE_S
    assert look(settling, movie) == MovieStatus.WAITING
    movie.write_bytes(whole)
    assert look(settling, movie) == MovieStatus.WAITING
    clock.now_s += SETTLE_S
    assert look(settling, movie) == MovieStatus.FINISHED


def test_a_movie_that_stays_broken_is_given_up_with_the_reason(
    tmp_path: Path, clock: Clock, settling: Settling
) -> None:
    whole = write_movie(movie := tmp_path / "a.mrc")
    movie.write_bytes(whole[:-100])
    look(settling, movie)
    for _ in range(int(GIVE_UP_S / SETTLE_S) - 1):
        clock.now_s += SETTLE_S
        assert look(settling, movie) == MovieStatus.WAITING
    clock.now_s += SETTLE_S
    verdict, missing = settling.observe(movie.name, movie, FileIdentity.of(movie.stat()))
    assert verdict == MovieStatus.BROKEN
    assert "frame 3 of 3 is cut off" in missing


@pytest.mark.parametrize("mtime", [0, 4_000_000_000])
def test_an_mtime_of_another_clock_changes_nothing(
    mtime: int, tmp_path: Path, clock: Clock, settling: Settling
) -> None:
    write_movie(movie := tmp_path / "a.mrc")
    os.utime(movie, (mtime, mtime))
    look(settling, movie)
    clock.now_s += SETTLE_S
    assert look(settling, movie) == MovieStatus.FINISHED


def test_a_replaced_file_of_the_same_size_and_time_settles_again(
    tmp_path: Path, clock: Clock, settling: Settling
) -> None:
    whole = write_movie(movie := tmp_path / "a.mrc")
    look(settling, movie)
    clock.now_s += SETTLE_S
    other = tmp_path / "other"
    other.write_bytes(whole)
    os.utime(other, ns=(movie.stat().st_atime_ns, movie.stat().st_mtime_ns))
    other.rename(movie)
    assert look(settling, movie) == MovieStatus.WAITING


def test_the_next_look_is_when_a_movie_can_be_finished(tmp_path: Path, clock: Clock, settling: Settling) -> None:
    assert settling.next_look_s() is None
    write_movie(movie := tmp_path / "a.mrc")
    look(settling, movie)
    clock.now_s += 10
    assert settling.next_look_s() == pytest.approx(SETTLE_S - 10)


@pytest.mark.parametrize("error", [IsADirectoryError(21, "Is a directory"), ZeroDivisionError("defect")])
def test_an_error_in_one_movie_concerns_that_movie_alone(tmp_path: Path, clock: Clock, error: Exception) -> None:
    def raise_for_one(path: Path) -> str | None:
        if path.name == "bad.mrc":
            raise error
        return None

    settling = Settling(settle_s=SETTLE_S, give_up_s=GIVE_UP_S, missing_structure=raise_for_one, clock=clock)
    movies = [tmp_path / "bad.mrc", tmp_path / "good.mrc"]
    for path in movies:
        write_movie(path)
        look(settling, path)
    clock.now_s += GIVE_UP_S
    assert [look(settling, path) for path in movies] == [MovieStatus.WAITING, MovieStatus.FINISHED]
    clock.now_s += SETTLE_S
    assert look(settling, movies[0]) == MovieStatus.BROKEN


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EMFILE, errno.EACCES]
)
def test_an_error_of_the_share_waits_however_long_it_lasts(tmp_path: Path, clock: Clock, number: int) -> None:
    answers: list[str | None] = []

    def ask(_path: Path) -> str | None:
        if not answers:
            raise OSError(number, os.strerror(number))
        return answers[0]

    settling = Settling(settle_s=SETTLE_S, give_up_s=GIVE_UP_S, missing_structure=ask, clock=clock)
    write_movie(movie := tmp_path / "a.mrc")
    for _ in range(4):
        assert look(settling, movie) == MovieStatus.WAITING
        clock.now_s += 10 * GIVE_UP_S
    assert settling.unreadable == {"a.mrc": os.strerror(number)}
    answers.append("half of it")
    assert look(settling, movie) == MovieStatus.WAITING  # the give-up time begins only now
    assert settling.unreadable == {}
    clock.now_s += GIVE_UP_S
    assert look(settling, movie) == MovieStatus.BROKEN


def test_a_movie_that_could_not_be_read_is_looked_at_at_once_when_the_share_is_back(
    tmp_path: Path, clock: Clock
) -> None:
    is_down = [True]

    def ask(_path: Path) -> None:
        if is_down:
            raise OSError(errno.EIO, "no")

    settling = Settling(settle_s=SETTLE_S, give_up_s=GIVE_UP_S, missing_structure=ask, clock=clock)
    write_movie(movie := tmp_path / "a.mrc")
    look(settling, movie)
    clock.now_s += SETTLE_S
    assert look(settling, movie) == MovieStatus.WAITING
    is_down.clear()
    assert look(settling, movie) == MovieStatus.WAITING
    settling.look_again()
    assert settling.next_look_s() == 0
    assert look(settling, movie) == MovieStatus.FINISHED


def test_a_movie_is_broken_only_if_it_is_read_the_same_again(tmp_path: Path, clock: Clock) -> None:
    found = iter(["half of it", "nothing of it", "half of it", None])
    settling = Settling(settle_s=SETTLE_S, give_up_s=GIVE_UP_S, missing_structure=lambda _: next(found), clock=clock)
    write_movie(movie := tmp_path / "a.mrc")
    look(settling, movie)
    clock.now_s += GIVE_UP_S
    for _ in range(3):
        assert look(settling, movie) == MovieStatus.WAITING
        clock.now_s += SETTLE_S
    assert look(settling, movie) == MovieStatus.FINISHED
