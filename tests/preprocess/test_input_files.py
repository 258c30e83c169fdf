"""Files that others wrote may be anything: a pipe, too large, of an unknown encoding. None of that holds us up."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from preprocess.correction.defect_files import load_defects
from preprocess.correction.reference_image import first_image
from preprocess.errors import DefectMismatch, UnreadableMovie
from preprocess.input_files import MOST_TEXT_BYTES, open_regular, read_small, read_small_text
from preprocess.movies import open_movie
from preprocess.movies.structure import missing_structure
from preprocess.sidecars import SidecarUnreadableError, read_sidecar

MOVIE = Path("movie.tif")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.mrc"
    os.mkfifo(path)
    return path


def test_a_pipe_without_a_writer_is_refused_at_once(pipe: Path) -> None:
    for opens in (open_regular, read_small, first_image, missing_structure):
        with pytest.raises(OSError, match="it is a pipe or a device") as caught:
            opens(pipe)
        assert caught.value.errno == errno.EINVAL
    with pytest.raises(UnreadableMovie, match="it is a pipe or a device"):
        open_movie(pipe)
    with pytest.raises(DefectMismatch, match="it is a pipe or a device"):
        load_defects(pipe.rename(pipe.with_suffix(".txt")), (8, 8))


@pytest.mark.parametrize("name", ["a.xml", "a.mdoc", "a.txt"])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    os.truncate(path, 8 << 30)
    with pytest.raises((SidecarUnreadableError, DefectMismatch), match="it has more than"):
        load_defects(path, (8, 8)) if name == "a.txt" else read_sidecar(path, MOVIE)


def test_a_file_may_have_as_many_bytes_as_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345678")
    assert read_small(tmp_path / "a", 8) == b"12345678"
    with pytest.raises(OSError, match="it has more than 7 bytes") as caught:
        read_small(tmp_path / "a", 7)
    assert caught.value.errno == errno.EFBIG
    assert MOST_TEXT_BYTES > 1 << 24


@pytest.mark.parametrize("head", ['encoding="x-odd"', 'encoding="big5"', 'encoding="rot13"', 'encoding="utf-16"'])
def test_xml_is_read_whatever_encoding_it_names(tmp_path: Path, head: str) -> None:
    (tmp_path / "a.xml").write_text(f'<?xml version="1.0" {head}?><MicroscopeImage/>')
    assert read_sidecar(tmp_path / "a.xml", MOVIE) is not None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_text_is_read_in_the_encoding_that_it_says(tmp_path: Path, encoding: str) -> None:
    text = "Voltage = 300\nPixelSpacing = 0.83\n"
    (tmp_path / "a.mdoc").write_text(text, encoding=encoding)
    assert read_small_text(tmp_path / "a.mdoc") == text
    sidecar = read_sidecar(tmp_path / "a.mdoc", MOVIE)
    assert sidecar is not None
    assert (sidecar.voltage_kv, sidecar.pixel_size_angstrom) == (300.0, 0.83)
