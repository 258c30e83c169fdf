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

    def prefix(self, paths: str = "") -> tuple[str, ...]:
        """Return a command that runs another one with faults, of writes only in files whose path contains `paths`."""
        return "env", *(f"{name}={value}" for name, value in self.environment(paths).items())

    def environment(self, paths: str = "") -> dict[str, str]:
        """Return the variables with which a program runs with faults; see `prefix`."""
        return {"LD_PRELOAD": str(self._library), "FAULTY_WHILE": str(self._switch), "FAULTY_PATHS": paths}

    def begin(self, faults: str) -> None:
        """Let faults happen from now on: one of the words that `faulty_calls.c` lists."""
        written = self._switch.with_suffix(".new")
        written.write_text(f"{faults}\n")
        written.replace(self._switch)

    @property
    def has_happened(self) -> bool:
        """Whether a fault has happened since `begin`."""
        return bool(self._switch.read_text().partition("\n")[2])

    def end(self) -> int:
        """Let no more faults happen; return how many did."""
        _, _, noted = self._switch.read_text().partition("\n")
        self._switch.unlink()
        return len(noted)
