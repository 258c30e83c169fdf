"""The CPU's backend: numba-compiled kernels and scipy.fft.

Threads share out rows, and each row is computed by one thread in one order, so that results do not depend on the number
of threads. Compiled code is cached on disk (numba's `cache=True`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from preprocess.backends import cpu_images, image_kernels
from preprocess.backends import cpu_kernels as kernels
from preprocess.backends.contract import (
    RING_COUNT,
    DeviceImage,
    FrameReceiver,
    Image,
    PatchMeasures,
    StageTime,
    Undamping,
)
from preprocess.backends.cpu_frame_sum import CpuFrameSum
from preprocess.backends.row_threads import RowThreads, usable_threads
from preprocess.backends.spectrum_layout import (
    CORNER_FREQUENCY,
    edge_taper,
    lanczos_taps,
    ring_indices,
    ring_sizes,
    undamping_of,
    whole_multiple,
)
from preprocess.errors import DeviceOutOfMemory
from preprocess.exposure.grouping import FrameGroups
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import PatchLayout, patch_window
from preprocess.geometry.replacements import Replacements
from preprocess.geometry.spectrum_tiles import SpectrumTiles
from preprocess.movies import Movie
from preprocess.platform import available_bytes


class CpuSpectra:
    """Transforms of binned frames in memory, complex64, shape (frames, height, width // 2 + 1)."""

    def __init__(self, transforms: NDArray[np.complex64], shape: tuple[int, int], threads: RowThreads) -> None:
        self.transforms = transforms
        self.shape = shape
        self.frame_count = len(transforms)
        self.threads = threads
        self.rings = ring_indices(shape)
        self.total = np.zeros(transforms.shape[1:], np.complex64)

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring."""
        return ring_sizes(self.shape)

    def ring_powers(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for each ring, the power of the sum and the sum of powers."""
        rows, columns = self._phases(shifts)
        by_row = np.zeros((2, self.shape[0], RING_COUNT + 1))
        self.threads.run(
            kernels.sum_spectra,
            self.transforms,
            rows,
            columns,
            self.rings,
            self.shape[1],
            self.total,
            by_row,
            rows=self.shape[0],
        )
        powers = by_row.sum(1)[:, :RING_COUNT]
        return powers[0], powers[1]

    def correlations(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], shape: tuple[int, int], radius: int
    ) -> NDArray[np.float32]:
        """Return windows of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        ring_weights = _with_outside(weights)
        windows = np.empty((len(self.transforms), 2 * radius + 1, 2 * radius + 1), np.float32)
        product = np.empty((shape[0], shape[1] // 2 + 1), np.complex64)
        window = np.arange(-radius, radius + 1)
        for index, transform in enumerate(self.transforms):
            self.threads.run(
                kernels.cross_spectrum,
                transform,
                self.total,
                rows[index],
                columns[index],
                self.rings,
                ring_weights,
                product,
                rows=shape[0],
            )
            correlation = scipy.fft.irfft2(product, s=shape, workers=self.threads.count)
            windows[index] = correlation[np.ix_(window % shape[0], window % shape[1])]
        return windows

    def derivatives(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gradient and Hessian of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        by_row = np.zeros((self.shape[0], len(self.transforms), 5))
        ring_weights = _with_outside(weights)
        self.threads.run(
            kernels.derivatives,
            self.transforms,
            self.total,
            rows,
            columns,
            self.rings,
            ring_weights,
            self.shape[1],
            by_row,
            rows=self.shape[0],
        )
        sums = by_row.sum(0)
        return sums[:, :2], sums[:, 2:]

    def _phases(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Return the phase factors that undo shifts: for rows (frames, height), columns (frames, width // 2 + 1)."""
        rows = np.exp(2j * np.pi * shifts[:, :1] * scipy.fft.fftfreq(self.shape[0]))
        columns = np.exp(2j * np.pi * shifts[:, 1:] * scipy.fft.rfftfreq(self.shape[1]))
        return rows.astype(np.complex64), columns.astype(np.complex64)


class CpuPatchSpectra:
    """Transforms of patches in memory, float32, shape (patches, rows, frames, 2, columns): real and imaginary."""

    def __init__(self, planes: NDArray[np.float32], width: int, threads: RowThreads) -> None:
        self.planes = planes
        self.shape = (planes.shape[1], width)
        self.threads = threads
        self.rings = ring_indices(self.shape)

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring of one patch."""
        return ring_sizes(self.shape)

    def measure(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], patches: Sequence[int], last_ring: int
    ) -> PatchMeasures:
        """Compare each frame with the sum of the others in some of the patches."""
        count, wanted = self.planes.shape[2], np.asarray(patches, np.int64)
        shifts = shifts[:, wanted]
        rows = np.exp(2j * np.pi * shifts[:, :, :1] * scipy.fft.fftfreq(self.shape[0])).astype(np.complex64)
        columns = np.exp(2j * np.pi * shifts[:, :, 1:] * scipy.fft.rfftfreq(self.shape[1])).astype(np.complex64)
        powers = np.zeros((len(wanted), 2, RING_COUNT))
        gradient, hessian = np.zeros((count, len(wanted), 2)), np.zeros((len(wanted), 3))
        self.threads.run(
            kernels.measure_patches,
            self.planes,
            wanted,
            rows,
            np.ascontiguousarray(columns.real),
            np.ascontiguousarray(columns.imag),
            self.rings,
            (self.rings < last_ring).sum(1),
            weights.astype(np.float32),
            self.shape[1],
            powers,
            gradient,
            hessian,
            rows=len(wanted),
        )
        return PatchMeasures(powers[:, 0], powers[:, 1], gradient, hessian)


class CpuFrameStack:
    """Frames in memory, shape (frames, height, width); float16 frames are held as float32."""

    def __init__(self, frames: NDArray[Any], threads: RowThreads) -> None:
        self.frames = frames
        self.gain = np.ones((1, 1), np.float32)
        self.has_gain = False
        self.threads = threads

    def fill(
        self, movie: Movie, used: range, groups: FrameGroups, grouped: FrameReceiver, told: Callable[[float], None]
    ) -> tuple[str, ...]:
        """Read a movie's frames, and add them up by groups."""
        reading = movie.deliver(self.put, used.start, used.stop)
        if not groups.single:
            reading = self._read_groups(movie, used, groups, grouped)
        for done, _ in enumerate(reading, start=1):
            told(done / len(used))
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

    def set_gain(self, gain: Image | None) -> None:
        """Multiply frames by this whenever they are used."""
        self.has_gain = gain is not None
        self.gain = np.ones((1, 1), np.float32) if gain is None else np.ascontiguousarray(gain, np.float32)

    def frame_sum(self) -> CpuFrameSum:
        """Return the plain sum of all frames."""
        try:
            total = np.empty(self.frames.shape[1:], np.float32)
            self.threads.run(kernels.raw_sum, self.frames, total, rows=len(total))
            return CpuFrameSum(total, self.gain, self.has_gain, self.threads)
        except MemoryError as error:
            raise DeviceOutOfMemory from error

    def replace_pixels(self, replacements: Replacements) -> None:
        """Replace defect pixels by others of the same frame."""
        self.threads.run(
            image_kernels.replace_pixels,
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
            transforms = np.empty((count, shape[0], shape[1] // 2 + 1), np.complex64)
        except MemoryError as error:
            raise DeviceOutOfMemory from error
        binned = np.empty(shape, np.float32)
        for index in range(count):
            self._bin(index, bin_factor, binned)
            mean = float(binned.mean(dtype=np.float64))
            self.threads.run(kernels.taper_frame, binned, mean, *taper, rows=shape[0])
            transforms[index] = scipy.fft.rfft2(binned, workers=self.threads.count)
        return CpuSpectra(transforms, shape, self.threads)

    def patch_spectra(self, layout: PatchLayout) -> CpuPatchSpectra:
        """Return the transforms of all patches."""
        count, patches = layout.tops.shape
        rows, half = layout.kept_height, layout.kept_width // 2 + 1
        try:
            planes = np.empty((patches, rows, count, 2, half), np.float32)
        except MemoryError as error:
            raise DeviceOutOfMemory from error
        binned = np.empty(
            (self.frames.shape[1] // layout.bin_factor, self.frames.shape[2] // layout.bin_factor), np.float32
        )
        cut = np.empty((patches, layout.height, layout.width), np.float32)
        windows = patch_window(layout.height), patch_window(layout.width)
        for index in range(count):
            self._bin(index, layout.bin_factor, binned)
            places = layout.tops[index], layout.lefts[index]
            self.threads.run(_transform_patches, binned, *places, *windows, cut, index, planes, rows=patches)
        return CpuPatchSpectra(planes, layout.kept_width, self.threads)

    def _bin(self, index: int, bin_factor: int, binned: NDArray[np.float32]) -> None:
        self.threads.run(
            kernels.bin_frame, self.frames[index], self.gain, self.has_gain, bin_factor, binned, rows=len(binned)
        )

    def warped_sums(self, field: DisplacementField, weights: NDArray[np.float32]) -> Sequence[DeviceImage]:
        """Return weighted sums of the frames with the displacements undone."""
        try:
            sums = np.zeros((len(weights), *self.frames.shape[1:]), np.float32)
        except MemoryError as error:
            raise DeviceOutOfMemory from error
        self.threads.run(
            kernels.warp_and_sum,
            self.frames,
            self.gain,
            self.has_gain,
            *field.by_powers(),
            field.columns_at_once(self.frames.shape[2]),
            np.ascontiguousarray(weights.T, np.float32),
            lanczos_taps(),
            sums,
            rows=self.frames.shape[1],
            unit=kernels.TILE_ROWS,
        )
        return list(sums)

    def release(self) -> None:
        """Give back the memory of the frames."""
        self.frames = self.frames[:0].copy()
        self.set_gain(None)


class CpuBackend:
    """All cores of this machine that the process may use, or as many as wanted."""

    name = "cpu"

    def __init__(self, threads: int = 0) -> None:
        self.threads = RowThreads(usable_threads(threads))

    def available_bytes(self) -> int | None:
        """Return how much memory this process may still take."""
        return available_bytes()

    def finish(self) -> None:
        """Do nothing: every call returns when its work is done."""

    def hold(self, frame_count: int, height: int, width: int, dtype: np.dtype[Any]) -> CpuFrameStack:
        """Return an empty stack for that many frames."""
        held = np.dtype(np.float32) if dtype == np.float16 else dtype
        try:
            return CpuFrameStack(np.empty((frame_count, height, width), held), self.threads)
        except MemoryError as error:
            raise DeviceOutOfMemory from error

    def upload(self, image: Image) -> DeviceImage:
        """Return the image: it is there."""
        return image

    def with_pixels(self, image: DeviceImage, pixels: NDArray[np.int64], values: NDArray[np.float32]) -> DeviceImage:
        """Return a copy of an image in which some pixels have other values."""
        changed = image.copy()
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
        height, width = images[0].shape
        if output_shape == (height, width) and np.all(filters == 1) and undamping is None:
            plain: Image = np.sum(images, axis=0, dtype=np.float32)
            return plain
        height, width = whole_multiple(images[0].shape, output_shape)
        total = np.zeros((output_shape[0], output_shape[1] // 2 + 1), np.complex64)
        for image, factors in zip(images, filters, strict=True):
            transform = scipy.fft.rfft2(image[:height, :width], workers=self.threads.count)
            self.threads.run(
                kernels.add_filtered,
                transform,
                height,
                width,
                np.ascontiguousarray(factors, np.float32),
                CORNER_FREQUENCY,
                total,
                rows=output_shape[0],
            )
        total *= np.float32(output_shape[0] * output_shape[1] / (height * width))
        if undamping is not None:
            rows, columns = undamping_of(undamping, (height, width), output_shape)
            total *= rows[:, None]
            total *= columns
        return scipy.fft.irfft2(total, s=output_shape, workers=self.threads.count)

    def bring_down(self, image: DeviceImage, *, float32: bool) -> cpu_images.ImageHere:
        """Return an image in the number type that is written."""
        return cpu_images.as_written(image, self.threads, float32=float32)

    def reduced(self, image: DeviceImage, factors: tuple[int, int]) -> Image:
        """Return the means of boxes of an image."""
        return cpu_images.reduced(image, factors, self.threads)

    def tile_powers(self, image: DeviceImage, tiles: SpectrumTiles) -> Image:
        """Return the mean power spectrum of an image's tiles."""
        return cpu_images.tile_powers(image, tiles, self.threads)


def _transform_patches(
    binned: NDArray[np.float32],
    tops: NDArray[np.int64],
    lefts: NDArray[np.int64],
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    cut: NDArray[np.float32],
    frame_index: int,
    planes: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Transform patches start to stop of a frame, one after the other: each stays in the processor's cache."""
    half = planes.shape[4]
    for patch in range(start, stop):
        kernels.cut_patches(binned, tops, lefts, rows, columns, cut, patch, patch + 1)
        lowest = scipy.fft.fft(scipy.fft.rfft(cut[patch], axis=1)[:, :half], axis=0)
        kernels.keep_lowest(lowest, frame_index, planes[patch])


def _with_outside(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.append(weights, 0.0).astype(np.float32)
