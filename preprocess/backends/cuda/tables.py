"""Tables that kernels read, made and uploaded once for each size of image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.device import DeviceArray
from preprocess.backends.cuda.device_memory import DeviceMemory
from preprocess.backends.spectrum_layout import edge_taper, lanczos_taps, ring_indices, ring_sizes
from preprocess.geometry.patches import patch_window

MOST_TABLES = 32

Table = TypeVar("Table")


class Tables:
    """The tables of one device; those not asked for of late are dropped."""

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def rings(self, shape: tuple[int, int]) -> DeviceArray:
        """Return the ring of each component of an image's half spectrum, (height, width // 2 + 1), int16."""
        return self._kept_or_made(("rings", shape), lambda: self._upload(ring_indices(shape)))

    def ring_sizes(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring; on the host."""
        return self._kept_or_made(("ring sizes", shape), lambda: ring_sizes(shape))

    def edge_taper(self, size: int) -> DeviceArray:
        """Return what a frame's edges are softened by along one axis, (size,), float32."""
        return self._kept_or_made(("taper", size), lambda: self._upload(edge_taper(size)))

    def patch_window(self, size: int) -> DeviceArray:
        """Return the window of a patch along one axis, (size,), float32."""
        return self._kept_or_made(("window", size), lambda: self._upload(patch_window(size)))

    def lanczos_taps(self) -> DeviceArray:
        """Return the taps of the interpolation, (steps, 6), float32."""
        return self._kept_or_made(("taps",), lambda: self._upload(lanczos_taps()))

    def _upload(self, table: NDArray[Any]) -> DeviceArray:
        return self._memory.upload("tables", table)

    def _kept_or_made(self, name: tuple[Any, ...], make: Callable[[], Table]) -> Table:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
                while len(self._kept) > MOST_TABLES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(name)
            table: Table = self._kept[name]
            return table
