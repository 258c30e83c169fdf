"""Which micrographs the files of each registrar's project list, for a check: the files are read, and never changed."""

from __future__ import annotations

from pathlib import Path

from api.registrars.relion import STAR
from api.registrars.relion_lists import MICROGRAPHS, NAME, file_name
from api.registrars.relion_tilts import FOLDER
from api.registrars.scipion_journal import read_entries
from api.registrars.star import read_star

_RELION, _SCIPION = "relion", "scipion"


def listed_names(registrar: str, session_folder: Path) -> set[str] | None:
    """Return the file names of the micrographs that a registrar's files list; None: of that registrar it is not known.

    For Scipion these are the entries of the journal that its follower reads, and tilts are in none.

    Parameters
    ----------
    session_folder
        `DATA/sessions/NAME`.

    Raises
    ------
    OSError, ValueError, LookupError
        A file cannot be read.
    """
    if registrar == _RELION:
        return _of_relion(session_folder / _RELION)
    return _of_scipion(session_folder / _SCIPION) if registrar == _SCIPION else None


def _of_relion(project: Path) -> set[str]:
    found: set[str] = set()
    if (project / STAR).exists():
        tables = read_star(project / STAR)
        rows = tables[MICROGRAPHS].rows() if MICROGRAPHS in tables else []
        found |= {file_name(row[NAME]) for row in rows}
    for path in sorted((project / FOLDER).glob("*.star")):
        for table in read_star(path).values():
            place = table.columns.index(NAME)
            found |= {file_name(line.split()[place]) for line in table.lines}
    return found


def _of_scipion(folder: Path) -> set[str]:
    return {str(entry["name"]) for entry in read_entries(folder) if entry["type"] == "micrograph"}
