"""The layouts: for each recording program, which files are movies and where their gain reference is."""

from agents.layouts.automatic import AUTO
from agents.layouts.epu import EPU
from agents.layouts.flat import FLAT
from agents.layouts.layout import A_REFERENCE, Layout, Recognised
from agents.layouts.serialem import SERIALEM

LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (AUTO, EPU, SERIALEM, FLAT)}

__all__ = ["A_REFERENCE", "LAYOUTS", "Layout", "Recognised"]
