"""Which names are those of gain references and defect files, and the times in them."""

from __future__ import annotations

from datetime import datetime

import pytest

from preprocess.gains.reference_names import is_defect_file, is_gain, references_among, time_in_name


@pytest.mark.parametrize(
    "name",
    [
        "CountRef_mx2214_00005.dm4", "SuperRef_s_mmm_00000_-15.0_Oct08_01.59.24.dm4", "countref.mrc", "gain.mrc",
        "gain_512x512.mrc", "K3-gain.tif", "20260101_gain.tiff", "20260101_EER_GainReference.gain", "x_GainRef.mrc",
        "gain-ref.tif",
    ],
)  # fmt: skip
def test_gain_references(name):
    assert is_gain(name)


@pytest.mark.parametrize("name", ["again_1.mrc", "gain.txt", ".gain", "gain", "gains", "movie.tif", "CountRef_a.txt"])
def test_other_files(name):
    assert not is_gain(name)


def test_in_a_folder_for_gains_every_image_is_one():
    assert references_among(["k3.mrc", "notes.txt", "a.dm4"], "Gain").gains == ("a.dm4", "k3.mrc")
    assert references_among(["k3.mrc", "a.dm4"], "references").gains == ()


def test_those_of_one_movie_are_not_for_all():
    names = ["a.tif", "a_gain.mrc", "b_fractions.tiff", "b_gain.tiff", "c_gain.tiff", "FoilHole_1_Data_2_gain.tiff"]
    assert references_among(names, "frames").gains == ("c_gain.tiff",)


def test_folders_to_look_into():
    assert references_among(["Gain", "data", "References", "gain_ref"], "x").folders == (
        "Gain",
        "References",
        "gain_ref",
    )


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("defects_a.txt", True), ("defects.txt", True), ("CountDefects_a_Sep28_15.27.14.txt", True), ("a.txt", False)],
)
def test_defect_files(name, is_one):
    assert is_defect_file(name) == is_one


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("FoilHole_25598436_Data_25597084_25597086_20210625_171939_fractions.tiff", datetime(2021, 6, 25, 17, 19, 39)),
        ("20260107_080000_EER_GainReference.gain", datetime(2026, 1, 7, 8)),
        ("20260107_gain.mrc", datetime(2026, 1, 7)),
        ("SuperRef_s_Oct08_01.59.24.dm4", datetime(2025, 10, 8, 1, 59, 24)),
        ("a_Jan01_01.00.00.tif", datetime(2026, 1, 1, 1)),
        ("a_Foo08_01.59.24.tif", None),
        ("a_20261399_000000.tif", None),
        ("a_123.tif", None),
    ],
)
def test_times_in_names(name, time):
    assert time_in_name(name, datetime(2026, 1, 1, 0, 30)) == time
