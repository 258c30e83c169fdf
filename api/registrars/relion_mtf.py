"""The camera's MTF, which RELION takes from the optics table (`rlnMtfFileName`).

It lies in the session's folder for RELION as `mtf.star`: a copy of the receiver's, or one that somebody has put there,
which is never replaced. RELION reads it relative to that folder, so that the folder can be moved.
"""

from __future__ import annotations

from pathlib import Path

from api.registrars import RegistrarUnavailable
from transfer.disk.files import make_file

MTF_STAR, MTF_COLUMN = "mtf.star", "rlnMtfFileName"
_NEEDED = ("_rlnResolutionInversePixel", "_rlnMtfValue")
"""What `ObservationModel::getMtfImage` reads of it (RELION 5.0, src/jaz/single_particle/obs_model.cpp)."""
_MOST_BYTES = 1 << 20


def why_no_mtf(path: Path) -> str:
    """Return why RELION could not use a file as an MTF, or nothing."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return f"it has more than {_MOST_BYTES} bytes"
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        return getattr(error, "strerror", None) or "it is no text"
    missing = [label for label in _NEEDED if label not in words]
    return f"it has no column {missing[0]}" if missing else ""


def give_mtf(path: Path | None, project: Path) -> None:
    """Copy the receiver's MTF into a session's folder for RELION, unless one lies there.

    Raises
    ------
    RegistrarUnavailable
        The receiver's file is gone.
    """
    own = project / MTF_STAR
    if path is None or own.exists():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RegistrarUnavailable(f"{path}, the MTF (--mtf), cannot be read: {error.strerror or error}") from error

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    make_file(own, write)
