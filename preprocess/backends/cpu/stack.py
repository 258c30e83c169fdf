"""A movie's frames in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess import fourier
from preprocess.backends.box_moments import box_ends, moments_of_sums, row_step
from preprocess.backends.contract import DeviceImage, FixedPart, FrameReceiver, FrameStack, Image
from preprocess.backends.cpu.frame_sum import CpuFrameSum
from preprocess.backends.cpu.patch_spectra import CpuPatchSpectra, kept_columns, patches_at_once, transform_patches
from preprocess.backends.cpu.row_threads import RowThreads
from preprocess.backends.cpu.spectra import CpuSpectra
from preprocess.backends.cpu.tiles import TILE_ROWS
from preprocess.backends.spectrum_layout import edge_taper, lanczos_taps, ring_indices
from preprocess.errors import MachineOutOfMemory
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import PatchLayout, patch_window
from preprocess.geometry.replacements import Replacements
from preprocess.memory_pool import MemoryPool
from preprocess.movies import Movie
from preprocess.movies.frame_groups import FrameGroups

SMALL_FRAME_BYTES = 8 << 20
"""Binned frames up to this size are transformed by one thread each: less waiting, and each thread needs one more."""


class CpuFrameStack:
    """Frames in memory, shape (frames, height, width); numba's kernels take float32 for float16."""

    def __init__(self, frames: NDArray[Any], threads: RowThreads, memory: MemoryPool) -> None:
        self.frames = frames
        self.gain = np.ones((1, 1), np.float32)
        self.has_gain = False
        self.threads = threads
        self.memory = memory
        self._unweighted = (self.gain, self.has_gain)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Return the height and width of the frames."""
        _, height, width = self.frames.shape
        return height, width

    def fill(
        self, movie: Movie, used: range, groups: FrameGroups, grouped: FrameReceiver, progress: Callable[[float], None]
    ) -> tuple[str, ...]:
        """Read a movie's frames, and add them up by groups."""
        reading = movie.deliver(self.put, used.start, used.stop)
        if not groups.single:
            reading = self._read_groups(movie, used, groups, grouped)
        for done, _ in enumerate(reading, start=1):
            progress(done / len(used))
        return ()

    def _read_groups(self, movie: Movie, used: range, groups: FrameGroups, grouped: FrameReceiver) -> Iterator[None]:
        """Read frames one after the other, and add them up by groups; yields after each."""
        group_of_frame = groups.of_frames()
        total = None
        for index, frame in enumerate(movie.frames(used.start, used.stop)):
            self.put(index, frame)
            total = frame.astype(groups.sum_dtype(movie.dtype)) if total is None else total + frame
            if index + 1 == len(used) or group_of_frame[index + 1] != group_of_frame[index]:
                grouped.put(int(group_of_frame[index]), total)
                total = None
            yield

    def put(self, index: int, frame: NDArray[Any]) -> None:
        """Copy in one frame."""
        self.frames[index] = frame

    def keep(self, places: NDArray[np.int64]) -> None:
        """Hold these frames alone; they move to the front, so that no more memory is needed."""
        for index, place in enumerate(places.tolist()):
            if index != place:
                self.frames[index] = self.frames[place]
        self.frames = self.frames[: len(places)]

    def add_up(self, groups: FrameGroups, grouped: FrameStack) -> None:
        """Put the sums of groups of frames into another stack."""
        assert isinstance(grouped, CpuFrameStack)
        grouped.frames[...] = 0
        for frame, group in zip(self.frames, groups.of_frames().tolist(), strict=True):
            grouped.frames[group] += frame

    def box_moments(self, boxes: int, rows: int) -> NDArray[np.float64]:
        """Return how many pixels of each box were looked at, their mean and variance."""
        count, height, width = self.frames.shape
        ends = box_ends(height, boxes), box_ends(width, boxes)
        sums = np.zeros((count, 3, boxes, boxes))
        self.threads.run(self.threads.kernels.box_sums, self.frames, *ends, row_step(height, rows), sums, rows=count)
        return moments_of_sums(sums.reshape(count, 3, -1))

    def set_gain(self, gain: Image | None) -> None:
        """Multiply frames by this whenever they are used."""
        self.has_gain = gain is not None
        self.gain = np.ones((1, 1), np.float32) if gain is None else np.ascontiguousarray(gain, np.float32)
        self._unweighted = (self.gain, self.has_gain)

    def set_weight(self, weight: Image | None) -> None:
        """Multiply frames by this besides the gain."""
        self.gain, self.has_gain = self._unweighted
        if weight is not None:
            self.gain, self.has_gain = np.ascontiguousarray(weight * self.gain, np.float32), True

    def frame_sum(self) -> CpuFrameSum:
        """Return the plain sum of all frames."""
        try:
            total = self.memory.empty(self.frames.shape[1:], np.float32, brief=True)
            self.threads.run(self.threads.kernels.raw_sum, self.frames, total, rows=len(total))
            return CpuFrameSum(total, self.gain, self.has_gain, self.threads)
        except MemoryError as error:
            raise MachineOutOfMemory from error

    def replace_pixels(self, replacements: Replacements) -> None:
        """Replace defect pixels by others of the same frame."""
        self.threads.run(
            self.threads.kernels.replace_pixels,
            self.frames.reshape(len(self.frames), -1),
            replacements.targets,
            replacements.sources,
            replacements.counts,
            replacements.starts,
            replacements.steps,
            rows=len(self.frames),
        )

    def spectra(self, bin_factor: int) -> CpuSpectra:
        """Return the transforms of the binned frames."""
        count, height, width = self.frames.shape
        shape = (height // bin_factor, width // bin_factor)
        taper = (edge_taper(shape[0]), edge_taper(shape[1]))
        try:
            transforms = self.memory.empty((count, shape[0], shape[1] // 2 + 1), np.complex64)
        except MemoryError as error:
            raise MachineOutOfMemory from error
        if 4 * shape[0] * shape[1] <= SMALL_FRAME_BYTES:
            self.threads.run(self._transform_frames, bin_factor, taper, transforms, rows=count)
            return CpuSpectra(transforms, shape, self.threads)
        binned = np.empty(shape, np.float32)
        for index in range(count):
            self._bin(index, bin_factor, binned)
            self._taper(binned, taper)
            fourier.rfft2(binned, transforms[index], self.threads.count)
        return CpuSpectra(transforms, shape, self.threads)

    def _transform_frames(
        self,
        bin_factor: int,
        taper: tuple[NDArray[np.float32], NDArray[np.float32]],
        transforms: NDArray[np.complex64],
        start: int,
        stop: int,
    ) -> None:
        """Transform frames start to stop, small ones, in one thread."""
        kernels, binned = self.threads.kernels, np.empty((len(taper[0]), len(taper[1])), np.float32)
        for index in range(start, stop):
            kernels.bin_frame(self.frames[index], self.gain, self.has_gain, bin_factor, binned, 0, len(binned))
            kernels.taper_frame(binned, float(binned.mean(dtype=np.float64)), *taper, 0, len(binned))
            fourier.rfft2(binned, transforms[index])

    def patch_spectra(self, layout: PatchLayout, fixed: FixedPart | None = None) -> CpuPatchSpectra:
        """Return the transforms of all patches."""
        count, patches = layout.tops.shape
        shape = layout.kept_height, layout.kept_width
        kept = kept_columns(ring_indices(shape))
        try:
            planes = self.memory.empty((patches, 2 * count * int(kept.sum())), np.float32)
        except MemoryError as error:
            raise MachineOutOfMemory from error
        binned = np.empty(
            (self.frames.shape[1] // layout.bin_factor, self.frames.shape[2] // layout.bin_factor), np.float32
        )
        windows = patch_window(layout.height), patch_window(layout.width)
        for index in range(count):
            self._bin(index, layout.bin_factor, binned)
            if fixed is not None:
                self._taper(binned, (edge_taper(binned.shape[0]), edge_taper(binned.shape[1])))
                binned -= np.float32(fixed.levels[index]) * fixed.image
            places = layout.tops[index], layout.lefts[index]
            self.threads.run(
                transform_patches,
                self.threads.kernels,
                binned,
                *places,
                *windows,
                index,
                count,
                kept,
                planes,
                rows=patches,
                unit=patches_at_once(layout.height, layout.width),
            )
        return CpuPatchSpectra(planes, shape, self.threads)

    def _taper(self, binned: NDArray[np.float32], taper: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        mean = float(binned.mean(dtype=np.float64))
        self.threads.run(self.threads.kernels.taper_frame, binned, mean, *taper, rows=len(binned))

    def _bin(self, index: int, bin_factor: int, binned: NDArray[np.float32]) -> None:
        self.threads.run(
            self.threads.kernels.bin_frame,
            self.frames[index],
            self.gain,
            self.has_gain,
            bin_factor,
            binned,
            rows=len(binned),
        )

    def warped_sums(self, field: DisplacementField, weights: NDArray[np.float32]) -> Sequence[DeviceImage]:
        """Return weighted sums of the frames with the displacements undone."""
        try:
            sums = self.memory.empty((len(weights), *self.frames.shape[1:]), np.float32)
        except MemoryError as error:
            raise MachineOutOfMemory from error
        self.threads.run(_clear, sums, rows=sums.shape[1])
        self.threads.run(
            self.threads.kernels.warp_and_sum,
            self.frames,
            self.gain,
            self.has_gain,
            *field.by_powers(),
            field.columns_at_once(self.frames.shape[2]),
            np.ascontiguousarray(weights.T, np.float32),
            lanczos_taps(),
            sums,
            rows=self.frames.shape[1],
            unit=TILE_ROWS,
        )
        return list(sums)

    def hand_over(self) -> None:
        """Do nothing: all is done."""

    def take_over(self) -> None:
        """Do nothing: all is done."""

    def release(self) -> None:
        """Give back the memory of the frames."""
        self.frames = self.frames[:0].copy()
        self.set_gain(None)


def _clear(images: NDArray[np.float32], start: int, stop: int) -> None:
    images[:, start:stop] = 0
