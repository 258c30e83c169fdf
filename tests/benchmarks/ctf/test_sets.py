"""Sets of micrographs: what their names promise, and the same for the same seed."""

from __future__ import annotations

import pytest

from benchmarks.ctf.sets import SETS, find_set
from benchmarks.errors import NothingToMeasure

SEEDS = range(60)


def drawn(name):
    return [SETS[name].settings(seed) for seed in SEEDS]


@pytest.mark.parametrize("name", SETS)
def test_a_seed_says_what_the_micrograph_is(name) -> None:
    assert drawn(name) == drawn(name)
    assert len({repr(one) for one in drawn(name)}) == len(SEEDS)
    assert find_set(f"{name}@512").settings(3).defocus_u_angstrom == SETS[name].settings(3).defocus_u_angstrom


def test_mixed_covers_what_is_said_of_it() -> None:
    every = drawn("mixed")
    means = [(one.defocus_u_angstrom + one.defocus_v_angstrom) / 2 for one in every]
    shares = [(one.defocus_u_angstrom - one.defocus_v_angstrom) / mean for one, mean in zip(every, means, strict=True)]
    for values, low, high in (
        (means, 2000, 40000),
        (shares, 0, 0.1),
        ([one.pixel_size_angstrom for one in every], 0.5, 2.0),
        ([one.dose_e_per_a2 for one in every], 20, 60),
    ):
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.2 * (high - low) < max(values) <= high
    assert {one.voltage_kv for one in every} == {100.0, 200.0, 300.0}


def test_each_other_set_has_its_own_difficulty() -> None:
    assert all(one.shape == (4096, 4096) for one in drawn("clean"))
    assert all(5 <= one.tilt_degrees <= 40 for one in drawn("tilt"))
    assert all(4 <= one.dose_e_per_a2 <= 12 for one in drawn("faint"))
    assert all(20 <= one.phase_shift_degrees <= 160 for one in drawn("phase"))
    assert all(one.defocus_v_angstrom > 17000 for one in drawn("high"))
    assert all(one.defocus_u_angstrom < 6500 for one in drawn("low"))
    assert all(one.ice_thickness_angstrom >= 500 for one in drawn("thick"))
    ugly = drawn("ugly")
    assert all(one.carbon_area for one in ugly)
    for difficulty in ("ice_crystals", "contaminations", "hot_pixels_per_million", "saturated_area", "foil_area"):
        assert any(getattr(one, difficulty) for one in ugly)
    assert {one.dose_weighting for one in ugly} == {"none", "noise kept", "noise coloured"}
    assert {one.content for one in drawn("null")} == {"empty", "grid bar", "rings missing", "specimen"}


@pytest.mark.parametrize("name", ["mixd", "mixed@", "mixed@20", "mixed@512x512"])
def test_a_set_that_is_not_there_is_refused(name) -> None:
    with pytest.raises(NothingToMeasure):
        find_set(name)
