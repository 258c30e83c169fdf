"""Movies that kernels in C and numba's align: the same motion and the same micrograph, as docs/alignment.md states."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.alignment.field_error import field_error
from benchmarks.alignment.motion_fields import PolynomialField
from preprocess.backends.compiled.chosen_kernels import KERNELS_VARIABLE
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings, CtfSettings, EerSettings, FrameSettings, GainSettings
from preprocess.simulation import SimulatedMovie, SimulationSettings, simulate_movie, write_mrc

SHIFTS_PX = 1e-4
LEAST_CORRELATION = 1 - 1e-7
FIELD_ERROR = 1e-3

SIZE, FRAMES = (448, 512), 8
EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=0.83)
PLAIN = AlignmentSettings(device="cpu", threads=2, ctf=CtfSettings(wanted=False), gain=GainSettings(absent=True))


@dataclass(frozen=True)
class Aligned:
    """What was found in a movie."""

    shifts: NDArray[np.float64]
    micrograph: NDArray[np.float64]
    motion: dict[str, Any]


@pytest.fixture(scope="module")
def movie() -> SimulatedMovie:
    settings = SimulationSettings(
        height=SIZE[0], width=SIZE[1], frame_count=FRAMES, seed=2, local_motion_px=1.5, hot_pixels_per_million=200
    )
    return simulate_movie(settings)


@pytest.fixture(scope="module")
def folder(movie: SimulatedMovie, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the movie as TIFF and EER, which need a gain reference, and as MRC of float16."""
    folder = tmp_path_factory.mktemp("movies")
    movie.write(folder / "bytes.tiff")
    movie.write(folder / "events.eer", hardware_frames_per_frame=8)
    movie.write_gain(folder / "bytes_gain.mrc", movie_format="tiff")
    movie.write_gain(folder / "events_gain.gain", movie_format="eer")
    gain = movie.gain
    assert gain is not None
    write_mrc(folder / "halves.mrc", (frame * gain for frame in movie.frames()), frame_count=FRAMES, mode=12)
    return folder


def aligned(movie: Path, settings: AlignmentSettings, out: Path) -> Aligned:
    result = process_movie(movie, out, settings=settings, acquisition=EXPOSURE)
    micrograph = result.file("micrograph")
    assert micrograph is not None
    motion = json.loads((out / f"{movie.stem}.json").read_text("utf-8"))["motion"]
    return Aligned(
        np.stack([result.shifts_y_px, result.shifts_x_px]), mrcfile.read(micrograph).astype(np.float64), motion
    )


def error_px(found: Aligned, movie: SimulatedMovie) -> float:
    local = found.motion["local"]
    assert local["used"]
    coefficients = np.stack([local["coefficients_y_px"], local["coefficients_x_px"]], axis=1)
    return field_error(PolynomialField(*SIZE, coefficients), movie.truth).field_px


@pytest.mark.usefixtures("in_c")
@pytest.mark.parametrize(
    ("name", "gain", "more"),
    [
        ("bytes.tiff", "bytes_gain.mrc", {"frames": FrameSettings(group=2)}),
        ("halves.mrc", None, {}),
        ("events.eer", "events_gain.gain", {"eer": EerSettings(hardware_frames_per_frame=8)}),
    ],
)
def test_a_movie_with_both_kinds_of_kernels(
    movie: SimulatedMovie, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, gain: str | None, more: dict[str, Any],
) -> None:  # fmt: skip
    settings = replace(PLAIN, **more) if gain is None else replace(PLAIN, gain=GainSettings(path=folder / gain), **more)
    found = []
    for kind, are_in_c in (("", True), ("numba", False)):
        monkeypatch.setenv(KERNELS_VARIABLE, kind)
        assert KernelSet().are_compiled == are_in_c
        found.append(aligned(folder / name, settings, tmp_path / f"by{kind}"))
    in_c, expected = found
    np.testing.assert_allclose(in_c.shifts, expected.shifts, rtol=0, atol=SHIFTS_PX)
    assert np.abs(expected.shifts).max() > 1
    assert np.corrcoef(in_c.micrograph.ravel(), expected.micrograph.ravel())[0, 1] >= LEAST_CORRELATION
    assert error_px(in_c, movie) == pytest.approx(error_px(expected, movie), rel=FIELD_ERROR)
