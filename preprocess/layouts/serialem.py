"""SerialEM: movies are `name.tif` with `name.tif.mdoc` beside it, maps `.mrc` or `.st`, references `CountRef_…`."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath

from preprocess.layouts.layout import MOVIE, Doubt, Layout, Recognised

_IMAGE_NAME = re.compile(
    r"(?:^|[_\-. ])(?:[LM]MM|maps?|(?:full)?mont(?:age)?|atlas|prev(?:iew)?|view|search|overview|anchor|snapshot"
    r"|tempref|tgt|target|trial|track(?:ing)?|focus)(?=$|[_\-. \d])",
    re.IGNORECASE,
)


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


SERIALEM = Layout("serialem", judge, ("serialem",), doubt=doubt)
