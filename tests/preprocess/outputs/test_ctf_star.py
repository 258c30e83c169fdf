"""micrographs_ctf.star: RELION's columns, and RELION's own extraction with them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from preprocess.ctf.estimate import CtfEstimate
from preprocess.outputs.ctf_star import ALL_STAR, RELIABLE_STAR, columns_of_figures, columns_of_section
from preprocess.outputs.figures import ctf_figures
from preprocess.outputs.micrographs_star import ListedMicrograph, optics_row, write_ctf_stars
from preprocess.outputs.report import ctf_section
from tests.ctf_estimates import OPTICS, estimate_of, phase

SIDE, BOX, FINEST = 512, 256, 0.25


def listed(estimate: CtfEstimate | None, name: str = "mics/a.mrc") -> ListedMicrograph:
    files = {"micrograph": Path(name), "ctf_spectrum": Path(name.replace(".mrc", "_ctf.mrc"))}
    ctf = None if estimate is None else columns_of_figures(ctf_figures(estimate))
    return ListedMicrograph(optics_row(1.0, 1.0, (300.0, 2.7, 0.1)), files, {}, ctf)


def rows(path: Path):
    return starfile.read(path, always_dict=True)["micrographs"].to_dict("records")


def test_columns_are_those_of_relion_s_own_estimation(tmp_path):
    write_ctf_stars(tmp_path, [listed(estimate_of(12_000, 11_400, -30)), listed(None, "mics/none.mrc")])
    assert rows(tmp_path / RELIABLE_STAR) == rows(tmp_path / ALL_STAR)
    assert rows(tmp_path / RELIABLE_STAR) == [
        {
            "rlnMicrographName": "mics/a.mrc",
            "rlnOpticsGroup": 1,
            "rlnCtfImage": "mics/a_ctf.mrc:mrc",
            "rlnDefocusU": 12_000,
            "rlnDefocusV": 11_400,
            "rlnCtfAstigmatism": 600,
            "rlnDefocusAngle": -30,
            "rlnCtfFigureOfMerit": pytest.approx(0.234567),
            "rlnCtfMaxResolution": pytest.approx(4.2),
            "rlnPhaseShift": 0,
            "rlnCtfValidationScore": 1,
            "rlnCtfIceRingDensity": pytest.approx(3.2),
        }
    ]


def test_values_are_within_relion_s_limits():
    unknown = estimate_of(fit_resolution_angstrom=float("inf"))
    columns = columns_of_figures(ctf_figures(replace(unknown, ice=replace(unknown.ice, ring_density=None))))
    assert columns["rlnCtfMaxResolution"] == 25
    assert columns["rlnCtfIceRingDensity"] == 0
    assert columns_of_figures(ctf_figures(estimate_of(phase_shift_degrees=90.0)))["rlnPhaseShift"] == 90


def test_an_estimate_that_is_not_reliable_is_in_the_list_of_all_alone(tmp_path):
    doubtful = listed(estimate_of(reliable=False), "mics/b.mrc")
    write_ctf_stars(tmp_path, [listed(estimate_of()), doubtful])
    assert [row["rlnMicrographName"] for row in rows(tmp_path / RELIABLE_STAR)] == ["mics/a.mrc"]
    assert [row["rlnCtfValidationScore"] for row in rows(tmp_path / ALL_STAR)] == [1, 0]
    write_ctf_stars(tmp_path, [doubtful])
    assert not (tmp_path / RELIABLE_STAR).exists()


@pytest.mark.parametrize("estimate", [estimate_of(), estimate_of(phase_shift_degrees=90.0, reliable=False)])
def test_results_of_before_are_listed_as_those_of_now(estimate):
    assert columns_of_section(ctf_section(estimate)) == columns_of_figures(ctf_figures(estimate))
    assert columns_of_section(None) is columns_of_figures({}) is None


def image_with_ctf(estimate: CtfEstimate) -> tuple[np.ndarray, np.ndarray]:
    """Noise, and how it is seen with the CTF of an estimate."""
    ky, kx = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
    noise = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE))
    coarse = np.fft.rfft2(noise) * (np.hypot(ky, kx) < FINEST)  # the grid of frequencies resolves the rings there
    azimuth = np.arctan2(ky, kx) - np.radians(estimate.angle_degrees)
    defocus = estimate.mean_defocus_angstrom + estimate.astigmatism_angstrom / 2 * np.cos(2 * azimuth)
    ctf = -np.sin(phase(np.hypot(ky, kx), defocus, OPTICS, estimate.phase_shift_degrees))
    scene, image = (np.fft.irfft2(each, (SIDE, SIDE)) for each in (coarse, coarse * ctf))
    return scene, image.astype(np.float32)


def extracted_by_relion(folder: Path, estimate: CtfEstimate) -> tuple[np.ndarray, dict]:
    """A particle from the middle, its phases flipped by RELION, and its row."""
    write_ctf_stars(folder, [listed(estimate)])
    subprocess.run(
        [
            *("relion_preprocess", "--i", RELIABLE_STAR, "--coord_dir", ".", "--coord_suffix", "_pick.star"),
            *("--part_star", "Extract/particles.star", "--part_dir", "Extract/", "--extract", "--phase_flip"),
            *("--extract_size", str(BOX)),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    particle = starfile.read(folder / "Extract/particles.star", always_dict=True)["particles"].iloc[0].to_dict()
    with mrcfile.open(folder / particle["rlnImageName"].partition("@")[2]) as file:
        return np.array(file.data).reshape(BOX, BOX), particle


@pytest.mark.relion
@pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION is missing: apt-get install relion")
@pytest.mark.parametrize("shift", [{}, {"phase_shift_degrees": 60.0}], ids=["no plate", "plate"])
def test_relion_flips_the_phases_rightly_with_it_and_wrongly_with_the_mirrored_angle(tmp_path, shift):
    truth = estimate_of(12_000, 7_000, 25.0, **shift)
    scene, image = image_with_ctf(truth)
    (tmp_path / "mics").mkdir()
    with mrcfile.new(tmp_path / "mics/a.mrc") as file:
        file.set_data(image)
        file.voxel_size = 1.0
    middle = f"{SIDE // 2} {SIDE // 2}"
    (tmp_path / "mics/a_pick.star").write_text(f"data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n{middle}\n")
    inside = slice((SIDE - BOX) // 2, (SIDE + BOX) // 2)

    def agreement(estimate: CtfEstimate) -> float:
        seen, _ = extracted_by_relion(tmp_path, estimate)
        return abs(float(np.corrcoef(seen.ravel(), scene[inside, inside].ravel())[0, 1]))

    assert agreement(truth) > 0.7
    assert agreement(replace(truth, angle_degrees=-25.0)) < 0.2
    assert agreement(replace(truth, angle_degrees=25.0 + 90)) < 0.2
    _, particle = extracted_by_relion(tmp_path, truth)
    assert particle["rlnDefocusU"] == 12_000
    assert particle["rlnDefocusAngle"] == 25
    assert particle["rlnPhaseShift"] == shift.get("phase_shift_degrees", 0)
