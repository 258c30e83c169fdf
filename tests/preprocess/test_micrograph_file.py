"""Micrographs that exist, in every format that is read."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from preprocess import micrograph_file
from preprocess.errors import PreprocessError, UnreadableMovie, UnsupportedFormat
from preprocess.micrograph_file import open_micrograph
from preprocess.simulation import write_mrc

IMAGE = np.arange(64 * 80, dtype=np.float32).reshape(64, 80)


def written(path: Path, data: np.ndarray, pixel_size: float = 0.0) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(data)
        file.voxel_size = pixel_size
    return path


@pytest.mark.parametrize("dtype", ["f4", "f2", "i2", "u2", "i1"])
def test_any_number_type_of_mrc_is_read_row_0_first(tmp_path, dtype):
    data = (IMAGE % 100).astype(dtype)
    file = open_micrograph(written(tmp_path / "a.mrc", data))
    pixels = file.pixels()
    assert pixels.dtype == np.float32
    assert (file.height, file.width) == (64, 80)
    np.testing.assert_array_equal(pixels - pixels[0, 0], data - data[0, 0].astype(np.float32))


def test_a_tiff_is_read_as_it_lies(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    np.testing.assert_array_equal(open_micrograph(tmp_path / "a.tif").pixels(), IMAGE)


@pytest.mark.parametrize(("said", "known"), [(0.0, None), (1.0, None), (1.25, 1.25)])
def test_a_pixel_size_that_means_nothing_is_not_known(tmp_path, said, known):
    found = open_micrograph(written(tmp_path / "a.mrc", IMAGE, said)).header_pixel_size_angstrom
    assert found == pytest.approx(known) if known else found is None


def test_a_large_image_lies_in_its_file_and_is_not_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(micrograph_file, "MAPPED_FROM_PIXELS", IMAGE.size)
    path = written(tmp_path / "a.mrc", IMAGE)
    before, pixels = path.read_bytes(), open_micrograph(path).pixels()
    assert pixels.base is not None
    np.testing.assert_array_equal(pixels, IMAGE)
    pixels[0, 0] = 5  # numba's compiled code wants arrays that could be written to
    assert path.read_bytes() == before


def test_values_that_no_camera_counts_are_taken_as_they_are(tmp_path):
    np.testing.assert_array_equal(open_micrograph(written(tmp_path / "a.mrc", IMAGE * 1e9)).pixels(), IMAGE * 1e9)


def test_a_few_pixels_that_are_no_numbers_are_left_to_the_estimation(tmp_path):
    few, many = IMAGE.copy(), IMAGE.copy()
    few[:2, :10], many[:4] = np.nan, np.inf
    paths = [tmp_path / "few.mrc", tmp_path / "many.mrc"]
    for path, data in zip(paths, (few, many), strict=True):
        write_mrc(path, [data], frame_count=1, mode=2, pixel_size_angstrom=1.2)
    assert np.isnan(open_micrograph(paths[0]).pixels()).sum() == 20
    with pytest.raises(UnreadableMovie, match="6% of its pixels are no finite numbers"):
        open_micrograph(paths[1]).pixels()


@pytest.mark.parametrize(
    "name", ["movie.mrc", "a.png", "none", "text.mrc", "empty.tif", "gone.mrc", "folder", "cut.mrc"]
)
def test_what_is_no_micrograph_is_refused_with_what_to_do(tmp_path, name):
    written(tmp_path / "movie.mrc", np.stack([IMAGE, IMAGE]))
    (tmp_path / "cut.mrc").write_bytes(written(tmp_path / "whole.mrc", IMAGE).read_bytes()[:-100])
    for junk in ("a.png", "none"):
        (tmp_path / junk).write_bytes(b"\x89PNG")
    (tmp_path / "text.mrc").write_text("hello " * 1000)
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(PreprocessError) as error:
        open_micrograph(tmp_path / name)
    assert name in str(error.value)
    assert error.value.hint.endswith(".")
    assert isinstance(error.value, UnreadableMovie | UnsupportedFormat)
    assert error.value.exit_code == 4
