"""Where kernels in C were compiled, micrographs and movies are processed without numba: it takes long to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mrcfile
import pytest

from preprocess.backends.compiled.available import compiled_kernels
from preprocess.simulation import MicrographSettings, SimulationSettings, simulate_micrograph, simulate_movie
from tests.running import clean_environment

PROGRAM = 'import sys; sys.modules["numba"] = None; import cryoferry; cryoferry.main()'
"""Runs the command where importing numba fails."""


@pytest.fixture(autouse=True)
def in_c() -> None:
    if compiled_kernels() is None:
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")


def cryoferry_without_numba(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=clean_environment(**environment),
    )  # fmt: skip


@pytest.fixture(scope="module")
def micrograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a micrograph with a tilt, whose blocks are compared too."""
    path = tmp_path_factory.mktemp("micrograph") / "m.mrc"
    truth = MicrographSettings(
        height=1280, width=1280, seed=1, pixel_size_angstrom=1.2, defocus_u_angstrom=14_000, defocus_v_angstrom=12_000,
        dose_e_per_a2=60, tilt_degrees=25,
    )  # fmt: skip
    with mrcfile.new(path) as file:
        file.set_data(simulate_micrograph(truth).image)
        file.voxel_size = 1.2
    return path


ESTIMATE = ("--voltage", "300", "--device", "cpu", "--threads", "1", "--json")


def test_a_ctf_is_estimated(micrograph: Path, tmp_path: Path) -> None:
    ran = cryoferry_without_numba("ctf", micrograph, *ESTIMATE, "--out", tmp_path)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["reliable"], found["reason"]
    assert abs(found["tilt"] - 25) < 3
    assert abs(found["defocus_u"] - 14_000) < 100


def test_numba_is_asked_for_where_kernels_in_c_are_switched_off(micrograph: Path, tmp_path: Path) -> None:
    ran = cryoferry_without_numba("ctf", micrograph, *ESTIMATE, "--out", tmp_path, CRYOFERRY_KERNELS="numba")
    assert ran.returncode != 0
    assert "numba" in ran.stderr


@pytest.mark.parametrize("name", ["a.tiff", "a.mrc"])
def test_a_movie_is_aligned_and_its_ctf_estimated(name: str, tmp_path: Path) -> None:
    movie = simulate_movie(SimulationSettings(height=512, width=640, frame_count=5, seed=1))
    movie.write(tmp_path / name)
    ran = cryoferry_without_numba(
        "align", tmp_path / name, "--out", tmp_path / "out", "--voltage", "300", "--pixel-size", "1",
        "--dose-per-frame", "1", "--device", "cpu", "--threads", "1",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (written,) = (tmp_path / "out").rglob("a.json")
    assert json.loads(written.read_text("utf-8"))["ctf"] is not None
