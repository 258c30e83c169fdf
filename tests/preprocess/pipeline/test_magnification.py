"""Anisotropic magnification: one axis is stretched, as MotionCor's `-Mag` does, and everything else stays."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import typer

from preprocess.commands.options import chosen_alignment
from preprocess.geometry.field import DisplacementField
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.simulation import write_mrc

HEIGHT, WIDTH = 256, 384
PLACES = [(60.0, 90.0), (70.0, 300.0), (190.0, 110.0), (200.0, 310.0)]


def motioncor_s_matrix(stretch: float, angle_degrees: float) -> np.ndarray:
    """Where (x, y) from the middle goes, rows counted from 0 down; written out as in MotionCor3's GStretch::Setup."""
    twice = 2 * np.deg2rad(-angle_degrees)
    plus, minus = 0.5 * (stretch + 1), 0.5 * (stretch - 1)
    return np.array(
        [
            [plus + minus * np.cos(twice), minus * np.sin(twice)],
            [minus * np.sin(twice), plus - minus * np.cos(twice)],
        ]
    )


def align(folder: Path, **magnification: float) -> ProcessedMovie:
    y, x = np.indices((HEIGHT, WIDTH))
    spots = sum(np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / 18) for at_y, at_x in PLACES)
    write_mrc(folder / "m.mrc", (spots.astype(np.float32) for _ in range(3)), frame_count=3, mode=2)
    chosen = chosen_alignment(
        pixel_size=1.0, dose_weighting=False, find_defects=False, patches="1x1", float32=True, **magnification
    )
    return process_movie(folder / "m.mrc", folder / "out", settings=chosen.settings, acquisition=chosen.flags)


def found(image: np.ndarray, near: tuple[float, float]) -> tuple[float, float]:
    """The middle of the spot that is near a place."""
    top, left = round(near[0]) - 14, round(near[1]) - 14
    window = image[top : top + 29, left : left + 29].astype(np.float64)
    y, x = np.indices(window.shape)
    return top + (window * y).sum() / window.sum(), left + (window * x).sum() / window.sum()


@pytest.mark.parametrize(("major", "minor", "angle"), [(1.02, 1.0, 30.0), (1.0, 1.01, -70.0)])
def test_spots_go_where_motioncor_s_matrix_sends_them(tmp_path: Path, major: float, minor: float, angle: float) -> None:
    result = align(tmp_path, mag_major=major, mag_minor=minor, mag_angle=angle)
    image = mrcfile.read(result.file("micrograph"))
    for y, x in PLACES:
        expected_x, expected_y = motioncor_s_matrix(major / minor, angle) @ (x - WIDTH / 2, y - HEIGHT / 2)
        assert found(image, (y, x)) == pytest.approx((expected_y + HEIGHT / 2, expected_x + WIDTH / 2), abs=0.05)
    told = json.loads(result.file("results").read_text())
    assert told["parameters"]["magnification"] == {"major": major, "minor": minor, "angle_degrees": angle}
    assert np.abs(told["motion"]["shifts_x_px"]).max() < 1e-3


def test_more_than_a_microscope_s_anisotropy_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="differ by more than 3%"):
        chosen_alignment(mag_major=1.5)


def test_motion_is_undone_where_content_comes_from() -> None:
    random = np.random.default_rng(1)
    field = DisplacementField(random.normal(0, 2, (2, 21)), random.normal(0, 2, (2, 21)))
    stretched = field.stretched(1.02, 20.0, (300, 400))
    x, y = 0.3, -0.2
    from_x, from_y = np.linalg.solve(motioncor_s_matrix(1.02, 20.0), [x * 400, y * 300])
    expected = field.at(from_y / 300, from_x / 400) + np.array([from_y - y * 300, from_x - x * 400])
    assert stretched.at(y, x) == pytest.approx(expected, abs=1e-6)
    assert stretched.columns_at_once(400) < DisplacementField.whole_frame(np.zeros((2, 2))).columns_at_once(400)
