"""Many movies in a row: what went wrong with any of them is told, whatever the process's end says."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.alignment.movies import BenchMovie
from benchmarks.alignment.sustained import _worker_command, sustain


def test_a_worker_that_aligns_nothing_has_no_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on after each failure, and ends well."""
    line = json.dumps({"error": {"message": "too faint"}})
    told = [sys.executable, "-c", f"for _ in range(2): print({line!r}, flush=True)"]
    monkeypatch.setattr("benchmarks.alignment.sustained._worker_command", lambda *_: told)
    path = tmp_path / "a.mrc"
    path.write_bytes(b"movie")
    found = sustain([a_movie(path)], 2, "cpu", tmp_path / "work", process="worker", threads=1, environment={})
    assert (found.failure, found.movies_per_hour, found.wall_s) == ("too faint", None, None)


@pytest.mark.parametrize(("preset", "orientation"), [("fainter", "given"), ("", "auto")])
def test_a_simulated_gain_lies_as_it_is_though_a_faint_movie_does_not_show_it(
    preset: str, orientation: str, tmp_path: Path
) -> None:
    _worker_command(replace(a_movie(tmp_path / "a.mrc"), preset=preset), [], tmp_path, 1, "cpu")
    job = json.loads((tmp_path / "job.json").read_text())
    assert job["settings"]["settings"]["gain"]["orientation"] == orientation


def a_movie(path: Path) -> BenchMovie:
    return BenchMovie(
        path=path,
        preset="small",
        seed=0,
        gain=None,
        height=64,
        width=64,
        frame_count=3,
        pixel_size_angstrom=1.0,
        voltage_kv=300.0,
        dose_per_frame_e_per_a2=1.0,
        hardware_frames_per_frame=None,
    )
