"""Which estimates deserve a sentence, and that usual ones get none."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from preprocess.ctf.estimate import CtfEstimate, IceFigures, RadialProfile
from preprocess.pipeline.ctf_warnings import ctf_warnings

USUAL = CtfEstimate(
    defocus_u_angstrom=12_500.0,
    defocus_v_angstrom=12_100.0,
    angle_degrees=-30.0,
    phase_shift_degrees=0.0,
    phase_shift_searched=False,
    fit_resolution_angstrom=3.5,
    score=0.4,
    sigma_angstrom=12.0,
    sigma_astigmatism_angstrom=15.0,
    significance=40.0,
    margin=200.0,
    reliable=True,
    reason="",
    tilt_degrees=None,
    tilt_axis_degrees=None,
    thickness_angstrom=None,
    ice=IceFigures(ring_density=3.0, relative_thickness=1.05, iciness=0.7),
    profile=RadialProfile(**{field.name: np.ones(5) for field in fields(RadialProfile)}),
    measured_spectrum=np.ones((9, 5), np.float32),
    fitted_spectrum=np.ones((9, 5), np.float32),
    frequency_step_per_angstrom=0.001,
    tile_count=49,
)


def codes(ctf: CtfEstimate, target: float | None = None) -> list[str]:
    return [warning.code for warning in ctf_warnings(ctf, target)]


@pytest.mark.parametrize("target", [None, 10_000.0, 15_000.0])
def test_a_usual_micrograph_gets_no_sentence(target: float | None) -> None:
    assert codes(USUAL, target) == []
    assert codes(replace(USUAL, defocus_u_angstrom=12_900.0), target) == []
    assert codes(replace(USUAL, fit_resolution_angstrom=8.0), target) == []


@pytest.mark.parametrize(
    ("changed", "code", "says"),
    [
        ({"reliable": False, "reason": "No rings stand out."}, "ctf-unreliable", "No rings stand out"),
        ({"fit_resolution_angstrom": 14.0}, "ctf-poor", "14.0 Å"),
        ({"defocus_u_angstrom": 14_500.0}, "astigmatism-large", "2400 Å"),
    ],
)
def test_what_is_wrong_and_what_to_try(changed: dict, code: str, says: str) -> None:
    (warning,) = ctf_warnings(replace(USUAL, **changed), None)
    assert warning.code == code
    assert says in warning.text
    assert not warning.text.endswith(".")


def test_a_defocus_far_off_the_intended_one() -> None:
    (warning,) = ctf_warnings(USUAL, 30_000.0)
    assert warning.code == "defocus-off-target"
    assert "1.23 µm, but 3.00 µm was intended" in warning.text
    assert codes(USUAL, 6_000.0) == ["defocus-off-target"]
    assert codes(USUAL, 9_000.0) == []
    low = replace(USUAL, defocus_u_angstrom=2_000.0, defocus_v_angstrom=1_900.0)
    assert codes(low, 5_000.0) == [], "a few tenths of a µm are usual"


def test_figures_that_are_not_sure_give_no_sentence() -> None:
    vague = replace(USUAL, defocus_u_angstrom=14_000.0, sigma_astigmatism_angstrom=200.0)
    assert codes(vague) == []


@pytest.mark.parametrize("is_reliable", [True, False])
def test_crystals_are_named_whether_or_not_rings_show_beside_them(is_reliable: bool) -> None:
    ice = IceFigures(ring_density=13.0, relative_thickness=2.1, iciness=2.0)
    found = codes(replace(USUAL, ice=ice, reliable=is_reliable, reason="x"))
    assert found == ["ice-crystalline"] if is_reliable else ["ctf-unreliable", "ice-crystalline"]
    vitreous = IceFigures(ring_density=1.9, relative_thickness=1.24, iciness=1.49)
    assert codes(replace(USUAL, ice=vitreous)) == []
    unknown = IceFigures(ring_density=None, relative_thickness=None, iciness=None)
    assert codes(replace(USUAL, ice=unknown)) == []


def test_a_thick_specimen() -> None:
    assert codes(replace(USUAL, thickness_angstrom=2500.0)) == ["ice-thick"]
    assert codes(replace(USUAL, thickness_angstrom=1000.0)) == []


def test_what_is_unreliable_is_not_judged_further() -> None:
    bad = replace(USUAL, reliable=False, reason="x", fit_resolution_angstrom=30.0, defocus_u_angstrom=30_000.0)
    assert codes(bad, 5_000.0) == ["ctf-unreliable"]
