"""What is counted over a set's micrographs."""

from __future__ import annotations

import pytest

from benchmarks.ctf.answers import CtfAnswer
from benchmarks.ctf.judging import judge
from benchmarks.ctf.runs import CtfRun
from benchmarks.ctf.summary import summarize
from preprocess.simulation import MicrographSettings


def run(seed, *answers, content="specimen", to_be_found=True):
    truth = MicrographSettings(
        defocus_u_angstrom=10000, defocus_v_angstrom=10000, angle_degrees=0, content=content, seed=seed
    )
    return CtfRun(
        set_name="some" if to_be_found else "null",
        seed=seed,
        truth=truth,
        to_be_found=to_be_found,
        read_s=0.1,
        answers=answers,
        judgements=tuple(judge(answer, truth) for answer in answers),
    )


def own(defocus, *, reliable=True, sigma=10.0):
    return CtfAnswer(
        method="cryoferry-1",
        defocus_u_angstrom=defocus,
        defocus_v_angstrom=defocus,
        reliable=reliable,
        sigma_angstrom=sigma,
    )


def theirs(defocus):
    return CtfAnswer(method="ctffind-1", defocus_u_angstrom=defocus, defocus_v_angstrom=defocus, reliable=True)


def test_right_wrong_and_what_is_said_of_them_are_counted() -> None:
    runs = [
        run(1, own(10010), theirs(10020)),
        run(2, own(10020, reliable=False), theirs(10100)),
        run(3, own(10200), theirs(10040)),
        run(4, own(20000), theirs(11000)),
        run(5, own(3000, reliable=False), theirs(10040)),
    ]
    ours, others = summarize(runs)
    assert (ours.count, ours.right, ours.within_rule) == (5, 3, 2)
    assert (ours.wrong_but_reliable, ours.worst, ours.right_but_unreliable) == (1, (4,), 1)
    assert ours.defocus_percent[0] == pytest.approx(2.0)
    assert ours.of_ctffinds == pytest.approx(2.0 / 0.4)
    assert ours.error_over_stated == pytest.approx(((1 + 20**2 + 1000**2) / 3) ** 0.5)
    assert (others.right, others.wrong_but_reliable, others.error_over_stated, others.of_ctffinds) == (4, 1, None, None)


def test_images_without_rings_are_wrong_when_they_are_called_reliable() -> None:
    runs = [
        run(1, own(9000), content="empty", to_be_found=False),
        run(2, own(9000, reliable=False), content="empty", to_be_found=False),
        run(3, own(10010), to_be_found=False),
        run(4, CtfAnswer(method="cryoferry-1", failure="it is empty"), content="empty", to_be_found=False),
    ]
    (one,) = summarize(runs)
    assert (one.count, one.failures, one.wrong_but_reliable, one.worst) == (4, 1, 1, (1,))
    assert (one.defocus_percent, one.right) == (None, 0)
