from __future__ import annotations

import pytest

from tests.waiting import wait_until


def test_returns_what_the_condition_returned() -> None:
    answers = iter([None, 0, "", "here"])
    assert wait_until(lambda: next(answers), "never") == "here"


def test_says_what_is_missing_when_the_time_is_over() -> None:
    with pytest.raises(AssertionError, match=r"^not within 0.02 s: the file$"):
        wait_until(lambda: False, lambda: "the file", timeout_s=0.02, pause_s=0.001)


def test_what_ended_is_asked_a_last_time() -> None:
    answers = iter([False, True])
    alive = iter([True, False])
    assert wait_until(lambda: next(answers), "never", pause_s=0, alive=lambda: next(alive))
    with pytest.raises(AssertionError, match=r"^ended before: the state$"):
        wait_until(lambda: False, "the state", alive=lambda: False)
