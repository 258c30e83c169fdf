"""A benchmark of a tiny session, as a user runs it, and what cannot be measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.flow.filled_journal import FILE_BYTES
from tests.running import cryoferry

TINY = (
    *("--exposures", "4", "--block", "2", "--pause", "0.2"),
    *("--settle-seconds", "0.5", "--scan-seconds", "0.5", "--idle-seconds", "1"),
)


def flow(*arguments: object, cwd: Path):
    return cryoferry("bench", "flow", *arguments, cwd=cwd)


def test_a_tiny_session_is_filled_and_measured(tmp_path: Path) -> None:
    done = flow("--sizes", "5", *TINY, "--minutes", "0", "--registrars", "relion", "--keep", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "cryoferry-bench" / "flow.json").read_text())
    (phase,) = told["phases"]
    assert (phase["session_exposures"], phase["exposures"], phase["set_aside"]) == (5, 4, 0)
    assert len(phase["latencies_s"]) == 2, "the first two are the warm-up"
    assert all(each["relion"] > 0 for each in phase["latencies_s"])
    for whose in ("agent", "receiver"):
        assert phase["peak_bytes"][whose] > 2e7
        assert phase["cpu_ms_an_exposure"][whose] > 0
    assert phase["cpu_ms_an_exposure"]["alignment"] > 10
    (folder,) = (tmp_path / "cryoferry-bench").glob("cryoferry-flow-*")
    star = (folder / "receiver/sessions/flow/relion/corrected_micrographs.star").read_text()
    assert star.count("\nmicrographs/") == 9, "five filled and four measured"
    sizes = [path.stat().st_size for path in (folder / "receiver/sessions/flow/files").rglob("*_fractions.mrc")]
    assert sizes.count(FILE_BYTES["micrograph"][1]) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sizes", "many"], "1000,10000,50000"),
        (["--sizes", "2000,1000"], "rising"),
        (["--sizes", "1000,1100"], "further apart"),
        (["--exposures", "3"], "at least 40"),
        (["--registrars", "pigeon"], "relion, scipion or both"),
        (["--scipion", "nowhere"], "make scipion"),
        (["--work", "nowhere", "--registrars", "relion"], "is no folder"),
        (["--sizes", "90000000000", "--registrars", "relion"], "Take smaller --sizes"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], says: str
) -> None:
    from tests.running import cryoferry_here

    monkeypatch.chdir(tmp_path)
    done = cryoferry_here(monkeypatch, capsys, "bench", "flow", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.iterdir())


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = flow("--dry-run", "--json", "--registrars", "relion", cwd=tmp_path)
    plan = json.loads(done.stdout)
    assert (plan["sizes"], plan["exposures_at_the_end"]) == ([1000, 10000, 50000], 408)
    assert not list(tmp_path.iterdir())
