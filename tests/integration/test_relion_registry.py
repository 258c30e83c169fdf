"""Debian's RELION on what the registrar writes: it reads the lists, picks on the micrographs and extracts with CTFs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from api.registrars.runner import RegistrarRunner
from api.registrars.settings import RegistrarSettings
from tests.waiting import wait_until
from transfer.wire.exposure_record import FileRole

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(
        shutil.which("relion_star_handler") is None, reason="needs RELION on the PATH (Debian: apt-get install relion)"
    ),
]

SUMS = (FileRole.MICROGRAPH_UNWEIGHTED, FileRole.MICROGRAPH_EVEN, FileRole.MICROGRAPH_ODD)
BLOBS = ((60, 70), (60, 180), (180, 60), (190, 190))


def blobs(shape: tuple[int, int] = (256, 256), diameter: float = 24.0) -> np.ndarray:
    """Dark discs on a light ground, as particles are in a micrograph."""
    y, x = np.indices(shape)
    image = np.random.default_rng(3).normal(100, 3, shape)
    for blob_y, blob_x in BLOBS:
        image -= 12 * np.exp(-((y - blob_y) ** 2 + (x - blob_x) ** 2) / (2 * (diameter / 4) ** 2))
    return image


def register(publisher: Any, **other: Any) -> Path:
    """Register three float16 micrographs, one in its second revision, one with `other` settings."""
    publisher.registrars = ("relion",)
    publisher.publish("FoilHole 1 (a)", image=blobs())
    publisher.publish("plain", image=blobs())
    publisher.publish("other", image=blobs(), **other)
    publisher.publish("plain", revision=2, image=blobs())
    return registered(publisher, 3)


def registered(publisher: Any, count: int, **settings: Any) -> Path:
    """Run the registrar until so many exposures are registered; return its project."""
    runner = RegistrarRunner(RegistrarSettings(**settings), publisher.database, publisher.data)
    runner.start()
    wait_until(lambda: publisher.count("relion", "registered") == count, f"{count} registered exposures")
    runner.stop()
    return Path(publisher.project("relion"))


def relion(project: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(star: Path, table: str) -> list[str]:
    block = star.read_text().split(f"data_{table}\n")[1].split("\ndata_")[0]
    return [line for line in block.splitlines() if line.strip() and not line.startswith(("_", "loop_", "#"))]


def columns(star: Path, table: str) -> list[str]:
    block = star.read_text().split(f"data_{table}\n")[1].split("\ndata_")[0]
    return [line.split()[0].removeprefix("_") for line in block.splitlines() if line.startswith("_")]


def test_relion_reads_and_writes_the_list(publisher: Any) -> None:
    project = register(publisher, pixel_size=0.83)
    relion(
        project, "relion_star_handler", "--i", "corrected_micrographs.star", "--o", "out.star", "--select",
        "rlnAccumMotionTotal", "--minval", "1", "--maxval", "5",
    )  # fmt: skip
    assert len(rows(project / "out.star", "micrographs")) == 3
    assert len(rows(project / "out.star", "optics")) == 2
    for row in rows(project / "out.star", "micrographs"):
        for name in row.split()[:2]:
            assert (project / name).is_file(), name


def test_relion_takes_the_columns_of_newer_versions(publisher: Any, tmp_path: Path) -> None:
    """It knows all but those of even and odd sums, and carries MTF and optics groups over to particles."""
    publisher.registrars = ("relion",)
    mtf = tmp_path / "k3.star"
    mtf.write_text("data_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n0.0 1.0\n0.5 0.4\n")
    for label, shift in (("a", 0.1), ("b", 0.2)):
        publisher.publish(label, image=blobs(), ctf=True, sums=SUMS, tilt={"beam_shift_x": shift, "beam_shift_y": 0.2})
    project = registered(publisher, 2, mtf=mtf)
    relion(
        project, "relion_star_handler", "--i", "corrected_micrographs.star", "--o", "out.star", "--select",
        "rlnMicrographPreExposure", "--minval", "0.4", "--maxval", "0.6",
    )  # fmt: skip
    kept = columns(project / "out.star", "micrographs")
    assert {"rlnMicrographPreExposure", "rlnMicrographNameNoDW"} <= set(kept)
    for row in rows(project / "out.star", "micrographs"):
        said = relion(
            project, "relion_image_handler", "--i", row.split()[kept.index("rlnMicrographNameNoDW")], "--stats"
        )
        assert "(x,y,z,n)= 256 x 256 x 1 x 1" in said
    relion(
        project, "relion_autopick", "--i", "corrected_micrographs.star", "--odir", "Pick/", "--pickname", "autopick",
        "--LoG", "--LoG_diam_min", "18", "--LoG_diam_max", "30", "--shrink", "0", "--lowpass", "10",
    )  # fmt: skip
    assert len(list((project / "Pick").rglob("*_autopick.star"))) == 2
    relion(
        project, "relion_preprocess", "--i", "micrographs_ctf.star", "--coord_dir", "Pick/",
        "--coord_suffix", "_autopick.star", "--part_star", "Extract/particles.star", "--part_dir", "Extract/",
        "--extract", "--extract_size", "32",
    )  # fmt: skip
    star = project / "Extract" / "particles.star"
    groups = [dict(zip(columns(star, "optics"), row.split(), strict=True)) for row in rows(star, "optics")]
    assert [(group["rlnOpticsGroup"], group["rlnMtfFileName"]) for group in groups] == [
        ("1", "mtf.star"),
        ("2", "mtf.star"),
    ]
    assert (project / "mtf.star").read_text() == mtf.read_text()
    assert len(rows(star, "particles")) >= 2 * len(BLOBS)


def test_relion_picks_on_the_micrographs(publisher: Any) -> None:
    project = register(publisher)
    relion(
        project, "relion_autopick", "--i", "corrected_micrographs.star", "--odir", "Pick/", "--pickname", "autopick",
        "--LoG", "--LoG_diam_min", "18", "--LoG_diam_max", "30", "--shrink", "0", "--lowpass", "10",
    )  # fmt: skip
    picked = sorted((project / "Pick").rglob("*_autopick.star"))
    assert len(picked) == 3
    for star in picked:
        found = [tuple(map(float, row.split()[:2])) for row in rows(star, "")]
        for y, x in BLOBS:
            assert any(np.hypot(found_x - x, found_y - y) < 6 for found_x, found_y in found), (star, found)


def rings(figures: dict[str, float], side: int = 256, pixel_size: float = 1.06) -> np.ndarray:
    """Return the Fourier transform that a point in the image's middle has after it went through a CTF (300 kV).

    The figures' convention: χ of an underfocus z(φ) = mean + half difference * cos 2(φ - angle), φ from x towards y.
    """
    ky, kx = np.fft.fftfreq(side, pixel_size)[:, None], np.fft.fftfreq(side, pixel_size)[None, :]
    k2, phi = kx**2 + ky**2, np.arctan2(ky, kx)
    defocus_u, defocus_v = figures["ctf_defocus_u_angstrom"], figures["ctf_defocus_v_angstrom"]
    turned = np.cos(2 * (phi - np.radians(figures["ctf_astigmatism_angle_degrees"])))
    defocus = (defocus_u + defocus_v) / 2 + (defocus_u - defocus_v) / 2 * turned
    wavelength, cs = 0.0196875, 2.7e7
    chi = np.pi * wavelength * defocus * k2 - np.pi / 2 * cs * wavelength**3 * k2**2 + np.arcsin(0.1)
    return -np.sin(chi + np.radians(figures.get("ctf_phase_shift_degrees", 0.0)))


def test_relion_extracts_with_the_ctf(publisher: Any) -> None:
    """What it makes of our numbers removes the very phase flips that were put in, and no others."""
    publisher.registrars = ("relion",)
    shape = {"ctf_defocus_u_angstrom": 9000.0, "ctf_defocus_v_angstrom": 6000.0}
    fits = {
        f"fit{number}": {**shape, "ctf_astigmatism_angle_degrees": angle, "ctf_phase_shift_degrees": phase}
        for number, (angle, phase) in enumerate([(-72.5, 0.0), (20.0, 0.0), (90.0, 84.0)])
    }
    for label, figures in fits.items():
        image = np.fft.fftshift(np.fft.ifft2(rings(figures)).real)
        publisher.publish(label, image=1000 * image, dtype="float32", ctf={**figures, "ctf_resolution_angstrom": 3.5})
    publisher.publish("unreliable", image=blobs(), ctf={"ctf_reliable": 0.0})
    publisher.publish("without", image=blobs())
    project = registered(publisher, 5)
    coordinates = project / "Picks" / "micrographs"
    coordinates.mkdir(parents=True)
    for label in (*fits, "unreliable", "without"):
        table = "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n128.0 128.0\n"
        (coordinates / f"{label}_picks.star").write_text(table)
    relion(
        project, "relion_preprocess", "--i", "micrographs_ctf.star", "--coord_dir", "Picks/",
        "--coord_suffix", "_picks.star", "--part_star", "Extract/particles.star", "--part_dir", "Extract/",
        "--extract", "--extract_size", "128", "--phase_flip", "--premultiply_extract_size", "256",
    )  # fmt: skip
    star = project / "Extract" / "particles.star"
    particles = [dict(zip(columns(star, "particles"), row.split(), strict=True)) for row in rows(star, "particles")]
    assert [particle["rlnMicrographName"] for particle in particles] == [f"micrographs/{label}.mrc" for label in fits]
    for particle, figures in zip(particles, fits.values(), strict=True):
        assert float(particle["rlnCtfMaxResolution"]) == pytest.approx(3.5)
        assert float(particle["rlnDefocusAngle"]) == pytest.approx(figures["ctf_astigmatism_angle_degrees"])
        with mrcfile.open(project / particle["rlnImageName"].split("@")[1], permissive=True) as stack:
            image = stack.data.reshape(128, 128)
        transform = np.fft.fft2(np.fft.ifftshift(image)).real
        assert (transform < 0).mean() > 0.995, particle["rlnMicrographName"]  # of one sign; which one, RELION decides


def test_relion_reads_the_picture_of_the_fit(publisher: Any) -> None:
    publisher.registrars = ("relion",)
    publisher.publish("plain", image=blobs(), ctf=True)
    project = registered(publisher, 1)
    (row,) = rows(project / "micrographs_ctf_all.star", "micrographs")
    picture = row.split()[columns(project / "micrographs_ctf_all.star", "micrographs").index("rlnCtfImage")]
    said = relion(project, "relion_image_handler", "--i", picture, "--stats")
    assert "(x,y,z,n)= 32 x 32 x 1 x 1" in said
