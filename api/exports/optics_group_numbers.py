"""The optics groups of exposures, as RELION's lists have them."""

from __future__ import annotations

from pathlib import Path

from api.registrars import PublishedExposure
from api.registrars.reader_names import reader_name
from api.registrars.relion import STAR
from api.registrars.relion_lists import MICROGRAPHS, NAME, file_name
from api.registrars.relion_optics import GROUP, OpticsGroups
from api.registrars.star import read_star


class OpticsGroupNumbers:
    """The groups of a session. They are made in the same way for exposures that RELION's lists do not have.

    Parameters
    ----------
    project
        The session's folder for RELION, which need not exist. Nothing is written there.
    """

    def __init__(self, project: Path) -> None:
        path = project / STAR
        tables = read_star(path) if path.exists() else {}
        rows = tables[MICROGRAPHS].rows() if MICROGRAPHS in tables else []
        self._listed = {file_name(row[NAME]): row[GROUP] for row in rows}
        self._groups = OpticsGroups(project)
        self._groups.take(tables)

    def number(self, exposure: PublishedExposure) -> int:
        """Return the number of an exposure's group."""
        listed = self._listed.get(reader_name(exposure.micrograph_name))
        return int(self._groups.number(exposure.record, listed))
