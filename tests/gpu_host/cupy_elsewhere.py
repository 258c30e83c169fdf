"""Makes other processes find the stand-in where they import CuPy, with a fault planted if one is wanted."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from cupy_on_host import PlannedFault

HERE = Path(__file__).parent
_PACKAGE = """
import json, sys
from pathlib import Path
sys.path.append({here!r})
import cupy_on_host

cupy_on_host.device.count = {devices}
planted = Path({planted!r})
if planted.exists():
    cupy_on_host.device.fault = cupy_on_host.PlannedFault(**json.loads(planted.read_text()))
    if not planted.with_name("lasts").exists():
        cupy_on_host.device.when_failed = lambda: planted.unlink(missing_ok=True)
sys.modules["cupy"] = cupy_on_host.module()
"""


class CupyElsewhere:
    """A folder with a package `cupy`, for processes that are started with `environment`.

    Parameters
    ----------
    folder : Path
        Empty, or not there.
    devices : int
        How many devices are said to be there.
    """

    def __init__(self, folder: Path, devices: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._planted = folder / "fault.json"
        self.count_devices(devices)

    def count_devices(self, devices: int) -> None:
        """Change how many devices are there, for processes that import CuPy from now on."""
        text = _PACKAGE.format(here=str(HERE), planted=str(self._planted), devices=devices)
        (self._folder / "cupy.py").write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that make a process find it."""
        others = os.environ.get("PYTHONPATH", "")
        return {"PYTHONPATH": os.pathsep.join([str(self._folder), *filter(None, [others])])}

    def plant(self, fault: PlannedFault, *, lasts: bool = False) -> None:
        """Plan a failure for processes that import CuPy from now on.

        The first that reaches it has it, and no other; with `lasts`, each has it until `repair`.
        """
        if lasts:
            self._planted.with_name("lasts").touch()
        self._planted.write_text(json.dumps(asdict(fault)))

    def repair(self) -> None:
        """Take a failure back."""
        for file in (self._planted, self._planted.with_name("lasts")):
            file.unlink(missing_ok=True)

    @property
    def is_planted(self) -> bool:
        """Return whether the failure is still to come."""
        return self._planted.exists()
