"""Receivers whose disk lies: their writes or syncs report success and do nothing (`faulty_calls.c`, preloaded)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("faulty_calls.c")


class FaultyCalls:
    """The library, compiled, and the switch that turns its faults on and off while the program runs."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("cc") is None:
            pytest.skip("no C compiler: no disk can be made that lies (Debian: apt-get install gcc)")
        self._library, self._switch = folder / "faulty_calls.so", folder / "faults-happen"
        strict = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")
        subprocess.run(["cc", *strict, "-shared", "-fPIC", "-o", self._library, SOURCE], check=True)

    def prefix(self, *, paths: str = "", writes: str = "", syncs: str = "") -> tuple[str, ...]:
        """Return a command that runs another one with these faults; see `faulty_calls.c` for the words."""
        named = {"FAULTY_PATHS": paths, "FAULTY_WRITES": writes, "FAULTY_SYNCS": syncs}
        settings = [f"{name}={value}" for name, value in named.items() if value]
        return "env", f"LD_PRELOAD={self._library}", f"FAULTY_WHILE={self._switch}", *settings

    def begin(self) -> None:
        """Let the faults happen from now on."""
        self._switch.touch()

    def end(self) -> int:
        """Let no more faults happen; return how many did."""
        count = self._switch.stat().st_size
        self._switch.unlink()
        return count
