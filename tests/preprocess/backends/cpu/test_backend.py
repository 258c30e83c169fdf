"""What the CPU's backend says of a movie that the machine cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.backends.cpu.backend import CpuBackend
from preprocess.errors import DeviceOutOfMemory


def test_too_little_memory_is_the_machines() -> None:
    with pytest.raises(DeviceOutOfMemory, match="The machine has too little memory for this movie") as refused:
        CpuBackend(1).hold(1 << 20, 1 << 20, 1 << 20, np.dtype(np.uint8))
    assert "ulimit -v" in refused.value.hint
    assert "--device" not in refused.value.hint
