"""Retries of many exposures: what is chosen and passed over, and that an end in the middle does nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.bulk_retries import BulkPlan, BulkRetry
from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.retryable import RetryableExposure
from agents.journal.states import State
from agents.retries import RetryRefused
from agents.share_errors import ShareSilent
from agents.workers.jobs import with_changes
from tests.agents.test_retries import BINNED, SETTINGS, find
from tests.running import ROOT, clean_environment

Fits = Callable[[RetryableExposure], bool]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "source").mkdir()
    return tmp_path / "work"


@pytest.fixture
def journal(work: Path) -> Iterator[Journal]:
    journal = Journal(work)
    journal.note(source=str(work.parent / "source"), settings=json.dumps(SETTINGS))
    yield journal
    journal.close()


def retry_of(journal: Journal, work: Path, changed: dict = BINNED, fits: Fits = lambda _: True) -> BulkRetry:
    return BulkRetry(journal, work, fits, changed)


def counts(plan: BulkPlan) -> tuple[int, ...]:
    return len(plan.chosen), plan.queued, plan.busy, plan.done, len(plan.gone)


def align_again(journal: Journal, movie: str) -> None:
    """Do what the agent does with a movie that was found: with its changes, until it is released."""
    (found,) = (row for row in journal.exposures() if row.movie == movie)
    journal.finish(found.exposure_id, FileIdentity(1, 2, 3, 4))
    used = json.dumps(with_changes(SETTINGS, found.changes))
    for state in (State.ALIGNED, State.SENDING, State.COMMITTED, State.RELEASED):
        journal.change(found.exposure_id, state, settings=used)


def test_each_exposure_is_done_again_or_counted_with_the_reason(journal: Journal, work: Path) -> None:
    for movie, state in (("a.tif", "released"), ("b.tif", "released"), ("c.tif", "failed"), ("d.tif", "found")):
        find(journal, movie, State(state))
    (work.parent / "source" / "b.tif").unlink()
    retry = retry_of(journal, work)
    plan = retry.plan()
    assert counts(plan) == (2, 0, 1, 0, 1)
    assert plan.gone == ["b.tif"]
    assert [(each.exposure.movie, each.action, each.revision) for each in plan.chosen] == [
        ("a.tif", "align", 2),
        ("c.tif", "align", 1),
    ]
    assert journal.counts()[State.FOUND] == 1, "planning changes nothing"
    assert list(retry.carry_out(plan)) == [plan.chosen]
    after = {row.movie: (row.state, row.revision, row.changes) for row in journal.exposures()}
    assert after["a.tif"] == (State.FOUND, 2, BINNED)
    assert after["c.tif"] == (State.FOUND, 1, BINNED)
    assert after["b.tif"] == (State.RELEASED, 1, {})


def test_the_same_again_adds_nothing_while_they_wait_and_when_they_are_done(journal: Journal, work: Path) -> None:
    for movie in ("a.tif", "b.tif"):
        find(journal, movie, State.RELEASED)
    assert counts(retry_of(journal, work, {}).plan()) == (0, 0, 0, 2, 0), "nothing would change"
    retry = retry_of(journal, work)
    list(retry.carry_out(retry.plan()))
    assert counts(retry_of(journal, work).plan()) == (0, 2, 0, 0, 0)
    align_again(journal, "a.tif")
    assert counts(retry_of(journal, work).plan()) == (0, 1, 0, 1, 0)
    other = {"settings": {"bin_factor": 4}}
    assert counts(retry_of(journal, work, other).plan()) == (1, 0, 1, 0, 0)


def test_only_what_fits_is_chosen_and_warnings_are_known(journal: Journal, work: Path) -> None:
    for movie in ("a.tif", "b.tif"):
        exposure = find(journal, movie, State.RELEASED)
    with journal.transaction():
        journal._db.execute(
            "UPDATE exposures SET warnings = '[\"faint\"]' WHERE exposure_id = ?", (str(exposure.exposure_id),)
        )
    plan = retry_of(journal, work, fits=lambda each: each.has_warnings).plan()
    assert [each.exposure.movie for each in plan.chosen] == ["b.tif"]


def test_what_changed_since_the_plan_is_left_alone(journal: Journal, work: Path) -> None:
    for movie in ("a.tif", "b.tif"):
        find(journal, movie, State.RELEASED)
    retry = retry_of(journal, work)
    plan = retry.plan()
    journal.begin_again(plan.chosen[0].exposure.exposure_id, "overwritten")
    assert [[each.exposure.movie for each in batch] for batch in retry.carry_out(plan)] == [["b.tif"]]
    assert {row.revision for row in journal.exposures()} == {2}


def test_a_source_that_cannot_be_read_loses_no_movie(journal: Journal, work: Path) -> None:
    find(journal, "a.tif", State.RELEASED)

    def look(path: Path) -> None:
        if path.suffix:
            raise ShareSilent(0)

    with pytest.raises(RetryRefused, match="cannot be read: the share has not answered since"):
        BulkRetry(journal, work, lambda _: True, BINNED, look).plan()
    (work.parent / "source" / "a.tif").unlink()
    (work.parent / "source").rmdir()
    with pytest.raises(RetryRefused, match="source cannot be read"):
        retry_of(journal, work).plan()


KILLED = """
import os, signal, sys
from pathlib import Path
from agents import bulk_retries
from agents.journal.journal import Journal
from tests.agents.test_retries import BINNED
bulk_retries.BATCH = 5
journal = Journal(Path(sys.argv[1]), create=False)
retry = bulk_retries.BulkRetry(journal, Path(sys.argv[1]), lambda _: True, BINNED)
plan, do, count = retry.plan(), journal.begin_again, 0
def begin_again(*args, **more):
    global count
    count += 1
    if count == 13:  # in the third batch
        os.kill(os.getpid(), signal.SIGKILL)
    return do(*args, **more)
journal.begin_again = begin_again
list(retry.carry_out(plan))
"""


def test_after_a_kill_the_same_goes_on_and_nothing_is_done_twice(journal: Journal, work: Path) -> None:
    with journal.transaction():
        for number in range(20):
            find(journal, f"{number:02d}.tif", State.RELEASED)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(work)], env=clean_environment(), cwd=ROOT, check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert journal.counts()[State.FOUND] == 10, "two whole batches"
    align_again(journal, "00.tif")
    retry = retry_of(journal, work)
    plan = retry.plan()
    assert counts(plan) == (10, 9, 0, 1, 0)
    list(retry.carry_out(plan))
    assert {row.revision for row in journal.exposures()} == {2}
