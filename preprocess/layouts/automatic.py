"""The layout `auto`: applies the rules of EPU or SerialEM, or those for no known program, to each file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePath

from preprocess.layouts import epu, serialem
from preprocess.layouts.layout import MOVIE, Doubt, Layout, Recognised


def judge(name: str, siblings: Collection[str]) -> Recognised:
    """Return whether it is a movie.

    EPU's rules apply to EPU's names, and SerialEM's to a file with an mdoc. Of all others, a `.mrc` beside a movie with
    the same stem is the sum of that movie.
    """
    path = PurePath(name)
    if epu.is_epu_name(name):
        return epu.judge(name, siblings)
    if f"{name}.mdoc" in siblings:
        return serialem.judge(name, siblings)
    if path.suffix.lower() == ".mrc":
        for suffix in (".tif", ".tiff", ".eer", ".mrcs", "_fractions.tiff", "_fractions.tif", "_EER.eer"):
            if path.stem + suffix in siblings:
                return Recognised("the sum image of a movie of the same name")
    return MOVIE


def doubt(name: str, siblings: Collection[str]) -> Doubt | None:
    """Return what SerialEM's rules say must be read; EPU's names tell by themselves."""
    return None if epu.is_epu_name(name) else serialem.doubt(name, siblings)


def gain(movie: Path, source: Path) -> Path | None:
    """Return the gain reference by EPU's rules, or else by SerialEM's; None if there is none."""
    return epu.gain(movie, source) or serialem.gain(movie, source)


AUTO = Layout("auto", judge, gain, serialem.named_gain, epu.usual_gain, doubt)
