"""An extension that does not belong to these sources is not used, and each reason is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.backends.compiled.available import compiled_kernels, kernel_trouble
from preprocess.backends.compiled.chosen_kernels import KERNELS_VARIABLE

ROOT = Path(__file__).parents[4]
FOLDER = "preprocess/backends/compiled"


def trouble_in(top: Path) -> str:
    """Return what a new process says that imports the package from a folder."""
    program = "from preprocess.backends.compiled.available import kernel_trouble as t; print(t())"
    environment = {**os.environ, "PYTHONPATH": str(top)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=top
    ).stdout.strip()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package, its extension included if it was compiled."""
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER)
    for part in ("preprocess/__init__.py", "preprocess/errors.py", "preprocess/backends/__init__.py"):
        shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


@pytest.fixture
def extension(copied: Path) -> Path:
    """Return the copied extension."""
    if kernel_trouble():
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    (found,) = (copied / FOLDER).glob("_kernels.abi3.*")
    return found


def test_an_extension_of_other_sources_is_outdated(copied: Path, extension: Path) -> None:
    assert extension.exists()
    assert trouble_in(copied) == "None"
    with (copied / FOLDER / "kernels.h").open("a") as header:
        header.write("void new_kernel(void);\n")
    trouble = trouble_in(copied)
    assert "outdated (kernels.h has changed since they were compiled)" in trouble
    assert "Compile them again" in trouble
    assert "not compiled" not in trouble


def test_an_extension_that_is_damaged_says_so(copied: Path, extension: Path) -> None:
    extension.write_bytes(b"no library")
    trouble = trouble_in(copied)
    assert "cannot be loaded (" in trouble
    assert "Compile them again" in trouble


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01, 20e-6])
def test_a_truncated_extension_is_not_loaded(kept: float, copied: Path, extension: Path) -> None:
    content = extension.read_bytes()
    extension.write_bytes(content[: int(kept * len(content))])
    trouble = trouble_in(copied)  # loading it would end the process by a bus error
    assert f"cannot be loaded ({extension.name} is truncated" in trouble
    assert "so numba's are used" in trouble


def test_without_an_extension_a_compiler_is_asked_for(copied: Path) -> None:
    for found in (copied / FOLDER).glob("_kernels.*"):
        found.unlink()
    trouble = trouble_in(copied)
    assert "were not compiled when this version was installed" in trouble
    assert "Install a C compiler" in trouble


def test_kernels_in_c_can_be_switched_off() -> None:
    assert compiled_kernels({KERNELS_VARIABLE: "numba"}) is None
