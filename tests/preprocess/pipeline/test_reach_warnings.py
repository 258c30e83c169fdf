"""A specimen that leaves the search range is named, though what is left of the movie fits together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preprocess.alignment.frame_judgement import EMPTY, FOREIGN, LeftOutFrame
from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline.process_movie import process_movie
from preprocess.pipeline.reach_warnings import reach_warnings
from preprocess.settings import AlignmentSettings
from preprocess.simulation import SimulationSettings, simulate_movie, write_mrc

COUNT, SIDE = 10, 256
EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=3.0)


def codes(folder: Path, motion_px: float) -> list[str]:
    scene = SimulationSettings(
        height=SIDE, width=SIDE, frame_count=COUNT, seed=3, gain=False, dose_per_frame_e_per_a2=4.0, motion_px=motion_px
    )
    write_mrc(folder / "m.mrc", list(simulate_movie(scene).frames()), frame_count=COUNT, mode=0)
    settings = AlignmentSettings(device="cpu", threads=1)
    result = process_movie(folder / "m.mrc", folder / "out", settings=settings, acquisition=EXPOSURE)
    return [warning.code for warning in result.warnings]


def test_drift_out_of_reach_is_said_once(tmp_path: Path) -> None:
    assert codes(tmp_path, 160.0).count("drift-out-of-reach") == 1


def test_drift_in_reach_is_no_reason_for_doubt(tmp_path: Path) -> None:
    assert codes(tmp_path, 40.0) == []


@pytest.mark.parametrize(
    ("place", "reason", "px", "named"),
    [(8, FOREIGN, 50, True), (8, FOREIGN, 10, False), (8, EMPTY, 50, False), (4, FOREIGN, 50, False)],
)
def test_foreign_frames_beside_a_far_end_show_it(place: int, reason: str, px: float, named: bool) -> None:
    kept = np.delete(np.arange(9), place)
    shifts = np.linspace(-px, px, 8)[:, None] * [0.5, 1]
    found = reach_warnings(shifts, kept, [LeftOutFrame(place, reason)], (512, 2048))
    assert [warning.code for warning in found] == ["drift-out-of-reach"] * named
