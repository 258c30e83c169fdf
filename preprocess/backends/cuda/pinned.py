"""Memory of the host that a device reads and writes by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.device import cupy


def pinned_bytes(size: int) -> NDArray[np.uint8]:
    """Return such memory; ordinary memory, which takes longer to copy, where the system has none or permits none.

    CuPy's pool rounds every size up to a power of two.
    """
    try:
        return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, count=size)
    except cupy.cuda.runtime.CUDARuntimeError:
        return np.empty(size, np.uint8)
