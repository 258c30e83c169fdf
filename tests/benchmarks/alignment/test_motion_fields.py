"""Programs' own models of motion, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.alignment.field_error import (
    FieldError,
    error_field,
    field_error,
    grid_places,
    summarised,
    true_displacement,
)
from benchmarks.alignment.motion_fields import PolynomialField, relion_field, whole_frame_field
from benchmarks.alignment.star_file import read_star
from benchmarks.errors import ResultUnreadable
from preprocess.simulation import SimulationSettings, simulate_movie

GENERAL = """
# version 30001

data_general

_rlnImageSizeX                                       200
_rlnImageSizeY                                       100
_rlnImageSizeZ                                         3
_rlnMicrographMovieName                     "a b.tiff"
_rlnMotionModelVersion                               1


# version 30001

data_global_shift

loop_
_rlnMicrographFrameNumber #1
_rlnMicrographShiftX #2
_rlnMicrographShiftY #3
           1     0.000000     0.000000
           2    -1.000000     2.000000
           3    -3.000000     4.000000
"""


def star(tmp_path, coefficients):
    rows = "".join(f"{index:12d} {value:12.6f} \n" for index, value in enumerate(coefficients))
    model = f"data_local_motion_model\n\nloop_ \n_rlnMotionModelCoeffsIdx #1 \n_rlnMotionModelCoeff #2 \n{rows}"
    path = tmp_path / "a.star"
    path.write_text(GENERAL + ("\n# version 30001\n\n" + model if coefficients else ""))
    return path


def at(field, frame, y, x):
    dy, dx = field.displacement(frame, np.array([float(y)]), np.array([float(x)]))
    return float(dy[0]), float(dx[0])


def test_global_shifts_are_the_negative_of_the_displacement(tmp_path):
    field = relion_field(star(tmp_path, []))
    assert (field.frame_count, field.height, field.width) == (3, 100, 200)
    assert at(field, 0, 10, 10) == (0, 0)
    assert at(field, 2, 10, 10) == (-4, 3)


def test_the_local_model_by_hand(tmp_path):
    """X: 0.5 z² x + 0.1 z y²; Y: 2 z - z³ x y, at the place (75, 150), where y = x = 0.25."""
    coefficients = [0.0] * 36
    coefficients[3 * 1 + 1] = 0.5  # x, z²
    coefficients[3 * 4 + 0] = 0.1  # y², z
    coefficients[18 + 0] = 2.0  # 1, z
    coefficients[18 + 3 * 5 + 2] = -1.0  # x y, z³
    path = star(tmp_path, coefficients)
    dy, dx = at(relion_field(path), 2, 75, 150)
    assert dx == pytest.approx(3 - (0.5 * 4 * 0.25 + 0.1 * 2 * 0.0625))
    assert dy == pytest.approx(-4 - (2 * 2 - 8 * 0.0625))
    assert at(relion_field(path, with_local_model=False), 2, 75, 150) == (-4, 3)
    assert at(relion_field(path), 0, 75, 150) == (0, 0)


def test_a_polynomial_s_terms_by_hand():
    coefficients = np.zeros((1, 2, 6))
    coefficients[0, 0] = [1, 2, 3, 4, 5, 6]
    dy, dx = at(PolynomialField(100, 200, coefficients), 0, 20, 150)  # y = -0.3, x = 0.25
    assert dy == pytest.approx(1 + 2 * 0.25 + 3 * 0.0625 - 4 * 0.3 + 5 * 0.09 - 6 * 0.075)
    assert dx == 0


@pytest.mark.parametrize("text", [None, "", "data_general\n\n_rlnImageSizeX 3\n", "data_a\n\nloop_\n_b #1\n1 2\n"])
def test_what_is_no_result_of_relion_s_is_refused(tmp_path, text):
    path = tmp_path / "a.star"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ResultUnreadable, match=r"a\.star"):
        relion_field(path)


def test_a_quoted_value_is_one_value(tmp_path):
    assert read_star(star(tmp_path, []))["general"]["rlnMicrographMovieName"] == ["a b.tiff"]


def test_only_what_blurs_counts():
    """Errors (y, x) of two frames at two places; each place's mean over time is no error."""
    errors = np.zeros((2, 2, 2))
    errors[:, 0, 0] = [5, 7]  # after its mean: -1, 1
    errors[:, 0, 1] = [3, 3]
    found = summarised(errors)
    assert found.field_px == pytest.approx(np.sqrt(2 / 8))
    assert found.whole_frame_px == pytest.approx(0.5 / np.sqrt(2))  # y: -0.5, 0.5; x: 0
    assert found.field_px**2 == pytest.approx(found.whole_frame_px**2 + found.local_px**2)


@pytest.mark.parametrize("kind", ["quadratic", "doming", "rough"])
def test_the_truth_has_no_error_and_a_known_one_is_found(kind):
    movie = simulate_movie(
        SimulationSettings(height=300, width=400, frame_count=6, local_motion_px=3.0, local_motion_kind=kind, seed=5)
    )

    class TruthMoved:
        frame_count = 6

        def displacement(self, frame_index, y, x):
            dy, dx = true_displacement(movie.truth, frame_index, y, x)
            return dy + (-1) ** frame_index * 0.3, dx + 7.0

    found = field_error(TruthMoved(), movie.truth)
    assert found == FieldError(pytest.approx(0.3 / np.sqrt(2)), pytest.approx(0.3 / np.sqrt(2)), pytest.approx(0))
    y, x = grid_places(300, 400)
    dy, dx = true_displacement(movie.truth, 5, y, x)
    back_y, back_x = movie.truth.displacement(5, y + dy, x + dx)
    np.testing.assert_allclose([back_y, back_x], [dy, dx], atol=1e-4)
    still = field_error(whole_frame_field(300, 400, movie.truth.shifts_yx_px), movie.truth)
    assert still.whole_frame_px < 0.3 * still.local_px


def test_the_grid_lies_in_the_middles_of_its_parts():
    y, x = grid_places(130, 260)
    assert (len(y), y[0], y[-1], x[0], x[-1], x[1]) == (169, 5, 125, 10, 250, 30)


def test_errors_have_the_estimate_s_sign():
    movie = simulate_movie(SimulationSettings(height=64, width=64, frame_count=3))
    field = whole_frame_field(64, 64, movie.truth.shifts_yx_px + np.array([1.0, -2.0]))
    np.testing.assert_allclose(error_field(field, movie.truth).mean(axis=(0, 2)), [1, -2])
