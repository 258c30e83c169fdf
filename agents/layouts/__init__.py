"""Which files are movies, what they are called, and where their gain reference lies, by who wrote the folder."""

from agents.layouts.automatic import AUTO
from agents.layouts.epu import EPU
from agents.layouts.flat import FLAT
from agents.layouts.layout import Layout, Recognised
from agents.layouts.serialem import SERIALEM

LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (AUTO, EPU, SERIALEM, FLAT)}

__all__ = ["LAYOUTS", "Layout", "Recognised"]
