"""Whose fault it is that a GPU fails: the movie's, or its own."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from agents.journal.journal import Journal
from agents.steps.device_faults import DeviceFaults
from agents.workers.contract import AlignmentFailure, FailureKind
from tests.agents.steps.scripted import ScriptedWorker

FAILED = AlignmentFailure(kind=FailureKind.DEVICE_LOST, reason="DeviceLost: cuda:0 failed", hint="Look.")


class Course:
    """Movies by letter, on one worker or another; `!` after a letter: its movie makes the GPU fail."""

    def __init__(self, journal: Journal) -> None:
        self.faults = DeviceFaults()
        self.workers = [ScriptedWorker(lambda _job: FAILED) for _ in range(2)]
        self.journal = journal
        self.ids: dict[str, UUID] = {}

    def id_of(self, letter: str) -> UUID:
        """Return the exposure of a letter."""
        if letter not in self.ids:
            self.ids[letter] = self.journal.find(f"{letter}.mrc", letter, letter).exposure_id
        return self.ids[letter]

    def go(self, movies: str, *, worker: int = 0, trial: AlignmentFailure | None = None) -> str:
        """Return for each failure of a course such as `a! b a!` whether the movie is blamed (`m`) or not (`-`)."""
        told = ""
        for movie in movies.split():
            if movie.endswith("!"):
                exposure = self.journal.exposure(self.id_of(movie[0]))
                judged = self.faults.judged(exposure, FAILED, self.workers[worker], lambda: trial)
                told += "m" if judged.kind is FailureKind.CRASHED else "-"
            else:
                self.faults.aligned(self.id_of(movie), self.workers[worker])
        return told


@pytest.fixture
def course(tmp_path: Path):
    journal = Journal(tmp_path)
    yield Course(journal)
    journal.close()


@pytest.mark.parametrize(
    ("movies", "blamed"),
    [
        ("a! a! a!", "mmm"),  # it alone, and a trial succeeds each time
        ("a! b a! c a!", "mmm"),
        ("a! b! a! b! c! a!", "m-----"),  # no movie is aligned: it is the GPU
        ("a! b! c a! b! a!", "m-mmm"),  # one is, and both fail again
        ("a! b! a b!", "m-m"),  # one of them is aligned itself
        ("a! a! a! b! c! d!", "mmm---"),  # a movie that has failed by now still speaks for the others
        ("a! b! c d! e!", "m-m-"),
    ],
)
def test_a_movie_is_blamed_only_if_the_gpu_computes_others(course: Course, movies: str, blamed: str) -> None:
    assert course.go(movies) == blamed


def test_no_movie_is_blamed_while_a_trial_fails_too(course: Course) -> None:
    gone = AlignmentFailure(kind=FailureKind.DEVICE_LOST, reason="no CUDA device answers")
    assert course.go("a! b a! c! a!", trial=gone) == "----"
    judged = course.faults.judged(course.journal.exposure(course.id_of("a")), FAILED, course.workers[0], lambda: gone)
    assert judged.reason == "DeviceLost: cuda:0 failed; a trial computation fails there too: no CUDA device answers"


def test_what_another_worker_s_gpu_aligns_says_nothing(course: Course) -> None:
    assert course.go("a! b!") == "m-"
    course.go("c d", worker=1)
    assert course.go("a! b!") == "--"
