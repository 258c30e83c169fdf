"""Kernels with barriers as real threads of the host, under ThreadSanitizer.

The short form runs all of them, and takes two barriers away; the long form (`make campaign PART=gpu-host`) runs them on
more data, and takes away each barrier.
"""

from __future__ import annotations

import pytest
from campaign import IS_LONG, NoteFigures, note_figures
from kernels_with_barriers import Barrier, barriers
from sanitized_run import run_sanitized

__all__ = ["note_figures"]

REPEATS = 4 if IS_LONG else 1
NOT_NEEDED = {
    "bin_frames 0 end",
    "find_means 0 end",
    "box_sums 0 end",
    "box_sums 1 end",
    "cut_tiles 0 end",
    "cut_tiles 1 end",
    "add_statistics 0 end",
}
"""Barriers behind a sum that only the thread reads which wrote it, or that another sum's barriers follow."""
SHORT = {"find_means 0 loop", "warp_tiles 3"}
PLANTED = [barrier for barrier in barriers() if IS_LONG or str(barrier) in SHORT]
RACE = 66
"""The exit code that ThreadSanitizer is told to end with."""


def run(lacking: Barrier | None, repeats: int) -> tuple[int, str]:
    given = None if lacking is None else (lacking.kernel, lacking.number, lacking.part)
    program = f"""
from kernels_with_barriers import Barrier, run
given = {given!r}
run(given and Barrier(*given), {repeats})
print("clean")
"""
    done = run_sanitized(program, ("tsan",))
    assert done.returncode != 0 or done.stdout == "clean\n"
    return done.returncode, done.stderr


def test_kernels_with_barriers_have_no_races(note_figures: NoteFigures) -> None:
    code, told = run(None, REPEATS)
    assert code == 0, told[-3000:]
    note_figures(kernels_without_a_race=len({barrier.kernel for barrier in barriers()}), sizes_of_movies=REPEATS)


@pytest.mark.parametrize("barrier", PLANTED, ids=str)
def test_a_barrier_that_is_taken_away_is_a_race(barrier: Barrier, note_figures: NoteFigures) -> None:
    code, told = run(barrier, 1)
    if str(barrier) in NOT_NEEDED:
        assert code == 0, told[-3000:]
        note_figures(barriers_not_needed=1)
        return
    assert code == RACE, told[-3000:]
    assert "data race" in told
    note_figures(barriers_missed_as_races=1)


def test_the_barriers_that_are_not_needed_are_there() -> None:
    assert {str(barrier) for barrier in barriers()} >= NOT_NEEDED | SHORT
