"""A movie that needs a gain reference and has none: a warning, or a refusal where the user requires one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blake3 import blake3

from preprocess.simulation import SimulationSettings, simulate_movie
from tests.running import cryoferry_here

KNOWN = ("--pixel-size", "1.1", "--voltage", "300", "--total-dose", "3", "--device", "cpu", "--threads", "1")
SAID = "it was aligned without a gain reference, but EER holds electrons as the camera counted them"
SIZE = SimulationSettings(height=128, width=128, frame_count=3, seed=1, gain=True)


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, movie = tmp_path_factory.mktemp("session") / "movies", simulate_movie(SIZE)
    (folder / "elsewhere").mkdir(parents=True)
    movie.write(folder / "raw.eer", hardware_frames_per_frame=1)
    movie.write(folder / "unknown.tiff")
    movie.write_gain(folder / "elsewhere/raw.gain", movie_format="eer")
    return folder


@pytest.mark.parametrize(
    ("movie", "options", "is_missed"),
    [
        ("raw.eer", ("--eer-frames", "1"), True),
        ("raw.eer", ("--eer-frames", "1", "--gain", "none"), False),
        ("raw.eer", ("--eer-frames", "1", "--gain", "none", "--require-gain"), False),
        ("raw.eer", ("--eer-frames", "1", "--gain", "elsewhere/raw.gain", "--require-gain"), False),
        ("unknown.tiff", (), False),
    ],
)
def test_align_warns(movies, tmp_path, monkeypatch, capsys, movie, options, is_missed) -> None:
    monkeypatch.chdir(movies)
    done = cryoferry_here(monkeypatch, capsys, "align", movie, "--out", tmp_path, *KNOWN, *options)
    assert done.returncode == 0, done.stderr
    (result,) = tmp_path.glob("*.json")
    written = json.loads(result.read_text())
    assert len([text for text in written["warnings"] if SAID in text]) == is_missed
    assert (SAID in done.stderr) == is_missed
    gain = written["parameters"]["gain"]
    assert gain["absent"] == ("none" in options)
    used = (movies / "elsewhere/raw.gain").read_bytes() if "elsewhere/raw.gain" in options else None
    assert gain["digest"] == (used and blake3(used).hexdigest())


@pytest.mark.parametrize("movie", ["raw.eer", "unknown.tiff"])
def test_align_refuses_where_a_gain_reference_is_required(movies, tmp_path, monkeypatch, capsys, movie) -> None:
    done = cryoferry_here(
        monkeypatch, capsys, "align", movies / movie, "--out", tmp_path / "out", *KNOWN, "--require-gain"
    )
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "no gain reference is known, and --require-gain asks for one" in said
    assert "--gain none" in said
    assert not list(tmp_path.rglob("*.mrc"))
