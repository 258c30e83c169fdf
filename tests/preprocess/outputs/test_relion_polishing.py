"""RELION's Bayesian polishing begins from our STAR: its first tracks are our field at the particles."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import scipy.ndimage
import starfile

from preprocess.exposure.acquisition import Acquisition
from preprocess.outputs.micrographs_star import ListedMicrograph, write_micrographs_star
from preprocess.pipeline.process_movie import process_movie
from preprocess.results import OutputFile
from preprocess.settings import AlignmentSettings, GainSettings
from preprocess.simulation import SimulationSettings, simulate_movie

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(
        shutil.which("relion_motion_refine") is None, reason="RELION is missing: apt-get install relion"
    ),
]

PIXEL, BOX, HEIGHT, WIDTH = 1.1, 64, 768, 896
PLACES = [(x, y) for y in (150, 380, 600) for x in (150, 450, 700)]


def table(name: str, columns: str, rows: list[str]) -> str:
    names = "\n".join(f"_rln{column} #{number}" for number, column in enumerate(columns.split(), start=1))
    return "\n".join(["# version 30001", "", f"data_{name}", "", "loop_", names, *rows, "", ""])


def write_refinement(folder: Path) -> None:
    """What a refinement leaves: two half maps, a mask, their FSC, and particles."""
    random = np.random.default_rng(0)
    z, y, x = np.indices((BOX, BOX, BOX)) - BOX // 2
    mask = (np.sqrt(z * z + y * y + x * x) < 24).astype(np.float32)
    density = scipy.ndimage.gaussian_filter(random.normal(size=mask.shape), 2) * mask
    maps = {"mask": mask}
    maps |= {half: density / density.std() + random.normal(0, 0.1, mask.shape) for half in ("half1", "half2")}
    for name, data in maps.items():
        with mrcfile.new(folder / f"{name}.mrc") as file:
            file.set_data(data.astype(np.float32))
            file.voxel_size = PIXEL
    shells = []
    for shell in range(BOX // 2 + 1):
        k, fsc = shell / (BOX * PIXEL), max(0.0, 1 - shell / 30)
        shells.append(f"{shell} {k:.6f} {1 / k if k else 999:.4f} {fsc:.4f} {fsc:.4f} {fsc:.4f}")
    names = "SpectralIndex Resolution AngstromResolution FourierShellCorrelationCorrected"
    names += " FourierShellCorrelationUnmaskedMaps FourierShellCorrelationMaskedMaps"
    general = "# version 30001\n\ndata_general\n\n_rlnFinalResolution 4.0\n\n"
    (folder / "post.star").write_text(general + table("fsc", names, shells))
    optics = "OpticsGroupName OpticsGroup MicrographOriginalPixelSize Voltage SphericalAberration AmplitudeContrast"
    optics += " ImagePixelSize ImageSize ImageDimensionality"
    particles = "CoordinateX CoordinateY ImageName MicrographName OpticsGroup AngleRot AngleTilt AnglePsi"
    particles += " OriginXAngst OriginYAngst DefocusU DefocusV DefocusAngle GroupNumber RandomSubset"
    rows = [
        f"{x} {y} {number:06d}@p.mrcs out/m.mrc 1 {20 * number} {10 * number} 0 0 0 14000 14000 0 1 {1 + number % 2}"
        for number, (x, y) in enumerate(PLACES, start=1)
    ]
    (folder / "particles.star").write_text(
        table("optics", optics, [f"opticsGroup1 1 {PIXEL} 300 2.7 0.1 {PIXEL} {BOX} 2"])
        + table("particles", particles, rows)
    )


@pytest.mark.parametrize("movie_name", ["m.tiff", "m.mrcs"])
def test_polishing_reads_the_star_and_begins_from_our_field(tmp_path, movie_name):
    movie = simulate_movie(SimulationSettings(height=HEIGHT, width=WIDTH, frame_count=10, seed=6, local_motion_px=2.5))
    movie.write(tmp_path / movie_name)
    movie.write_gain(tmp_path / "gain.mrc", movie_format=movie_name.partition(".")[2].rstrip("s"))
    result = process_movie(
        tmp_path / movie_name,
        tmp_path / "out",
        settings=AlignmentSettings(
            device="cpu", threads=2, patches=(4, 3), gain=GainSettings(path=tmp_path / "gain.mrc")
        ),
        acquisition=Acquisition(pixel_size_angstrom=PIXEL, voltage_kv=300.0, dose_per_frame_e_per_a2=2.5),
    )
    told = json.loads(result.file("results").read_text())["motion"]
    assert told["local"]["used"]
    files = tuple(OutputFile(role=file.role, path=file.path.relative_to(tmp_path)) for file in result.files)
    write_micrographs_star(
        tmp_path / "corrected_micrographs.star", [ListedMicrograph.of_result(replace(result, files=files))]
    )
    write_refinement(tmp_path)
    subprocess.run(
        [
            *("relion_motion_refine", "--i", "particles.star", "--f", "post.star", "--m1", "half1.mrc"),
            *("--m2", "half2.mrc", "--mask", "mask.mrc", "--angpix_ref", f"{PIXEL}", "--fdose", "2.5"),
            *("--corr_mic", "corrected_micrographs.star", "--o", "polish/", "--j", "1", "--max_iters", "0"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    tracks = starfile.read(tmp_path / "polish" / "out" / "m_tracks.star")
    errors = []
    for number, (column, row) in enumerate(PLACES):
        x, y = column / WIDTH - 0.5, row / HEIGHT - 0.5
        terms = np.array([1, x, x * x, y, y * y, x * y])
        ours = np.stack([np.array(told["local"][f"coefficients_{axis}_px"]) @ terms for axis in "xy"], 1)
        errors.append(tracks[f"{number}"].to_numpy() / PIXEL - ours)
        assert np.ptp(ours, axis=0).max() > 1
    rms = np.sqrt(np.mean(np.square(errors)))
    assert rms < 1.5 * told["relion_model_residual_rms_px"] + 0.02  # these nine places, not all of the frame
