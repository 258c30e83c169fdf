"""Makes micrographs and other sums that all programs can read: RELION before version 4 and others abort on float16."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

from api.registrars import PublishedExposure, SessionPlace
from api.registrars.reader_names import reader_name
from transfer.disk.files import make_file
from transfer.disk.locks import file_lock
from transfer.wire.exposure_record import ExposureRecord, FileRole

REGISTERED = "registered"
"""Of a session's folder, the one with its registered micrographs."""
LOCK = ".lock"
FLOAT16_MODE = 12
SUMS = {
    FileRole.MICROGRAPH_UNWEIGHTED: "unweighted",
    FileRole.MICROGRAPH_EVEN: "even",
    FileRole.MICROGRAPH_ODD: "odd",
}
"""The other sums that an exposure may have, each with the folder that its registered files have of their own."""
BYTES_OF_MODE = {0: 1, 1: 2, 2: 4, 6: 2, FLOAT16_MODE: 2}
"""Bytes of a pixel in the MRC modes of real numbers."""
HEADER_BYTES = 1024
MAX_PIXELS = 2**29
"""Twice what the largest camera makes: 16384 x 16384, of EER frames rendered at four times their size."""


def registered_path(place: SessionPlace, exposure: PublishedExposure, role: FileRole = FileRole.MICROGRAPH) -> Path:
    """Return the path of an exposure's registered micrograph, or of another sum. Each revision has its own."""
    folder = place.folder / REGISTERED / SUMS.get(role, "")
    if exposure.record.revision > 1:
        folder /= f"revision-{exposure.record.revision}"
    return folder / reader_name(exposure.micrograph_name)


def registered_micrograph(place: SessionPlace, exposure: PublishedExposure, *, float16: bool) -> Path:
    """Return the micrograph to register, made once: a hard link, or a float32 copy if it is float16.

    Parameters
    ----------
    place, exposure
        The session and the exposure.
    float16
        Whether the programs can read MRC mode 12, so that no copy is needed.

    Raises
    ------
    FileNotFoundError
        The exposure has no committed micrograph.
    ValueError
        The committed micrograph is not a whole MRC file of the size that the record says.
    """
    if FileRole.MICROGRAPH not in exposure.files:
        raise FileNotFoundError("the exposure has no micrograph")
    return _registered(place, exposure, FileRole.MICROGRAPH, float16=float16)


def registered_sums(place: SessionPlace, exposure: PublishedExposure, *, float16: bool) -> dict[FileRole, Path]:
    """Return those of `SUMS` that the exposure has, made as `registered_micrograph` makes the micrograph.

    Raises
    ------
    ValueError
        A committed sum is not a whole MRC file.
    """
    return {role: _registered(place, exposure, role, float16=float16) for role in SUMS if role in exposure.files}


def _registered(place: SessionPlace, exposure: PublishedExposure, role: FileRole, *, float16: bool) -> Path:
    target, committed = registered_path(place, exposure, role), exposure.files[role]
    if target.exists():
        return target
    mode = _checked_mode(committed, exposure.record)
    (place.folder / REGISTERED).mkdir(parents=True, exist_ok=True)
    # registrars work at the same time, and exports may in another process: all want the same file
    with file_lock(place.folder / REGISTERED / LOCK, wait=True):
        if target.exists():
            return target
        if float16 or mode != FLOAT16_MODE:
            make_file(target, lambda temporary: temporary.hardlink_to(committed))
        else:
            make_file(target, lambda temporary: _write_float32(committed, temporary))
    return target


def _checked_mode(path: Path, record: ExposureRecord) -> int:
    """Return the mode of a micrograph whose header promises what the record says and the file holds.

    Only the header is read: what it promises decides how much memory a reader takes.
    """
    with mrcfile.open(path, header_only=True) as mrc:
        width, height, depth = (int(mrc.header[axis]) for axis in ("nx", "ny", "nz"))
        mode, extended_bytes = int(mrc.header.mode), int(mrc.header.nsymbt)
    if (width, height, depth) != (record.micrograph_width_px, record.micrograph_height_px, 1):
        raise ValueError(
            f"{path.name} is not registered: its header promises {width} x {height} x {depth} px, its record "
            f"{record.micrograph_width_px} x {record.micrograph_height_px}; process the movie again"
        )
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{path.name} is not registered: {width} x {height} px are more than any camera has, and would fill the "
            "memory of the programs that read it"
        )
    if mode not in BYTES_OF_MODE:
        raise ValueError(f"{path.name} is not registered: MRC mode {mode} is no mode of a micrograph")
    needed, present = HEADER_BYTES + extended_bytes + width * height * BYTES_OF_MODE[mode], path.stat().st_size
    if present < needed:
        raise ValueError(f"{path.name} is not registered: its header promises {needed} bytes, the file has {present}")
    return mode


def _write_float32(source: Path, target: Path) -> None:
    """Write `source` (height, width) as mode 2; header, labels and pixel size stay as they are, to the byte."""
    with mrcfile.open(source) as half, mrcfile.new(target) as full:
        full.set_data(half.data.astype(np.float32))
        for field in ("cella", "cellb", "origin", "nxstart", "nystart", "nzstart", "ispg", "nlabl", "label"):
            full.header[field] = half.header[field]
