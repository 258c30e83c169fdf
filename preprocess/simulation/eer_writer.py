"""Write frames as EER: each electron an event in one of the hardware frames that make up its frame.

A page's strip is a run-length code, least bit first: the number of empty pixels up to the next electron in 7 bits (127:
no electron yet, go on), then 2 + 2 bits for its place within the pixel. The run must end exactly at the last pixel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled

_SKIP_BITS, _SUB_PIXEL_BITS = 7, 4
_LONGEST_SKIP = (1 << _SKIP_BITS) - 1
_COMPRESSION_7_BIT = 65001
_METADATA_TAG = 65001
_SHORT, _LONG, _UNDEFINED, _LONG8 = 3, 4, 7, 16


def write_eer(
    path: Path,
    frames: Iterable[NDArray[Any]],
    *,
    hardware_frames_per_frame: int = 8,
    pixel_size_angstrom: float | None = None,
    total_dose_e_per_px: float | None = None,
    exposure_time_s: float = 2.0,
    seed: int = 0,
) -> None:
    """Write frames of counts (height, width); each count above `hardware_frames_per_frame` is cut to it.

    A hardware frame holds at most one electron in a pixel, so a pixel's counts go to hardware frames that differ;
    summed in groups of `hardware_frames_per_frame` they are the frames again.
    """
    with path.open("wb") as file:
        pages = _BigTiffPages(file)
        metadata = _metadata_xml(pixel_size_angstrom, total_dose_e_per_px, exposure_time_s)
        for index, frame in enumerate(frames):
            random = np.random.default_rng([seed, 6, index])
            for places in _scatter(frame, hardware_frames_per_frame, random):
                strip = encode_events(places, random.integers(0, 16, places.size), frame.size)
                pages.add(frame.shape, strip, metadata)
                metadata = b""


def encode_events(places: NDArray[np.intp], sub_pixels: NDArray[np.integer[Any]], pixels: int) -> bytes:
    """Return the 7-bit run-length code of electrons at increasing flat `places`, with sub-pixel places of 4 bits."""
    most_bits = (places.size + pixels // _LONGEST_SKIP + 2) * (_SKIP_BITS + _SUB_PIXEL_BITS)
    packed = np.zeros(most_bits // 8 + 4, np.uint8)
    used = int(_encode(places.astype(np.int64), sub_pixels.astype(np.int64), pixels, packed))
    return packed[: used + used % 2].tobytes()


@compiled()
def _encode(places: NDArray[np.int64], sub_pixels: NDArray[np.int64], pixels: int, packed: NDArray[np.uint8]) -> Any:
    """Write the code into `packed`; return how many bytes it takes."""
    bits, bit_count, written, following = 0, 0, 0, 0
    for index in range(places.size + 1):
        gap = (places[index] if index < places.size else pixels) - following
        while gap >= _LONGEST_SKIP:
            bits |= _LONGEST_SKIP << bit_count
            bit_count += _SKIP_BITS
            gap -= _LONGEST_SKIP
            while bit_count >= 8:
                packed[written] = bits & 255
                bits >>= 8
                bit_count -= 8
                written += 1
        if index < places.size:
            bits |= (gap | sub_pixels[index] << _SKIP_BITS) << bit_count
            bit_count += _SKIP_BITS + _SUB_PIXEL_BITS
            following = places[index] + 1
        else:
            bits |= gap << bit_count
            bit_count += _SKIP_BITS
        while bit_count > 0 and (bit_count >= 8 or index == places.size):
            packed[written] = bits & 255
            bits >>= 8
            bit_count -= 8
            written += 1
    return written


def _scatter(frame: NDArray[Any], hardware_frames: int, random: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield for each hardware frame the increasing flat places of its electrons."""
    counts = np.minimum(frame.reshape(-1), hardware_frames).astype(np.int64)
    first = random.integers(0, hardware_frames, counts.size, np.uint16)
    places = np.empty(int(counts.sum()), np.int64)
    ends = _distribute(counts, first, hardware_frames, places)
    yield from np.split(places, ends[:-1])


@compiled()
def _distribute(
    counts: NDArray[np.int64], first: NDArray[np.uint16], hardware_frames: int, places: NDArray[np.int64]
) -> Any:
    """Fill `places` with each hardware frame's electrons, one hardware frame after the other; return where each ends.

    A pixel's electrons go to hardware frames that follow each other, from first[pixel] on.
    """
    ends = np.zeros(hardware_frames, np.int64)
    for pixel in range(counts.size):
        for electron in range(counts[pixel]):
            ends[(first[pixel] + electron) % hardware_frames] += 1
    ends = np.cumsum(ends)
    free = np.zeros(hardware_frames, np.int64)
    free[1:] = ends[:-1]
    for pixel in range(counts.size):
        for electron in range(counts[pixel]):
            chosen = (first[pixel] + electron) % hardware_frames
            places[free[chosen]] = pixel
            free[chosen] += 1
    return ends


def _metadata_xml(
    pixel_size_angstrom: float | None, total_dose_e_per_px: float | None, exposure_time_s: float
) -> bytes:
    items = [("cameraName", "", "Falcon4"), ("commercialName", "", "Simulated Falcon")]
    items.append(("exposureTime", "s", f"{exposure_time_s:g}"))
    if pixel_size_angstrom is not None:
        items += [
            (f"sensorPixelSize.{side}", "m", f"{pixel_size_angstrom * 1e-10:.9g}") for side in ("width", "height")
        ]
    if total_dose_e_per_px is not None:
        items.append(("meanDoseRate", "e/pixel/s", f"{total_dose_e_per_px / exposure_time_s:.9g}"))
        items.append(("totalDose", "e/pixel", f"{total_dose_e_per_px:.9g}"))
    lines = [f'<item name="{name}" unit="{unit}">{escape(text)}</item>' for name, unit, text in items]
    return ("<metadata>" + "".join(lines) + "</metadata>").replace(' unit=""', "").encode()


class _BigTiffPages:
    """Writes a BigTIFF page by page: strip, header, then the link to that header from the page before."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.write(b"II+\0" + struct.pack("<HHQ", 8, 0, 0))
        self._link_at = 8

    def add(self, shape: tuple[int, ...], strip: bytes, metadata: bytes) -> None:
        height, width = shape
        strip_at = self._file.tell()
        self._file.write(strip)
        metadata_at = self._file.tell()
        self._file.write(metadata + bytes(len(metadata) % 2))
        fields = [
            (256, _LONG, 1, width),
            (257, _LONG, 1, height),
            (258, _SHORT, 1, 8),
            (259, _SHORT, 1, _COMPRESSION_7_BIT),
            (262, _SHORT, 1, 1),
            (273, _LONG8, 1, strip_at),
            (277, _SHORT, 1, 1),
            (278, _LONG, 1, height),
            (279, _LONG8, 1, len(strip)),
        ]
        if metadata:
            fields.append((_METADATA_TAG, _UNDEFINED, len(metadata), metadata_at))
        header_at = self._file.tell()
        self._file.write(struct.pack("<Q", len(fields)))
        self._file.write(b"".join(struct.pack("<HHQQ", *field) for field in fields))
        next_link_at = self._file.tell()
        self._file.write(struct.pack("<Q", 0))
        self._file.seek(self._link_at)
        self._file.write(struct.pack("<Q", header_at))
        self._file.seek(0, 2)
        self._link_at = next_link_at
