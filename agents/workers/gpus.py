"""Which GPUs this process may use, and how they are shared out among workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""What a batch system or a person permits: indices, UUIDs (GPU-…) or parts of a GPU (MIG-…), by commas."""

_COUNT_DEVICES = (
    "from preprocess.backends.cuda.device import cupy; print('devices', cupy.cuda.runtime.getDeviceCount())"
)


def permitted_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the GPUs that this process may use, each as CUDA_VISIBLE_DEVICES names it; none if CuPy finds none.

    A process that a batch system has given GPUs 2 and 5 may use no others: 0 and 1 may be other people's. CUDA itself
    says how many of the list are there. It counts one part of a divided GPU (MIG) for each process, however many the
    list has; there each is for a worker of its own.
    """
    listed = environment.get(VARIABLE)
    if listed is not None and not listed.strip():
        return []
    count = _gpu_count(environment)
    if listed is None:
        return [str(number) for number in range(count)]
    names = [name.strip() for name in listed.split(",")]
    if count and names[0].startswith("MIG-"):
        return [name for name in dict.fromkeys(names) if name.startswith("MIG-")]
    return names[:count]  # CUDA ignores the list from the first name on that it does not know


def shares_of_gpus(workers: int, gpus: list[str]) -> list[dict[str, str]]:
    """Return what each worker has in its environment, so that they share the GPUs evenly."""
    if len(gpus) < 2:
        return [{} for _ in range(workers)]
    return [{VARIABLE: gpus[number % len(gpus)]} for number in range(workers)]


def _gpu_count(environment: Mapping[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _COUNT_DEVICES], capture_output=True, text=True, check=False, env=dict(environment)
    )
    *_, last = done.stdout.split() or [""]  # a library may print something before
    return int(last) if done.returncode == 0 and last.isdigit() else 0
