"""Builds the kernels in C if it can; everything else about the package stands in pyproject.toml."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel

KERNELS = "preprocess/backends/compiled/build_kernels.py:builder"


class WheelOfWhatWasBuilt(bdist_wheel):
    """A wheel for this platform if the kernels were built, for all platforms if not."""

    def run(self) -> None:
        """Build first, then see whether the kernels are there."""
        self.run_command("build")
        built = self.get_finalized_command("build_ext").get_outputs() if self.distribution.has_ext_modules() else []
        self.root_is_pure = not any(Path(path).exists() for path in built)
        super().run()


there = importlib.util.find_spec("cffi") is not None
if not there:
    sys.stderr.write("cffi is not installed: kernels in C are not compiled, and alignment takes longer\n")
setup(
    **({"cffi_modules": [KERNELS]} if there else {}),
    cmdclass={"bdist_wheel": WheelOfWhatWasBuilt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
