"""What `doctor` says of GPUs: over a stand-in for CuPy, and a program in place of nvidia-smi."""

from __future__ import annotations

import os
from pathlib import Path

import kernels_on_host
import pytest
from cupy_elsewhere import CupyElsewhere
from cupy_on_host import PlannedFault

from agents.commands.finding import Finding
from agents.commands.gpu_checks import Card, examine_gpus

needs_compiler = pytest.mark.skipif(kernels_on_host.compiler() is None, reason="no C++ compiler for the kernels")


class Listing:
    """A folder with a program `nvidia-smi` that prints these lines."""

    def __init__(self, folder: Path, lines: str) -> None:
        folder.mkdir()
        self._folder = folder
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
        program.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def h200(tmp_path: Path) -> dict[str, str]:
    return Listing(tmp_path / "bin", "NVIDIA H200, 570.86.15, 9.0").environment


def only(tmp_path: Path, environment: dict[str, str]) -> Finding:
    (finding,) = examine_gpus(tmp_path / "work", environment)
    assert finding.check == "gpu"
    return finding


@needs_compiler
def test_a_sound_gpu_has_run_a_kernel_and_a_transform(tmp_path: Path, h200: dict[str, str]) -> None:
    found = only(tmp_path, h200 | CupyElsewhere(tmp_path / "cupy").environment)
    assert found.verdict == "ok", found.text
    assert "this host, 2 GB, compute capability 9.0; driver 570.86.15 (CUDA 12.8), CuPy's CUDA 12.9" in found.text
    assert "a kernel and a Fourier transform" in found.text


@needs_compiler
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (PlannedFault("sum_frames", "CompileException", 6), "cannot be compiled"),
        (PlannedFault("fft", "CuFFTError", 5), "CUFFT 5"),
    ],
    ids=["kernel", "transform"],
)
def test_a_gpu_that_lists_but_does_not_compute_is_a_failure(
    tmp_path: Path, h200: dict[str, str], fault: PlannedFault, told: str
) -> None:
    elsewhere = CupyElsewhere(tmp_path / "cupy")
    elsewhere.plant(fault)
    found = only(tmp_path, h200 | elsewhere.environment)
    assert found.verdict == "fail"
    assert told in found.text
    assert "cryoferry[cuda12]" in found.what_to_do


def test_without_cupy_the_extra_is_named_that_fits_driver_and_gpu(tmp_path: Path, h200: dict[str, str]) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "cupy.py").write_text("raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')\n")
    found = only(tmp_path, h200 | {"PYTHONPATH": os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])})
    assert found.verdict == "warn"
    assert "CuPy is not installed" in found.text
    assert "cryoferry[cuda12]" in found.what_to_do


def test_a_driver_that_finds_no_gpu_is_a_warning(tmp_path: Path) -> None:
    environment = Listing(tmp_path / "bin", "No devices were found").environment
    found = only(tmp_path, environment | CupyElsewhere(tmp_path / "cupy", devices=0).environment)
    assert found.verdict == "warn"
    assert "cudaError 100" in found.text
    assert "install its driver" in found.what_to_do


@pytest.mark.parametrize(
    ("driver", "capability", "extra"),
    [
        ("580.65.06", (9, 0), "cuda13"),
        ("580.65.06", (7, 5), "cuda13"),
        ("580.65.06", (7, 0), "cuda12"),
        ("575.57.08", (12, 0), "cuda12"),
        ("525.60.13", (8, 0), "cuda12"),
        ("470.82.01", (8, 0), None),
        ("580.65.06", (6, 1), None),
    ],
)
def test_the_extra_follows_from_the_driver_and_the_gpu(driver: str, capability: tuple[int, int], extra: str) -> None:
    assert Card("a GPU", driver, capability).extra == extra
