"""Deflate that a stand-in for nvCOMP decompresses comes out as the CPU makes it, or the CPU says what is wrong."""

from __future__ import annotations

import logging
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cuda_on_host import CudaOnHost, cuda_on_host
from encoded_files import write_tiff_of_strips
from nvcomp_on_host import NvcompOnHost

from preprocess.backends.compiled.chosen_kernels import NVCOMP_VARIABLE
from preprocess.errors import UnreadableMovie
from preprocess.movies import open_movie
from preprocess.movies.frame_groups import FrameGroups

COMPILER = shutil.which("gcc") or shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler for the stand-in")
HEIGHT, WIDTH, FRAMES = 50, 130, 3


@pytest.fixture(name="cuda", scope="module")
def _cuda():
    with cuda_on_host() as cuda:
        yield cuda


@pytest.fixture
def nvcomp(cuda: CudaOnHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NvcompOnHost:
    stand_in = NvcompOnHost(tmp_path / "packages", COMPILER or "")
    monkeypatch.syspath_prepend(stand_in.folder)
    monkeypatch.setenv(NVCOMP_VARIABLE, "on")
    cuda.module("nvcomp").load_nvcomp.cache_clear()
    cuda.module("inflating")._say_once.cache_clear()
    cuda.device.launches.clear()
    return stand_in


def counts() -> np.ndarray:
    return np.random.default_rng(5).poisson(0.9, (FRAMES, HEIGHT, WIDTH)).astype(np.uint8)


def written(path: Path, **more: object) -> Path:
    tifffile.imwrite(path, counts(), compression="zlib", rowsperstrip=7, photometric="minisblack", **more)
    return path


def frames_of(cuda: CudaOnHost, path: Path) -> np.ndarray:
    movie = open_movie(path)
    stack = cuda.backend().hold(movie.frame_count, movie.height, movie.width, movie.dtype)
    stack.fill(movie, range(movie.frame_count), FrameGroups.of(movie.frame_count, 1), stack, lambda _: None)
    return stack.frames.get()


@pytest.mark.parametrize("predictor", [False, True])
def test_frames_are_those_of_the_cpu(cuda, nvcomp, tmp_path, caplog, predictor):
    path = written(tmp_path / "a.tif", predictor=predictor)
    np.testing.assert_array_equal(frames_of(cuda, path), np.stack(list(open_movie(path).frames())))
    assert nvcomp.calls == 1
    assert "inflate_strips" not in cuda.device.launches
    assert "decoded" not in caplog.text, "no frame is for the CPU"


@pytest.mark.parametrize("switch", ["off", None])
def test_it_is_off_unless_it_is_wanted(cuda, nvcomp, tmp_path, monkeypatch, switch):
    monkeypatch.delenv(NVCOMP_VARIABLE) if switch is None else monkeypatch.setenv(NVCOMP_VARIABLE, switch)
    frames_of(cuda, written(tmp_path / "a.tif"))
    assert nvcomp.calls == 0


@pytest.mark.parametrize("place", [20, -1, 1], ids=["deflate", "checksum", "header"])
def test_a_damaged_strip_is_an_error_as_on_the_cpu(cuda, nvcomp, tmp_path, place):
    path = written(tmp_path / "a.tif")
    with tifffile.TiffFile(path) as file:
        page = file.pages[1]
        strip = page.dataoffsets[2] + (place if place >= 0 else page.databytecounts[2] + place)
    content = bytearray(path.read_bytes())
    content[strip] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(UnreadableMovie) as on_cpu:
        list(open_movie(path).frames())
    with pytest.raises(UnreadableMovie) as on_device:
        frames_of(cuda, path)
    assert str(on_device.value) == str(on_cpu.value)
    assert nvcomp.calls == 1


def test_bytes_that_are_wrong_without_a_status_are_made_again_by_the_cpu(cuda, nvcomp, tmp_path, caplog):
    path = written(tmp_path / "a.tif")
    nvcomp.spoils = 3
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(frames_of(cuda, path), np.stack(list(open_movie(path).frames())))
    assert "frame 2 was decoded by the CPU after all" in caplog.text


def test_strips_that_become_too_much_or_too_little_are_refused(cuda, nvcomp, tmp_path):
    for change in (1, -1):
        rows = [bytes(WIDTH + change * (row == 3)) for row in range(HEIGHT)]
        path = tmp_path / f"{change}.tif"
        strips = [zlib.compress(row) for row in rows]
        write_tiff_of_strips(path, [strips] * 2, (HEIGHT, WIDTH), 8, rows_per_strip=1)
        with pytest.raises(UnreadableMovie):
            frames_of(cuda, path)


def test_one_that_is_another_version_is_not_used_and_it_is_said_once(cuda, nvcomp, tmp_path, caplog):
    nvcomp.be_version(5001)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            frames_of(cuda, written(tmp_path / "a.tif"))
    assert caplog.text.count("nvCOMP 5 is installed, and cryoferry knows version 6") == 1
    assert nvcomp.calls == 0


def test_without_it_the_packages_are_named(cuda, nvcomp, tmp_path, caplog):
    nvcomp.path.unlink()
    with caplog.at_level(logging.WARNING):
        frames_of(cuda, written(tmp_path / "a.tif"))
    assert "nvCOMP is not installed (nvidia-libnvcomp-cu12 or -cu13, version 6)" in caplog.text
