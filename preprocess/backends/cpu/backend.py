"""The CPU's backend: compiled kernels, and transforms by SciPy.

Threads share out rows, and each row is computed by one thread in one order, so that results do not depend on the number
of threads. Kernels are in C where a compiler was found at installation (`preprocess.backends.compiled`), else numba's,
whose code is cached on disk (`preprocess.compiled_code`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import DeviceImage, Image, StageTime, Undamping
from preprocess.backends.cpu.block_powers import block_powers
from preprocess.backends.cpu.filtering import amplitudes, filtered_sum
from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.backends.cpu.pictures import reduced
from preprocess.backends.cpu.row_threads import RowThreads, usable_threads
from preprocess.backends.cpu.stack import CpuFrameStack
from preprocess.backends.cpu.written_images import ImageHere, as_written
from preprocess.backends.tile_spectra import BlockPowers
from preprocess.errors import MachineOutOfMemory
from preprocess.geometry.block_tiles import BlockTiles
from preprocess.memory_pool import MemoryPool, pool_of_process
from preprocess.platform import available_bytes, keep_freed_memory


class CpuBackend:
    """All cores of this machine that the process may use, or as many as wanted.

    Parameters
    ----------
    threads : int
        0: every core.
    kernels : KernelSet | None
        None: those in C where they were compiled, else numba's.
    memory : MemoryPool | None
        Where large arrays come from; None: the pool of this process.
    """

    name = "cpu"

    def __init__(self, threads: int = 0, kernels: KernelSet | None = None, memory: MemoryPool | None = None) -> None:
        self.threads = RowThreads(usable_threads(threads), kernels)
        self.memory = pool_of_process() if memory is None else memory
        keep_freed_memory()

    def for_reading(self) -> CpuBackend:
        """Return this one: every call returns when its work is done."""
        return self

    def available_bytes(self) -> int | None:
        """Return how much memory this process may still take, what it keeps for the next movie included."""
        left = available_bytes()
        return None if left is None else left + self.memory.kept_bytes()

    def make_room(self, needed_bytes: int) -> None:
        """Give back what is kept if the system has less than is needed: not all that is needed comes from there."""
        left = available_bytes()
        if left is not None and left < needed_bytes:
            self.memory.give_back()

    def capacity_bytes(self) -> int | None:
        """Return None: other programs may end, and swapped memory come back."""
        return None

    def finish(self) -> None:
        """Do nothing: every call returns when its work is done."""

    def held_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the number type in which frames are held: the movie's, but numba knows no float16."""
        return np.dtype(np.float32) if dtype == np.float16 and not self.threads.kernels.are_compiled else dtype

    def hold(self, frame_count: int, height: int, width: int, dtype: np.dtype[Any]) -> CpuFrameStack:
        """Return an empty stack for that many frames."""
        try:
            return CpuFrameStack(
                self.memory.empty((frame_count, height, width), self.held_dtype(dtype)), self.threads, self.memory
            )
        except MemoryError as error:
            raise MachineOutOfMemory from error

    def upload(self, image: Image) -> DeviceImage:
        """Return the image: it is there. Kernels take float32 without gaps."""
        return np.ascontiguousarray(image, np.float32)

    def with_pixels(self, image: DeviceImage, pixels: NDArray[np.int64], values: NDArray[np.float32]) -> DeviceImage:
        """Return a copy of an image in which some pixels have other values."""
        changed = self.memory.empty(image.shape, image.dtype)
        self.threads.run(_copy_rows, image, changed, rows=len(image))
        changed.reshape(-1)[pixels] = values
        return changed

    def stage_times(self) -> Mapping[str, StageTime]:
        """Return nothing: there is no device with a clock of its own."""
        return {}

    def filtered_sum(
        self,
        images: Sequence[DeviceImage],
        filters: NDArray[np.float32],
        output_shape: tuple[int, int],
        undamping: Undamping | None = None,
    ) -> DeviceImage:
        """Return the sum of the images, each filtered radially, Fourier-cropped."""
        return filtered_sum(images, filters, output_shape, undamping, self.threads, self.memory)

    def amplitudes(self, images: Sequence[DeviceImage], undampings: Sequence[Undamping]) -> Image:
        """Return the sum of the absolute values of the images' transforms."""
        return amplitudes(images, undampings, self.threads, self.memory)

    def bring_down(self, image: DeviceImage, *, float32: bool) -> ImageHere:
        """Return an image in the number type that is written."""
        return as_written(image, self.threads, self.memory, float32=float32)

    def reduced(self, image: DeviceImage, factors: tuple[int, int]) -> Image:
        """Return the means of boxes of an image."""
        return reduced(image, factors, self.threads)

    def block_powers(self, image: DeviceImage, tiles: BlockTiles) -> BlockPowers:
        """Return the power spectra of an image's tiles, added up by block."""
        return block_powers(image, tiles, self.threads)


def _copy_rows(image: DeviceImage, copy: DeviceImage, start: int, stop: int) -> None:
    copy[start:stop] = image[start:stop]
