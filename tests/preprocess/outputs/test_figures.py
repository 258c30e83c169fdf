"""The figures of a contrast transfer function, as the record and STEM.json have them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from preprocess.ctf.estimate import CtfEstimate, IceFigures, RadialProfile
from preprocess.outputs.figures import ctf_figures
from preprocess.outputs.report import ctf_section, report_text
from transfer.wire.figures import FIGURES


@pytest.fixture
def everything() -> CtfEstimate:
    """An estimate with all that may be absent, each value another."""
    curve = np.linspace(0.0, 1.0, 5)
    return CtfEstimate(
        defocus_u_angstrom=12_500.0,
        defocus_v_angstrom=11_500.0,
        angle_degrees=-30.0,
        phase_shift_degrees=90.0,
        phase_shift_searched=True,
        fit_resolution_angstrom=3.5,
        score=0.4,
        sigma_angstrom=12.0,
        sigma_astigmatism_angstrom=15.0,
        significance=40.0,
        margin=200.0,
        reliable=True,
        reason="",
        tilt_degrees=20.0,
        tilt_axis_degrees=35.0,
        thickness_angstrom=800.0,
        ice=IceFigures(ring_density=3.0, relative_thickness=1.05, iciness=0.7),
        profile=RadialProfile(
            frequency_per_angstrom=curve, measured=curve, fitted=curve, ctf_squared=curve, agreement=curve, plain=curve
        ),
        measured_spectrum=np.ones((9, 5), np.float32),
        fitted_spectrum=np.ones((9, 5), np.float32),
        frequency_step_per_angstrom=0.001,
        tile_count=49,
    )


def test_every_registered_figure_of_the_ctf_is_produced(everything: CtfEstimate) -> None:
    figures = ctf_figures(everything)
    assert set(figures) == {name for name in FIGURES if name.startswith(("ctf_", "ice_", "iciness"))}
    assert len(set(figures.values())) == len(figures)
    assert figures["ctf_phase_shift_degrees"] == 90.0
    assert figures["ctf_reliable"] == 1.0


def test_what_was_not_found_is_no_figure(everything: CtfEstimate) -> None:
    less = replace(
        everything,
        phase_shift_searched=False,
        tilt_degrees=None,
        tilt_axis_degrees=None,
        thickness_angstrom=None,
        ice=IceFigures(ring_density=None, relative_thickness=None, iciness=None),
    )
    absent = {"ctf_phase_shift_degrees", "ctf_tilt_degrees", "ctf_tilt_axis_degrees", "ctf_thickness_angstrom"}
    absent |= {"ice_ring_density", "ice_relative_thickness", "iciness"}
    assert set(ctf_figures(everything)) - set(ctf_figures(less)) == absent


def test_the_report_has_the_figures_and_says_how_the_resolution_is_defined(everything: CtfEstimate) -> None:
    section = json.loads(report_text({"ctf": ctf_section(everything)}))["ctf"]
    assert section["fit_resolution_angstrom"] == 3.5
    assert section["fit_resolution_definition"].startswith("CTFFIND")
    assert section["ice"] == {"ring_density": 3.0, "relative_thickness": 1.05, "iciness": 0.7}
    figures = ctf_figures(everything)
    numbers = {value for value in (*section.values(), *section["ice"].values()) if isinstance(value, float | int)}
    assert set(figures.values()) <= numbers
    assert ctf_section(None) is None
