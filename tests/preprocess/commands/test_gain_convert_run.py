"""`cryoferry gain convert`: what it writes corrects the movie, as it lies, as the turned reference does."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from preprocess.correction.gain import load_gain
from preprocess.movies import open_movie
from preprocess.settings import GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_dm4
from tests.running import cryoferry_here

SHAPE = (128, 96)


@pytest.mark.parametrize(("movie_name", "operation"), [("m.tiff", "multiply"), ("m.eer", "divide")])
def test_the_movie_is_corrected_as_before(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    movie_name: str,
    operation: str,
) -> None:
    movie_path, out = tmp_path / movie_name, tmp_path / "new" / "gain.mrc"
    simulate_movie(SimulationSettings(height=SHAPE[0], width=SHAPE[1], frame_count=2)).write(movie_path)
    lies = np.random.default_rng(1).normal(1, 0.05, SHAPE[::-1]).astype(np.float32)
    lies[3, 7] = 0
    write_dm4(tmp_path / "gain.dm4", lies)
    turned = ("--gain-rotate", "90", "--gain-flip", "x", "--gain-operation", "multiply")
    words = ("gain", "convert", tmp_path / "gain.dm4", "--movie", movie_path, *turned, "--out", out)
    planned = cryoferry_here(monkeypatch, capsys, *words, "--dry-run", "--json")
    assert json.loads(planned.stdout) == {
        "gain": str(out),
        "operation": operation,
        "format": movie_path.suffix[1:],
        "written": False,
    }
    assert not out.parent.exists()
    done = cryoferry_here(monkeypatch, capsys, *words)
    assert done.returncode == 0, done.stderr
    assert f"movies {operation} by it" in done.stdout
    with mrcfile.open(out) as file:
        assert file.get_labels()[0].endswith("converted gain")
    movie = open_movie(movie_path)
    known = GainSettings(path=tmp_path / "gain.dm4", rotate_degrees=90, flip="x", operation="multiply")
    expected, found = load_gain(known, movie), load_gain(GainSettings(path=out), movie)
    assert expected is not None
    assert found is not None
    assert (found == 0).sum() == (expected == 0).sum() == 1
    scale = found.mean() / expected.mean()  # what divides is scaled by its own mean
    np.testing.assert_allclose(found, expected * scale, rtol=1e-5)
    again = cryoferry_here(monkeypatch, capsys, *words)
    assert again.returncode == 2
    assert "exists already" in again.stderr
