"""The machine that a benchmark ran on: figures mean little without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from transfer.platform import usable_cores


def machine() -> dict[str, Any]:
    """Return processor, cores that may be used, memory, system and the load of the last minute."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
