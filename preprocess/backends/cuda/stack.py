"""A movie's frames on a CUDA device, in their own number type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.contract import DeviceImage, FixedPart, FrameReceiver, FrameStack, Image
from preprocess.backends.cuda.box_moments import box_moments
from preprocess.backends.cuda.cuda_device import CudaDevice
from preprocess.backends.cuda.decoding import fill_frames, sum_groups
from preprocess.backends.cuda.device import DeviceArray, cupy, on_its_device
from preprocess.backends.cuda.device_memory import GAIN
from preprocess.backends.cuda.frame_sum import CudaFrameSum
from preprocess.backends.cuda.patch_spectra import CudaPatchSpectra, transform_patches
from preprocess.backends.cuda.pixels import replace_pixels
from preprocess.backends.cuda.spectra import CudaSpectra, transform_frames
from preprocess.backends.cuda.warping import warped_sums
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import PatchLayout
from preprocess.geometry.replacements import Replacements
from preprocess.movies import Movie
from preprocess.movies.frame_groups import FrameGroups


class CudaFrameStack:
    """Frames on the device, shape (frames, height, width); float16 frames are held as float32."""

    def __init__(self, frames: DeviceArray, device: CudaDevice) -> None:
        self.frames = frames
        self.gain: DeviceArray | None = None
        self._unweighted: DeviceArray | None = None
        self._ready: Any = None
        self.device = device

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Return the height and width of the frames."""
        _, height, width = self.frames.shape
        return int(height), int(width)

    @on_its_device
    def fill(
        self, movie: Movie, used: range, groups: FrameGroups, grouped: FrameReceiver, progress: Callable[[float], None]
    ) -> tuple[str, ...]:
        """Read a movie's frames, decoded here where that pays, and add them up by groups."""
        remarks = fill_frames(self.device, self.frames, self.put, movie, used, progress)
        if not groups.single:
            assert isinstance(grouped, CudaFrameStack)
            sum_groups(self.device, self.frames, groups, grouped.frames)
        return remarks

    @on_its_device
    def put(self, index: int, frame: NDArray[Any]) -> None:
        """Copy in one frame."""
        self.device.memory.fill(self.frames[index], np.ascontiguousarray(frame, self.frames.dtype))

    @on_its_device
    def keep(self, places: NDArray[np.int64]) -> None:
        """Hold these frames alone; they move to the front, so that no more memory is needed."""
        for index, place in enumerate(places.tolist()):
            if index != place:
                self.frames[index][...] = self.frames[place]
        self.frames = self.frames[: len(places)]

    @on_its_device
    def add_up(self, groups: FrameGroups, grouped: FrameStack) -> None:
        """Put the sums of groups of frames into another stack."""
        assert isinstance(grouped, CudaFrameStack)
        sum_groups(self.device, self.frames, groups, grouped.frames)

    @on_its_device
    def box_moments(self, boxes: int, rows: int) -> NDArray[np.float64]:
        """Return how many pixels of each box were looked at, their mean and variance."""
        return box_moments(self.device, self.frames, boxes, rows)

    @on_its_device
    def set_gain(self, gain: DeviceImage | Image | None) -> None:
        """Multiply frames by this whenever they are used."""
        self.gain = self.device.memory.upload(GAIN, gain, "f4") if isinstance(gain, np.ndarray) else gain
        self._unweighted = self.gain

    @on_its_device
    def set_weight(self, weight: Image | None) -> None:
        """Multiply frames by this besides the gain."""
        self.gain = self._unweighted
        if weight is not None:
            weighted = self.device.memory.upload("images", weight, "f4")
            if self.gain is not None:
                weighted *= self.gain
            self.gain = weighted

    @on_its_device
    def frame_sum(self) -> CudaFrameSum:
        """Return the plain sum of all frames."""
        return CudaFrameSum(self.frames, self.gain, self.device)

    @on_its_device
    def replace_pixels(self, replacements: Replacements) -> None:
        """Replace defect pixels by others of the same frame."""
        replace_pixels(self.device, self.frames, replacements)

    @on_its_device
    def spectra(self, bin_factor: int) -> CudaSpectra:
        """Return the transforms of the binned frames."""
        return transform_frames(self.device, self.frames, self.gain, bin_factor)

    @on_its_device
    def patch_spectra(self, layout: PatchLayout, fixed: FixedPart | None = None) -> CudaPatchSpectra:
        """Return the transforms of all patches."""
        return transform_patches(self.device, self.frames, self.gain, layout, fixed)

    @on_its_device
    def warped_sums(self, field: DisplacementField, weights: NDArray[np.float32]) -> Sequence[DeviceImage]:
        """Return weighted sums of the frames with the displacements undone."""
        return warped_sums(self.device, self.frames, self.gain, field, weights)

    @on_its_device
    def hand_over(self) -> None:
        """Mark on its stream where another one may go on."""
        self._ready = self.device.stream.record(cupy.cuda.Event(disable_timing=True))

    def take_over(self) -> None:
        """Go on with it on the stream that computes."""
        self.device = self.device.for_computing()
        self._wait_until_ready()

    @on_its_device
    def _wait_until_ready(self) -> None:
        self.device.stream.wait_event(self._ready)

    @on_its_device
    def release(self) -> None:
        """Give back the memory of the frames."""
        self.frames = cupy.empty((0, *self.frames.shape[1:]), self.frames.dtype)
        self.gain = self._unweighted = None
