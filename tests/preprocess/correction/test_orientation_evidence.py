"""The evidence about a gain's orientation: what is clear is right, and what is not is said not to be."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest

from preprocess.correction.gain_turns import ORIENTATIONS, turned
from preprocess.correction.orientation_evidence import CLEAR, Fit, evidence_of, judged


def make_gain(shape: tuple[int, int] = (256, 256), *, pixels=0.03, stripes=0.02, seed=0) -> np.ndarray:
    """A camera's gain reference: pixels of their own, and columns of sixteen amplifiers."""
    random = np.random.default_rng(seed)
    columns = np.repeat(random.normal(0, stripes, 16), -(-shape[1] // 16))[: shape[1]]
    gain = (1 / (1 + random.normal(0, pixels, shape) + columns)).astype(np.float32)
    gain[10, 20:23] = 0
    return gain


def scene(kind: str, shape: tuple[int, int] = (256, 256)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    if kind == "gold":
        return np.where(np.hypot(y % 180 - 90, x % 180 - 90) < 60, 1.0, 0.15)
    if kind == "lattice":
        return 1 + 0.3 * np.cos(y * 0.7) * np.cos(x * 0.7)
    return np.where(x > 160, 3.0, 1.0) if kind == "vacuum" else np.ones(shape)


def raw_sum(gain: np.ndarray, counts: float, kind: str = "ice", seed: int = 1) -> np.ndarray:
    expected = np.divide(counts * scene(kind, gain.shape), gain, out=np.zeros_like(gain), where=gain > 0)
    return np.random.default_rng(seed).poisson(expected).astype(np.float32)


def judge(raw, gain):
    return judged(evidence_of(raw, np.ascontiguousarray(gain)))


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("kind", ["ice", "gold", "lattice", "vacuum"])
def test_each_orientation_is_found_on_every_specimen(turn, kind):
    gain = make_gain()
    given = turned(gain, ORIENTATIONS[turn])
    judgement = judge(raw_sum(gain, 15, kind), given)
    assert judgement.fit is Fit.CLEAR
    np.testing.assert_array_equal(turned(given, ORIENTATIONS[judgement.best]), gain)
    assert judgement.share == pytest.approx(1, abs=0.2)
    assert judgement.changes_something == (turn != 0)


def test_hot_pixels_hide_nothing():
    gain = make_gain()
    raw = raw_sum(gain, 15)
    raw.reshape(-1)[np.random.default_rng(3).choice(raw.size, 60)] = 1e7
    assert judge(raw, gain[::-1]).standard_errors > 2 * CLEAR


def test_a_camera_that_is_not_square_has_four():
    gain = make_gain((192, 256))
    judgement = judge(raw_sum(gain, 15), gain[:, ::-1])
    assert (judgement.fit, ORIENTATIONS[judgement.best].flip) == (Fit.CLEAR, "x")


def test_the_gain_of_another_camera_is_never_believed():
    judgements = [
        judge(raw_sum(make_gain(seed=seed), 15, kind, seed), make_gain(seed=100 + seed))
        for seed, kind in enumerate(["ice", "gold", "lattice", "vacuum"] * 5)
    ]
    assert judgements[0].fit is Fit.NONE
    assert {judgement.fit for judgement in judgements} <= {Fit.NONE, Fit.FAINT}
    assert max(judgement.standard_errors for judgement in judgements) < CLEAR / 2


def test_faint_movies_are_unsure_alone_and_clear_together():
    gain = make_gain()
    given = gain[::-1]
    evidence = [evidence_of(raw_sum(gain, 0.5, seed=seed), np.ascontiguousarray(given)) for seed in range(5)]
    alone = [judged(each) for each in evidence]
    assert {judgement.fit for judgement in alone} == {Fit.FAINT}
    together = judged(reduce(add, evidence))
    assert (together.fit, ORIENTATIONS[together.best].flip, together.movies) == (Fit.CLEAR, "y", 5)
    assert together.standard_errors > 1.5 * max(judgement.standard_errors for judgement in alone)


def test_a_gain_that_divides_is_found():
    gain = make_gain()
    inverse = np.divide(1, gain, out=np.zeros_like(gain), where=gain > 0)
    raw = raw_sum(gain, 15)
    judgement = judge(raw, inverse[::-1])
    assert (judgement.fit, judgement.is_inverted, ORIENTATIONS[judgement.best].flip) == (Fit.CLEAR, True, "y")


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_a_movie_that_is_corrected_already_shows_no_orientation(noise):
    gain = make_gain()
    applied = (gain * (1 + np.random.default_rng(7).normal(0, noise, gain.shape))).astype(np.float32)
    judgement = judge(raw_sum(gain, 30) * applied, applied)
    assert judgement.fit is Fit.NONE


def test_orientations_that_are_alike_change_nothing():
    stripes = make_gain(pixels=0.0, stripes=0.05)
    stripes[stripes == 0] = 1
    raw = raw_sum(stripes, 30)
    upside_down = judge(raw, stripes[::-1])
    assert (upside_down.fit, upside_down.changes_something) == (Fit.CLEAR, False)
    assert judge(raw, stripes[:, ::-1]).changes_something


def test_a_flat_gain_may_lie_in_any_way():
    gain = make_gain()
    assert judge(raw_sum(gain, 15), np.ones_like(gain)).fit is Fit.FLAT
    nothing = np.zeros_like(gain)
    assert judge(nothing, gain).fit is Fit.FLAT or not judge(nothing, gain).changes_something
