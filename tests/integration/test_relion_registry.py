"""Debian's RELION on what the registrar writes: it reads the list, and picks on the micrographs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.registrars.runner import RegistrarRunner
from api.registrars.settings import RegistrarSettings
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(
        shutil.which("relion_star_handler") is None, reason="needs RELION on the PATH (Debian: apt-get install relion)"
    ),
]

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
    runner = RegistrarRunner(RegistrarSettings(), publisher.database, publisher.data)
    runner.start()
    wait_until(lambda: publisher.count("relion", "registered") == 3, "three registered exposures")
    runner.stop()
    return Path(publisher.project("relion"))


def relion(project: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(star: Path, table: str) -> list[str]:
    block = star.read_text().split(f"data_{table}\n")[1].split("\ndata_")[0]
    return [line for line in block.splitlines() if line.strip() and not line.startswith(("_", "loop_", "#"))]


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
