"""One source of optics groups for all registrars of a session, so that an exposure has the same group in each."""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakValueDictionary

from api.registrars import SessionPlace
from api.registrars.relion_lists import MICROGRAPHS, NAME, file_name
from api.registrars.relion_optics import GROUP, OpticsGroups
from api.registrars.scipion_journal import groups_in
from api.registrars.star import read_star

RELION_FOLDER, RELION_LIST = "relion", "corrected_micrographs.star"
SCIPION_FOLDER = "scipion"


class SharedOptics:
    """The groups of all sessions that a registrar works on; each registrar does so in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: WeakValueDictionary[str, OpticsGroups] = WeakValueDictionary()

    def of(self, place: SessionPlace) -> OpticsGroups:
        """Return a session's groups, with those that its registries say exposures have."""
        with self._lock:
            groups = self._sessions.get(place.name)
            if groups is None:
                groups = self._sessions[place.name] = _read(place.folder)
            return groups


def _read(session: Path) -> OpticsGroups:
    groups = OpticsGroups(session / RELION_FOLDER)
    listed = session / RELION_FOLDER / RELION_LIST
    tables = read_star(listed) if listed.exists() else {}
    groups.take(tables)
    if MICROGRAPHS in tables:
        groups.give({file_name(row[NAME]): row[GROUP] for row in tables[MICROGRAPHS].rows()})
    groups.give({name: str(number) for name, number in groups_in(session / SCIPION_FOLDER).items()})
    return groups
