"""A kernel runs whatever becomes of the folder for compiled code, in a process of its own for each case."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import ROOT

PROGRAM = """
import logging
logging.basicConfig(level="INFO")
from preprocess.compiled_code import compiled
@compiled()
def add(a, b):
    return a + b
print("sum", add(2, 3), "from the folder", sum(add.stats.cache_hits.values()))
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run_program(**environment: str) -> subprocess.CompletedProcess[str]:
        clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
        return subprocess.run(
            [sys.executable, str(program)], env=clean, cwd=tmp_path, capture_output=True, text=True, check=True
        )

    return run_program


def test_code_is_kept_for_the_next_start(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    folder = str(tmp_path / "kept")
    assert run(NUMBA_CACHE_DIR=folder).stdout == "sum 5 from the folder 0\n"
    assert run(NUMBA_CACHE_DIR=folder).stdout == "sum 5 from the folder 1\n"


DAMAGES = {"empty": b"", "garbled": b"\x80\x05garbage", "other": b"not a pickle at all"}
DAMAGED_PROGRAM = (
    PROGRAM.partition("@compiled")[0]
    + "added = {}\n"
    + "".join(
        f"@compiled()\ndef {name}_{suffix}(a, b):\n    return a + b\nadded[{name}_{suffix}] = {name}_{suffix}(2, 3)\n"
        for name in DAMAGES
        for suffix in ("nbi", "nbc")
    )
    + "print(set(added.values()), 'from the folder', [sum(add.stats.cache_hits.values()) for add in added])\n"
)


def test_damaged_files_are_replaced(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    (tmp_path / "program.py").write_text(DAMAGED_PROGRAM)
    folder = tmp_path / "kept"
    run(NUMBA_CACHE_DIR=str(folder))
    for name, damage in DAMAGES.items():
        for suffix in ("nbi", "nbc"):
            (file,) = folder.rglob(f"*{name}_{suffix}*.{suffix}")
            file.write_bytes(damage)
    second = run(NUMBA_CACHE_DIR=str(folder))
    assert second.stdout == f"{{5}} from the folder {[0] * 6}\n"
    assert second.stderr.count("compiled code cannot be read, it is compiled again") == 6
    assert run(NUMBA_CACHE_DIR=str(folder)).stdout == f"{{5}} from the folder {[1] * 6}\n"


def test_nothing_can_be_kept(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    (tmp_path / "file").touch()
    done = run(NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert done.stdout.startswith("sum 5")
    assert "compiled code cannot be kept" in done.stderr
    assert "Set NUMBA_CACHE_DIR to a folder that this user can write to." in done.stderr


def test_a_full_disk(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root and mount, to make a small disk")
    folder = tmp_path / "full"
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "none", str(folder)], check=True)
    try:
        (folder / "rest").write_bytes(bytes(8 << 10))
        done = run(NUMBA_CACHE_DIR=str(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert done.stdout.startswith("sum 5")
    assert "compiled code cannot be kept, each start compiles it again" in done.stderr
