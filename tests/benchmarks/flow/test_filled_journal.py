"""A filled journal is one that an agent could have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.journal.journal import Journal
from agents.journal.states import State
from benchmarks.flow.filled_journal import FilledSession, fill_journal
from transfer.file_digest import file_digest
from transfer.wire.exposure_record import ExposureRecord, FileRole

SESSION = FilledSession(exposure_count=40, failed_every=10, held_every=8, waiting_count=3, movie_bytes=5000)


def test_every_exposure_is_in_the_state_that_was_asked_for(tmp_path: Path) -> None:
    published: list[ExposureRecord] = []
    fill_journal(tmp_path / "work", SESSION, source=tmp_path / "source", publish=published.append, per_transaction=7)
    journal = Journal(tmp_path / "work", create=False)
    assert [exposure.state for exposure in journal.exposures()] == [SESSION.state(number) for number in range(1, 41)]
    assert journal.counts()[State.RELEASED] == len(published) == 30
    for record in published:
        exposure = journal.exposure(record.exposure_id)
        assert exposure.record == record
        outputs = journal.outputs(exposure.exposure_id, 1)
        assert {output.digest for output in outputs} == {file.digest for file in record.files}
        assert all(output.receipt is not None for output in outputs)
        movie = tmp_path / "source" / exposure.movie
        assert (movie.stat().st_size, movie.stat().st_mtime_ns) == (exposure.identity or ())[:2]
    journal.close()


def test_it_took_as_long_as_the_rate_says(tmp_path: Path) -> None:
    fill_journal(tmp_path, SESSION)
    journal = Journal(tmp_path, create=False)
    found = [exposure.found_at for exposure in journal.exposures()]
    assert found == sorted(found)
    assert (found[-1] - found[0]) * SESSION.movies_per_hour / 3600 == pytest.approx(39)
    assert max(exposure.changed_at for exposure in journal.exposures()) < SESSION.ended_at_s
    journal.close()


def test_the_digest_is_that_of_a_file_of_zeros(tmp_path: Path) -> None:
    files = {FileRole.MICROGRAPH: (".mrc", 9_000_000)}
    published: list[ExposureRecord] = []
    fill_journal(tmp_path, FilledSession(exposure_count=1, waiting_count=0, files=files), publish=published.append)
    with (tmp_path / "zeros").open("w+b") as zeros:
        zeros.truncate(9_000_000)
        assert published[0].files[0].digest == file_digest(zeros.fileno(), 9_000_000)
