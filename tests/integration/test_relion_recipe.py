"""The documented way from micrographs to polished particles, by Debian's RELION on what a session left on the VM."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from campaign import FIGURES, IS_LONG
from numpy.typing import NDArray

from preprocess.simulation import SimulatedMovie, SimulationSettings, simulate_movie, write_tiff
from preprocess.simulation.writers import write_gain
from tests.running import ROOT, cryoferry
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(
        shutil.which("relion_motion_refine") is None, reason="RELION is missing: apt-get install relion"
    ),
]

PIXEL, SIZE, FRAMES, BOX, DIAMETER = 1.1, 1024, 20, 160, 100.0
SQUARES = ("GridSquare_1", "GridSquare_2")
TO_IMAGE = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1.0]])
"""From the simulation's (y, x, height) to RELION's (x, y, z), both right-handed."""


def recipe() -> list[str]:
    """Return the blocks of commands of the section on polishing."""
    section = (
        (ROOT / "docs" / "receiver.md").read_text("utf-8").split("\n### From micrographs to polished particles\n")[1]
    )
    return re.findall(r"```bash\n(.*?)```", section.split("\n## ")[0].split("\n### ")[0], re.DOTALL)


def run(commands: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=folder, capture_output=True, text=True, timeout=3000, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def movies_of_micrographs(project: Path) -> dict[str, str]:
    """Return the path below `movies` that the motion file of each micrograph names."""
    listed = starfile.read(project / "corrected_micrographs.star")["micrographs"]
    return {
        row.rlnMicrographName: starfile.read(project / row.rlnMicrographMetadata)["general"][
            "rlnMicrographMovieName"
        ].removeprefix("movies/")
        for row in listed.itertuples()
    }


def write_refinement(project: Path, side: int, particles: list[str]) -> None:
    """Write the least that polishing asks for: two half maps, a mask, their FSC, and particles."""
    random, places = np.random.default_rng(0), np.indices((side, side, side)) - side // 2
    mask = (np.sqrt((places**2).sum(0)) < side / 3).astype(np.float32)
    for name in ("mask", "half1", "half2"):
        with mrcfile.new(project / f"{name}.mrc") as file:
            file.set_data(mask if name == "mask" else (mask * random.normal(size=mask.shape)).astype(np.float32))
            file.voxel_size = PIXEL
    shells = [f"{shell} {shell / (side * PIXEL):.6f} 9.0 0.9 0.9 0.9" for shell in range(side // 2 + 1)]
    fsc = "SpectralIndex Resolution AngstromResolution FourierShellCorrelationCorrected"
    fsc += " FourierShellCorrelationUnmaskedMaps FourierShellCorrelationMaskedMaps"
    (project / "post.star").write_text("data_general\n\n_rlnFinalResolution 4.0\n\n" + table("fsc", fsc, shells))
    optics = "OpticsGroupName OpticsGroup MicrographOriginalPixelSize Voltage SphericalAberration AmplitudeContrast"
    optics += " ImagePixelSize ImageSize ImageDimensionality"
    columns = "CoordinateX CoordinateY ImageName MicrographName OpticsGroup AngleRot AngleTilt AnglePsi"
    columns += " OriginXAngst OriginYAngst DefocusU DefocusV DefocusAngle GroupNumber RandomSubset"
    (project / "particles.star").write_text(
        table("optics", optics, [f"opticsGroup1 1 {PIXEL} 300 2.7 0.1 {PIXEL} {side} 2"])
        + table("particles", columns, particles)
    )


def table(name: str, columns: str, rows: list[str]) -> str:
    names = "\n".join(f"_rln{column} #{number}" for number, column in enumerate(columns.split(), start=1))
    return "\n".join(["# version 30001", "", f"data_{name}", "", "loop_", names, *rows, "", ""])


def test_polishing_reads_movies_and_gain_by_their_folders(publisher: Any) -> None:
    """RELION says which files it reads; each movie has another number of electrons, which its particles show."""
    from api.registrars.outbox import Outbox
    from api.registrars.relion import RelionRegistrar
    from api.registrars.settings import RegistrarSettings

    publisher.registrars = ("relion",)
    for square in SQUARES:
        publisher.publish(f"a {square}", pixel_size=PIXEL, movie=f"{square}/a b.tiff")
    outbox = Outbox(publisher.database, publisher.data, "relion")
    (batch,) = outbox.batches(100, ())
    RelionRegistrar(RegistrarSettings()).register(batch.place, batch.exposures)
    project = publisher.folder / "relion"
    random = np.random.default_rng(1)
    for square in SQUARES:
        (publisher.data / "raw" / square).mkdir(parents=True)
        frames = [random.poisson(5, (64, 96)).astype(np.uint8) for _ in range(3)]
        write_tiff(publisher.data / "raw" / square / "a b.tiff", frames, pixel_size_angstrom=PIXEL)
    (project / "movies").symlink_to(publisher.data / "raw")
    micrographs = list(movies_of_micrographs(project))
    assert len(micrographs) == 2
    write_refinement(
        project,
        32,
        [f"{x} 32 1@p.mrcs {name} 1 0 0 0 0 0 9000 9000 0 1 {1 + x % 2}" for name in micrographs for x in (31, 64)],
    )
    said = run(
        "relion_motion_refine --i particles.star --f post.star --m1 half1.mrc --m2 half2.mrc --mask mask.mrc"
        " --corr_mic corrected_micrographs.star --o Polish/ --max_iters 0 --debug_mov",
        project,
    )
    assert re.findall(r"-> data: (.*)\n", said) == [f"movies/{square}/a b.tiff" for square in SQUARES]


def simulated_session(source: Path) -> dict[str, SimulatedMovie]:
    """Lay two movies of one name, in two folders, which show one particle, and their gain reference."""
    movies = {}
    for number, square in enumerate(SQUARES):
        settings = SimulationSettings(
            height=SIZE,
            width=SIZE,
            frame_count=FRAMES,
            dose_per_frame_e_per_a2=1.0,
            local_motion_px=2.0,
            particle_seed=5,
            particle_diameter_angstrom=DIAMETER,
            defocus_angstrom=9000 + 4000 * number,
            seed=number + 1,
        )
        movies[f"{square}/a.tiff"] = movie = simulate_movie(settings)
        (source / square).mkdir(parents=True)
        movie.write(source / square / "a.tiff")
    assert movie.gain is not None
    write_gain(source / "gain.mrc", movie.gain, movie_format="tiff")
    return movies


def send_session(source: Path, receiver: Any, work: Path, session: str) -> Path:
    """Let an agent align and send all movies; return the folder to run RELION in."""
    done = cryoferry(
        *("watch", source, "--work", work, "--to", receiver.url, "--session", session, "--device", "cpu"),
        *("--pixel-size", PIXEL, "--voltage", 300, "--dose-per-frame", 1, "--work-reserve-bytes", 0),
        *("--settle-seconds", 0.3, "--scan-seconds", 0.3, "--exit-when-idle", 2, "--power-spectrum"),
        CRYOFERRY_TOKEN=receiver.token("agent", session),
    )
    assert done.returncode == 0, done.stderr
    project: Path = receiver.data / "sessions" / session / "relion"

    def are_listed() -> bool:
        star = project / "micrographs_ctf.star"
        return star.exists() and star.read_text().count("\nmicrographs/") == len(SQUARES)

    wait_until(are_listed, "both micrographs are listed with a CTF")
    return project


def refine(project: Path, movies: dict[str, SimulatedMovie]) -> pd.DataFrame:
    """Do a refinement's work with the true orientations and places; return the particles, with what they are."""
    tables, named = starfile.read(project / "Extract" / "particles.star"), movies_of_micrographs(project)
    taken: set[tuple[str, int]] = set()
    refined = []
    for row in tables["particles"].to_dict("records"):
        truth = movies[named[row["rlnMicrographName"]]].particles
        away = truth.centres_yx_px[:, ::-1] - (row["rlnCoordinateX"], row["rlnCoordinateY"])
        nearest = int(np.hypot(*away.T).argmin())
        if np.hypot(*away[nearest]) > 18 or (row["rlnMicrographName"], nearest) in taken:
            continue  # picked twice, or no particle
        taken.add((row["rlnMicrographName"], nearest))
        angles, origin = euler_angles(TO_IMAGE @ truth.rotations[nearest]), -PIXEL * away[nearest]
        row |= dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles, strict=True))
        row |= dict(zip(("rlnOriginXAngst", "rlnOriginYAngst"), origin, strict=True))
        refined.append(row | {"rlnRandomSubset": 1 + len(refined) % 2, "rlnGroupNumber": 1})
    tables["particles"] = pd.DataFrame(refined)
    (project / "Refine3D").mkdir()
    starfile.write(tables, project / "Refine3D" / "run_data.star")
    for half in (1, 2):
        run(
            f"relion_reconstruct --i Refine3D/run_data.star --o Refine3D/run_half{half}_class001_unfil.mrc"
            f" --ctf --sym C7 --subset {half}",
            project,
        )
    (project / "MaskCreate").mkdir()
    radius = np.sqrt(((np.indices((BOX, BOX, BOX)) - BOX // 2) ** 2).sum(0))
    with mrcfile.new(project / "MaskCreate" / "mask.mrc") as file:
        file.set_data(np.clip((0.6 * DIAMETER / PIXEL - radius) / 6, 0, 1).astype(np.float32))
        file.voxel_size = PIXEL
    return tables["particles"]


def euler_angles(matrix: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return RELION's rot, tilt and psi, in degrees, of what turns a place in the map to one in the image."""
    rot, psi = np.arctan2(matrix[2, 1], matrix[2, 0]), np.arctan2(matrix[1, 2], -matrix[0, 2])
    tilt = np.arccos(np.clip(matrix[2, 2], -1, 1))
    return float(np.degrees(rot)), float(np.degrees(tilt)), float(np.degrees(psi))


def track_errors(project: Path, movies: dict[str, SimulatedMovie], particles: pd.DataFrame) -> dict[str, float]:
    """Return, for each movie, how far polished tracks are from the truth: root mean square for each axis, px."""
    errors = {}
    for micrograph, movie in movies_of_micrographs(project).items():
        tracks = starfile.read(project / "Polish" / micrograph.replace(".mrc", "_tracks.star"))
        squares = []
        for number, row in enumerate(particles[particles.rlnMicrographName == micrograph].itertuples()):
            true = [
                movies[movie].truth.displacement(frame, row.rlnCoordinateY, row.rlnCoordinateX)[::-1]
                for frame in range(FRAMES)
            ]
            error = tracks[f"{number}"].to_numpy() / PIXEL - np.array(true, float)
            squares.append(np.square(error - error.mean(0)).mean())
        errors[movie] = float(np.sqrt(np.mean(squares)))
    return errors


@pytest.mark.skipif(not IS_LONG, reason="the whole recipe takes minutes: make campaign PART=relion")
@pytest.mark.timeout(3600)
def test_polished_tracks_follow_the_motion(tmp_path: Path, receiver: Any, record_property: Any) -> None:
    movies = simulated_session(tmp_path / "microscope")
    project = send_session(tmp_path / "microscope", receiver, tmp_path / "work", "mysession")
    for row in starfile.read(project / "corrected_micrographs.star")["micrographs"].itertuples():
        told = run(f"relion_image_handler --i {row.rlnCtfPowerSpectrum} --stats", project)
        assert "(x,y,z,n)= 512 x 512 x 1 x 1" in told
    picking, polishing = (
        block.replace("/data/cryoferry", str(receiver.data)).replace("/data/movies/mysession", f"{tmp_path}/microscope")
        for block in recipe()
    )
    run(picking, tmp_path)
    particles = refine(project, movies)
    run(polishing, project)
    resolution = starfile.read(project / "PostProcess" / "postprocess.star")["general"]["rlnFinalResolution"]
    errors = track_errors(project, movies, particles)
    worst = max(errors.values())
    record_property(
        FIGURES,
        f"{len(particles)} particles, {resolution:.1f} Å before polishing, tracks {worst:.2f} px from the truth",
    )
    assert len(particles) > 50
    assert resolution < 6
    assert worst < 0.25  # 5 to 7 px of whole-frame motion, 2 px of local motion
    assert len(starfile.read(project / "Polish" / "shiny.star")["particles"]) == len(particles)
