"""The layouts: for each recording program, which files are movies and where their gain reference is."""

from preprocess.layouts.automatic import AUTO
from preprocess.layouts.epu import EPU
from preprocess.layouts.epu_tomo import EPU_TOMO
from preprocess.layouts.flat import FLAT
from preprocess.layouts.layout import A_REFERENCE, Doubt, Layout, Recognised
from preprocess.layouts.leginon import LEGINON
from preprocess.layouts.serialem import SERIALEM

LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (AUTO, EPU, EPU_TOMO, SERIALEM, LEGINON, FLAT)}

__all__ = ["A_REFERENCE", "LAYOUTS", "Doubt", "Layout", "Recognised"]
