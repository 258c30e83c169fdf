"""Each file by the program that names files like it: EPU, SerialEM (an mdoc beside it), else no program known."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePath

from agents.layouts import epu, serialem
from agents.layouts.layout import MOVIE, Layout, Recognised


def judge(name: str, siblings: Collection[str]) -> Recognised:
    """Follow EPU's and SerialEM's rules at home; elsewhere a `.mrc` beside a movie of its stem is its sum."""
    path = PurePath(name)
    if epu.is_epu_name(name):
        return epu.judge(name, siblings)
    if f"{name}.mdoc" in siblings:
        return serialem.judge(name, siblings)
    if path.suffix.lower() == ".mrc":
        for suffix in (".tif", ".tiff", ".eer", ".mrcs", "_fractions.tiff", "_fractions.tif", "_EER.eer"):
            if path.stem + suffix in siblings:
                return Recognised(f"the sum image of {path.stem + suffix}")
    return MOVIE


def gain(movie: Path, source: Path) -> Path | None:
    """Return what EPU's or else SerialEM's rules find."""
    return epu.gain(movie, source) or serialem.gain(movie, source)


AUTO = Layout("auto", judge, gain)
