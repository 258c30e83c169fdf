"""Files of SerialEM that are no movies are left out with the reason, and read once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agents.finding import known_contents
from agents.finding.scan import Scanner
from agents.journal.states import State
from preprocess.layouts import LAYOUTS, Doubt
from preprocess.layouts.contents import MONTAGE, SUMS, why_no_movie
from preprocess.simulation import write_mrc
from tests.agents.finding.found_movies import Found

MONT = "Montage = 1\n[ZValue = 0]\nPieceCoordinates = 0 0 0\n"
TILTS = "[ZValue = 0]\nTiltAngle = 0\nSubFramePath = D:\\TS_01_000_0.0.tif\n"
FRAMES = "[FrameSet = 0]\nTiltAngle = 0\n"


def stack(path: Path, mdoc: str, images: int = 3) -> None:
    write_mrc(path, [np.full((8, 8), 2, np.uint8)] * images, frame_count=images, mode=0)
    path.with_name(f"{path.name}.mdoc").write_text(mdoc)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def counted(path: Path, doubt: Doubt) -> str:
        names.append(path.name)
        return why_no_movie(path, doubt)

    monkeypatch.setattr(known_contents, "why_no_movie", counted)
    return names


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Found]:
    found = Found(tmp_path)
    yield found
    found.close()


def test_each_file_in_doubt_is_read_once_until_it_or_its_mdoc_changes(tmp_path: Path, reads: list[str]) -> None:
    stack(tmp_path / "LMM.mrc", MONT)
    stack(tmp_path / "movie.mrc", FRAMES)
    for name in ("a.tif", "b.eer", "c_fractions.tiff"):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / f"{name}.mdoc").write_text(FRAMES)
    scanner = Scanner(tmp_path, LAYOUTS["auto"])
    for _ in range(3):
        scan = scanner.scan(with_others=True)
        assert set(scan.movies) == {"a.tif", "b.eer", "c_fractions.tiff", "movie.mrc"}
        assert scan.others["LMM.mrc"] == MONTAGE
        assert scan.all_skipped().examples[MONTAGE] == ["LMM.mrc"]
    assert sorted(reads) == ["LMM.mrc", "movie.mrc"]
    (tmp_path / "LMM.mrc.mdoc").write_text(FRAMES + "Binning = 1\n")
    assert "LMM.mrc" in scanner.scan().movies
    assert len(reads) == 3


def test_a_link_to_a_map_is_no_movie(tmp_path: Path) -> None:
    source, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    for folder in (source, elsewhere):
        folder.mkdir()
    stack(elsewhere / "LMM.mrc", MONT)
    for name in ("LMM.mrc", "LMM.mrc.mdoc"):
        (source / name).symlink_to(elsewhere / name)
    scan = Scanner(source, LAYOUTS["auto"], follow_links=True).scan()
    assert scan.movies == {}
    assert scan.not_movies == {"LMM.mrc": MONTAGE}


def test_a_file_that_turns_out_to_be_no_movie_says_so(found: Found) -> None:
    found.write("TS_01.mrc", 3)
    found.discovery.scan_once()
    assert found.exposure("TS_01.mrc").state == State.FOUND
    found.write("TS_01.mrc.mdoc", TILTS)
    found.after(25)
    exposure = found.exposure("TS_01.mrc")
    assert (exposure.state, exposure.reason) == (State.FAILED, f"it is no movie: {SUMS}")
    assert found.discovery.scan_once() is False
