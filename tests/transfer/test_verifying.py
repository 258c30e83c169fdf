"""Having the receiver read its files: in batches, again after a restart, and only when there is a place."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pytest

from transfer import verifying
from transfer.pace.retrying import RetryPolicy
from transfer.verifying import MOST_TRIES, files_with_problems
from transfer.wire.errors import LimitReached, LinkLost, ReceiverBusy
from transfer.wire.verification import CheckedFile, FileCheck, Verification, VerificationState

WAITING, RUNNING, DONE, FAILED = VerificationState
BAD = CheckedFile(path="bad", revision=1, check=FileCheck.CHANGED, detail="other bytes")


class ScriptedReceiver:
    """Answers with what a test has written down: states, or errors; `asked` are the paths of each start."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []
        self.now_s = 0.0

    def start_verification(self, session: str, paths: Sequence[str]) -> Verification:
        self.asked.append(tuple(paths))
        return self._next()

    def verification(self, session: str, verification_id: object) -> Verification:
        return self._next()

    def _next(self) -> Verification:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        state, files, problems = answer if isinstance(answer, tuple) else (answer, 0, ())
        return Verification(
            id=uuid4(),
            session="s1",
            state=state,
            total_files=4,
            checked_files=files,
            checked_bytes=files * 10,
            problem_count=len(problems),
            problems=problems,
        )

    def retry(self, give_up_after_s: float | None = 60.0) -> RetryPolicy:
        def sleep(seconds: float) -> None:
            self.now_s += seconds

        return RetryPolicy(give_up_after_s, lambda: False, lambda: self.now_s, sleep)


def found(receiver: ScriptedReceiver, paths: Sequence[str] = ("a", "bad"), **more) -> list[CheckedFile]:
    return list(files_with_problems(receiver, "s1", paths, receiver.retry(), **more))


def test_it_is_asked_for_until_it_is_done(monkeypatch) -> None:
    receiver = ScriptedReceiver(WAITING, (RUNNING, 1, ()), LinkLost("gone"), (RUNNING, 3, (BAD,)), (DONE, 4, (BAD,)))
    read = []
    assert found(receiver, on_read=lambda files, size: read.append((files, size))) == [BAD]
    assert [sum(some) for some in zip(*read, strict=True)] == [4, 40]
    assert receiver.asked == [("a", "bad")]


def test_each_batch_is_so_small_that_all_its_problems_are_listed(monkeypatch) -> None:
    monkeypatch.setattr(verifying, "MAX_LISTED_PROBLEMS", 2)
    receiver = ScriptedReceiver(DONE, (DONE, 2, (BAD,)), DONE)
    assert found(receiver, ["a", "b", "bad", "c", "d"]) == [BAD]
    assert receiver.asked == [("a", "b"), ("bad", "c"), ("d",)]
    assert found(ScriptedReceiver(), []) == []


def test_a_receiver_that_was_restarted_starts_again_and_progress_never_falls() -> None:
    read: list[int] = []
    receiver = ScriptedReceiver((RUNNING, 3, ()), FAILED, (RUNNING, 1, ()), (DONE, 4, ()))
    assert found(receiver, on_read=lambda files, _: read.append(files)) == []
    assert (sum(read), min(read), len(receiver.asked)) == (4, 0, 2)


def test_one_that_fails_again_and_again_is_an_error() -> None:
    receiver = ScriptedReceiver(*[FAILED] * MOST_TRIES)
    with pytest.raises(ReceiverBusy):
        found(receiver)


def test_it_waits_for_a_place_and_gives_up() -> None:
    full, said = LimitReached("two run"), []
    assert found(ScriptedReceiver(full, full, DONE), on_full=said.append) == []
    assert said == [full, full]
    with pytest.raises(LimitReached):
        found(ScriptedReceiver(*[full] * 100))


def test_a_receiver_that_reads_nothing_is_given_up():
    receiver = ScriptedReceiver(*[(RUNNING, 1, ())] * 1000)
    with pytest.raises(ReceiverBusy, match="has read nothing of session s1 for 60 s"):
        found(receiver)
    assert 60 < receiver.now_s < 70
    growing = ScriptedReceiver(*[(RUNNING, files, ()) for files in range(100)], DONE)
    assert found(growing) == []
    assert growing.now_s > 120
