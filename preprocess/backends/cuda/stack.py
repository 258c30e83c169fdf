"""A movie's frames on a CUDA device, in their own number type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.field import DisplacementField
from preprocess.alignment.patches import PatchLayout, patch_window
from preprocess.backends.contract import DeviceImage, FrameReceiver, Image
from preprocess.backends.cuda.decoding import fill_frames, sum_groups
from preprocess.backends.cuda.device import DeviceArray, cupy, on_its_device
from preprocess.backends.cuda.patch_spectra import CudaPatchSpectra
from preprocess.backends.cuda.sources import blocks_over, frame_type, kernel
from preprocess.backends.cuda.spectra import CudaSpectra
from preprocess.backends.spectrum_layout import edge_taper, lanczos_taps
from preprocess.grouping import FrameGroups
from preprocess.movies import Movie

MOST_SUMS = 16
"""Sums that one launch accumulates; more take several launches."""


class CudaFrameStack:
    """Frames on the device, shape (frames, height, width); float16 frames are held as float32."""

    def __init__(self, frames: DeviceArray, device: int) -> None:
        self.frames = frames
        self.gain: DeviceArray = None
        self.device = device

    @on_its_device
    def fill(
        self, movie: Movie, used: range, groups: FrameGroups, grouped: FrameReceiver, told: Callable[[float], None]
    ) -> tuple[str, ...]:
        """Read a movie's frames, decoded here where that pays, and add them up by groups."""
        remarks = fill_frames(self.frames, movie, used, told)
        if not groups.single:
            assert isinstance(grouped, CudaFrameStack)
            sum_groups(self.frames, groups, grouped.frames)
        return remarks

    @on_its_device
    def put(self, index: int, frame: NDArray[Any]) -> None:
        """Copy in one frame."""
        self.frames[index] = cupy.asarray(frame)

    @on_its_device
    def set_gain(self, gain: Image | None) -> None:
        """Multiply frames by this whenever they are used."""
        self.gain = None if gain is None else cupy.asarray(gain, cupy.float32)

    @on_its_device
    def raw_sum(self) -> NDArray[np.float32]:
        """Return the plain sum of all frames."""
        total = cupy.zeros(self.frames.shape[1:], cupy.float64)
        for frame in self.frames:
            total += frame
        return cupy.asnumpy(total.astype(cupy.float32))  # type: ignore[no-any-return]  # CuPy has no types

    @on_its_device
    def replace_pixels(self, targets: NDArray[np.int64], sources: NDArray[np.int64]) -> None:
        """Replace defect pixels by others of the same frame."""
        there = cupy.asarray(targets)
        for frame, source in zip(self.frames, sources, strict=True):
            flat = frame.reshape(-1)
            flat[there] = flat[cupy.asarray(source)]

    @on_its_device
    def spectra(self, bin_factor: int) -> CudaSpectra:
        """Return the transforms of the binned frames."""
        count, height, width = self.frames.shape
        shape = (height // bin_factor, width // bin_factor)
        rows, columns = cupy.asarray(edge_taper(shape[0])), cupy.asarray(edge_taper(shape[1]))
        transforms = cupy.empty((count, shape[0], shape[1] // 2 + 1), cupy.complex64)
        for index, frame in enumerate(self.frames):
            binned = self._binned(frame, bin_factor)
            binned = (binned - binned.mean(dtype=cupy.float64).astype(cupy.float32)) * (rows[:, None] * columns[None])
            transforms[index] = cupy.fft.rfft2(binned)
        return CudaSpectra(transforms, shape, self.device)

    @on_its_device
    def patch_spectra(self, layout: PatchLayout) -> CudaPatchSpectra:
        """Return the transforms of all patches."""
        count, patches = layout.tops.shape
        shape = (patches, count, layout.kept_height, layout.kept_width // 2 + 1)
        window = cupy.asarray(patch_window(layout.height)[:, None] * patch_window(layout.width)[None])
        lowest = np.fft.fftfreq(layout.kept_height, 1 / layout.kept_height).astype(np.int64) % layout.height
        kept = cupy.asarray(lowest)
        transforms = self._room_for(shape)
        for index, frame in enumerate(self.frames):
            binned = self._binned(frame, layout.bin_factor)
            for patch, (top, left) in enumerate(zip(layout.tops[index], layout.lefts[index], strict=True)):
                cut = binned[top : top + layout.height, left : left + layout.width]
                cut = (cut - cut.mean(dtype=cupy.float64).astype(cupy.float32)) * window
                transform = cupy.fft.rfft2(cut)[kept, : shape[3]]
                transforms[patch, index] = transform if isinstance(transforms, cupy.ndarray) else transform.get()
        return CudaPatchSpectra(transforms, layout.kept_width, self.device)

    def _room_for(self, shape: tuple[int, ...]) -> DeviceArray:
        """Return an empty complex64 array on the device, or in the machine's memory if the device has no room."""
        try:
            return cupy.empty(shape, cupy.complex64)
        except cupy.cuda.memory.OutOfMemoryError:
            cupy.get_default_memory_pool().free_all_blocks()
            return np.empty(shape, np.complex64)

    def _binned(self, frame: DeviceArray, bin_factor: int) -> DeviceArray:
        """Return a frame, gain applied, in boxes of `bin_factor` by `bin_factor` px."""
        height, width = (size // bin_factor for size in frame.shape)
        pixels = frame.astype(cupy.float32)
        if self.gain is not None:
            pixels *= self.gain
        boxes = pixels[: height * bin_factor, : width * bin_factor]
        return boxes.reshape(height, bin_factor, width, bin_factor).sum((1, 3))

    @on_its_device
    def warped_sums(self, field: DisplacementField, weights: NDArray[np.float32]) -> Sequence[DeviceImage]:
        """Return weighted sums of the frames with the displacements undone."""
        count, height, width = self.frames.shape
        warp = kernel("warp", "warp_and_sum", FRAME=frame_type(self.frames.dtype), MOST_SUMS=MOST_SUMS)
        field_y, field_x = (cupy.asarray(powers, cupy.float64) for powers in field.by_powers())
        taps = cupy.asarray(lanczos_taps())
        gain = taps if self.gain is None else self.gain
        blocks = (blocks_over(width), height)
        has_gain, piece = self.gain is not None, field.columns_at_once(width)
        images: list[DeviceImage] = []
        at_once = MOST_SUMS
        while len(images) < len(weights):
            part = np.ascontiguousarray(weights[len(images) : len(images) + at_once].T, np.float32)
            try:
                sums = cupy.empty((part.shape[1], height, width), cupy.float32)
            except cupy.cuda.memory.OutOfMemoryError:
                if at_once == 1:
                    raise
                at_once //= 2  # sums made until now make room; the passes over the frames become more
                images = [cupy.asnumpy(image) for image in images]
                cupy.get_default_memory_pool().free_all_blocks()
                continue
            sizes = (count, height, width, part.shape[1], len(taps), piece)
            warp(blocks, self.frames, gain, has_gain, field_y, field_x, cupy.asarray(part), taps, sums, *sizes)
            images += list(sums) if at_once == MOST_SUMS else [cupy.asnumpy(image) for image in sums]
        return images

    @on_its_device
    def release(self) -> None:
        """Give back the memory of the frames."""
        self.frames = self.frames[:0].copy()
        self.gain = None
        cupy.get_default_memory_pool().free_all_blocks()
