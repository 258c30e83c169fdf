"""Makes micrographs and other sums that all programs can read: RELION before version 4 and others abort on float16."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

from api.registrars import PublishedExposure, SessionPlace
from api.registrars.reader_names import reader_name
from transfer.disk import make_file
from transfer.wire.exposure_record import FileRole

FLOAT16_MODE = 12
SUMS = {
    FileRole.MICROGRAPH_UNWEIGHTED: "unweighted",
    FileRole.MICROGRAPH_EVEN: "even",
    FileRole.MICROGRAPH_ODD: "odd",
}
"""The other sums that an exposure may have, each with the folder that its registered files have of their own."""


def registered_path(place: SessionPlace, exposure: PublishedExposure, role: FileRole = FileRole.MICROGRAPH) -> Path:
    """Return the path of an exposure's registered micrograph, or of another sum. Each revision has its own."""
    folder = place.folder / "registered" / SUMS.get(role, "")
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
        The committed micrograph is not a whole MRC file.
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
    if float16 or not _is_float16(committed):
        make_file(target, lambda temporary: temporary.hardlink_to(committed))
    else:
        make_file(target, lambda temporary: _write_float32(committed, temporary))
    return target


def _is_float16(path: Path) -> bool:
    with mrcfile.open(path, header_only=True) as mrc:
        return int(mrc.header.mode) == FLOAT16_MODE


def _write_float32(source: Path, target: Path) -> None:
    """Write `source` (height, width) as mode 2; header, labels and pixel size stay as they are, to the byte."""
    with mrcfile.open(source) as half, mrcfile.new(target) as full:
        full.set_data(half.data.astype(np.float32))
        for field in ("cella", "cellb", "origin", "nxstart", "nystart", "nzstart", "ispg", "nlabl", "label"):
            full.header[field] = half.header[field]
