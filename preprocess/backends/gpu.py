"""The GPU's backend, in CuPy; the only module that imports it. Frames stay on the device in their own number type."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import cupy
import numpy as np
from numpy.typing import NDArray

from preprocess.alignment.field import DisplacementField
from preprocess.alignment.patches import PatchLayout, patch_window
from preprocess.backends.contract import RING_COUNT, DeviceImage, Image, PatchMeasures, Undamping
from preprocess.backends.gpu_source import FRAME_TYPES, MOST_SUMS, WARP_AND_SUM
from preprocess.backends.spectrum_layout import (
    CORNER_FREQUENCY,
    edge_taper,
    lanczos_taps,
    multiplicity,
    ring_indices,
    ring_sizes,
    undamping_of,
    whole_multiple,
)
from preprocess.errors import DeviceError, DeviceOutOfMemory

DeviceArray = Any
THREADS_A_BLOCK = (32, 8)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _OnDevice(Protocol):
    device: int


Owner = TypeVar("Owner", bound=_OnDevice)


def _on_its_device(
    method: Callable[Concatenate[Owner, Parameters], Result],
) -> Callable[Concatenate[Owner, Parameters], Result]:
    """Run a method on its object's device; say in our words when the device has not enough memory or fails."""

    @functools.wraps(method)
    def guarded(self: Owner, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            with cupy.cuda.Device(self.device):
                return method(self, *args, **kwargs)
        except cupy.cuda.memory.OutOfMemoryError as error:
            cupy.get_default_memory_pool().free_all_blocks()
            raise DeviceOutOfMemory(f"cuda:{self.device} has not enough memory for this movie: {error}") from error
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"cuda:{self.device}: {error}") from error

    return guarded


class GpuSpectra:
    """Transforms of binned frames on the device, complex64, shape (frames, height, width // 2 + 1)."""

    def __init__(self, transforms: DeviceArray, shape: tuple[int, int], device: int) -> None:
        self.transforms = transforms
        self.shape = shape
        self.frame_count = len(transforms)
        self.device = device
        self._rings = ring_indices(shape)
        self._multiplicity = multiplicity(shape)
        self._total: DeviceArray = None

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring."""
        return ring_sizes(self.shape)

    @_on_its_device
    def ring_powers(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for each ring, the power of the sum and the sum of powers."""
        rows, columns = self._phases(shifts)
        self._total = cupy.zeros(self.transforms.shape[1:], cupy.complex64)
        power = cupy.zeros(self.transforms.shape[1:], cupy.float32)
        for index, transform in enumerate(self.transforms):
            self._total += transform * (rows[index][:, None] * columns[index][None])
            power += transform.real**2 + transform.imag**2
        of_sum = self._total.real**2 + self._total.imag**2
        # Rings are added up on the CPU: the device would add with atomics, in another order each time.
        return self._by_ring(cupy.asnumpy(of_sum)), self._by_ring(cupy.asnumpy(power))

    @_on_its_device
    def correlations(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], shape: tuple[int, int], radius: int
    ) -> NDArray[np.float32]:
        """Return windows of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        frequency = np.arange(shape[0])
        kept = cupy.asarray(np.where(frequency <= shape[0] // 2, frequency, self.shape[0] - shape[0] + frequency))
        half = shape[1] // 2 + 1
        weight = self._weight_map(weights)[kept, :half]
        around = cupy.arange(-radius, radius + 1)
        place = cupy.ix_(around % shape[0], around % shape[1])
        windows = np.empty((self.frame_count, 2 * radius + 1, 2 * radius + 1), np.float32)
        for index, transform in enumerate(self.transforms):
            value = transform[kept, :half] * (rows[index][kept][:, None] * columns[index][None, :half])
            product = weight * value * cupy.conj(self._total[kept, :half] - value)
            windows[index] = cupy.asnumpy(cupy.fft.irfft2(product, s=shape)[place])
        return windows

    @_on_its_device
    def derivatives(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gradient and Hessian of the weighted leave-one-out cross-correlations."""
        rows, columns = self._phases(shifts)
        weight = self._weight_map(weights) * cupy.asarray(self._multiplicity, cupy.float32)
        ky = cupy.asarray(2 * np.pi * np.fft.fftfreq(self.shape[0]), cupy.float32)[:, None]
        kx = cupy.asarray(2 * np.pi * np.fft.rfftfreq(self.shape[1]), cupy.float32)[None]
        sums = np.empty((self.frame_count, 5))
        for index, transform in enumerate(self.transforms):
            value = transform * (rows[index][:, None] * columns[index][None])
            product = weight * value * cupy.conj(self._total - value)
            odd, even = product.imag, product.real
            terms = (-ky * odd, -kx * odd, -ky * ky * even, -kx * kx * even, -ky * kx * even)
            sums[index] = [float(term.sum(dtype=cupy.float64)) for term in terms]
        return sums[:, :2], sums[:, 2:]

    def _phases(self, shifts: NDArray[np.float64]) -> tuple[DeviceArray, DeviceArray]:
        rows = np.exp(2j * np.pi * shifts[:, :1] * np.fft.fftfreq(self.shape[0]))
        columns = np.exp(2j * np.pi * shifts[:, 1:] * np.fft.rfftfreq(self.shape[1]))
        return cupy.asarray(rows, cupy.complex64), cupy.asarray(columns, cupy.complex64)

    def _weight_map(self, weights: NDArray[np.float64]) -> DeviceArray:
        return cupy.asarray(np.append(weights, 0.0).astype(np.float32)[self._rings])

    def _by_ring(self, values: NDArray[Any]) -> NDArray[np.float64]:
        counts = np.bincount(self._rings.ravel(), (self._multiplicity * values).ravel(), RING_COUNT + 1)
        return counts[:RING_COUNT].astype(np.float64)


class GpuPatchSpectra:
    """Transforms of patches, complex64, shape (patches, frames, rows, columns), on the device if it has the room."""

    def __init__(self, transforms: DeviceArray, width: int, device: int) -> None:
        self.transforms = transforms
        self.shape = (transforms.shape[2], width)
        self.device = device
        self._rings = ring_indices(self.shape)
        self._multiplicity = multiplicity(self.shape)

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring of one patch."""
        return ring_sizes(self.shape)

    @_on_its_device
    def measure(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], patches: Sequence[int], last_ring: int
    ) -> PatchMeasures:
        """Compare each frame with the sum of the others in some of the patches."""
        count, height, width = self.transforms.shape[1], *self.shape
        inside = self._rings < last_ring
        weight = np.append(weights, 0.0)[self._rings] * inside * self._multiplicity
        ky, kx = 2 * np.pi * np.fft.fftfreq(height)[:, None], 2 * np.pi * np.fft.rfftfreq(width)[None]
        slopes = [cupy.asarray(weight * k, cupy.float32) for k in (ky, kx)]
        curves = [weight * k for k in (ky * ky, kx * kx, ky * kx)]
        powers = np.zeros((2, len(patches), RING_COUNT))
        gradient, hessian = np.zeros((count, len(patches), 2)), np.zeros((len(patches), 3))
        for place, patch in enumerate(patches):
            rows = cupy.asarray(np.exp(1j * shifts[:, patch, :1] * ky[:, 0]), cupy.complex64)
            columns = cupy.asarray(np.exp(1j * shifts[:, patch, 1:] * kx[0]), cupy.complex64)
            aligned = cupy.asarray(self.transforms[patch]) * (rows[:, :, None] * columns[:, None, :])
            total = aligned.sum(0)
            of_sum = cupy.asnumpy(total.real**2 + total.imag**2)
            of_frames = cupy.asnumpy((aligned.real**2 + aligned.imag**2).sum(0))
            odd = (aligned * cupy.conj(total)[None]).imag
            for axis, slope in enumerate(slopes):
                gradient[:, place, axis] = cupy.asnumpy(-(odd * slope[None]).sum((1, 2), dtype=cupy.float64))
            hessian[place] = [-(curve * (of_sum - of_frames)).sum(dtype=np.float64) for curve in curves]
            for row, power in zip(powers[:, place], (of_sum, of_frames), strict=True):
                per_ring = np.bincount(self._rings.ravel(), (self._multiplicity * power * inside).ravel(), RING_COUNT)
                row[:] = per_ring[:RING_COUNT]
        return PatchMeasures(powers[0], powers[1], gradient, hessian)


class GpuFrameStack:
    """Frames on the device, shape (frames, height, width); float16 frames are held as float32."""

    def __init__(self, frames: DeviceArray, device: int) -> None:
        self.frames = frames
        self.gain: DeviceArray = None
        self.device = device

    @_on_its_device
    def put(self, index: int, frame: NDArray[Any]) -> None:
        """Copy in one frame."""
        self.frames[index] = cupy.asarray(frame)

    @_on_its_device
    def set_gain(self, gain: Image | None) -> None:
        """Multiply frames by this whenever they are used."""
        self.gain = None if gain is None else cupy.asarray(gain, cupy.float32)

    @_on_its_device
    def raw_sum(self) -> NDArray[np.float32]:
        """Return the plain sum of all frames."""
        total = cupy.zeros(self.frames.shape[1:], cupy.float64)
        for frame in self.frames:
            total += frame
        return cupy.asnumpy(total.astype(cupy.float32))  # type: ignore[no-any-return]  # CuPy has no types

    @_on_its_device
    def replace_pixels(self, targets: NDArray[np.int64], sources: NDArray[np.int64]) -> None:
        """Replace defect pixels by others of the same frame."""
        there = cupy.asarray(targets)
        for frame, source in zip(self.frames, sources, strict=True):
            flat = frame.reshape(-1)
            flat[there] = flat[cupy.asarray(source)]

    @_on_its_device
    def spectra(self, bin_factor: int) -> GpuSpectra:
        """Return the transforms of the binned frames."""
        count, height, width = self.frames.shape
        shape = (height // bin_factor, width // bin_factor)
        rows, columns = cupy.asarray(edge_taper(shape[0])), cupy.asarray(edge_taper(shape[1]))
        transforms = cupy.empty((count, shape[0], shape[1] // 2 + 1), cupy.complex64)
        for index, frame in enumerate(self.frames):
            binned = self._binned(frame, bin_factor)
            binned = (binned - binned.mean(dtype=cupy.float64).astype(cupy.float32)) * (rows[:, None] * columns[None])
            transforms[index] = cupy.fft.rfft2(binned)
        return GpuSpectra(transforms, shape, self.device)

    @_on_its_device
    def patch_spectra(self, layout: PatchLayout) -> GpuPatchSpectra:
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
        return GpuPatchSpectra(transforms, layout.kept_width, self.device)

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

    @_on_its_device
    def warped_sums(self, field: DisplacementField, weights: NDArray[np.float32]) -> Sequence[DeviceImage]:
        """Return weighted sums of the frames with the displacements undone."""
        count, height, width = self.frames.shape
        kernel = _warp_kernel(str(self.frames.dtype))
        field_y, field_x = (cupy.asarray(powers, cupy.float64) for powers in field.by_powers())
        taps = cupy.asarray(lanczos_taps())
        gain = taps if self.gain is None else self.gain
        grid = (-(-width // THREADS_A_BLOCK[0]), -(-height // THREADS_A_BLOCK[1]))
        has_gain, piece = np.int32(self.gain is not None), field.columns_at_once(width)
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
            sizes = [np.int32(size) for size in (count, height, width, part.shape[1], len(taps), piece)]
            arguments = (self.frames, gain, has_gain, field_y, field_x, cupy.asarray(part), taps, sums, *sizes)
            kernel(grid, THREADS_A_BLOCK, arguments)
            images += list(sums) if at_once == MOST_SUMS else [cupy.asnumpy(image) for image in sums]
        return images

    @_on_its_device
    def release(self) -> None:
        """Give back the memory of the frames."""
        self.frames = self.frames[:0].copy()
        self.gain = None
        cupy.get_default_memory_pool().free_all_blocks()


class GpuBackend:
    """One CUDA device."""

    def __init__(self, device: int, memory_gb: float | None = None) -> None:
        self.device = device
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"no CUDA device answers: {error}") from error
        if device >= count:
            raise DeviceError(f"there is no cuda:{device}; devices here: {count}")
        if memory_gb is not None:
            with cupy.cuda.Device(device):
                cupy.get_default_memory_pool().set_limit(size=int(memory_gb * 1e9))

    @property
    def name(self) -> str:
        """Return `cuda:N`."""
        return f"cuda:{self.device}"

    @_on_its_device
    def hold(self, frame_count: int, height: int, width: int, dtype: np.dtype[Any]) -> GpuFrameStack:
        """Return an empty stack for that many frames."""
        held = np.dtype(np.float32) if dtype == np.float16 else dtype
        return GpuFrameStack(cupy.empty((frame_count, height, width), held), self.device)

    @_on_its_device
    def filtered_sum(
        self,
        images: Sequence[DeviceImage],
        filters: NDArray[np.float32],
        output_shape: tuple[int, int],
        undamping: Undamping | None = None,
    ) -> Image:
        """Return the sum of the images, each filtered radially, Fourier-cropped."""
        height, width = images[0].shape
        if output_shape == (height, width) and np.all(filters == 1) and undamping is None:
            plain = cupy.array(images[0])
            for image in images[1:]:
                plain += cupy.asarray(image)
            return cupy.asnumpy(plain)  # type: ignore[no-any-return]  # CuPy has no types
        height, width = whole_multiple(images[0].shape, output_shape)
        rows = np.arange(output_shape[0])
        lowest = np.where(2 * rows < output_shape[0], rows, height - output_shape[0] + rows)
        kept = cupy.asarray(lowest)
        half = output_shape[1] // 2 + 1
        ky = cupy.asarray(np.fft.fftfreq(height)[lowest])[:, None]
        kx = cupy.arange(half)[None] / width
        frequency = cupy.sqrt(ky * ky + kx * kx).ravel()
        total = cupy.zeros((output_shape[0], half), cupy.complex64)
        places = cupy.linspace(0, CORNER_FREQUENCY, filters.shape[1])
        for image, factors in zip(images, filters, strict=True):
            filtered = cupy.interp(frequency, places, cupy.asarray(factors, cupy.float64)).astype(cupy.float32)
            total += cupy.fft.rfft2(image[:height, :width])[kept, :half] * filtered.reshape(total.shape)
        total *= np.float32(output_shape[0] * output_shape[1] / (height * width))
        if undamping is not None:
            along_y, along_x = undamping_of(undamping, (height, width), output_shape)
            total *= cupy.asarray(along_y)[:, None] * cupy.asarray(along_x)
        image = cupy.fft.irfft2(total, s=output_shape)
        return cupy.asnumpy(image.astype(cupy.float32))  # type: ignore[no-any-return]  # CuPy has no types


@functools.cache
def _warp_kernel(number_type: str) -> Any:
    if number_type not in FRAME_TYPES:
        raise DeviceError(f"frames of {number_type} are not summed on a GPU")
    return cupy.RawKernel(f"#define FRAME {FRAME_TYPES[number_type]}\n{WARP_AND_SUM}", "warp_and_sum")
