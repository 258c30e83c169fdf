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
    gaps = np.diff(places, prepend=-1) - 1
    last_gap = pixels - 1 - (int(places[-1]) if places.size else -1)
    full, rest = np.divmod(gaps, _LONGEST_SKIP)
    full_at_end, rest_at_end = divmod(last_gap, _LONGEST_SKIP)
    # One entry for each code: a run of full skips before each electron, the electron itself, the end's skips.
    codes_each = full + 1
    ends = np.cumsum(codes_each)
    codes = int(ends[-1]) if ends.size else 0
    values = np.full(codes + full_at_end + 1, _LONGEST_SKIP, np.uint32)
    widths = np.full(values.size, _SKIP_BITS, np.int64)
    values[ends - 1] = rest.astype(np.uint32) | sub_pixels.astype(np.uint32) << _SKIP_BITS
    widths[ends - 1] = _SKIP_BITS + _SUB_PIXEL_BITS
    values[-1] = rest_at_end
    return _pack_bits(values, widths)


def _pack_bits(values: NDArray[np.uint32], widths: NDArray[np.int64]) -> bytes:
    """Return values of at most 11 bits one after the other, least bit first, in an even number of bytes."""
    ends = np.cumsum(widths)
    starts = ends - widths
    byte, shifted = starts >> 3, values << (starts & 7).astype(np.uint32)
    length = int(ends[-1] + 7) // 8
    packed = np.zeros(length + length % 2 + 2)
    for step in range(3):  # 11 bits at any place lie in three bytes; no two values share a bit, so sums are unions
        packed += np.bincount(byte + step, (shifted >> np.uint32(8 * step)) & np.uint32(255), packed.size)
    return packed[:-2].astype(np.uint8).tobytes()


def _scatter(frame: NDArray[Any], hardware_frames: int, random: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield for each hardware frame the increasing flat places of its electrons."""
    counts = np.minimum(frame.reshape(-1), hardware_frames).astype(np.int64)
    hit = np.flatnonzero(counts)
    hits = counts[hit]
    places = np.repeat(hit, hits)
    order_in_pixel = np.arange(places.size) - np.repeat(np.cumsum(hits) - hits, hits)
    first = np.repeat(random.integers(0, hardware_frames, hit.size), hits)
    chosen = ((first + order_in_pixel) % hardware_frames).astype(np.uint16)
    ordered = places[np.argsort(chosen, kind="stable")]
    yield from np.split(ordered, np.cumsum(np.bincount(chosen, minlength=hardware_frames))[:-1])


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
