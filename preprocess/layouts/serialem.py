"""SerialEM: movies are `name.tif` with `name.tif.mdoc` beside it, maps `.mrc` or `.st`, references `CountRef_…`."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from pathlib import Path, PurePath

from preprocess.input_files import read_small_text
from preprocess.layouts.layout import MOVIE, Doubt, Layout, Recognised
from preprocess.sidecars import file_beside

_IMAGE_NAME = re.compile(
    r"(?:^|[_\-. ])(?:[LM]MM|maps?|(?:full)?mont(?:age)?|atlas|prev(?:iew)?|view|search|overview|anchor|snapshot"
    r"|tempref|tgt|target|trial|track(?:ing)?|focus)(?=$|[_\-. \d])",
    re.IGNORECASE,
)
_REFERENCE_SUFFIXES = (".mrc", ".tif", ".tiff")


def judge(name: str, siblings: Collection[str]) -> Recognised:
    """Return whether it is a movie: a `.mrc` with a movie's stem is a sum, and one without an mdoc is a map."""
    path = PurePath(name)
    if path.suffix.lower() == ".mrc":
        if any(path.stem + suffix in siblings for suffix in (".tif", ".tiff", ".eer", ".mrcs")):
            return Recognised("the sum image of a movie")
        if f"{name}.mdoc" not in siblings and f"{path.stem}.mdoc" not in siblings:
            return Recognised("a map, since it has no mdoc")
    return MOVIE


def doubt(name: str, siblings: Collection[str]) -> Doubt | None:
    """Return what must be read of a `.mrc`: maps and sums of tilt series have no names of their own.

    A `.tif` with an mdoc is a movie, unless its name has a word for maps or previews: then that must be read too.
    """
    stem, _, suffix = name.rpartition(".")
    suffix = suffix.lower()
    is_named_as_image = bool(_IMAGE_NAME.search(stem))
    if suffix not in ("mrc", "mrcs") and not (is_named_as_image and suffix in ("tif", "tiff")):
        return None
    mdoc = next((each for each in (f"{name}.mdoc", f"{stem}.mdoc") if each in siblings), "")
    return Doubt(mdoc, is_named_as_image)


def gain(movie: Path, _source: Path) -> Path | None:
    """Return the MRC or TIFF file beside the movie that its mdoc names, or `CountRef_STEM`; None if there is none."""
    names = [_named_reference(movie), *(f"CountRef_{movie.stem}{suffix}" for suffix in _REFERENCE_SUFFIXES)]
    references = (file_beside(movie, name) for name in names if PurePath(name).suffix.lower() in _REFERENCE_SUFFIXES)
    return next((path for path in references if path is not None), None)


def _named_reference(movie: Path) -> str:
    """Return the name of the gain reference in the movie's mdoc; empty if it names none."""
    for name in (f"{movie.name}.mdoc", f"{movie.stem}.mdoc"):
        mdoc = file_beside(movie, name)
        if mdoc is None:
            continue
        for line in _text(mdoc).splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "GainReference" and value.strip():
                return value.strip().replace("\\", "/").rpartition("/")[2]  # from a Windows path, only the file name
    return ""


def _text(mdoc: Path) -> str:
    try:
        return read_small_text(mdoc, "utf-8")
    except OSError as error:
        if error.errno == errno.EFBIG:
            return ""  # no mdoc; what its values are needed for says so
        raise


def named_gain(movie: Path) -> Path | None:
    """Return where the gain reference is to be that the movie's mdoc names; None if it names none that can be read."""
    name = _named_reference(movie)
    return movie.with_name(name) if PurePath(name).suffix.lower() in _REFERENCE_SUFFIXES else None


SERIALEM = Layout("serialem", judge, gain, named_gain, doubt=doubt)
