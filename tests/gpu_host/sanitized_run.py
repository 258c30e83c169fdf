"""Runs a program in a process that has the sanitizers' libraries loaded first, as sanitized kernels need them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import kernels_on_host
import pytest

HERE = Path(__file__).parent


def run_sanitized(program: str, sanitizers: tuple[str, ...] = ("asan", "ubsan")) -> subprocess.CompletedProcess[str]:
    """Run a Python program that finds the modules of this folder and ours; skip where there are no sanitizers."""
    compiler = kernels_on_host.compiler()
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs g++ and its sanitizers")
    libraries = [
        subprocess.run([compiler, f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True).stdout
        for name in sanitizers
    ]
    preload = [text.strip() for text in libraries]
    if not all(Path(text).is_absolute() for text in preload):
        pytest.skip("no sanitizers beside the compiler (Debian: apt-get install libasan8 libubsan1)")
    found = f"import sys\nsys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1])!r}]\n"
    return subprocess.run(
        [sys.executable, "-c", found + program],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "LD_PRELOAD": " ".join(preload),
            "ASAN_OPTIONS": "detect_leaks=0",
            "TSAN_OPTIONS": "halt_on_error=1 exitcode=66",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONMALLOC": "malloc",
        },
    )
