"""EPU's Tomography 5 (Thermo Fisher): `Position_1_2_003_6.0_20250715_012434_EER.eer`, with `Position_1_2.mdoc`.

Positions may have other names. Older versions wrote the angle in brackets: `Position_1_001[10.00]_EER.eer`,
`Position_1_001[30.00]-847511.mrc`. `Position_1.mrc` has the sums of all tilts.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath

from preprocess.layouts.layout import MOVIE, Doubt, Layout, Recognised

SUMS = "the sums of a tilt series of EPU's tomography"
_TILT = re.compile(r"^Position_\d|_\d{3,4}_-?\d+\.\d+_\d{8}_\d{6}_(EER|fractions)\.|\[-?\d+\.\d+\]", re.IGNORECASE)
_FRAMES = re.compile(r"_fractions$|\]-\d+$", re.IGNORECASE)
_ANGLE_ONLY = re.compile(r"\[-?\d+\.\d+\]$")
_OVERVIEW = re.compile(r"^(search ?map|search|overview|atlas|tile)s?([_ ]|\d|$)", re.IGNORECASE)


def is_tomo_name(name: str) -> bool:
    """Return whether this is a name of a tilt, or of a position."""
    return bool(_TILT.search(name))


def judge(name: str, _siblings: Collection[str]) -> Recognised:
    """Return whether it is a movie: of `.mrc` files, one with the end of a movie's name, or with a tilt in brackets."""
    path = PurePath(name)
    if _OVERVIEW.match(path.stem):
        return Recognised("an overview image of EPU")
    if path.suffix.lower() == ".mrc" and not _FRAMES.search(path.stem) and not _ANGLE_ONLY.search(path.stem):
        return Recognised(SUMS)
    return MOVIE


def doubt(name: str, _siblings: Collection[str]) -> Doubt | None:
    """Return that a `.mrc` of one tilt may be its sum: then it has one image."""
    path = PurePath(name)
    is_either = path.suffix.lower() == ".mrc" and _ANGLE_ONLY.search(path.stem)
    return Doubt(is_named_as_image=True) if is_either else None


EPU_TOMO = Layout("epu-tomo", judge, ("epu",), doubt=doubt)
