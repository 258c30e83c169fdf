"""The layout `auto`: applies the rules of the program whose name a file has, or those for no known program."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath

from preprocess.layouts import epu, epu_tomo, leginon, serialem
from preprocess.layouts.layout import MOVIE, Doubt, Layout, Recognised


def judge(name: str, siblings: Collection[str]) -> Recognised:
    """Return whether it is a movie.

    Of files whose names are those of no known program, a `.mrc` beside a movie with the same stem is the sum of it.
    """
    rules = _rules(name, siblings)
    if rules is not None:
        return rules.judge(name, siblings)
    path = PurePath(name)
    if path.suffix.lower() == ".mrc":
        for suffix in (".tif", ".tiff", ".eer", ".mrcs", "_fractions.tiff", "_fractions.tif", "_EER.eer"):
            if path.stem + suffix in siblings:
                return Recognised("the sum image of a movie of the same name")
    return MOVIE


def doubt(name: str, siblings: Collection[str]) -> Doubt | None:
    """Return what must be read; of names of no known program, SerialEM's rules say it."""
    rules = _rules(name, siblings) or serialem.SERIALEM
    return rules.doubt(name, siblings)


def program(name: str, siblings: Collection[str]) -> str:
    """Return the name of the layout whose rules hold for a name."""
    rules = _rules(name, siblings)
    return "" if rules is None else rules.name


def _rules(name: str, siblings: Collection[str]) -> Layout | None:
    """Return whose name a file has: those of Leginon, of EPU, or those with an mdoc of SerialEM."""
    if name.startswith("FoilHole_"):  # most names of most sessions: a scan asks 20 000 times
        return epu.EPU
    if leginon.is_leginon_name(name):
        return leginon.LEGINON
    if epu_tomo.is_tomo_name(name):
        return epu_tomo.EPU_TOMO
    if epu.is_epu_name(name):
        return epu.EPU
    return serialem.SERIALEM if f"{name}.mdoc" in siblings else None


AUTO = Layout("auto", judge, ("epu", "serialem"), epu.usual_gain, doubt, program)
