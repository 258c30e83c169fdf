"""What an agent says at its end of its last scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.commands.last_scan_line import last_scan_line
from agents.finding.discovery import Discovery
from agents.journal.journal import Journal
from preprocess.layouts import FLAT


def test_the_line_names_what_the_journal_has_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, work = tmp_path / "source", tmp_path / "work"
    source.mkdir()
    work.mkdir()
    for number in range(12):
        (source / f"{number:02}.tiff").touch()
    journal = Journal(work)
    discovery = Discovery(journal, source, FLAT, settle_s=1, give_up_s=1)
    assert last_scan_line(discovery) == ""
    discovery.scan_once()
    assert last_scan_line(discovery) == "source: the last scan looked at 12 movies, and the journal has them all"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    journal._db.execute("DELETE FROM exposures WHERE movie < '11.tiff'")
    names = ", ".join(f"{number:02}.tiff" for number in range(10))
    line = last_scan_line(discovery)
    assert line.endswith(f"12 movies, and the journal does not have 11 of them: {names}, …")
    (alarm,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert alarm == f"the movies do not add up: {line}; run `cryoferry status --check`"
    source.rename(tmp_path / "elsewhere")
    discovery.scan_once()
    assert "was not compared with the journal: " in last_scan_line(discovery)
    journal.close()
