"""What the microscope wrote beside a movie: EPU's XML, SerialEM's mdoc."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from preprocess.sidecars.beside import file_beside
from preprocess.sidecars.collections import collections_with
from preprocess.sidecars.epu import read_epu_xml
from preprocess.sidecars.mdoc import read_mdoc
from preprocess.sidecars.recording import Recording, first_known, recording_by_name
from preprocess.sidecars.sidecar import Sidecar, SidecarUnreadableError
from preprocess.sidecars.tilt_names import TiltName, tilt_by_name
from preprocess.sidecars.tilt_series import names_movie, series_mdocs

__all__ = [
    "Recording",
    "Sidecar",
    "SidecarUnreadableError",
    "TiltName",
    "content_about",
    "file_beside",
    "find_sidecars",
    "first_known",
    "is_shared",
    "read_sidecar",
    "recording_by_name",
    "tilt_by_name",
]

_EPU_ENDINGS = ("_fractions", "_eer")
"""What EPU adds to an exposure's stem for the movie, in lower case (its case varies); the XML has the bare stem."""


def find_sidecars(movie: Path, *, with_collections: bool = True) -> list[Path]:
    """Return the files that describe a movie; only those that exist.

    By their names: EPU's, before SerialEM's. Then mdocs of tilt series with a section about this movie.

    Parameters
    ----------
    with_collections
        Whether to look, where there are none of these, for an mdoc of many movies that may have any name. Who compares
        sidecars again and again had better not: such a file changes with each movie of a session.

    Raises
    ------
    OSError
        That cannot be found out now.
    """
    own = [path for name in _own_names(movie) if (path := file_beside(movie, name)) is not None]
    found = own + series_mdocs(movie)
    return found or (collections_with(movie) if with_collections else [])


def _own_names(movie: Path) -> list[str]:
    stems = [movie.stem]
    stems += [movie.stem[: -len(ending)] for ending in _EPU_ENDINGS if movie.stem.lower().endswith(ending)]
    return [f"{stem}.xml" for stem in reversed(stems)] + [f"{movie.name}.mdoc", f"{movie.stem}.mdoc"]


def is_shared(sidecar: Path, movie: Path) -> bool:
    """Return whether a movie's sidecar is about other movies too, such as that of a tilt series."""
    return sidecar.parent != movie.parent or sidecar.name not in _own_names(movie)


def content_about(sidecar: Path, movie: Path) -> bytes | None:
    """Return what a sidecar that is about many movies says about one, to tell whether that changed; None: nothing.

    Raises
    ------
    SidecarUnreadableError
        It is cut off or not what its name says.
    """
    if not names_movie(sidecar, movie):
        return None
    said = read_sidecar(sidecar, movie)
    return None if said is None else repr(replace(said, path=Path())).encode()


def read_sidecar(path: Path, movie: Path) -> Sidecar | None:
    """Return what a sidecar says about a movie; None when it is a file of another kind.

    Raises
    ------
    SidecarUnreadableError
        It is cut off or not what its name says.
    """
    return read_mdoc(path, movie) if path.suffix.lower() == ".mdoc" else read_epu_xml(path)
