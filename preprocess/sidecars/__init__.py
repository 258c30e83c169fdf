"""What the microscope wrote beside a movie: EPU's XML, SerialEM's mdoc."""

from __future__ import annotations

from pathlib import Path

from preprocess.sidecars.beside import file_beside
from preprocess.sidecars.epu import read_epu_xml
from preprocess.sidecars.mdoc import read_mdoc
from preprocess.sidecars.recording import Recording, first_known, recording_by_name
from preprocess.sidecars.sidecar import Sidecar, SidecarUnreadableError

__all__ = [
    "Recording",
    "Sidecar",
    "SidecarUnreadableError",
    "file_beside",
    "find_sidecars",
    "first_known",
    "read_sidecar",
    "recording_by_name",
]

_EPU_ENDINGS = ("_fractions", "_eer")
"""What EPU adds to an exposure's stem for the movie, in lower case (its case varies); the XML has the bare stem."""


def find_sidecars(movie: Path) -> list[Path]:
    """Return the files that by their names describe a movie, EPU's before SerialEM's; only those that exist."""
    stems = [movie.stem]
    stems += [movie.stem[: -len(ending)] for ending in _EPU_ENDINGS if movie.stem.lower().endswith(ending)]
    names = [f"{stem}.xml" for stem in reversed(stems)] + [f"{movie.name}.mdoc", f"{movie.stem}.mdoc"]
    return [path for name in names if (path := file_beside(movie, name)) is not None]


def read_sidecar(path: Path, movie: Path) -> Sidecar | None:
    """Return what a sidecar says about a movie; None when it is a file of another kind.

    Raises
    ------
    SidecarUnreadableError
        It is cut off or not what its name says.
    """
    return read_mdoc(path, movie) if path.suffix.lower() == ".mdoc" else read_epu_xml(path)
