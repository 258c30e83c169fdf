"""Images on their way from a CUDA device into pinned memory, on a stream of their own: computing goes on meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, cupy, on_its_device
from preprocess.backends.cuda.sources import THREADS_A_BLOCK, blocks_over, kernel
from preprocess.backends.figures import LANES, ROW_FIGURES, Figures, RowFigures

FLOAT16_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class ImageOnItsWay:
    """An image whose copy to the machine's memory was asked for."""

    figures: Figures
    beyond_float16: bool
    downloads: Downloads
    there: Any
    arriving: NDArray[np.float16] | NDArray[np.float32]

    def pixels(self) -> NDArray[np.float16] | NDArray[np.float32]:
        """Return it when all of it is there."""
        self.downloads.wait_for(self.there)
        return self.arriving


class Downloads:
    """Sends images down, one after the other. What is copied is kept, at both ends, until the copy is done."""

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        with cupy.cuda.Device(device.number):
            self._stream = cupy.cuda.Stream(non_blocking=True)
        self._copying: list[tuple[Any, DeviceArray, Any]] = []
        self._lock = threading.Lock()

    @on_its_device
    def begin(self, image: DeviceArray, *, float32: bool) -> ImageOnItsWay:
        """Send an image down as float16, unless float32 is asked for or a value is beyond float16's range."""
        image = image if isinstance(image, cupy.ndarray) else self.device.memory.upload("images", image, "f4")
        height, width = (int(size) for size in image.shape)
        rows = self.device.memory.array("results", (2, ROW_FIGURES, height), "f8")
        blocks, written = (blocks_over(height, THREADS_A_BLOCK // LANES),), image
        with self.device.clock.stage("convert", moved_bytes=image.nbytes * 3 // 2, flop=12 * image.size):
            if float32:
                kernel("figures", "image_figures")(blocks, image, rows[1], height, width)
            else:
                written = self.device.memory.array("half images", (height, width), "u2")
                kernel("figures", "write_half")(blocks, image, written, rows[0], rows[1], height, width)
        as_written, before = (RowFigures(each, width) for each in rows.get())
        figures = before.whole()
        if float32 or max(figures.highest, -figures.lowest) > FLOAT16_LARGEST:
            return self._send(image, np.float32, figures, beyond_float16=not float32)
        return self._send(written, np.float16, as_written.whole(), beyond_float16=False)

    def _send(
        self, image: DeviceArray, dtype: type[np.floating[Any]], figures: Figures, *, beyond_float16: bool
    ) -> ImageOnItsWay:
        pinned = cupy.cuda.alloc_pinned_memory(image.nbytes)
        arriving = np.frombuffer(pinned, dtype, image.size).reshape(image.shape)
        made, there = cupy.cuda.Event(disable_timing=True), cupy.cuda.Event(block=True, disable_timing=True)
        made.record(self.device.stream)
        with self._stream:
            self._stream.wait_event(made)
            with self.device.clock.stage("download", moved_bytes=image.nbytes):
                runtime = cupy.cuda.runtime
                sizes = (arriving.ctypes.data, image.data.ptr, image.nbytes)
                runtime.memcpyAsync(*sizes, runtime.memcpyDeviceToHost, self._stream.ptr)
            there.record(self._stream)
        self._let_go()
        with self._lock:
            self._copying.append((there, image, pinned))
        return ImageOnItsWay(figures, beyond_float16, self, there, arriving)

    @on_its_device
    def wait_for(self, there: Any) -> None:
        """Wait until what was sent before this event has arrived."""
        there.synchronize()
        self._let_go()

    def _let_go(self) -> None:
        """Give back what was copied at either end."""
        with self._lock:
            self._copying = [copy for copy in self._copying if not copy[0].done]
