"""`cryoferry align` finds each movie's gain reference, says which, and takes the user's word before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocess.simulation import SimulationSettings, simulate_movie, write_dm4
from tests.running import cryoferry_here

KNOWN = ("--pixel-size", "1.1", "--voltage", "300", "--dose-per-frame", "3", "--device", "cpu", "--threads", "1")
SIMULATED = SimulationSettings(height=192, width=256, frame_count=4, seed=1, dose_per_frame_e_per_a2=3)
FOUND_BY = "its mdoc names it; its mdoc says RotationAndFlip = 1"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a session of SerialEM with two movies whose frames were turned by 90 degrees."""
    folder, movie = tmp_path_factory.mktemp("session"), simulate_movie(SIMULATED)
    assert movie.gain is not None
    for name in ("frames", "gain"):
        (folder / name).mkdir()
    for name in ("a", "b"):
        movie.write(folder / f"frames/{name}.tif")
        mdoc = "[FrameSet = 0]\nGainReference = D:\\x\\SuperRef_a.dm4\nRotationAndFlip = 1\n"
        (folder / f"frames/{name}.tif.mdoc").write_text(mdoc)
    write_dm4(folder / "gain/SuperRef_a.dm4", np.rot90(movie.gain, 1)[::-1])
    return folder


@pytest.fixture
def align(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, session: Path) -> Any:
    def run(*args: object) -> tuple[Any, dict[str, Any]]:
        done = cryoferry_here(monkeypatch, capsys, "align", *args, "--out", tmp_path / "out", *KNOWN)
        assert done.returncode == 0, done.stderr
        return done, {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").rglob("*.json")}

    monkeypatch.chdir(session / "frames")
    return run


def test_each_movie_gets_its_own_and_it_is_said_once(session: Path, align: Any) -> None:
    planned, _ = align("a.tif", "--dry-run", "--json")
    assert json.loads(planned.stdout)["gain_found_by"] == FOUND_BY
    done, results = align("a.tif", "b.tif")
    assert done.stderr.count(f"the gain reference is SuperRef_a.dm4: {FOUND_BY}") == 1
    for result in results.values():
        gain = result["parameters"]["gain"]
        assert (gain["path"], gain["found_by"]) == ("SuperRef_a.dm4", FOUND_BY)
        assert (gain["rotate_degrees"], gain["flip"]) == (90, "none")
        assert not [text for text in result["warnings"] if "gain" in text]
    again, _ = align("a.tif", "b.tif", "--resume")
    assert "2 of 2 movies are done already" in again.stderr


def test_what_the_user_says_wins(session: Path, align: Any) -> None:
    _, results = align("a.tif", "--gain", "none")
    assert results["a"]["parameters"]["gain"]["path"] is None
    _, results = align("a.tif", "--gain", session / "gain/SuperRef_a.dm4", "--gain-rotate", "90", "--overwrite")
    assert results["a"]["parameters"]["gain"]["found_by"] == ""
    _, results = align("a.tif", "--gain-rotate", "90", "--gain-flip", "none", "--overwrite")
    assert results["a"]["parameters"]["gain"]["orientation"] == "given"
    assert results["a"]["parameters"]["gain"]["found_by"] == "its mdoc names it"


def test_a_reference_that_the_mdoc_names_and_that_is_nowhere(session: Path, tmp_path: Path, align: Any) -> None:
    simulate_movie(SIMULATED).write(tmp_path / "d.tif")
    (tmp_path / "d.tif.mdoc").write_text("[FrameSet = 0]\nGainReference = SuperRef_d.dm4\n")
    done, results = align(tmp_path / "d.tif")
    said = "no gain reference was taken: its mdoc names SuperRef_d.dm4, which is not in the movie's folder"
    assert said in done.stderr
    assert any(said in text for text in results["d"]["warnings"])
