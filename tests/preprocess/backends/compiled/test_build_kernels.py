"""The kernels in C are compiled with or without a compiler, and give the same bits on every kind of x86 processor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cffi import FFI
from numpy.typing import NDArray

from preprocess.backends.compiled.build_kernels import FLAGS, FOLDER, declarations
from preprocess.backends.compiled.calls import KernelCalls
from preprocess.backends.spectrum_layout import CORNER_FREQUENCY, lanczos_taps, ring_indices
from preprocess.geometry.field import DisplacementField

ROOT = Path(__file__).parents[4]
NEEDS = {"x86-64-v2": {"sse4_2"}, "x86-64-v3": {"avx2", "fma"}, "x86-64-v4": {"avx512f", "avx512bw", "avx512vl"}}
"""Kinds of processors, and what /proc/cpuinfo says of them."""


def compiled_for(processor: str, folder: Path) -> KernelCalls:
    """Compile the kernels for one kind of processor alone."""
    library = folder / f"{processor}.so"
    sources = sorted((ROOT / FOLDER).glob("*.c"))
    subprocess.run(
        ["cc", *FLAGS, f"-march={processor}", "-DONE_PROCESSOR", "-shared", "-fPIC", "-o", library, *sources, "-lm"],
        check=True,
    )
    ffi = FFI()
    ffi.cdef(declarations(ROOT))
    return KernelCalls(ffi, ffi.dlopen(str(library)))


def results(kernels: KernelCalls) -> dict[str, NDArray[Any]]:
    """Return what each kernel makes of random numbers."""
    random = np.random.default_rng(4)
    found = {}
    for dtype in (np.uint8, np.float32):
        frames = random.poisson(3, (3, 70, 301)).astype(dtype)
        for stretch in (1.0, 1.05):
            field = DisplacementField.whole_frame(random.normal(0, 3, (3, 2))).stretched(stretch, 20, (70, 301))
            sums, gain = np.zeros((2, 70, 301), np.float32), random.uniform(0.8, 1.2, (70, 301)).astype(np.float32)
            weights = random.uniform(0.1, 1, (3, 2)).astype(np.float32)
            kernels.warp_and_sum(
                frames, gain, True, *field.by_powers(), field.columns_at_once(301), weights, lanczos_taps(), sums, 0, 70
            )
            found[f"warp_and_sum {dtype.__name__} {stretch}"] = sums
        found[f"raw_sum {dtype.__name__}"] = np.empty((70, 301), np.float32)
        kernels.raw_sum(frames, found[f"raw_sum {dtype.__name__}"], 0, 70)
        for factor in (2, 3, 4):
            found[f"bin_frame {dtype.__name__} {factor}"] = binned = np.empty((70 // factor, 301 // factor), np.float32)
            kernels.bin_frame(frames[0], gain, True, factor, binned, 0, len(binned))
    planes, rings = random.normal(0, 1, (2, 40, 5, 2, 31)).astype(np.float32), ring_indices((40, 60))
    extents, weights = (rings < 200).sum(1), random.uniform(0, 1, 257).astype(np.float32)
    measures = [np.zeros((2, 2, 256)), np.zeros((5, 2, 2)), np.zeros((2, 3))]
    shifts = random.normal(0, 3, (5, 2, 2))
    kernels.measure_patches(planes, np.arange(2), shifts, rings, extents, weights, 60, *measures, 0, 2)
    found |= {f"measure_patches {number}": measure for number, measure in enumerate(measures)}
    transform = (random.normal(0, 1, (64, 51)) + 1j).astype(np.complex64)
    found["add_filtered"] = total = np.zeros((50, 41), np.complex64)
    kernels.add_filtered(transform, 64, 100, weights, CORNER_FREQUENCY, total, 0, 50)
    return found


@pytest.fixture
def compiler() -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")


@pytest.mark.usefixtures("compiler")
def test_every_kind_of_processor_gives_the_same_bits(tmp_path: Path) -> None:
    cpuinfo = Path("/proc/cpuinfo")
    here = set(cpuinfo.read_text("utf-8").split()) if cpuinfo.exists() else set()
    kinds = [kind for kind, needs in NEEDS.items() if needs <= here]
    if len(kinds) < 2:
        pytest.skip("this processor runs the code for one kind of processor only, or is not an x86")
    first, *others = (results(compiled_for(kind, tmp_path)) for kind in kinds)
    for other in others:
        for name, expected in first.items():
            np.testing.assert_array_equal(other[name].view(np.uint8), expected.view(np.uint8), err_msg=name)


def wheel(tmp_path: Path, **environment: str) -> zipfile.ZipFile:
    """Build a wheel of a tree with nothing but the package of the kernels."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / FOLDER, tree / FOLDER, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("preprocess/__init__.py", "preprocess/backends/__init__.py", "setup.py"):
        shutil.copy(ROOT / name, tree / name)
    text = '[project]\nname = "part"\nversion = "1"\n[tool.setuptools.packages.find]\ninclude = ["preprocess*"]\n'
    (tree / "pyproject.toml").write_text(text)
    program = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        cwd=tree, check=True, capture_output=True, env={**os.environ, **environment},
    )  # fmt: skip
    (built,) = tmp_path.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.usefixtures("compiler")
def test_a_wheel_with_kernels_is_for_this_platform_and_every_python(tmp_path: Path) -> None:
    built = wheel(tmp_path)
    assert "-cp311-abi3-" in str(built.filename)
    assert [name for name in built.namelist() if name.startswith("preprocess/backends/compiled/_kernels.abi3.")]


def test_without_a_compiler_the_wheel_has_no_kernels_and_is_for_all(tmp_path: Path) -> None:
    built = wheel(tmp_path, CC="/bin/false")
    assert str(built.filename).endswith("-py3-none-any.whl")
    assert not [name for name in built.namelist() if "_kernels.abi3" in name]
