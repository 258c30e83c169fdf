"""The kernels in C are compiled with or without a compiler, and give the same bits on every kind of x86 processor."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from preprocess.backends.compiled.build_kernels import FLAGS, FOLDER
from tests.preprocess.backends.compiled.kernel_results import kernels_of, results

ROOT = Path(__file__).parents[4]
NEEDS = {"x86-64-v2": {"sse4_2"}, "x86-64-v3": {"avx2", "fma"}, "x86-64-v4": {"avx512f", "avx512bw", "avx512vl"}}
"""Kinds of processors, and what /proc/cpuinfo says of them."""


def compiled_for(processor: str, folder: Path, *more: str) -> Path:
    """Compile the kernels for one kind of processor alone."""
    library = folder / f"{processor}.so"
    sources = sorted((ROOT / FOLDER).glob("*.c"))
    flags = [*FLAGS, f"-march={processor}", "-DONE_PROCESSOR", "-shared", "-fPIC", *more]
    subprocess.run(["cc", *flags, "-o", library, *sources, "-lm"], check=True)
    return library


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
    first, *others = (results(kernels_of(compiled_for(kind, tmp_path))) for kind in kinds)
    for other in others:
        for name, expected in first.items():
            np.testing.assert_array_equal(other[name].view(np.uint8), expected.view(np.uint8), err_msg=name)


@pytest.mark.usefixtures("compiler")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the instructions of x86-64")
def test_products_and_sums_are_never_contracted() -> None:
    """gcc 12 does it in pairs of complex products even if it is told not to; no processor below v3 can."""
    flags = [*FLAGS, "-march=x86-64-v3", "-DONE_PROCESSOR", "-S", "-o", "-"]
    for source in sorted((ROOT / FOLDER).glob("*.c")):
        code = subprocess.run(["cc", *flags, source], check=True, capture_output=True, text=True).stdout
        assert not re.findall(r"\bvfn?m(?:add|sub)\w*", code), source.name


@pytest.mark.usefixtures("compiler")
def test_kernels_never_leave_their_memory(tmp_path: Path) -> None:
    """AddressSanitizer and UBSan watch every kernel, at the borders and with damaged strips."""
    checks = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-sanitize=alignment", "-O1")
    runtimes = [
        subprocess.run(["cc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(Path(path).is_absolute() for path in runtimes):
        pytest.skip("the compiler has no sanitizers")
    library = compiled_for("native", tmp_path, *checks)
    watched = subprocess.run(
        [sys.executable, "-m", "tests.preprocess.backends.compiled.kernel_results", library],
        cwd=ROOT, check=False, capture_output=True, text=True,
        env={**os.environ, "LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"},
    )  # fmt: skip
    assert (watched.returncode, watched.stdout) == (0, "done\n"), watched.stderr[-3000:]


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
