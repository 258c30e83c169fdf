"""Every backend's stack reads movies of every kind as they are: frames, and sums of groups of them, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from cuda_on_host import cuda_on_host

from preprocess.backends.contract import Backend
from preprocess.errors import UnreadableMovie
from preprocess.exposure.acquisition import Acquisition
from preprocess.movies import open_movie
from preprocess.movies.frame_groups import FrameGroups
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, EerSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_eer, write_mrc

FRAMES, HEIGHT, WIDTH = 6, 260, 300
SETTINGS = EerSettings(hardware_frames_per_frame=4)


def counts() -> np.ndarray:
    return np.minimum(np.random.default_rng(9).poisson(0.9, (FRAMES, HEIGHT, WIDTH)), 4).astype(np.uint8)


def tiff(path: Path, **options: object) -> None:
    tifffile.imwrite(path, counts()[:, ::-1], photometric="minisblack", metadata=None, **options)


WRITERS = {
    "a strip a row, LZW": ("a.tif", lambda path: tiff(path, compression="lzw", rowsperstrip=1)),
    "a strip a frame, LZW": ("a.tif", lambda path: tiff(path, compression="lzw", rowsperstrip=HEIGHT)),
    "differences, deflate": ("a.tif", lambda path: tiff(path, compression="zlib", predictor=True, rowsperstrip=3)),
    "a strip a frame, deflate": ("a.tif", lambda path: tiff(path, compression="zlib", rowsperstrip=HEIGHT)),
    "uncompressed": ("a.tif", lambda path: tiff(path, rowsperstrip=50)),
    "MRC": ("a.mrc", lambda path: write_mrc(path, counts(), frame_count=FRAMES, mode=101)),
    "EER": ("a.eer", lambda path: write_eer(path, counts(), hardware_frames_per_frame=4)),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("per_group", [1, 2])
def test_a_stack_reads_a_movie(
    backend: Backend, tmp_path: Path, kind: str, per_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, write = WRITERS[kind]
    if backend.name != "cpu":  # movies this small are for the CPU as a rule
        monkeypatch.setattr("preprocess.backends.cuda.strips.FEWEST_DEFLATE_STRIPS", 2 * FRAMES)
    write(tmp_path / name)
    movie, used, told = open_movie(tmp_path / name, SETTINGS, threads=2), range(1, FRAMES), []
    groups = FrameGroups.of(len(used), per_group)
    stack = grouped = backend.hold(len(used), HEIGHT, WIDTH, movie.dtype)
    if per_group > 1:
        grouped = backend.hold(len(groups), HEIGHT, WIDTH, groups.sum_dtype(movie.dtype))
    remarks = stack.fill(movie, used, groups, grouped, told.append)
    np.testing.assert_array_equal(on_host(stack), counts()[1:])
    assert on_host(stack).dtype == np.uint8
    sums = np.add.reduceat(counts()[1:].astype(np.uint16), [0, *np.cumsum(groups.sizes)[:-1]])
    np.testing.assert_array_equal(on_host(grouped), sums)
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(remarks) == (backend.name != "cpu" and kind == "a strip a frame, deflate")


def on_host(stack: object) -> np.ndarray:
    frames = stack.frames  # type: ignore[attr-defined]
    return frames if type(frames) is np.ndarray else frames.get()


def test_a_corrupt_strip_is_named(backend: Backend, tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", compression="lzw", rowsperstrip=20)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages[3].dataoffsets[6]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset + 20 : offset + 60] = b"\xff" * 40
    (tmp_path / "a.tif").write_bytes(content)
    movie, groups = open_movie(tmp_path / "a.tif", threads=2), FrameGroups.of(FRAMES, 1)
    stack = backend.hold(FRAMES, HEIGHT, WIDTH, movie.dtype)
    with pytest.raises(UnreadableMovie, match="frame 4, strip 7 is corrupt"):
        stack.fill(movie, range(FRAMES), groups, stack, lambda _: None)


def test_the_result_says_who_decoded(tmp_path: Path) -> None:
    simulated = simulate_movie(SimulationSettings(height=128, width=128, frame_count=3, seed=1))
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300, dose_per_frame_e_per_a2=0.8)
    warnings = {}
    with cuda_on_host():
        for compression in ("lzw", "deflate"):
            simulated.write(tmp_path / "a.tiff", compression=compression, rows_per_strip=128)
            done = process_movie(
                tmp_path / "a.tiff", tmp_path, settings=AlignmentSettings(device="cuda:0"), acquisition=known
            )
            warnings[compression] = [one for one in done.warnings if "decoded on the CPU" in one.text]
    assert warnings["lzw"] == []
    assert len(warnings["deflate"]) == 1
