"""Errors of an answer against the truth."""

from __future__ import annotations

import pytest

from benchmarks.ctf.answers import CtfAnswer
from benchmarks.ctf.judging import judge
from preprocess.simulation import MicrographSettings

TRUTH = MicrographSettings(
    defocus_u_angstrom=12000, defocus_v_angstrom=11000, angle_degrees=80, phase_shift_degrees=175
)


def answer(u, v, angle=80.0, **more):
    return CtfAnswer(method="x", defocus_u_angstrom=u, defocus_v_angstrom=v, angle_degrees=angle, **more)


def test_errors_are_those_of_mean_defocus_and_of_the_astigmatism_as_a_vector() -> None:
    judged = judge(answer(12100, 11080, angle=-100, sigma_angstrom=45, phase_shift_degrees=2), TRUTH)
    assert judged.defocus_error_angstrom == pytest.approx(90)
    assert judged.defocus_error_percent == pytest.approx(100 * 90 / 11500)
    assert judged.astigmatism_error_angstrom == pytest.approx(20)
    assert judged.error_in_sigmas == pytest.approx(2)
    assert judged.phase_error_degrees == pytest.approx(7)
    turned = judge(answer(12000, 11000, angle=-10), TRUTH)
    assert turned.astigmatism_error_angstrom == pytest.approx(2000)
    assert turned.error_in_sigmas is None


@pytest.mark.parametrize(
    ("u", "v", "within", "right"),
    [
        (12169, 11159, True, True),
        (12171, 11000, False, True),
        (12000, 10841, True, True),
        (12000, 10839, False, True),
        (12409, 11379, False, True),
        (12411, 11000, False, False),
    ],
)
def test_both_defoci_must_be_near_the_truth(u, v, within, right) -> None:
    judged = judge(answer(u, v), TRUTH)
    assert (judged.within_rule, judged.right) == (within, right)


def test_nothing_is_judged_without_an_answer_or_without_rings() -> None:
    assert judge(CtfAnswer(method="x", failure="it died"), TRUTH) is None
    assert judge(answer(12000, 11000), MicrographSettings(content="empty")) is None
