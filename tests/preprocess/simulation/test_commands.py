"""`cryoferry simulate` as a user runs it."""

from __future__ import annotations

import json

import pytest

from preprocess.correction.gain import load_gain
from preprocess.exposure.acquisition import resolve_acquisition
from preprocess.movies import open_movie
from preprocess.settings import GainSettings
from tests.running import cryoferry


@pytest.mark.parametrize("movie_format", ["tiff", "mrc", "eer"])
def test_movies_with_everything_that_alignment_needs(tmp_path, movie_format):
    done = cryoferry(
        *("simulate", "--out", "movies", "--format", movie_format, "--size", "64x96", "--frames", "12", "--count", "2"),
        *("--voltage", "200", "--dose-per-frame", "1.5", "--pixel-size", "0.9", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["settings"]["seed"] for line in said] == [0, 1]
    assert said[0]["gain"] == said[1]["gain"]
    movie = open_movie(tmp_path / said[1]["movie"])
    assert (movie.format, movie.height, movie.width) == (movie_format, 64, 96)
    known = resolve_acquisition(movie)
    assert known.voltage_kv == 200
    assert known.pixel_size_angstrom == pytest.approx(0.9)
    assert known.total_dose_e_per_a2 == pytest.approx(18.0, rel=0.1)
    assert load_gain(GainSettings(path=tmp_path / said[1]["gain"]), movie).mean() == pytest.approx(1.0, rel=0.05)
    truth = json.loads((tmp_path / said[1]["truth"]).read_text())
    assert len(truth["shifts_yx_px"]) == 12
    again = cryoferry("simulate", "--out", "movies", "--format", movie_format, "--size", "64", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_a_dry_run_writes_nothing_and_wrong_sizes_are_refused(tmp_path):
    dry = cryoferry("simulate", "--out", "movies", "--dry-run", "--no-gain", cwd=tmp_path)
    assert dry.returncode == 0
    assert "would write movies" in dry.stdout
    assert dry.stderr == ""
    assert list(tmp_path.iterdir()) == []
    for size in ("12", "64x64x64"):
        refused = cryoferry("simulate", "--out", "movies", "--size", size, cwd=tmp_path)
        assert refused.returncode == 2
