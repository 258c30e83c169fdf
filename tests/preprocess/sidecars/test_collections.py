"""An mdoc about the frames of many movies, under any name, describes each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.exposure.acquisition import read_sidecars
from preprocess.sidecars import content_about, find_sidecars, is_shared, read_sidecar
from tests.preprocess.exposure.test_acquisition import write_movie

FRAMES = "".join(
    f"[FrameSet = {number}]\nPixelSpacing = {number}.5\nSubFramePath = X:\\session\\m_{number}.tif\n"
    for number in range(3)
)


def test_each_movie_gets_its_section(tmp_path: Path) -> None:
    (tmp_path / "20260101_Frames.mdoc").write_text("Voltage = 200\n" + FRAMES)
    for number in range(3):
        (sidecar,) = read_sidecars(write_movie(tmp_path / f"m_{number}.tif"))
        assert (sidecar.voltage_kv, sidecar.pixel_size_angstrom) == (200, number + 0.5)
    assert find_sidecars(tmp_path / "m_3.tif") == []
    movie = tmp_path / "m_1.tif"
    assert find_sidecars(movie, with_collections=False) == []
    (path,) = find_sidecars(movie)
    assert is_shared(path, movie)
    before = content_about(path, movie)
    path.write_text("Voltage = 200\n" + FRAMES + "[FrameSet = 3]\nSubFramePath = X:\\m_3.tif\n")
    assert content_about(path, movie) == before is not None


@pytest.mark.parametrize("name", ["m_0.mdoc", "m_0.tif.mdoc", "LMM.mrc.mdoc"])
def test_an_mdoc_of_another_movie_or_image_is_none(tmp_path: Path, name: str) -> None:
    for each in ("m_0.tif", "m_1.tif", "LMM.mrc"):
        (tmp_path / each).touch()
    (tmp_path / name).write_text(FRAMES)
    assert find_sidecars(tmp_path / "m_1.tif") == []


def test_a_movie_s_own_mdoc_wins(tmp_path: Path) -> None:
    (tmp_path / "Frames.mdoc").write_text(FRAMES)
    own = tmp_path / "m_1.tif.mdoc"
    own.write_text("[FrameSet = 0]\nPixelSpacing = 7\n")
    assert find_sidecars(tmp_path / "m_1.tif") == [own]
    said = read_sidecar(own, tmp_path / "m_1.tif")
    assert said is not None
    assert said.pixel_size_angstrom == 7
