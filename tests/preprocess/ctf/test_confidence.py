"""Each way in which an estimate can fail has its own sentence, and none passes as reliable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preprocess.ctf.confidence import ConfidenceFigures, PhaseMisfit, why_unreliable
from preprocess.ctf.held_out import HeldOut

GOOD = ConfidenceFigures(
    defocus=12_000.0,
    half_astigmatism=150.0,
    sigma=20.0,
    sigma_astigmatism=15.0,
    significance=20.0,
    margin=120.0,
    rival=8_300.0,
    held_out=HeldOut(gain=180.0, gain_without_best_ring=90.0, difference_in_sigmas=0.4, unexplained=10.0),
    misfit=PhaseMisfit(phase=0.02, sigma=0.03),
    aberration=PhaseMisfit(phase=-0.2, sigma=0.1),
    reach=60.0,
    lowest=1_000.0,
    highest=50_000.0,
)


def test_a_good_fit_is_reliable() -> None:
    assert why_unreliable(GOOD, score=0.7) == ""
    assert why_unreliable(replace(GOOD, misfit=None, rival=None, margin=999.0), score=0.7) == ""


@pytest.mark.parametrize(
    ("change", "score", "said"),
    [
        ({"held_out": HeldOut(3.0, 1.0, 0.0, 0.0)}, 0.4, "No rings stand out"),
        ({"held_out": HeldOut(12.0, 2.0, 0.0, 0.0)}, 0.4, "hardly stand out"),
        ({"held_out": HeldOut(400.0, 2.0, 0.0, 0.0)}, 0.4, "A single ring"),
        ({}, 0.1, "Something other than a CTF"),
        ({"held_out": HeldOut(180.0, 90.0, 0.0, 170.0)}, 0.5, "Something other than a CTF"),
        ({"defocus": 1_003.0}, 0.7, "end of the searched range, at 0.10 µm"),
        ({"defocus": 49_900.0}, 0.7, "end of the searched range, at 4.99 µm"),
        ({"margin": 6.0}, 0.7, "Another defocus, 0.83 µm, fits nearly as well"),
        ({"margin": 1.0}, 0.7, "Another defocus, 0.83 µm, fits as well"),
        ({"sigma": 130.0}, 0.7, "uncertain by 131 Å"),
        ({"sigma_astigmatism": 140.0}, 0.7, "uncertain by 141 Å"),
        ({"reach": 415.0}, 0.7, "Another defocus, 415 Å away"),
        ({"held_out": HeldOut(180.0, 90.0, -6.0, 0.0)}, 0.7, "Two halves of the spectrum"),
        ({"half_astigmatism": 4_000.0}, 0.7, "larger than a microscope's"),
        ({"misfit": PhaseMisfit(phase=-0.3, sigma=0.02)}, 0.7, "do not fit this voltage"),
        ({"aberration": PhaseMisfit(phase=0.9, sigma=0.1)}, 0.7, "do not fit this voltage"),
    ],
)
def test_each_failure_has_its_sentence(change, score, said) -> None:
    reason = why_unreliable(replace(GOOD, **change), score)
    assert said in reason
    assert reason.endswith(".")


@pytest.mark.parametrize(("gain", "beside"), [(3.0, 1.0), (12.0, 2.0), (400.0, 2.0), (180.0, 90.0)])
def test_where_rings_may_lie_outside_the_search_a_wider_one_is_named(gain, beside) -> None:
    reason = why_unreliable(replace(GOOD, held_out=HeldOut(gain, beside, 0.0, 0.0)), score=0.1)
    assert "a wider range of defocus" in reason
    assert "the phase shift" in reason


def test_a_misfit_counts_only_if_it_is_large_and_certain() -> None:
    for misfit in (PhaseMisfit(phase=0.1, sigma=0.01), PhaseMisfit(phase=0.4, sigma=0.2)):
        assert why_unreliable(replace(GOOD, misfit=misfit), score=0.7) == ""
    for aberration in (PhaseMisfit(phase=0.3, sigma=0.01), PhaseMisfit(phase=0.9, sigma=0.3)):
        assert why_unreliable(replace(GOOD, aberration=aberration), score=0.7) == ""


def test_a_misfit_is_no_more_certain_than_the_defocus() -> None:
    found = PhaseMisfit(phase=-0.78, sigma=0.147)  # of one tile whose defocus was less certain than its curvature said
    assert "do not fit this voltage" in why_unreliable(replace(GOOD, aberration=found), score=0.7)
    assert why_unreliable(replace(GOOD, aberration=found.widened(1.34)), score=0.7) == ""


def test_the_middle_of_a_narrow_range_is_not_its_end() -> None:
    narrow = replace(GOOD, lowest=11_900.0, highest=12_100.0)
    assert why_unreliable(narrow, score=0.7) == ""
    assert "end of the searched range" in why_unreliable(replace(narrow, defocus=11_905.0), score=0.7)


def test_crystals_beyond_rings_that_fit_do_no_harm() -> None:
    assert why_unreliable(replace(GOOD, held_out=HeldOut(180.0, 90.0, 0.0, 900.0)), score=0.8) == ""
