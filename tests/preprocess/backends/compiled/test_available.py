"""An extension that does not belong to these sources is not used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess.backends.compiled.available import KERNELS_VARIABLE, compiled_kernels, kernels_are_missing

ROOT = Path(__file__).parents[4]


def missing_in(top: Path) -> str:
    """Return what a new process says that imports the package from a folder."""
    program = "from preprocess.backends.compiled.available import kernels_are_missing as m; print(m())"
    environment = {**os.environ, "PYTHONPATH": str(top)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=top
    ).stdout.strip()


def test_an_extension_of_other_sources_is_not_used(tmp_path: Path) -> None:
    if kernels_are_missing():
        pytest.skip("kernels in C were not compiled: install a C compiler and run make install again")
    shutil.copytree(ROOT / "preprocess/backends/compiled", tmp_path / "preprocess/backends/compiled")
    for package in ("preprocess", "preprocess/backends"):
        shutil.copy(ROOT / package / "__init__.py", tmp_path / package)
    assert missing_in(tmp_path) == "False"
    with (tmp_path / "preprocess/backends/compiled/kernels.h").open("a") as header:
        header.write("void new_kernel(void);\n")
    assert missing_in(tmp_path) == "True"


def test_kernels_in_c_can_be_switched_off() -> None:
    assert compiled_kernels({KERNELS_VARIABLE: "numba"}) is None
