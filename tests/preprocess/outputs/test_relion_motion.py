"""The local model in RELION's STAR: evaluated by RELION's own formula, it is the field but for the stated residual."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import starfile

from preprocess.exposure.acquisition import Acquisition
from preprocess.geometry.field import DisplacementField, terms_at
from preprocess.outputs.motion_star import MotionStar, motion_star
from preprocess.outputs.motioncor_logs import full_log, patch_log
from preprocess.outputs.relion_motion import relion_motion
from preprocess.pipeline.process_movie import process_movie
from preprocess.settings import AlignmentSettings
from preprocess.simulation import SimulationSettings, simulate_movie

FRAMES = 30


def relion_s_formula(c: np.ndarray, z: float, x: float, y: float) -> tuple[float, float]:
    """The shift (x, y) of RELION's third-order polynomial, written out as in its motion model."""

    def axis(c: np.ndarray) -> float:
        return (
            (c[0] * z + c[1] * z**2 + c[2] * z**3)
            + (c[3] * z + c[4] * z**2 + c[5] * z**3) * x
            + (c[6] * z + c[7] * z**2 + c[8] * z**3) * x**2
            + (c[9] * z + c[10] * z**2 + c[11] * z**3) * y
            + (c[12] * z + c[13] * z**2 + c[14] * z**3) * y**2
            + (c[15] * z + c[16] * z**2 + c[17] * z**3) * x * y
        )

    return axis(c[:18]), axis(c[18:])


def smooth_field(powers: int, seed: int = 1, terms: int = 6) -> DisplacementField:
    """A field whose local terms are polynomials in time of that order, and whose mean jumps about."""
    random = np.random.default_rng(seed)
    t = np.arange(FRAMES) / FRAMES
    courses = np.stack([t ** (power + 1) for power in range(powers)], 1)
    fields = []
    for _ in range(2):
        local = courses @ random.normal(0, 2, (powers, terms))
        local[:, 0] += random.normal(0, 3, FRAMES)
        fields.append(local)
    return DisplacementField(*fields)


def residuals(field: DisplacementField) -> tuple[np.ndarray, float]:
    """Differences from the field, (frames, places, axes), and what is said about them."""
    told = relion_motion(field)
    relative = field.relative_to_first()
    places = (np.arange(16) + 0.5) / 16 - 0.5
    found = []
    for t in range(FRAMES):
        for y in places:
            for x in places:
                terms = terms_at(y, x, field.terms)
                local = (0.0, 0.0) if told.coefficients is None else relion_s_formula(told.coefficients, t, x, y)
                found.append(
                    (
                        local[0] + told.shifts[t, 1] + relative.x[t] @ terms,
                        local[1] + told.shifts[t, 0] + relative.y[t] @ terms,
                    )
                )
    return np.array(found), told.residual_rms_px


def test_a_field_of_relion_s_own_kind_is_kept_whole():
    found, told = residuals(smooth_field(3))
    assert np.abs(found).max() < 1e-9
    assert told < 1e-9


def test_what_relion_cannot_express_is_said():
    found, told = residuals(smooth_field(7))
    assert told == pytest.approx(np.sqrt((found**2).mean()), rel=0.02)
    assert 0.001 < told < 0.2


def test_what_no_quadratic_expresses_is_said_too():
    found, told = residuals(smooth_field(3, terms=21))
    assert told == pytest.approx(np.sqrt((found**2).mean()), rel=0.05)
    assert 0.01 < told < 0.5


def test_motion_that_is_the_same_everywhere_needs_no_local_model():
    shifts = np.random.default_rng(2).normal(0, 3, (FRAMES, 2))
    told = relion_motion(DisplacementField.whole_frame(shifts))
    assert told.coefficients is None
    assert told.residual_rms_px == 0
    np.testing.assert_allclose(told.shifts, shifts[0] - shifts)


def star(field: DisplacementField) -> str:
    return motion_star(
        MotionStar(
            movie_name="m.tiff",
            gain_name=None,
            defects_name=None,
            width=512,
            height=384,
            frame_count=FRAMES + 2,
            first_frame=3,
            bin_factor=1,
            pixel_size_angstrom=1.1,
            dose_per_frame_e_per_a2=1.0,
            pre_exposure_e_per_a2=0.0,
            voltage_kv=300.0,
            hardware_frames_per_frame=None,
            eer_upsampling=1,
            motion=relion_motion(field),
            hot_pixels=np.zeros((0, 2), np.int64),
        )
    )


def test_the_star_holds_the_model(tmp_path):
    field = smooth_field(5)
    (tmp_path / "m.star").write_text(star(field))
    blocks = starfile.read(tmp_path / "m.star")
    assert list(blocks) == ["general", "global_shift", "local_motion_model"]
    assert blocks["general"]["rlnMotionModelVersion"] == 1
    model = blocks["local_motion_model"]
    assert model["rlnMotionModelCoeffsIdx"].tolist() == list(range(36))
    told = relion_motion(field)
    assert told.coefficients is not None
    written = model["rlnMotionModelCoeff"].to_numpy()
    for t in (0, 7, FRAMES - 1):
        np.testing.assert_allclose(
            relion_s_formula(written, t, 0.4, -0.3), relion_s_formula(told.coefficients, t, 0.4, -0.3), atol=1e-3
        )
    assert blocks["global_shift"]["rlnMicrographFrameNumber"].tolist() == list(range(3, FRAMES + 3))


def test_motioncor_s_logs_add_up_to_the_field():
    field = smooth_field(5)
    full = np.loadtxt(io.StringIO(full_log(field, 3)))
    np.testing.assert_array_equal(full[:, 0], np.arange(3, FRAMES + 3))
    patches = np.loadtxt(io.StringIO(patch_log(field, (384, 512), (3, 2), 3))).reshape(6, FRAMES, 6)
    np.testing.assert_array_equal(patches[:, 0, 1], np.tile([85.33, 256, 426.67], 2))
    np.testing.assert_array_equal(patches[:, 0, 2], np.repeat([96, 288], 3))
    relative = field.relative_to_first()
    for patch in patches:
        x, y = patch[0, 1] / 512 - 0.5, patch[0, 2] / 384 - 0.5
        terms = np.array([1, x, x * x, y, y * y, x * y])
        np.testing.assert_allclose(full[:, 1] + patch[:, 3], -relative.x @ terms, atol=0.02)
        np.testing.assert_allclose(full[:, 2] + patch[:, 4], -relative.y @ terms, atol=0.02)


def test_logs_and_model_are_written_of_a_movie_with_local_motion(tmp_path):
    simulate_movie(
        SimulationSettings(height=768, width=896, frame_count=10, seed=6, local_motion_px=2.5, gain=False)
    ).write(tmp_path / "m.mrcs")
    settings = AlignmentSettings(device="cpu", threads=2, motioncor_logs=True, patches=(4, 3))
    known = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=2.5)
    result = process_movie(tmp_path / "m.mrcs", tmp_path / "out", settings=settings, acquisition=known)
    told = json.loads(result.file("results").read_text())["motion"]
    assert told["local"]["used"]
    assert 0 <= told["relion_model_residual_rms_px"] < 0.3
    blocks = starfile.read(result.file("motion_star"))
    assert blocks["general"]["rlnMotionModelVersion"] == 1
    field = DisplacementField(
        np.array(told["local"]["coefficients_y_px"]), np.array(told["local"]["coefficients_x_px"])
    )
    written = blocks["local_motion_model"]["rlnMotionModelCoeff"].to_numpy()
    shifts = blocks["global_shift"]
    for t, (x, y) in ((9, (0.4, -0.4)), (5, (-0.3, 0.2))):
        dx, dy = relion_s_formula(written, t, x, y)
        terms = terms_at(y, x, field.terms)
        worst = 4 * told["relion_model_residual_rms_px"] + 0.02
        assert shifts["rlnMicrographShiftX"][t] + dx == pytest.approx(-field.x[t] @ terms, abs=worst)
        assert shifts["rlnMicrographShiftY"][t] + dy == pytest.approx(-field.y[t] @ terms, abs=worst)
    assert result.file("motion_log").name == "m-Full.log"
    assert len(np.loadtxt(result.file("patch_motion_log"))) == 120
    last = max((tmp_path / "out").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert last.name == "m.json"
