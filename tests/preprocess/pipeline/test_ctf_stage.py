"""The CTF of a movie that is aligned: near the simulated one, of the file that is written, and never a movie's end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from preprocess.exposure.acquisition import Acquisition
from preprocess.pipeline import ctf_stage
from preprocess.pipeline.preparing import prepare_movie
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import ProcessedMovie
from preprocess.settings import AlignmentSettings, CtfSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

SCENE = SimulationSettings(
    height=448,
    width=512,
    frame_count=6,
    dose_per_frame_e_per_a2=6.0,
    motion_px=3.0,
    seed=3,
    gain=False,
    defocus_angstrom=14000.0,
    astigmatism_angstrom=1500.0,
)
ANGLE = np.degrees(0.6)
EXPOSURE = Acquisition(pixel_size_angstrom=1.1, voltage_kv=300.0, dose_per_frame_e_per_a2=6.0)
SETTINGS = AlignmentSettings(device="cpu", threads=2, gain=GainSettings(absent=True), patches=(1, 1))

Align = Callable[..., ProcessedMovie]


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene as TIFF and as MRC, and its mirror image."""
    folder = tmp_path_factory.mktemp("movies")
    movie = simulate_movie(SCENE)
    movie.write(folder / "scene.tiff")
    movie.write(folder / "scene.mrc")
    with mrcfile.open(folder / "scene.mrc") as scene, mrcfile.new(folder / "mirrored.mrc") as mirrored:
        mirrored.set_data(scene.data[:, ::-1])
    return folder


@pytest.fixture(scope="module")
def align(movies: Path, tmp_path_factory: pytest.TempPathFactory) -> Align:
    def run(name: str, exposure: Acquisition = EXPOSURE, **changed: object) -> ProcessedMovie:
        out = tmp_path_factory.mktemp("out")
        return process_movie(movies / name, out, settings=replace(SETTINGS, **changed), acquisition=exposure)

    return run


@pytest.fixture(scope="module")
def scene(align: Align) -> ProcessedMovie:
    return align("scene.tiff")


def written(result: ProcessedMovie) -> dict:
    return json.loads(result.file("results").read_text())


def angle_between(one: float, other: float) -> float:
    return abs((one - other + 90) % 180 - 90)


def test_the_estimate_is_the_simulated_ctf(scene: ProcessedMovie) -> None:
    figures = scene.figures
    assert figures["ctf_reliable"] == 1
    mean = (figures["ctf_defocus_u_angstrom"] + figures["ctf_defocus_v_angstrom"]) / 2
    assert abs(mean - 14000) < 4 * figures["ctf_defocus_error_angstrom"] < 300
    assert figures["ctf_defocus_u_angstrom"] - figures["ctf_defocus_v_angstrom"] == pytest.approx(1500, abs=150)
    assert angle_between(figures["ctf_astigmatism_angle_degrees"], ANGLE) < 4
    assert scene.warnings == ()
    assert "ctf" in scene.seconds
    section = written(scene)["ctf"]
    assert section["defocus_u_angstrom"] == pytest.approx(figures["ctf_defocus_u_angstrom"], rel=1e-5)
    assert section["reliable"] is True


def test_the_angle_is_that_of_the_file_that_is_written(align: Align, scene: ProcessedMovie) -> None:
    """TIFF rows are read from the last one on, as RELION reads them: the micrograph is that of the MRC movie."""
    as_mrc, mirrored = align("scene.mrc"), align("mirrored.mrc")
    with mrcfile.open(scene.file("micrograph")) as one, mrcfile.open(as_mrc.file("micrograph")) as other:
        np.testing.assert_array_equal(one.data, other.data)
    angle = as_mrc.figures["ctf_astigmatism_angle_degrees"]
    assert scene.figures["ctf_astigmatism_angle_degrees"] == angle
    assert angle_between(mirrored.figures["ctf_astigmatism_angle_degrees"], -angle) < 2
    for name in ("ctf_defocus_u_angstrom", "ctf_defocus_v_angstrom"):
        assert mirrored.figures[name] == pytest.approx(as_mrc.figures[name], abs=50)


def test_it_does_not_depend_on_what_is_written_or_on_threads(align: Align, scene: ProcessedMovie) -> None:
    one_thread = align("scene.tiff", threads=1)
    assert one_thread.file("results").read_bytes() == scene.file("results").read_bytes()
    more = align("scene.tiff", unweighted=True, even_odd=True, float32=True, bin_factor=2)
    assert written(more)["ctf"] == written(scene)["ctf"]


def test_without_it_all_else_is_the_same(align: Align, scene: ProcessedMovie) -> None:
    without = align("scene.tiff", ctf=CtfSettings(wanted=False))
    assert written(without)["ctf"] is None
    assert "ctf" not in without.seconds
    assert without.file("micrograph").read_bytes() == scene.file("micrograph").read_bytes()
    assert without.figures == {name: value for name, value in scene.figures.items() if not is_of_ctf(name)}


def is_of_ctf(name: str) -> bool:
    return name.startswith(("ctf_", "ice_", "iciness"))


def test_groups_of_frames_find_the_same(align: Align, scene: ProcessedMovie) -> None:
    grouped = align("scene.tiff", ctf=CtfSettings(group_dose_e_per_a2=18.0))
    assert written(grouped)["ctf"]["tile_count"] == 2 * written(scene)["ctf"]["tile_count"]
    for name in ("ctf_defocus_u_angstrom", "ctf_defocus_v_angstrom"):
        assert grouped.figures[name] == pytest.approx(scene.figures[name], abs=100)
        assert grouped.figures[name] != scene.figures[name]


def test_groups_are_counted_as_sums_that_memory_holds(movies: Path, tmp_path: Path) -> None:
    def sums(dose: float | None) -> int:
        settings = replace(SETTINGS, ctf=CtfSettings(group_dose_e_per_a2=dose))
        return prepare_movie(movies / "scene.mrc", tmp_path, settings, EXPOSURE, Acquisition()).sum_count

    assert sums(12.0) == sums(None) + 3
    assert sums(1000.0) == sums(None) + 1


def test_a_spectrum_that_no_model_fits_costs_no_movie(
    align: Align, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def singular(*_: object) -> None:
        np.linalg.solve(np.zeros((2, 2)), np.ones(2))

    monkeypatch.setattr(ctf_stage, "estimate_ctf", singular)
    result = align("scene.tiff")
    assert result.file("micrograph").is_file()
    assert [warning.code for warning in result.warnings] == ["ctf-not-estimated"]
    assert "scene.tiff: the CTF cannot be estimated" in caplog.text


def test_a_phase_shift_is_a_figure_only_where_it_is_searched(align: Align, scene: ProcessedMovie) -> None:
    searched = align("scene.tiff", ctf=CtfSettings(find_phase_shift=True))
    assert "ctf_phase_shift_degrees" in searched.figures
    assert "ctf_phase_shift_degrees" not in scene.figures


def test_without_a_voltage_it_is_said_and_nothing_is_guessed(align: Align) -> None:
    exposure = Acquisition(pixel_size_angstrom=1.1, dose_per_frame_e_per_a2=6.0)
    result = align("scene.tiff", exposure, dose_weighting=False)
    assert [warning.code for warning in result.warnings] == ["ctf-not-estimated"]
    assert "--voltage" in result.warnings[0].text
    assert written(result)["ctf"] is None


def test_pixels_too_coarse_for_any_ring_cost_no_movie(align: Align) -> None:
    exposure = replace(EXPOSURE, pixel_size_angstrom=19.0)
    result = align("scene.tiff", exposure, dose_weighting=False)
    assert result.file("micrograph").is_file()
    assert [warning.code for warning in result.warnings] == ["ctf-not-estimated"]
    assert "--no-ctf" in result.warnings[0].text


def test_the_wrong_range_is_said_to_be_too_narrow(align: Align) -> None:
    ctf = CtfSettings(lowest_defocus_angstrom=30000.0, highest_defocus_angstrom=40000.0)
    result = align("scene.tiff", ctf=ctf)
    assert result.figures["ctf_reliable"] == 0
    assert [warning.code for warning in result.warnings] == ["ctf-unreliable"]
