"""The contract of the kernels that must be fast. `cpu/` and `cuda/` fulfil it; one test suite checks both.

A backend holds a movie's frames where it computes. Images that come out (`DeviceImage`) stay there until they are
requested as NumPy arrays; callers pass them back and never look inside. Every result is the same, bit for bit,
whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from preprocess.backends.tile_spectra import BlockPowers
from preprocess.geometry.block_tiles import BlockTiles
from preprocess.geometry.field import DisplacementField
from preprocess.geometry.patches import PatchLayout
from preprocess.geometry.replacements import Replacements
from preprocess.images import ArrivingImage, PixelStatistics
from preprocess.movies import Movie
from preprocess.movies.frame_groups import FrameGroups

RING_COUNT = 256
"""Rings of spatial frequency from 0 to Nyquist (0.5 / px), by which spectra are weighted and measured."""

Image = NDArray[np.float32]
Undamping = NDArray[np.float32]
"""Factors along y and along x at equally spaced frequencies from 0 to 0.5 per px, shape (2, n)."""
DeviceImage = Any
"""An image of a backend, shape (height, width), float32, wherever that backend computes."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """What one stage of the work took on the device.

    Attributes
    ----------
    ms : float
        Time on the device, ms, by its own clock.
    bytes : int
        What must at least be read from and written to its memory.
    flop : int
        Operations on numbers, about.
    """

    ms: float = 0.0
    bytes: int = 0
    flop: int = 0


@dataclass(frozen=True, slots=True)
class PartPowers:
    """What is believed of two parts of a movie, one fixed to the camera and one that moves; one value for each ring.

    A component of frame t is level (fixed + moving · phase) + noise, the phase that of the frame's displacement.

    Attributes
    ----------
    noise : NDArray[np.float64]
        Power of the noise in a component of a frame; rings where it is zero are left out.
    fixed, moving : NDArray[np.float64]
        Expected power of the two parts.
    outstanding : NDArray[np.float64]
        From which power on a component of the plain sum stands out of its ring, as lines do: the fixed part may be as
        strong as it, the moving part too where the two differ enough to be told apart (2 |g|² < n², see PartMeasures).
    taken : NDArray[np.float64]
        Share of the most probable fixed part that is taken off frames; all of it where it stands out.
    """

    noise: NDArray[np.float64]
    fixed: NDArray[np.float64]
    moving: NDArray[np.float64]
    outstanding: NDArray[np.float64]
    taken: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PartMeasures:
    """What `Spectra.split` measures: for each ring, sums over its components (Hermitian pairs counted twice).

    a is the frames' sum, b that with the displacements undone, g the sum of their phase factors (all weighted by level)
    and n the sum of the levels' squares. Components that are outstanding are left out but of the log-likelihood.

    Attributes
    ----------
    count : NDArray[np.float64]
        Number of components.
    frame_power : NDArray[np.float64]
        Sum of the frames' powers.
    change : NDArray[np.float64]
        Half the power of the difference of neighbouring frames (in units of their levels), mean over the later half.
    sum_power, aligned_power : NDArray[np.float64]
        |a|² and |b|².
    fixed_alone, moving_alone : NDArray[np.float64]
        |n a - g* b|², which knows nothing of what moves, and |n b - g a|², nothing of what is fixed.
    overlap, apart, apart_squared : NDArray[np.float64]
        |g|², n² - |g|², and the square of that.
    mirrored_alone : NDArray[np.float64]
        |n c - g b|², c being the sum after twice the displacements are undone: what the first of the two would be if
        something moved twice as far. Nothing does; but where places of the frame move differently, it is as large.
    log_likelihood : NDArray[np.float64]
        By how much the two parts make the frames more probable than noise alone does.
    """

    count: NDArray[np.float64]
    frame_power: NDArray[np.float64]
    change: NDArray[np.float64]
    sum_power: NDArray[np.float64]
    aligned_power: NDArray[np.float64]
    fixed_alone: NDArray[np.float64]
    moving_alone: NDArray[np.float64]
    overlap: NDArray[np.float64]
    apart: NDArray[np.float64]
    apart_squared: NDArray[np.float64]
    mirrored_alone: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]


PART_FIGURES = len(fields(PartMeasures))


@dataclass(frozen=True, slots=True)
class FixedPart:
    """What is fixed to the camera, to be taken off each frame.

    Attributes
    ----------
    image : DeviceImage
        Of binned frames, mean removed, edges tapered.
    levels : NDArray[np.float64]
        By how much it is multiplied in each frame.
    """

    image: DeviceImage
    levels: NDArray[np.float64]


class Spectra(Protocol):
    """The Fourier transforms of a movie's binned frames, on the device.

    Shifts are the content's displacements in binned px, shape (frames, 2), (y, x). Spectra are compared after these
    displacements are undone, each with the sum of all others (leave one out).
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Return the height and width of the binned frames."""

    @property
    def frame_count(self) -> int:
        """Return the number of frames."""

    def ring_powers(self, shifts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for each ring, the power of the sum of all frames and the sum of the frames' powers.

        Both are sums over the ring's Fourier components (Hermitian pairs counted twice). The sum of spectra is kept
        for the two calls below.
        """

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring."""

    def correlations(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], shape: tuple[int, int], radius: int
    ) -> NDArray[np.float32]:
        """Return each frame's weighted cross-correlation with the sum of the others, around zero shift.

        Only the lowest frequencies, a box that fits an image of `shape`, take part, so that one step is
        height / shape[0] binned px in y, width / shape[1] in x.

        Parameters
        ----------
        weights : NDArray[np.float64]
            Weight of each ring.
        radius : int
            Half-width of the window; the result has shape (frames, 2 radius + 1, 2 radius + 1).
        """

    def derivatives(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return gradient (frames, 2) and Hessian (frames, 3: yy, xx, yx) of that cross-correlation at zero shift."""

    def split(
        self,
        shifts: NDArray[np.float64],
        levels: NDArray[np.float64],
        powers: PartPowers,
        *,
        take_off: bool = False,
        every: int = 1,
    ) -> PartMeasures:
        """Find the most probable part that is fixed to the camera, beside the one that moves by `shifts`.

        With `take_off`, that part is taken off all frames, in place of what was taken off before: from then on the
        other calls see frames without it. This call always sees the frames as they came.

        Parameters
        ----------
        levels : NDArray[np.float64]
            The frames' brightness in units of the usual one.
        every : int
            Of how many rows of a spectrum one is looked at.
        """

    def fixed_image(self) -> DeviceImage:
        """Return the image of the part that is taken off."""


@dataclass(frozen=True, slots=True)
class PatchMeasures:
    """What `PatchSpectra.measure` finds.

    Attributes
    ----------
    sum_powers, frame_powers : NDArray[np.float64]
        For each patch and ring, the power of the sum of all frames and the sum of the frames' powers; shape
        (patches, RING_COUNT), zero from the ring where the measurement ended.
    gradient : NDArray[np.float64]
        Of each frame's weighted cross-correlation with the sum of the others, shape (frames, patches, 2), per sample.
    hessian : NDArray[np.float64]
        Of the same, sum over frames, shape (patches, 3): yy, xx, yx.
    """

    sum_powers: NDArray[np.float64]
    frame_powers: NDArray[np.float64]
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]


class PatchSpectra(Protocol):
    """The lowest frequencies of the patches of all frames, on the device.

    They are those of patches of `shape` samples. Shifts are the content's displacements in samples, (y, x).
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Return the height and width of a patch in samples."""

    def ring_sizes(self) -> NDArray[np.float64]:
        """Return the number of Fourier components of each ring of one patch."""

    def measure(
        self, shifts: NDArray[np.float64], weights: NDArray[np.float64], patches: Sequence[int], last_ring: int
    ) -> PatchMeasures:
        """Compare each frame with the sum of the others, all displacements undone, in some of the patches.

        Parameters
        ----------
        shifts : NDArray[np.float64]
            Shape (frames, all patches, 2).
        weights : NDArray[np.float64]
            Weight of each ring.
        patches : Sequence[int]
            The patches wanted; results are in this order.
        last_ring : int
            Rings from this one on are left out.
        """


class FrameSum(Protocol):
    """The plain sum of a movie's frames, unaligned, and which of its pixels are valid, on the device.

    Values are those of the sum with the gain applied, rounded to float32. Pixels are given by flat indices, ascending.
    At first, all pixels of a gain greater than zero are valid.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Return the height and width."""

    def mean(self) -> float:
        """Return the mean of all pixels, valid or not."""

    def statistics(self) -> PixelStatistics:
        """Return the statistics of the valid pixels."""

    def exclude(self, pixels: NDArray[np.int64]) -> None:
        """Mark these pixels as invalid."""

    def excluded(self) -> NDArray[np.int64]:
        """Return the pixels that are not valid."""

    def between(self, lowest: float, highest: float) -> NDArray[np.int64]:
        """Return the valid pixels whose value lies from `lowest` to `highest`, both included, as float32."""

    def surroundings(self, pixels: NDArray[np.int64], reach: int) -> tuple[NDArray[np.float32], float | None]:
        """Compare with the mean of the valid pixels around, up to `reach` px away along each axis, edges mirrored.

        Returns
        -------
        NDArray[np.float32]
            That mean around each of `pixels`.
        float | None
            Mean of (value - mean)² / mean over all valid pixels where both are greater than zero: the noise's
            variance over its mean. None if there is no such pixel.
        """

    def peaks(self, slope: float, floor: float) -> NDArray[np.int64]:
        """Return the valid pixels that stand out from those 4 px away: all that may be hot, and some that are not.

        Four pairs of pixels lie on opposite sides of each one, along both axes and both diagonals, edges mirrored. A
        pixel is returned whose value exceeds r, the mean of the lower ones of the pairs, by more than five standard
        deviations and 9 * slope; the variance is slope * max(r, 0) + floor. One with a pair of invalid pixels is not.
        """

    def windows(self, pixels: NDArray[np.int64], reach: int) -> NDArray[np.float32]:
        """Return what lies around pixels, up to `reach` px away along each axis: shape (pixels, (2 reach + 1)²).

        Windows are listed row by row. NaN stands for pixels that are invalid or beyond the edge.
        """

    def raw_centre(self, side: int) -> Image:
        """Return the middle of the sum, without the gain, at most `side` px high and wide: see `centre_of`."""


class FrameReceiver(Protocol):
    """Takes frames, on the device."""

    def put(self, index: int, frame: NDArray[Any]) -> None:
        """Copy in one frame, shape (height, width); several threads may do so at a time."""


class FrameStack(FrameReceiver, Protocol):
    """A movie's frames in their own number type, on the device."""

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Return the height and width of the frames."""

    def fill(
        self, movie: Movie, used: range, groups: FrameGroups, grouped: FrameReceiver, progress: Callable[[float], None]
    ) -> tuple[str, ...]:
        """Read a movie's frames, and add them up by groups.

        Parameters
        ----------
        used : range
            Indices of the frames to read, from 0; as many as the stack holds.
        grouped : FrameReceiver
            Gets the sums of the groups: a stack of the same backend, this very one where each frame is a group.
        progress : Callable[[float], None]
            Called with the fraction of frames read, now and then.

        Returns
        -------
        tuple[str, ...]
            What the user should know about it.

        Raises
        ------
        UnreadableMovie
            A frame is corrupt or cut off; the text names it, and the strip.
        """

    def keep(self, places: NDArray[np.int64]) -> None:
        """Hold the frames of these numbers, ascending, and no others from now on."""

    def add_up(self, groups: FrameGroups, grouped: FrameStack) -> None:
        """Put the sums of groups of the frames into a stack of the same backend that holds as many frames."""

    def box_moments(self, boxes: int, rows: int) -> NDArray[np.float64]:
        """Measure each frame as it was counted, without the gain, in `boxes` by `boxes` boxes of equal size.

        Parameters
        ----------
        rows : int
            About how many rows of a frame are looked at, evenly spaced.

        Returns
        -------
        NDArray[np.float64]
            How many pixels of a box were looked at, their mean and their variance; shape (frames, 3, boxes²).
        """

    def set_gain(self, gain: DeviceImage | Image | None) -> None:
        """Multiply frames by this, shape (height, width), whenever they are used from now on."""

    def set_weight(self, weight: Image | None) -> None:
        """Multiply frames by this besides the gain, until another one is set or None: for estimates of motion only."""

    def frame_sum(self) -> FrameSum:
        """Return the plain sum of all frames, unaligned, with the gain as it is set."""

    def replace_pixels(self, replacements: Replacements) -> None:
        """Let defect pixels have the values of others of their own frame."""

    def spectra(self, bin_factor: int) -> Spectra:
        """Return the transforms of the frames, gain applied, box-binned, mean removed, edges tapered."""

    def patch_spectra(self, layout: PatchLayout, fixed: FixedPart | None = None) -> PatchSpectra:
        """Return the transforms of all patches, gain applied, box-binned, each patch's mean removed, windowed.

        With a fixed part, patches are those of frames as `spectra` has them, and that part is taken off first.
        """

    def warped_sums(self, field: DisplacementField, weights: NDArray[np.float32]) -> Sequence[DeviceImage]:
        """Return weighted sums of the frames with the displacements undone, by Lanczos-3 interpolation.

        Beyond the frame's edge its content is mirrored.

        Parameters
        ----------
        weights : NDArray[np.float32]
            Shape (sums, frames).
        """

    def hand_over(self) -> None:
        """Let another thread take over from here: nothing more is asked for until it has (`take_over`)."""

    def take_over(self) -> None:
        """Go on where another thread has handed over, as a stack of the backend for computing."""

    def release(self) -> None:
        """Give back the memory of the frames; the stack is of no use afterwards."""


class Backend(Protocol):
    """Where images are computed."""

    @property
    def name(self) -> str:
        """Return `cpu` or `cuda:N`."""

    def for_reading(self) -> Backend:
        """Return the same device for a thread that reads movies: it does not wait for what others ask for.

        What it makes is of no use to others, but for a stack that is handed over.
        """

    def available_bytes(self) -> int | None:
        """Return how much memory may still be taken there, by the device and by any cap; None: unknown.

        What is only kept for the next movie counts as free: it is given back before anything is refused.
        """

    def make_room(self, needed_bytes: int) -> None:
        """Give back what is kept for the next movie if that many bytes could not be taken beside it."""

    def capacity_bytes(self) -> int | None:
        """Return how much memory could ever be taken there, if nobody else took any; None: unknown."""

    def finish(self) -> None:
        """Wait until all that this backend was asked for is done."""

    def held_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the number type in which frames of a movie's type are held."""

    def hold(self, frame_count: int, height: int, width: int, dtype: np.dtype[Any]) -> FrameStack:
        """Return an empty stack for that many frames.

        Raises
        ------
        DeviceOutOfMemory
            The device has not enough memory (this and every other call of stack and spectra can say so).
        """

    def upload(self, image: Image) -> DeviceImage:
        """Return an image of the device's own; the last one is kept, and costs nothing when it is asked for again."""

    def with_pixels(self, image: DeviceImage, pixels: NDArray[np.int64], values: NDArray[np.float32]) -> DeviceImage:
        """Return a copy of an image in which the pixels of these flat indices have these values."""

    def filtered_sum(
        self,
        images: Sequence[DeviceImage],
        filters: NDArray[np.float32],
        output_shape: tuple[int, int],
        undamping: Undamping | None = None,
    ) -> DeviceImage:
        """Return the sum of the images, each filtered radially, Fourier-cropped to `output_shape`.

        Pixel values keep their mean: cropping averages, as RELION does. Rows and columns at the end that make no whole
        pixel of the output are left out first, so that it is binned by a whole number. A sum that is neither cropped
        nor undamped, of images that are each multiplied by one factor alone, needs no transform.

        Parameters
        ----------
        filters : NDArray[np.float32]
            Shape (images, n): factors at n equally spaced frequencies from 0 to sqrt(2) / 2 per px (the corner of
            the spectrum, with 1 px = one pixel of the input), interpolated linearly.
        undamping : Undamping | None
            What the sum's frequencies are multiplied by besides, along y and along x.
        """

    def amplitudes(self, images: Sequence[DeviceImage], undampings: Sequence[Undamping]) -> Image:
        """Return the sum of the absolute values of the images' transforms, each undamped, over the number of pixels.

        Returns
        -------
        Image
            Columns 0 to width // 2 of the spectrum, zero frequency first: shape (height, width // 2 + 1).
        """

    def bring_down(self, image: DeviceImage, *, float32: bool) -> ArrivingImage:
        """Send an image on its way to the machine's memory.

        It becomes float16, unless float32 is asked for or a value is beyond float16's range. Values are rounded to the
        nearest, to the even one of two as near.
        """

    def reduced(self, image: DeviceImage, factors: tuple[int, int]) -> Image:
        """Return the means of boxes of an image, `factors` (y, x) px high and wide; those at the end may be smaller."""

    def block_powers(self, image: DeviceImage, tiles: BlockTiles) -> BlockPowers:
        """Return the power spectra of an image's tiles, windowed, added up by block.

        Values are taken less the image's median, and clipped at eight of its robust standard deviations. One that is
        not a finite number becomes the mean of the others in its row of the tile. `tile_spectra` says which tiles
        count.
        """

    def stage_times(self) -> Mapping[str, StageTime]:
        """Return what each stage took on the device since the last call; empty where it is not measured.

        Stages named `upload` and `download` carry bytes over the bus, and `decode` decodes frames.
        """
