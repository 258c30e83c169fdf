"""EPU (Thermo Fisher): `FoilHole_…_Data_…_fractions.tiff` with `…_gain.tiff` beside it, or `…_EER.eer` and a `.gain`.

EPU also writes files that are no movies: a sum image (`….mrc` with the movie's stem), and images of foil holes, grid
squares and atlases.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath

from preprocess.layouts import epu_tomo
from preprocess.layouts.layout import MOVIE, Layout, Recognised

_EPU_NAME = re.compile(r"^(FoilHole|GridSquare|Position|Tile|Atlas|Search ?Maps?|Overview)_", re.IGNORECASE)
_OVERVIEW = re.compile(r"^(FoilHole_(?!.*_Data_)|GridSquare_|Tile_|Atlas_|Search ?Maps?_|Overview_)", re.IGNORECASE)
_FRACTIONS = re.compile(r"_fractions$", re.IGNORECASE)


def is_epu_name(name: str) -> bool:
    """Return whether this is one of EPU's file names."""
    return bool(_EPU_NAME.match(name))


def judge(name: str, siblings: Collection[str]) -> Recognised:
    """Return whether it is a movie: no overview image, and a `.mrc` only if its name ends with `_fractions`."""
    if epu_tomo.is_tomo_name(name):
        return epu_tomo.judge(name, siblings)
    path = PurePath(name)
    if _OVERVIEW.match(name):
        return Recognised("an overview image of EPU")
    if path.suffix.lower() == ".mrc" and not _FRACTIONS.search(path.stem):
        return Recognised("EPU's own sum image")
    return MOVIE


def usual_gain(name: str) -> str:
    """Return the name of the gain reference that EPU writes beside a movie of this name; "" if it writes none.

    It writes one for TIFF movies. Movies in MRC are corrected already, and those in EER share a `.gain` file.
    """
    path = PurePath(name)
    is_raw = is_epu_name(name) and path.suffix.lower() in (".tif", ".tiff") and _FRACTIONS.search(path.stem)
    return f"{_FRACTIONS.sub('', path.stem)}_gain{path.suffix}" if is_raw else ""


EPU = Layout("epu", judge, ("epu",), usual_gain, epu_tomo.doubt)
