"""EER movies: electron events of Falcon cameras, one TIFF page for each hardware frame.

Hardware frames hold too few electrons to be aligned, so a frame is a group of them. How many, by `EerSettings`:

* `hardware_frames_per_frame`: that number;
* `dose_per_frame_e_per_a2`: as many as come closest to that dose; the header must know the total dose;
* neither: about 1 e⁻/Å² for each frame where the header knows the total dose, else 32; but fewer where that would leave
  less than 10 frames.

Hardware frames that fill no group are dropped, as RELION does; `remarks` says how many, and where the file holds less
than the camera recorded. Frames come at the camera's
physical resolution, or, with `upsampling` 2, at twice that by the first of the events' sub-pixel bits along each axis
(the pixel size is half the camera's then); in the orientation in which they are stored.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree as ET

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from preprocess.errors import AcquisitionUnknown, UnreadableMovie, UnsupportedFormat
from preprocess.movie_warning import MovieWarning
from preprocess.movies.eer_strips import codes_of, cut_off_pages
from preprocess.movies.encoded import EncodedEvents, EncodedHardwareFrame, events_are_decoded_anywhere
from preprocess.movies.movie import Frame, Receive
from preprocess.movies.mrc import known_pixel_size
from preprocess.movies.prefetch import in_order
from preprocess.movies.recognise import EER_COMPRESSIONS
from preprocess.movies.tiff_layout import TiffPage, tiff_pages
from preprocess.settings import EerSettings

_USUAL_HARDWARE_FRAMES = 32
_USUAL_DOSE_E_PER_A2 = 1.0
_FEWEST_FRAMES = 10
_BITS = {65000: (8, 2, 2), 65001: (7, 2, 2)}

_log = logging.getLogger(__name__)


class EerMovie:
    """A movie in an EER file; a frame is the sum of a group of hardware frames."""

    def __init__(self, path: Path, settings: EerSettings, *, threads: int) -> None:
        self.path = path
        self.format = "eer"
        self._threads = threads
        with path.open("rb", buffering=0) as file:
            pages = [page for page in tiff_pages(file, path.stat().st_size) if page.compression in EER_COMPRESSIONS]
        first = pages[0]
        self.upsampling = settings.upsampling
        self.height, self.width = first.height * self.upsampling, first.width * self.upsampling
        for page in pages:
            if (page.height, page.width) != (first.height, first.width):
                raise UnreadableMovie(f"{path}: hardware frame {page.number} differs in size from the first one")
        self._pages = pages
        self.hardware_frame_count = len(pages)
        self.unbelievable_pixels: NDArray[np.int64] = np.zeros(0, np.int64)
        metadata = _metadata(path, first.eer_metadata)
        named = _number(metadata, "numberOfFrames")
        self.recorded_frame_count = max(len(pages), round(named or 0))
        camera_pixel_size = _header_pixel_size(metadata)
        self.header_pixel_size_angstrom = None if camera_pixel_size is None else camera_pixel_size / self.upsampling
        self.header_total_dose_e_per_a2 = _header_total_dose(metadata, camera_pixel_size)
        self.hardware_frames_per_frame = _group_size(
            path, settings, len(pages), self.recorded_frame_count, self.header_total_dose_e_per_a2
        )
        self.frame_count, dropped = divmod(len(pages), self.hardware_frames_per_frame)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8 if self.hardware_frames_per_frame <= 255 else np.uint16)
        self.remarks = (
            *_dropped_remark(dropped, len(pages), self.hardware_frames_per_frame),
            *_count_remark(len(pages), named),
            *self._cut_off_remarks(),
        )
        for remark in self.remarks:
            _log.info("%s: %s", path, remark)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield frames `start` to `stop` (not included) in order, decoded ahead in threads, one frame each."""
        return in_order(self.path, self._frame, range(self.frame_count)[start:stop], threads=self._threads)

    def deliver(self, receive: Receive, start: int = 0, stop: int | None = None) -> Iterator[None]:
        """Hand frames to `receive` in the threads that decode them."""
        indices = range(self.frame_count)[start:stop]

        def make(index: int) -> None:
            receive(index - indices.start, self._frame(index))

        return in_order(self.path, make, indices, threads=self._threads)

    def encoded(self) -> EncodedEvents | None:
        """Return where the hardware frames lie and how long their codes' parts are; None where those are unusual."""
        pages = self._pages[: self.frame_count * self.hardware_frames_per_frame]
        usual = (
            events_are_decoded_anywhere(_code_bits(page), self.height, self.width, self.upsampling) for page in pages
        )
        if not all(usual):
            return None
        hardware_frames = tuple(
            EncodedHardwareFrame(
                page.strip_offsets.astype(np.int64), page.strip_byte_counts.astype(np.int64), _code_bits(page)
            )
            for page in pages
        )
        return EncodedEvents(hardware_frames, self.hardware_frames_per_frame, self.upsampling)

    def _frame(self, index: int) -> Frame:
        group = self._pages[index * self.hardware_frames_per_frame : (index + 1) * self.hardware_frames_per_frame]
        frame = np.zeros((self.height, self.width), self.dtype)
        with self.path.open("rb", buffering=0) as file:
            for first in range(0, len(group), 255):  # the decoder counts in bytes
                counts = np.zeros((self.height, self.width), np.uint8)
                for page in group[first : first + 255]:
                    self._add_events(file, page, counts)
                frame = counts if frame.dtype == np.uint8 else frame + counts
        return frame

    def _cut_off_remarks(self) -> tuple[MovieWarning, ...]:
        with self.path.open("rb", buffering=0) as file:
            cut_off = cut_off_pages(file, self._pages, [_code_bits(page) for page in self._pages])
        return tuple(
            MovieWarning(
                "frame-cut-off",
                f"hardware frame {index + 1} of {len(self._pages)} is cut off:"
                f" it holds the first {rows} of {self.height // self.upsampling} rows",
                min(index // self.hardware_frames_per_frame + 1, self.frame_count),
            )
            for index, rows in cut_off.items()
        )

    def _add_events(self, file: BinaryIO, page: TiffPage, counts: NDArray[np.uint8]) -> None:
        """Add a hardware frame's electrons to `counts`."""
        bits = _code_bits(page)
        events = codes_of(file, page)
        if len(events) != int(page.strip_byte_counts.sum()):  # the file was cut after it was opened
            raise UnreadableMovie(f"{self.path}: hardware frame {page.number} is cut off")
        if len(events) % 2:
            events += b"\0"  # the decoder takes even lengths alone, and ends at the last pixel
        try:
            imagecodecs.eer_decode(events, counts.shape, *bits, superres=self.upsampling - 1, out=counts)
        except imagecodecs.EerError as error:
            raise UnreadableMovie(f"{self.path}: hardware frame {page.number} is corrupt ({error})") from error
        except ValueError as error:
            raise UnsupportedFormat(f"{self.path}: events of {bits} bits are not supported") from error


def _code_bits(page: TiffPage) -> tuple[int, int, int]:
    """Return the bits of a code: the run of empty pixels, then the place inside the pixel along x and along y."""
    return page.eer_bits if page.compression == 65002 and page.eer_bits else _BITS.get(page.compression, (7, 2, 2))


def _group_size(
    path: Path, settings: EerSettings, hardware_frames: int, recorded_frames: int, total_dose_e_per_a2: float | None
) -> int:
    if settings.hardware_frames_per_frame is not None:
        wanted = settings.hardware_frames_per_frame
        if not 1 <= wanted <= hardware_frames:
            raise UnreadableMovie(
                f"{path}: {wanted} hardware frames per frame were asked for, but the movie has {hardware_frames}",
                hint="Give a smaller --eer-frames.",
            )
        return wanted
    dose = settings.dose_per_frame_e_per_a2
    if dose is not None:
        if total_dose_e_per_a2 is None:
            raise AcquisitionUnknown(
                f"{path}: the header gives no total dose, so hardware frames cannot be grouped by dose",
                hint="Give --eer-frames instead of --eer-dose-per-frame.",
            )
        return min(hardware_frames, max(1, round(dose * recorded_frames / total_dose_e_per_a2)))
    usual = _USUAL_HARDWARE_FRAMES
    if total_dose_e_per_a2 is not None:
        usual = max(1, round(_USUAL_DOSE_E_PER_A2 * recorded_frames / total_dose_e_per_a2))
    return max(1, min(usual, hardware_frames // _FEWEST_FRAMES))


def _dropped_remark(dropped: int, hardware_frames: int, group: int) -> tuple[MovieWarning, ...]:
    if not dropped:
        return ()
    text = f"the last {dropped} of {hardware_frames} hardware frames do not fill a group of {group} and are left out"
    return (MovieWarning("frames-left-out", text),)


def _count_remark(hardware_frames: int, named: float | None) -> tuple[MovieWarning, ...]:
    if named is None or round(named) == hardware_frames:
        return ()
    text = f"the camera's metadata name {named:g} hardware frames, but the file holds {hardware_frames}"
    if hardware_frames < named:
        text += ": the dose of a frame is its share of those named; copy the movie from the microscope again"
    return (MovieWarning("frame-count-differs", text),)


def _metadata(path: Path, xml: bytes) -> dict[str, tuple[str, str]]:
    """Return the camera's metadata, name → (text, unit). A file without any is read all the same."""
    text = xml.strip(b"\0 \r\n")
    if not text:
        return {}
    try:
        items = ET.fromstring(text).iter("item")  # noqa: S314 - the movie is the facility's own; expat bounds expansion
        return {item.get("name", ""): ((item.text or "").strip(), item.get("unit", "")) for item in items}
    except ET.ParseError:
        _log.warning("%s: the camera's metadata in the header cannot be read and is not used", path)
        return {}


def _number(metadata: dict[str, tuple[str, str]], name: str) -> float | None:
    try:
        value = float(metadata[name][0])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _header_pixel_size(metadata: dict[str, tuple[str, str]]) -> float | None:
    """Return the pixel size on the specimen. EER headers give it in metres."""
    metres = _number(metadata, "sensorPixelSize.width")
    return known_pixel_size(metres * 1e10) if metres is not None else None


def _header_total_dose(metadata: dict[str, tuple[str, str]], pixel_size_angstrom: float | None) -> float | None:
    """Return the total dose in e⁻/Å². EER headers give it for each pixel."""
    electrons_per_px = _number(metadata, "totalDose")
    if electrons_per_px is None or pixel_size_angstrom is None:
        return None
    return electrons_per_px / pixel_size_angstrom**2
