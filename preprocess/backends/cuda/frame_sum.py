"""The sum of a movie's frames on a CUDA device, and which of its pixels are valid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import Image
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.device import DeviceArray, on_its_device
from preprocess.backends.cuda.sources import THREADS_A_BLOCK, blocks_over, frame_type, kernel
from preprocess.backends.row_statistics import LANES, STATISTICS_PER_ROW, RowStatistics
from preprocess.geometry.image_centre import centre_slices
from preprocess.images import PixelStatistics

ROWS_A_BLOCK = THREADS_A_BLOCK // LANES


def _total(frames: DeviceArray) -> str:
    """Return the dialect's number type that holds the exact sum of integers, and double for others."""
    if frames.dtype.kind not in "iu":
        return "double"
    return "i32" if len(frames) * 256**frames.dtype.itemsize <= 2**31 else "i64"


class CudaFrameSum:
    """A raw sum (height, width) and the gain it is seen with on the device; its rows' statistics on the host."""

    def __init__(self, frames: DeviceArray, gain: DeviceArray | None, device: CudaDevice) -> None:
        count, height, width = frames.shape
        self.shape = (int(height), int(width))
        self.device = device
        memory, size = device.memory, height * width
        raw, self._good = memory.array("images", self.shape, "f4"), memory.array("masks", self.shape, "u1")
        with device.timer.stage("sum", moved_bytes=frames.nbytes + raw.nbytes, flop=frames.size):
            add_up = kernel("frame_sum", "sum_frames", FRAME=frame_type(frames.dtype), TOTAL=_total(frames))
            add_up((blocks_over(size),), frames, raw, count, size)
        self._seen = (raw, raw if gain is None else gain, gain is not None)
        kernel("frame_sum", "believe_in_gain")((blocks_over(size),), *self._seen[1:], self._good, size)
        self._rows = self._statistics_of_rows()

    def mean(self) -> float:
        """Return the mean of all pixels."""
        return self._rows.mean_of_all()

    def statistics(self) -> PixelStatistics:
        """Return the statistics of the valid pixels."""
        return self._rows.whole()

    @on_its_device
    def exclude(self, pixels: NDArray[np.int64]) -> None:
        """Mark these pixels as invalid."""
        if pixels.size:
            listed = self.device.memory.upload("lists", pixels, "i4")
            kernel("frame_sum", "exclude_pixels")((blocks_over(len(pixels)),), self._good, listed, len(pixels))
            self._rows = self._statistics_of_rows()

    @on_its_device
    def excluded(self) -> NDArray[np.int64]:
        """Return the pixels that are not valid."""
        return self._list_pixels(self._rows.with_pixels_left_out(), None)

    @on_its_device
    def between(self, lowest: float, highest: float) -> NDArray[np.int64]:
        """Return the valid pixels whose value lies from lowest to highest."""
        return self._list_pixels(self._rows.with_values_between(lowest, highest), (float(lowest), float(highest)))

    @on_its_device
    def surroundings(self, pixels: NDArray[np.int64], reach: int) -> tuple[NDArray[np.float32], float | None]:
        """Compare with the mean of the valid pixels around."""
        memory, (height, width) = self.device.memory, self.shape
        averages, means = memory.array("images", (2, height, width), "f4"), memory.array("images", self.shape, "f4")
        noise = memory.array("results", (2, height), "f8")
        listed, around = memory.upload("lists", pixels, "i4"), memory.array("results", (len(pixels),), "f4")
        blocks, size = (blocks_over(width), height), (height, width)
        with self.device.timer.stage("defects", moved_bytes=8 * means.nbytes, flop=40 * means.size):
            kernel("surroundings", "average_rows")(blocks, *self._seen, self._good, averages, *size, reach)
            kernel("surroundings", "average_columns")(blocks, averages, means, *size, reach)
            find_noise = kernel("surroundings", "find_noise")
            find_noise((blocks_over(height, ROWS_A_BLOCK),), *self._seen, self._good, means, noise, *size)
            kernel("surroundings", "look_up")((blocks_over(len(pixels)),), means, listed, around, len(pixels))
        total, count = noise.get().sum(1)
        return around.get(), float(total / count) if count else None

    @on_its_device
    def peaks(self, slope: float, floor: float) -> NDArray[np.int64]:
        """Return the valid pixels that stand out from those 4 px away."""
        (height, width), unmarked = self.shape, self.device.memory.array("masks", self.shape, "u1")
        with self.device.timer.stage("defects", moved_bytes=10 * unmarked.size, flop=20 * unmarked.size):
            mark = kernel("peaks", "mark_peaks")
            blocks = (blocks_over(width), height)
            mark(blocks, *self._seen, self._good, unmarked, height, width, float(slope), float(floor))
        return self._list_pixels(np.arange(height), None, unmarked)

    @on_its_device
    def windows(self, pixels: NDArray[np.int64], reach: int) -> NDArray[np.float32]:
        """Return what lies around pixels, NaN where nothing valid does."""
        count, places = len(pixels), (2 * reach + 1) ** 2
        if not count:
            return np.empty((0, places), np.float32)
        memory, size = self.device.memory, self.shape
        listed, found = memory.upload("lists", pixels, "i4"), memory.array("results", (count, places), "f4")
        with self.device.timer.stage("defects", moved_bytes=2 * found.nbytes):
            cut = kernel("peaks", "cut_windows")
            cut((blocks_over(count), places), *self._seen, self._good, listed, found, *size, count, reach)
        return found.get()  # type: ignore[no-any-return]  # CuPy has no types

    @on_its_device
    def raw_centre(self, side: int) -> Image:
        """Return the middle of the sum, without the gain."""
        rows, columns = centre_slices(*self.shape, side)
        return self._seen[0][rows, columns].get()  # type: ignore[no-any-return]  # CuPy has no types

    def _statistics_of_rows(self) -> RowStatistics:
        height, width = self.shape
        rows = self.device.memory.array("results", (STATISTICS_PER_ROW, height), "f8")
        with self.device.timer.stage("defects", moved_bytes=9 * height * width, flop=6 * height * width):
            statistics = kernel("statistics", "sum_statistics")
            statistics((blocks_over(height, ROWS_A_BLOCK),), *self._seen, self._good, rows, height, width)
        return RowStatistics(rows.get(), width)

    def _list_pixels(
        self, rows: NDArray[np.int64], limits: tuple[float, float] | None, good: DeviceArray | None = None
    ) -> NDArray[np.int64]:
        """Return pixels of some rows: the valid ones within limits, or without limits the invalid ones.

        `good` says which are valid; if None, those of this sum are.
        """
        if not rows.size:
            return np.zeros(0, np.int64)
        memory, count = self.device.memory, len(rows)
        listed, counts = memory.upload("lists", rows, "i4"), memory.array("lists", (count,), "i4")
        which = (count, self.shape[1], limits is not None)

        def list_them(firsts: DeviceArray, found: DeviceArray, *, counting: bool) -> None:
            sought = (*which, counting, *(limits or (0.0, 0.0)))
            lister = kernel("frame_sum", "list_pixels")
            lister(
                (blocks_over(count),), *self._seen, self._good if good is None else good, listed, firsts, found, *sought
            )

        with self.device.timer.stage("defects", moved_bytes=2 * 9 * count * self.shape[1]):
            list_them(counts, counts, counting=True)
            numbers = counts.get().astype(np.int64)
            if not numbers.any():
                return np.zeros(0, np.int64)
            found = memory.array("lists", (int(numbers.sum()),), "i4")
            list_them(memory.upload("lists", np.cumsum(numbers) - numbers, "i4"), found, counting=False)
        return found.get().astype(np.int64)  # type: ignore[no-any-return]  # CuPy has no types
